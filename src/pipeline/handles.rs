//! What the components of one pipeline share.

use std::sync::Arc;

use crate::config::plan::PipelinePlan;
use crate::enrich::Lookups;
use crate::model::{Budget, Halt, PartitionTable, Stop, Wake};
use crate::source::view::SourceView;
use crate::telemetry::board::{PipelineView, StageThreads};
use crate::telemetry::health::Health;
use crate::telemetry::lag::LagTable;
use crate::telemetry::latency::LatencyBook;
use crate::telemetry::metrics::PipelineMetrics;

/// Everything components of one pipeline share.
pub(super) struct PipelineHandles {
    pub(super) index: usize,
    pub(super) plan: Arc<PipelinePlan>,
    pub(super) metrics: Arc<PipelineMetrics>,
    pub(super) latency: Arc<LatencyBook>,
    pub(super) health: Arc<Health>,
    pub(super) lag: Arc<LagTable>,
    pub(super) stop: Arc<Stop>,
    pub(super) wake: Arc<Wake>,
    pub(super) budget: Arc<Budget>,
    pub(super) table: Arc<PartitionTable>,
    pub(super) view: Arc<SourceView>,
    pub(super) board: Arc<PipelineView>,
}

impl PipelineHandles {
    pub(super) fn new(index: usize, plan: PipelinePlan, stop: Arc<Stop>) -> Self {
        let plan = Arc::new(plan);
        let (metrics, latency) = (PipelineMetrics::new(&plan.name), LatencyBook::new());
        let (health, lag, wake) = (Health::new(), LagTable::new(), Arc::new(Wake::default()));
        let budget = Budget::new(plan.memory.in_flight_bytes(), wake.clone());
        let board = PipelineView::new(
            metrics.clone(),
            latency.clone(),
            health.clone(),
            lag.clone(),
            budget.clone(),
            StageThreads { workers: plan.workers, lanes: plan.sink.lanes() },
        );
        let (table, view) = (Arc::default(), Arc::default());
        Self { index, plan, metrics, latency, health, lag, stop, wake, budget, table, view, board }
    }

    /// The look-ups of this pipeline, when it has any.
    pub(super) fn lookups(&self) -> Result<Option<Arc<Lookups>>, Halt> {
        let plans: Vec<_> = self.plan.lookups().cloned().collect();
        if plans.is_empty() {
            return Ok(None);
        }
        Lookups::open(&plans, self.plan.retry, self.metrics.clone(), self.health.clone(), self.stop.clone()).map(Some)
    }
}
