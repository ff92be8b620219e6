//! A sink like the one for Kafka: one queue, one producer, reports in order; a failed report rewinds.

use std::collections::VecDeque;
use std::time::Instant;

use crate::model::{PartitionId, PartitionTable, Place, Ticket};

use super::plan::retry;
use super::server::Write;

/// One record on its way.
#[derive(Debug, Clone, Copy)]
pub struct Produced {
    /// Whose.
    pub place: Place,
    /// What.
    pub write: Write,
}

/// What the source asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Say when nothing of the slot's older epochs is on its way.
    Quiesce(PartitionId),
    /// Give up what is on its way.
    Purge,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Relay {
    /// In sequence, not produced yet.
    pub waiting: VecDeque<Produced>,
    /// Produced, not reported yet.
    pub flight: VecDeque<Produced>,
    asked: Vec<PartitionId>,
    silent_since: Option<Instant>,
    gave_up: bool,
}

impl Relay {
    /// Produces at most `most` records; fenced ones are dropped.
    pub fn produce(&mut self, table: &PartitionTable, most: usize) {
        for _ in 0..most {
            let Some(next) = self.waiting.pop_front() else { return };
            let Ticket { slot, epoch, .. } = next.place.ticket;
            if table.is_current(slot, epoch) {
                self.flight.push_back(next);
            }
        }
    }

    /// Whether anything is on its way.
    pub fn is_busy(&self) -> bool {
        !self.flight.is_empty() || !self.waiting.is_empty()
    }

    /// Takes a command; a purge returns what it gave up.
    pub fn command(&mut self, command: Command) -> Vec<Produced> {
        match command {
            Command::Quiesce(slot) => {
                self.asked.push(slot);
                Vec::new()
            }
            Command::Purge => self.flight.drain(..).collect(),
        }
    }

    /// Whether it gives up on a silent broker (`false`), or has its answer again (`true`).
    pub fn patience(&mut self, now: Instant, silent: bool) -> Option<bool> {
        if !silent {
            self.silent_since = None;
            return std::mem::take(&mut self.gave_up).then_some(true);
        }
        if self.flight.is_empty() {
            return None;
        }
        let since = *self.silent_since.get_or_insert(now);
        let over = !self.gave_up && now.duration_since(since) >= retry().in_place;
        self.gave_up |= over;
        over.then_some(false)
    }

    /// Slots that were asked about and are quiet.
    pub fn quiet(&mut self, table: &PartitionTable) -> Vec<PartitionId> {
        let busy = |slot: &PartitionId| {
            self.flight
                .iter()
                .any(|one| one.place.ticket.slot == *slot && !table.is_current(*slot, one.place.ticket.epoch))
        };
        let (waiting, quiet) = self.asked.iter().partition(|slot| busy(slot));
        self.asked = waiting;
        quiet
    }
}
