//! When positions are committed, and what the answer means. Pure; at most one request in flight.

use std::time::{Duration, Instant};

use crate::librdkafka::{CommitAnswer, ErrorCode};
use crate::model::{PartitionId, Position, TopicPartition};
use crate::mutants::{self, Mutant};

/// One partition of a commit request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Which partition.
    pub slot: PartitionId,
    /// Its name, to match the answer.
    pub name: TopicPartition,
    /// The position.
    pub position: Position,
}

/// What became of one partition's commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitFate {
    /// Stored.
    Stored,
    /// Not stored; still ours: send it again.
    Again(ErrorCode),
    /// The group says the partition is not ours any more; a rebalance event follows.
    NotOurs(ErrorCode),
}

/// After a failure, also an urgent request waits this long: a rejoin takes a while, and the broker has enough to do.
const AFTER_FAILURE: Duration = Duration::from_millis(50);

/// The commit requests of one consumer.
#[derive(Debug)]
pub struct Commits {
    interval: Duration,
    next_request: u64,
    in_flight: Option<(u64, Vec<Sent>)>,
    sent_at: Option<Instant>,
    not_before: Option<Instant>,
    retry_at: Option<Instant>,
}

impl Commits {
    /// Requests at least `interval` apart.
    #[must_use]
    pub fn new(interval: Duration) -> Self {
        Self { interval, next_request: 1, in_flight: None, sent_at: None, not_before: None, retry_at: None }
    }

    /// Whether a request may be sent now. `urgent` ignores the interval (revoke, stop), never the one in flight nor the
    /// pause after a failure.
    #[must_use]
    pub fn may_send(&self, now: Instant, urgent: bool) -> bool {
        let past = |due: Option<Instant>| due.is_none_or(|at| at <= now);
        self.in_flight.is_none() && past(self.retry_at) && (urgent || past(self.not_before))
    }

    /// Whether a request waits for its answer.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Since when the answer to a request is waited for.
    #[must_use]
    pub fn unanswered_since(&self) -> Option<Instant> {
        self.sent_at.filter(|_| self.in_flight.is_some())
    }

    /// When the next request is allowed.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.not_before.max(self.retry_at)
    }

    /// A number for a request that is about to be sent.
    pub fn start(&mut self, sent: Vec<Sent>, now: Instant) -> u64 {
        let request = self.next_request;
        self.next_request += 1;
        self.in_flight = Some((request, sent));
        self.not_before = Some(now + self.interval);
        self.sent_at = Some(now);
        request
    }

    /// The request could not be queued: every partition of it is to be sent again.
    pub fn failed(&mut self, now: Instant) -> Vec<Sent> {
        self.retry_at = Some(now + AFTER_FAILURE);
        self.in_flight.take().map(|(_, sent)| sent).unwrap_or_default()
    }

    /// Judges an answer. Answers to other requests are ignored.
    pub fn answered(&mut self, answer: &CommitAnswer, now: Instant) -> Vec<(Sent, CommitFate)> {
        let Some((_, sent)) = self.in_flight.take_if(|(request, _)| *request == answer.request) else {
            return Vec::new();
        };
        let judge = |sent: Sent| {
            let own = answer.partitions.iter().find(|partition| partition.name == sent.name);
            let fate = fate(answer.error.or(own.and_then(|partition| partition.error)));
            (sent, fate)
        };
        let fates: Vec<_> = sent.into_iter().map(judge).collect();
        let stored = fates.iter().all(|(_, fate)| *fate == CommitFate::Stored);
        self.retry_at = (!stored).then_some(now + AFTER_FAILURE);
        fates
    }
}

/// During a cooperative rejoin commits fail with an illegal generation or a rebalance in progress although the
/// partitions are still ours: sending them again brought duplicates in the trial from 208,300 to 0.
fn fate(error: Option<ErrorCode>) -> CommitFate {
    match error {
        None => CommitFate::Stored,
        Some(code @ (ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::FENCED_INSTANCE_ID | ErrorCode::ASSIGNMENT_LOST)) => {
            CommitFate::NotOurs(code)
        }
        Some(_) if mutants::on(Mutant::RefusedCommitIsStored) => CommitFate::Stored,
        Some(code) => CommitFate::Again(code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::librdkafka::PartitionAnswer;

    fn name(partition: i32) -> TopicPartition {
        TopicPartition { topic: "t".into(), partition }
    }

    fn sent(partition: i32) -> Sent {
        Sent { slot: PartitionId(partition as u32), name: name(partition), position: Position(5) }
    }

    fn answer(request: u64, error: Option<ErrorCode>, second: Option<ErrorCode>) -> CommitAnswer {
        let partition = |number, error| PartitionAnswer { name: name(number), offset: 5, error };
        CommitAnswer { request, error, partitions: vec![partition(0, None), partition(1, second)] }
    }

    #[test]
    fn one_in_flight_and_never_faster_than_the_interval() {
        let now = Instant::now();
        let mut commits = Commits::new(Duration::from_millis(200));
        assert!(commits.may_send(now, false));
        let request = commits.start(vec![sent(0)], now);
        assert!(!commits.may_send(now + Duration::from_secs(9), true), "one is in flight");
        assert_eq!(commits.unanswered_since(), Some(now));
        assert_eq!(commits.answered(&answer(request + 7, None, None), now), [], "another's answer");
        assert_eq!(commits.answered(&answer(request, None, None), now), [(sent(0), CommitFate::Stored)]);
        assert_eq!(commits.unanswered_since(), None);
        assert!(!commits.may_send(now, false));
        assert!(commits.may_send(now, true));
        assert!(commits.may_send(now + Duration::from_millis(200), false));
    }

    #[test]
    fn each_partition_is_judged_by_its_own_error() {
        let mut commits = Commits::new(Duration::ZERO);
        let now = Instant::now();
        let cases = [
            (None, Some(ErrorCode::REBALANCE_IN_PROGRESS), CommitFate::Again(ErrorCode::REBALANCE_IN_PROGRESS)),
            (None, Some(ErrorCode::ILLEGAL_GENERATION), CommitFate::Again(ErrorCode::ILLEGAL_GENERATION)),
            (Some(ErrorCode::TIMED_OUT), None, CommitFate::Again(ErrorCode::TIMED_OUT)),
            (Some(ErrorCode::UNKNOWN_MEMBER_ID), None, CommitFate::NotOurs(ErrorCode::UNKNOWN_MEMBER_ID)),
            (None, Some(ErrorCode::FENCED_INSTANCE_ID), CommitFate::NotOurs(ErrorCode::FENCED_INSTANCE_ID)),
            (None, None, CommitFate::Stored),
        ];
        for (overall, own, wanted) in cases {
            let request = commits.start(vec![sent(0), sent(1)], now);
            assert_eq!(commits.answered(&answer(request, overall, own), now)[1].1, wanted);
        }
    }

    #[test]
    fn a_failed_request_is_not_repeated_at_once_however_urgent() {
        let mut commits = Commits::new(Duration::ZERO);
        let now = Instant::now();
        let request = commits.start(vec![sent(0)], now);
        commits.answered(&answer(request, Some(ErrorCode::REBALANCE_IN_PROGRESS), None), now);
        assert!(!commits.may_send(now, true) && !commits.may_send(now, false));
        assert_eq!(commits.next_due(), Some(now + AFTER_FAILURE));
        assert!(commits.may_send(now + AFTER_FAILURE, true));
        let request = commits.start(vec![sent(0)], now + AFTER_FAILURE);
        commits.answered(&answer(request, None, None), now + AFTER_FAILURE);
        assert!(commits.may_send(now + AFTER_FAILURE, true));
        commits.start(vec![sent(0)], now);
        assert_eq!(commits.failed(now), [sent(0)]);
        assert!(!commits.may_send(now, true));
    }
}
