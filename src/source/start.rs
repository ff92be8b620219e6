//! Where a newly assigned partition starts. Pure.

use std::collections::BTreeMap;

use crate::config::plan::Start;
use crate::librdkafka::{START_EARLIEST, START_STORED};
use crate::model::{Position, TopicPartition};
use crate::mutants::{self, Mutant};

/// What lay in the topics before this member asked to join its group: for `start: latest`. Only that is history. A
/// partition that is not among it appeared later, and so did one without a committed offset in a group that has read
/// before: a group commits where it starts in all of its partitions at once. Both begin at their beginning.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct History {
    /// The ends of the partitions that were there.
    pub ends: BTreeMap<TopicPartition, Position>,
    /// The group had committed an offset of one of them.
    pub group_has_read: bool,
}

impl History {
    /// Where the history of a partition without a committed offset ends; `None` where it has none.
    #[must_use]
    pub fn end(&self, name: &TopicPartition) -> Option<Position> {
        self.ends.get(name).copied().filter(|_| !self.group_has_read)
    }
}

/// What is known of a partition when it is assigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StartFacts {
    /// The group's committed position; the outer `None` when nobody answered.
    pub committed: Option<Option<Position>>,
    /// The oldest offset there is.
    pub low: Option<Position>,
    /// The last stable offset.
    pub end: Option<Position>,
    /// Where the history ends that `start: latest` leaves out, if the partition has any.
    pub history: Option<Position>,
    /// The first offset of a time, when one was asked for; the outer `None` when nobody answered.
    pub since: Option<Option<Position>>,
}

/// Where to start, and what must be said about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beginning {
    /// What is given to the client: a position, or one of its logical offsets.
    pub at: i64,
    /// The same as a position, when it is one.
    pub position: Option<Position>,
    /// Records between the committed position and the oldest there is: retention took them.
    pub gap: u64,
    /// The committed position lies beyond the end: the log is another one.
    pub truncated: bool,
}

/// Decides where to start. `auto.offset.reset` is always `earliest`, so nothing here can skip records silently.
#[must_use]
pub fn beginning(known: StartFacts, start: Start) -> Beginning {
    let at = |position: Position| Beginning { at: position.0, position: Some(position), gap: 0, truncated: false };
    let logical = |at| Beginning { at, position: None, gap: 0, truncated: false };
    let history = match start {
        Start::Earliest if mutants::on(Mutant::ResetToLatest) => known.end,
        Start::Earliest => None,
        Start::Latest if mutants::on(Mutant::BornLateIsHistory) => known.end,
        Start::Latest => known.history,
    };
    match (known.committed, start) {
        (None, _) => logical(START_STORED),
        (Some(None), _) => history.max(known.low).map_or(logical(START_EARLIEST), at),
        (Some(Some(committed)), _) => match (known.low, known.end) {
            (Some(low), _) if low > committed => Beginning { gap: (low.0 - committed.0) as u64, ..at(low) },
            (low, Some(end)) if end < committed && !mutants::on(Mutant::PositionBeyondTheEnd) => {
                Beginning { truncated: true, ..low.map_or(logical(START_EARLIEST), at) }
            }
            (Some(_) | None, Some(_) | None) => at(committed),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_there_when_the_group_was_new_is_history() {
        let name = |partition| TopicPartition { topic: "t".into(), partition };
        let ends = BTreeMap::from([(name(0), Position(9)), (name(1), Position(0))]);
        let history = History { ends: ends.clone(), group_has_read: false };
        assert_eq!([0, 1, 2].map(|one| history.end(&name(one)).map(|end| end.0)), [Some(9), Some(0), None]);
        let history = History { ends, group_has_read: true };
        assert_eq!([0, 1, 2].map(|one| history.end(&name(one))), [None; 3], "added while nobody was there");
    }

    #[test]
    fn every_case() {
        let p = |n| Some(Position(n));
        let known = |committed, low, end| StartFacts { committed, low, end, history: None, since: None };
        let with_history = |low, history| StartFacts { history, ..known(Some(None), low, p(20)) };
        let says = |at, position, gap, truncated| Beginning { at, position, gap, truncated };
        let cases = [
            ("nobody answered", known(None, p(3), p(9)), Start::Latest, says(-1000, None, 0, false)),
            ("first start, earliest", known(Some(None), p(3), p(9)), Start::Earliest, says(3, p(3), 0, false)),
            ("first start, low unknown", known(Some(None), None, None), Start::Earliest, says(-2, None, 0, false)),
            ("first start, latest", with_history(p(3), p(9)), Start::Latest, says(9, p(9), 0, false)),
            ("its history is gone", with_history(p(12), p(9)), Start::Latest, says(12, p(12), 0, false)),
            ("its beginning is unknown", with_history(None, p(9)), Start::Latest, says(9, p(9), 0, false)),
            ("history is none of earliest's", with_history(p(3), p(9)), Start::Earliest, says(3, p(3), 0, false)),
            ("appeared later", with_history(p(0), None), Start::Latest, says(0, p(0), 0, false)),
            ("appeared later, low unknown", with_history(None, None), Start::Latest, says(-2, None, 0, false)),
            ("goes on", known(Some(p(5)), p(3), p(9)), Start::Latest, says(5, p(5), 0, false)),
            ("at the end", known(Some(p(9)), p(3), p(9)), Start::Earliest, says(9, p(9), 0, false)),
            ("retention took 4", known(Some(p(5)), p(9), p(20)), Start::Latest, says(9, p(9), 4, false)),
            ("another log", known(Some(p(50)), p(0), p(9)), Start::Latest, says(0, p(0), 0, true)),
            ("another log, low unknown", known(Some(p(50)), None, p(9)), Start::Earliest, says(-2, None, 0, true)),
        ];
        for (name, known, start, wanted) in cases {
            assert_eq!(beginning(known, start), wanted, "{name}");
        }
    }
}
