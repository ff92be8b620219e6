//! What is written down while the engine is soaked: commits, incidents, latencies, memory, a line a minute.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use sluicegate_testkit::commit_watch::now_us;

use super::ground::{Ground, Pace, Side};
use sluicegate_testkit::faults::engine::{Engine, let_pass, status_of};
use sluicegate_testkit::faults::growth;
use sluicegate_testkit::faults::journal::incident_in;

/// How often commits, logs and acknowledgements are taken, and how often the checkers forget.
const TURN: Duration = Duration::from_millis(200);
const SETTLE: Duration = Duration::from_secs(3);
/// How often memory is looked at, and how often a line is written.
const SAMPLE: Duration = Duration::from_secs(10);
const LINE_US: u64 = 60_000_000;
const LINE: Duration = Duration::from_micros(LINE_US);
/// A record is late when it takes longer than this; a time is calm when the last fault ended so long ago.
pub const LATE_US: u64 = 1_000_000;
pub const CALM_US: u64 = 60_000_000;
/// What an engine uses before this age says nothing of leaks.
const GROWN_UP_US: u64 = 120_000_000;

/// A fault, and what followed.
#[derive(Debug, Clone)]
pub struct Mark {
    /// Its name.
    pub name: &'static str,
    /// Its begin.
    pub from_us: u64,
    /// Its end; `u64::MAX` while it goes on.
    pub to_us: u64,
    /// By pipeline: from its end to the first acknowledgement.
    pub recovery_us: [Option<u64>; 2],
    /// By pipeline: when the last record was late.
    pub late_until_us: [u64; 2],
    /// By pipeline: repetitions when it began.
    pub duplicates: [u64; 2],
}

/// The engine's size at a moment.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// When.
    pub at_us: u64,
    /// Which process, and when it was started.
    pub process: u32,
    /// See `process`.
    pub since_us: u64,
    /// Resident memory in bytes.
    pub rss: u64,
    /// Threads.
    pub threads: u64,
    /// Open file descriptors.
    pub descriptors: u64,
}

/// Latencies of one pipeline in microseconds.
pub struct Latencies {
    /// All.
    pub all: Histogram<u64>,
    /// Of calm times.
    pub calm: Histogram<u64>,
    minute: Histogram<u64>,
}

/// Everything that was written down.
#[derive(Default)]
pub struct Figures {
    /// By pipeline.
    pub latencies: Vec<Latencies>,
    /// The faults.
    pub marks: Vec<Mark>,
    /// The engine's sizes.
    pub samples: Vec<Sample>,
    /// By pipeline: repetitions at the end.
    pub duplicates: [u64; 2],
    /// Times the conservation sum was asked for, and sums that did not hold.
    pub sums: u64,
    /// See `sums`.
    pub wrong_sums: Vec<String>,
    /// Most records the checkers kept at a time, and this program's own memory at the end.
    pub most_kept: usize,
    /// See `most_kept`.
    pub own_rss: u64,
    /// When the steady load began.
    pub began_us: u64,
    /// Of the engine.
    pub commit: String,
    /// Load average of the machine, once a minute.
    pub loads: Vec<f64>,
}

struct Watched {
    process: u32,
    since_us: u64,
    log: PathBuf,
    read: u64,
    lives: bool,
}

struct Shared {
    stop: AtomicBool,
    sides: Vec<Arc<Side>>,
    engines: Mutex<Vec<Watched>>,
    pace: Mutex<Option<Pace>>,
    figures: Mutex<Figures>,
}

/// The book, with two threads that write in it.
pub struct Book {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Latencies {
    fn new() -> anyhow::Result<Self> {
        let make = || Histogram::new(3);
        Ok(Self { all: make()?, calm: make()?, minute: make()? })
    }
}

impl Book {
    /// Opens it.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn start(ground: &Ground, lines: File) -> anyhow::Result<Self> {
        let latencies = vec![Latencies::new()?, Latencies::new()?];
        let figures = Figures { latencies, began_us: u64::MAX, ..Figures::default() };
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            sides: ground.sides.clone(),
            engines: Mutex::default(),
            pace: Mutex::default(),
            figures: Mutex::new(figures),
        });
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.into()).spawn(work).context("a thread for the book")
        };
        let (keeper, sampler) = (shared.clone(), shared.clone());
        let threads = vec![
            spawn("keeper", Box::new(move || keeper.keep()))?,
            spawn("sampler", Box::new(move || sampler.sample_on(lines)))?,
        ];
        Ok(Self { shared, threads })
    }

    /// An engine was started.
    pub fn engine(&self, engine: &Engine) {
        let log = engine.log_file().to_owned();
        lock(&self.shared.engines).push(Watched {
            process: engine.id(),
            since_us: now_us(),
            log,
            read: 0,
            lives: true,
        });
    }

    /// An engine is about to end.
    pub fn engine_ends(&self, engine: &Engine) {
        let mut engines = lock(&self.shared.engines);
        engines.iter_mut().filter(|one| one.process == engine.id()).for_each(|one| one.lives = false);
    }

    /// The steady load has begun.
    pub fn steady(&self, ground: &Ground) {
        *lock(&self.shared.pace) = ground.pace;
        lock(&self.shared.figures).began_us = now_us();
    }

    /// A fault begins.
    pub fn fault_begins(&self, name: &'static str) {
        let duplicates = self.shared.duplicates();
        lock(&self.shared.figures).marks.push(Mark {
            name,
            from_us: now_us(),
            to_us: u64::MAX,
            recovery_us: [None; 2],
            late_until_us: [0; 2],
            duplicates,
        });
    }

    /// It is over.
    pub fn fault_ends(&self) {
        if let Some(mark) = lock(&self.shared.figures).marks.last_mut() {
            mark.to_us = now_us();
        }
    }

    /// Closes it: call it when all engines have ended.
    pub fn finish(mut self) -> Figures {
        self.shared.stop.store(true, Ordering::Release);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
        self.shared.turn(true);
        let duplicates = self.shared.duplicates();
        let figures = std::mem::take(&mut *lock(&self.shared.figures));
        Figures { duplicates, own_rss: size_of(std::process::id(), "VmRSS:"), ..figures }
    }
}

impl Shared {
    fn keep(&self) {
        let mut settled = Instant::now();
        while !self.stop.load(Ordering::Acquire) {
            let is_time = settled.elapsed() >= SETTLE;
            if is_time {
                settled = Instant::now();
            }
            self.turn(is_time);
            let_pass(TURN);
        }
    }

    /// Takes what is new.
    fn turn(&self, settle: bool) {
        self.read_logs();
        let pace = *lock(&self.pace);
        for (at, side) in self.sides.iter().enumerate() {
            let commits = side.commits.take();
            let (acknowledged, kept) = {
                let mut checker = side.checker();
                commits.into_iter().for_each(|commit| checker.committed(commit));
                if settle {
                    checker.settle(now_us());
                }
                (checker.take_acknowledged(), checker.kept())
            };
            side.acknowledged.fetch_add(acknowledged.len() as u64, Ordering::AcqRel);
            let mut figures = lock(&self.figures);
            figures.most_kept = figures.most_kept.max(kept);
            let due = acknowledged.iter().filter_map(|(record, at_us)| Some((pace?.due_us(*record)?, *at_us)));
            due.for_each(|(due_us, at_us)| figures.acknowledged(at, due_us, at_us));
        }
    }

    fn read_logs(&self) {
        for engine in lock(&self.engines).iter_mut() {
            for line in engine.new_lines() {
                let Some((pipeline, incident)) = incident_in(&line) else { continue };
                let here = self.sides.iter().filter(|side| pipeline.is_empty() || side.name == pipeline);
                here.for_each(|side| side.checker().incident(side.judged(incident)));
            }
        }
    }

    fn duplicates(&self) -> [u64; 2] {
        [0, 1].map(|at| self.sides.get(at).map_or(0, |side| side.checker().verdict().duplicates))
    }

    fn sample_on(&self, mut lines: File) {
        let (begin, mut samples, mut minutes) = (Instant::now(), 0, 0);
        while !self.stop.load(Ordering::Acquire) {
            let_pass(Duration::from_millis(200));
            if begin.elapsed() >= SAMPLE * (samples + 1) {
                samples += 1;
                self.sample();
            }
            if begin.elapsed() >= LINE * (minutes + 1) {
                minutes += 1;
                // A full disk must not end the run.
                let _ = writeln!(lines, "{}", self.line());
            }
        }
        let _ = writeln!(lines, "{}", self.line());
    }

    /// The engine that has lived longest.
    fn sample(&self) {
        let now = lock(&self.engines).iter().find(|one| one.lives).map(|one| (one.process, one.since_us));
        let Some((process, since_us)) = now else { return };
        let rss = size_of(process, "VmRSS:");
        if rss == 0 {
            return;
        }
        let descriptors = fs::read_dir(format!("/proc/{process}/fd")).map_or(0, |list| list.count() as u64);
        let threads = number_of(process, "Threads:");
        let sample = Sample { at_us: now_us(), process, since_us, rss, threads, descriptors };
        lock(&self.figures).samples.push(sample);
    }

    fn line(&self) -> Value {
        let logs: Vec<PathBuf> =
            lock(&self.engines).iter().filter(|one| one.lives).map(|one| one.log.clone()).collect();
        let statuses: Vec<Value> = logs.iter().filter_map(|log| status_of(log)).collect();
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load: f64 = load.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0.0);
        let sides: Vec<Value> = self.sides.iter().map(|side| side_line(side)).collect();
        let mut figures = lock(&self.figures);
        figures.loads.push(load);
        for status in &statuses {
            figures.check_sums(status);
        }
        let names: Vec<&str> = self.sides.iter().map(|side| side.name).collect();
        let mut line = json!({
            "at_ms": now_us() / 1_000,
            "seconds": now_us().saturating_sub(figures.began_us) / 1_000_000,
            "load": load,
            "faults": figures.marks_of_late().collect::<Vec<_>>(),
            "own_rss_mib": size_of(std::process::id(), "VmRSS:") >> 20,
            "wrong_sums": figures.wrong_sums.len(),
        });
        if let Some(sample) = figures.samples.last() {
            line["engine"] = json!({ "process": sample.process, "rss_mib": sample.rss >> 20, "threads": sample.threads,
                "descriptors": sample.descriptors });
        }
        for (at, (name, mut side)) in names.iter().zip(sides).enumerate() {
            let minute = &mut figures.latencies[at].minute;
            let ms = |quantile| minute.value_at_quantile(quantile) as f64 / 1e3;
            side["latency_ms"] = json!({ "p50": ms(0.5), "p99": ms(0.99), "max": ms(1.0), "records": minute.len() });
            minute.reset();
            side["conservation"] =
                statuses.first().map_or(Value::Null, |one| one["pipelines"][name]["conservation"].clone());
            line[*name] = side;
        }
        line
    }
}

fn side_line(side: &Side) -> Value {
    let checker = side.checker();
    let verdict = checker.verdict();
    json!({ "records": verdict.records, "unresolved": checker.unresolved(), "kept": checker.kept(), "lost": verdict.lost,
        "foreign": verdict.foreign, "duplicates": verdict.duplicates, "in_doubt": checker.doubtful(),
        "unexplained": verdict.unexplained, "disordered": verdict.disordered, "early_commits": verdict.early_commits,
        "samples": verdict.samples })
}

impl Watched {
    fn new_lines(&mut self) -> Vec<String> {
        let mut bytes = Vec::new();
        let read = File::open(&self.log).and_then(|mut log| {
            log.seek(SeekFrom::Start(self.read))?;
            log.read_to_end(&mut bytes)
        });
        let whole = match read {
            Ok(_) => memchr::memrchr(b'\n', &bytes).map_or(0, |at| at + 1),
            Err(_) => 0,
        };
        self.read += whole as u64;
        String::from_utf8_lossy(&bytes[..whole]).lines().map(str::to_owned).collect()
    }
}

impl Figures {
    /// A record that was due then was acknowledged by a pipeline.
    fn acknowledged(&mut self, pipeline: usize, due_us: u64, at_us: u64) {
        let latency_us = at_us.saturating_sub(due_us).max(1);
        let latencies = &mut self.latencies[pipeline];
        // The histograms grow as they need to.
        let _ = latencies.all.record(latency_us).and_then(|()| latencies.minute.record(latency_us));
        let is_calm = self.marks.last().is_none_or(|mark| due_us > mark.to_us.saturating_add(CALM_US));
        if is_calm {
            let _ = latencies.calm.record(latency_us);
        }
        if let Some(mark) = self.marks.last_mut().filter(|_| latency_us > LATE_US) {
            mark.late_until_us[pipeline] = mark.late_until_us[pipeline].max(at_us);
        }
        // A pipeline may still be getting over a fault when the next one comes.
        for mark in self.marks.iter_mut().rev().take(2) {
            if let Some(after) = at_us.checked_sub(mark.to_us) {
                let known = &mut mark.recovery_us[pipeline];
                *known = Some(known.map_or(after, |known| known.min(after)));
            }
        }
    }

    /// Faults that were there in the last minute.
    fn marks_of_late(&self) -> impl Iterator<Item = &'static str> {
        let now = now_us();
        self.marks.iter().filter(move |mark| mark.to_us.saturating_add(LINE_US) > now).map(|mark| mark.name)
    }

    fn check_sums(&mut self, status: &Value) {
        if let Some(commit) = status["commit"].as_str() {
            commit.clone_into(&mut self.commit);
        }
        for (name, pipeline) in status["pipelines"].as_object().into_iter().flatten() {
            self.sums += 1;
            if pipeline["conservation"]["holds"] != json!(true) {
                self.wrong_sums.push(format!("{name}: {}", pipeline["conservation"]));
            }
        }
    }

    /// Samples of engines that are no longer young, from so many minutes after the begin on.
    pub fn grown(&self, minutes: u64) -> Vec<Sample> {
        let from = self.began_us.saturating_add(minutes * 60_000_000);
        let grown = |one: &&Sample| one.at_us >= from && one.at_us - one.since_us >= GROWN_UP_US;
        self.samples.iter().filter(grown).copied().collect()
    }

    /// Sums that did not hold, and growth.
    pub fn findings(&self) -> Vec<String> {
        let mut findings: Vec<String> = self.wrong_sums.iter().take(5).map(|sum| format!("sum: {sum}")).collect();
        let grown = self.grown(10);
        let (Some(slope), Some(first), Some(last)) = (slope(&grown), grown.first(), grown.last()) else {
            return findings;
        };
        let rise = slope * (last.at_us - first.at_us) as f64 / 3.6e9;
        let mean = grown.iter().map(|one| one.rss).sum::<u64>() as f64 / grown.len() as f64 / f64::from(1 << 20);
        if last.at_us - first.at_us > 1_200_000_000 && rise > (mean * 0.2).max(16.0) {
            findings.push(format!("resident memory rose by {rise:.0} MiB, {slope:.1} MiB an hour"));
        }
        let most = |part: fn(&Sample) -> u64, of: &[Sample]| of.iter().map(part).max().unwrap_or(0);
        let half = grown.len() / 2;
        for (name, part) in
            [("threads", (|one| one.threads) as fn(&Sample) -> u64), ("descriptors", |one| one.descriptors)]
        {
            let (before, after) = (most(part, &grown[..half]), most(part, &grown[half..]));
            if after > before + before / 2 + 8 {
                findings.push(format!("{name} rose from {before} to {after}"));
            }
        }
        findings
    }
}

/// Growth of resident memory, in MiB an hour.
pub fn slope(samples: &[Sample]) -> Option<f64> {
    let points = samples.iter().map(|one| (one.at_us as f64 / 3.6e9, one.rss as f64 / f64::from(1 << 20)));
    growth::slope(&points.collect::<Vec<_>>())
}

fn number_of(process: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

fn size_of(process: u32, name: &str) -> u64 {
    number_of(process, name) * 1024
}
