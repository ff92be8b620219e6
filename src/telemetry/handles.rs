//! What the threads of one pipeline share.

use std::sync::Arc;

use crate::model::{Budget, PartitionTable, Stop, Wake};

use super::health::Health;
use super::lag::LagTable;
use super::latency::LatencyBook;
use super::metrics::PipelineMetrics;

/// Handles of one pipeline: made once, held by its source, workers, look-ups, sink and dead letters, and by the board.
pub struct Handles {
    /// The pipeline's name, for messages and labels.
    pub name: Arc<str>,
    /// Counters.
    pub metrics: Arc<PipelineMetrics>,
    /// Histograms.
    pub latency: Arc<LatencyBook>,
    /// State, named faults, last errors.
    pub health: Arc<Health>,
    /// Lag by partition.
    pub lag: Arc<LagTable>,
    /// The byte budget of what is in flight.
    pub budget: Arc<Budget>,
    /// Names of partitions, and the fence: asked before every send and re-send.
    pub table: Arc<PartitionTable>,
    /// The stop switch, which also says how patient retries may be.
    pub stop: Arc<Stop>,
    /// What wakes the source.
    pub wake: Arc<Wake>,
}

impl Handles {
    /// Handles of a pipeline that has not begun; at most `in_flight_bytes` may be in flight.
    #[must_use]
    pub fn new(name: &Arc<str>, in_flight_bytes: usize, stop: Arc<Stop>) -> Arc<Self> {
        let wake = Arc::new(Wake::default());
        Arc::new(Self {
            name: name.clone(),
            metrics: PipelineMetrics::new(name),
            latency: LatencyBook::new(),
            health: Health::new(),
            lag: LagTable::new(),
            budget: Budget::new(in_flight_bytes, wake.clone()),
            table: Arc::default(),
            stop,
            wake,
        })
    }
}
