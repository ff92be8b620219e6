//! The search for the end of a batch that cannot be read, for `on_damaged: skip`. Pure.
//!
//! How far the batch reaches is not told by the error, so it is searched: an offset belongs to the batch if reading
//! from it begins with an error that names the same first offset, twice, because one seek may be lost. Only offsets
//! proven in that way are skipped, and none at or behind the end of the log is asked about: from there the client goes
//! back to the beginning. When the end is found, the batch itself is read once more: another leader may have taken over
//! meanwhile, whose copy can be read, and a probe that brings a record would then only say that the batch ends there.

use crate::model::{Offset, Position};
use crate::mutants::{self, Mutant};

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BatchEndSearch {
    /// The first offset that is skipped.
    pub from: Position,
    /// The highest offset known to belong to the batch.
    inside: Position,
    /// The lowest offset known to lie behind it.
    behind: Option<Position>,
    /// How far the next probe goes beyond `inside` while nothing is known to lie behind.
    stride: i64,
    /// One probe said that this offset belongs to the batch.
    said_once: Option<Position>,
    /// The batch could still not be read when its end had been found.
    pub made_sure: bool,
}

impl BatchEndSearch {
    /// A search that knows of its first offset only.
    pub fn at(position: Position) -> Self {
        Self { from: position, inside: position, behind: None, stride: 1, said_once: None, made_sure: false }
    }

    /// The next offset to ask about; `None` when the batch ends behind `inside`. `end` is the end of the log.
    pub fn next(self, end: Position) -> Option<Position> {
        let behind = self.behind.map_or(end, |behind| behind.min(end));
        let gallop = self.inside.0.saturating_add(self.stride);
        let halfway = self.inside.0 + (behind.0 - self.inside.0) / 2;
        let next = if self.behind.is_none() && gallop < behind.0 { gallop } else { halfway };
        self.said_once.filter(|at| *at < behind).or((next > self.inside.0).then_some(Position(next)))
    }

    /// A probe at `at` said whether that offset belongs to the batch.
    pub fn answered(&mut self, at: Position, is_inside: bool) {
        let confirmed = self.said_once.take() == Some(at) || mutants::on(Mutant::DamageSkippedOnOneWord);
        match (is_inside, confirmed) {
            (true, true) => {
                self.inside = self.inside.max(at);
                self.stride = self.stride.saturating_mul(2);
            }
            (true, false) => self.said_once = Some(at),
            (false, _) => self.behind = Some(self.behind.map_or(at, |behind| behind.min(at))),
        }
    }

    /// Whether an offset is proven to belong to the batch.
    pub fn holds(self, at: Offset) -> bool {
        (self.from.0..=self.inside.0).contains(&at.0)
    }

    /// The first offset that is not proven to belong to the batch.
    pub fn behind_proven(self) -> Position {
        Position(self.inside.0 + 1)
    }
}
