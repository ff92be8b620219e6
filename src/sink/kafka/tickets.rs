//! Which tickets have records at the producer, and how the ended ones are told. Pure.

use std::collections::HashMap;

use crate::model::{Epoch, Offset, Outcome, Part, PartitionId, Place, Ticket, TicketId};

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

/// Counts acknowledged records by ticket, and items by record. Neighbours are mostly of one ticket, so the last one is
/// looked at first.
#[derive(Debug, Default)]
pub(super) struct DeliveredParts {
    parts: Vec<Part>,
    places: HashMap<(TicketId, Option<Offset>), usize, foldhash::fast::FixedState>,
}

impl DeliveredParts {
    pub(super) fn add(&mut self, place: &Place) {
        let one = Part::one(place, Outcome::Delivered);
        if self.parts.last_mut().is_some_and(|last| last.absorb(&one)) {
            return;
        }
        let index = *self.places.entry((one.ticket.id, one.items_of)).or_insert(self.parts.len());
        match self.parts.get_mut(index) {
            Some(part) => part.records += 1,
            None => self.parts.push(one),
        }
    }

    /// All parts; empties the counts.
    pub(super) fn take(&mut self) -> Vec<Part> {
        self.places.clear();
        std::mem::take(&mut self.parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ItemPath;

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
        let mut delivered = DeliveredParts::default();
        let place = |id, offset, item| Place { ticket: ticket(id, 0, 1), offset: Offset(offset), item, index: 0 };
        let (whole, item) = (ItemPath::WHOLE, |number| ItemPath::WHOLE.below(number).expect("within bounds"));
        for id in [1, 1, 2, 1, 2, 3, 3, 1] {
            delivered.add(&place(id, 7, whole));
        }
        for (id, offset, number) in [(1, 8, 0), (1, 9, 0), (1, 8, 1), (1, 8, 2)] {
            delivered.add(&place(id, offset, item(number)));
        }
        let parts: Vec<_> = delivered.take().iter().map(|p| (p.ticket.id.0, p.items_of, p.records)).collect();
        let items = |offset| Some(Offset(offset));
        assert_eq!(parts, [(1, None, 4), (2, None, 2), (3, None, 2), (1, items(8), 3), (1, items(9), 1)]);
        delivered.add(&place(1, 7, whole));
        assert_eq!(delivered.take().len(), 1, "nothing is left of what was taken");
    }
}
