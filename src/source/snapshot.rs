//! What the simulation may see of a source: a copy. Tests only.

use std::time::Instant;

use crate::model::{Conservation, Halt, PartitionId, Position, TopicPartition};
use crate::telemetry::health::Component;

use super::client::Client;
use super::control::Source;
use super::partition::Partition;

/// A copy of what must hold after every turn.
pub struct Snapshot {
    /// The sums since start.
    pub tally: Conservation,
    /// Why the source ends, if it does.
    pub halt: Option<Halt>,
    /// Since when the answer to a commit is waited for.
    pub commit_unanswered_since: Option<Instant>,
    /// The partitions that are ours.
    pub partitions: Vec<PartitionView>,
}

/// A copy of what is known of a partition.
pub struct PartitionView {
    /// Its name.
    pub name: TopicPartition,
    /// Everything below is resolved.
    pub position: Option<Position>,
    /// The lowest offset it may still deliver.
    pub expected: Option<Position>,
    /// Records between the first unresolved and the last read.
    pub span: u64,
    /// Records of it are held.
    pub is_held: bool,
    /// Reading it broke off.
    pub is_damaged: bool,
    /// Where a bounded run ends.
    pub mark: Option<Position>,
}

impl<C: Client> Source<C> {
    /// A copy of the source's state.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let view = |(slot, partition): (&PartitionId, &Partition)| PartitionView {
            name: partition.name.clone(),
            position: self.ledger.position(*slot),
            expected: self.ledger.expected(*slot),
            span: self.ledger.span(*slot),
            is_held: self.hold.holds(*slot),
            is_damaged: partition.damage.is_some(),
            mark: self.until.as_ref().and_then(|until| until.mark(*slot)),
        };
        Snapshot {
            tally: self.ledger.tally(),
            halt: self.halt.clone(),
            commit_unanswered_since: self.commits.unanswered_since(),
            partitions: self.partitions.iter().map(view).collect(),
        }
    }

    /// Whether something is said of this component.
    pub(crate) fn has_fault(&self, component: Component) -> bool {
        self.cx.pipeline.health.faults().into_iter().any(|(one, _)| one == component)
    }

    /// All that is known of partitions, for a test that failed.
    pub(crate) fn describe(&self) -> String {
        format!("{:?}; {:?}", self.ledger, self.partitions)
    }
}
