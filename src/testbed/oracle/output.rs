//! Judges an output topic while it is read: per partition and key, every selected value, byte for byte, in order.
//!
//! It keeps a hash for each value instead of the value. Expectations come from the feeder before a record is produced,
//! sightings from a tap; both may run at the same time on different threads.

use std::collections::HashMap;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::{Mutex, PoisonError};

use crate::testbed::generator::{Generated, RecordFate};

use super::key_line::KeyLine;
use super::key_line::KeySighting;
use super::{Samples, select_result, shorten};

/// Seen values remembered for each key, to tell a repetition from something nobody sent.
const HISTORY: usize = 4096;

/// What is expected of and seen in one output topic.
pub struct OutputOracle {
    hasher: foldhash::fast::RandomState,
    partitions: Vec<Mutex<Lines>>,
}

#[derive(Default)]
struct Lines {
    keys: HashMap<Box<[u8]>, KeyLine>,
    /// Values without a key: how often each is expected (positive) or was seen too often. They have no order.
    keyless: HashMap<u64, i64>,
    moment: u64,
    tally: OutputVerdict,
}

/// What was found. `Display` is a readable account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutputVerdict {
    /// Records that must come out.
    pub expected: u64,
    /// Of these, seen at least once.
    pub(crate) verified: u64,
    /// Of these, never seen.
    pub missing: u64,
    /// Sightings beyond the first.
    pub duplicates: u64,
    /// Records nobody expected: other bytes, another key, another partition.
    pub unexpected: u64,
    /// Records seen while an earlier one of their key was not, or a repetition with holes.
    pub order_violations: u64,
    /// Keys whose last sightings are not in input order.
    pub(crate) misordered_keys: u64,
    samples: Samples,
}

impl OutputVerdict {
    /// Every record exactly once and in order.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.is_at_least_once() && self.duplicates == 0 && self.order_violations == 0
    }

    /// Every record at least once, nothing else, and per key the last sightings in order: what a run with faults owes.
    #[must_use]
    pub fn is_at_least_once(&self) -> bool {
        self.missing == 0 && self.unexpected == 0 && self.misordered_keys == 0
    }

    /// The first differences, described.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn samples(&self) -> &[String] {
        &self.samples.0
    }

    fn add(&mut self, other: &Self) {
        self.expected += other.expected;
        self.verified += other.verified;
        self.missing += other.missing;
        self.duplicates += other.duplicates;
        self.unexpected += other.unexpected;
        self.order_violations += other.order_violations;
        self.misordered_keys += other.misordered_keys;
        other.samples.0.iter().for_each(|sample| self.samples.add(|| sample.clone()));
    }
}

impl fmt::Display for OutputVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { expected, verified, missing, duplicates, unexpected, order_violations, misordered_keys, samples } =
            self;
        write!(
            f,
            "{verified} of {expected} records verified, {missing} missing, {duplicates} repeated, {unexpected} \
             unexpected, {order_violations} out of order, {misordered_keys} keys left in the wrong order"
        )?;
        samples.0.iter().try_for_each(|sample| write!(f, "\n  {sample}"))
    }
}

impl OutputOracle {
    /// An oracle of a topic with this many partitions, of which nothing is expected yet.
    #[must_use]
    pub fn new(partitions: i32) -> Self {
        let partitions = (0..partitions).map(|_| Mutex::default()).collect();
        Self { hasher: foldhash::fast::RandomState::default(), partitions }
    }

    /// A record is about to be fed; what must become of it is expected in `partition` (for a record without a key: in
    /// any). Records that must be rejected, and those whose fate the sink decides, are not expected.
    pub fn expect(&self, record: &Generated<'_>, partition: i32) {
        let value = match record.fate() {
            RecordFate::Rejected(_) | RecordFate::SinkLimit => return,
            RecordFate::Tombstone => None,
            RecordFate::Delivered | RecordFate::ServerDecides => record.value.and_then(select_result),
        };
        let place = if record.key.is_some() { partition } else { 0 };
        let hash = self.hash(value);
        let Some(mut lines) = self.lines(place) else { return };
        lines.tally.expected += 1;
        match record.key {
            Some(key) => match lines.keys.get_mut(key) {
                Some(line) => line.expect(hash, HISTORY),
                None => lines.keys.entry(key.into()).or_default().expect(hash, HISTORY),
            },
            None => *lines.keyless.entry(hash).or_default() += 1,
        }
    }

    /// A record was read from the output topic.
    pub fn observe(&self, partition: i32, key: Option<&[u8]>, value: Option<&[u8]>) -> KeySighting {
        let hash = self.hash(value);
        let place = if key.is_some() { partition } else { 0 };
        let Some(mut lines) = self.lines(place) else { return KeySighting::Unexpected };
        lines.moment += 1;
        let moment = lines.moment;
        let observation = match key {
            Some(key) => lines.keys.get_mut(key).map_or(KeySighting::Unexpected, |line| line.observe(hash, moment)),
            None => lines.observe_keyless(hash),
        };
        let describe = |what: &str| {
            let key = key.map_or_else(|| "no key".to_owned(), |key| format!("key {}", shorten(key)));
            let value = value.map_or_else(|| "a null value".to_owned(), shorten);
            format!("partition {partition}, {key}: {what}: {value}")
        };
        lines.tally.count(observation, describe);
        observation
    }

    /// Records of a partition that were seen at least once. Where input and output have the same partitions and nothing
    /// is rejected or missing, this is the position up to which the input has gone all the way.
    #[must_use]
    pub(crate) fn verified(&self, partition: i32) -> u64 {
        self.lines(partition).map_or(0, |lines| lines.tally.verified)
    }

    /// What is known now: as long as records are under way they count as missing.
    #[must_use]
    pub fn verdict(&self) -> OutputVerdict {
        let mut verdict = OutputVerdict::default();
        for partition in 0..self.partitions.len() {
            let Some(lines) = self.lines(i32::try_from(partition).unwrap_or(i32::MAX)) else { continue };
            verdict.add(&lines.end(partition));
        }
        verdict
    }

    /// Expected and verified records so far; cheap, for progress.
    #[must_use]
    pub(crate) fn progress(&self) -> (u64, u64) {
        let each = (0..).map_while(|partition| self.lines(partition)).map(|l| (l.tally.expected, l.tally.verified));
        each.fold((0, 0), |sum, next| (sum.0 + next.0, sum.1 + next.1))
    }

    fn hash(&self, value: Option<&[u8]>) -> u64 {
        self.hasher.hash_one(value)
    }

    fn lines(&self, partition: i32) -> Option<std::sync::MutexGuard<'_, Lines>> {
        let lines = self.partitions.get(usize::try_from(partition).ok()?)?;
        Some(lines.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Lines {
    fn observe_keyless(&mut self, hash: u64) -> KeySighting {
        match self.keyless.get_mut(&hash) {
            Some(wanted) => {
                *wanted -= 1;
                if *wanted >= 0 { KeySighting::Next } else { KeySighting::Repeated }
            }
            None => KeySighting::Unexpected,
        }
    }

    fn end(&self, partition: usize) -> OutputVerdict {
        let mut verdict = self.tally.clone();
        for (key, line) in &self.keys {
            let end = line.end();
            verdict.missing += end.missing;
            verdict.misordered_keys += u64::from(end.misordered);
            if end.missing > 0 {
                verdict.samples.add(|| {
                    format!("partition {partition}, key {}: {} records never came out", shorten(key), end.missing)
                });
            }
            if end.misordered {
                verdict.samples.add(|| {
                    format!("partition {partition}, key {}: an older record stands behind a newer one", shorten(key))
                });
            }
        }
        verdict.missing += self.keyless.values().filter_map(|wanted| u64::try_from(*wanted).ok()).sum::<u64>();
        verdict
    }
}

impl OutputVerdict {
    fn count(&mut self, observation: KeySighting, describe: impl FnOnce(&str) -> String) {
        match observation {
            KeySighting::Next => self.verified += 1,
            KeySighting::Repeated => self.duplicates += 1,
            KeySighting::Early { over } => {
                self.verified += 1;
                self.order_violations += 1;
                self.samples.add(|| describe(&format!("came before {over} earlier ones")));
            }
            KeySighting::Skipping { over } => {
                self.duplicates += 1;
                self.order_violations += 1;
                self.samples.add(|| describe(&format!("repeated, but {over} before it were not")));
            }
            KeySighting::Unexpected => {
                self.unexpected += 1;
                self.samples.add(|| describe("nobody fed this"));
            }
        }
    }
}
