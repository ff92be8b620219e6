//! How long the sink waits for an acknowledgement: of anything, before it gives memory back; of the oldest batch,
//! before it sends again what waits while others are acknowledged. Pure.

use std::time::{Duration, Instant};

use crate::model::Backoff;
use crate::mutants::{self, Mutant};

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

/// Runs while the oldest batch at the producer gets no answer, whatever younger ones get.
///
/// A partition of the output is written in the order in which records were handed over. Whatever a partition
/// acknowledges is therefore of the oldest batch, as long as that has a record there: a batch that is the oldest and
/// gets no answer has its records in partitions that acknowledge nothing, however slow and full the others are.
#[derive(Debug)]
pub(super) struct OldestTimer {
    backoff: Backoff,
    /// The oldest batch, how many of its records are open, and since when neither has changed.
    standing: Option<(HandedOver, u32, Instant)>,
    /// When the producer was last made anew for it, and how often in a row.
    renewed: Option<(Instant, u32)>,
}

/// Numbers the batches handed to producers, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct HandedOver(pub(super) u64);

/// The longest wait for the oldest batch, in times of the first: what still stands still after a new producer is the
/// cluster's fault, and each further producer writes again what other partitions have acknowledged.
const LONGEST_WAIT: u32 = 8;

impl OldestTimer {
    pub(super) fn new(limit: Duration) -> Self {
        Self { backoff: Backoff::new(limit, limit.saturating_mul(LONGEST_WAIT)), standing: None, renewed: None }
    }

    /// Called every turn: the oldest batch with open records, and how many these are.
    pub(super) fn observe(&mut self, now: Instant, oldest: Option<(HandedOver, u32)>) {
        self.standing = oldest.map(|(number, open)| match self.standing {
            Some((known, before, since)) if (known, before) == (number, open) => (known, before, since),
            Some(_) | None => (number, open, now),
        });
    }

    /// The thread that would have heard of an answer was busy for so long.
    pub(super) fn was_deaf_for(&mut self, time: Duration) {
        self.standing = self.standing.map(|(number, open, since)| (number, open, since + time));
    }

    /// Whether the batch has waited so long that a new producer is to send it again.
    pub(super) fn is_spent(&self, now: Instant) -> bool {
        let limit = self.backoff.after(self.in_a_row(now) + 1);
        let spent = |(_, _, since)| now.saturating_duration_since(since) >= limit;
        self.standing.is_some_and(spent) && !mutants::on(Mutant::OldestWaitedForForEver)
    }

    /// The producer was made anew for it.
    pub(super) fn renewed(&mut self, now: Instant) {
        self.renewed = Some((now, self.in_a_row(now) + 1));
        self.standing = None;
    }

    /// New producers in a row: the row ends when none was needed for twice the time after which it would have been.
    fn in_a_row(&self, now: Instant) -> u32 {
        let Some((last, times)) = self.renewed else { return 0 };
        let long_ago = now.saturating_duration_since(last) >= self.backoff.after(times + 1) * 2;
        if long_ago { 0 } else { times }
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

    #[test]
    fn the_oldest_batch_is_waited_for_ever_longer_and_any_answer_of_it_ends_the_wait() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut timer = OldestTimer::new(Duration::from_secs(10));
        timer.observe(at(0), None);
        assert!(!timer.is_spent(at(100)), "nothing is open");
        timer.observe(at(0), Some((HandedOver(3), 5)));
        timer.observe(at(9), Some((HandedOver(3), 4)));
        assert!(!timer.is_spent(at(18)) && timer.is_spent(at(19)), "from its last answer on");
        timer.observe(at(18), Some((HandedOver(4), 4)));
        assert!(!timer.is_spent(at(27)), "another is the oldest");
        timer.was_deaf_for(Duration::from_secs(2));
        assert!(!timer.is_spent(at(29)) && timer.is_spent(at(30)));

        let mut now = 30;
        for wait in [20, 40, 80, 80] {
            timer.renewed(at(now));
            assert!(!timer.is_spent(at(now + 1_000)), "nothing is open");
            timer.observe(at(now), Some((HandedOver(now), 1)));
            assert!(!timer.is_spent(at(now + wait - 1)) && timer.is_spent(at(now + wait)), "{wait}");
            now += wait;
        }
        timer.observe(at(now + 160), Some((HandedOver(now + 1), 1)));
        assert!(timer.is_spent(at(now + 170)), "the row has ended");
    }
}
