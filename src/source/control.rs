//! The control loop: one thread that drains, accounts, rewinds, commits and rebalances. It never waits for anything but
//! its own wake-up (I3, I6).

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::config::plan::Start;
use crate::librdkafka::{Bootstrap, Consumer, ErrorCode, OpenError};
use crate::model::{Epoch, Exit, Halt, PartitionId, RewindCause, Sequence};
use crate::mutants::{self, Mutant};
use crate::telemetry::health::Component;
use crate::telemetry::metrics::StageName;

use super::client::Client;
use super::commit::Commits;
use super::context::{SourceContext, SourceEnd};
use super::credentials::Credentials;
use super::group_waits::GroupWaits;
use super::hold::Hold;
use super::ledger::Ledger;
use super::partition::{Partition, SeekDue};
use super::pauses::PauseReason;
use super::properties;
use super::questions::Questions;
use super::rebalance::Rebalance;
use super::recreation::{ResetPositions, TopicIds, TruncationCheck};
use super::start::History;
use super::until::Marks;

/// Longest park: timers are looked at this often even without a wake-up.
const LONGEST_PARK: Duration = Duration::from_millis(100);
/// Shortest park: what is due within it is late by that much, and the loop does not spin.
const SHORTEST_PARK: Duration = Duration::from_millis(1);
/// How long one call may seek: the loop stands still for it.
const SEEK_WITHIN_MS: i32 = 50;

/// The source thread's state. Nobody else touches it.
pub struct Source<C: Client = Consumer> {
    pub(super) cx: SourceContext<C::Messages>,
    pub(super) consumer: C,
    pub(super) ledger: Ledger,
    /// The partitions that are ours.
    pub(super) partitions: BTreeMap<PartitionId, Partition>,
    pub(super) commits: Commits,
    pub(super) hold: Hold<C::Messages>,
    pub(super) rebalance: Rebalance,
    pub(super) questions: Questions,
    pub(super) topic_ids: TopicIds,
    pub(super) resets: ResetPositions,
    /// What lay there before the group was joined, for `start: latest`.
    pub(super) history: History,
    pub(super) until: Option<Marks>,
    pub(super) next_sequence: Sequence,
    pub(super) mean_record_bytes: usize,
    pub(super) queue_seen_empty: bool,
    pub(super) holding: bool,
    pub(super) probing: bool,
    pub(super) halt: Option<Halt>,
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
        let all = properties::consumer(&cx.plan.source, cx.plan.memory, cx.until.is_some());
        let consumer = Consumer::open(&all, &cx.plan.source.group, &[], cx.pipeline.wake.clone())?;
        Ok(Self::with(consumer, cx))
    }
}

impl<C: Client> Source<C> {
    /// A source that reads from this client.
    pub(crate) fn with(consumer: C, cx: SourceContext<C::Messages>) -> Self {
        let now = consumer.now();
        Self {
            consumer,
            ledger: Ledger::default(),
            partitions: BTreeMap::new(),
            commits: Commits::new(cx.plan.commit_interval),
            hold: Hold::new(cx.plan.memory.hold_bytes()),
            rebalance: Rebalance::Stable,
            questions: Questions::default(),
            topic_ids: TopicIds::default(),
            resets: ResetPositions::default(),
            history: History::default(),
            until: cx.until.map(|_| Marks::default()),
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
        self.cx.pipeline.wake.register();
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

    /// Asks what lies in the topics until it is told, or a stop is wanted. It is asked before the group is joined: of
    /// two members that start together neither may take the other's first commits for those of an older group.
    fn ask_history(&mut self) {
        while !self.cx.pipeline.stop.is_draining() {
            match self.consumer.history(&self.cx.plan.source) {
                Ok(history) => {
                    self.history = history;
                    return self.cx.pipeline.health.clear(Component::Source);
                }
                Err(why) => {
                    let text =
                        format!("`start: latest` waits for the ends of its topics, to know what is history: {why}");
                    self.cx.pipeline.health.raise(Component::Source, text);
                    let wake = self.cx.pipeline.wake.clone();
                    self.consumer.park(&wake, LONGEST_PARK);
                }
            }
        }
    }

    pub(crate) fn is_over(&mut self) -> bool {
        self.cx.pipeline.stop.is_draining() || self.halt.is_some() || self.bounded_run_is_over()
    }

    /// One turn: reports, drain (which serves callbacks), rebalance, answers, deadlines. Returns whether there may be
    /// more.
    pub(crate) fn turn(&mut self, now: Instant) -> bool {
        let started = self.consumer.now();
        self.cx.pipeline.wake.take();
        let reported = self.take_reports(now);
        let drained = self.take_records(now);
        self.upkeep(now);
        if reported || drained {
            self.cx
                .pipeline
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
        self.cx.pipeline.health.tick();
        self.publish(now);
    }

    fn park(&mut self) {
        let now = self.consumer.now();
        let due = [
            self.commit_wake(),
            self.partitions.values().filter_map(Partition::next_seek).min(),
            self.rebalance.next_due(),
        ];
        let limit = due
            .into_iter()
            .flatten()
            .map(|at| at.saturating_duration_since(now))
            .fold(LONGEST_PARK, Duration::min)
            .max(SHORTEST_PARK);
        let wake = self.cx.pipeline.wake.clone();
        self.consumer.park(&wake, limit);
    }

    /// The one way back (I8): fence, forget, destroy what is held, and read again from the lowest unresolved offset.
    pub(super) fn rewind(&mut self, slot: PartitionId, cause: RewindCause, now: Instant) {
        let Some(partition) = self.partitions.get_mut(&slot) else { return };
        let epoch = Epoch::fresh();
        self.cx.pipeline.table.set_current(slot, epoch);
        let rewound = self.ledger.rewind(slot, epoch);
        self.hold.destroy(slot);
        partition.rewind(now);
        if self.finishing {
            self.given_back += rewound.records;
        }
        if let Some(until) = &mut self.until {
            until.not_done(slot);
        }
        tracing::warn!(pipeline = %self.cx.plan.name, partition = %partition.name, cause = cause.name(),
            records = rewound.records, to = rewound.to.map_or(-1, |to| to.0), "rewinding");
        self.cx.pipeline.metrics.rewound.add(rewound.records);
        self.cx.pipeline.metrics.rewind(cause).add(1);
        self.apply_pauses();
    }

    /// Seeks partitions whose backoff has passed.
    pub(super) fn seek_due(&mut self, now: Instant) {
        if !self.rebalance.is_stable() {
            return;
        }
        let mut positions = Vec::new();
        let id_in_doubt = self.topic_ids.is_doubtful(now);
        let mut unknown = Vec::new();
        let in_question = |one: &Partition| one.is_seeking() || one.truncation.is_some();
        for (slot, partition) in self.partitions.iter_mut().filter(|(_, one)| in_question(one)) {
            match partition.seek_due(self.ledger.position(*slot), id_in_doubt, self.questions.is_asked(*slot), now) {
                SeekDue::Wait => {}
                SeekDue::AskLog => unknown.push(*slot),
                SeekDue::To(to) => positions.push((partition.name.clone(), to)),
            }
        }
        unknown.into_iter().for_each(|slot| self.ask_truncation(slot));
        if positions.is_empty() {
            return;
        }
        // One call for all: its bound is one for all as well.
        let answers = self.consumer.seek(&positions, SEEK_WITHIN_MS).unwrap_or_default();
        for answer in answers.iter().filter(|answer| answer.error.is_none()) {
            let slot = self.cx.pipeline.table.slot(&answer.name);
            if let Some(partition) = slot.and_then(|slot| self.partitions.get_mut(&slot)) {
                partition.sought(now);
            }
        }
    }

    /// Tells the client what to pause and resume; a failed call is repeated in the next turn. A client that is paused
    /// at last has gone on meanwhile, and forgets how far: where it goes on from is not left to it.
    pub(super) fn apply_pauses(&mut self) {
        let mut doubtful = Vec::new();
        for pause in [true, false] {
            let must = |one: &&Partition| {
                if pause { one.pauses.must_pause() } else { one.pauses.must_resume() }
            };
            let names: Vec<_> = self.partitions.values().filter(must).map(|partition| partition.name.clone()).collect();
            if names.is_empty() {
                continue;
            }
            for answer in if pause { self.consumer.pause(&names) } else { self.consumer.resume(&names) } {
                let Some(slot) = self.cx.pipeline.table.slot(&answer.name) else { continue };
                let Some(partition) = self.partitions.get_mut(&slot) else { continue };
                let late = partition.pauses.is_unsure() && answer.error.is_none();
                if late && !mutants::on(Mutant::LatePauseBelieved) {
                    partition.pauses.add(PauseReason::Rewind);
                    doubtful.push(slot);
                }
                partition.told(pause, answer.error.is_none(), self.consumer.now());
                if let Some(until) = &mut self.until {
                    until.disturbed(slot);
                }
            }
        }
        let now = self.consumer.now();
        doubtful.into_iter().for_each(|slot| self.rewind(slot, RewindCause::Redelivered, now));
    }

    /// Adds a reason to pause to all partitions, or takes it away.
    pub(super) fn pause_all(&mut self, reason: PauseReason, on: bool) {
        self.partitions.values_mut().for_each(|partition| partition.pauses.set(reason, on));
    }

    /// The partition's reason to pause is there, or over.
    pub(super) fn set_pause(&mut self, slot: PartitionId, reason: PauseReason, on: bool) {
        if let Some(partition) = self.partitions.get_mut(&slot) {
            partition.pauses.set(reason, on);
        }
    }

    /// Whether a seek of this partition waits for an answer about its log.
    pub(super) fn awaits_answer(&self, slot: PartitionId) -> bool {
        let check = self.partitions.get(&slot).and_then(|partition| partition.truncation.as_ref());
        self.questions.is_asked(slot) || check.is_some_and(TruncationCheck::is_doubtful)
    }

    /// Whether the channel, the ring and the budget have room for another batch.
    pub(super) fn has_room(&self) -> bool {
        !self.cx.batches.is_full()
            && self.next_sequence < self.cx.released.load(Ordering::Acquire) + self.cx.ring
            && self.cx.pipeline.budget.has_room()
    }
}
