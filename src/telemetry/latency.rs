//! Latency by stage, as HdrHistograms of microseconds. Recorded once a batch with the number of records.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use enum_map::{Enum, EnumMap};
use hdrhistogram::Histogram;
use strum::{IntoStaticStr, VariantArray};

use super::distribution::Distribution;

/// What is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Stage {
    /// Broker timestamp → polled.
    Queue,
    /// Polled → prepared.
    Preprocess,
    /// Prepared → sent.
    SinkWait,
    /// Sent → answered.
    Request,
    /// Polled → acknowledged.
    EndToEnd,
    /// Broker timestamp → acknowledged.
    Age,
}

impl Stage {
    /// The tag in `.hlog` and file names.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Histograms of one pipeline: the current interval, taken by the reporter.
pub struct LatencyBook {
    stages: EnumMap<Stage, Mutex<Histogram<u64>>>,
    micros: EnumMap<Stage, Distribution>,
}

impl LatencyBook {
    /// An empty book. Three significant digits, 1 µs to 1 h, saturating.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self { stages: EnumMap::from_fn(|_| Mutex::new(empty_histogram())), micros: EnumMap::default() })
    }

    /// Records `records` values of `latency`. One uncontended lock a call: call it per batch, not per record.
    pub(crate) fn record(&self, stage: Stage, latency: Duration, records: u64) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).max(1);
        self.micros[stage].observe_n(micros, if stage == Stage::Request { 1 } else { records });
        let mut histogram = self.stages[stage].lock().unwrap_or_else(PoisonError::into_inner);
        histogram.saturating_record_n(micros, records);
    }

    /// Microseconds since the start of the process, for `/metrics`: requests for [`Stage::Request`], records otherwise.
    #[must_use]
    pub(crate) fn micros(&self, stage: Stage) -> &Distribution {
        &self.micros[stage]
    }

    /// Swaps what was recorded since the last call with `spare`, which is cleared first. One allocation less than
    /// Takes what was recorded since the last call, for a caller that comes every second: `spare` gives its counts.
    pub(crate) fn take_into(&self, stage: Stage, spare: &mut Histogram<u64>) {
        // Clearing walks all counts, and most stages are idle in most turns.
        if !spare.is_empty() {
            spare.reset();
        }
        let mut histogram = self.stages[stage].lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut *histogram, spare);
    }

    /// Takes what was recorded since the last call.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn take(&self, stage: Stage) -> Histogram<u64> {
        let mut histogram = self.stages[stage].lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *histogram, empty_histogram())
    }
}

/// An empty histogram with the bounds of every book, so that any two can be merged.
#[must_use]
pub fn empty_histogram() -> Histogram<u64> {
    match Histogram::new_with_bounds(1, 3_600_000_000, 3) {
        Ok(histogram) => histogram,
        Err(error) => unreachable!("constant bounds are valid: {error}"),
    }
}
