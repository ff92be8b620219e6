//! Positions that went back because their log was another one, until the group has stored them. Pure.
//!
//! The group still holds the position in the old log. A revoke may come before the lower one is stored; given the partition
//! again, we would go on behind records of the new log that nobody has read.

use std::collections::BTreeMap;

use crate::model::{Position, TopicPartition};
use crate::mutants::{self, Mutant};

/// The positions. At most one for each partition that was ever ours.
#[derive(Debug, Default)]
pub struct Lowered {
    positions: BTreeMap<TopicPartition, Low>,
}

#[derive(Debug)]
struct Low {
    at: Position,
    /// A commit of the old position is still to be answered.
    answer_is_old: bool,
}

impl Lowered {
    /// A partition is read from here, whatever is committed. `in_flight`: a commit is on its way.
    pub fn restarted(&mut self, name: &TopicPartition, at: Position, in_flight: bool) {
        self.positions.insert(name.clone(), Low { at, answer_is_old: in_flight });
    }

    /// A commit of the partition was stored.
    pub fn stored(&mut self, name: &TopicPartition) {
        let Some(low) = self.positions.get_mut(name) else { return };
        if !std::mem::take(&mut low.answer_is_old) {
            self.positions.remove(name);
        }
    }

    /// What counts as committed, where the group holds `committed`.
    #[must_use]
    pub fn instead_of(&self, name: &TopicPartition, committed: Option<Position>) -> Option<Position> {
        match self.positions.get(name) {
            Some(_) if mutants::on(Mutant::LoweredPositionForgotten) => committed,
            Some(low) => Some(committed.map_or(low.at, |committed| committed.min(low.at))),
            None => committed,
        }
    }

    /// Whether the group holds something else than what counts.
    #[must_use]
    pub fn contains(&self, name: &TopicPartition) -> bool {
        self.positions.contains_key(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lowered_position_counts_until_one_of_the_new_log_is_stored() {
        let name = |partition| TopicPartition { topic: "t".into(), partition };
        let p = |at| Some(Position(at));
        let mut lowered = Lowered::default();
        assert_eq!(lowered.instead_of(&name(0), p(9)), p(9));
        lowered.restarted(&name(0), Position(2), true);
        let of = |lowered: &Lowered| [p(9), p(1), None].map(|committed| lowered.instead_of(&name(0), committed));
        assert_eq!(of(&lowered), [p(2), p(1), p(2)], "also with `start: latest`");
        assert_eq!(lowered.instead_of(&name(1), p(9)), p(9));
        lowered.stored(&name(0));
        assert!(lowered.contains(&name(0)), "that was the old position");
        lowered.stored(&name(0));
        assert_eq!((of(&lowered), lowered.contains(&name(0))), ([p(9), p(1), None], false));
        lowered.restarted(&name(0), Position(0), false);
        lowered.stored(&name(0));
        assert!(!lowered.contains(&name(0)));
    }
}
