//! When a failing sink probes or gives up; shared by its lanes. Pure: `now` is an argument.

use std::time::{Duration, Instant};

use crate::config::plan::RetryPlan;

use super::verdict::Trouble;

/// How long refused credentials are held before the pipeline halts.
pub const REFUSED_FOR: Duration = Duration::from_secs(5 * 60);
/// How often one waiting request is sent again as the probe.
pub const PROBE_EVERY: Duration = Duration::from_secs(1);
/// Longest `Retry-After` that is honoured.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(5 * 60);

/// The give-up clock and the probe.
///
/// The clock starts at the first failed answer after the last acknowledgement and runs only for whole-request faults:
/// not for item faults, not for a block an operator must lift, and not for the first timeout of a request, whose
/// re-send may yet show that the server had been at work.
#[derive(Debug)]
pub struct GiveUpClock {
    in_place: Duration,
    failing_since: Option<Instant>,
    refused_since: Option<Instant>,
    next_probe: Option<Instant>,
    probing: bool,
    gave_up: Option<Instant>,
    /// The source has been told.
    announced: bool,
}

impl GiveUpClock {
    /// Nothing has failed yet.
    #[must_use]
    pub fn new(retry: RetryPlan) -> Self {
        let in_place = retry.in_place;
        Self {
            in_place,
            failing_since: None,
            refused_since: None,
            next_probe: None,
            probing: false,
            gave_up: None,
            announced: false,
        }
    }

    /// A request was answered item by item: the server is there. Whether anything had been failing.
    pub fn answered(&mut self) -> bool {
        self.next_probe = None;
        self.refused_since = None;
        self.failing_since.take().is_some()
    }

    /// A whole request failed for the `failures`-th time.
    pub fn failed(&mut self, now: Instant, trouble: Trouble, failures: u32) {
        match trouble {
            Trouble::Blocked => self.failing_since = None,
            Trouble::Timeout if failures <= 1 => {}
            Trouble::Timeout | Trouble::Connection | Trouble::Overload | Trouble::Unclear => {
                self.failing_since.get_or_insert(now);
            }
        }
    }

    /// Whether to give up now; says so once, until [`GiveUpClock::resume`].
    pub fn gives_up(&mut self, now: Instant) -> bool {
        let exhausted = self.failing_since.is_some_and(|since| now.duration_since(since) >= self.in_place);
        if exhausted && self.gave_up.is_none() {
            self.gave_up = Some(now);
            return true;
        }
        false
    }

    /// Given up: nothing is sent until the sink answers a probe.
    #[must_use]
    pub fn has_given_up(&self) -> bool {
        self.gave_up.is_some()
    }

    /// The source was told of it. Before that nobody may tell it that the sink is back: in the other order it would
    /// wait for ever.
    pub fn announced(&mut self) {
        self.announced = true;
    }

    /// Given up, and the source knows.
    #[must_use]
    pub fn may_resume(&self) -> bool {
        self.gave_up.is_some() && self.announced
    }

    /// The sink answered a probe after giving up.
    pub fn resume(&mut self) {
        self.gave_up = None;
        self.announced = false;
        self.failing_since = None;
        self.next_probe = None;
    }

    /// Credentials were refused; whether that has lasted too long. The give-up clock stands still.
    pub fn refused(&mut self, now: Instant) -> bool {
        self.failing_since = None;
        now.duration_since(*self.refused_since.get_or_insert(now)) >= REFUSED_FOR
    }

    /// Whether a waiting request may go now as the probe; at most one at a time and one a second.
    pub fn may_probe(&mut self, now: Instant) -> bool {
        let due = *self.next_probe.get_or_insert(now + PROBE_EVERY);
        if self.probing || now < due {
            return false;
        }
        self.probing = true;
        true
    }

    /// The probe came back, with whatever answer.
    pub fn probe_returned(&mut self, now: Instant) {
        self.probing = false;
        self.next_probe = Some(now + PROBE_EVERY);
    }
}

/// Whether re-sending one waiting request every second is a sensible probe of this trouble.
#[must_use]
pub fn is_probed(trouble: Trouble) -> bool {
    match trouble {
        Trouble::Connection | Trouble::Timeout => true,
        Trouble::Overload | Trouble::Unclear | Trouble::Blocked => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patience() -> GiveUpClock {
        GiveUpClock::new(RetryPlan {
            first: Duration::from_millis(200),
            max: Duration::from_secs(30),
            in_place: Duration::from_secs(150),
        })
    }

    #[test]
    fn the_clock_runs_for_whole_request_faults_only() {
        let start = Instant::now();
        let late = start + Duration::from_secs(1000);
        let table = [
            (Trouble::Connection, 1, true),
            (Trouble::Overload, 1, true),
            (Trouble::Unclear, 1, true),
            (Trouble::Timeout, 1, false),
            (Trouble::Timeout, 2, true),
            (Trouble::Blocked, 5, false),
        ];
        for (trouble, failures, gives_up) in table {
            let mut patience = patience();
            patience.failed(start, trouble, failures);
            assert_eq!(patience.gives_up(late), gives_up, "{trouble:?} {failures}");
        }
    }

    #[test]
    fn gives_up_once_and_only_after_the_whole_time_without_an_answer() {
        let mut patience = patience();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        patience.failed(at(0), Trouble::Connection, 1);
        patience.failed(at(100), Trouble::Connection, 2);
        assert!(!patience.gives_up(at(149)));
        assert!(patience.answered(), "it had been failing");
        patience.failed(at(150), Trouble::Connection, 1);
        assert!(!patience.gives_up(at(299)), "the clock started anew");
        assert!(patience.gives_up(at(300)) && !patience.gives_up(at(301)) && patience.has_given_up());
        assert!(!patience.may_resume(), "the source does not know yet");
        patience.announced();
        assert!(patience.may_resume());
        patience.resume();
        assert!(!patience.may_resume() && !patience.has_given_up() && !patience.gives_up(at(400)));
    }

    #[test]
    fn one_probe_a_second_and_one_at_a_time() {
        let mut patience = patience();
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        assert!(!patience.may_probe(at(0)), "the first is due a second after the fault");
        assert!(patience.may_probe(at(1000)));
        assert!(!patience.may_probe(at(9000)), "one is under way");
        patience.probe_returned(at(9000));
        assert!(!patience.may_probe(at(9999)));
        assert!(patience.may_probe(at(10_000)));
    }

    #[test]
    fn refused_credentials_last_five_minutes() {
        let mut patience = patience();
        let start = Instant::now();
        assert!(!patience.refused(start));
        assert!(!patience.refused(start + Duration::from_secs(299)));
        assert!(patience.refused(start + Duration::from_secs(300)));
        patience.answered();
        assert!(!patience.refused(start + Duration::from_secs(301)));
    }
}
