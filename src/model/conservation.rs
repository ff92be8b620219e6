//! The conservation sum: where every record read is (I9).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::settlement::Outcome;

/// Records by where they are: `consumed = delivered + superseded + dropped + dead_lettered + redirected + rewound +
/// open`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conservation {
    /// Records read; a record read again counts again.
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
    pub open: u64,
}

impl Conservation {
    /// Whether every record read is accounted for.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.consumed == self.accounted()
    }

    /// What the records read came to; equal to `consumed`, always.
    #[must_use]
    pub fn accounted(&self) -> u64 {
        self.resolved() + self.rewound + self.open
    }

    /// Records that ended for good.
    #[must_use]
    pub fn resolved(&self) -> u64 {
        self.delivered + self.superseded + self.dropped + self.dead_lettered + self.redirected
    }

    /// Records the sum misses (positive) or has too many (negative); 0 when it holds.
    #[must_use]
    pub fn difference(&self) -> i64 {
        self.consumed as i64 - self.accounted() as i64
    }

    /// Records that ended so.
    #[must_use]
    pub fn of(mut self, outcome: Outcome) -> u64 {
        *self.ended(outcome)
    }

    /// The count of an outcome, to be added to.
    pub fn ended(&mut self, outcome: Outcome) -> &mut u64 {
        match outcome {
            Outcome::Delivered => &mut self.delivered,
            Outcome::Superseded => &mut self.superseded,
            Outcome::Dropped => &mut self.dropped,
            Outcome::DeadLettered => &mut self.dead_lettered,
            Outcome::Redirected => &mut self.redirected,
        }
    }
}

impl fmt::Display for Conservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let equal = if self.holds() { "=" } else { "≠" };
        let Self { consumed, delivered, superseded, dropped, dead_lettered, redirected, rewound, open } = self;
        write!(
            f,
            "consumed {consumed} {equal} delivered {delivered} + superseded {superseded} + dropped {dropped} + \
             dead_lettered {dead_lettered} + redirected {redirected} + rewound {rewound} + open {open}"
        )
    }
}

#[cfg(test)]
mod tests {
    use strum::VariantArray;

    use super::*;

    #[test]
    fn every_member_takes_part_in_the_sum() {
        let mut sum = Conservation { consumed: 127, rewound: 32, open: 64, ..Conservation::default() };
        for (place, outcome) in Outcome::VARIANTS.iter().enumerate() {
            *sum.ended(*outcome) += 1 << place;
            assert_eq!(sum.of(*outcome), 1 << place);
        }
        assert!(sum.holds(), "{sum}");
        assert_eq!((sum.resolved(), sum.accounted()), (31, 127));

        let without = [
            Conservation { consumed: 126, ..sum },
            Conservation { delivered: 0, ..sum },
            Conservation { superseded: 0, ..sum },
            Conservation { dropped: 0, ..sum },
            Conservation { dead_lettered: 0, ..sum },
            Conservation { redirected: 0, ..sum },
            Conservation { rewound: 0, ..sum },
            Conservation { open: 0, ..sum },
        ];
        let differences: Vec<i64> = without.iter().map(Conservation::difference).collect();
        assert_eq!(differences, [-1, 1, 2, 4, 8, 16, 32, 64]);
        assert!(without.iter().all(|sum| !sum.holds() && sum.to_string().contains('≠')));
    }

    #[test]
    fn a_run_file_of_before_redirections_is_read() {
        let old = r#"{"consumed":3,"delivered":1,"superseded":0,"dropped":0,"dead_lettered":0,"rewound":0,"open":2}"#;
        let read: Conservation = serde_json::from_str(old).expect("read");
        assert_eq!(read, Conservation { consumed: 3, delivered: 1, open: 2, ..Conservation::default() });
    }
}
