//! What of a partition is produced and not consumed, in bytes (pure).

use std::collections::VecDeque;

/// The window of one partition.
#[derive(Debug)]
pub(super) struct FeedWindow {
    limit: usize,
    unconsumed: usize,
    position: i64,
    sizes: VecDeque<u32>,
}

impl FeedWindow {
    /// An empty window whose next record gets offset `end`.
    pub(super) fn new(limit: usize, end: i64) -> Self {
        Self { limit, unconsumed: 0, position: end, sizes: VecDeque::new() }
    }

    /// Whether a record of `bytes` fits. An empty window takes any record.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.sizes.is_empty() || self.unconsumed + bytes <= self.limit
    }

    /// A record of `bytes` was produced.
    pub(super) fn produced(&mut self, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.sizes.push_back(bytes);
        self.unconsumed += bytes as usize;
    }

    /// Everything below `position` is consumed. Whether that is news.
    pub(super) fn consumed(&mut self, position: i64) -> bool {
        let before = self.position;
        while self.position < position {
            let Some(bytes) = self.sizes.pop_front() else { break };
            self.unconsumed -= bytes as usize;
            self.position += 1;
        }
        self.position > before
    }

    pub(super) fn unconsumed(&self) -> usize {
        self.unconsumed
    }

    pub(super) fn position(&self) -> i64 {
        self.position
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_comes_back_as_the_position_moves() {
        let mut window = FeedWindow::new(100, 40);
        assert!(window.has_room(1_000), "an empty window takes any record");
        window.produced(60);
        window.produced(40);
        assert!(!window.has_room(1));
        assert!(!window.consumed(40), "nothing below 40 was produced here");
        assert!(!window.has_room(1));
        assert!(window.consumed(41));
        assert_eq!((window.unconsumed(), window.position()), (40, 41));
        assert!(window.has_room(60));
        assert!(!window.has_room(61));
    }

    #[test]
    fn a_position_that_goes_back_or_too_far_changes_nothing() {
        let mut window = FeedWindow::new(100, 0);
        window.produced(10);
        assert!(window.consumed(99));
        assert_eq!((window.unconsumed(), window.position()), (0, 1));
        assert!(!window.consumed(0));
        assert_eq!(window.position(), 1);
    }
}
