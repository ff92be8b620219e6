//! Bounded runs: each partition's end is pinned once and the run ends when all are there. Pure.

use std::collections::BTreeMap;

use crate::model::{Position, Slot};

#[derive(Debug)]
struct Mark {
    end: Position,
    /// Where reading began, or the oldest offset, whichever is higher.
    from: Option<Position>,
    /// The client's next offset to fetch, when it was last told.
    next_offset: Option<Position>,
}

/// What must be known of a partition to judge it.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    /// Nothing of it is open, held, or waiting for a seek.
    pub idle: bool,
    /// Everything below is resolved.
    pub position: Option<Position>,
    /// The shared queue was seen empty this often since the last statistics.
    pub queue_seen_empty: u32,
}

/// The marks of a bounded run. A mark outlives a revoke: the end is pinned once.
#[derive(Debug, Default)]
pub struct Marks {
    marks: BTreeMap<Slot, Mark>,
    assigned: bool,
}

impl Marks {
    /// The group has given us something, perhaps nothing.
    pub fn assignment_received(&mut self) {
        self.assigned = true;
    }

    /// Whether it has.
    #[must_use]
    pub fn has_assignment(&self) -> bool {
        self.assigned
    }

    /// Pins a partition's end, the first time it is seen.
    pub fn pin(&mut self, slot: Slot, end: Position, from: Option<Position>) {
        let mark = self.marks.entry(slot).or_insert(Mark { end, from, next_offset: None });
        mark.from = mark.from.max(from);
    }

    /// The mark: records at or above it are not read.
    #[must_use]
    pub fn mark(&self, slot: Slot) -> Option<Position> {
        self.marks.get(&slot).map(|mark| mark.end)
    }

    /// What the client's statistics say while the partition is running.
    pub fn next_offset(&mut self, slot: Slot, next_offset: Position) {
        if let Some(mark) = self.marks.get_mut(&slot) {
            mark.next_offset = Some(next_offset);
        }
    }

    /// A rewind makes the partition not done.
    pub fn not_done(&mut self, slot: Slot) {
        if let Some(mark) = self.marks.get_mut(&slot) {
            mark.next_offset = None;
            mark.from = None;
        }
    }

    /// The partition is not ours any more.
    pub fn revoke(&mut self, slot: Slot) {
        self.not_done(slot);
    }

    /// Whether everything below the mark is resolved.
    #[must_use]
    pub fn is_done(&self, slot: Slot, standing: Standing) -> bool {
        let Some(mark) = self.marks.get(&slot) else { return false };
        let reached = |position: Option<Position>| position.is_some_and(|position| position >= mark.end);
        standing.idle
            && (reached(standing.position)
                || reached(mark.from)
                || (reached(mark.next_offset) && standing.queue_seen_empty >= 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOT: Slot = Slot(3);

    fn standing(position: i64) -> Standing {
        Standing { idle: true, position: Some(Position(position)), queue_seen_empty: 0 }
    }

    #[test]
    fn done_by_position_or_by_start_or_by_the_clients_word() {
        let mut until = Marks::default();
        assert!(!until.is_done(SLOT, standing(100)), "no mark, not done");
        until.pin(SLOT, Position(10), Some(Position(0)));
        assert!(!until.is_done(SLOT, standing(9)));
        assert!(until.is_done(SLOT, standing(10)));
        assert!(!until.is_done(SLOT, Standing { idle: false, ..standing(10) }), "something is open");

        until.next_offset(SLOT, Position(10));
        assert!(!until.is_done(SLOT, Standing { queue_seen_empty: 1, ..standing(8) }));
        assert!(until.is_done(SLOT, Standing { queue_seen_empty: 2, ..standing(8) }), "a transactional tail");
        until.not_done(SLOT);
        assert!(!until.is_done(SLOT, Standing { queue_seen_empty: 2, ..standing(8) }), "rewound");
    }

    #[test]
    fn an_emptied_partition_is_done_at_once_and_the_end_is_pinned_once() {
        let mut until = Marks::default();
        until.pin(SLOT, Position(50), Some(Position(50)));
        assert!(until.is_done(SLOT, Standing { position: None, ..standing(0) }));
        until.revoke(SLOT);
        until.pin(SLOT, Position(80), Some(Position(50)));
        assert_eq!(until.mark(SLOT), Some(Position(50)));
    }
}
