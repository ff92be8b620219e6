//! How long the sink waits for an acknowledgement before it gives memory back. Pure.

use std::time::{Duration, Instant};

/// Runs while records are open and none is acknowledged.
#[derive(Debug)]
pub(super) struct AckTimer {
    limit: Duration,
    since: Option<Instant>,
    /// The first failure after the last acknowledgement: what fails at once is never open for long.
    failing: Option<Instant>,
}

impl AckTimer {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, since: None, failing: None }
    }

    /// Something was acknowledged.
    pub(super) fn acknowledged(&mut self, now: Instant) {
        self.since = Some(now);
        self.failing = None;
    }

    /// The thread that would have heard of an acknowledgement was busy for so long.
    pub(super) fn was_deaf_for(&mut self, time: Duration) {
        self.since = self.since.map(|since| since + time);
    }

    /// A record failed, or the producer did.
    pub(super) fn failed(&mut self, now: Instant) {
        self.failing.get_or_insert(now);
    }

    /// How long records have failed without an acknowledgement between.
    pub(super) fn failed_for(&self, now: Instant) -> Duration {
        self.failing.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// Called every turn: the clock starts when something opens and ends when nothing is open.
    pub(super) fn observe(&mut self, now: Instant, open: bool) {
        if open {
            self.since.get_or_insert(now);
        } else {
            self.since = None;
        }
    }

    /// How long the open records have waited.
    pub(super) fn waited(&self, now: Instant) -> Duration {
        self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// Whether it is time to give up.
    pub(super) fn is_spent(&self, now: Instant) -> bool {
        self.since.is_some() && self.waited(now) >= self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_in_which_nothing_could_be_heard_does_not_count() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut timer = AckTimer::new(Duration::from_secs(10));
        timer.was_deaf_for(Duration::from_secs(99));
        timer.observe(at(0), true);
        timer.failed(at(1));
        timer.was_deaf_for(Duration::from_secs(7));
        assert_eq!((timer.waited(at(9)), timer.failed_for(at(9))), (Duration::from_secs(2), Duration::from_secs(8)));
        assert!(!timer.is_spent(at(16)) && timer.is_spent(at(17)));
    }

    #[test]
    fn it_runs_only_while_something_is_open_and_unanswered() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut patience = AckTimer::new(Duration::from_secs(10));
        patience.observe(at(0), false);
        assert!(!patience.is_spent(at(100)), "idle");
        patience.observe(at(100), true);
        patience.observe(at(109), true);
        assert!(!patience.is_spent(at(109)));
        patience.acknowledged(at(109));
        patience.observe(at(109), true);
        assert!(!patience.is_spent(at(118)) && patience.is_spent(at(119)));
        patience.observe(at(119), false);
        assert_eq!((patience.is_spent(at(500)), patience.waited(at(500))), (false, Duration::ZERO));
    }

    #[test]
    fn what_fails_at_once_again_and_again_counts_although_it_is_never_open_for_long() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut patience = AckTimer::new(Duration::from_secs(10));
        for second in 0..6 {
            patience.observe(at(second), true);
            patience.failed(at(second));
            patience.observe(at(second), false);
        }
        assert_eq!((patience.waited(at(6)), patience.failed_for(at(6))), (Duration::ZERO, Duration::from_secs(6)));
        patience.acknowledged(at(6));
        assert_eq!(patience.failed_for(at(7)), Duration::ZERO);
    }
}
