//! A consistent reading of a pipeline's conservation counters.

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::metrics::PipelineMetrics;
use crate::model::Outcome;

/// Where every record read is: `consumed = delivered + superseded + dropped + dead_lettered + redirected +
/// rewound + open`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Records drained; a record read again counts again.
    pub consumed: u64,
    /// Acknowledged by the sink.
    pub delivered: u64,
    /// Already there, or something newer.
    pub superseded: u64,
    /// Dropped by an explicit rule.
    pub dropped: u64,
    /// Held by an acknowledged dead letter.
    pub dead_lettered: u64,
    /// Acknowledged by the sink, and put aside there. Absent in run files of older versions.
    #[serde(default)]
    pub redirected: u64,
    /// Given back to be read again.
    pub rewound: u64,
    /// Read and not resolved.
    pub open: i64,
}

/// The counts as of the end of a turn of the source, the one thread that changes the counters: between two turns the sum
/// need not hold, so nobody else may add the counters up.
#[derive(Debug, Default)]
pub struct Balance(Mutex<Counts>);

impl Balance {
    /// Keeps what the counters say now. Called by the source, once a turn; a reader holds the lock for one copy.
    pub(super) fn strike(&self, metrics: &PipelineMetrics) {
        let counts = Counts::load(metrics);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = counts;
    }
}

impl Counts {
    /// The counts of the last balance: never a torn reading.
    #[must_use]
    pub fn read(metrics: &PipelineMetrics) -> Self {
        *metrics.balance.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn load(metrics: &PipelineMetrics) -> Self {
        Self {
            consumed: metrics.source_records.get(),
            delivered: metrics.outcome(Outcome::Delivered).get(),
            superseded: metrics.outcome(Outcome::Superseded).get(),
            dropped: metrics.outcome(Outcome::Dropped).get(),
            dead_lettered: metrics.outcome(Outcome::DeadLettered).get(),
            redirected: metrics.outcome(Outcome::Redirected).get(),
            rewound: metrics.rewound.get(),
            open: metrics.open_records.get(),
        }
    }

    /// Records that ended for good.
    #[must_use]
    pub fn resolved(&self) -> u64 {
        self.delivered + self.superseded + self.dropped + self.dead_lettered + self.redirected
    }

    /// Records the sum misses (positive) or has too many (negative); 0 when it holds.
    #[must_use]
    pub fn difference(&self) -> i64 {
        let accounted = (self.resolved() + self.rewound) as i64 + self.open;
        self.consumed as i64 - accounted
    }

    /// Whether the sum holds and nothing open is negative.
    #[must_use]
    pub fn conserved(&self) -> bool {
        self.difference() == 0 && self.open >= 0
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.conserved() { "=" } else { "≠" };
        write!(
            f,
            "consumed {} {sign} delivered {} + superseded {} + dropped {} + dead_lettered {} + redirected {} + rewound {} \
             + open {}",
            self.consumed,
            self.delivered,
            self.superseded,
            self.dropped,
            self.dead_lettered,
            self.redirected,
            self.rewound,
            self.open
        )
    }
}

#[cfg(test)]
mod tests {
    use strum::VariantArray;

    use super::*;

    #[test]
    fn every_counter_takes_part_in_the_sum() {
        let metrics = PipelineMetrics::new("p");
        metrics.source_records.add(127);
        for (place, outcome) in Outcome::VARIANTS.iter().enumerate() {
            metrics.outcome(*outcome).add(1 << place);
        }
        metrics.rewound.add(32);
        metrics.balance(64);
        let counts = Counts::read(&metrics);
        assert!(counts.conserved(), "{counts}");
        assert_eq!(counts.resolved(), 31);

        let without = [
            Counts { consumed: 126, ..counts },
            Counts { delivered: 0, ..counts },
            Counts { superseded: 0, ..counts },
            Counts { dropped: 0, ..counts },
            Counts { dead_lettered: 0, ..counts },
            Counts { redirected: 0, ..counts },
            Counts { rewound: 0, ..counts },
            Counts { open: 0, ..counts },
        ];
        let differences: Vec<i64> = without.iter().map(Counts::difference).collect();
        assert_eq!(differences, [-1, 1, 2, 4, 8, 16, 32, 64]);
        assert!(without.iter().all(|counts| !counts.conserved()));
    }

    #[test]
    fn a_reading_in_the_middle_of_a_turn_is_the_one_of_the_turn_before() {
        let metrics = PipelineMetrics::new("p");
        metrics.source_records.add(7);
        metrics.balance(7);
        metrics.source_records.add(5);
        metrics.outcome(Outcome::Delivered).add(3);
        let counts = Counts::read(&metrics);
        assert!(counts.conserved() && counts.consumed == 7, "{counts}");
        metrics.balance(9);
        let counts = Counts::read(&metrics);
        assert!(counts.conserved() && counts.consumed == 12, "{counts}");
    }

    #[test]
    fn negative_open_is_never_conserved() {
        let counts = Counts { consumed: 1, delivered: 2, open: -1, ..Counts::default() };
        assert_eq!(counts.difference(), 0);
        assert!(!counts.conserved());
    }
}
