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
pub const PATIENCE: Duration = Duration::from_secs(120);
/// How long a subject may take to end when everything has arrived: the script waits for silence, the engine commits.
const ENDING: Duration = Duration::from_secs(60);
/// How long a subject that is asked to end lives on after its last record: its next commit, and what it sends twice.
const AFTER: Duration = Duration::from_millis(1500);
/// How long it may then take before it is killed.
const ASKED: Duration = Duration::from_secs(15);
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

/// How a subject ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with success, when it has done its work.
    ByItself,
    /// When it is told to, in whatever way: it has done its work by then.
    WhenAsked,
}

/// How long a subject's last records may take to be told of after its end.
const HEARD_WITHIN: Duration = Duration::from_secs(2);

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
    watch_so(command, records, every, (PATIENCE, Ending::ByItself), delivered)
}

/// The same with a patience and an ending of its own.
///
/// # Errors
/// See [`watch`].
pub fn watch_so(
    mut command: Command,
    records: u64,
    every: Duration,
    (patience, ending): (Duration, Ending),
    delivered: impl Fn() -> anyhow::Result<u64>,
) -> anyhow::Result<Observed> {
    let log = tempfile::NamedTempFile::new()?;
    let out = || File::options().append(true).open(log.path());
    command.stdin(Stdio::null()).stdout(out()?).stderr(out()?);
    let started = Instant::now();
    let mut subject = Subject(command.spawn().context("the subject cannot be started")?);
    let watched = observe(subject.0.id(), records, (every, patience, ending), started, delivered);
    let log_end = || {
        let text = std::fs::read_to_string(log.path()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    };
    let mut observed = watched.with_context(log_end)?;
    let status = subject.0.wait()?;
    let arrived = observed.samples.last().is_some_and(|last| last.delivered >= records);
    if !status.success() && (ending == Ending::ByItself || !arrived) {
        bail!("the subject ended with {status}\n{}", log_end());
    }
    observed.allocations = allocations::told(&std::fs::read_to_string(log.path())?);
    Ok(observed)
}

/// Which signals a subject was sent.
#[derive(Default)]
struct Asking {
    since: Option<Instant>,
    asked: bool,
}

impl Asking {
    /// The signal that is due, once all records have arrived.
    fn next(&mut self, now: Instant) -> Option<&'static str> {
        let waited = now - *self.since.get_or_insert(now);
        if waited >= AFTER + ASKED {
            return Some("KILL");
        }
        (waited >= AFTER && !std::mem::replace(&mut self.asked, true)).then_some("TERM")
    }
}

/// The sink tells what it has counted a moment later; a subject that ends at once after its last answer must not seem
/// to have sent less.
fn hear_out(seen: &mut Observed, records: u64, delivered: impl Fn() -> anyhow::Result<u64>) {
    let Some(last) = seen.samples.last_mut() else { return };
    let deadline = Instant::now() + HEARD_WITHIN;
    while last.delivered < records && Instant::now() < deadline {
        std::thread::park_timeout(Duration::from_millis(20));
        last.delivered = delivered().unwrap_or(last.delivered).max(last.delivered);
    }
}

fn observe(
    pid: u32,
    records: u64,
    (every, patience, ending): (Duration, Duration, Ending),
    started: Instant,
    ask: impl Fn() -> anyhow::Result<u64>,
) -> anyhow::Result<Observed> {
    let mut seen = Observed { samples: Vec::new(), peak_bytes: 0, threads: BTreeMap::new(), allocations: None };
    let (mut moved, mut threads_due, mut unheard) = (started, started, None);
    let mut asking = Asking::default();
    loop {
        let usage = process::usage(pid).context("the subject is gone")?;
        let before = seen.samples.last().map_or(0, |last| last.delivered);
        // A starved server may miss a question: what was known last holds, until patience ends.
        let delivered = ask().unwrap_or_else(|error| {
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
            hear_out(&mut seen, records, ask);
            return Ok(seen);
        }
        let now = Instant::now();
        if sample.delivered > before {
            moved = now;
        }
        let is_due = ending == Ending::WhenAsked && sample.delivered >= records;
        if let Some(signal) = is_due.then(|| asking.next(now)).flatten() {
            process::signal(pid, signal)?;
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

    #[test]
    fn a_subject_that_does_not_end_is_asked_to_when_all_has_arrived() {
        let every = Duration::from_millis(5);
        let patience = Duration::from_secs(20);
        let ask = |script: &str, arrive: u64| {
            watch_so(shell(script), 7, every, (patience, Ending::WhenAsked), || Ok(arrive))
                .map(|seen| seen.samples.len())
        };
        ask("trap 'exit 3' TERM; while :; do sleep 0.05; done", 7).expect("however it ends");
        let text = format!("{:#}", ask("echo no such broker; exit 4", 6).expect_err("too early"));
        assert!(text.contains("exit status: 4") && text.contains("no such broker"), "{text}");
    }

    #[test]
    fn asking_comes_before_killing() {
        let (mut asking, start) = (Asking::default(), Instant::now());
        let at = |asking: &mut Asking, after| asking.next(start + after);
        assert_eq!(at(&mut asking, Duration::ZERO), None);
        assert_eq!(at(&mut asking, AFTER), Some("TERM"));
        assert_eq!(at(&mut asking, AFTER + ASKED / 2), None);
        assert_eq!(at(&mut asking, AFTER + ASKED), Some("KILL"));
    }
}
