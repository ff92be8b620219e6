//! The drip hold: records taken one by one to stay in the group while there is no room. Pure of I/O.

use std::collections::VecDeque;

use crate::model::{Epoch, PartitionId};

use super::client::Messages;

/// Most records held.
const RECORDS: usize = 1024;

struct HeldMessages<M> {
    messages: M,
    tags: Vec<(PartitionId, Epoch)>,
    bytes: usize,
}

/// Records drained while there was no room, each with the epoch it was drained in. Not counted as consumed yet.
pub struct Hold<M> {
    held: VecDeque<HeldMessages<M>>,
    records: usize,
    bytes: usize,
    byte_bound: usize,
}

impl<M: Messages> Hold<M> {
    /// An empty hold: full at 1,024 records or at `byte_bound` bytes.
    #[must_use]
    pub fn new(byte_bound: usize) -> Self {
        Self { held: VecDeque::new(), records: 0, bytes: 0, byte_bound }
    }

    /// Keeps messages with their slot and epoch, index for index; those without are destroyed.
    pub fn keep(&mut self, mut messages: M, tags: Vec<Option<(PartitionId, Epoch)>>) {
        messages.retain(|index| tags.get(index).is_some_and(Option::is_some));
        if messages.is_empty() {
            return;
        }
        let tags: Vec<_> = tags.into_iter().flatten().collect();
        let bytes = (0..messages.len()).map(|index| messages.bytes_at(index)).sum();
        self.records += tags.len();
        self.bytes += bytes;
        self.held.push_back(HeldMessages { messages, tags, bytes });
    }

    /// Destroys a partition's records, uncounted. Returns how many.
    pub fn destroy(&mut self, slot: PartitionId) -> usize {
        self.destroy_where(|tag| tag.0 == slot)
    }

    fn destroy_where(&mut self, gone: impl Fn(&(PartitionId, Epoch)) -> bool) -> usize {
        let before = self.records;
        for held in &mut self.held {
            if held.tags.iter().any(&gone) {
                let tags = std::mem::take(&mut held.tags);
                held.messages.retain(|index| !gone(&tags[index]));
                held.tags = tags.into_iter().filter(|tag| !gone(tag)).collect();
                held.bytes = (0..held.messages.len()).map(|index| held.messages.bytes_at(index)).sum();
            }
        }
        self.held.retain(|held| !held.messages.is_empty());
        self.records = self.held.iter().map(|held| held.tags.len()).sum();
        self.bytes = self.held.iter().map(|held| held.bytes).sum();
        before - self.records
    }

    /// Takes everything out, in order, as one batch; records whose epoch is not `current` any more are destroyed.
    pub fn release(&mut self, current: impl Fn(PartitionId) -> Epoch) -> Option<M> {
        self.destroy_where(|(slot, epoch)| current(*slot) != *epoch);
        let mut all: Option<M> = None;
        for held in self.held.drain(..) {
            match &mut all {
                None => all = Some(held.messages),
                Some(all) => all.append(held.messages),
            }
        }
        (self.records, self.bytes) = (0, 0);
        all
    }

    /// Whether nothing more may be kept.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.records >= RECORDS || self.bytes >= self.byte_bound
    }

    /// Whether nothing is held.
    #[cfg(test)]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Whether records of this partition are held.
    #[must_use]
    pub fn holds(&self, slot: PartitionId) -> bool {
        self.held.iter().any(|held| held.tags.iter().any(|tag| tag.0 == slot))
    }
}
