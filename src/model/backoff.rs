//! How long to wait after failures in a row. Pure: chance is an argument.

use std::time::Duration;

/// A wait that doubles with each failure in a row, up to a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
}

impl Backoff {
    /// Waits `first` after one failure, never longer than `longest`.
    #[must_use]
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest }
    }

    /// The wait after `failures` in a row: `first × 2^(failures - 1)`, at most `longest`; no wait without a failure.
    #[must_use]
    pub fn after(self, failures: u32) -> Duration {
        let Some(doublings) = failures.checked_sub(1) else { return Duration::ZERO };
        self.first.saturating_mul(1 << doublings.min(31)).min(self.longest)
    }

    /// Full jitter: a part of [`Backoff::after`] chosen by `chance`, which is in 0..1. Clients that failed together do
    /// not come back together.
    #[must_use]
    pub fn jittered(self, failures: u32, chance: f64) -> Duration {
        self.after(failures).mul_f64(chance.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(30));

    #[test]
    fn the_wait_doubles_up_to_its_bound() {
        let table = [(0, 0), (1, 200), (2, 400), (3, 800), (8, 25_600), (9, 30_000), (4_000_000, 30_000)];
        for (failures, millis) in table {
            assert_eq!(BACKOFF.after(failures), Duration::from_millis(millis), "{failures}");
        }
        let long = Backoff::new(Duration::MAX, Duration::MAX);
        assert_eq!(long.after(u32::MAX), Duration::MAX, "no overflow");
        let inverted = Backoff::new(Duration::from_secs(60), Duration::from_secs(30));
        assert_eq!(inverted.after(1), Duration::from_secs(30), "the bound holds for the first wait too");
    }

    #[test]
    fn jitter_takes_a_part() {
        let table = [(1, 1.0, 200), (3, 0.5, 400), (5, 0.0, 0), (9, 7.0, 30_000), (9, -7.0, 0), (0, 1.0, 0)];
        for (failures, chance, millis) in table {
            assert_eq!(BACKOFF.jittered(failures, chance), Duration::from_millis(millis), "{failures} {chance}");
        }
    }
}
