//! `/metrics`: OpenMetrics text from the families of [`super::families`].

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::registry::Registry;

use super::board::Board;
use super::families::{Family, MetricValue, families};
use super::process;

/// Media type of the answer.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics as text.
///
/// # Errors
/// Only when formatting itself fails.
pub fn render(board: &Board, wall: SystemTime) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("sluicegate");
    let families = families(board, process::allocator_bytes(), super::unix_ms(wall));
    registry.register_collector(Box::new(Scrape(Arc::new(families))));
    let mut out = String::with_capacity(16 * 1024);
    text::encode(&mut out, &registry)?;
    Ok(out)
}

#[derive(Debug)]
struct Scrape(Arc<Vec<Family>>);

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        // A family without samples is left out: absent until known.
        for family in self.0.iter().filter(|family| !family.samples.is_empty()) {
            let mut metric = encoder.encode_descriptor(family.name, family.help, None, family.kind)?;
            for sample in &family.samples {
                encode(&mut metric.encode_family(&sample.labels)?, &sample.value)?;
            }
        }
        Ok(())
    }
}

fn encode(metric: &mut MetricEncoder<'_>, value: &MetricValue) -> fmt::Result {
    match value {
        MetricValue::Count(count) => metric.encode_counter::<NoLabelSet, _, u64>(count, None),
        MetricValue::CountSeconds(seconds) => metric.encode_counter::<NoLabelSet, _, u64>(seconds, None),
        MetricValue::Level(level) => metric.encode_gauge(level),
        MetricValue::LevelSeconds(seconds) => metric.encode_gauge(seconds),
        MetricValue::Histogram { sum, buckets } => {
            let count = buckets.iter().map(|(_, n)| n).sum();
            metric.encode_histogram::<NoLabelSet>(*sum, count, buckets, None)
        }
    }
}

#[cfg(test)]
#[path = "exposition_tests.rs"]
mod tests;
