//! When a server that failed is asked again. Pure: time and chance are arguments.

use std::time::{Duration, Instant};

use crate::config::plan::RetryPlan;
use crate::model::Backoff;

use super::fault::LookupFault;

/// Longest wait between two attempts, whatever `retry.max` says: a pipeline should go on soon after its server does.
const LONGEST: Duration = Duration::from_secs(5);

/// Backoff with full jitter towards one server, and for how long it has been failing.
#[derive(Debug, Clone)]
pub(super) struct ServerPatience {
    backoff: Backoff,
    failures: u32,
    not_before: Option<Instant>,
    since: Option<(bool, Instant)>,
}

impl ServerPatience {
    /// No failure yet.
    pub(super) fn new(retry: &RetryPlan) -> Self {
        let backoff = Backoff::new(retry.first, retry.max.min(LONGEST));
        Self { backoff, failures: 0, not_before: None, since: None }
    }

    /// It failed. Sets the next attempt a random part (`chance`, 0 to 1) of the backoff away; returns for how long
    /// faults of this kind (borne or not) have lasted.
    pub(super) fn failed(&mut self, fault: &LookupFault, now: Instant, chance: f64) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now + self.backoff.jittered(self.failures, chance));
        let since = match self.since {
            Some((borne, since)) if borne == fault.is_borne() => since,
            Some(_) | None => now,
        };
        self.since = Some((fault.is_borne(), since));
        now.saturating_duration_since(since)
    }

    /// It answered.
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
        self.not_before = None;
        self.since = None;
    }

    /// How long until the next attempt; `None` when it may be made now.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        self.not_before.map(|at| at.saturating_duration_since(now)).filter(|wait| !wait.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry(first: u64, max: u64) -> RetryPlan {
        RetryPlan {
            first: Duration::from_millis(first),
            max: Duration::from_millis(max),
            in_place: Duration::from_secs(150),
        }
    }

    #[test]
    fn backoff_doubles_to_its_bound_and_success_ends_it() {
        let now = Instant::now();
        let down = LookupFault::Down(String::new());
        let mut patience = ServerPatience::new(&retry(200, 30_000));
        assert_eq!(patience.wait(now), None);
        let mut waits = Vec::new();
        for _ in 0..40 {
            patience.failed(&down, now, 1.0);
            waits.push(patience.wait(now).expect("waits").as_millis());
        }
        assert_eq!(waits[..6], [200, 400, 800, 1600, 3200, 5000]);
        assert_eq!(waits[39], 5000, "bounded, without overflow");
        patience.failed(&down, now, 0.5);
        assert_eq!(patience.wait(now), Some(Duration::from_millis(2500)), "jitter takes a part");
        assert_eq!(patience.wait(now + Duration::from_secs(3)), None);
        patience.succeeded();
        assert_eq!(patience.wait(now), None);
    }

    #[test]
    fn duration_is_counted_by_kind_of_fault() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let (down, refused) = (LookupFault::Down(String::new()), LookupFault::Refused(String::new()));
        let mut patience = ServerPatience::new(&retry(1, 1));
        assert_eq!(patience.failed(&down, at(0), 0.0), Duration::ZERO);
        assert_eq!(patience.failed(&down, at(600), 0.0), Duration::from_secs(600));
        assert_eq!(patience.failed(&refused, at(601), 0.0), Duration::ZERO, "an outage is not a refusal");
        assert_eq!(patience.failed(&refused, at(700), 0.0), Duration::from_secs(99));
        patience.succeeded();
        assert_eq!(patience.failed(&refused, at(800), 0.0), Duration::ZERO);
    }
}
