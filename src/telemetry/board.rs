//! What the endpoint, the reporter and the run files look at: every pipeline's handles, and the last judgement on it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use serde::{Deserialize, Serialize};

use super::handles::Handles;
use super::watch::Judgement;

/// What was built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildInfo {
    /// Version of the package.
    pub version: String,
    /// Commit it was built from, `unknown` outside a checkout.
    pub commit: String,
    /// Version of librdkafka linked in.
    pub librdkafka: String,
}

/// Threads whose summed busy time is related to wall time.
#[derive(Debug, Clone, Copy)]
pub struct StageThreads {
    /// Workers of preprocess.
    pub workers: usize,
    /// Requests the sink may have out at once.
    pub lanes: usize,
}

/// One pipeline as the board shows it.
pub struct PipelineView {
    /// What its threads write.
    pub pipeline: Arc<Handles>,
    /// Worker threads of preprocess, to relate summed busy time to wall time.
    pub workers: usize,
    /// Requests the sink may have out at once, for the same of its busy time.
    pub lanes: usize,
    judgement: Mutex<Option<Arc<Judgement>>>,
}

impl PipelineView {
    /// A view that was not judged yet.
    #[must_use]
    pub fn new(pipeline: Arc<Handles>, threads: StageThreads) -> Arc<Self> {
        let StageThreads { workers, lanes } = threads;
        Arc::new(Self { pipeline, workers: workers.max(1), lanes: lanes.max(1), judgement: Mutex::new(None) })
    }

    /// Publishes what the reporter found.
    pub fn publish(&self, judgement: Arc<Judgement>) {
        *self.judgement.lock().unwrap_or_else(PoisonError::into_inner) = Some(judgement);
    }

    /// What the reporter found last; `None` before its first turn.
    #[must_use]
    pub fn judgement(&self) -> Option<Arc<Judgement>> {
        self.judgement.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the group has answered with an assignment, be it an empty one (standby).
    #[must_use]
    pub fn has_joined(&self) -> bool {
        self.pipeline.metrics.assigned_partitions.get() > 0 || self.pipeline.metrics.rebalances.get() > 0
    }
}

/// Everything there is to look at.
pub struct Board {
    /// What was built.
    pub build: BuildInfo,
    /// Short hash of the effective configuration without secrets.
    pub(crate) config_hash: String,
    /// Start of the process, for durations.
    pub started: Instant,
    /// Start of the process, for people.
    pub(crate) started_at: SystemTime,
    /// The pipelines, in the order configured.
    pub pipelines: Vec<Arc<PipelineView>>,
    warming_up: AtomicBool,
}

impl Board {
    /// A board that starts now.
    #[must_use]
    pub fn new(build: BuildInfo, config_hash: String, pipelines: Vec<Arc<PipelineView>>) -> Arc<Self> {
        let (started, started_at, warming_up) = (Instant::now(), SystemTime::now(), AtomicBool::new(false));
        Arc::new(Self { build, config_hash, started, started_at, pipelines, warming_up })
    }

    /// What is timed from now on is of a warm-up: the reporter keeps none of it. To be said before it starts.
    pub(crate) fn warm_up(&self) {
        self.warming_up.store(true, Ordering::Release);
    }

    /// The warm-up is over; the reporter's next turn begins the measurement.
    pub(crate) fn measure(&self) {
        self.warming_up.store(false, Ordering::Release);
    }

    /// Whether what is timed now is of a warm-up.
    #[must_use]
    pub(crate) fn is_warming_up(&self) -> bool {
        self.warming_up.load(Ordering::Acquire)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn view(name: &str) -> Arc<PipelineView> {
        PipelineView::new(Handles::new(&Arc::from(name), 1_000, Arc::default()), StageThreads { workers: 2, lanes: 1 })
    }

    /// Pipelines `relay` and `index`, for the tests of everything that looks at a board.
    pub(crate) fn board_of_two() -> Arc<Board> {
        let build = BuildInfo { version: "1.2.3".into(), commit: "abc".into(), librdkafka: "2.12".into() };
        Board::new(build, "c0ffee".into(), vec![view("relay"), view("index")])
    }
}
