//! How long the sink waits for an acknowledgement before it gives memory back. Pure.

use std::time::{Duration, Instant};

/// Runs while records are open and none is acknowledged.
#[derive(Debug)]
pub(super) struct AckTimer {
    limit: Duration,
    since: Option<Instant>,
}

impl AckTimer {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, since: None }
    }

    /// Something was acknowledged.
    pub(super) fn acknowledged(&mut self, now: Instant) {
        self.since = Some(now);
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
}
