//! The soak: an hour and more of steady load, a fault every few minutes, and checkers that follow.
//!
//! One engine with both pipelines of the script it replaces (Kafka to Kafka, and Kafka to Elasticsearch with look-ups
//! from Redis) reads one topic of real Kafka at half of what it can take here. `ground` is everything around it,
//! `faults` what breaks, `book` what is written down on the way, `page` what is left of it: perf/SOAK.md and
//! perf/soak.ndjson.

mod book;
mod faults;
mod ground;
mod page;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use sluicegate_testkit::checker::{Cause, Incident, Verdict};
use sluicegate_testkit::commit_watch::now_us;
use tempfile::TempDir;

use super::AS_ENGINE;
use book::Book;
use ground::Ground;
use sluicegate_testkit::faults::engine::{Engine, Program, let_pass, until};
use sluicegate_testkit::faults::play::confess;

/// The word that chooses it.
pub const NAME: &str = "soak";
/// How long the most is measured for, and how much of that is left out at the beginning.
const MEASURED: Duration = Duration::from_secs(30);
const RUN_UP: Duration = Duration::from_secs(10);
/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(180);
/// How often a run looks whether its engine and its feeder are still there.
const LOOK: Duration = Duration::from_millis(500);

/// Runs the engine for a long time under load and faults, and judges all of it.
#[derive(Debug, clap::Parser)]
#[command(name = "soak")]
pub struct Args {
    /// Length of the run
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    pub minutes: u64,
    /// Records a second, or `auto`: half of the most, which is measured first
    #[arg(long, default_value = "auto")]
    pub rate: String,
    /// Time from fault to fault, in seconds or minutes
    #[arg(long, default_value = "5m", value_parser = duration)]
    pub every: Duration,
    /// Every random choice follows from it
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Faults to choose from, by name [default: all]
    #[arg(long)]
    pub faults: Vec<String>,
    /// The engine's binary [default: this program, which holds the same code]
    #[arg(long)]
    pub engine: Option<PathBuf>,
    /// Where SOAK.md and soak.ndjson go [default: perf/]
    #[arg(long)]
    pub out: Option<PathBuf>,
}

fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.len().saturating_sub(1));
    let number: u64 = number.parse().map_err(|_| format!("{text} is no time such as 90s or 5m"))?;
    match unit {
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number * 60)),
        _ => Err(format!("{text} has no unit: s or m")),
    }
}

/// What a run came to.
pub struct Outcome {
    /// Records a second at the most, where it was measured.
    pub most: Option<f64>,
    /// Records a second that were meant.
    pub rate: f64,
    /// When the steady load began.
    pub began_us: u64,
    /// Faults, by name and in order.
    pub played: Vec<&'static str>,
    /// What each pipeline's checker found.
    pub verdicts: Vec<(&'static str, Verdict)>,
    /// Anything else that must not be.
    pub findings: Vec<String>,
}

impl Outcome {
    /// Nothing was found.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty() && self.verdicts.iter().all(|(_, verdict)| verdict.is_sound())
    }
}

/// A run: the ground, the engines on it, the book.
pub struct Soak {
    /// Servers and logs.
    pub ground: Ground,
    /// What is written down.
    pub book: Book,
    /// Every random choice follows from it.
    pub random: fastrand::Rng,
    /// Running engines; the first is the one that is soaked.
    pub engines: Vec<Engine>,
    program: Program,
    folder: TempDir,
    started: u32,
    findings: Vec<String>,
}

/// Runs it. Whether everything was sound.
///
/// # Errors
/// Something could not be started, or the run could not go on; what was found until then is printed.
pub fn run(args: &Args) -> anyhow::Result<bool> {
    let path = match &args.engine {
        Some(path) => path.canonicalize().context("--engine")?,
        None => std::env::current_exe()?,
    };
    let words = if args.engine.is_some() { Vec::new() } else { vec![AS_ENGINE.into()] };
    let faults = faults::chosen(&args.faults)?;
    let mut out = page::Files::open(args.out.as_deref())?;
    let folder = tempfile::Builder::new().prefix("sluicegate-soak-").tempdir()?;
    let ground = Ground::start(args.seed)?;
    let book = Book::start(&ground, out.lines()?)?;
    let mut soak = Soak {
        ground,
        book,
        random: fastrand::Rng::with_seed(args.seed),
        engines: Vec::new(),
        program: Program { path, words, rate: 0.0, environment: Vec::new() },
        folder,
        started: 0,
        findings: Vec::new(),
    };
    let mut outcome =
        Outcome { most: None, rate: 0.0, began_us: 0, played: Vec::new(), verdicts: Vec::new(), findings: Vec::new() };
    if let Err(error) = soak.go(args, &faults, &mut outcome) {
        let tails: Vec<String> = soak.engines.iter().map(Engine::tail).collect();
        eprintln!("soak: {error:#}\n{}", tails.join("\n--\n"));
        soak.findings.push(format!("the run could not go on: {error:#}").lines().next().unwrap_or_default().to_owned());
    }
    soak.engines.clear();
    outcome.findings = std::mem::take(&mut soak.findings);
    let Soak { ground, book, .. } = soak;
    let figures = book.finish();
    outcome.verdicts = ground.finish();
    outcome.findings.extend(figures.findings());
    let page = page::page(args, &outcome, &figures);
    println!("{page}");
    out.page(&page)?;
    Ok(outcome.is_sound())
}

impl Soak {
    fn go(&mut self, args: &Args, faults: &[faults::Fault], outcome: &mut Outcome) -> anyhow::Result<()> {
        self.start()?;
        self.ground.feed(Some(1_000.0))?;
        self.await_progress().context("warm-up")?;
        self.ground.stop_feeding()?;
        outcome.rate = match args.rate.as_str() {
            "auto" => {
                let most = self.measure_the_most()?;
                outcome.most = Some(most);
                (most / 2.0 / 100.0).floor() * 100.0
            }
            given => given.parse().context("--rate")?,
        };
        eprintln!("soak: {} records/s, most {:?}", outcome.rate, outcome.most);
        outcome.began_us = now_us();
        self.ground.feed(Some(outcome.rate))?;
        self.book.steady(&self.ground);
        let begin = Instant::now();
        let (end, mut next) = (begin + Duration::from_secs(args.minutes * 60), begin + args.every / 2);
        let mut bag: Vec<faults::Fault> = Vec::new();
        // The last fault has the time of one interval to be got over.
        while next + args.every / 2 <= end {
            self.pass_until(next)?;
            if bag.is_empty() {
                bag = faults.to_vec();
                self.random.shuffle(&mut bag);
            }
            let Some(fault) = bag.pop() else { break };
            outcome.played.push(fault.name);
            self.break_and_mend(&fault)?;
            next += args.every;
        }
        self.pass_until(end)?;
        self.end()
    }

    fn break_and_mend(&mut self, fault: &faults::Fault) -> anyhow::Result<()> {
        eprintln!("soak: {} ({})", fault.name, fault.how);
        self.book.fault_begins(fault.name);
        (fault.play)(self).with_context(|| fault.name)?;
        self.book.fault_ends();
        self.await_progress().with_context(|| format!("after {}", fault.name))
    }

    /// Stops feeding, waits until everything is committed, and asks the engine to end.
    fn end(&mut self) -> anyhow::Result<()> {
        self.ground.stop_feeding()?;
        let ground = &self.ground;
        until("everything is committed", PATIENCE, || Ok(ground.is_drained()))
            .with_context(|| self.ground.positions())?;
        while !self.engines.is_empty() {
            self.terminate()?;
        }
        // The last records of the output may still be on their way to the checker.
        let ground = &self.ground;
        until("everything delivered is read back", PATIENCE, || Ok(ground.is_read_back()))
            .with_context(|| self.ground.positions())
    }

    /// Fed flat out: records a second that both pipelines get acknowledged.
    fn measure_the_most(&mut self) -> anyhow::Result<f64> {
        self.ground.feed(None)?;
        self.pass_until(Instant::now() + RUN_UP)?;
        let (before, begin) = (self.ground.acknowledged(), Instant::now());
        self.pass_until(begin + (MEASURED - RUN_UP))?;
        let took = begin.elapsed().as_secs_f64();
        let after = self.ground.acknowledged();
        self.ground.stop_feeding()?;
        let ground = &self.ground;
        until("what was fed flat out is committed", PATIENCE, || Ok(ground.is_drained()))
            .with_context(|| self.ground.positions())?;
        let rates = after.iter().zip(&before).map(|(after, before)| after.saturating_sub(*before) as f64 / took);
        Ok(rates.fold(f64::INFINITY, f64::min))
    }

    /// Starts an engine.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&mut self) -> anyhow::Result<()> {
        let name = format!("engine-{}", self.started);
        self.started += 1;
        let engine = Engine::start(&self.program, self.folder.path(), &name, &self.ground.configuration())?;
        self.book.engine(&engine);
        self.engines.push(engine);
        Ok(())
    }

    /// Kills the engine at this place with signal 9.
    ///
    /// # Errors
    /// There is none, or it says of itself that it is wrong.
    pub fn kill(&mut self, at: usize) -> anyhow::Result<()> {
        if at >= self.engines.len() {
            bail!("no engine to kill");
        }
        let from_us = now_us();
        let mut engine = self.engines.remove(at);
        self.book.engine_ends(&engine);
        engine.kill9()?;
        self.ground.incident(Incident { cause: Cause::Kill, from_us, to_us: now_us(), partition: None });
        confess(&engine.log())
    }

    /// Asks the first engine to drain and end. It must end with 0.
    ///
    /// # Errors
    /// There is none, it did not end or not with 0, or it says of itself that it is wrong.
    pub fn terminate(&mut self) -> anyhow::Result<()> {
        if self.engines.is_empty() {
            bail!("no engine to stop");
        }
        let mut engine = self.engines.remove(0);
        self.book.engine_ends(&engine);
        engine.signal("TERM")?;
        let code = engine.wait(PATIENCE)?;
        if code != 0 {
            self.findings.push(format!("SIGTERM ended with {code}"));
            let now = now_us();
            self.ground.incident(Incident { cause: Cause::Kill, from_us: now, to_us: now, partition: None });
        }
        confess(&engine.log())
    }

    /// Waits until both pipelines have committed something more than now.
    ///
    /// # Errors
    /// They did not, or an engine has ended.
    pub fn await_progress(&mut self) -> anyhow::Result<()> {
        let before = self.ground.committed();
        let (ground, engines) = (&self.ground, &mut self.engines);
        until("both pipelines commit something", PATIENCE, || {
            check_engines(engines)?;
            Ok(ground.committed().iter().zip(&before).all(|(now, before)| now > before))
        })
    }

    /// Lets time pass, and looks whether everything still runs.
    ///
    /// # Errors
    /// An engine or the feeder has ended.
    pub fn pass_until(&mut self, moment: Instant) -> anyhow::Result<()> {
        while let Some(left) = moment.checked_duration_since(Instant::now()) {
            let_pass(left.min(LOOK));
            check_engines(&mut self.engines)?;
            self.ground.check_feeder()?;
        }
        Ok(())
    }

    /// The same for a length between two of milliseconds, as the seed says.
    ///
    /// # Errors
    /// As above.
    pub fn pass(&mut self, least_ms: u64, most_ms: u64) -> anyhow::Result<()> {
        let time = Duration::from_millis(self.random.u64(least_ms..=most_ms));
        self.pass_until(Instant::now() + time)
    }
}

fn check_engines(engines: &mut [Engine]) -> anyhow::Result<()> {
    for engine in engines {
        if let Some(code) = engine.ended()? {
            bail!("an engine ended with {code}\n{}", engine.tail());
        }
    }
    Ok(())
}
