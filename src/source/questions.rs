//! Questions to the brokers that wait for an answer: where to start, whether a jump is a gap, whether a log is another one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::librdkafka::{OffsetKind, OffsetsAnswer, Reply, TopicsAnswer};
use crate::model::{Epoch, PartitionId, Position, RewindCause};
use crate::mutants::{self, Mutant};

use super::client::Client;
use super::commit::{CommitFate, Sent};
use super::control::Source;

/// Bound of each question; librdkafka answers it itself when the brokers do not.
pub(super) const ANSWER_WITHIN_MS: i32 = 5000;

/// How often an end below our position is asked about before the log is taken for another one: a follower that has just
/// become leader may lag for a moment.
const CONFIRMATIONS: u32 = 3;
/// Between two such questions.
const CONFIRM_AFTER: Duration = Duration::from_millis(300);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
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
    /// Ends learnt so far for a truncation question.
    doubts: BTreeMap<PartitionId, Doubt>,
}

/// What is known of a partition whose log may be another one.
#[derive(Debug, Default)]
struct Doubt {
    low: Option<Position>,
    end: Option<Position>,
    /// Answers below our position so far.
    rounds: u32,
    /// When to ask once more.
    again: Option<Instant>,
}

impl Questions {
    fn ask(&mut self, purpose: Purpose) -> u64 {
        self.next += 1;
        self.open.insert(self.next, purpose);
        self.next
    }

    /// A number for a question of the assignment in progress.
    pub(super) fn for_assign(&mut self) -> u64 {
        self.ask(Purpose::Assign)
    }

    /// Whether a seek of this partition must wait for an answer.
    pub(super) fn concerns(&self, slot: PartitionId) -> bool {
        self.is_asked(slot) || self.doubts.get(&slot).is_some_and(|doubt| doubt.again.is_some())
    }

    fn is_asked(&self, slot: PartitionId) -> bool {
        self.open.values().any(|purpose| *purpose == Purpose::Truncation { slot })
    }

    /// The partition is not ours any more, or it is another log: answers are about what is over.
    pub(super) fn forget(&mut self, slot: PartitionId) {
        self.doubts.remove(&slot);
        self.open.retain(|_, purpose| match purpose {
            Purpose::Assign => true,
            Purpose::Gap { slot: asked, .. } | Purpose::Truncation { slot: asked } => *asked != slot,
        });
    }
}

impl<C: Client> Source<C> {
    pub(super) fn ask_gap(&mut self, slot: PartitionId, expected: Position, first: Position, _now: Instant) {
        let Some(name) = self.cx.table.name(slot).cloned() else { return };
        let request = self.questions.ask(Purpose::Gap { slot, expected, first });
        self.consumer.ask_ends(OffsetKind::Earliest, &[name], ANSWER_WITHIN_MS, request);
    }

    pub(super) fn ask_truncation(&mut self, slot: PartitionId, _now: Instant) {
        let Some(name) = self.cx.table.name(slot).cloned() else { return };
        for kind in [OffsetKind::Earliest, OffsetKind::Latest] {
            let request = self.questions.ask(Purpose::Truncation { slot });
            self.consumer.ask_ends(kind, std::slice::from_ref(&name), ANSWER_WITHIN_MS, request);
        }
    }

    /// Asks once more when a doubt is to be confirmed.
    pub(super) fn ask_truncation_again(&mut self, slot: PartitionId, now: Instant) {
        let due = |doubt: &mut Doubt| doubt.again.take_if(|at| *at <= now).is_some();
        if self.questions.doubts.get_mut(&slot).is_some_and(due) {
            self.ask_truncation(slot, now);
        }
    }

    pub(super) fn ask_topics(&mut self, now: Instant) {
        if !self.rebalance.is_stable() || self.assigned.is_empty() || !self.topic_ids.take_due(now) {
            return;
        }
        let topics: Vec<_> = self.assigned_topics().into_iter().collect();
        self.consumer.ask_topics(&topics, ANSWER_WITHIN_MS);
    }

    pub(super) fn assigned_topics(&self) -> BTreeSet<Arc<str>> {
        self.assigned.values().map(|assigned| assigned.name.topic.clone()).collect()
    }

    /// A topic with another id was deleted and made again: none of our positions in it mean anything.
    fn topics_answered(&mut self, answer: &TopicsAnswer, now: Instant) {
        self.topic_ids.answered();
        for (topic, id) in &answer.topics {
            let deaf = mutants::on(Mutant::RecreatedTopicUnnoticed) || mutants::on(Mutant::TruncationUnnoticed);
            if !self.topic_ids.told(topic, *id) || deaf {
                continue;
            }
            let slots: Vec<_> =
                self.assigned.iter().filter(|(_, one)| one.name.topic == *topic).map(|(slot, _)| *slot).collect();
            for slot in slots {
                if let Some(assigned) = self.assigned.get_mut(&slot) {
                    assigned.recreated = true;
                    assigned.begins_anew();
                }
                // What was asked before may have been answered by the topic that is gone.
                if !mutants::on(Mutant::OldLogsEndsBelieved) {
                    self.questions.forget(slot);
                }
                // What could not be read went with the topic.
                self.forget_damage(slot);
                self.rewind(slot, RewindCause::Redelivered, now);
            }
        }
    }

    /// Takes every answer that has arrived.
    pub(super) fn take_replies(&mut self, now: Instant) {
        while let Some(reply) = self.consumer.reply() {
            match reply {
                Reply::Commit(answer) => {
                    let fates = self.commits.answered(&answer, now);
                    self.commit_answered(&fates);
                }
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
                let doubt = self.questions.doubts.entry(slot).or_default();
                match answer.kind {
                    OffsetKind::Earliest => doubt.low = offset,
                    OffsetKind::Latest | OffsetKind::Committed | OffsetKind::Since { .. } => doubt.end = offset,
                }
                if !self.questions.is_asked(slot)
                    && let Some(doubt) = self.questions.doubts.remove(&slot)
                {
                    self.judge_truncation(slot, doubt, now);
                }
            }
            None => {}
        }
    }

    /// A jump is a gap only where retention took the records; compaction and transaction markers jump too.
    pub(super) fn judge_gap(&self, slot: PartitionId, expected: Position, first: Position, low: Option<Position>) {
        let Some(name) = self.cx.table.name(slot) else { return };
        if low.is_some_and(|low| low > expected) {
            let lost = low.map_or(first, |low| low.min(first)).0.saturating_sub(expected.0) as u64;
            self.cx.metrics.gap_records.add(lost);
            tracing::error!(pipeline = %self.cx.plan.name, partition = %name, expected = expected.0, first = first.0,
                "retention removed up to {lost} records before they were read: raise the topic's retention");
        }
    }

    fn judge_truncation(&mut self, slot: PartitionId, doubt: Doubt, now: Instant) {
        let Some(assigned) = self.assigned.get_mut(&slot) else { return };
        let (Some(position), Some(low), Some(end)) = (self.ledger.position(slot), doubt.low, doubt.end) else { return };
        if end >= position && !assigned.was_gone && !assigned.recreated {
            return assigned.log_is_the_same();
        }
        let rounds = doubt.rounds + 1;
        let known_anew = assigned.was_gone || assigned.recreated;
        if !known_anew && rounds < CONFIRMATIONS {
            let unsure = Doubt { low: None, end: None, rounds, again: Some(now + CONFIRM_AFTER) };
            self.questions.doubts.insert(slot, unsure);
            return;
        }
        (assigned.was_gone, assigned.recreated) = (false, false);
        assigned.begins_anew();
        tracing::error!(pipeline = %self.cx.plan.name, partition = %assigned.name, position = position.0, end = end.0,
            low = low.0, "the log was truncated or the topic recreated: reading it from its beginning");
        let in_flight = self.commits.is_waiting();
        self.lowered.restarted(&assigned.name, low, in_flight);
        let epoch = Epoch::fresh();
        self.cx.table.set_current(slot, epoch);
        self.hold.destroy(slot);
        let records = self.ledger.restart(slot, epoch, low);
        self.forget_damage(slot);
        self.cx.metrics.rewound.add(records);
        self.cx.metrics.rewind(RewindCause::Truncated).add(1);
        self.rewinds.again(slot, now, Duration::ZERO);
    }

    fn commit_answered(&mut self, fates: &[(Sent, CommitFate)]) {
        let mut failed = None;
        for (sent, fate) in fates {
            match fate {
                CommitFate::Stored => self.lowered.stored(&sent.name),
                CommitFate::Again(code) | CommitFate::NotOurs(code) => {
                    failed = Some(code);
                    self.ledger.not_committed(sent.slot);
                }
            }
        }
        self.last_commit_error = failed.copied();
        match failed {
            None if fates.is_empty() => {}
            None => {
                self.credentials.accepted();
                self.cx.metrics.commits.add(1);
            }
            Some(code) => {
                self.cx.metrics.commit_failures.add(1);
                tracing::debug!(pipeline = %self.cx.plan.name, %code, "commit failed; positions are kept and sent again");
            }
        }
    }

    /// Sends what is resolved and not asked for yet, when the interval and the one in flight allow it.
    pub(super) fn commit_due(&mut self, now: Instant, urgent: bool) {
        if self.cx.dry_run || !self.commits.may_send(now, urgent) {
            return;
        }
        let due: Vec<Sent> = self
            .ledger
            .committable()
            .filter_map(|(slot, position)| {
                let name = self.assigned.get(&slot)?.name.clone();
                Some(Sent { slot, name, position })
            })
            .collect();
        if due.is_empty() {
            return;
        }
        let positions: Vec<_> = due.iter().map(|sent| (sent.name.clone(), sent.position.0)).collect();
        due.iter().for_each(|sent| self.ledger.asked(sent.slot, sent.position));
        let request = self.commits.start(due, now);
        if self.consumer.commit(&positions, request).is_err() {
            let again = self.commits.failed(now);
            again.iter().for_each(|sent| self.ledger.not_committed(sent.slot));
        }
    }
}

/// The offset of a one-partition answer.
fn one_offset(answer: &OffsetsAnswer) -> Option<Position> {
    let partitions = answer.result.as_ref().ok()?;
    partitions.first().filter(|p| p.error.is_none() && p.offset >= 0).map(|p| Position(p.offset))
}
