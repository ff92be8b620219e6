//! The fault campaign as one command.
//!
//! `cargo faults [NAME…] [--seeds N] [--kills N] [--jobs N]` plays the named scenarios, or all, and writes
//! perf/FAULTS.md. `--list` shows their names. A run that fails is named with its seed; `--first-seed` plays it again.
//! `… -- soak` is the long run: an hour of steady load with a fault now and then (perf/SOAK.md).

mod report;
mod soak;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, bail};
use clap::Parser;
use sluicegate_testkit::services::Service;
use sluicegate_testkit::services::elasticsearch::{self, Version};
use sluicegate_testkit::services::kafka::{self, KafkaOptions};

use sluicegate_testkit::faults::engine::Program;
use sluicegate_testkit::faults::kills::KILLS_A_RUN;
use sluicegate_testkit::faults::play::{Outcome, play};
use sluicegate_testkit::faults::scenario::{On, Scenario, all};
use sluicegate_testkit::faults::stage::{FarServers, Real};

/// As in the binary: it serves librdkafka as well.
#[global_allocator]
static ALLOCATOR: jemallocator::Jemalloc = jemallocator::Jemalloc;

/// The word by which this program starts itself as the engine.
const AS_ENGINE: &str = "--as-engine";

/// Records a second of the feed.
const RATE: f64 = 1_200.0;

/// Plays faults against the engine and judges what came out.
#[derive(Debug, clap::Parser)]
#[command(name = "faults", after_help = "`soak` instead of scenarios is the long run: `soak --help`.")]
struct Args {
    /// Scenarios [default: all]
    scenarios: Vec<String>,
    /// Runs of each scenario, each with a seed of its own
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Kills with signal 9, spread over the points of a batch's life
    #[arg(long, default_value_t = 1000)]
    kills: u64,
    /// First seed
    #[arg(long, default_value_t = 1)]
    first_seed: u64,
    /// Runs beside each other, where they need no real server
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    jobs: u64,
    /// Runs beside each other that break real servers, each with servers of its own: two Kafka brokers and
    /// Elasticsearch
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    real_jobs: u64,
    /// The engine's binary [default: this program, which holds the same code]
    #[arg(long)]
    engine: Option<PathBuf>,
    /// Keep what the engines and real servers of unsound and failed runs logged in this folder
    #[arg(long)]
    logs: Option<PathBuf>,
    /// Stop starting runs after so many minutes; what was played is reported
    #[arg(long)]
    minutes: Option<u64>,
    /// Only show names
    #[arg(long)]
    list: bool,
}

/// A run and what it came to.
struct Played {
    scenario: Scenario,
    seed: u64,
    outcome: Result<Outcome, String>,
}

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    if words.first().is_some_and(|word| word == AS_ENGINE) {
        return engine(&words[1..]);
    }
    let outcome = match words.first().is_some_and(|word| word == soak::NAME) {
        true => soak::run(&soak::Args::parse_from(std::env::args_os().skip(1))),
        false => campaign(&Args::parse()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("faults: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Is the engine.
fn engine(words: &[OsString]) -> ExitCode {
    sluicegate::run_line(std::iter::once(OsString::from("sluicegate")).chain(words.iter().cloned()))
}

/// Whether everything was sound.
fn campaign(args: &Args) -> anyhow::Result<bool> {
    let chosen = chosen(&args.scenarios)?;
    if args.list {
        chosen.iter().for_each(|one| println!("{:24} {:4} {}", one.name, one.class, one.how));
        return Ok(true);
    }
    let program = match &args.engine {
        Some(path) => Program {
            path: path.canonicalize().context("--engine")?,
            words: Vec::new(),
            rate: RATE,
            environment: Vec::new(),
        },
        None => Program {
            path: std::env::current_exe()?,
            words: vec![AS_ENGINE.into()],
            rate: RATE,
            environment: Vec::new(),
        },
    };
    let all = runs(&chosen, args);
    let on = |place| all.iter().filter(|(one, _)| one.on == place).copied().collect::<Vec<_>>();
    let (testbed, real) = (on(On::Testbed), on(On::Real));
    let broker = [on(On::Broker), on(On::Kills)].concat();
    if let Some(folder) = &args.logs {
        std::fs::create_dir_all(folder).context("--logs")?;
    }
    let play = |one: &Scenario, program: &Program, real: Option<Arc<Real>>, seed| {
        let outcome = play(one, program, real.clone(), seed, KILLS_A_RUN);
        let is_sound = outcome.as_ref().is_ok_and(|outcome| outcome.is_sound(one));
        if let Some(folder) = args.logs.as_ref().filter(|_| !is_sound) {
            let run = format!("{}-{seed}", one.name);
            if let Ok(outcome) = &outcome {
                std::fs::write(folder.join(format!("{run}.log")), &outcome.logs)?;
            }
            for (server, log) in real.iter().flat_map(|real| real.logs()) {
                std::fs::write(folder.join(format!("{run}-{server}.log")), log)?;
            }
        }
        outcome
    };
    let end = args.minutes.map(|minutes| std::time::Instant::now() + std::time::Duration::from_secs(minutes * 60));
    let aside = || -> anyhow::Result<Vec<Played>> {
        let steady = if broker.is_empty() { None } else { Some(steady().context("real Kafka")?) };
        let work = [testbed, broker].concat();
        spread(&work, args.jobs, end, || Ok(()), |(), one, seed| play(one, &program, steady.clone(), seed))
    };
    let alone = || -> anyhow::Result<Vec<Played>> {
        if real.is_empty() {
            return Ok(Vec::new());
        }
        let set_up = || servers().context("real servers");
        spread(&real, args.real_jobs, end, set_up, |servers, one, seed| {
            // A run that failed may have left one down.
            let far = servers.far()?;
            [&servers.upstream, &far.downstream, &far.search].into_iter().try_for_each(Service::start)?;
            play(one, &program, Some(servers.clone()), seed)
        })
    };
    let (alone, aside) = std::thread::scope(|scope| {
        let aside = scope.spawn(aside);
        (alone(), aside.join())
    });
    let mut played = alone.map_err(|error| error.context("faults of real servers"))?;
    played.extend(aside.unwrap_or_else(|_| Err(anyhow::anyhow!("a run panicked")))?);
    let mut by_name: BTreeMap<usize, Vec<Played>> = BTreeMap::new();
    for one in played {
        let at = chosen.iter().position(|scenario| scenario.name == one.scenario.name).unwrap_or(0);
        by_name.entry(at).or_default().push(one);
    }
    let rows: Vec<report::Row> = by_name.into_values().map(|runs| report::Row::of(&runs)).collect();
    let page = report::page(&rows, args, all.len());
    println!("{page}");
    report::write(&page, args.scenarios.is_empty())?;
    Ok(rows.iter().all(report::Row::is_sound))
}

/// Starts a Kafka cluster nobody breaks.
fn steady() -> anyhow::Result<Arc<Real>> {
    Ok(Arc::new(Real { upstream: kafka::start(&KafkaOptions::default())?, far: None }))
}

/// Starts both Kafka clusters and Elasticsearch, to be broken.
fn servers() -> anyhow::Result<Arc<Real>> {
    let upstream = kafka::start(&KafkaOptions::default())?;
    let downstream = kafka::start(&KafkaOptions::default())?;
    let search = elasticsearch::start(Version::V6, &[])?;
    Ok(Arc::new(Real { upstream, far: Some(FarServers { downstream, search }) }))
}

fn chosen(names: &[String]) -> anyhow::Result<Vec<Scenario>> {
    let known = all();
    if names.is_empty() {
        return Ok(known);
    }
    let mut found = Vec::new();
    for name in names {
        let Some(one) = known.iter().find(|one| one.name == name) else {
            bail!("no scenario {name}; --list shows them");
        };
        found.push(*one);
    }
    Ok(found)
}

/// Every run: a scenario and its seed. In turns, so that a campaign cut short has played a little of everything.
fn runs(chosen: &[Scenario], args: &Args) -> Vec<(Scenario, u64)> {
    let points = chosen.iter().filter(|one| one.on == On::Kills).count().max(1) as u64;
    let kill_runs = args.kills.div_ceil(points * KILLS_A_RUN);
    let count = |one: &Scenario| if one.on == On::Kills { kill_runs } else { args.seeds };
    let most = chosen.iter().map(count).max().unwrap_or(0);
    let turn = |turn| chosen.iter().filter(move |one| turn < count(one)).map(move |one| (*one, args.first_seed + turn));
    (0..most).flat_map(turn).collect()
}

/// Plays runs on so many threads, each of which sets up what its runs need.
///
/// # Errors
/// When one could not; the others' runs are played.
fn spread<S>(
    runs: &[(Scenario, u64)],
    jobs: u64,
    end: Option<std::time::Instant>,
    set_up: impl Fn() -> anyhow::Result<S> + Sync,
    play: impl Fn(&S, &Scenario, u64) -> anyhow::Result<Outcome> + Sync,
) -> anyhow::Result<Vec<Played>> {
    let (next, played) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || -> anyhow::Result<()> {
        let place = set_up()?;
        while let Some((scenario, seed)) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
            if end.is_some_and(|end| std::time::Instant::now() >= end) {
                break;
            }
            let started = std::time::Instant::now();
            let outcome = play(&place, scenario, *seed).map_err(|error| format!("{error:#}"));
            let said = match &outcome {
                Ok(outcome) => outcome.verdict.to_string(),
                Err(error) => format!("FAILED: {error}"),
            };
            eprintln!("{} seed {seed}, {:.0} s: {said}", scenario.name, started.elapsed().as_secs_f64());
            let one = Played { scenario: *scenario, seed: *seed, outcome };
            played.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(one);
        }
        Ok(())
    };
    let ends: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
    });
    for end in ends {
        end.unwrap_or_else(|_| Err(anyhow::anyhow!("a run panicked")))?;
    }
    Ok(played.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
}
