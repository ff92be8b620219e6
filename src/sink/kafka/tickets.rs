//! Which tickets have records at the producer, and how the ended ones are told. Pure.

use std::collections::HashMap;

use crate::model::{Epoch, Outcome, Part, PartitionId, Ticket, TicketId};

/// Records handed to the producer and not reported, by ticket.
#[derive(Debug, Default)]
pub(super) struct OpenTickets {
    tickets: HashMap<TicketId, (Ticket, u32), foldhash::fast::FixedState>,
}

impl OpenTickets {
    pub(super) fn open(&mut self, ticket: Ticket, records: u32) {
        if records > 0 {
            self.tickets.entry(ticket.id).or_insert((ticket, 0)).1 += records;
        }
    }

    pub(super) fn close(&mut self, ticket: Ticket, records: u32) {
        if let Some((_, open)) = self.tickets.get_mut(&ticket.id) {
            *open = open.saturating_sub(records);
            if *open == 0 {
                self.tickets.remove(&ticket.id);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tickets.is_empty()
    }

    /// Whether records of this partition are open that are not of the epoch `current`.
    pub(super) fn has_old(&self, slot: PartitionId, current: Epoch) -> bool {
        self.tickets.values().any(|(ticket, _)| ticket.slot == slot && ticket.epoch != current)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Ticket> + '_ {
        self.tickets.values().map(|(ticket, _)| *ticket)
    }

    pub(super) fn clear(&mut self) {
        self.tickets.clear();
    }
}

/// Counts records by ticket. Neighbours are mostly of one ticket, so the last one is looked at first.
#[derive(Debug, Default)]
pub(super) struct TicketCounts {
    counts: Vec<(Ticket, u32)>,
    places: HashMap<TicketId, usize, foldhash::fast::FixedState>,
}

impl TicketCounts {
    pub(super) fn add(&mut self, ticket: Ticket) {
        if let Some((last, records)) = self.counts.last_mut()
            && last.id == ticket.id
        {
            *records += 1;
            return;
        }
        let place = *self.places.entry(ticket.id).or_insert(self.counts.len());
        match self.counts.get_mut(place) {
            Some((_, records)) => *records += 1,
            None => self.counts.push((ticket, 1)),
        }
    }

    /// Empties the tally.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = (Ticket, u32)> + '_ {
        self.places.clear();
        self.counts.drain(..)
    }
}

/// A part for each count.
pub(super) fn parts(counts: impl Iterator<Item = (Ticket, u32)>, outcome: Outcome) -> Vec<Part> {
    counts.map(|(ticket, records)| Part { ticket, outcome, records }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(id: u64, slot: u32, epoch: u64) -> Ticket {
        Ticket { id: TicketId(id), slot: PartitionId(slot), epoch: Epoch(epoch) }
    }

    #[test]
    fn a_ticket_is_open_until_all_its_records_are_reported() {
        let mut open = OpenTickets::default();
        open.open(ticket(1, 0, 1), 2);
        open.open(ticket(1, 0, 1), 1);
        open.open(ticket(2, 1, 1), 0);
        open.close(ticket(1, 0, 1), 2);
        assert!(
            open.has_old(PartitionId(0), Epoch(2))
                && !open.has_old(PartitionId(0), Epoch(1))
                && !open.has_old(PartitionId(1), Epoch(2))
        );
        open.close(ticket(1, 0, 1), 1);
        assert!(open.is_empty());
    }

    #[test]
    fn a_tally_merges_what_comes_mixed() {
        let mut tally = TicketCounts::default();
        for id in [1, 1, 2, 1, 2, 3, 3, 1] {
            tally.add(ticket(id, 0, 1));
        }
        let counts: Vec<_> = tally.drain().map(|(ticket, records)| (ticket.id.0, records)).collect();
        assert_eq!(counts, [(1, 4), (2, 2), (3, 2)]);
        tally.add(ticket(1, 0, 1));
        assert_eq!(tally.drain().count(), 1, "nothing is left of what was drained");
    }
}
