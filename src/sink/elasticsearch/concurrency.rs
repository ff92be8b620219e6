//! How many requests may be out at once: found by additive increase and multiplicative decrease. Pure: `now` is an
//! argument.
//!
//! The number grows by one after a round of clean answers, while it was the wall (as many requests were out as may be)
//! and answers come about as fast as they ever did for their size. It shrinks by a quarter when a server says that it
//! is busy, or does not answer: once for all requests that were out together, not once for each. The number at which
//! that happened is remembered as the *wall*: growth stops below it and tries it again after a pause that doubles from
//! try to try, so that a server with a fixed limit is not pushed over it all the time.

use std::time::{Duration, Instant};

use crate::model::Backoff;

use super::op::Pace;
use super::verdict::RequestReply;

/// Clean answers that make a round: as many as requests may be out, but at least so many.
const SMALLEST_ROUND: usize = 4;
/// Even the fastest answer of a round took this many times the least known for its size: requests queue up at the
/// servers, and one more would only wait there. Least against least, because a single slow answer shows nothing.
const QUEUEING: f64 = 2.0;
/// The least time known is doubled after this long without one as short: servers get slower as they fill.
const FORGETS_IN: Duration = Duration::from_secs(10 * 60);
/// First pause before a number that was too much is tried again.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Between two tries.
const BACKOFF: Backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
/// Classes of request sizes, two for each power of two: requests of one class differ by at most 41 %.
const SIZE_CLASSES: usize = 2 * usize::BITS as usize;

/// What an answer says about how much the servers can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// Work was done.
    Clean,
    /// 429, 503, 504, no answer in time, or items the servers were too busy for.
    Overload,
    /// Neither: a broken connection, a refused request.
    Nothing,
}

impl Sign {
    /// The sign of an answer, and of what it means for its lane.
    #[must_use]
    pub fn of(reply: &RequestReply, pace: &Pace) -> Self {
        match (reply, pace) {
            (RequestReply::Timeout, _) | (RequestReply::Answer { status: 408 | 429 | 503 | 504, .. }, _) => {
                Self::Overload
            }
            (_, Pace::Residue { overload: true, .. }) => Self::Overload,
            (_, Pace::Go | Pace::Residue { overload: false, .. }) => Self::Clean,
            (_, Pace::Whole { .. } | Pace::Split | Pace::Refused(_) | Pace::Halt(_)) => Self::Nothing,
        }
    }
}

/// One request that has ended.
#[derive(Debug, Clone, Copy)]
pub struct EndedRequest {
    /// When it was sent.
    pub sent: Instant,
    /// Bytes of its body.
    pub bytes: usize,
    /// Whether as many requests were out as may be, this one included.
    pub pressed: bool,
    /// What its answer says.
    pub sign: Sign,
}

/// The number that was too much.
#[derive(Debug, Clone, Copy)]
struct Wall {
    at: usize,
    /// How often in a row it was too much.
    tries: u32,
    retry_at: Instant,
}

/// The answers since the number changed last.
#[derive(Debug, Clone, Copy, Default)]
struct Round {
    clean: usize,
    pressed: bool,
    /// Least ratio of an answer's time to the least known for its size.
    least: Option<f64>,
}

/// Least seconds a byte that requests of one size have taken.
#[derive(Debug, Clone, Copy)]
struct Least {
    seconds: f64,
    at: Instant,
}

/// See the module.
#[derive(Debug)]
pub struct Concurrency {
    most: usize,
    limit: usize,
    /// When the limit grew or shrank last: answers to older requests say nothing about the present one.
    changed: Instant,
    shrunk: Option<Instant>,
    wall: Option<Wall>,
    round: Round,
    least: Vec<Option<Least>>,
}

impl Concurrency {
    /// Between 1, where it starts, and `most`.
    #[must_use]
    pub fn new(most: usize, now: Instant) -> Self {
        let least = vec![None; SIZE_CLASSES];
        Self { most: most.max(1), limit: 1, changed: now, shrunk: None, wall: None, round: Round::default(), least }
    }

    /// How many requests may be out now.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Takes a request that ended at `now`.
    pub fn ended(&mut self, now: Instant, sample: EndedRequest) {
        match sample.sign {
            Sign::Nothing => {}
            Sign::Overload => self.overloaded(now, sample.sent),
            Sign::Clean => self.clean(now, sample),
        }
    }

    /// Requests sent before the limit shrank have been paid for.
    fn overloaded(&mut self, now: Instant, sent: Instant) {
        if self.shrunk.is_some_and(|shrunk| sent < shrunk) {
            return;
        }
        let failed_again = self.wall.filter(|wall| self.limit >= wall.at && self.limit > 1);
        let tries = failed_again.map_or(1, |wall| wall.tries.saturating_add(1));
        self.wall = Some(Wall { at: self.limit.max(2), tries, retry_at: now + BACKOFF.after(tries) });
        self.limit = (self.limit * 3 / 4).max(1);
        (self.changed, self.shrunk, self.round) = (now, Some(now), Round::default());
    }

    fn clean(&mut self, now: Instant, sample: EndedRequest) {
        let ratio = self.ratio(now, sample);
        if sample.sent < self.changed {
            return;
        }
        let round = &mut self.round;
        round.clean += 1;
        round.pressed |= sample.pressed;
        round.least = Some(round.least.map_or(ratio, |least| least.min(ratio)));
        if round.clean < self.limit.max(SMALLEST_ROUND) {
            return;
        }
        let round = std::mem::take(round);
        if !round.pressed {
            return;
        }
        if self.wall.is_some_and(|wall| self.limit >= wall.at) {
            self.wall = None;
        }
        let queueing = round.least.is_some_and(|least| least > QUEUEING);
        if !queueing && self.limit < self.most && self.may_pass(now) {
            self.limit += 1;
            self.changed = now;
        }
    }

    /// Whether the next number is below the wall, or the wall may be tried again.
    fn may_pass(&self, now: Instant) -> bool {
        self.wall.is_none_or(|wall| self.limit + 1 < wall.at || now >= wall.retry_at)
    }

    /// How long an answer took, in the least time known for its size. By the byte, since sizes of a class differ.
    fn ratio(&mut self, now: Instant, sample: EndedRequest) -> f64 {
        let bytes = sample.bytes.max(1);
        let seconds = now.duration_since(sample.sent).as_secs_f64().max(1e-9) / bytes as f64;
        let class = ((bytes as f64).log2() * 2.0) as usize;
        let Some(place) = self.least.get_mut(class) else { return 1.0 };
        let aged = place.map_or(f64::INFINITY, |least| {
            let age = now.duration_since(least.at).as_secs_f64() / FORGETS_IN.as_secs_f64();
            least.seconds * age.exp2()
        });
        *place = Some(Least { seconds: seconds.min(aged), at: now });
        seconds / seconds.min(aged)
    }
}

#[cfg(test)]
#[path = "concurrency_tests.rs"]
mod tests;
