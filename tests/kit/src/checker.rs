//! Judges a run offline from four logs: what went in, what the sink and the dead letters saw, and what was committed
//! when.
//!
//! It knows nothing of how the run was made. A record is named by a number of the caller's choice; times are
//! microseconds of one clock. [`check`] is pure. What it looks for is named as in Jepsen's analyses of Kafka: lost
//! writes, writes nobody asked for, duplicates, and positions that passed something unfinished.

mod duplicates;
mod order;
pub mod stream;

use std::collections::{BTreeMap, HashMap};
use std::fmt;

/// Most findings described in a verdict.
const SAMPLES: usize = 12;

/// What is owed to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owed {
    /// The sink has it.
    Delivery,
    /// A dead letter holds it.
    Letter,
    /// Either will do: whether the sink takes it is the sink's business.
    Either,
}

/// A record of the input, as read back from its topic. One that lies there twice is listed twice, under one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Input {
    /// Its number.
    pub record: u64,
    /// Its key's number; `None` without a key. One key lives in one partition.
    pub key: Option<u64>,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// What is owed.
    pub owed: Owed,
}

/// Where a record was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// At the sink.
    Sink,
    /// In the dead letters.
    Letters,
}

/// What became of a sighting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Written.
    Applied,
    /// Not written because something newer is there: as good as written.
    Superseded,
    /// Not written.
    Refused,
}

/// A record as the far side saw it, in the order it saw them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// Which record.
    pub record: u64,
    /// Where.
    pub place: Place,
    /// What became of it.
    pub taken: Taken,
    /// When it was worked on.
    pub at_us: u64,
    /// When the answer was given; `None`: it never was, or not whole.
    pub told_us: Option<u64>,
}

/// A committed position as somebody who asked was told at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// When the answer was there.
    pub at_us: u64,
    /// Which partition.
    pub partition: i32,
    /// The next offset to read.
    pub next: i64,
}

/// What may make records come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The process was killed, or ended without finishing.
    Kill,
    /// Partitions were read again from their lowest unresolved record.
    Rewind,
    /// The same, while requests were under way that could not be taken back: a server may still write them.
    RewindInFlight,
    /// Partitions changed hands.
    Reassigned,
    /// Partitions were read from their beginning, whatever had been committed: the log was another one.
    Anew,
    /// The line to the sink did not carry answers.
    Line,
    /// A process stood still until it was taken for dead, and went on at the end of this.
    Zombie,
}

/// Something that makes records come again, from its beginning to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incident {
    /// What.
    pub cause: Cause,
    /// Begin.
    pub from_us: u64,
    /// End.
    pub to_us: u64,
    /// Which partition; `None`: all.
    pub partition: Option<i32>,
}

impl Incident {
    /// The same for a sink of which it is known whether it gave each answer: a write that was under way has none, which
    /// explains its repetition without this.
    #[must_use]
    pub fn with_known_answers(self) -> Self {
        match self.cause {
            Cause::RewindInFlight => Self { cause: Cause::Rewind, ..self },
            Cause::Kill | Cause::Rewind | Cause::Reassigned | Cause::Anew | Cause::Line | Cause::Zombie => self,
        }
    }
}

/// Everything that is known of a run.
#[derive(Debug, Clone, Default)]
pub struct Logs {
    /// The input.
    pub input: Vec<Input>,
    /// Sink and dead letters; each place in the order it saw them.
    pub sightings: Vec<Sighting>,
    /// Commits seen.
    pub committed: Vec<Committed>,
    /// What may have repeated records.
    pub incidents: Vec<Incident>,
    /// Whether the sink fences older writes by version: then the order of attempts says nothing, only what was applied.
    pub versioned: bool,
}

/// What was found. `Display` is a readable account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Records of the input.
    pub records: u64,
    /// Owed and nowhere to be found.
    pub lost: u64,
    /// Seen though nobody sent them, or where they do not belong.
    pub foreign: u64,
    /// Written again after they had been written.
    pub duplicates: u64,
    /// Of these, with nothing that explains them.
    pub unexplained: u64,
    /// Records sent before an earlier one of their key.
    pub disordered: u64,
    /// Keys that end with something older than the newest.
    pub stale_keys: u64,
    /// Findings of these two kinds that are none once late writes are left out, and so are not counted there: a server
    /// went on with a request whose line had broken, or a process with what it had in hand when it was taken for dead,
    /// after newer writes of the key had been acknowledged. Only a version refuses such a write.
    pub late: u64,
    /// Committed positions that passed a record nobody had acknowledged.
    pub early_commits: u64,
    /// The first findings, described.
    pub samples: Vec<String>,
}

impl Verdict {
    /// Nothing lost, invented, out of order, repeated without cause or committed too early.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let order = [self.disordered, self.stale_keys, self.late];
        let bad = [[self.lost, self.foreign, self.unexplained, self.early_commits].as_slice(), &order].concat();
        bad.iter().all(|count| *count == 0)
    }

    fn note(&mut self, describe: impl FnOnce() -> String) {
        if self.samples.len() < SAMPLES {
            self.samples.push(describe());
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} records, {} lost, {} foreign, {} repeated ({} without a cause), {} out of order, {} keys stale, {} by late \
             writes, {} early commits",
            self.records,
            self.lost,
            self.foreign,
            self.duplicates,
            self.unexplained,
            self.disordered,
            self.stale_keys,
            self.late,
            self.early_commits
        )?;
        self.samples.iter().try_for_each(|sample| write!(f, "\n    {sample}"))
    }
}

/// Judges a run that has ended.
#[must_use]
pub fn check(logs: &Logs) -> Verdict {
    let mut verdict = Verdict { records: logs.input.len() as u64, ..Verdict::default() };
    let known: HashMap<u64, &Input> = logs.input.iter().map(|input| (input.record, input)).collect();
    presence(logs, &known, &mut verdict);
    duplicates::judge(logs, &known, &mut verdict);
    order::judge(logs, &known, &mut verdict);
    early_commits(logs, &mut verdict);
    verdict
}

/// From the end of a fault to the first record written and told after it, in microseconds.
#[must_use]
pub fn recovery_us(logs: &Logs, ended_us: u64) -> Option<u64> {
    let after = |sighting: &&Sighting| resolves(sighting) && sighting.told_us.is_some();
    let times = logs.sightings.iter().filter(after).filter(|sighting| sighting.at_us >= ended_us);
    times.map(|sighting| sighting.at_us - ended_us).min()
}

fn resolves(sighting: &Sighting) -> bool {
    match sighting.taken {
        Taken::Applied | Taken::Superseded => true,
        Taken::Refused => false,
    }
}

fn presence(logs: &Logs, known: &HashMap<u64, &Input>, verdict: &mut Verdict) {
    let mut seen: HashMap<u64, (bool, bool)> = HashMap::new();
    for sighting in logs.sightings.iter().filter(|sighting| resolves(sighting)) {
        let at = seen.entry(sighting.record).or_default();
        match sighting.place {
            Place::Sink => at.0 = true,
            Place::Letters => at.1 = true,
        }
    }
    for input in &logs.input {
        let (delivered, letter) = seen.get(&input.record).copied().unwrap_or_default();
        let (kept, misplaced) = match input.owed {
            Owed::Delivery => (delivered, letter),
            Owed::Letter => (letter, delivered),
            Owed::Either => (delivered || letter, false),
        };
        if !kept {
            verdict.lost += 1;
            verdict.note(|| format!("lost: {}", describe(input)));
        }
        if misplaced {
            verdict.foreign += 1;
            verdict.note(|| format!("not where it belongs: {} was owed {:?}", describe(input), input.owed));
        }
    }
    for record in seen.into_keys().filter(|record| !known.contains_key(record)) {
        verdict.foreign += 1;
        verdict.note(|| format!("nobody sent record {record}"));
    }
}

/// A commit is early when some record below it was told to nobody until after the commit had been seen.
fn early_commits(logs: &Logs, verdict: &mut Verdict) {
    let mut told: HashMap<u64, u64> = HashMap::new();
    for sighting in logs.sightings.iter().filter(|sighting| resolves(sighting)) {
        if let Some(at) = sighting.told_us {
            told.entry(sighting.record).and_modify(|first| *first = at.min(*first)).or_insert(at);
        }
    }
    let mut partitions: BTreeMap<i32, Vec<&Input>> = BTreeMap::new();
    logs.input.iter().for_each(|input| partitions.entry(input.partition).or_default().push(input));
    for (partition, inputs) in &mut partitions {
        inputs.sort_by_key(|input| input.offset);
        // When everything up to and including this record had been acknowledged.
        let mut latest = 0;
        let done: Vec<u64> = inputs
            .iter()
            .map(|input| {
                latest = told.get(&input.record).copied().unwrap_or(u64::MAX).max(latest);
                latest
            })
            .collect();
        for commit in logs.committed.iter().filter(|commit| commit.partition == *partition) {
            let below = inputs.partition_point(|input| input.offset < commit.next);
            let Some(at) = below.checked_sub(1) else { continue };
            if done[at] > commit.at_us {
                verdict.early_commits += 1;
                let first = done.partition_point(|done| *done <= commit.at_us);
                verdict.note(|| {
                    format!("partition {partition} was committed to {} before {}", commit.next, describe(inputs[first]))
                });
            }
        }
    }
}

fn describe(input: &Input) -> String {
    format!("record {} (partition {}, offset {})", input.record, input.partition, input.offset)
}

#[cfg(test)]
mod tests;
