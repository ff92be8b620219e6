//! Topic partitions, their slots and the fence: which epoch of a partition is current.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// A record's place in its partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub i64);

/// The next offset to read; what Kafka calls a committed offset is a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub i64);

impl Offset {
    /// The position just behind this record.
    #[must_use]
    pub(crate) fn next(self) -> Position {
        Position(self.0 + 1)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One tenure of a partition between two fences. Drawn from one process-wide counter, never reused.
/// [`Epoch::NONE`] is the epoch of a partition that is not ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

static NEXT_EPOCH: AtomicU64 = AtomicU64::new(1);

impl Epoch {
    /// No record carries this epoch, so a partition in it is fenced entirely.
    pub(crate) const NONE: Self = Self(0);

    /// A fresh epoch, greater than every one handed out before in this process.
    #[must_use]
    pub(crate) fn fresh() -> Self {
        Self(NEXT_EPOCH.fetch_add(1, Ordering::Relaxed))
    }
}

/// Index of a topic partition in its pipeline's [`PartitionTable`]; stays valid for the life of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId(pub u32);

/// A topic's name and a partition number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number, from 0.
    pub partition: i32,
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.topic, self.partition)
    }
}

const CHUNK: usize = 256;
const CHUNKS: usize = 1024;

struct TableEntry {
    name: OnceLock<TopicPartition>,
    epoch: AtomicU64,
}

/// Every partition a pipeline has been assigned, by slot, with its current epoch: the *fence*.
///
/// The source moves the fence; a sink's intake may only lower it, behind a lost batch ([`PartitionTable::bar`]).
/// Workers read it before encoding, sinks before every send and re-send. Reading is one atomic load. Bound: 262,144
/// partitions a pipeline over the life of the process.
pub struct PartitionTable {
    chunks: Box<[OnceLock<Box<[TableEntry]>>]>,
    slots: Mutex<HashMap<TopicPartition, PartitionId>>,
}

impl Default for PartitionTable {
    fn default() -> Self {
        Self { chunks: (0..CHUNKS).map(|_| OnceLock::new()).collect(), slots: Mutex::default() }
    }
}

impl PartitionTable {
    /// The slot of a partition; interned on first sight. `None` when the table is full.
    pub fn slot(&self, name: &TopicPartition) -> Option<PartitionId> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = slots.get(name) {
            return Some(*found);
        }
        let index = slots.len();
        let chunk = self.chunks.get(index / CHUNK)?.get_or_init(|| {
            (0..CHUNK).map(|_| TableEntry { name: OnceLock::new(), epoch: AtomicU64::new(Epoch::NONE.0) }).collect()
        });
        chunk[index % CHUNK].name.get_or_init(|| name.clone());
        let slot = PartitionId(index as u32);
        slots.insert(name.clone(), slot);
        Some(slot)
    }

    /// The name of a slot handed out by [`PartitionTable::slot`].
    #[must_use]
    pub fn name(&self, slot: PartitionId) -> Option<&TopicPartition> {
        self.entry(slot)?.name.get()
    }

    /// The epoch whose records may be sent now.
    #[must_use]
    pub(crate) fn current(&self, slot: PartitionId) -> Epoch {
        self.entry(slot).map_or(Epoch::NONE, |entry| Epoch(entry.epoch.load(Ordering::Acquire)))
    }

    /// Whether items of `epoch` may still be sent.
    #[must_use]
    pub fn is_current(&self, slot: PartitionId, epoch: Epoch) -> bool {
        epoch != Epoch::NONE && self.current(slot) == epoch
    }

    /// Moves the fence: from now on only items of `epoch` are sent. [`Epoch::NONE`] fences everything.
    pub fn set_current(&self, slot: PartitionId, epoch: Epoch) {
        if let Some(entry) = self.entry(slot) {
            entry.epoch.store(epoch.0, Ordering::Release);
        }
    }

    /// Fences a partition while it is in `epoch`, for a thread that knows of a hole in it. The source moves the fence
    /// on once it has heard of it; if it has done so already, nothing changes.
    pub fn bar(&self, slot: PartitionId, epoch: Epoch) {
        if let Some(entry) = self.entry(slot) {
            // Another epoch is no failure: the hole is not in it.
            let _ = entry.epoch.compare_exchange(epoch.0, Epoch::NONE.0, Ordering::AcqRel, Ordering::Relaxed);
        }
    }

    fn entry(&self, slot: PartitionId) -> Option<&TableEntry> {
        let index = slot.0 as usize;
        self.chunks.get(index / CHUNK)?.get()?.get(index % CHUNK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_stable_and_fenced_until_an_epoch_is_set() {
        let table = PartitionTable::default();
        let name = TopicPartition { topic: "events".into(), partition: 3 };
        let slot = table.slot(&name).expect("room");
        assert_eq!(table.slot(&name), Some(slot));
        let epoch = Epoch::fresh();
        assert!(!table.is_current(slot, epoch));
        table.set_current(slot, epoch);
        assert!(table.is_current(slot, epoch));
        table.set_current(slot, Epoch::fresh());
        assert!(!table.is_current(slot, epoch));
        assert!(!table.is_current(slot, Epoch::NONE));
    }

    #[test]
    fn a_bar_fences_its_own_epoch_only() {
        let table = PartitionTable::default();
        let slot = table.slot(&TopicPartition { topic: "events".into(), partition: 0 }).expect("room");
        let (old, new) = (Epoch::fresh(), Epoch::fresh());
        table.set_current(slot, new);
        table.bar(slot, old);
        assert!(table.is_current(slot, new));
        table.bar(slot, new);
        assert_eq!(table.current(slot), Epoch::NONE);
    }
}
