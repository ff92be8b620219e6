//! When a rewound partition is read again: exponential backoff by partition. Pure.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::model::{Backoff, PartitionId};

/// From the second rewind in a row on: the first one repeats at once what failed once.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(30));

#[derive(Debug)]
struct Pending {
    not_before: Instant,
    waiting: bool,
    in_a_row: u32,
}

/// Rewinds in progress and their backoff.
#[derive(Debug, Default)]
pub struct Rewinds {
    partitions: BTreeMap<PartitionId, Pending>,
}

impl Rewinds {
    /// A partition was rewound: it must be sought to its position, not before the backoff has passed.
    pub fn start(&mut self, slot: PartitionId, now: Instant) {
        let pending = self.partitions.entry(slot).or_insert(Pending { not_before: now, waiting: false, in_a_row: 0 });
        pending.not_before = now + BACKOFF.after(pending.in_a_row);
        pending.in_a_row = pending.in_a_row.saturating_add(1);
        pending.waiting = true;
    }

    /// A partition must be sought, and nothing speaks against doing it at once.
    pub fn at_once(&mut self, slot: PartitionId, now: Instant) {
        let pending = self.partitions.entry(slot).or_insert(Pending { not_before: now, waiting: true, in_a_row: 0 });
        pending.not_before = now;
        pending.waiting = true;
    }

    /// A seek was not possible yet: once more after `wait`.
    pub fn again(&mut self, slot: PartitionId, now: Instant, wait: Duration) {
        if let Some(pending) = self.partitions.get_mut(&slot) {
            pending.not_before = now + wait;
        }
    }

    /// The seek succeeded; the partition reads again.
    pub fn sought(&mut self, slot: PartitionId) {
        if let Some(pending) = self.partitions.get_mut(&slot) {
            pending.waiting = false;
        }
    }

    /// The partition made progress: its next rewind starts with the first backoff.
    pub fn progressed(&mut self, slot: PartitionId) {
        if self.partitions.get(&slot).is_some_and(|pending| !pending.waiting) {
            self.partitions.remove(&slot);
        }
    }

    /// The partition is not ours any more.
    pub fn revoke(&mut self, slot: PartitionId) {
        self.partitions.remove(&slot);
    }

    /// Whether records of the partition must be destroyed because its seek is still to come.
    #[must_use]
    pub fn is_waiting(&self, slot: PartitionId) -> bool {
        self.partitions.get(&slot).is_some_and(|pending| pending.waiting)
    }

    /// Whether any partition waits.
    #[must_use]
    pub fn any_waiting(&self) -> bool {
        self.partitions.values().any(|pending| pending.waiting)
    }

    /// Partitions whose seek is due.
    #[must_use]
    pub fn due(&self, now: Instant) -> Vec<PartitionId> {
        self.partitions.iter().filter(|(_, p)| p.waiting && p.not_before <= now).map(|(slot, _)| *slot).collect()
    }

    /// The next due time.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.partitions.values().filter(|p| p.waiting).map(|p| p.not_before).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rewind_is_immediate_and_repeats_wait_longer_until_progress() {
        let mut rewinds = Rewinds::default();
        let (slot, now) = (PartitionId(0), Instant::now());
        rewinds.start(slot, now);
        assert_eq!(rewinds.due(now), [slot]);
        rewinds.sought(slot);
        assert!(!rewinds.is_waiting(slot));
        rewinds.start(slot, now);
        assert!(rewinds.due(now).is_empty() && rewinds.is_waiting(slot));
        assert_eq!(rewinds.due(now + BACKOFF.after(1)), [slot]);
        rewinds.sought(slot);
        rewinds.start(slot, now);
        assert_eq!(rewinds.next_due(), Some(now + 2 * BACKOFF.after(1)));
        rewinds.progressed(slot);
        assert!(rewinds.is_waiting(slot), "progress of old news while the seek is due does not forget the seek");
        rewinds.sought(slot);
        rewinds.progressed(slot);
        rewinds.start(slot, now);
        assert_eq!(rewinds.due(now), [slot]);
        for _ in 0..80 {
            rewinds.start(slot, now);
        }
        assert!(rewinds.next_due() <= Some(now + BACKOFF.after(u32::MAX)), "bounded");
    }
}
