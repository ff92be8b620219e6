//! Rebalances as a state of the control loop. The callback only recorded the event; the group waits until it is
//! applied.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::librdkafka::{OffsetKind, OffsetsAnswer, PartitionAnswer};
use crate::model::{Epoch, Exit, Halt, PartitionId, Position, TopicPartition};
use crate::telemetry::health::{Component, State};

use super::client::Client;
use super::context::Until;
use super::control::Source;
use super::questions::{ANSWER_WITHIN_MS, Purpose};
use super::recreation::{CONFIRM_AFTER, CONFIRMATIONS};
use super::start::{StartFacts, beginning};

/// How long an assignment waits for the answers where to start: the group is held up meanwhile.
const ANSWERS_WITHIN: Duration = Duration::from_secs(6);
/// The same for the answer where the group is: without it the client decides where it begins, and after a place that
/// cannot be read that may be the log's beginning.
const COMMITTED_WITHIN: Duration = Duration::from_secs(30);
/// How long a dry run asks for the partitions of its topics.
const METADATA_WITHIN: Duration = Duration::from_secs(10);
/// How long a revoke waits for a commit's answer and for a purge beyond `revoke_timeout`.
const REVOKE_EXTRA: Duration = Duration::from_secs(1);

/// Where the consumer stands with its group.
pub enum Rebalance {
    /// Nothing pending: records may be drained.
    Stable,
    /// Partitions are to be assigned; waiting for the answers where to start.
    Assigning(Assigning),
    /// Partitions are to be given up; waiting for their records.
    Revoking(Revoking),
}

/// An assignment in progress.
pub struct Assigning {
    partitions: Vec<(TopicPartition, StartFacts)>,
    unanswered: usize,
    since: Instant,
    rounds: u32,
    ask_again: Option<Instant>,
}

/// A revoke in progress.
pub struct Revoking {
    partitions: Vec<TopicPartition>,
    slots: Vec<PartitionId>,
    deadline: Instant,
    /// Bound of the phase that may go beyond the deadline: the commit's answer, then the purge.
    too_late: Instant,
    phase: RevokePhase,
    /// Slots the sink has nothing of any more.
    quiet: BTreeSet<PartitionId>,
}

impl Assigning {
    /// When it is done with what is known by then.
    fn deadline(&self) -> Instant {
        let placeless = self.partitions.iter().any(|(_, known)| known.committed.is_none());
        self.since + if placeless { COMMITTED_WITHIN } else { ANSWERS_WITHIN }
    }

    /// What is to be assigned.
    pub fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.partitions.iter().map(|(name, _)| name)
    }
}

impl Revoking {
    /// What is to be given up.
    #[must_use]
    pub fn partitions(&self) -> &[TopicPartition] {
        &self.partitions
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RevokePhase {
    /// Settlements are served.
    Draining,
    /// What is resolved is being committed.
    Committing,
    /// Fenced; what is in flight is waited for.
    InFlight,
    /// What was in flight was purged.
    Purged,
}

impl Rebalance {
    /// Whether records may be drained.
    #[must_use]
    pub fn is_stable(&self) -> bool {
        matches!(self, Self::Stable)
    }

    /// The sink answered for a partition that is being given up. An answer before the fence has moved is one to an
    /// earlier revoke.
    pub fn heard_quiet(&mut self, slot: PartitionId) {
        if let Self::Revoking(revoking) = self {
            match revoking.phase {
                RevokePhase::Draining | RevokePhase::Committing => {}
                RevokePhase::InFlight | RevokePhase::Purged => {
                    revoking.quiet.insert(slot);
                }
            }
        }
    }

    /// Since when it is asked where an assignment is to begin.
    #[must_use]
    pub fn asks_since(&self) -> Option<Instant> {
        match self {
            Self::Stable | Self::Revoking(_) => None,
            Self::Assigning(assigning) => Some(assigning.since),
        }
    }

    /// When it must be looked at again.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        match self {
            Self::Stable => None,
            Self::Assigning(assigning) => Some(assigning.ask_again.unwrap_or_else(|| assigning.deadline())),
            Self::Revoking(revoking) => Some(match revoking.phase {
                RevokePhase::Draining | RevokePhase::InFlight => revoking.deadline,
                RevokePhase::Committing | RevokePhase::Purged => revoking.too_late,
            }),
        }
    }
}

impl<C: Client> Source<C> {
    /// A dry run takes every partition of its topics, beside whatever the group's members read.
    pub(super) fn assign_by_hand(&mut self) {
        match super::probe::partitions(&self.cx.plan.source, METADATA_WITHIN) {
            Ok(partitions) => self.begin_assign(partitions, self.consumer.now()),
            Err(why) => {
                let message = format!("pipeline {}: the topics could not be listed: {why}", self.cx.plan.name);
                self.halt.get_or_insert(Halt { exit: Exit::Unavailable, message });
            }
        }
    }

    pub(super) fn begin_assign(&mut self, partitions: Vec<TopicPartition>, now: Instant) {
        self.cx.pipeline.metrics.rebalances.add(1);
        self.cx.pipeline.health.reached(Component::Source);
        self.credentials.accepted();
        self.group_waits.assigned();
        self.cx.pipeline.health.clear(Component::Source);
        let known = |name| {
            let history = self.history.end(&name);
            (name, StartFacts { history, ..StartFacts::default() })
        };
        let partitions: Vec<_> = partitions.into_iter().map(known).collect();
        if partitions.is_empty() {
            self.finish_assign(&partitions, now);
            return;
        }
        let mut assigning = Assigning { partitions, unanswered: 0, since: now, rounds: 0, ask_again: None };
        self.ask_starts(&mut assigning);
        self.rebalance = Rebalance::Assigning(assigning);
    }

    fn ask_starts(&mut self, assigning: &mut Assigning) {
        let names: Vec<_> = assigning.partitions.iter().map(|(name, _)| name.clone()).collect();
        assigning.rounds += 1;
        assigning.ask_again = None;
        let since = match self.cx.until {
            Some(Until::Time { unix_ms }) => Some(OffsetKind::Since { unix_ms }),
            Some(Until::End) | None => None,
        };
        let ends: Vec<_> = [OffsetKind::Earliest, OffsetKind::Latest].into_iter().chain(since).collect();
        assigning.unanswered = 1 + ends.len();
        let request = self.questions.ask(Purpose::Assign);
        self.consumer.ask_committed(&names, request);
        for kind in ends {
            let request = self.questions.ask(Purpose::Assign);
            self.consumer.ask_ends(kind, &names, ANSWER_WITHIN_MS, request);
        }
    }

    /// An answer for the assignment in progress (or for one that is over: ignored).
    pub(super) fn start_answered(&mut self, answer: OffsetsAnswer) {
        let Rebalance::Assigning(assigning) = &mut self.rebalance else { return };
        assigning.unanswered = assigning.unanswered.saturating_sub(1);
        let Ok(partitions) = answer.result else { return };
        for PartitionAnswer { name, offset, error } in partitions {
            let Some((_, known)) = assigning.partitions.iter_mut().find(|(wanted, _)| *wanted == name) else {
                continue;
            };
            if error.is_some() {
                continue;
            }
            let position = (offset >= 0).then_some(Position(offset));
            match answer.kind {
                OffsetKind::Committed => known.committed = Some(self.resets.instead_of(&name, position)),
                OffsetKind::Earliest => known.low = position,
                OffsetKind::Latest => known.end = position,
                OffsetKind::Since { .. } => known.since = Some(position),
            }
        }
    }

    /// Moves a pending rebalance on.
    pub(super) fn advance_rebalance(&mut self, now: Instant) {
        match std::mem::replace(&mut self.rebalance, Rebalance::Stable) {
            Rebalance::Stable => {}
            Rebalance::Assigning(assigning) => self.advance_assign(assigning, now),
            Rebalance::Revoking(revoking) => self.advance_revoke(revoking, now),
        }
    }

    fn advance_assign(&mut self, mut assigning: Assigning, now: Instant) {
        let in_time = now < assigning.deadline() && !self.cx.pipeline.stop.is_aborting();
        if in_time && assigning.unanswered > 0 {
            self.rebalance = Rebalance::Assigning(assigning);
            return;
        }
        let start = self.cx.plan.source.start;
        let by_time = matches!(self.cx.until, Some(Until::Time { .. }));
        let doubtful = assigning.partitions.iter().any(|(_, known)| {
            known.committed.is_none()
                || known.end.is_none()
                || known.low.is_none()
                || (by_time && known.since.is_none())
                || (beginning(*known, start).truncated && assigning.rounds < CONFIRMATIONS)
        });
        if in_time && doubtful {
            match assigning.ask_again {
                None => assigning.ask_again = Some(now + CONFIRM_AFTER),
                Some(at) if at <= now => self.ask_starts(&mut assigning),
                Some(_) => {}
            }
            self.rebalance = Rebalance::Assigning(assigning);
            return;
        }
        self.finish_assign(&assigning.partitions, now);
    }

    fn finish_assign(&mut self, partitions: &[(TopicPartition, StartFacts)], now: Instant) {
        let start = self.cx.plan.source.start;
        let list: Vec<_> = partitions.iter().map(|(name, known)| (name.clone(), beginning(*known, start).at)).collect();
        if let Err(code) = self.consumer.assign(&list) {
            tracing::error!(pipeline = %self.cx.plan.name, %code, "the client refused an assignment; the group will rebalance");
            return;
        }
        self.all_changed();
        for (name, known) in partitions {
            self.take_partition(name, *known);
        }
        self.cx.pipeline.metrics.assigned_partitions.set(self.partitions.len() as i64);
        self.topic_ids.assigned(&self.assigned_topics());
        if !self.cx.pipeline.stop.is_draining() {
            self.cx.pipeline.health.set_state(State::Running);
        }
        if let Some(until) = &mut self.until {
            until.assignment_received(now);
        }
        self.apply_pauses();
        tracing::info!(pipeline = %self.cx.plan.name, added = partitions.len(), assigned = self.partitions.len(), "partitions assigned");
    }

    pub(super) fn begin_revoke(&mut self, partitions: Vec<TopicPartition>, lost: bool, now: Instant) {
        self.cx.pipeline.metrics.rebalances.add(1);
        let slots: Vec<_> = partitions.iter().filter_map(|name| self.cx.pipeline.table.slot(name)).collect();
        // Not counted yet, so nothing is lost: the next owner reads them.
        slots.iter().for_each(|slot| {
            self.hold.destroy(*slot);
        });
        let deadline = now + self.cx.plan.source.revoke_timeout;
        let phase = if lost { RevokePhase::InFlight } else { RevokePhase::Draining };
        if lost {
            tracing::warn!(pipeline = %self.cx.plan.name, partitions = partitions.len(), "assignment lost: committing nothing");
            self.lost_uncommitted |=
                !self.committed_all(&slots) || slots.iter().any(|slot| !self.ledger.is_quiet(*slot));
            self.fence(&slots);
            slots.iter().for_each(|slot| self.cx.in_flight.ask(*slot));
        }
        let (quiet, too_late) = (BTreeSet::new(), deadline + REVOKE_EXTRA);
        self.rebalance = Rebalance::Revoking(Revoking { partitions, slots, deadline, too_late, phase, quiet });
        self.advance_rebalance(now);
    }

    fn advance_revoke(&mut self, mut revoking: Revoking, now: Instant) {
        let over = self.cx.pipeline.stop.is_aborting();
        let late = now >= revoking.deadline || over;
        let too_late = now >= revoking.too_late || over;
        match revoking.phase {
            RevokePhase::Draining if late || revoking.slots.iter().all(|slot| self.ledger.is_quiet(*slot)) => {
                revoking.phase = RevokePhase::Committing;
                self.commit_due(now, true);
            }
            RevokePhase::Committing if too_late || self.committed_all(&revoking.slots) => {
                self.fence(&revoking.slots);
                revoking.slots.iter().for_each(|slot| self.cx.in_flight.ask(*slot));
                revoking.phase = RevokePhase::InFlight;
            }
            RevokePhase::Committing => self.commit_due(now, true),
            RevokePhase::InFlight if self.wire_is_quiet(&revoking) => return self.finish_revoke(&revoking),
            RevokePhase::InFlight if late => {
                self.cx.in_flight.purge();
                // Its own bound: the commit may have used up the other.
                revoking.too_late = now + REVOKE_EXTRA;
                revoking.phase = RevokePhase::Purged;
            }
            RevokePhase::Purged if too_late || self.wire_is_quiet(&revoking) => return self.finish_revoke(&revoking),
            RevokePhase::Draining | RevokePhase::InFlight | RevokePhase::Purged => {}
        }
        self.rebalance = Rebalance::Revoking(revoking);
    }

    fn wire_is_quiet(&self, revoking: &Revoking) -> bool {
        revoking.slots.iter().all(|slot| revoking.quiet.contains(slot) || self.cx.in_flight.is_quiet(*slot))
    }

    /// From here on nothing of these partitions is sent or committed.
    pub(super) fn fence(&mut self, slots: &[PartitionId]) {
        for slot in slots {
            self.cx.pipeline.table.set_current(*slot, Epoch::NONE);
            let records = self.ledger.revoke(*slot);
            self.cx.pipeline.metrics.rewound.add(records);
            self.questions.forget(*slot);
            if let Some(partition) = self.partitions.get_mut(slot) {
                partition.give_up();
            }
        }
        self.show_damaged();
    }

    fn finish_revoke(&mut self, revoking: &Revoking) {
        self.fence(&revoking.slots);
        // librdkafka never clears an application's pause by itself.
        let gone: Vec<_> = revoking.slots.iter().filter_map(|slot| self.partitions.remove(slot)).collect();
        let paused: Vec<_> = gone.iter().filter(|one| one.pauses.is_paused()).map(|one| one.name.clone()).collect();
        if !paused.is_empty() {
            self.consumer.resume(&paused);
        }
        gone.iter().for_each(|one| self.cx.pipeline.lag.remove(&one.name));
        if let Some(until) = &mut self.until {
            revoking.slots.iter().for_each(|slot| until.revoke(*slot));
        }
        if let Err(code) = self.consumer.unassign(&revoking.partitions) {
            tracing::warn!(pipeline = %self.cx.plan.name, %code, "the client refused to give partitions up");
        }
        self.all_changed();
        self.cx.pipeline.metrics.assigned_partitions.set(self.partitions.len() as i64);
        if self.partitions.is_empty() {
            self.group_waits.unassigned(self.consumer.now());
        }
        self.topic_ids.assigned(&self.assigned_topics());
        self.rebalance = Rebalance::Stable;
        tracing::info!(pipeline = %self.cx.plan.name, given_up = revoking.slots.len(), assigned = self.partitions.len(), "partitions revoked");
    }
}
