//! A pipeline's steps and its sink's templates, compiled as its workers run them.

use std::sync::Arc;

use crate::config::plan::{OnTombstone, PipelinePlan, SinkPlan};
use crate::preprocess::program::CompileError;
use crate::preprocess::{Program, Tombstones};
use crate::sink::{elasticsearch, kafka};

/// Compiles the program of a pipeline.
///
/// # Errors
/// The first step or template that cannot be compiled.
pub(crate) fn compile(plan: &PipelinePlan) -> Result<Arc<Program>, CompileError> {
    let format = plan.source.format.clone();
    let (templates, tombstones, by) = match &plan.sink {
        SinkPlan::Kafka(sink) => (kafka::templates(sink), Tombstones::PassOn, None),
        SinkPlan::Elasticsearch(sink) => {
            let tombstones = match sink.on_tombstone {
                OnTombstone::Drop => Tombstones::Drop,
                OnTombstone::Delete | OnTombstone::Reject => Tombstones::PassOn,
            };
            (elasticsearch::templates(sink), tombstones, sink.by.as_deref())
        }
    };
    Program::compile_for(&plan.steps, &templates, tombstones, by, format)
}
