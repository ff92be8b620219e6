//! The unique keys of one look-up in one batch, in order of first sight; allocates nothing once it has grown.

use std::hash::BuildHasher;
use std::ops::Range;

use foldhash::quality::RandomState;

const FREE: u32 = u32::MAX;

/// A set of byte strings that gives each a small number.
pub(super) struct KeySet {
    bytes: Vec<u8>,
    spans: Vec<Range<usize>>,
    /// Open addressing by hash, never more than half full; holds indexes into `spans`.
    table: Vec<u32>,
    // Seeded at random: what users send must not be able to choose collisions.
    hasher: RandomState,
}

impl Default for KeySet {
    fn default() -> Self {
        Self { bytes: Vec::new(), spans: Vec::new(), table: vec![FREE; 64], hasher: RandomState::default() }
    }
}

impl KeySet {
    /// Forgets all keys, keeps the room.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.spans.clear();
        self.table.fill(FREE);
    }

    /// Number of keys.
    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    /// Bytes held, for trimming.
    pub(super) fn bytes_held(&self) -> usize {
        self.bytes.capacity()
    }

    /// The number of `key`, new or known.
    pub(super) fn intern(&mut self, key: &[u8]) -> usize {
        if (self.spans.len() + 1) * 2 > self.table.len() {
            self.grow();
        }
        let place = self.place(key);
        if self.table[place] == FREE {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(key);
            self.table[place] = self.spans.len() as u32;
            self.spans.push(start..self.bytes.len());
        }
        self.table[place] as usize
    }

    /// All keys in order of their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.spans.iter().map(|span| &self.bytes[span.clone()])
    }

    /// Where `key` is or would be.
    fn place(&self, key: &[u8]) -> usize {
        let mask = self.table.len() - 1;
        let mut place = self.hasher.hash_one(key) as usize & mask;
        while self.table[place] != FREE && self.bytes[self.spans[self.table[place] as usize].clone()] != *key {
            place = (place + 1) & mask;
        }
        place
    }

    fn grow(&mut self) {
        let size = self.table.len() * 2;
        self.table.clear();
        self.table.resize(size, FREE);
        for index in 0..self.spans.len() {
            let place = self.place(&self.bytes[self.spans[index].clone()]);
            self.table[place] = index as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_keys_by_first_sight(batches in prop::collection::vec(prop::collection::vec("[a-c]{0,4}", 0..300), 1..4)) {
            let mut set = KeySet::default();
            for batch in batches {
                set.clear();
                let mut seen: Vec<String> = Vec::new();
                for key in batch {
                    let number = seen.iter().position(|known| *known == key).unwrap_or_else(|| {
                        seen.push(key.clone());
                        seen.len() - 1
                    });
                    prop_assert_eq!(set.intern(key.as_bytes()), number);
                }
                prop_assert_eq!(set.len(), seen.len());
                prop_assert!(set.iter().eq(seen.iter().map(String::as_bytes)));
            }
        }
    }
}
