//! Which dead letters were written above the committed position, so that a rewind does not write them again.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;

use crate::model::{ItemPath, Offset, PartitionId};

use super::Letter;

/// Letters remembered; beyond it the oldest is forgotten and would be written again.
const REMEMBERED: usize = 65_536;

type Key = (PartitionId, (Offset, ItemPath));

/// Bounded memory of written letters, oldest out first. An offset is only known with the same bytes: after a topic was
/// recreated its offsets name other records.
pub(super) struct Memory {
    known: HashMap<Key, u64>,
    order: VecDeque<Key>,
    hasher: foldhash::fast::FixedState,
    limit: usize,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            known: HashMap::new(),
            order: VecDeque::new(),
            hasher: foldhash::fast::FixedState::default(),
            limit: REMEMBERED,
        }
    }
}

impl Memory {
    pub(super) fn holds(&self, letter: &Letter) -> bool {
        self.known.get(&key(letter)).is_some_and(|print| *print == self.print(letter))
    }

    pub(super) fn add(&mut self, letter: &Letter) {
        if self.known.insert(key(letter), self.print(letter)).is_none() {
            self.order.push_back(key(letter));
        }
        while self.order.len() > self.limit {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }

    fn print(&self, letter: &Letter) -> u64 {
        let original = &letter.original;
        self.hasher.hash_one((&original.key, &original.value, original.timestamp_ms))
    }
}

fn key(letter: &Letter) -> Key {
    (letter.place.slot(), letter.place.order())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::dead_letter::envelope::tests::letter;

    #[test]
    fn a_letter_is_known_by_place_and_bytes() {
        let mut memory = Memory::default();
        memory.add(&letter(7, b"bytes"));
        assert!(memory.holds(&letter(7, b"bytes")));
        assert!(!memory.holds(&letter(8, b"bytes")), "another offset");
        let mut item = letter(7, b"bytes");
        item.place.item = ItemPath::WHOLE.below(3).expect("within bounds");
        assert!(!memory.holds(&item), "an item of that record");
        assert!(!memory.holds(&letter(7, b"other")), "another record at a recreated offset");
    }

    #[test]
    fn the_oldest_is_forgotten_first() {
        let mut memory = Memory { limit: 2, ..Memory::default() };
        for offset in [1, 2, 2, 3] {
            memory.add(&letter(offset, b"bytes"));
        }
        let held: Vec<bool> = (1..=3).map(|offset| memory.holds(&letter(offset, b"bytes"))).collect();
        assert_eq!((held, memory.known.len()), (vec![false, true, true], 2));
    }
}
