//! What a source is given by its pipeline, and what it gives back.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::config::plan::PipelinePlan;
use crate::librdkafka::{MessageBatch, RecordBatch};
use crate::model::{Halt, PartitionId, Report};
use crate::telemetry::handles::Handles;

use super::view::SourceView;

/// What the source of a pipeline is given.
pub struct SourceContext<M = MessageBatch> {
    /// The pipeline's plan.
    pub plan: Arc<PipelinePlan>,
    /// What all threads of the pipeline share.
    pub pipeline: Arc<Handles>,
    /// From workers and sink.
    pub reports: flume::Receiver<Report>,
    /// To the workers.
    pub batches: flume::Sender<RecordBatch<M>>,
    /// Lowest sequence number the sink's intake has not taken.
    pub released: Arc<AtomicU64>,
    /// Places of the sink's ring.
    pub ring: u64,
    /// What others may see of the books.
    pub view: Arc<SourceView>,
    /// Whether the sink still has anything of these partitions in flight.
    pub in_flight: Arc<dyn InFlight>,
    /// Where a bounded run stops.
    pub until: Option<Until>,
    /// Read by assignment, without joining the group; commit nothing.
    pub dry_run: bool,
}

/// Where a bounded run stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// At each partition's last stable offset, pinned when it is first assigned.
    End,
    /// At the first record whose timestamp is not before this; at the end where there is none.
    Time {
        /// Milliseconds since the epoch.
        unix_ms: i64,
    },
}

/// What a revoke asks of the sink. A sink answers in one of two ways: one whose count of what is in flight can be read
/// at any time says so at once ([`Self::is_quiet`]); one whose client alone knows is asked, and reports it.
pub trait InFlight: Send + Sync {
    /// Asks a sink that cannot say it at once for a [`Report::Quiet`] when nothing of the partition's fenced epochs is
    /// on its way to the servers any more.
    fn ask(&self, slot: PartitionId);
    /// Whether nothing is; a sink that is to be asked always answers no.
    fn is_quiet(&self, slot: PartitionId) -> bool;
    /// Gives up what is on its way as far as that is possible (a producer's queue).
    fn purge(&self);
}

/// How the source ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceEnd {
    /// Why it halted, if it did.
    pub halt: Option<Halt>,
    /// Records left unresolved, to be read again.
    pub left_open: u64,
    /// Whether the last commit was acknowledged.
    pub committed: bool,
}
