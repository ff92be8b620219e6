//! One line a run, for ever: `perf/history.ndjson`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::check::Verdict;
use crate::machine::{self, Bench, below_perf};
use crate::run::Observed;
use crate::scenario::Scenario;
use crate::statistics::steady;

const FILE: &str = "history.ndjson";
const MIB: f64 = 1_048_576.0;

/// One run of one subject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Start of the session, milliseconds since the epoch.
    pub session: i64,
    /// Scenario.
    pub scenario: String,
    /// Who ran.
    pub subject: String,
    /// Place in the session's order, from 0.
    pub place: u32,
    /// Records that went in.
    pub records: u64,
    /// Records a second at the sink, between 10 % and 100 % of the records.
    pub records_per_second: f64,
    /// CPU seconds of the process tree for a million records, in the same span.
    pub cpu_s_per_million: f64,
    /// The same from start to end of the process.
    pub cpu_s_per_million_all: f64,
    /// Requests for memory of the whole run for each record; `None` for subjects that do not count them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocations_per_record: Option<f64>,
    /// Largest resident set of the process tree, in MiB.
    pub peak_mib: f64,
    /// Records that did not come out.
    pub missing: u64,
    /// Records that came out again or were never put in.
    pub extra: u64,
    /// Records that came out with another value, where values are looked at.
    #[serde(default)]
    pub changed: u64,
    /// Share of the subject's core that others took in the span.
    pub others: f64,
    /// Load of the machine over the last minute.
    pub load: f64,
    /// CPU seconds by thread name.
    pub threads: BTreeMap<String, f64>,
    /// Resident set in MiB at twenty even steps of the records; where memory is the question.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resident_mib: Vec<f64>,
    /// What else was measured, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub figures: BTreeMap<String, f64>,
    /// What else is to be known, by name: the version of a program, or why one was left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub notes: BTreeMap<String, String>,
    /// Machine.
    pub machine: String,
    /// Commit.
    pub commit: String,
    /// Arguments.
    pub command: String,
}

impl Line {
    /// The line of a run that went through.
    ///
    /// # Errors
    /// The records did not all arrive, or too fast to be seen.
    pub fn new(
        (scenario, subject, place): (Scenario, &str, u32),
        (records, verdict): (u64, Verdict),
        observed: &Observed,
        bench: &Bench,
    ) -> anyhow::Result<Self> {
        let last = observed.samples.last().context("nothing was seen")?;
        let span = steady(&observed.samples, records)
            .with_context(|| format!("{} of {records} records arrived at the sink of the {subject}", last.delivered))?;
        Ok(Self {
            records_per_second: round(span.records / span.wall_s, 0),
            cpu_s_per_million: round(span.cpu_s / span.records * 1e6, 3),
            cpu_s_per_million_all: round(last.cpu_s / records as f64 * 1e6, 3),
            allocations_per_record: observed.allocations.map(|count| round(count as f64 / records as f64, 3)),
            peak_mib: round(observed.peak_bytes as f64 / MIB, 1),
            others: round(span.other_s / span.wall_s, 2),
            threads: observed.threads.iter().map(|(name, cpu_s)| (name.clone(), round(*cpu_s, 2))).collect(),
            ..Self::bare((scenario, subject, place), (records, verdict), bench)
        })
    }

    /// The line of a run that something else has watched: what that saw is filled in by the caller.
    pub fn bare(
        (scenario, subject, place): (Scenario, &str, u32),
        (records, verdict): (u64, Verdict),
        bench: &Bench,
    ) -> Self {
        Self {
            session: bench.session,
            scenario: scenario.name().to_owned(),
            subject: subject.to_owned(),
            place,
            records,
            records_per_second: 0.0,
            cpu_s_per_million: 0.0,
            cpu_s_per_million_all: 0.0,
            allocations_per_record: None,
            peak_mib: 0.0,
            missing: verdict.missing,
            extra: verdict.extra,
            changed: verdict.changed,
            others: 0.0,
            load: machine::load(),
            threads: BTreeMap::new(),
            resident_mib: Vec::new(),
            figures: BTreeMap::new(),
            notes: BTreeMap::new(),
            machine: bench.machine.clone(),
            commit: bench.commit.clone(),
            command: bench.command.clone(),
        }
    }

    /// Whether everything came out, once and as it must; after an outage some may have come out again.
    pub fn is_correct(&self) -> bool {
        self.missing == 0 && self.changed == 0 && (self.extra == 0 || self.scenario == Scenario::Outage.name())
    }
}

/// Adds lines to the file.
///
/// # Errors
/// It cannot be written.
pub fn append(lines: &[Line]) -> anyhow::Result<()> {
    let mut file = File::options().create(true).append(true).open(below_perf(FILE))?;
    for line in lines {
        writeln!(file, "{}", serde_json::to_string(line)?)?;
    }
    Ok(())
}

/// All lines.
///
/// # Errors
/// The file cannot be read, or a line is none of ours.
pub fn read() -> anyhow::Result<Vec<Line>> {
    let text = fs::read_to_string(below_perf(FILE))?;
    let parse = |(at, line)| serde_json::from_str(line).with_context(|| format!("perf/{FILE}, line {}", at + 1));
    text.lines().enumerate().map(parse).collect()
}

/// A value to so many digits behind the point.
pub fn round(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

#[cfg(test)]
pub mod fixtures {
    //! Lines for tests.

    use super::{BTreeMap, Line};

    /// A run of a million records without a fault.
    pub fn line(scenario: &str, subject: &str, place: u32, rate: f64, cpu: f64) -> Line {
        Line {
            session: 1,
            scenario: scenario.into(),
            subject: subject.into(),
            place,
            records: 1_000_000,
            records_per_second: rate,
            cpu_s_per_million: cpu,
            cpu_s_per_million_all: cpu,
            allocations_per_record: None,
            peak_mib: 100.0,
            missing: 0,
            extra: 0,
            changed: 0,
            others: 0.0,
            load: 1.0,
            threads: BTreeMap::new(),
            resident_mib: Vec::new(),
            figures: BTreeMap::new(),
            notes: BTreeMap::new(),
            machine: "m".into(),
            commit: "c".into(),
            command: scenario.into(),
        }
    }
}
