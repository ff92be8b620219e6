//! What the loop does about partitions whose reading broke off. What is due is decided in [`super::damage`].

use std::time::Instant;

use crate::config::plan::OnDamaged;
use crate::model::{Exit, Halt, PartitionId, Position};
use crate::mutants::{self, Mutant};
use crate::telemetry::health::Component;

use super::client::Client;
use super::control::Source;
use super::damage::{Damage, DamageDue, ReadError};
use super::partition::Partition;

/// Partitions an alert names; of the others it tells the number.
const NAMED: usize = 3;

impl<C: Client> Source<C> {
    /// An error came in the place of a record. What was read before it goes on; nothing behind it is taken, and the
    /// client's position, which counts the error as read, is not believed.
    pub(super) fn broke_off(&mut self, slot: PartitionId, error: ReadError, now: Instant) {
        let Some(partition) = self.partitions.get_mut(&slot) else { return };
        if mutants::on(Mutant::ErrorTakenForARecord) {
            return;
        }
        partition.distrust_client();
        // It is of where the client was before the seek that is to come.
        if partition.is_seeking() {
            return;
        }
        // A bounded run does not want what lies behind its end.
        if self.until.as_ref().is_some_and(|until| until.is_passed(slot)) {
            return;
        }
        partition.broke_off(error, self.ledger.expected(slot), self.ledger.position(slot), now);
        self.hold.destroy(slot);
        self.until.iter_mut().for_each(|until| until.disturbed(slot));
        self.show_damaged();
    }

    /// Records were taken up to `next`: a place before it that could not be read can be.
    pub(super) fn read_behind(&mut self, slot: PartitionId, next: Position) {
        let Some(partition) = self.partitions.get_mut(&slot) else { return };
        if partition.damage.take_if(|damage| damage.is_cured_by(next)).is_some() {
            self.show_damaged();
        }
    }

    /// The client's statistics say that it has read on without an error: what could not be read was nothing, or is
    /// gone.
    pub(super) fn client_read_on(&mut self, slot: PartitionId, next: Position, end: Position) {
        let Some(partition) = self.partitions.get_mut(&slot) else { return };
        if partition.damage.take_if(|damage| damage.client_read_on(next, end)).is_some() {
            self.show_damaged();
        }
    }

    /// The partition is another log.
    pub(super) fn forget_damage(&mut self, slot: PartitionId) {
        if self.partitions.get_mut(&slot).is_some_and(Partition::forget_damage) {
            self.show_damaged();
        }
    }

    /// The partitions whose reading broke off.
    pub(super) fn damaged(&self) -> impl Iterator<Item = (PartitionId, &Partition, &Damage)> {
        self.partitions.iter().filter_map(|(slot, partition)| Some((*slot, partition, partition.damage.as_ref()?)))
    }

    /// Reads damaged places again, and steps over them where that is wanted.
    pub(super) fn tend_damaged(&mut self, now: Instant) {
        if self.finishing || !self.rebalance.is_stable() {
            return;
        }
        let slots: Vec<PartitionId> = self.damaged().map(|(slot, ..)| slot).collect();
        for slot in slots {
            // Only a partition of which nothing is open has a position to go on from.
            let busy = !self.ledger.is_quiet(slot) || self.awaits_answer(slot);
            let Some(partition) = self.partitions.get_mut(&slot) else { continue };
            match partition.damage_due(self.ledger.position(slot), busy, self.cx.plan.source.on_damaged, now) {
                DamageDue::Wait => {}
                DamageDue::Read(_) => self.seek_damaged(slot, now),
                DamageDue::Skip { from, to } => self.skip_damaged(slot, from, to, now),
            }
        }
    }

    fn seek_damaged(&mut self, slot: PartitionId, now: Instant) {
        if let Some(partition) = self.partitions.get_mut(&slot) {
            partition.read_damage_again(now);
        }
        // Statistics of before the seek say nothing of what comes after it.
        self.until.iter_mut().for_each(|until| until.disturbed(slot));
    }

    fn skip_damaged(&mut self, slot: PartitionId, from: Position, to: Position, now: Instant) {
        let Some(partition) = self.partitions.get_mut(&slot) else { return };
        let Some(damage) = partition.damage.take() else { return };
        let mark = self.until.as_ref().and_then(|until| until.mark(slot));
        // A bounded run skips nothing behind its end. Where nothing is known of the group, the batch may lie there
        // whole.
        let to = mark.map_or(to, |mark| to.min(mark));
        self.ledger.adopt(slot, to);
        let offsets = to.0.saturating_sub(from.0).max(0) as u64;
        self.cx.pipeline.metrics.damaged_offsets_skipped.add(offsets);
        if offsets > 0 {
            tracing::error!(pipeline = %self.cx.plan.name, partition = %partition.name, from = from.0, to = to.0,
                "{offsets} offsets are skipped (`on_damaged: skip`), their records are lost: {}", damage.text());
        }
        self.seek_damaged(slot, now);
        self.show_damaged();
    }

    /// Ends a bounded run in which nothing is left but partitions that cannot be read to their end. `all` says of each
    /// partition whether it is done.
    pub(super) fn only_damaged_are_left(&mut self, all: &[(PartitionId, bool)]) -> bool {
        let now = self.consumer.now();
        let holds = |damage: &Damage| damage.policy(self.cx.plan.source.on_damaged) == OnDamaged::Hold;
        let is_left = |slot: &PartitionId| {
            let damage = self.partitions.get(slot).and_then(|partition| partition.damage.as_ref());
            damage.is_some_and(|damage| holds(damage) && damage.is_confirmed(now))
        };
        let quiet = all.iter().all(|(slot, _)| self.ledger.is_quiet(*slot));
        if !quiet || !all.iter().all(|(slot, done)| *done || is_left(slot)) {
            return false;
        }
        let message = format!(
            "pipeline {}: {}. Everything before it was delivered and committed, nothing behind it was read",
            self.cx.plan.name,
            self.damaged_text()
        );
        self.halt.get_or_insert(Halt { exit: Exit::Protocol, message });
        true
    }

    fn damaged_text(&self) -> String {
        let on_damaged = self.cx.plan.source.on_damaged;
        let named = self.damaged().take(NAMED).map(|(_, Partition { name, .. }, damage)| {
            let then = match (damage.policy(on_damaged), on_damaged) {
                (OnDamaged::Skip, _) => "; it will be skipped (`on_damaged: skip`)",
                (OnDamaged::Hold, OnDamaged::Skip) => "; `on_damaged: skip` cannot step over it",
                (OnDamaged::Hold, OnDamaged::Hold) => "",
            };
            format!("{name} cannot be read from offset {} on: {}{then}", damage.place(), damage.text())
        });
        let mut text = named.collect::<Vec<_>>().join("; ");
        let all = self.damaged().count();
        if all > NAMED {
            text.push_str(&format!("; and {} partitions more", all - NAMED));
        }
        let can_be_skipped = self.damaged().any(|(.., damage)| damage.policy(OnDamaged::Skip) == OnDamaged::Skip);
        text.push_str(match (on_damaged, can_be_skipped) {
            (OnDamaged::Hold, true) => {
                ". It is read again now and then. Restore the partition from a replica; or lose the batch: set \
                 `on_damaged: skip` on the source, or move the group's offset behind it"
            }
            (OnDamaged::Hold, false) => {
                ". It is read again now and then. Restore the partition from a replica, or lose the batch: move the group's \
                 offset behind it"
            }
            (OnDamaged::Skip, true | false) => {
                ". What cannot be skipped is read again now and then: restore the partition from a replica, or move the \
                 group's offset behind it"
            }
        });
        text
    }

    /// Says which partitions stand still, or that none does any more.
    pub(super) fn show_damaged(&mut self) {
        let all = self.damaged().count();
        self.cx.pipeline.metrics.damaged_partitions.set(all as i64);
        if all == 0 {
            self.cx.pipeline.health.clear(Component::Damage);
        } else {
            self.cx.pipeline.health.raise(Component::Damage, self.damaged_text());
        }
    }
}
