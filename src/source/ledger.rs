//! The ledger: which records are open, and up to where each partition is resolved. Pure: no clock, no I/O.
//!
//! One entry a run, not a record: a ticket closes when its parts add up to its records, and a partition's *position*
//! advances over the contiguous closed prefix only. That is what makes a committed position safe (I1). A record of
//! which steps made items is one record: it ends when all of them have.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use enum_map::EnumMap;

use crate::model::{Conservation, Epoch, Offset, Outcome, Part, PartitionId, Position, SplitRecord, Ticket, TicketId};

/// Books of one pipeline. Touched by the source thread only.
#[derive(Debug, Default)]
pub struct Ledger {
    partitions: BTreeMap<PartitionId, PartitionBooks>,
    next_ticket: u64,
    tally: Conservation,
}

#[derive(Debug)]
struct PartitionBooks {
    epoch: Epoch,
    /// Everything below is resolved. `None` until the first offset of this tenure is known.
    position: Option<Position>,
    /// No record below may be accepted in this epoch.
    expected: Option<Position>,
    /// The highest position a commit was asked for in this tenure.
    asked: Option<Position>,
    entries: VecDeque<LedgerEntry>,
    /// Records of all entries.
    span: u64,
}

#[derive(Debug)]
struct LedgerEntry {
    id: TicketId,
    next: Position,
    records: u32,
    open: u32,
    parts: EnumMap<Outcome, u32>,
    /// Records of which there are items, by offset.
    splits: Vec<OpenSplit>,
    timestamp_ms: Option<i64>,
    polled: Option<Instant>,
}

/// A record that ends with the last of its items.
#[derive(Debug)]
struct OpenSplit {
    offset: Offset,
    open: u32,
    /// How it ends, as far as its items have ended.
    outcome: Option<Outcome>,
}

/// What a settled part did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// Its ticket has open records left.
    Part,
    /// Its ticket closed; `advanced` tells whether the partition's position moved.
    Closed {
        /// Records that ended, by outcome.
        parts: EnumMap<Outcome, u32>,
        /// Whether the position moved.
        advanced: bool,
    },
    /// Its ticket had ended, or belongs to an older epoch: nothing changed (I2).
    Stale,
    /// More records than the ticket has open: a bug in a sink. Nothing changed.
    Excess,
}

/// A partition taken back to its lowest unresolved offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewound {
    /// Where to read again; `None` when nothing of the tenure is known: start where the assignment did.
    pub to: Option<Position>,
    /// Records of tickets forgotten.
    pub records: u64,
}

/// A record below the next expected offset of its epoch: the client went back unasked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WentBack {
    /// The offset that must not come.
    pub offset: Offset,
    /// What was expected.
    pub expected: Position,
}

impl Ledger {
    /// A partition becomes ours. `start` is where reading begins, when it is known.
    pub fn assign(&mut self, slot: PartitionId, epoch: Epoch, start: Option<Position>) {
        let fresh =
            PartitionBooks { epoch, position: start, expected: start, asked: None, entries: VecDeque::new(), span: 0 };
        if let Some(previous) = self.partitions.insert(slot, fresh) {
            previous.count_rewound(&mut self.tally);
        }
    }

    /// A partition is not ours any more: its open tickets are forgotten. Returns how many records.
    pub(crate) fn revoke(&mut self, slot: PartitionId) -> u64 {
        self.partitions.remove(&slot).map_or(0, |previous| previous.count_rewound(&mut self.tally))
    }

    /// Opens a ticket for a run of records.
    ///
    /// # Errors
    /// [`WentBack`] when `first` is below what this epoch expects; nothing is opened.
    pub fn open(&mut self, slot: PartitionId, first: Offset, next: Position, records: u32) -> Result<Ticket, WentBack> {
        let id = TicketId(self.next_ticket);
        let Some(partition) = self.partitions.get_mut(&slot) else {
            return Err(WentBack { offset: first, expected: Position(i64::MAX) });
        };
        if let Some(expected) = partition.expected
            && first.0 < expected.0
        {
            return Err(WentBack { offset: first, expected });
        }
        self.next_ticket += 1;
        partition.expected = Some(next);
        partition.position.get_or_insert(Position(first.0));
        partition.span += u64::from(records);
        partition.entries.push_back(LedgerEntry {
            id,
            next,
            records,
            open: records,
            parts: EnumMap::default(),
            splits: Vec::new(),
            timestamp_ms: None,
            polled: None,
        });
        self.tally.consumed += u64::from(records);
        self.tally.open += u64::from(records);
        Ok(Ticket { id, slot, epoch: partition.epoch })
    }

    /// Notes of the partition's newest run when it was polled, and the broker timestamp of its first record.
    pub(crate) fn times(&mut self, slot: PartitionId, polled: Instant, timestamp_ms: Option<i64>) {
        if let Some(entry) = self.partitions.get_mut(&slot).and_then(|partition| partition.entries.back_mut()) {
            entry.timestamp_ms = timestamp_ms;
            entry.polled = Some(polled);
        }
    }

    /// When the oldest unresolved run of all partitions was polled.
    #[must_use]
    pub(crate) fn oldest_polled(&self) -> Option<Instant> {
        self.partitions.values().filter_map(|partition| partition.entries.front()?.polled).min()
    }

    /// The broker timestamp of the oldest unresolved run, when it is known.
    #[must_use]
    pub(crate) fn oldest_timestamp(&self, slot: PartitionId) -> Option<i64> {
        self.partitions.get(&slot)?.entries.front()?.timestamp_ms
    }

    /// Takes in that steps made items of a record. Comes once a record, before any part of it.
    pub(crate) fn split(&mut self, SplitRecord { ticket, offset, items }: SplitRecord) {
        let Some(partition) = self.partitions.get_mut(&ticket.slot) else { return };
        if partition.epoch != ticket.epoch {
            return;
        }
        let Ok(at) = partition.entries.binary_search_by_key(&ticket.id, |entry| entry.id) else { return };
        let splits = &mut partition.entries[at].splits;
        let place = splits.partition_point(|split| split.offset < offset);
        splits.insert(place, OpenSplit { offset, open: items, outcome: None });
    }

    /// Takes in a part. Outcome counters move only when the ticket closes in the current epoch.
    pub fn settle(&mut self, part: Part) -> Settled {
        let Some(partition) = self.partitions.get_mut(&part.ticket.slot) else { return Settled::Stale };
        if partition.epoch != part.ticket.epoch {
            return Settled::Stale;
        }
        let Ok(at) = partition.entries.binary_search_by_key(&part.ticket.id, |entry| entry.id) else {
            return Settled::Stale;
        };
        let entry = &mut partition.entries[at];
        if entry.open == 0 {
            return Settled::Stale;
        }
        let (outcome, records) = match part.items_of {
            None => (part.outcome, part.records),
            Some(offset) => match entry.end_items(offset, part) {
                ItemsEnded::Some => return Settled::Part,
                ItemsEnded::All(outcome) => (outcome, 1),
                ItemsEnded::TooMany => return Settled::Excess,
            },
        };
        if records > entry.open {
            return Settled::Excess;
        }
        entry.open -= records;
        entry.parts[outcome] += records;
        if entry.open > 0 {
            return Settled::Part;
        }
        let parts = entry.parts;
        self.tally.open -= u64::from(entry.records);
        for (outcome, ended) in parts {
            *self.tally.ended(outcome) += u64::from(ended);
        }
        Settled::Closed { parts, advanced: partition.advance() }
    }

    /// Takes a partition back: a new epoch, its tickets forgotten, the next record expected at its position.
    pub(crate) fn rewind(&mut self, slot: PartitionId, epoch: Epoch) -> Rewound {
        let Some(partition) = self.partitions.get_mut(&slot) else { return Rewound { to: None, records: 0 } };
        let records = partition.count_rewound(&mut self.tally);
        partition.entries.clear();
        partition.span = 0;
        partition.epoch = epoch;
        partition.expected = partition.position;
        Rewound { to: partition.position, records }
    }

    /// The log starts anew (truncated or recreated): the only way a position may become lower.
    pub(crate) fn restart(&mut self, slot: PartitionId, epoch: Epoch, at: Position) -> u64 {
        let rewound = self.rewind(slot, epoch);
        if let Some(partition) = self.partitions.get_mut(&slot) {
            partition.position = Some(at);
            partition.expected = Some(at);
            partition.asked = None;
        }
        rewound.records
    }

    /// With nothing open, takes over a higher position of the consumer (behind control records). Returns whether it
    /// moved.
    pub(crate) fn adopt(&mut self, slot: PartitionId, at: Position) -> bool {
        let Some(partition) = self.partitions.get_mut(&slot) else { return false };
        let moves = partition.entries.is_empty() && at.0 >= 0 && partition.position.is_none_or(|now| at > now);
        if moves {
            partition.position = Some(at);
            partition.expected = partition.expected.max(Some(at));
        }
        moves
    }

    /// Positions that are resolved and were not asked to be committed yet.
    pub fn committable(&self) -> impl Iterator<Item = (PartitionId, Position)> {
        self.partitions.iter().filter_map(|(slot, partition)| {
            let position = partition.position?;
            (partition.touched() && partition.asked.is_none_or(|asked| position > asked)).then_some((*slot, position))
        })
    }

    /// A commit of this position was sent; lower ones will not be.
    pub fn asked(&mut self, slot: PartitionId, position: Position) {
        if let Some(partition) = self.partitions.get_mut(&slot) {
            partition.asked = partition.asked.max(Some(position));
        }
    }

    /// A commit failed and must be sent again.
    pub(crate) fn not_committed(&mut self, slot: PartitionId) {
        if let Some(partition) = self.partitions.get_mut(&slot) {
            partition.asked = None;
        }
    }

    /// The position the group is known to hold: nothing to commit until it moves.
    pub(crate) fn is_committed_at(&mut self, slot: PartitionId, position: Position) {
        self.asked(slot, position);
    }

    /// Everything below is resolved.
    #[must_use]
    pub(crate) fn position(&self, slot: PartitionId) -> Option<Position> {
        self.partitions.get(&slot)?.position
    }

    /// The lowest offset the partition may still deliver in this epoch.
    #[must_use]
    pub(crate) fn expected(&self, slot: PartitionId) -> Option<Position> {
        self.partitions.get(&slot)?.expected
    }

    /// The partition's epoch; [`Epoch::NONE`] when it is not ours.
    #[must_use]
    pub(crate) fn epoch(&self, slot: PartitionId) -> Epoch {
        self.partitions.get(&slot).map_or(Epoch::NONE, |partition| partition.epoch)
    }

    /// Whether no ticket of the partition is waiting for parts or for an earlier ticket.
    #[must_use]
    pub(crate) fn is_quiet(&self, slot: PartitionId) -> bool {
        self.partitions.get(&slot).is_none_or(|partition| partition.entries.is_empty())
    }

    /// Records between the first unresolved and the last read.
    #[must_use]
    pub(crate) fn span(&self, slot: PartitionId) -> u64 {
        self.partitions.get(&slot).map_or(0, |partition| partition.span)
    }

    /// Partitions with unresolved records.
    pub(crate) fn unresolved(&self) -> impl Iterator<Item = PartitionId> {
        self.partitions.iter().filter(|(_, p)| p.entries.iter().any(|e| e.open > 0)).map(|(slot, _)| *slot)
    }

    /// The sums since start.
    #[must_use]
    pub(crate) fn tally(&self) -> Conservation {
        self.tally
    }
}

/// What ended items do to their record.
enum ItemsEnded {
    /// Others of it are open.
    Some,
    /// They were the last: it has ended.
    All(Outcome),
    /// There are not so many: a bug.
    TooMany,
}

impl LedgerEntry {
    fn end_items(&mut self, offset: Offset, Part { outcome, records, .. }: Part) -> ItemsEnded {
        let Ok(at) = self.splits.binary_search_by_key(&offset, |split| split.offset) else {
            return ItemsEnded::TooMany;
        };
        let split = &mut self.splits[at];
        if records > split.open {
            return ItemsEnded::TooMany;
        }
        split.open -= records;
        let outcome = split.outcome.map_or(outcome, |earlier| earlier.and(outcome));
        split.outcome = Some(outcome);
        if split.open > 0 { ItemsEnded::Some } else { ItemsEnded::All(outcome) }
    }
}

impl PartitionBooks {
    /// Moves the position over closed tickets at the front.
    fn advance(&mut self) -> bool {
        let mut moved = false;
        while let Some(front) = self.entries.front()
            && front.open == 0
        {
            self.position = self.position.max(Some(front.next));
            self.span -= u64::from(front.records);
            self.entries.pop_front();
            moved = true;
        }
        moved
    }

    /// Whether the position says more than where the assignment began.
    fn touched(&self) -> bool {
        self.position.is_some()
    }

    /// Open tickets end as rewound. A closed ticket behind an open one was counted when it closed.
    fn count_rewound(&self, tally: &mut Conservation) -> u64 {
        let records = self.entries.iter().filter(|entry| entry.open > 0).map(|entry| u64::from(entry.records)).sum();
        tally.open -= records;
        tally.rewound += records;
        records
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SLOT: PartitionId = PartitionId(0);

    fn ours(start: i64) -> (Ledger, Epoch) {
        let mut ledger = Ledger::default();
        let epoch = Epoch::fresh();
        ledger.assign(SLOT, epoch, Some(Position(start)));
        (ledger, epoch)
    }

    fn open(ledger: &mut Ledger, first: i64, records: u32) -> Ticket {
        ledger.open(SLOT, Offset(first), Position(first + i64::from(records)), records).expect("in order")
    }

    /// A record with items: at `offset`, so many.
    fn split(ledger: &mut Ledger, ticket: Ticket, offset: i64, items: u32) {
        ledger.split(SplitRecord { ticket, offset: Offset(offset), items });
    }

    fn items(ticket: Ticket, offset: i64, outcome: Outcome, records: u32) -> Part {
        Part { ticket, outcome, records, items_of: Some(Offset(offset)) }
    }

    #[test]
    fn a_record_ends_with_the_last_of_its_items_and_is_counted_once() {
        let (mut ledger, _) = ours(5);
        let ticket = open(&mut ledger, 5, 3);
        split(&mut ledger, ticket, 7, 2);
        split(&mut ledger, ticket, 5, 3);
        use Outcome::{DeadLettered, Delivered, Dropped};
        for part in [
            items(ticket, 7, Dropped, 1),
            items(ticket, 5, DeadLettered, 1),
            items(ticket, 5, Delivered, 1),
            Part::of_records(ticket, Dropped, 1),
            items(ticket, 5, Dropped, 1),
        ] {
            assert_eq!(ledger.settle(part), Settled::Part, "{part:?}");
            assert_eq!((ledger.position(SLOT), ledger.tally().resolved()), (Some(Position(5)), 0), "{part:?}");
        }
        for excess in [items(ticket, 7, Delivered, 2), items(ticket, 5, Delivered, 1), items(ticket, 6, Delivered, 1)] {
            assert_eq!(ledger.settle(excess), Settled::Excess, "{excess:?}");
        }
        assert!(matches!(ledger.settle(items(ticket, 7, Dropped, 1)), Settled::Closed { advanced: true, .. }));
        let tally = ledger.tally();
        assert_eq!((tally.dropped, tally.dead_lettered, tally.delivered, tally.open), (2, 1, 0, 0));
        assert!(tally.holds() && ledger.position(SLOT) == Some(Position(8)));
    }

    #[test]
    fn items_of_an_old_epoch_are_stale() {
        let (mut ledger, _) = ours(5);
        let old = open(&mut ledger, 5, 1);
        split(&mut ledger, old, 5, 2);
        assert_eq!(ledger.settle(items(old, 5, Outcome::Delivered, 1)), Settled::Part);
        ledger.rewind(SLOT, Epoch::fresh());
        let new = open(&mut ledger, 5, 1);
        split(&mut ledger, old, 5, 2);
        assert_eq!(ledger.settle(items(old, 5, Outcome::Delivered, 1)), Settled::Stale);
        split(&mut ledger, new, 5, 2);
        assert_eq!(ledger.settle(items(new, 5, Outcome::Delivered, 1)), Settled::Part);
        assert!(matches!(ledger.settle(items(new, 5, Outcome::Delivered, 1)), Settled::Closed { advanced: true, .. }));
    }

    fn done(ticket: Ticket, records: u32) -> Part {
        Part::of_records(ticket, Outcome::Delivered, records)
    }

    #[test]
    fn the_position_waits_for_the_lowest_open_ticket() {
        let (mut ledger, _) = ours(10);
        let (a, b) = (open(&mut ledger, 10, 5), open(&mut ledger, 15, 5));
        assert_eq!(
            ledger.settle(done(b, 5)),
            Settled::Closed { parts: EnumMap::from_array([5, 0, 0, 0, 0]), advanced: false }
        );
        assert_eq!(ledger.position(SLOT), Some(Position(10)));
        assert_eq!(ledger.settle(done(a, 4)), Settled::Part);
        assert_eq!(ledger.position(SLOT), Some(Position(10)));
        assert!(matches!(ledger.settle(done(a, 1)), Settled::Closed { advanced: true, .. }));
        assert_eq!(ledger.position(SLOT), Some(Position(20)));
        assert!(ledger.is_quiet(SLOT));
    }

    #[test]
    fn a_part_of_an_ended_ticket_or_an_old_epoch_changes_nothing() {
        let (mut ledger, _) = ours(0);
        let a = open(&mut ledger, 0, 2);
        ledger.settle(done(a, 2));
        let before = ledger.tally();
        assert_eq!(ledger.settle(done(a, 1)), Settled::Stale);
        let b = open(&mut ledger, 2, 2);
        ledger.rewind(SLOT, Epoch::fresh());
        assert_eq!(ledger.settle(done(b, 2)), Settled::Stale);
        let again = open(&mut ledger, 2, 2);
        assert_eq!(ledger.settle(done(b, 2)), Settled::Stale, "the same records, read again, are another matter");
        assert_eq!((ledger.position(SLOT), ledger.tally().open), (Some(Position(2)), 2));
        assert_eq!(ledger.settle(done(again, 1)), Settled::Part);
        assert_eq!(ledger.tally(), Conservation { consumed: 6, rewound: 2, open: 2, ..before });
        ledger.revoke(SLOT);
        assert_eq!(ledger.settle(done(b, 2)), Settled::Stale);
    }

    #[test]
    fn the_oldest_polled_run_is_the_first_unresolved_one_of_any_partition() {
        let (mut ledger, _) = ours(0);
        let other = PartitionId(1);
        ledger.assign(other, Epoch::fresh(), Some(Position(0)));
        assert_eq!(ledger.oldest_polled(), None);
        let start = Instant::now();
        let at = |seconds| start + std::time::Duration::from_secs(seconds);
        let a = open(&mut ledger, 0, 2);
        ledger.times(SLOT, at(1), Some(7));
        let b = open(&mut ledger, 2, 2);
        ledger.times(SLOT, at(3), None);
        ledger.open(other, Offset(0), Position(1), 1).expect("in order");
        ledger.times(other, at(2), None);
        assert_eq!((ledger.oldest_polled(), ledger.oldest_timestamp(SLOT)), (Some(at(1)), Some(7)));
        ledger.settle(done(b, 2));
        assert_eq!(ledger.oldest_polled(), Some(at(1)), "a closed run behind an open one changes nothing");
        ledger.settle(done(a, 2));
        assert_eq!(ledger.oldest_polled(), Some(at(2)));
        ledger.revoke(other);
        assert_eq!(ledger.oldest_polled(), None);
    }

    #[test]
    fn too_many_records_are_refused() {
        let (mut ledger, _) = ours(0);
        let a = open(&mut ledger, 0, 2);
        assert_eq!(ledger.settle(done(a, 3)), Settled::Excess);
        assert_eq!(ledger.position(SLOT), Some(Position(0)));
    }

    #[test]
    fn a_record_below_the_expected_offset_is_refused() {
        let (mut ledger, _) = ours(10);
        open(&mut ledger, 10, 5);
        let refused = ledger.open(SLOT, Offset(14), Position(16), 2);
        assert_eq!(refused, Err(WentBack { offset: Offset(14), expected: Position(15) }));
        assert!(ledger.open(SLOT, Offset(20), Position(21), 1).is_ok(), "a gap is no fault of the ledger");
    }

    #[test]
    fn a_rewind_goes_to_the_lowest_unresolved_offset() {
        let (mut ledger, _) = ours(0);
        let (a, b, c) = (open(&mut ledger, 0, 3), open(&mut ledger, 3, 3), open(&mut ledger, 6, 3));
        ledger.settle(done(a, 3));
        ledger.settle(done(c, 3));
        let rewound = ledger.rewind(SLOT, Epoch::fresh());
        assert_eq!(rewound, Rewound { to: Some(Position(3)), records: 3 }, "{b:?} open, c closed behind it");
        assert!(ledger.tally().holds());
        let again = open(&mut ledger, 3, 6);
        ledger.settle(done(again, 6));
        assert_eq!(ledger.position(SLOT), Some(Position(9)));
        assert_eq!(ledger.tally().consumed, 15);
        assert!(ledger.tally().holds());
    }

    #[test]
    fn committable_positions_only_grow() {
        let (mut ledger, _) = ours(0);
        let a = open(&mut ledger, 0, 3);
        ledger.is_committed_at(SLOT, Position(0));
        assert_eq!(ledger.committable().count(), 0);
        ledger.settle(done(a, 3));
        assert_eq!(ledger.committable().collect::<Vec<_>>(), [(SLOT, Position(3))]);
        ledger.asked(SLOT, Position(3));
        assert_eq!(ledger.committable().count(), 0);
        ledger.asked(SLOT, Position(1));
        assert_eq!(ledger.committable().count(), 0, "a lower commit never follows a higher one");
        ledger.not_committed(SLOT);
        assert_eq!(ledger.committable().count(), 1);
    }

    #[test]
    fn a_position_is_adopted_only_upwards_and_with_nothing_open() {
        let (mut ledger, _) = ours(5);
        assert!(!ledger.adopt(SLOT, Position(4)));
        assert!(!ledger.adopt(SLOT, Position(-1001)));
        assert!(ledger.adopt(SLOT, Position(7)));
        let a = open(&mut ledger, 7, 1);
        assert!(!ledger.adopt(SLOT, Position(9)));
        ledger.settle(done(a, 1));
        assert!(ledger.adopt(SLOT, Position(9)));
        assert_eq!(ledger.position(SLOT), Some(Position(9)));
    }

    #[test]
    fn only_a_restart_lowers_a_position() {
        let (mut ledger, _) = ours(100);
        open(&mut ledger, 100, 1);
        assert_eq!(ledger.restart(SLOT, Epoch::fresh(), Position(0)), 1);
        assert_eq!(ledger.position(SLOT), Some(Position(0)));
        assert!(ledger.open(SLOT, Offset(0), Position(1), 1).is_ok());
    }

    proptest! {
        /// Against a naive model: a set of unresolved offsets.
        #[test]
        fn agrees_with_a_set_of_offsets(steps in prop::collection::vec((0u8..6, any::<prop::sample::Index>(), 1u32..5), 1..200)) {
            let (mut ledger, _) = ours(0);
            let mut tickets: Vec<(Ticket, Vec<i64>)> = Vec::new();
            let mut next = 0i64;
            let mut unresolved = std::collections::BTreeSet::new();
            for (kind, pick, size) in steps {
                match kind {
                    0 | 1 => {
                        let first = next + i64::from(kind);
                        tickets.push((open(&mut ledger, first, size), (first..first + i64::from(size)).collect()));
                        unresolved.extend(first..first + i64::from(size));
                        next = first + i64::from(size);
                    }
                    2..=4 if !tickets.is_empty() => {
                        let at = pick.index(tickets.len());
                        let (ticket, offsets) = &mut tickets[at];
                        let records = size.min(offsets.len() as u32);
                        let settled = ledger.settle(done(*ticket, records));
                        prop_assert!(!matches!(settled, Settled::Excess | Settled::Stale));
                        offsets.drain(..records as usize);
                        if offsets.is_empty() {
                            let (ticket, _) = tickets.remove(at);
                            let entry_done = ledger.settle(done(ticket, 1));
                            prop_assert_eq!(entry_done, Settled::Stale);
                        }
                    }
                    5 => {
                        let to = ledger.rewind(SLOT, Epoch::fresh()).to.map_or(0, |to| to.0);
                        tickets.clear();
                        next = to;
                    }
                    _ => {}
                }
                unresolved = tickets.iter().flat_map(|(_, offsets)| offsets.iter().copied()).collect();
                prop_assert!(ledger.tally().holds());
                if let Some(lowest) = unresolved.first() {
                    prop_assert!(ledger.position(SLOT).expect("known").0 <= *lowest);
                } else {
                    prop_assert!(ledger.is_quiet(SLOT));
                }
            }
        }
    }
}
