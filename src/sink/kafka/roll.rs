//! Which of the topics that records name are there, and what waits for those that are not. Pure.
//!
//! A name is asked for when a record brings it for the first time. The records of a topic that is missing wait apart,
//! in their order, while all others go on; a topic that appears is given them first. With `on_missing_topic: reject`
//! they are rejected once the topic has been missing for [`WAIT`], and what names it from then on at once, until nobody
//! has named it for [`FORGET`]. It is asked for all the time, so one that is made later is used.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::plan::OnMissingTopic;
use crate::librdkafka::ErrorCode;
use crate::model::{Backoff, Charge, Place, Prepared, Ticket};
use crate::mutants::{self, Mutant};

use super::KafkaItem;
use super::lot::Lot;
use super::verdict::TopicAnswer;

/// How long a topic may take to appear before records that name it are rejected: brokers hear of a new topic late, and
/// one that is made by its first use takes a moment.
pub(super) const WAIT: Duration = Duration::from_secs(10);
/// A rejected name that no record has brought for this long is forgotten, and waited for again.
const FORGET: Duration = Duration::from_secs(10);
/// The first question is repeated after this long, later ones after ever longer, up to the second.
const ASKED: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
/// While the cluster does not answer, names are taken as they come for this long; the producer finds out.
const TRUST: Duration = Duration::from_secs(1);
/// Names remembered as there; beyond it all are asked for again.
const THERE: usize = 65_536;
/// Missing topics that are waited for at once; a record that names one more waits, and all behind it.
const ABSENT: usize = 1_024;

/// What becomes of a record that names this topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TopicStanding {
    /// It is produced.
    There(Arc<str>),
    /// Somebody must ask first.
    Unasked,
    /// It waits with the others that name it.
    Waits(Arc<str>),
    /// It is rejected.
    Rejected(Arc<str>),
}

/// What follows from an answer for a topic that was missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerEffect {
    /// Nothing.
    None,
    /// The records that wait are to be handed over.
    Found,
    /// They are to be rejected.
    Rejected,
}

/// See the module.
pub(super) struct Roll {
    policy: OnMissingTopic,
    there: HashSet<Arc<str>, foldhash::fast::FixedState>,
    absent: HashMap<Arc<str>, Absent, foldhash::fast::FixedState>,
    trusted_until: Option<Instant>,
}

/// A topic that is missing.
pub(super) struct Absent {
    pub(super) since: Instant,
    asked: Instant,
    questions: u32,
    named: Instant,
    /// The record that named it first.
    pub(super) first: Place,
    /// How many records the sink had delivered then.
    pub(super) delivered: u64,
    /// What the broker said.
    pub(super) code: ErrorCode,
    /// Whether it was told.
    pub(super) told: bool,
    state: TopicState,
    pub(super) lot: Lot,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TopicState {
    Waits,
    Found,
    Rejected,
}

/// Who named a missing topic, and when.
pub(super) struct NamedBy {
    pub(super) first: Place,
    pub(super) code: ErrorCode,
    pub(super) delivered: u64,
    pub(super) charge: Charge,
}

impl Roll {
    pub(super) fn new(policy: OnMissingTopic) -> Self {
        Self { policy, there: HashSet::default(), absent: HashMap::default(), trusted_until: None }
    }

    pub(super) fn policy(&self) -> OnMissingTopic {
        self.policy
    }

    pub(super) fn standing(&self, name: &str) -> TopicStanding {
        if let Some(name) = self.there.get(name) {
            return TopicStanding::There(name.clone());
        }
        match self.absent.get_key_value(name) {
            Some((name, Absent { state: TopicState::Rejected, .. })) => TopicStanding::Rejected(name.clone()),
            Some((name, Absent { state: TopicState::Found, .. })) if mutants::on(Mutant::WaitingRecordsOvertaken) => {
                TopicStanding::There(name.clone())
            }
            Some((name, Absent { state: TopicState::Waits | TopicState::Found, .. })) => {
                TopicStanding::Waits(name.clone())
            }
            None => TopicStanding::Unasked,
        }
    }

    /// Whether names are taken as they come because the cluster did not answer a moment ago.
    pub(super) fn trusts(&self, now: Instant) -> bool {
        self.trusted_until.is_some_and(|until| now < until) || mutants::on(Mutant::MissingTopicTrusted)
    }

    pub(super) fn trust(&mut self, now: Instant) {
        self.trusted_until = Some(now + TRUST);
    }

    /// Whether any name is known to be there: then not everything is refused.
    pub(super) fn knows_any(&self) -> bool {
        !self.there.is_empty()
    }

    pub(super) fn is_there(&mut self, name: &Arc<str>) {
        if self.there.len() >= THERE {
            self.there.clear();
        }
        self.there.insert(name.clone());
    }

    /// The topic is missing, as an answer or a report says. `false`: too many are, nothing was noted.
    pub(super) fn is_missing(&mut self, name: &Arc<str>, named: NamedBy, now: Instant) -> bool {
        self.there.remove(name);
        if self.absent.contains_key(name) {
            return true;
        }
        if self.absent.len() >= ABSENT {
            self.forget(now);
        }
        if self.absent.len() >= ABSENT {
            return false;
        }
        let NamedBy { first, code, delivered, charge } = named;
        let absent = Absent {
            since: now,
            asked: now,
            questions: 0,
            named: now,
            first,
            delivered,
            code,
            told: false,
            state: TopicState::Waits,
            lot: Lot::new(charge),
        };
        self.absent.insert(name.clone(), absent);
        true
    }

    /// Where a record waits that names this topic.
    pub(super) fn lot(&mut self, name: &str, now: Instant) -> Option<&mut Lot> {
        let absent = self.absent.get_mut(name)?;
        absent.named = now;
        Some(&mut absent.lot)
    }

    pub(super) fn absent(&self, name: &str) -> Option<&Absent> {
        self.absent.get(name)
    }

    /// A record names a topic whose records are rejected: whether it is time to ask for it again.
    pub(super) fn names_again(&mut self, name: &str, now: Instant) -> bool {
        let Some(absent) = self.absent.get_mut(name) else { return false };
        absent.named = now;
        absent.is_due(now)
    }

    /// The topic whose next question is due and was asked for longest ago.
    pub(super) fn next_to_ask(&self, now: Instant) -> Option<Arc<str>> {
        let due = self.absent.iter().filter(|(_, absent)| absent.state == TopicState::Waits && absent.is_due(now));
        due.min_by_key(|(_, absent)| absent.asked).map(|(name, _)| name.clone())
    }

    /// What an answer for a missing topic leads to.
    pub(super) fn heard(&mut self, name: &Arc<str>, answer: TopicAnswer, now: Instant) -> AnswerEffect {
        let policy = self.policy;
        let Some(absent) = self.absent.get_mut(name) else { return AnswerEffect::None };
        absent.asked = now;
        absent.questions += 1;
        match answer {
            TopicAnswer::There if absent.lot.records() == 0 => {
                self.found(name);
                AnswerEffect::Found
            }
            TopicAnswer::There => {
                absent.state = TopicState::Found;
                AnswerEffect::Found
            }
            TopicAnswer::Missing(code) => {
                absent.code = code;
                let spent = now.saturating_duration_since(absent.since) >= WAIT;
                if policy == OnMissingTopic::Reject && absent.state == TopicState::Waits && spent {
                    absent.state = TopicState::Rejected;
                    absent.named = now;
                    return AnswerEffect::Rejected;
                }
                AnswerEffect::None
            }
            TopicAnswer::Silent => AnswerEffect::None,
        }
    }

    fn found(&mut self, name: &Arc<str>) {
        self.absent.remove(name);
        self.is_there(name);
    }

    /// Records of a topic that was found, in their order; the topic counts as there once the last of them was taken.
    pub(super) fn take_found(&mut self) -> Option<Prepared<KafkaItem>> {
        let name = self.absent.iter().find(|(_, absent)| absent.state == TopicState::Found)?.0.clone();
        let absent = self.absent.get_mut(&name)?;
        let batch = absent.lot.take();
        if absent.lot.records() == 0 {
            self.found(&name);
        }
        batch
    }

    /// Whether a topic was found, and records of it still wait to be handed over.
    pub(super) fn is_found(&self, name: &str) -> bool {
        self.absent.get(name).is_some_and(|absent| absent.state == TopicState::Found)
    }

    /// Whether records of a topic that was found wait to be handed over.
    pub(super) fn has_found(&self) -> bool {
        self.absent.values().any(|absent| absent.state == TopicState::Found)
    }

    /// Takes the first record to be rejected out of a topic's lot.
    pub(super) fn pop(&mut self, name: &str) -> Option<(Place, Option<crate::model::OwnedRecord>)> {
        self.absent.get_mut(name)?.lot.pop()
    }

    /// Drops waiting records that may not be sent any more. Returns how many.
    pub(super) fn sweep(&mut self, may_send: &impl Fn(Ticket) -> bool) -> usize {
        self.absent.values_mut().map(|absent| absent.lot.sweep(may_send)).sum()
    }

    /// Forgets missing topics for which nothing waits and which no record has named for a while.
    pub(super) fn forget(&mut self, now: Instant) {
        self.absent
            .retain(|_, absent| absent.lot.records() > 0 || now.saturating_duration_since(absent.named) < FORGET);
    }

    /// Missing topics.
    pub(super) fn absentees(&self) -> usize {
        self.absent.len()
    }

    /// Missing topics that are waited for.
    pub(super) fn waits(&self) -> usize {
        self.absent.values().filter(|absent| absent.state == TopicState::Waits).count()
    }

    /// Their names.
    pub(super) fn waiting_names(&self) -> Vec<Arc<str>> {
        let waits = self.absent.iter().filter(|(_, absent)| absent.state == TopicState::Waits);
        waits.map(|(name, _)| name.clone()).collect()
    }

    /// Records that wait.
    pub(super) fn waiting(&self) -> usize {
        self.absent.values().map(|absent| absent.lot.records()).sum()
    }

    /// The topic that records have waited for longest.
    pub(super) fn longest(&self) -> Option<(&Arc<str>, &Absent)> {
        self.absent.iter().filter(|(_, absent)| absent.lot.records() > 0).min_by_key(|(_, absent)| absent.since)
    }

    /// The topics that have been missing for `least` and of which nobody was told.
    pub(super) fn untold(&mut self, least: Duration, now: Instant) -> Vec<Arc<str>> {
        let late = |absent: &Absent| !absent.told && now.saturating_duration_since(absent.since) >= least;
        let untold = self.absent.iter_mut().filter(|(_, absent)| late(absent));
        untold
            .map(|(name, absent)| {
                absent.told = true;
                name.clone()
            })
            .collect()
    }
}

impl Absent {
    fn is_due(&self, now: Instant) -> bool {
        let pause = ASKED.after(self.questions.saturating_add(1));
        now.saturating_duration_since(self.asked) >= pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::librdkafka::producer::message::Message;
    use crate::model::{Epoch, ItemPath, Offset, PartitionId, TicketId};

    const MISSING: TopicAnswer = TopicAnswer::Missing(ErrorCode::UNKNOWN_TOPIC_OR_PART);

    fn item(offset: i64) -> KafkaItem {
        let ticket = Ticket { id: TicketId(1), slot: PartitionId(0), epoch: Epoch(1) };
        let message = Message { value: None, key: None, headers: None, timestamp_ms: None };
        KafkaItem {
            place: Place { ticket, offset: Offset(offset), item: ItemPath::WHOLE, index: 0 },
            message,
            topic: None,
        }
    }

    fn named() -> NamedBy {
        let code = ErrorCode::UNKNOWN_TOPIC_OR_PART;
        NamedBy { first: item(1).place, code, delivered: 0, charge: Charge::none() }
    }

    /// A roll with one missing topic for which records 1 to 3 wait.
    fn waiting(policy: OnMissingTopic) -> (Roll, Arc<str>, Instant) {
        let (mut roll, name, start): (Roll, Arc<str>, _) = (Roll::new(policy), "ev-x".into(), Instant::now());
        assert_eq!(roll.standing(&name), TopicStanding::Unasked);
        assert!(roll.is_missing(&name, named(), start));
        for offset in 1..4 {
            roll.lot(&name, start).expect("missing").push(&item(offset), &[], None, start);
        }
        assert_eq!(roll.standing(&name), TopicStanding::Waits(name.clone()));
        (roll, name, start)
    }

    #[test]
    fn a_topic_is_asked_for_soon_and_then_every_second() {
        let (mut roll, name, start) = waiting(OnMissingTopic::Hold);
        let mut asked = Vec::new();
        for at in 0..4_000 {
            let now = start + Duration::from_millis(at);
            if let Some(due) = roll.next_to_ask(now) {
                assert_eq!(due, name);
                assert_eq!(roll.heard(&due, MISSING, now), AnswerEffect::None);
                asked.push(at);
            }
        }
        assert_eq!(asked, [100, 300, 700, 1_500, 2_500, 3_500]);
    }

    #[test]
    fn only_after_the_wait_and_only_on_an_answer_records_are_rejected() {
        let (mut roll, name, start) = waiting(OnMissingTopic::Reject);
        assert_eq!(roll.heard(&name, MISSING, start + WAIT - Duration::from_millis(1)), AnswerEffect::None);
        assert_eq!(roll.heard(&name, TopicAnswer::Silent, start + WAIT * 2), AnswerEffect::None, "nobody knows");
        assert_eq!(roll.heard(&name, MISSING, start + WAIT * 2), AnswerEffect::Rejected);
        assert_eq!(roll.standing(&name), TopicStanding::Rejected(name.clone()));
        assert_eq!(roll.pop(&name).map(|(place, _)| place.offset), Some(Offset(1)));
        let (mut held, name, start) = waiting(OnMissingTopic::Hold);
        assert_eq!(
            held.heard(&name, MISSING, start + WAIT * 1_000),
            AnswerEffect::None,
            "held for as long as it takes"
        );
    }

    #[test]
    fn a_topic_that_was_rejected_is_asked_for_while_it_is_named_and_forgotten_afterwards() {
        let (mut roll, name, start) = waiting(OnMissingTopic::Reject);
        let late = start + WAIT;
        assert_eq!(roll.heard(&name, MISSING, late), AnswerEffect::Rejected);
        while roll.pop(&name).is_some() {}
        assert!(
            roll.names_again(&name, late + ASKED.after(u32::MAX)) && !roll.names_again(&name, late + ASKED.after(1))
        );
        let (mut other, _, _) = waiting(OnMissingTopic::Reject);
        other.forget(late + FORGET * 9);
        assert_eq!(other.absentees(), 1, "records wait for it");
        roll.forget(late + ASKED.after(u32::MAX));
        assert_eq!(roll.standing(&name), TopicStanding::Rejected(name.clone()), "though nothing waits for it any more");
        roll.forget(late + ASKED.after(u32::MAX) + FORGET);
        assert_eq!(roll.standing(&name), TopicStanding::Unasked, "it is waited for again");
    }

    #[test]
    fn what_waited_goes_first_and_in_its_order() {
        let (mut roll, name, start) = waiting(OnMissingTopic::Hold);
        assert_eq!(roll.heard(&name, TopicAnswer::There, start), AnswerEffect::Found);
        assert_eq!(roll.standing(&name), TopicStanding::Waits(name.clone()), "what comes now must not overtake");
        roll.lot(&name, start).expect("there").push(&item(4), &[], None, start);
        let batch = roll.take_found().expect("found");
        let offsets: Vec<i64> = batch.items.iter().map(|item| item.place.offset.0).collect();
        assert_eq!(offsets, [1, 2, 3, 4]);
        assert_eq!((roll.standing(&name), roll.absentees()), (TopicStanding::There(name), 0));
        assert!(roll.take_found().is_none());
    }

    #[test]
    fn the_number_of_missing_topics_is_bounded() {
        let (mut roll, _, start) = waiting(OnMissingTopic::Reject);
        for number in 1..ABSENT {
            assert!(roll.is_missing(&format!("ev-{number}").into(), named(), start));
        }
        assert!(!roll.is_missing(&"one-more".into(), named(), start));
        assert!(roll.is_missing(&"one-more".into(), named(), start + FORGET), "those nobody names are forgotten");
        assert_eq!(roll.absentees(), 2);
    }
}
