//! Where a newly assigned partition starts. Pure.

use crate::config::plan::Start;
use crate::librdkafka::{START_EARLIEST, START_STORED};
use crate::model::Position;
use crate::mutants::{self, Mutant};

/// What is known of a partition when it is assigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Known {
    /// The group's committed position; the outer `None` when nobody answered.
    pub committed: Option<Option<Position>>,
    /// The oldest offset there is.
    pub low: Option<Position>,
    /// The last stable offset.
    pub end: Option<Position>,
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

/// librdkafka's logical end of a partition (`RD_KAFKA_OFFSET_END`).
const START_LATEST: i64 = -1;

/// Decides where to start. `auto.offset.reset` is always `earliest`, so nothing here can skip records silently.
#[must_use]
pub fn beginning(known: Known, start: Start) -> Beginning {
    let at = |position: Position| Beginning { at: position.0, position: Some(position), gap: 0, truncated: false };
    let logical = |at| Beginning { at, position: None, gap: 0, truncated: false };
    match (known.committed, start) {
        (None, _) => logical(START_STORED),
        (Some(None), Start::Earliest) if !mutants::on(Mutant::ResetToLatest) => {
            known.low.map_or(logical(START_EARLIEST), at)
        }
        (Some(None), Start::Latest | Start::Earliest) => known.end.map_or(logical(START_LATEST), at),
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
    fn every_case() {
        let p = |n| Some(Position(n));
        let known = |committed, low, end| Known { committed, low, end, since: None };
        let says = |at, position, gap, truncated| Beginning { at, position, gap, truncated };
        let cases = [
            ("nobody answered", known(None, p(3), p(9)), Start::Latest, says(-1000, None, 0, false)),
            ("first start, earliest", known(Some(None), p(3), p(9)), Start::Earliest, says(3, p(3), 0, false)),
            ("first start, low unknown", known(Some(None), None, None), Start::Earliest, says(-2, None, 0, false)),
            ("first start, latest", known(Some(None), p(3), p(9)), Start::Latest, says(9, p(9), 0, false)),
            ("first start, end unknown", known(Some(None), p(3), None), Start::Latest, says(-1, None, 0, false)),
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
