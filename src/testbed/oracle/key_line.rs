//! What was expected and seen of one key, in order (pure).

use std::collections::VecDeque;

/// What a record seen in the output was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeySighting {
    /// The next one of its key, never seen before.
    Next,
    /// Seen before: a rewind repeats.
    Repeated,
    /// Never seen before, and not the next one: `over` earlier ones of its key were never seen, or have to be repeated
    /// since the output went back behind them.
    Early {
        /// How many were jumped over.
        over: u64,
    },
    /// A repetition that leaves out part of what a rewind has to repeat.
    Skipping {
        /// How many were jumped over.
        over: u64,
    },
    /// No record that was fed has this key and value.
    Unexpected,
}

/// A value that is expected: its hash, and when it was last seen (0: never).
#[derive(Debug, Clone, Copy)]
struct Expected {
    hash: u64,
    last_seen: u64,
}

/// The values of one key in input order. Old ones that were seen are forgotten beyond `history`.
#[derive(Debug, Default)]
pub(super) struct KeyLine {
    expected: VecDeque<Expected>,
    /// Values forgotten at the front.
    forgotten: u64,
    /// Index (from the very first value) of the one expected next.
    cursor: u64,
    last_forgotten_seen: u64,
    forgotten_out_of_order: bool,
}

/// How a line ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct LineEnd {
    /// Values never seen.
    pub(super) missing: u64,
    /// The last sightings are not in input order: who applies the output in order ends with something stale.
    pub(super) misordered: bool,
}

impl KeyLine {
    pub(super) fn expect(&mut self, hash: u64, history: usize) {
        self.expected.push_back(Expected { hash, last_seen: 0 });
        while self.expected.len() > history && self.forget_front() {}
    }

    /// Judges a value seen as number `moment` (from 1, growing).
    pub(super) fn observe(&mut self, hash: u64, moment: u64) -> KeySighting {
        let Some(index) = self.find(hash) else { return KeySighting::Unexpected };
        let place = (index - self.forgotten) as usize;
        let fresh = self.expected[place].last_seen == 0;
        self.expected[place].last_seen = moment;
        let over = index.saturating_sub(self.cursor);
        self.cursor = index + 1;
        match (over, fresh) {
            (0, true) => KeySighting::Next,
            (0, false) => KeySighting::Repeated,
            (over, true) => KeySighting::Early { over },
            (over, false) => KeySighting::Skipping { over },
        }
    }

    pub(super) fn end(&self) -> LineEnd {
        let mut end = LineEnd { missing: 0, misordered: self.forgotten_out_of_order };
        let mut before = self.last_forgotten_seen;
        for expected in &self.expected {
            if expected.last_seen == 0 {
                end.missing += 1;
                continue;
            }
            end.misordered |= expected.last_seen < before;
            before = expected.last_seen;
        }
        end
    }

    /// The value at the cursor in nearly every case; else the nearest before it, else one behind it.
    fn find(&self, hash: u64) -> Option<u64> {
        let cursor = self.cursor.saturating_sub(self.forgotten) as usize;
        if self.expected.get(cursor).is_some_and(|expected| expected.hash == hash) {
            return Some(self.cursor);
        }
        let is_it = |place: &usize| self.expected[*place].hash == hash;
        let before = (0..cursor.min(self.expected.len())).rev().find(is_it);
        let place = before.or_else(|| (cursor..self.expected.len()).find(is_it))?;
        Some(self.forgotten + place as u64)
    }

    fn forget_front(&mut self) -> bool {
        let Some(front) = self.expected.front() else { return false };
        if front.last_seen == 0 || self.cursor <= self.forgotten {
            return false;
        }
        self.forgotten_out_of_order |= front.last_seen < self.last_forgotten_seen;
        self.last_forgotten_seen = front.last_seen;
        self.forgotten += 1;
        self.expected.pop_front();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::KeySighting::{Early, Next, Repeated, Skipping, Unexpected};
    use super::*;

    fn play(expected: u64, seen: &[u64]) -> (Vec<KeySighting>, LineEnd) {
        let mut line = KeyLine::default();
        (1..=expected).for_each(|hash| line.expect(hash, 100));
        let observed = seen.iter().zip(1..).map(|(hash, moment)| line.observe(*hash, moment)).collect();
        (observed, line.end())
    }

    #[test]
    fn sequences_are_judged() {
        let fine = LineEnd::default();
        let missing = |missing| LineEnd { missing, misordered: false };
        let misordered = LineEnd { missing: 0, misordered: true };
        let table: [(u64, &[u64], &[KeySighting], LineEnd); 11] = [
            (3, &[1, 2, 3], &[Next, Next, Next], fine),
            (3, &[1, 3], &[Next, Early { over: 1 }], missing(1)),
            (3, &[1, 2], &[Next, Next], missing(1)),
            (3, &[1, 2, 1, 2, 3], &[Next, Next, Repeated, Repeated, Next], fine),
            (3, &[1, 2, 2, 3], &[Next, Next, Repeated, Next], fine),
            (2, &[2, 1], &[Early { over: 1 }, Next], misordered),
            (3, &[2, 1, 3], &[Early { over: 1 }, Next, Early { over: 1 }], misordered),
            (3, &[2, 3, 1, 2, 3], &[Early { over: 1 }, Next, Next, Repeated, Repeated], fine),
            (3, &[1, 2, 3, 1, 3], &[Next, Next, Next, Repeated, Skipping { over: 1 }], misordered),
            (3, &[1, 2, 3, 2], &[Next, Next, Next, Repeated], misordered),
            (1, &[9, 1], &[Unexpected, Next], fine),
        ];
        for (expected, seen, observed, end) in table {
            assert_eq!(play(expected, seen), (observed.to_vec(), end), "{seen:?}");
        }
    }

    #[test]
    fn equal_values_in_a_row_are_counted_one_by_one() {
        let mut line = KeyLine::default();
        [7, 7, 7].into_iter().for_each(|hash| line.expect(hash, 100));
        assert_eq!([1, 2].map(|moment| line.observe(7, moment)), [Next, Next]);
        assert_eq!(line.end().missing, 1);
    }

    #[test]
    fn history_is_bounded_and_what_was_not_seen_is_never_forgotten() {
        let mut line = KeyLine::default();
        for hash in 1..=1_000 {
            line.expect(hash, 10);
            assert_eq!(line.observe(hash, hash), Next);
        }
        assert!(line.expected.len() <= 11);
        assert_eq!(line.observe(999, 1_001), Repeated);
        assert_eq!(line.observe(1_000, 1_002), Repeated);
        assert_eq!(line.observe(5, 1_003), Unexpected, "forgotten");
        (2_001..=2_100).for_each(|hash| line.expect(hash, 10));
        assert_eq!(line.end(), LineEnd { missing: 100, misordered: false });
    }
}
