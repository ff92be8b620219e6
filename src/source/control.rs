//! The control loop: one thread that drains, accounts, rewinds, commits and rebalances. It never waits for anything but its
//! own wake-up (I3, I6).

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::config::plan::Start;
use crate::librdkafka::{Bootstrap, Consumer, ErrorCode, OpenError, START_EARLIEST};
use crate::model::{Epoch, Exit, Halt, PartitionId, RewindCause, Sequence};
use crate::mutants::{self, Mutant};
use crate::telemetry::health::Component;
use crate::telemetry::metrics::StageName;

use super::assigned::{Assigned, SeekProof};
use super::client::Client;
use super::commit::Commits;
use super::context::{SourceContext, SourceEnd};
use super::credentials::Credentials;
use super::damage::Damage;
use super::group_waits::GroupWaits;
use super::hold::Hold;
use super::ledger::Ledger;
use super::pauses::{PauseReason, Pauses};
use super::properties;
use super::questions::Questions;
use super::rebalance::Rebalance;
use super::recreation::{ResetPositions, TopicIds};
use super::rewind::Rewinds;
use super::start::History;
use super::until::Marks;

/// Longest park: timers are looked at this often even without a wake-up.
const LONGEST_PARK: Duration = Duration::from_millis(100);
/// Shortest park: what is due within it is late by that much, and the loop does not spin.
const SHORTEST_PARK: Duration = Duration::from_millis(1);
/// How soon a due seek is looked at again while the topic's id is in doubt.
const SEEK_WHEN_ID_IS_KNOWN: Duration = Duration::from_millis(20);
/// How soon a due seek is looked at again while it is being asked where the log begins.
const SEEK_WHEN_ANSWERED: Duration = Duration::from_millis(50);
/// The same when the question has only just been asked: an answer takes a round trip.
const SEEK_ONCE_ASKED: Duration = Duration::from_millis(200);
/// How soon a seek that did not succeed is repeated. The client refuses one right after an assignment, and a slow broker
/// lets it run out of time; neither lasts.
const SEEK_REPEATED: Duration = Duration::from_millis(20);
/// How long one call may seek: the loop stands still for it.
const SEEK_WITHIN_MS: i32 = 50;

/// The source thread's state. Nobody else touches it.
pub struct Source<C: Client = Consumer> {
    pub(crate) cx: SourceContext<C::Messages>,
    pub(super) consumer: C,
    pub(crate) ledger: Ledger,
    pub(crate) pauses: Pauses,
    pub(crate) rewinds: Rewinds,
    /// Partitions whose reading broke off.
    pub(crate) damaged: BTreeMap<PartitionId, Damage>,
    pub(crate) commits: Commits,
    pub(crate) hold: Hold<C::Messages>,
    pub(super) rebalance: Rebalance,
    pub(super) questions: Questions,
    pub(super) topic_ids: TopicIds,
    pub(super) resets: ResetPositions,
    /// What lay there before the group was joined, for `start: latest`.
    pub(super) history: History,
    pub(crate) until: Option<Marks>,
    pub(crate) assigned: BTreeMap<PartitionId, Assigned>,
    pub(super) next_sequence: Sequence,
    pub(super) mean_record_bytes: usize,
    pub(super) queue_seen_empty: bool,
    pub(super) holding: bool,
    pub(super) probing: bool,
    pub(crate) halt: Option<Halt>,
    pub(super) halted_at: Option<Instant>,
    pub(super) next_drip: Instant,
    pub(super) next_lag: Instant,
    pub(super) last_progress: Instant,
    pub(super) credentials: Credentials,
    pub(super) group_waits: GroupWaits,
    /// The named fault is one of connections: over when the brokers are up again.
    pub(super) unreachable: bool,
    pub(super) bootstrap: Bootstrap,
    /// Nothing is taken any more.
    pub(super) finishing: bool,
    /// Records given back since: they were read and not resolved.
    pub(super) given_back: u64,
    pub(super) last_commit_error: Option<ErrorCode>,
    /// The group took partitions away, work of ours on them uncommitted; looked at when the run ends.
    pub(super) lost_uncommitted: bool,
    pub(super) blocked_since: Option<Instant>,
}

impl Source {
    /// Makes the consumer; [`Source::run`] subscribes.
    ///
    /// # Errors
    /// When librdkafka refuses properties. Unreachable brokers are not an error here.
    pub fn open(cx: SourceContext) -> Result<Self, OpenError> {
        let all = properties::consumer(&cx.plan.source, cx.plan.memory_bytes, cx.until.is_some());
        let consumer = Consumer::open(&all, &cx.plan.source.group, &[], cx.wake.clone())?;
        Ok(Self::with(consumer, cx))
    }
}

impl<C: Client> Source<C> {
    /// A source that reads from this client.
    pub fn with(consumer: C, cx: SourceContext<C::Messages>) -> Self {
        let now = consumer.now();
        Self {
            consumer,
            ledger: Ledger::default(),
            pauses: Pauses::default(),
            rewinds: Rewinds::default(),
            damaged: BTreeMap::new(),
            commits: Commits::new(cx.plan.commit_interval),
            hold: Hold::new(cx.plan.memory_bytes / 16),
            rebalance: Rebalance::Stable,
            questions: Questions::default(),
            topic_ids: TopicIds::default(),
            resets: ResetPositions::default(),
            history: History::default(),
            until: cx.until.map(|_| Marks::default()),
            assigned: BTreeMap::new(),
            next_sequence: 0,
            mean_record_bytes: 1024,
            queue_seen_empty: false,
            holding: false,
            probing: false,
            halt: None,
            halted_at: None,
            next_drip: now,
            next_lag: now,
            last_progress: now,
            credentials: Credentials::default(),
            group_waits: GroupWaits::new(now),
            bootstrap: Bootstrap::default(),
            unreachable: false,
            finishing: false,
            given_back: 0,
            last_commit_error: None,
            lost_uncommitted: false,
            blocked_since: None,
            cx,
        }
    }

    /// Runs until stopped, halted or at the end of a bounded run; then drains, commits and leaves the group.
    #[must_use]
    pub fn run(mut self) -> SourceEnd {
        self.cx.wake.register();
        self.begin();
        while !self.is_over() {
            let busy = self.turn(self.consumer.now());
            if !busy {
                self.park();
            }
        }
        self.finish()
    }

    /// What comes before the first turn: the group is asked to take us in.
    pub(crate) fn begin(&mut self) {
        if self.cx.plan.source.start == Start::Latest {
            self.ask_history();
        }
        if self.cx.dry_run {
            return self.assign_by_hand();
        }
        let topics: Vec<_> = self.cx.plan.source.topics.iter().map(|topic| topic.subscription().to_owned()).collect();
        if let Err(why) = self.consumer.subscribe(&topics) {
            let message = format!("pipeline {}: {why}", self.cx.plan.name);
            self.halt.get_or_insert(Halt { exit: Exit::Config, message });
        }
    }

    /// Asks what lies in the topics until it is told, or a stop is wanted. It is asked before the group is joined: of two
    /// members that start together neither may take the other's first commits for those of an older group.
    fn ask_history(&mut self) {
        while !self.cx.stop.is_draining() {
            match self.consumer.history(&self.cx.plan.source) {
                Ok(history) => {
                    self.history = history;
                    return self.cx.health.clear(Component::Source);
                }
                Err(why) => {
                    let text =
                        format!("`start: latest` waits for the ends of its topics, to know what is history: {why}");
                    self.cx.health.raise(Component::Source, text);
                    let wake = self.cx.wake.clone();
                    self.consumer.park(&wake, LONGEST_PARK);
                }
            }
        }
    }

    pub(crate) fn is_over(&mut self) -> bool {
        self.cx.stop.is_draining() || self.halt.is_some() || self.bounded_run_is_over()
    }

    /// One turn: reports, drain (which serves callbacks), rebalance, answers, deadlines. Returns whether there may be more.
    pub(crate) fn turn(&mut self, now: Instant) -> bool {
        let started = self.consumer.now();
        self.cx.wake.take();
        let reported = self.take_reports(now);
        let drained = self.take_records(now);
        self.upkeep(now);
        if reported || drained {
            self.cx
                .metrics
                .busy(StageName::Source)
                .add(self.consumer.now().saturating_duration_since(started).as_nanos() as u64);
        }
        reported || drained
    }

    /// Everything of a turn that is not records or reports; also served while draining for a stop.
    pub(super) fn upkeep(&mut self, now: Instant) {
        self.take_events(now);
        self.take_replies(now);
        self.advance_rebalance(now);
        self.tend_damaged(now);
        self.seek_due(now);
        self.ask_topics(now);
        self.commit_due(now, false);
        self.apply_pauses();
        self.look_at_credentials(now);
        self.look_at_group(now);
        self.cx.health.tick();
        self.publish(now);
    }

    fn park(&mut self) {
        let now = self.consumer.now();
        let due = [self.commit_wake(), self.rewinds.next_due(), self.rebalance.next_due()];
        let limit = due
            .into_iter()
            .flatten()
            .map(|at| at.saturating_duration_since(now))
            .fold(LONGEST_PARK, Duration::min)
            .max(SHORTEST_PARK);
        let wake = self.cx.wake.clone();
        self.consumer.park(&wake, limit);
    }

    /// The one way back (I8): fence, forget, destroy what is held, and read again from the lowest unresolved offset.
    pub(super) fn rewind(&mut self, slot: PartitionId, cause: RewindCause, now: Instant) {
        if !self.assigned.contains_key(&slot) {
            return;
        }
        let epoch = Epoch::fresh();
        self.cx.table.set_current(slot, epoch);
        let rewound = self.ledger.rewind(slot, epoch);
        self.hold.destroy(slot);
        self.pauses.add(slot, PauseReason::Rewind);
        // Both reasons were about records that are read again.
        self.pauses.remove(slot, PauseReason::Span);
        self.pauses.remove(slot, PauseReason::Until);
        self.rewinds.start(slot, now);
        if let Some(damage) = self.damaged.get_mut(&slot) {
            damage.interrupted(now);
            self.pauses.add(slot, PauseReason::Damaged);
        }
        if self.finishing {
            self.given_back += rewound.records;
        }
        if let Some(until) = &mut self.until {
            until.not_done(slot);
        }
        if let Some(assigned) = self.assigned.get_mut(&slot) {
            assigned.check_gap = true;
            assigned.seek = SeekProof::Awaited;
            assigned.read_in_epoch = false;
            assigned.destroyed = false;
            tracing::warn!(pipeline = %self.cx.plan.name, partition = %assigned.name, cause = cause.name(),
                records = rewound.records, to = rewound.to.map_or(-1, |to| to.0), "rewinding");
        }
        self.cx.metrics.rewound.add(rewound.records);
        self.cx.metrics.rewind(cause).add(1);
        self.apply_pauses();
    }

    /// The first record after a seek lies above its target: the seek may have been lost, so it is done once more.
    pub(super) fn seek_again(&mut self, slot: PartitionId, now: Instant) {
        self.pauses.add(slot, PauseReason::Rewind);
        self.rewinds.start(slot, now);
        if let Some(assigned) = self.assigned.get_mut(&slot) {
            assigned.read_in_epoch = false;
        }
    }

    /// Seeks partitions whose backoff has passed.
    pub(super) fn seek_due(&mut self, now: Instant) {
        if !self.rebalance.is_stable() {
            return;
        }
        let mut positions = Vec::new();
        let doubtful = self.topic_ids.is_doubtful(now);
        for slot in self.rewinds.due(now) {
            if doubtful {
                self.rewinds.again(slot, now, SEEK_WHEN_ID_IS_KNOWN);
                continue;
            }
            if self.questions.concerns(slot) {
                // Whether the log itself was truncated is being asked: the answer decides where to seek.
                self.ask_truncation_again(slot, now);
                self.rewinds.again(slot, now, SEEK_WHEN_ANSWERED);
                continue;
            }
            let Some(assigned) = self.assigned.get_mut(&slot) else { continue };
            if assigned.recreated && self.ledger.position(slot).is_some() {
                self.ask_truncation(slot);
                self.rewinds.again(slot, now, SEEK_ONCE_ASKED);
                continue;
            }
            // Where nothing is known of it, its beginning loses nothing; the client refuses a seek to what the group stored.
            assigned.recreated = false;
            let probe = self.damaged.get(&slot).and_then(Damage::probes);
            let to = probe.or(self.ledger.position(slot));
            let to = to.map_or(START_EARLIEST, |position| position.0);
            // Just assigned, or its broker is slow: the client answers `State` or a timeout; asked again soon.
            self.rewinds.again(slot, now, SEEK_REPEATED);
            positions.push((assigned.name.clone(), to));
        }
        if positions.is_empty() {
            return;
        }
        // One call for all: its bound is one for all as well.
        let answers = self.consumer.seek(&positions, SEEK_WITHIN_MS).unwrap_or_default();
        for answer in answers.iter().filter(|answer| answer.error.is_none()) {
            if let Some(slot) = self.cx.table.slot(&answer.name) {
                self.rewinds.sought(slot);
                self.pauses.remove(slot, PauseReason::Rewind);
                self.assigned.entry(slot).and_modify(|assigned| assigned.changed_at = now);
            }
        }
    }

    /// Tells the client what to pause and resume; a failed call is repeated in the next turn. A client that is paused at
    /// last has gone on meanwhile, and forgets how far: where it goes on from is not left to it.
    pub(super) fn apply_pauses(&mut self) {
        let mut doubtful = Vec::new();
        for pause in [true, false] {
            let slots = if pause { self.pauses.to_pause() } else { self.pauses.to_resume() };
            if slots.is_empty() {
                continue;
            }
            let names: Vec<_> = slots.iter().filter_map(|slot| self.cx.table.name(*slot).cloned()).collect();
            for answer in if pause { self.consumer.pause(&names) } else { self.consumer.resume(&names) } {
                let Some(slot) = self.cx.table.slot(&answer.name) else { continue };
                let late = self.pauses.is_unsure(slot) && answer.error.is_none();
                if late && !mutants::on(Mutant::LatePauseBelieved) {
                    self.pauses.add(slot, PauseReason::Rewind);
                    doubtful.push(slot);
                }
                self.pauses.told(slot, pause, answer.error.is_none());
                if let Some(until) = &mut self.until {
                    until.disturbed(slot);
                }
                let now = self.consumer.now();
                self.assigned.entry(slot).and_modify(|assigned| assigned.changed_at = now);
            }
        }
        let now = self.consumer.now();
        doubtful.into_iter().for_each(|slot| self.rewind(slot, RewindCause::Redelivered, now));
    }

    /// Whether the channel, the ring and the budget have room for another batch.
    pub(super) fn has_room(&self) -> bool {
        !self.cx.batches.is_full()
            && self.next_sequence < self.cx.released.load(Ordering::Acquire) + self.cx.ring
            && self.cx.budget.has_room()
    }
}
