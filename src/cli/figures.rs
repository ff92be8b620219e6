//! Sums and latencies in words and as JSON, for `demo` and `bench` (pure).

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::machinery::StageLatency;
use crate::model::Conservation;

const PERCENTILES: [(&str, f64); 5] = [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9), ("max", 100.0)];

/// What is wrong with the engine's own sum.
pub(super) fn sum_faults(name: &str, sum: &Conservation) -> Vec<String> {
    let mut faults = Vec::new();
    if !sum.holds() {
        faults.push(format!("{name}: {} records were read, but {} accounted for", sum.consumed, sum.accounted()));
    }
    if sum.open != 0 {
        faults.push(format!("{name}: {} records were left open", sum.open));
    }
    faults
}

/// A line a stage; nothing when nothing was timed.
pub(super) fn latency_table(latencies: &[StageLatency]) -> String {
    if latencies.is_empty() {
        return String::new();
    }
    let mut text = format!("\n{:<8} {:<12}", "latency", "ms");
    // Writing into a String cannot fail, here and below.
    for (name, _) in PERCENTILES {
        let _ = write!(text, "{name:>10}");
    }
    text.push('\n');
    for latency in latencies {
        let _ = write!(text, "{:<8} {:<12}", latency.pipeline, latency.stage.name());
        for (_, percentile) in PERCENTILES {
            let _ = write!(text, "{:>10.2}", millis(latency, percentile));
        }
        text.push('\n');
    }
    text.push('\n');
    text
}

/// The same as JSON.
pub(super) fn latency_json(latencies: &[StageLatency]) -> Vec<Value> {
    let line = |latency: &StageLatency| {
        let mut line = json!({ "pipeline": latency.pipeline, "stage": latency.stage.name() });
        for (name, percentile) in PERCENTILES {
            line[format!("{name}_ms")] = json!(millis(latency, percentile));
        }
        line
    };
    latencies.iter().map(line).collect()
}

/// A percentile in milliseconds.
pub(super) fn millis(latency: &StageLatency, percentile: f64) -> f64 {
    latency.histogram.value_at_percentile(percentile) as f64 / 1_000.0
}
