//! One pipeline before its threads start.

use std::sync::Arc;

use crate::config::plan::PipelinePlan;
use crate::enrich::Lookups;
use crate::model::{Halt, Stop};
use crate::source::view::SourceView;
use crate::telemetry::board::{PipelineView, StageThreads};
use crate::telemetry::handles::Handles;

/// What the threads of a pipeline are made from.
pub(super) struct PipelineParts {
    pub(super) index: usize,
    pub(super) plan: Arc<PipelinePlan>,
    pub(super) pipeline: Arc<Handles>,
    pub(super) view: Arc<SourceView>,
    pub(super) board: Arc<PipelineView>,
}

impl PipelineParts {
    pub(super) fn new(index: usize, plan: PipelinePlan, stop: Arc<Stop>) -> Self {
        let plan = Arc::new(plan);
        let pipeline = Handles::new(&plan.name, plan.memory.in_flight_bytes(), stop);
        let threads = StageThreads { workers: plan.workers, lanes: plan.sink.lanes() };
        let board = PipelineView::new(pipeline.clone(), threads);
        Self { index, plan, pipeline, view: Arc::default(), board }
    }

    /// The look-ups of this pipeline, when it has any.
    pub(super) fn lookups(&self) -> Result<Option<Arc<Lookups>>, Halt> {
        let plans: Vec<_> = self.plan.lookups().cloned().collect();
        if plans.is_empty() {
            return Ok(None);
        }
        Lookups::open(&plans, self.plan.retry, self.pipeline.clone()).map(Some)
    }
}
