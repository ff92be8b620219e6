//! What the loop does about partitions whose reading broke off. What is due is decided in [`super::damage`].

use std::time::Instant;

use crate::config::plan::OnDamaged;
use crate::model::{Exit, Halt, PartitionId, Position};
use crate::mutants::{self, Mutant};
use crate::telemetry::health::Component;

use super::assigned::SeekProof;
use super::client::Client;
use super::control::Source;
use super::damage::{Damage, DamageDue, ReadError};
use super::pauses::PauseReason;

/// Partitions an alert names; of the others it tells the number.
const NAMED: usize = 3;

impl<C: Client> Source<C> {
    /// An error came in the place of a record. What was read before it goes on; nothing behind it is taken, and the
    /// client's position, which counts the error as read, is not believed.
    pub(super) fn broke_off(&mut self, slot: PartitionId, error: ReadError, now: Instant) {
        let Some(assigned) = self.assigned.get_mut(&slot) else { return };
        if mutants::on(Mutant::ErrorTakenForARecord) {
            return;
        }
        assigned.read_in_epoch = false;
        // It is of where the client was before the seek that is to come.
        if self.rewinds.is_waiting(slot) {
            return;
        }
        // A bounded run does not want what lies behind its end.
        if self.until.as_ref().is_some_and(|until| until.is_passed(slot)) {
            return;
        }
        let (expected, end) = (self.ledger.expected(slot), assigned.end);
        self.hold.destroy(slot);
        let position = self.ledger.position(slot);
        self.pauses.add(slot, PauseReason::Damaged);
        self.until.iter_mut().for_each(|until| until.disturbed(slot));
        self.damaged
            .entry(slot)
            .and_modify(|damage| damage.failed_again(error.clone(), position, now))
            .or_insert_with(|| Damage::found(error, expected, end, now));
        self.show_damaged();
    }

    /// Records were taken up to `next`: a place before it that could not be read can be.
    pub(super) fn read_behind(&mut self, slot: PartitionId, next: Position) {
        if self.damaged.get(&slot).is_some_and(|damage| damage.is_cured_by(next)) {
            self.damaged.remove(&slot);
            self.show_damaged();
        }
    }

    /// The client's statistics say that it has read on without an error: what could not be read was nothing, or is gone.
    pub(super) fn client_read_on(&mut self, slot: PartitionId, next: Position, end: Position) {
        if self.damaged.get_mut(&slot).is_some_and(|damage| damage.client_read_on(next, end)) {
            self.damaged.remove(&slot);
            self.show_damaged();
        }
    }

    /// The partition is another log, or not ours any more.
    pub(super) fn forget_damage(&mut self, slot: PartitionId) {
        if self.damaged.remove(&slot).is_some() {
            self.pauses.remove(slot, PauseReason::Damaged);
            self.show_damaged();
        }
    }

    /// Reads damaged places again, and steps over them where that is wanted.
    pub(super) fn tend_damaged(&mut self, now: Instant) {
        if self.damaged.is_empty() || self.finishing || !self.rebalance.is_stable() {
            return;
        }
        let slots: Vec<PartitionId> = self.damaged.keys().copied().collect();
        for slot in slots {
            // Only a partition of which nothing is open has a position to go on from.
            let busy = !self.ledger.is_quiet(slot) || self.rewinds.is_waiting(slot) || self.questions.concerns(slot);
            let (position, end) = (self.ledger.position(slot), self.assigned.get(&slot).and_then(|one| one.end));
            let Some(damage) = self.damaged.get_mut(&slot) else { continue };
            if damage.is_paused() {
                self.pauses.add(slot, PauseReason::Damaged);
            }
            if busy {
                continue;
            }
            match damage.due(position, end, self.cx.plan.source.on_damaged, now) {
                DamageDue::Wait => {}
                DamageDue::Read(_) => self.seek_damaged(slot, now),
                DamageDue::Skip { from, to } => self.skip_damaged(slot, from, to, now),
            }
        }
    }

    fn seek_damaged(&mut self, slot: PartitionId, now: Instant) {
        self.pauses.add(slot, PauseReason::Rewind);
        // The others are about records that are read again.
        for over in [PauseReason::Damaged, PauseReason::Span, PauseReason::Until] {
            self.pauses.remove(slot, over);
        }
        self.rewinds.at_once(slot, now);
        // Statistics of before the seek say nothing of what comes after it.
        self.until.iter_mut().for_each(|until| until.disturbed(slot));
        if let Some(assigned) = self.assigned.get_mut(&slot) {
            assigned.check_gap = true;
            // A record that already came first once, above the target, needs to come but once more.
            if assigned.seek == SeekProof::Given {
                assigned.seek = SeekProof::Awaited;
            }
            assigned.read_in_epoch = false;
            assigned.destroyed = false;
        }
    }

    fn skip_damaged(&mut self, slot: PartitionId, from: Position, to: Position, now: Instant) {
        let Some(damage) = self.damaged.remove(&slot) else { return };
        let mark = self.until.as_ref().and_then(|until| until.mark(slot));
        // A bounded run skips nothing behind its end. Where nothing is known of the group, the batch may lie there whole.
        let to = mark.map_or(to, |mark| to.min(mark));
        self.ledger.adopt(slot, to);
        let offsets = to.0.saturating_sub(from.0).max(0) as u64;
        self.cx.metrics.damaged_offsets_skipped.add(offsets);
        if let Some(assigned) = self.assigned.get(&slot).filter(|_| offsets > 0) {
            tracing::error!(pipeline = %self.cx.plan.name, partition = %assigned.name, from = from.0, to = to.0,
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
        let is_left =
            |slot: &PartitionId| self.damaged.get(slot).is_some_and(|damage| holds(damage) && damage.is_confirmed(now));
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
        let named = self.damaged.iter().take(NAMED).filter_map(|(slot, damage)| {
            let name = self.cx.table.name(*slot)?;
            let then = match (damage.policy(on_damaged), on_damaged) {
                (OnDamaged::Skip, _) => "; it will be skipped (`on_damaged: skip`)",
                (OnDamaged::Hold, OnDamaged::Skip) => "; `on_damaged: skip` cannot step over it",
                (OnDamaged::Hold, OnDamaged::Hold) => "",
            };
            Some(format!("{name} cannot be read from offset {} on: {}{then}", damage.place(), damage.text()))
        });
        let mut text = named.collect::<Vec<_>>().join("; ");
        if self.damaged.len() > NAMED {
            text.push_str(&format!("; and {} partitions more", self.damaged.len() - NAMED));
        }
        let can_be_skipped = self.damaged.values().any(|damage| damage.policy(OnDamaged::Skip) == OnDamaged::Skip);
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
        self.cx.metrics.damaged_partitions.set(self.damaged.len() as i64);
        if self.damaged.is_empty() {
            self.cx.health.clear(Component::Damage);
        } else {
            self.cx.health.raise(Component::Damage, self.damaged_text());
        }
    }
}
