//! Questions to the brokers that wait for an answer: where to start, whether a jump is a gap, whether a log is another
//! one.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::librdkafka::{OffsetKind, OffsetsAnswer, Reply};
use crate::model::{PartitionId, Position};

use super::client::Client;
use super::control::Source;

/// Bound of each question; librdkafka answers it itself when the brokers do not.
pub(super) const ANSWER_WITHIN_MS: i32 = 5000;

/// What a question is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Belongs to the assignment in progress.
    Assign,
    /// A record came above the expected position.
    Gap { slot: PartitionId, expected: Position, first: Position },
    /// A record came below the expected position: is the log another one?
    Truncation { slot: PartitionId },
}

/// Open questions by request number.
#[derive(Debug, Default)]
pub struct Questions {
    next: u64,
    open: BTreeMap<u64, Purpose>,
}

impl Questions {
    /// A number for a question.
    pub(super) fn ask(&mut self, purpose: Purpose) -> u64 {
        self.next += 1;
        self.open.insert(self.next, purpose);
        self.next
    }

    /// Whether an answer about its truncation is still to come.
    pub(super) fn is_asked(&self, slot: PartitionId) -> bool {
        self.open.values().any(|purpose| *purpose == Purpose::Truncation { slot })
    }

    /// The partition is not ours any more, or it is another log: answers are about what is over.
    pub(super) fn forget(&mut self, slot: PartitionId) {
        self.open.retain(|_, purpose| match purpose {
            Purpose::Assign => true,
            Purpose::Gap { slot: asked, .. } | Purpose::Truncation { slot: asked } => *asked != slot,
        });
    }
}

impl<C: Client> Source<C> {
    pub(super) fn ask_gap(&mut self, slot: PartitionId, expected: Position, first: Position) {
        let Some(name) = self.cx.pipeline.table.name(slot).cloned() else { return };
        let request = self.questions.ask(Purpose::Gap { slot, expected, first });
        self.consumer.ask_ends(OffsetKind::Earliest, &[name], ANSWER_WITHIN_MS, request);
    }

    /// Takes every answer that has arrived.
    pub(super) fn take_replies(&mut self, now: Instant) {
        while let Some(reply) = self.consumer.reply() {
            match reply {
                Reply::Commit(answer) => self.commit_answered(&answer, now),
                Reply::Offsets(answer) => self.offsets_answered(answer, now),
                Reply::Topics(answer) => self.topics_answered(&answer, now),
            }
        }
    }

    fn offsets_answered(&mut self, answer: OffsetsAnswer, now: Instant) {
        match self.questions.open.remove(&answer.request) {
            Some(Purpose::Assign) => self.start_answered(answer),
            Some(Purpose::Gap { slot, expected, first }) => {
                let low = one_offset(&answer);
                self.judge_gap(slot, expected, first, low);
            }
            Some(Purpose::Truncation { slot }) => {
                let offset = one_offset(&answer);
                self.truncation_answered(slot, answer.kind, offset, now);
            }
            None => {}
        }
    }

    /// A jump is a gap only where retention took the records; compaction and transaction markers jump too.
    pub(super) fn judge_gap(&self, slot: PartitionId, expected: Position, first: Position, low: Option<Position>) {
        let Some(name) = self.cx.pipeline.table.name(slot) else { return };
        if low.is_some_and(|low| low > expected) {
            let lost = low.map_or(first, |low| low.min(first)).0.saturating_sub(expected.0) as u64;
            self.cx.pipeline.metrics.gap_records.add(lost);
            tracing::error!(pipeline = %self.cx.plan.name, partition = %name, expected = expected.0, first = first.0,
                "retention removed up to {lost} records before they were read: raise the topic's retention");
        }
    }
}

/// The offset of a one-partition answer.
fn one_offset(answer: &OffsetsAnswer) -> Option<Position> {
    let partitions = answer.result.as_ref().ok()?;
    partitions.first().filter(|p| p.error.is_none() && p.offset >= 0).map(|p| Position(p.offset))
}
