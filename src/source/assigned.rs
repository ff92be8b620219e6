//! A partition that is ours: what the loop remembers of it, and how it becomes ours.

use std::time::{Duration, Instant};

use crate::model::{Epoch, Offset, Position, TopicPartition};
use crate::mutants::{self, Mutant};

use super::client::Client;
use super::control::Source;
use super::pauses::PauseReason;
use super::silence::Silence;
use super::start::{StartFacts, beginning};

/// What is known of a seek. Its first record may lie above the target because there is nothing between, or because the seek
/// was lost: then it is done again, until two in a row begin at the same record. One repetition would not do: where there
/// is nothing at the target, the first seek looks lost although it was not, and the second may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SeekProof {
    /// A record came at the target, or twice the same one above it.
    Given,
    /// No record has come yet.
    Awaited,
    /// This record came first, above the target; the seek is done again.
    Above(Offset),
}

impl SeekProof {
    /// The first record came, above the target: whether that is proof enough.
    pub(super) fn accepts(self, first: Offset) -> bool {
        match self {
            Self::Given => true,
            Self::Awaited => false,
            Self::Above(before) => first <= before,
        }
    }
}

/// A partition that is ours.
pub(crate) struct Assigned {
    pub(crate) name: TopicPartition,
    /// The topic was reported unknown since the last record: it may come back as another topic.
    pub(super) was_gone: bool,
    /// The topic has another id than before: its beginning is asked for until it is known, then read.
    pub(crate) recreated: bool,
    /// The last stable offset when the client last told it.
    pub(super) end: Option<Position>,
    /// A first record above this position (after an assign or rewind) may be a gap: ask.
    pub(super) check_gap: bool,
    /// Whether the last seek went where it should.
    pub(super) seek: SeekProof,
    /// A record was read since the last assign, rewind or seek: only then the client's own position may be trusted.
    pub(super) read_in_epoch: bool,
    /// Records of this epoch were destroyed unread and are not sought again: the client's position lies behind them.
    pub(super) destroyed: bool,
    /// Since when nothing comes although the log goes on.
    pub(super) silence: Silence,
    /// The last record that went back.
    pub(super) went_back: Option<OffsetRegression>,
    /// When the client was last asked to read it otherwise: an assignment, a seek, a pause, a resume, a rebalance.
    pub(super) changed_at: Instant,
}

/// How long statistics may still be of before a change. librdkafka's broker thread takes a new position over when it next
/// turns, which may be a second later (`rd_kafka_max_block_ms`), and statistics tell the old one until then.
const STATISTICS_SETTLE: Duration = Duration::from_secs(3);

/// So often the brokers must have said that a log still holds what was read, and the client have gone back to one offset from
/// another all the same, before the log is blamed: a client goes back once.
const LOG_IS_THE_SAME: u32 = 2;

/// A record that came in place of a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OffsetRegression {
    to: Offset,
    from: Position,
    /// How often it was said since that the log was neither truncated nor made again.
    denied: u32,
}

impl Assigned {
    /// Whether what statistics say of the client's reading is of after the last change.
    pub(super) fn is_settled(&self, now: Instant) -> bool {
        now >= self.changed_at + STATISTICS_SETTLE || mutants::on(Mutant::StaleStatisticsBelieved)
    }
}

impl Assigned {
    /// A record came at `to` where one at or behind `from` should. Returns whether the log itself must be at fault.
    pub(super) fn goes_back(&mut self, to: Offset, from: Position) -> bool {
        let same = self.went_back.filter(|before| (before.to, before.from) == (to, from));
        let went_back = same.unwrap_or(OffsetRegression { to, from, denied: 0 });
        self.went_back = Some(went_back);
        went_back.denied >= LOG_IS_THE_SAME
    }

    /// The log is another one than it was: what was seen in it says nothing of this one.
    pub(super) fn begins_anew(&mut self) {
        (self.went_back, self.silence) = (None, Silence::default());
    }

    /// The brokers say that the log still holds what was read.
    pub(super) fn log_is_the_same(&mut self) {
        if let Some(went_back) = &mut self.went_back {
            went_back.denied = went_back.denied.saturating_add(1);
        }
    }
}

impl<C: Client> Source<C> {
    /// The client was asked to read all partitions otherwise: a rebalance stops and starts them.
    pub(super) fn all_changed(&mut self) {
        let now = self.consumer.now();
        self.assigned.values_mut().for_each(|assigned| assigned.changed_at = now);
    }

    pub(super) fn take_partition(&mut self, name: &TopicPartition, known: StartFacts) {
        let Some(slot) = self.cx.table.slot(name) else {
            tracing::error!(pipeline = %self.cx.plan.name, partition = %name, "partition table full: restart the process");
            return;
        };
        let beginning = beginning(known, self.cx.plan.source.start);
        let epoch = Epoch::fresh();
        self.ledger.assign(slot, epoch, beginning.position);
        if let Some(Some(committed)) = known.committed
            && beginning.position == Some(committed)
            && !self.lowered.contains(name)
        {
            self.ledger.is_committed_at(slot, committed);
        }
        if beginning.truncated && !mutants::on(Mutant::TruncatedStartForgotten) {
            // Where the low end is unknown, anything that is not above it will do.
            self.lowered.restarted(name, beginning.position.unwrap_or(Position(0)), self.commits.is_waiting());
        }
        self.report_beginning(name, known, beginning.gap, beginning.truncated);
        self.cx.table.set_current(slot, epoch);
        let all: Vec<_> = [(self.holding, PauseReason::Hold), (self.probing, PauseReason::Probe)]
            .into_iter()
            .filter_map(|(on, reason)| on.then_some(reason))
            .collect();
        self.pauses.assign(slot, &all);
        if let (Some(until), Some(end)) = (&mut self.until, known.since.flatten().or(known.end)) {
            until.pin(slot, end, beginning.position.max(known.low));
        }
        let assigned = Assigned {
            name: name.clone(),
            was_gone: false,
            recreated: false,
            end: known.end,
            check_gap: beginning.position.is_some(),
            seek: SeekProof::Given,
            read_in_epoch: false,
            destroyed: false,
            silence: Silence::default(),
            went_back: None,
            changed_at: self.consumer.now(),
        };
        self.assigned.insert(slot, assigned);
    }

    fn report_beginning(&self, name: &TopicPartition, known: StartFacts, gap: u64, truncated: bool) {
        let committed = known.committed.flatten().map_or(-1, |position| position.0);
        if gap > 0 {
            self.cx.metrics.gap_records.add(gap);
            tracing::error!(pipeline = %self.cx.plan.name, partition = %name, committed,
                "retention removed up to {gap} records before they were read: raise the topic's retention");
        }
        if truncated {
            tracing::error!(pipeline = %self.cx.plan.name, partition = %name, committed,
                "the log ends before the committed position: truncated or recreated; reading it from its beginning");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_record_above_the_target_counts_only_when_it_comes_twice() {
        let first = Offset(7);
        assert!(!SeekProof::Awaited.accepts(first), "the seek may have been lost");
        assert!(SeekProof::Above(first).accepts(first), "there is nothing between");
        assert!(SeekProof::Above(Offset(9)).accepts(first), "the first one was lost, this one was not");
        assert!(!SeekProof::Above(Offset(6)).accepts(first), "one of them was lost");
        assert!(SeekProof::Given.accepts(first), "a gap in the middle of the log");
    }
}
