//! The machine: which cores belong to whom, what it is called in reports, what commit is measured.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, bail};
use sluicegate::telemetry::process::Machine;

use crate::servers::Servers;

/// The core the subjects run on.
pub const SUBJECT_CORE: usize = 0;

/// What does not change during a session.
pub struct Bench {
    /// Milliseconds since the epoch at start: the lines of one session carry it.
    pub session: i64,
    /// Processor, cores, memory and system in one line.
    pub machine: String,
    /// Short commit, with `+` for uncommitted changes.
    pub commit: String,
    /// The command line.
    pub command: String,
    /// Servers, off the subjects' core.
    pub servers: Servers,
}

impl Bench {
    /// Describes the machine and moves this process, and so every server it starts, off the subjects' core.
    ///
    /// # Errors
    /// One core only, or no `taskset`.
    pub fn take() -> anyhow::Result<Self> {
        let here = Machine::here();
        if here.cores < 2 {
            bail!("two cores are needed: one for what is measured, the others for the servers");
        }
        let others = format!("1-{}", here.cores - 1);
        let pinned = Command::new("taskset").args(["-cp", &others, &std::process::id().to_string()]).output();
        let pinned = pinned.context("cannot run taskset (Debian package util-linux)")?;
        if !pinned.status.success() {
            bail!("taskset refuses cores {others}: {}", String::from_utf8_lossy(&pinned.stderr).trim());
        }
        let gib = here.memory_bytes.unwrap_or_default() >> 30;
        let cpu = here.cpu.unwrap_or_else(|| "unknown processor".to_owned());
        Ok(Self {
            session: jiff::Timestamp::now().as_millisecond(),
            machine: format!("{} cores of {cpu}, {gib} GiB, {} {}", here.cores, here.system, here.architecture),
            commit: commit().unwrap_or_else(|| "unknown".to_owned()),
            command: std::env::args().skip(1).collect::<Vec<_>>().join(" "),
            servers: Servers::default(),
        })
    }
}

/// The checkout this program was built from.
pub fn checkout() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A path below `perf/`.
pub fn below_perf(path: &str) -> PathBuf {
    checkout().join("perf").join(path)
}

/// Average number of running processes over the last minute.
pub fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or_default()
}

fn commit() -> Option<String> {
    let git = |words: &[&str]| {
        let output = Command::new("git").current_dir(checkout()).args(words).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short", "HEAD"])?;
    // The report and the history change with every run.
    let changed = git(&[
        "status",
        "--porcelain",
        "--untracked-files=no",
        "--",
        ".",
        ":!perf/REPORT.md",
        ":!perf/history.ndjson",
    ])?;
    Some(if changed.is_empty() { commit } else { commit + "+" })
}
