//! The end of a source: drain, commit, leave the group, in the measured order; every wait bounded.

use std::time::Duration;

use secrecy::ExposeSecret as _;

use crate::librdkafka::Event;
use crate::model::{PartitionId, TopicPartition};
use crate::mutants::{self, Mutant};
use crate::telemetry::health::Component;

use super::client::{Client, Messages};
use super::context::SourceEnd;
use super::control::Source;
use super::rebalance::Rebalance;

/// Bound of the last commit after a halt or an abort, refused ones sent again: a cooperative rejoin takes a few
/// seconds.
const COMMIT_WITHIN: Duration = Duration::from_secs(5);
/// The same while nobody is in a hurry: it outlasts a broker's restart. A drain ends it by its abort.
const COMMIT_AT_LEISURE: Duration = Duration::from_secs(60);
/// Bound of leaving the group.
const CLOSE_WITHIN: Duration = Duration::from_secs(6);
/// Bound of giving the subscription up. During a join librdkafka sends the leave only when the join is over, and that
/// waits for the other members, who hear of it with a heartbeat (3 s) and have their own revokes to finish. The answer
/// to the leave is waited for by the close.
const LEAVE_WITHIN: Duration = Duration::from_secs(10);
/// How long a client that was started just now may take to become a member: one that leaves between its first question
/// and the answer is waited for by the group until its session ends.
const MEMBER_WITHIN: Duration = Duration::from_secs(1);
/// Bound of freeing the client.
const DESTROY_WITHIN: Duration = Duration::from_secs(5);
/// Bound of each of these after an abort: a second signal means at once.
const ABORTED_WITHIN: Duration = Duration::from_secs(1);
/// How long a halted pipeline goes on settling what does not depend on the fault.
const HALTED_DRAIN: Duration = Duration::from_secs(5);
/// How long the loop parks while it drains: reports wake it.
const DRAIN_PARK: Duration = Duration::from_millis(20);
/// How long it parks while it waits for the answer to the last commit.
const COMMIT_PARK: Duration = Duration::from_millis(10);
/// The same while a refused one waits to be sent again.
const REFUSED_PARK: Duration = Duration::from_millis(50);
/// Messages thrown away in one call while leaving: that serves the callbacks.
const LEAVING_DRAIN: usize = 64;
/// How long such a call waits.
const LEAVING_WAIT_MS: i32 = 20;
/// How often the group is served while draining.
const SERVE_EVERY: Duration = Duration::from_millis(100);

impl<C: Client> Source<C> {
    pub(crate) fn finish(mut self) -> SourceEnd {
        self.lost_uncommitted = false;
        self.stop_taking();
        self.await_settlements();
        let left_open = self.ledger.tally().open + self.given_back;
        let committed = self.commit_the_rest();
        self.leave();
        self.balance();
        self.cx.view.publish_now(&self.ledger);
        let end = SourceEnd { halt: self.halt.take(), left_open, committed };
        let limit = self.patience(DESTROY_WITHIN);
        // Whatever of the sink still waits has nobody to report to; what it holds of our messages would delay the
        // client.
        self.cx.pipeline.stop.abort();
        let Self { consumer, .. } = self;
        if !consumer.destroy(limit) {
            tracing::warn!("the Kafka client did not end in time; it ends with the process");
        }
        end
    }

    /// Closes the way to the workers: they end when it is empty, then the sink does.
    pub(super) fn stop_taking(&mut self) {
        let (closed, _) = flume::bounded(0);
        self.cx.batches = closed;
        self.finishing = true;
        for (slot, partition) in &mut self.partitions {
            if self.hold.destroy(*slot) > 0 {
                partition.destroyed();
            }
        }
    }

    /// Until nothing is open, or whoever could settle it is gone, or the deadline says stop.
    fn await_settlements(&mut self) {
        let mut next_serve = self.consumer.now();
        while self.ledger.tally().open > 0 && !self.cx.pipeline.stop.is_aborting() {
            let now = self.consumer.now();
            let halted = self.halt.as_ref().map(|_| self.halted_at.get_or_insert(now).checked_add(HALTED_DRAIN));
            if halted.flatten().is_some_and(|deadline| now >= deadline) {
                break;
            }
            self.cx.pipeline.wake.take();
            let more = self.take_reports(now);
            if !more && self.cx.reports.is_disconnected() && self.cx.reports.is_empty() {
                break;
            }
            if now >= next_serve {
                next_serve = now + SERVE_EVERY;
                self.serve_group();
            }
            self.upkeep(now);
            if !more {
                self.park_for(DRAIN_PARK);
            }
        }
    }

    fn park_for(&mut self, limit: Duration) {
        let wake = self.cx.pipeline.wake.clone();
        self.consumer.park(&wake, limit);
    }

    /// Keeps the group membership and runs callbacks; what comes is not read any more: destroyed, uncounted.
    pub(super) fn serve_group(&mut self) {
        let messages = self.consumer.drain(1, 0);
        for segment in messages.segments() {
            let name = TopicPartition { topic: segment.topic.into(), partition: segment.partition };
            let slot = self.cx.pipeline.table.slot(&name);
            if let Some(partition) = slot.and_then(|slot| self.partitions.get_mut(&slot)) {
                partition.destroyed();
            }
        }
    }

    /// A bound of the way out; after an abort all of them are short.
    fn patience(&self, full: Duration) -> Duration {
        if self.cx.pipeline.stop.is_aborting() { full.min(ABORTED_WITHIN) } else { full }
    }

    fn commit_the_rest(&mut self) -> bool {
        if self.cx.dry_run {
            return true;
        }
        let started = self.consumer.now();
        loop {
            let now = self.consumer.now();
            self.take_reports(now);
            self.take_events(now);
            self.take_replies(now);
            self.advance_rebalance(now);
            self.commit_due(now, true);
            self.look_at_group(now);
            self.cx.pipeline.health.tick();
            self.balance();
            let nothing_left = !self.commits.is_waiting() && self.ledger.committable().next().is_none();
            if nothing_left && !self.lost_uncommitted {
                return true;
            }
            let full = if self.halt.is_some() { COMMIT_WITHIN } else { COMMIT_AT_LEISURE };
            if nothing_left || now >= started + self.patience(full) {
                let why = match (self.lost_uncommitted, self.last_commit_error) {
                    (true, _) => "the group took the partitions away".to_owned(),
                    (false, Some(code)) => code.to_string(),
                    (false, None) => "no answer".to_owned(),
                };
                tracing::error!(pipeline = %self.cx.plan.name, why,
                    "the last positions could not be committed: their records will be read and sent again");
                return false;
            }
            self.serve_group();
            self.cx.pipeline.wake.take();
            self.park_for(if self.last_commit_error.is_some() { REFUSED_PARK } else { COMMIT_PARK });
        }
    }

    fn leave(&mut self) {
        // From here on nobody takes reports: a sender must not wait for a place.
        self.cx.reports = flume::bounded(0).1;
        self.publish_lag();
        self.cx.pipeline.metrics.commit_unanswered_since_ms.set(0);
        self.cx.pipeline.health.clear(Component::Group);
        let slots: Vec<PartitionId> = self.partitions.keys().copied().collect();
        self.fence(&slots);
        // Other pipelines may go on: what nobody reads any more must not look as if it stood still.
        self.partitions.clear();
        self.cx.pipeline.lag.end();
        self.cx.pipeline.metrics.assigned_partitions.set(0);
        self.apply_pending_rebalance();
        self.give_subscription_up();
        if let Err(code) = self.consumer.start_close() {
            tracing::warn!(pipeline = %self.cx.plan.name, %code, "the group cannot be left in order; the session will time out");
            return;
        }
        let started = self.consumer.now();
        while !self.consumer.is_closed() {
            if self.consumer.now() >= started + self.patience(CLOSE_WITHIN) {
                tracing::warn!(pipeline = %self.cx.plan.name, "leaving the group took too long; the session will time out");
                return;
            }
            self.serve_leaving();
        }
    }

    /// Leaves the group. A static member stays in it, so that a restart moves no partitions.
    fn give_subscription_up(&mut self) {
        let source = &self.cx.plan.source;
        // In KIP-848's protocol closing leaves by itself.
        let protocol = source.connection.properties.get("group.protocol");
        let by_heartbeat = protocol.is_some_and(|protocol| protocol.expose_secret() == "consumer");
        let stays = source.instance_id.is_some() || by_heartbeat || mutants::on(Mutant::StandbyStaysInItsGroup);
        if self.cx.dry_run || stays {
            return;
        }
        let started = self.consumer.now();
        while !self.consumer.is_member() && self.consumer.now() < started + self.patience(MEMBER_WITHIN) {
            self.serve_leaving();
        }
        self.consumer.unsubscribe();
        while self.consumer.is_member() {
            if self.consumer.now() >= started + self.patience(LEAVE_WITHIN) {
                tracing::warn!(pipeline = %self.cx.plan.name, group = %self.cx.plan.source.group,
                    "a rebalance of the group lasts too long to wait for its end: the group keeps this member until its \
                     session ends ({:?}, `session_timeout`)", self.cx.plan.source.session_timeout);
                return;
            }
            self.serve_leaving();
        }
    }

    /// Runs callbacks and does what they ask for; records are not looked at.
    fn serve_leaving(&mut self) {
        drop(self.consumer.drain(LEAVING_DRAIN, LEAVING_WAIT_MS));
        for event in self.consumer.events() {
            match event {
                // What is given to us now must be taken before it can be given up. Nothing of it is read.
                Event::Assign(partitions) => {
                    let all: Vec<_> = partitions.into_iter().map(|name| (name, 0)).collect();
                    let _ = self.consumer.assign(&all);
                }
                // Where some were given up already the client refuses all, and goes on waiting for a call.
                Event::Revoke { partitions, .. } => {
                    if self.consumer.unassign(&partitions).is_err() {
                        let _ = self.consumer.unassign(&[]);
                    }
                }
                Event::RebalanceFailed(_)
                | Event::Statistics(_)
                | Event::Error { .. }
                | Event::InPlaceOfRecord { .. } => {}
            }
        }
    }

    /// A recorded rebalance that is never applied makes the close hang.
    fn apply_pending_rebalance(&mut self) {
        match std::mem::replace(&mut self.rebalance, Rebalance::Stable) {
            Rebalance::Stable => {}
            Rebalance::Assigning(assigning) => {
                let all: Vec<_> = assigning.partitions().map(|name| (name.clone(), 0)).collect();
                let _ = self.consumer.assign(&all);
            }
            Rebalance::Revoking(revoking) => drop(self.consumer.unassign(revoking.partitions())),
        }
    }
}
