//! The breaker: tells a systemic fault (a wrong mapping, a changed schema) from poison. Pure.
//!
//! Two tests, either trips it:
//! - *Ratio*: more than `ratio` of the records in a window are rejects. Records a batch brings and what preprocess
//!   rejected of them are one window; answers of the sink and what the sink rejected are another, because they come at
//!   different times. A window spans at least `window` records; with fewer seen it counts as if the rest were good.
//! - *In a row*: `in_a_row` neighbouring offsets of one partition were rejected. It goes by offsets, so lanes that
//!   answer out of order and records filed again after a rewind change nothing.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::config::plan::BreakerPlan;
use crate::model::{Offset, PartitionId};

/// Stretches of rejected offsets remembered per partition; the lowest goes when there are more.
const STRETCHES: usize = 256;
/// A window is kept in this many buckets.
const BUCKETS: u64 = 8;

/// Where a reject was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Before the sink.
    Preprocess,
    /// By the sink.
    Sink,
}

/// Why the breaker tripped.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Trip {
    /// Rejects among the last records.
    Ratio { rejects: u64, records: u64 },
    /// Neighbouring offsets, all rejected.
    InARow { rejects: u64 },
}

/// See the module.
#[derive(Debug)]
pub(super) struct Breaker {
    plan: BreakerPlan,
    preprocess: RejectWindow,
    sink: RejectWindow,
    rows: HashMap<PartitionId, BTreeMap<i64, i64>>,
}

impl Breaker {
    pub(super) fn new(plan: BreakerPlan) -> Self {
        Self { plan, preprocess: RejectWindow::default(), sink: RejectWindow::default(), rows: HashMap::new() }
    }

    /// `records` came this far without a reject.
    pub(super) fn passed(&mut self, side: Side, records: u32) {
        let size = u64::from(self.plan.window);
        self.window(side).add(u64::from(records), 0, size);
    }

    /// A record was rejected. Whether that trips the breaker.
    pub(super) fn rejected(&mut self, side: Side, slot: PartitionId, offset: Offset) -> Option<Trip> {
        let plan = self.plan;
        let row = self.extend_row(slot, offset)?;
        if plan.in_a_row > 0 && row >= u64::from(plan.in_a_row) {
            return Some(Trip::InARow { rejects: row });
        }
        let size = u64::from(plan.window);
        let window = self.window(side);
        window.add(1, 1, size);
        let (records, rejects) = window.sums();
        let records = records.max(size);
        let trips = size > 0 && rejects as f64 > plan.ratio * records as f64;
        trips.then_some(Trip::Ratio { rejects, records })
    }

    fn window(&mut self, side: Side) -> &mut RejectWindow {
        match side {
            Side::Preprocess => &mut self.preprocess,
            Side::Sink => &mut self.sink,
        }
    }

    /// Length of the stretch of neighbouring rejected offsets around this one; `None` when it was known already.
    fn extend_row(&mut self, slot: PartitionId, Offset(offset): Offset) -> Option<u64> {
        let stretches = self.rows.entry(slot).or_default();
        let below = stretches.range(..=offset).next_back().map(|(first, last)| (*first, *last));
        let (mut first, mut last) = (offset, offset);
        if let Some((start, end)) = below {
            if end >= offset {
                return None;
            }
            if end + 1 == offset {
                first = start;
            }
        }
        if let Some(end) = stretches.remove(&offset.saturating_add(1)) {
            last = end;
        }
        stretches.insert(first, last);
        if stretches.len() > STRETCHES {
            stretches.pop_first();
        }
        Some((last - first) as u64 + 1)
    }
}

/// Records and rejects of the recent past, in buckets.
#[derive(Debug, Default)]
struct RejectWindow {
    buckets: VecDeque<(u64, u64)>,
}

impl RejectWindow {
    fn add(&mut self, records: u64, rejects: u64, size: u64) {
        match self.buckets.back_mut() {
            // A reject belongs to the records it came with, so it never opens a bucket of its own.
            Some(bucket) if rejects > 0 || bucket.0 < size.div_ceil(BUCKETS) => {
                bucket.0 += records;
                bucket.1 += rejects;
            }
            _ => self.buckets.push_back((records, rejects)),
        }
        let (mut total, _) = self.sums();
        while let Some((oldest, _)) = self.buckets.front() {
            if self.buckets.len() < 2 || total - oldest < size {
                break;
            }
            total -= oldest;
            self.buckets.pop_front();
        }
    }

    fn sums(&self) -> (u64, u64) {
        self.buckets.iter().fold((0, 0), |sum, bucket| (sum.0 + bucket.0, sum.1 + bucket.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: BreakerPlan = BreakerPlan { ratio: 0.1, window: 1000, in_a_row: 100, count_redirected: false };
    const SLOT: PartitionId = PartitionId(0);

    /// Rejects spread out so that no two are neighbours.
    fn spread(breaker: &mut Breaker, side: Side, from: i64, count: i64) -> Option<Trip> {
        (0..count).find_map(|at| breaker.rejected(side, SLOT, Offset((from + at) * 3)))
    }

    #[test]
    fn a_share_above_the_ratio_trips_and_one_at_the_ratio_does_not() {
        let mut breaker = Breaker::new(PLAN);
        breaker.passed(Side::Preprocess, 900);
        assert_eq!(spread(&mut breaker, Side::Preprocess, 0, 100), None, "exactly 10 %");
        let trip = spread(&mut breaker, Side::Preprocess, 100, 2);
        assert!(matches!(trip, Some(Trip::Ratio { .. })), "{trip:?}");
    }

    #[test]
    fn few_records_do_not_trip_however_bad_they_are() {
        let mut breaker = Breaker::new(PLAN);
        breaker.passed(Side::Preprocess, 10);
        assert_eq!(spread(&mut breaker, Side::Preprocess, 0, 99), None);
    }

    #[test]
    fn rejects_of_a_large_batch_are_judged_against_that_batch() {
        let mut breaker = Breaker::new(PLAN);
        for batch in 0..20 {
            breaker.passed(Side::Preprocess, 4_700);
            assert_eq!(spread(&mut breaker, Side::Preprocess, batch * 300, 300), None, "6 % of 5,000");
        }
        breaker.passed(Side::Preprocess, 4_000);
        assert!(spread(&mut breaker, Side::Preprocess, 90_000, 1_000).is_some(), "20 % of 5,000");
    }

    #[test]
    fn old_records_leave_the_window() {
        let mut breaker = Breaker::new(PLAN);
        for step in 0..1_000 {
            breaker.passed(Side::Sink, 100);
            assert!(spread(&mut breaker, Side::Sink, step * 5, 5).is_none(), "under 5 % at all times");
        }
        breaker.passed(Side::Sink, 500);
        assert!(spread(&mut breaker, Side::Sink, 90_000, 180).is_some(), "a good past does not hide a bad present");
    }

    #[test]
    fn what_the_sink_answers_is_no_excuse_for_preprocess() {
        let mut breaker = Breaker::new(PLAN);
        breaker.passed(Side::Sink, 100_000);
        assert!(spread(&mut breaker, Side::Preprocess, 0, 101).is_some());
    }

    #[test]
    fn neighbours_count_in_any_order_and_only_once() {
        let plan = BreakerPlan { ratio: 1.0, window: 1_000_000, in_a_row: 5, count_redirected: false };
        let mut breaker = Breaker::new(plan);
        for offset in [10, 12, 14, 13, 13, 13, 12] {
            assert_eq!(breaker.rejected(Side::Sink, SLOT, Offset(offset)), None);
        }
        assert_eq!(breaker.rejected(Side::Sink, PartitionId(1), Offset(11)), None, "another partition");
        assert_eq!(breaker.rejected(Side::Sink, SLOT, Offset(11)), Some(Trip::InARow { rejects: 5 }));
    }

    #[test]
    fn a_gap_ends_a_row() {
        let plan = BreakerPlan { ratio: 1.0, window: 1_000_000, in_a_row: 3, count_redirected: false };
        let mut breaker = Breaker::new(plan);
        for offset in [1, 2, 4, 5, 7, 8] {
            assert_eq!(breaker.rejected(Side::Sink, SLOT, Offset(offset)), None);
        }
    }
}
