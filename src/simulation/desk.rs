//! The reject desk: letters in order, each written until it is acknowledged.

use std::collections::{BTreeSet, VecDeque};

use crate::model::Place;

/// One letter that waits.
#[derive(Debug, Clone, Copy)]
pub struct Letter {
    /// Whose.
    pub place: Place,
    /// Its partition's number.
    pub partition: i32,
}

/// What became of the next letter.
#[derive(Debug, Clone, Copy)]
pub enum Posted {
    /// Nothing waits, or the target did not take it.
    Nothing,
    /// Fenced: dropped.
    Dropped,
    /// It is written, now or before.
    Written(Letter),
}

/// See the module.
#[derive(Debug, Default)]
pub struct SimulatedRejects {
    waiting: VecDeque<Letter>,
    written: BTreeSet<(i32, i64, Option<u32>)>,
}

impl SimulatedRejects {
    /// A reject comes in.
    pub fn file(&mut self, letter: Letter) {
        self.waiting.push_back(letter);
    }

    /// Tries the next letter. `works`: the target takes it.
    pub fn post(&mut self, works: bool, is_current: impl Fn(Place) -> bool) -> Posted {
        let Some(letter) = self.waiting.front().copied() else { return Posted::Nothing };
        if !is_current(letter.place) {
            self.waiting.pop_front();
            return Posted::Dropped;
        }
        let key = (letter.partition, letter.place.offset.0, item_of(&letter.place));
        if !self.written.contains(&key) && !works {
            return Posted::Nothing;
        }
        self.written.insert(key);
        self.waiting.pop_front();
        Posted::Written(letter)
    }
}

/// The number of an item; nothing for a whole record.
pub fn item_of(place: &Place) -> Option<u32> {
    (!place.item.is_whole()).then(|| place.item.last_number() as u32)
}
