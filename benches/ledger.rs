//! The ledger's own cost: open a ticket for a run, settle it, advance the position, ask what may be committed.
//!
//! One run stands for the records of one partition in one batch, so the figures are per run, not per record.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sluicegate::model::{Epoch, Offset, Outcome, Part, Position, Slot, Ticket};
use sluicegate::source::ledger::{Ledger, Settled};

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
            ledger.assign(Slot(slot), Epoch::fresh(), Some(Position(0)));
        }
        Self { ledger, next: vec![0; partitions as usize], open: vec![Vec::new(); partitions as usize] }
    }

    fn open(&mut self, slot: usize) {
        let first = self.next[slot];
        self.next[slot] += i64::from(RUN);
        let opened = self.ledger.open(Slot(slot as u32), Offset(first), Position(self.next[slot]), RUN);
        self.open[slot].push(opened.expect("offsets go forward"));
    }

    /// Settles a ticket in `parts` equal parts; the last one closes it.
    fn settle(&mut self, ticket: Ticket, parts: u32) {
        for part in 0..parts {
            let records = RUN / parts;
            let settled = self.ledger.settle(Part { ticket, outcome: Outcome::Delivered, records });
            match settled {
                Settled::Part => assert!(part + 1 < parts),
                Settled::Closed { .. } => assert!(part + 1 == parts),
                Settled::Stale | Settled::Excess => panic!("{settled:?}"),
            }
        }
    }
}

/// All partitions move on by `OPEN` runs each, closed in order or from the newest to the oldest.
fn turn(books: &mut Books, parts: u32, newest_first: bool) {
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
}

fn ledger(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ledger");
    for partitions in [1_u32, 64] {
        group.throughput(Throughput::Elements(u64::from(partitions) * OPEN as u64));
        for (name, parts, newest_first) in
            [("in order", 1, false), ("in four parts", 4, false), ("newest first", 1, true)]
        {
            let mut books = Books::new(partitions);
            group.bench_function(BenchmarkId::new(name, partitions), |bencher| {
                bencher.iter(|| turn(black_box(&mut books), parts, newest_first));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, ledger);
criterion_main!(benches);
