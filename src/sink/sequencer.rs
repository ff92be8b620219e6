//! Puts batches back into the order they were read in: a bounded ring by sequence number.

use std::collections::VecDeque;

use crate::model::Sequence;

/// A ring of `size` places. The source gives out no sequence number at or above `next + size`, so inserting never
/// waits.
#[derive(Debug)]
pub struct Sequencer<T> {
    next: Sequence,
    size: usize,
    waiting: VecDeque<Option<T>>,
}

/// A sequence number outside the ring, or one that came twice: a bug in whoever hands out numbers.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("batch {sequence} does not fit the ring: next is {next}, size {size}")]
pub struct OutOfRing {
    sequence: Sequence,
    next: Sequence,
    size: usize,
}

impl<T> Sequencer<T> {
    /// An empty ring that waits for number 0.
    #[must_use]
    pub fn new(size: usize) -> Self {
        Self { next: 0, size, waiting: VecDeque::with_capacity(size) }
    }

    /// Puts a batch in its place.
    ///
    /// # Errors
    /// [`OutOfRing`] when the number was seen already or lies beyond the ring.
    pub fn insert(&mut self, sequence: Sequence, batch: T) -> Result<(), OutOfRing> {
        let fault = OutOfRing { sequence, next: self.next, size: self.size };
        let Some(place) = sequence.checked_sub(self.next).map(|place| place as usize) else { return Err(fault) };
        if place >= self.size || self.waiting.get(place).is_some_and(Option::is_some) {
            return Err(fault);
        }
        while self.waiting.len() <= place {
            self.waiting.push_back(None);
        }
        self.waiting[place] = Some(batch);
        Ok(())
    }

    /// The next batch in order, when it is there.
    pub fn pop(&mut self) -> Option<T> {
        let batch = self.waiting.front_mut()?.take()?;
        self.waiting.pop_front();
        self.next += 1;
        Some(batch)
    }

    /// The lowest number not popped yet.
    #[must_use]
    pub(crate) fn next(&self) -> Sequence {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restores_order_and_refuses_what_cannot_be() {
        let mut ring = Sequencer::new(3);
        ring.insert(2, 'c').expect("fits");
        ring.insert(1, 'b').expect("fits");
        assert_eq!(ring.pop(), None);
        assert!(ring.insert(3, 'd').is_err(), "beyond the ring");
        ring.insert(0, 'a').expect("fits");
        assert_eq!((ring.pop(), ring.pop(), ring.pop(), ring.pop()), (Some('a'), Some('b'), Some('c'), None));
        assert!(ring.insert(1, 'x').is_err(), "seen already");
        ring.insert(3, 'd').expect("fits now");
        assert_eq!((ring.pop(), ring.next()), (Some('d'), 4));
    }
}
