//! The machine: which cores belong to whom, what it is called in reports, what commit is measured.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, bail};
use sluicegate::internals::telemetry::process::Machine;

use crate::peers::Peers;
use crate::servers::Servers;
use crate::source::Topics;

/// The core the subjects run on.
pub const SUBJECT_CORE: usize = 0;

/// A command that has the subjects' core to itself and ends with this process, however that ends.
pub fn pinned(program: impl AsRef<OsStr>) -> Command {
    on_core(SUBJECT_CORE, program)
}

/// The same on another core.
pub fn on_core(core: usize, program: impl AsRef<OsStr>) -> Command {
    on_cores(&core.to_string(), program)
}

/// The same on a list of cores as `taskset` reads it.
pub fn on_cores(list: &str, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    // Both become the program by exec, so it has the process id that is watched.
    command.args(["--pdeathsig", "KILL", "taskset", "-c", list]).arg(program);
    command
}

/// What does not change during a session.
pub struct Bench {
    /// Milliseconds since the epoch at start: the lines of one session carry it.
    pub session: i64,
    /// Processor, cores, memory and system in one line.
    pub machine: String,
    /// Cores of the machine.
    pub cores: usize,
    /// Short commit, with `+` for uncommitted changes.
    pub commit: String,
    /// The command line.
    pub command: String,
    /// Servers, off the subjects' core.
    pub servers: Servers,
    /// Topics to read from.
    pub topics: Topics,
    /// Programs to set beside the engine.
    pub peers: Peers,
}

impl Bench {
    /// Describes the machine and moves this process, and so every server it starts, off the subjects' core.
    ///
    /// # Errors
    /// One core only, or no `taskset`.
    pub fn take(peers: Peers) -> anyhow::Result<Self> {
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
            cores: here.cores,
            commit: commit().unwrap_or_else(|| "unknown".to_owned()),
            command: std::env::args().skip(1).collect::<Vec<_>>().join(" "),
            servers: Servers::default(),
            topics: Topics::default(),
            peers,
        })
    }
}

/// The checkout this program was built from.
pub fn checkout() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().expect("perf lies in a checkout").to_owned()
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
        ":!perf/curves",
    ])?;
    Some(if changed.is_empty() { commit } else { commit + "+" })
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::process::Stdio;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::process;

    #[test]
    fn a_subject_ends_with_a_killed_observer() {
        let mut subject = pinned("sleep");
        subject.arg("300");
        let words: Vec<String> = std::iter::once(subject.get_program())
            .chain(subject.get_args())
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        let script = format!("{} & echo $!; wait", words.join(" "));
        let mut observer = Command::new("sh").args(["-c", &script]).stdout(Stdio::piped()).spawn().expect("a shell");
        let mut line = String::new();
        BufReader::new(observer.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
        let pid: u32 = line.trim().parse().expect("a process id");
        // Killed before it was told what to do at its parent's death it would outlive it: wait until it is the sleep.
        let deadline = Instant::now() + Duration::from_secs(20);
        let name = || std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        while name().trim() != "sleep" {
            assert!(Instant::now() < deadline, "it is still {}", name());
            std::thread::yield_now();
        }
        observer.kill().expect("killed");
        observer.wait().expect("reaped");
        while process::usage(pid).is_some_and(|usage| !usage.ended) {
            assert!(Instant::now() < deadline, "it lives on");
            std::thread::yield_now();
        }
    }
}
