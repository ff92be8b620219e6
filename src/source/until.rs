//! Bounded runs: each partition's end is pinned once and the run ends when all are there. Pure.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::model::{PartitionId, Position};

/// How long a member without partitions waits for some. In the cooperative protocol one that joins is given nothing at
/// first, until the others have let go.
const SHARE_WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct Mark {
    end: Position,
    /// Where reading began, or the oldest offset, whichever is higher.
    from: Option<Position>,
    /// A record at or behind the end came in its turn: everything below was read before it.
    passed: bool,
    /// Statistics in a row that said the client has fetched everything below the end, the queue seen empty in between,
    /// and nothing done to the client that makes it drop what it has fetched.
    fetched: u32,
}

/// What must be known of a partition to judge it.
#[derive(Debug, Clone, Copy)]
pub struct PartitionFacts {
    /// Nothing of it is open, held, or waiting for a seek.
    pub idle: bool,
    /// Everything below is resolved.
    pub position: Option<Position>,
    /// The shared queue was seen empty since the last statistics.
    pub queue_seen_empty: bool,
    /// Reading broke off: the client may have gone past records that nobody has read.
    pub damaged: bool,
}

/// The marks of a bounded run. A mark outlives a revoke: the end is pinned once.
#[derive(Debug, Default)]
pub struct Marks {
    marks: BTreeMap<PartitionId, Mark>,
    assigned_at: Option<Instant>,
}

impl Marks {
    /// The group has given us something, perhaps nothing.
    pub fn assignment_received(&mut self, now: Instant) {
        self.assigned_at = Some(now);
    }

    /// Whether this member's share of the partitions is known, so that it may end once all of them are done.
    #[must_use]
    pub fn knows_share(&self, has_partitions: bool, now: Instant) -> bool {
        self.assigned_at.is_some_and(|at| has_partitions || now.saturating_duration_since(at) >= SHARE_WITHIN)
    }

    /// Pins a partition's end, the first time it is seen.
    pub fn pin(&mut self, slot: PartitionId, end: Position, from: Option<Position>) {
        let mark = self.marks.entry(slot).or_insert(Mark { end, from: None, passed: false, fetched: 0 });
        mark.from = mark.from.max(from);
    }

    /// The mark: records at or above it are not read.
    #[must_use]
    pub fn mark(&self, slot: PartitionId) -> Option<Position> {
        self.marks.get(&slot).map(|mark| mark.end)
    }

    /// The next offset the client will fetch, of its statistics; `None` while the partition is not running, or its
    /// broker is away: then the client does not go back by itself to what it dropped. `seen_empty`: the shared queue
    /// was, since the statistics before. One alone proves nothing: it may have waited in the queue since before a seek.
    pub fn next_offset(&mut self, slot: PartitionId, next_offset: Option<Position>, seen_empty: bool) {
        if let Some(mark) = self.marks.get_mut(&slot) {
            mark.fetched = match next_offset {
                Some(next) if next >= mark.end && seen_empty => mark.fetched.saturating_add(1),
                Some(next) if next >= mark.end => 1,
                Some(_) | None => 0,
            };
        }
    }

    /// The client was told to pause or resume a partition: it may have dropped what it had fetched, and its statistics
    /// may still be those of before.
    pub fn disturbed(&mut self, slot: PartitionId) {
        if let Some(mark) = self.marks.get_mut(&slot) {
            mark.fetched = 0;
        }
    }

    /// A rebalance, of whatever partitions: the client pauses all of them by itself meanwhile.
    pub fn rebalanced(&mut self) {
        self.marks.values_mut().for_each(|mark| mark.fetched = 0);
    }

    /// A record at or behind the mark came, in its turn.
    pub fn passed(&mut self, slot: PartitionId) {
        if let Some(mark) = self.marks.get_mut(&slot) {
            mark.passed = true;
        }
    }

    /// Whether one came since the partition last went back.
    #[must_use]
    pub fn is_passed(&self, slot: PartitionId) -> bool {
        self.marks.get(&slot).is_some_and(|mark| mark.passed)
    }

    /// A rewind makes the partition not done.
    pub fn not_done(&mut self, slot: PartitionId) {
        if let Some(mark) = self.marks.get_mut(&slot) {
            mark.fetched = 0;
            mark.passed = false;
            mark.from = None;
        }
    }

    /// The partition is not ours any more. What our share is, the assignment that follows will say: a member that has
    /// just given everything up must not take itself for one too many.
    pub fn revoke(&mut self, slot: PartitionId) {
        self.assigned_at = None;
        self.not_done(slot);
    }

    /// Whether everything below the mark is resolved.
    #[must_use]
    pub fn is_done(&self, slot: PartitionId, standing: PartitionFacts) -> bool {
        let Some(mark) = self.marks.get(&slot) else { return false };
        let reached = |position: Option<Position>| position.is_some_and(|position| position >= mark.end);
        standing.idle
            && (reached(standing.position)
                || reached(mark.from)
                || mark.passed
                || (mark.fetched >= 2 && standing.queue_seen_empty && !standing.damaged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOT: PartitionId = PartitionId(3);

    fn standing(position: i64) -> PartitionFacts {
        PartitionFacts { idle: true, position: Some(Position(position)), queue_seen_empty: false, damaged: false }
    }

    #[test]
    fn done_by_position_or_by_start_or_by_the_clients_word() {
        let mut until = Marks::default();
        assert!(!until.is_done(SLOT, standing(100)), "no mark, not done");
        until.pin(SLOT, Position(10), Some(Position(0)));
        assert!(!until.is_done(SLOT, standing(9)));
        assert!(until.is_done(SLOT, standing(10)));
        assert!(!until.is_done(SLOT, PartitionFacts { idle: false, ..standing(10) }), "something is open");

        let empty = PartitionFacts { queue_seen_empty: true, ..standing(8) };
        let (below, at_end) = (Some(Position(9)), Some(Position(10)));
        until.next_offset(SLOT, at_end, true);
        assert!(!until.is_done(SLOT, empty), "may be older than a seek");
        until.next_offset(SLOT, at_end, false);
        assert!(!until.is_done(SLOT, empty), "both may have waited in the queue");
        until.next_offset(SLOT, at_end, true);
        assert!(!until.is_done(SLOT, standing(8)), "records may wait in the queue");
        assert!(until.is_done(SLOT, empty), "a transactional tail");
        assert!(!until.is_done(SLOT, PartitionFacts { damaged: true, ..empty }), "or a batch that cannot be read");
        assert!(until.is_done(SLOT, PartitionFacts { damaged: true, ..standing(10) }), "which lies behind the end");
        for reset in [below, None] {
            until.next_offset(SLOT, reset, true);
            until.next_offset(SLOT, at_end, true);
            assert!(!until.is_done(SLOT, empty), "{reset:?}");
            until.next_offset(SLOT, at_end, true);
        }
        assert!(until.is_done(SLOT, empty));
        for disturb in [|until: &mut Marks| until.disturbed(SLOT), Marks::rebalanced] {
            disturb(&mut until);
            until.next_offset(SLOT, at_end, true);
            assert!(!until.is_done(SLOT, empty), "of before the client dropped what it had");
            until.next_offset(SLOT, at_end, true);
            assert!(until.is_done(SLOT, empty));
        }
        until.not_done(SLOT);
        until.next_offset(SLOT, at_end, true);
        assert!(!until.is_done(SLOT, empty), "rewound");
        until.passed(SLOT);
        assert!(
            until.is_done(SLOT, PartitionFacts { damaged: true, ..standing(8) }),
            "a record from behind the end came"
        );
        until.not_done(SLOT);
        assert!(!until.is_done(SLOT, standing(8)), "rewound");
    }

    #[test]
    fn a_member_without_partitions_waits_a_while_for_its_share() {
        let (mut until, now) = (Marks::default(), Instant::now());
        assert!(!until.knows_share(true, now), "the group has not answered");
        until.assignment_received(now);
        assert!(until.knows_share(true, now) && !until.knows_share(false, now));
        assert!(until.knows_share(false, now + SHARE_WITHIN), "more members than partitions");
        until.revoke(SLOT);
        assert!(!until.knows_share(false, now + 2 * SHARE_WITHIN), "a rebalance is under way");
        until.assignment_received(now + 2 * SHARE_WITHIN);
        assert!(!until.knows_share(false, now + 2 * SHARE_WITHIN));
    }

    #[test]
    fn an_emptied_partition_is_done_at_once_and_the_end_is_pinned_once() {
        let mut until = Marks::default();
        until.pin(SLOT, Position(50), Some(Position(50)));
        assert!(until.is_done(SLOT, PartitionFacts { position: None, ..standing(0) }));
        until.revoke(SLOT);
        until.pin(SLOT, Position(80), Some(Position(50)));
        assert_eq!(until.mark(SLOT), Some(Position(50)));
    }
}
