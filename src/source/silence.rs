//! A partition of which nothing comes although its log goes on: a batch that librdkafka takes for one that was not sent
//! to its end is fetched again and again, without an error (`rd_kafka_msgset_reader_run`, librdkafka 2.12, counts it as
//! a partial message). Pure.

use std::time::{Duration, Instant};

/// How long nothing may come.
const SILENT_FOR: Duration = Duration::from_secs(15);
/// Fetches the client must have sent meanwhile to the broker: over a slow line one takes long, and then silence says
/// nothing. A broker sends what it has of its partitions in turns.
const FETCHES: u64 = 20;

/// What the client's statistics say of a partition that is being read, behind an empty queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetched {
    /// The next offset the client will fetch.
    pub next_offset: i64,
    /// The last stable offset.
    pub end: i64,
    /// Fetches sent to the partition's broker since the client was made.
    pub fetches: u64,
}

/// Since when the client has stood where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Silence(Option<(i64, Instant, u64)>);

impl Silence {
    /// The partition is not being read just now, or something came.
    pub fn over(&mut self) {
        self.0 = None;
    }

    /// Takes what statistics say. Returns the offset nothing comes from, once that has lasted; then it counts anew.
    pub fn told(&mut self, fetched: Fetched, now: Instant) -> Option<i64> {
        let Fetched { next_offset, end, fetches } = fetched;
        let stands = self.0.filter(|(at, ..)| *at == next_offset && next_offset < end);
        let (at, since, before) = stands.unwrap_or((next_offset, now, fetches));
        let lasts = now.saturating_duration_since(since) >= SILENT_FOR && fetches.saturating_sub(before) >= FETCHES;
        self.0 = (next_offset >= 0 && next_offset < end && !lasts).then_some((at, since, before));
        lasts.then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_client_that_fetches_and_does_not_move_is_silent() {
        let start = Instant::now();
        let told = |silence: &mut Silence, next_offset, end, fetches, seconds| {
            silence.told(Fetched { next_offset, end, fetches }, start + Duration::from_secs(seconds))
        };
        let mut silence = Silence::default();
        assert_eq!(told(&mut silence, 5, 9, 100, 0), None);
        assert_eq!(told(&mut silence, 5, 9, 500, 14), None, "not for long");
        assert_eq!(told(&mut silence, 5, 9, 501, 15), Some(5));
        assert_eq!(told(&mut silence, 5, 9, 900, 16), None, "it counts anew");
        assert_eq!(told(&mut silence, 5, 9, 919, 40), None, "the line is slow");
        assert_eq!(told(&mut silence, 5, 9, 920, 41), Some(5));
        for (next_offset, end) in [(6, 9), (9, 9), (10, 9), (-1001, 9)] {
            assert_eq!(told(&mut silence, 5, 9, 1000, 50), None);
            assert_eq!(told(&mut silence, next_offset, end, 2000, 80), None, "{next_offset} of {end}");
            silence.over();
        }
        assert_eq!(told(&mut silence, 5, 9, 1000, 50), None);
        silence.over();
        assert_eq!(told(&mut silence, 5, 9, 9000, 90), None);
    }
}
