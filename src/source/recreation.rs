//! Topics that are deleted and made again, and logs that are truncated: how the loop notices, and what it does.
//!
//! Three things tell:
//! - The topic has another id ([`TopicIds`]). The ids are asked for every few seconds, and at once where a partition
//!   went back or its topic was unknown for a while; seeks wait for that answer.
//! - A record came below the expected one, and the log ends below the position ([`TruncationCheck`]).
//! - The log ends below the committed position when a partition is assigned ([`super::start::beginning`]).
//!
//! After the first two, `read_anew` takes a position of ours back, as nothing else does; after the last, reading begins
//! lower than what is committed. The group goes on holding the higher position until a commit of the lower one is
//! stored ([`ResetPositions`]). What decides here is given the time and touches nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::librdkafka::{OffsetKind, TopicId, TopicsAnswer};
use crate::model::{Epoch, PartitionId, Position, RewindCause, TopicPartition};
use crate::mutants::{self, Mutant};

use super::client::Client;
use super::control::Source;
use super::partition::Partition;
use super::questions::{ANSWER_WITHIN_MS, Purpose};

/// How often an end below a position is asked about before the log is taken for another one: a follower that has just
/// become leader may lag for a moment.
pub(super) const CONFIRMATIONS: u32 = 3;
/// Between two such questions.
pub(super) const CONFIRM_AFTER: Duration = Duration::from_millis(300);
/// Between two questions for ids.
const EVERY: Duration = Duration::from_secs(5);
/// Between two questions while something looks as if a topic was made again.
const SOON: Duration = Duration::from_millis(250);
/// How long seeks wait for an answer then.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);

/// The ids of the topics we have partitions of.
///
/// The offsets do not tell: in a topic made again and filled beyond the old position the client goes on at that
/// position without an error, and everything before it would never be read.
#[derive(Debug, Default)]
pub struct TopicIds {
    known: BTreeMap<Arc<str>, TopicId>,
    asked: Option<Instant>,
    is_suspect: bool,
    /// A question was asked out of suspicion, and is not answered.
    doubted: Option<Instant>,
}

impl TopicIds {
    /// The assignment changed: ids of topics that are gone are forgotten, and the next question is due at once.
    pub fn assigned(&mut self, topics: &BTreeSet<Arc<str>>) {
        self.known.retain(|topic, _| topics.contains(topic));
        self.asked = None;
    }

    /// A partition went back, or its topic was gone for a while: the next question is due at once, and seeks wait for
    /// the answer. The ends do not tell: a topic made again is soon filled beyond our position, and what lies before it
    /// would be skipped, and committed.
    pub fn suspect(&mut self) {
        self.is_suspect = true;
    }

    /// Whether an answer is awaited that may move every position.
    #[must_use]
    pub fn is_doubtful(&self, now: Instant) -> bool {
        self.is_suspect || self.doubted.is_some_and(|at| now < at + ANSWERED_WITHIN)
    }

    /// A question was answered, if only by an error.
    pub fn answered(&mut self) {
        self.doubted = None;
    }

    /// Whether a question is due; then it counts as asked.
    pub fn take_due(&mut self, now: Instant) -> bool {
        let wait = if self.is_suspect { SOON } else { EVERY };
        let due = self.asked.is_none_or(|at| at + wait <= now);
        if due {
            self.asked = Some(now);
            self.doubted = std::mem::take(&mut self.is_suspect).then_some(now).or(self.doubted);
        }
        due
    }

    /// A topic's id was told. Whether it is another topic than the one we knew by this name.
    pub fn told(&mut self, topic: &Arc<str>, id: TopicId) -> bool {
        self.known.insert(topic.clone(), id).is_some_and(|before| before != id)
    }
}

/// A question to the brokers, with the answers so far: where does a log begin and end, and is it the one that was read?
#[derive(Debug, Default, PartialEq, Eq)]
pub struct TruncationCheck {
    low: Option<Position>,
    end: Option<Position>,
    /// Rounds of answers that put the end below the position.
    rounds: u32,
    /// When to ask once more.
    again: Option<Instant>,
}

/// What the brokers' answers say of a log.
#[derive(Debug, PartialEq, Eq)]
pub enum LogFate {
    /// Nothing: an answer is missing, or there is no position to compare with.
    Unknown,
    /// It still holds what was read.
    Same,
    /// It may be another one: to be asked once more.
    Doubtful(TruncationCheck),
    /// It is another one.
    Anew {
        /// Where it begins.
        low: Position,
        /// Where it ends.
        end: Position,
    },
}

impl TruncationCheck {
    /// One answer; `None` where it was an error.
    pub fn told(&mut self, kind: OffsetKind, offset: Option<Position>) {
        match kind {
            OffsetKind::Earliest => self.low = offset,
            OffsetKind::Latest | OffsetKind::Committed | OffsetKind::Since { .. } => self.end = offset,
        }
    }

    /// Whether it is to be asked once more, now or later.
    #[must_use]
    pub fn is_doubtful(&self) -> bool {
        self.again.is_some()
    }

    /// Whether it is to be asked once more now; then it counts as asked.
    pub fn take_due(&mut self, now: Instant) -> bool {
        self.again.take_if(|at| *at <= now).is_some()
    }

    /// What the answers say. `position` is the lowest unresolved offset; `is_anew`: the topic's id says that the log is
    /// another one, or the topic was gone meanwhile. Then the ends need no confirmation: a log made again is soon
    /// longer than the old one.
    #[must_use]
    pub fn judge(self, position: Option<Position>, is_anew: bool, now: Instant) -> LogFate {
        let (Some(position), Some(low), Some(end)) = (position, self.low, self.end) else { return LogFate::Unknown };
        if end >= position && !is_anew {
            return LogFate::Same;
        }
        let rounds = self.rounds + 1;
        if !is_anew && rounds < CONFIRMATIONS {
            return LogFate::Doubtful(Self { low: None, end: None, rounds, again: Some(now + CONFIRM_AFTER) });
        }
        LogFate::Anew { low, end }
    }
}

/// Positions that went back because their log was another one, until the group has stored them. At most one for each
/// partition that was ever ours.
///
/// The group still holds the position in the old log. A revoke may come before the lower one is stored; given the
/// partition again, the source would go on behind records of the new log that were never read.
#[derive(Debug, Default)]
pub struct ResetPositions {
    positions: BTreeMap<TopicPartition, ResetPosition>,
}

#[derive(Debug)]
struct ResetPosition {
    at: Position,
    /// A commit of the old position is still to be answered.
    answer_is_old: bool,
}

impl ResetPositions {
    /// A partition is read from here, whatever is committed. `in_flight`: a commit is on its way.
    pub fn restarted(&mut self, name: &TopicPartition, at: Position, in_flight: bool) {
        self.positions.insert(name.clone(), ResetPosition { at, answer_is_old: in_flight });
    }

    /// A commit of the partition was stored.
    pub fn stored(&mut self, name: &TopicPartition) {
        let Some(reset) = self.positions.get_mut(name) else { return };
        if !std::mem::take(&mut reset.answer_is_old) {
            self.positions.remove(name);
        }
    }

    /// What counts as committed, where the group holds `committed`.
    #[must_use]
    pub fn instead_of(&self, name: &TopicPartition, committed: Option<Position>) -> Option<Position> {
        match self.positions.get(name) {
            Some(_) if mutants::on(Mutant::LoweredPositionForgotten) => committed,
            Some(reset) => Some(committed.map_or(reset.at, |committed| committed.min(reset.at))),
            None => committed,
        }
    }

    /// Whether the group holds something else than what counts.
    #[must_use]
    pub fn contains(&self, name: &TopicPartition) -> bool {
        self.positions.contains_key(name)
    }
}

impl<C: Client> Source<C> {
    /// The topics of the partitions that are ours.
    pub(super) fn assigned_topics(&self) -> BTreeSet<Arc<str>> {
        self.partitions.values().map(|partition| partition.name.topic.clone()).collect()
    }

    /// Asks for the ids when that is due.
    pub(super) fn ask_topics(&mut self, now: Instant) {
        if !self.rebalance.is_stable() || self.partitions.is_empty() || !self.topic_ids.take_due(now) {
            return;
        }
        let topics: Vec<_> = self.assigned_topics().into_iter().collect();
        self.consumer.ask_topics(&topics, ANSWER_WITHIN_MS);
    }

    /// A topic with another id was deleted and made again: none of our positions in it mean anything.
    pub(super) fn topics_answered(&mut self, answer: &TopicsAnswer, now: Instant) {
        self.topic_ids.answered();
        for (topic, id) in &answer.topics {
            if !self.topic_ids.told(topic, *id) {
                continue;
            }
            let slots: Vec<_> =
                self.partitions.iter().filter(|(_, one)| one.name.topic == *topic).map(|(slot, _)| *slot).collect();
            for slot in slots {
                // What could not be read went with the topic.
                self.forget_damage(slot);
                self.rewind(slot, RewindCause::Redelivered, now);
                let Some(partition) = self.partitions.get_mut(&slot) else { continue };
                partition.made_again();
                // What was asked before may have been answered by the topic that is gone.
                if !mutants::on(Mutant::OldLogsEndsBelieved) {
                    partition.truncation = None;
                    self.questions.forget(slot);
                }
            }
        }
    }

    /// A topic is unknown to the brokers, or all are: it may come back as another one.
    pub(super) fn topic_is_gone(&mut self, partition: Option<&TopicPartition>) {
        let is_gone = |one: &&mut Partition| partition.is_none_or(|gone| gone.topic == one.name.topic);
        self.partitions.values_mut().filter(is_gone).for_each(Partition::topic_is_gone);
        self.topic_ids.suspect();
    }

    /// Asks where a log begins and ends; [`Self::truncation_answered`] takes both answers.
    pub(super) fn ask_truncation(&mut self, slot: PartitionId) {
        let Some(name) = self.cx.pipeline.table.name(slot).cloned() else { return };
        for kind in [OffsetKind::Earliest, OffsetKind::Latest] {
            let request = self.questions.ask(Purpose::Truncation { slot });
            self.consumer.ask_ends(kind, std::slice::from_ref(&name), ANSWER_WITHIN_MS, request);
        }
    }

    /// Takes one of the two answers. A log that must be asked about once more is asked when its partition's seek is
    /// looked at next ([`Partition::seek_due`]).
    pub(super) fn truncation_answered(
        &mut self,
        slot: PartitionId,
        kind: OffsetKind,
        offset: Option<Position>,
        now: Instant,
    ) {
        let Some(partition) = self.partitions.get_mut(&slot) else { return };
        partition.truncation.get_or_insert_default().told(kind, offset);
        if self.questions.is_asked(slot) {
            return;
        }
        let Some(check) = partition.truncation.take() else { return };
        match check.judge(self.ledger.position(slot), partition.may_be_made_again(), now) {
            LogFate::Unknown => {}
            LogFate::Same => partition.log_is_the_same(),
            LogFate::Doubtful(check) => partition.truncation = Some(check),
            LogFate::Anew { low, end } => self.read_anew(slot, low, end, now),
        }
    }

    /// The log is another one: the partition is read from its beginning, whatever is committed.
    fn read_anew(&mut self, slot: PartitionId, low: Position, end: Position, now: Instant) {
        let Some(partition) = self.partitions.get_mut(&slot) else { return };
        partition.starts_anew(now);
        let position = self.ledger.position(slot).map_or(-1, |position| position.0);
        tracing::error!(pipeline = %self.cx.plan.name, partition = %partition.name, position, end = end.0,
            low = low.0, "the log was truncated or the topic recreated: reading it from its beginning");
        self.resets.restarted(&partition.name, low, self.commits.is_waiting());
        let epoch = Epoch::fresh();
        self.cx.pipeline.table.set_current(slot, epoch);
        self.hold.destroy(slot);
        let records = self.ledger.restart(slot, epoch, low);
        self.forget_damage(slot);
        self.cx.pipeline.metrics.rewound.add(records);
        self.cx.pipeline.metrics.rewind(RewindCause::Truncated).add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_id_is_another_topic_until_we_gave_the_topic_up() {
        let (mut ids, topic): (_, Arc<str>) = (TopicIds::default(), "t".into());
        assert!(!ids.told(&topic, TopicId::test(1)), "the first one heard of");
        assert!(!ids.told(&topic, TopicId::test(1)));
        assert!(ids.told(&topic, TopicId::test(2)));
        assert!(!ids.told(&topic, TopicId::test(2)), "told once");
        ids.assigned(&BTreeSet::from([topic.clone()]));
        assert!(ids.told(&topic, TopicId::test(3)), "still ours");
        ids.assigned(&BTreeSet::new());
        assert!(!ids.told(&topic, TopicId::test(4)), "others may have read it meanwhile");
    }

    #[test]
    fn asked_at_once_after_an_assignment_and_then_now_and_then() {
        let (mut ids, now) = (TopicIds::default(), Instant::now());
        assert!(ids.take_due(now));
        assert!(!ids.take_due(now));
        assert!(ids.take_due(now + EVERY));
        ids.assigned(&BTreeSet::new());
        assert!(ids.take_due(now));
    }

    #[test]
    fn asked_soon_after_something_looks_like_it() {
        let (mut ids, now) = (TopicIds::default(), Instant::now());
        assert!(ids.take_due(now));
        assert!(!ids.is_doubtful(now), "asked as always");
        ids.suspect();
        assert!(!ids.take_due(now), "an answer may be on its way");
        ids.answered();
        assert!(ids.is_doubtful(now), "that was the answer to an older question");
        assert!(ids.take_due(now + SOON));
        assert!(!ids.take_due(now + 2 * SOON), "suspected once, asked once");
        assert!(ids.is_doubtful(now + SOON) && !ids.is_doubtful(now + SOON + ANSWERED_WITHIN), "bounded");
        ids.answered();
        assert!(!ids.is_doubtful(now + SOON));
        assert!(ids.take_due(now + SOON + EVERY));
    }

    #[test]
    fn a_log_is_another_one_when_its_end_lies_below_the_position_three_times() {
        let now = Instant::now();
        let check = |rounds, low: i64, end: i64| TruncationCheck {
            low: Some(Position(low)),
            end: Some(Position(end)),
            rounds,
            again: None,
        };
        let position = Some(Position(10));
        assert_eq!(check(0, 0, 10).judge(position, false, now), LogFate::Same, "all of it was read");
        let again = Some(now + CONFIRM_AFTER);
        for rounds in [0, 1] {
            let doubt = TruncationCheck { rounds: rounds + 1, again, ..TruncationCheck::default() };
            assert_eq!(check(rounds, 0, 9).judge(position, false, now), LogFate::Doubtful(doubt), "a leader may lag");
        }
        let anew = LogFate::Anew { low: Position(2), end: Position(9) };
        assert_eq!(check(2, 2, 9).judge(position, false, now), anew);
        assert_eq!(check(0, 2, 9).judge(position, true, now), anew, "the id says so");
        let longer = LogFate::Anew { low: Position(0), end: Position(99) };
        assert_eq!(check(0, 0, 99).judge(position, true, now), longer, "filled beyond the position");
        assert_eq!(check(0, 0, 9).judge(None, true, now), LogFate::Unknown, "nothing was read");
        let mut unanswered = check(2, 0, 9);
        unanswered.told(OffsetKind::Latest, None);
        assert_eq!(unanswered.judge(position, true, now), LogFate::Unknown);
        let mut doubt = TruncationCheck { rounds: 1, again, ..TruncationCheck::default() };
        assert!(doubt.is_doubtful() && !doubt.take_due(now) && doubt.take_due(now + CONFIRM_AFTER));
        assert!(!doubt.is_doubtful(), "asked");
    }

    #[test]
    fn a_lowered_position_counts_until_one_of_the_new_log_is_stored() {
        let name = |partition| TopicPartition { topic: "t".into(), partition };
        let p = |at| Some(Position(at));
        let mut lowered = ResetPositions::default();
        assert_eq!(lowered.instead_of(&name(0), p(9)), p(9));
        lowered.restarted(&name(0), Position(2), true);
        let of = |lowered: &ResetPositions| [p(9), p(1), None].map(|committed| lowered.instead_of(&name(0), committed));
        assert_eq!(of(&lowered), [p(2), p(1), p(2)], "also with `start: latest`");
        assert_eq!(lowered.instead_of(&name(1), p(9)), p(9));
        lowered.stored(&name(0));
        assert!(lowered.contains(&name(0)), "that was the old position");
        lowered.stored(&name(0));
        assert_eq!((of(&lowered), lowered.contains(&name(0))), ([p(9), p(1), None], false));
        lowered.restarted(&name(0), Position(0), false);
        lowered.stored(&name(0));
        assert!(!lowered.contains(&name(0)));
    }
}
