//! The ledger's own cost: open a ticket for a run, settle it, advance the position, ask what may be committed.
//!
//! One run stands for the records of one partition in one batch; the figures are per record, as everywhere.

use sluicegate::internals::model::{Epoch, Offset, Outcome, Part, PartitionId, Position, Ticket};
use sluicegate::internals::source::ledger::{Ledger, Settled};

use crate::stage::Stage;

/// Records of a run: a batch of 256 KiB holds about 280 records of 912 bytes.
const RUN: u32 = 280;
/// Tickets open at one time in each partition.
const OPEN: usize = 16;

struct Books {
    ledger: Ledger,
    next: Vec<i64>,
    open: Vec<Vec<Ticket>>,
}

impl Books {
    fn new(partitions: u32) -> Self {
        let mut ledger = Ledger::default();
        for slot in 0..partitions {
            ledger.assign(PartitionId(slot), Epoch(1), Some(Position(0)));
        }
        Self { ledger, next: vec![0; partitions as usize], open: vec![Vec::new(); partitions as usize] }
    }

    fn open(&mut self, slot: usize) {
        let first = self.next[slot];
        self.next[slot] += i64::from(RUN);
        let opened = self.ledger.open(PartitionId(slot as u32), Offset(first), Position(self.next[slot]), RUN);
        self.open[slot].push(opened.expect("offsets go forward"));
    }

    /// Settles a ticket in `parts` equal parts; the last one closes it.
    fn settle(&mut self, ticket: Ticket, parts: u32) {
        for part in 0..parts {
            let records = RUN / parts;
            let settled = self.ledger.settle(Part::of_records(ticket, Outcome::Delivered, records));
            match settled {
                Settled::Part => assert!(part + 1 < parts),
                Settled::Closed { .. } => assert!(part + 1 == parts),
                Settled::Stale | Settled::Excess => panic!("{settled:?}"),
            }
        }
    }
}

/// All partitions move on by `OPEN` runs each, closed in order or from the newest to the oldest.
fn turn(books: &mut Books, parts: u32, newest_first: bool) -> usize {
    for slot in 0..books.next.len() {
        (0..OPEN).for_each(|_| books.open(slot));
    }
    for slot in 0..books.next.len() {
        let mut tickets = std::mem::take(&mut books.open[slot]);
        if newest_first {
            tickets.reverse();
        }
        tickets.drain(..).for_each(|ticket| books.settle(ticket, parts));
        books.open[slot] = tickets;
    }
    let commits: Vec<_> = books.ledger.committable().collect();
    assert_eq!(commits.len(), books.next.len(), "every partition has moved");
    for (slot, position) in commits {
        assert_eq!(position.0, books.next[slot.0 as usize]);
        books.ledger.asked(slot, position);
    }
    books.next.len()
}

/// One round moves every partition on by [`OPEN`] runs.
pub fn stages() -> impl Iterator<Item = Stage> {
    [1_u32, 64].into_iter().flat_map(|partitions| {
        [("in_order", 1, false), ("in_four_parts", 4, false), ("newest_first", 1, true)].map(
            |(name, parts, newest_first)| {
                let mut books = Books::new(partitions);
                Stage {
                    group: format!("ledger/{name}"),
                    case: partitions.to_string(),
                    records: u64::from(partitions) * OPEN as u64 * u64::from(RUN),
                    bytes: None,
                    run: Box::new(move || turn(&mut books, parts, newest_first)),
                }
            },
        )
    })
}
