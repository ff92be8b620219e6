//! How a partition becomes ours: where it begins, and what is said about that.

use crate::model::{Epoch, Position, TopicPartition};
use crate::mutants::{self, Mutant};

use super::client::Client;
use super::control::Source;
use super::partition::Partition;
use super::pauses::PauseReason;
use super::start::{StartFacts, beginning};

impl<C: Client> Source<C> {
    /// The client was asked to read all partitions otherwise: a rebalance stops and starts them.
    pub(super) fn all_changed(&mut self) {
        let now = self.consumer.now();
        self.partitions.values_mut().for_each(|partition| partition.rebalanced(now));
    }

    pub(super) fn take_partition(&mut self, name: &TopicPartition, known: StartFacts) {
        let Some(slot) = self.cx.pipeline.table.slot(name) else {
            tracing::error!(pipeline = %self.cx.plan.name, partition = %name, "partition table full: restart the process");
            return;
        };
        let beginning = beginning(known, self.cx.plan.source.start);
        let epoch = Epoch::fresh();
        self.ledger.assign(slot, epoch, beginning.position);
        if let Some(Some(committed)) = known.committed
            && beginning.position == Some(committed)
            && !self.resets.contains(name)
        {
            self.ledger.is_committed_at(slot, committed);
        }
        if beginning.truncated && !mutants::on(Mutant::TruncatedStartForgotten) {
            // Where the low end is unknown, anything that is not above it will do.
            self.resets.restarted(name, beginning.position.unwrap_or(Position(0)), self.commits.is_waiting());
        }
        self.report_beginning(name, known, beginning.gap, beginning.truncated);
        self.cx.pipeline.table.set_current(slot, epoch);
        let all: Vec<_> = [(self.holding, PauseReason::Hold), (self.probing, PauseReason::Probe)]
            .into_iter()
            .filter_map(|(on, reason)| on.then_some(reason))
            .collect();
        if let (Some(until), Some(end)) = (&mut self.until, known.since.flatten().or(known.end)) {
            until.pin(slot, end, beginning.position.max(known.low));
        }
        let is_known = beginning.position.is_some();
        let partition = Partition::assigned(name.clone(), is_known, known.end, &all, self.consumer.now());
        self.partitions.insert(slot, partition);
    }

    fn report_beginning(&self, name: &TopicPartition, known: StartFacts, gap: u64, truncated: bool) {
        let committed = known.committed.flatten().map_or(-1, |position| position.0);
        if gap > 0 {
            self.cx.pipeline.metrics.gap_records.add(gap);
            tracing::error!(pipeline = %self.cx.plan.name, partition = %name, committed,
                "retention removed up to {gap} records before they were read: raise the topic's retention");
        }
        if truncated {
            tracing::error!(pipeline = %self.cx.plan.name, partition = %name, committed,
                "the log ends before the committed position: truncated or recreated; reading it from its beginning");
        }
    }
}
