//! One run of one subject, watched from outside until it ends.

use std::collections::BTreeMap;
use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::machine::SUBJECT_CORE;
use crate::statistics::Sample;
use crate::{allocations, process};

/// A run in which nothing arrives for this long has failed.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a subject may take to end when everything has arrived: the script waits for silence, the engine commits.
const ENDING: Duration = Duration::from_secs(60);
/// How often the CPU of single threads is read.
const THREADS_EVERY: Duration = Duration::from_millis(500);

/// What was seen.
pub struct Observed {
    /// In order of time; the last one is the end of the process.
    pub samples: Vec<Sample>,
    /// Largest resident set of the process tree, in bytes.
    pub peak_bytes: u64,
    /// CPU seconds by thread name, as of half a second before the end.
    pub threads: BTreeMap<String, f64>,
    /// Requests for memory, where the subject counts them.
    pub allocations: Option<u64>,
}

/// Ends the subject with the observer.
struct Subject(Child);

impl Drop for Subject {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts `command` and watches it to its end, reading `delivered` every `every`.
///
/// # Errors
/// It fails, hangs, or the sink cannot be asked; the end of its log is in the error.
pub fn watch(
    command: Command,
    records: u64,
    every: Duration,
    delivered: impl Fn() -> anyhow::Result<u64>,
) -> anyhow::Result<Observed> {
    watch_patiently(command, records, every, PATIENCE, delivered)
}

/// The same with a patience of its own.
///
/// # Errors
/// See [`watch`].
pub fn watch_patiently(
    mut command: Command,
    records: u64,
    every: Duration,
    patience: Duration,
    delivered: impl Fn() -> anyhow::Result<u64>,
) -> anyhow::Result<Observed> {
    let log = tempfile::NamedTempFile::new()?;
    let out = || File::options().append(true).open(log.path());
    command.stdin(Stdio::null()).stdout(out()?).stderr(out()?);
    let started = Instant::now();
    let mut subject = Subject(command.spawn().context("the subject cannot be started")?);
    let watched = observe(subject.0.id(), records, (every, patience), started, delivered);
    let log_end = || {
        let text = std::fs::read_to_string(log.path()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    };
    let mut observed = watched.with_context(log_end)?;
    let status = subject.0.wait()?;
    if !status.success() {
        bail!("the subject ended with {status}\n{}", log_end());
    }
    observed.allocations = allocations::told(&std::fs::read_to_string(log.path())?);
    Ok(observed)
}

fn observe(
    pid: u32,
    records: u64,
    (every, patience): (Duration, Duration),
    started: Instant,
    delivered: impl Fn() -> anyhow::Result<u64>,
) -> anyhow::Result<Observed> {
    let mut seen = Observed { samples: Vec::new(), peak_bytes: 0, threads: BTreeMap::new(), allocations: None };
    let (mut moved, mut threads_due, mut unheard) = (started, started, None);
    loop {
        let usage = process::usage(pid).context("the subject is gone")?;
        let before = seen.samples.last().map_or(0, |last| last.delivered);
        // A starved server may miss a question: what was known last holds, until patience ends.
        let delivered = delivered().unwrap_or_else(|error| {
            unheard = Some(error);
            before
        });
        let sample = Sample {
            at_s: started.elapsed().as_secs_f64(),
            delivered,
            cpu_s: usage.cpu_s,
            core_s: process::busy_s(SUBJECT_CORE),
            rss_bytes: usage.rss_bytes,
        };
        seen.samples.push(sample);
        seen.peak_bytes = seen.peak_bytes.max(usage.peak_bytes);
        if usage.ended {
            return Ok(seen);
        }
        let now = Instant::now();
        if sample.delivered > before {
            moved = now;
        }
        let limit = if sample.delivered >= records { ENDING } else { patience };
        if now - moved > limit {
            let unheard = unheard.map_or_else(String::new, |error| format!("; the sink said last: {error:#}"));
            let seconds = limit.as_secs();
            bail!(
                "{} of {records} records have arrived, and nothing has moved for {seconds} s{unheard}",
                sample.delivered
            );
        }
        if now >= threads_due {
            let threads = process::threads(pid);
            if !threads.is_empty() {
                seen.threads = threads;
            }
            threads_due = now + THREADS_EVERY;
        }
        std::thread::park_timeout(every);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_subject_is_watched_to_its_end_and_its_failure_is_told() {
        let every = Duration::from_millis(5);
        let seen = watch(shell("exit 0"), 7, every, || Ok(7)).expect("a clean end");
        assert_eq!((seen.samples.last().map(|sample| sample.delivered), seen.allocations), (Some(7), None));
        let counting = shell("echo 'perf: requests for memory: 41' >&2");
        assert_eq!(watch(counting, 7, every, || Ok(7)).expect("a clean end").allocations, Some(41));
        let error = watch(shell("echo no such topic >&2; exit 3"), 7, every, || Ok(0)).err().expect("a failure");
        let text = format!("{error:#}");
        assert!(text.contains("exit status: 3") && text.contains("no such topic"), "{text}");
    }
}
