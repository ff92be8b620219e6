//! One measurement by `sluicegate bench`: servers, generator and engine in a process of their own, on all cores.

use std::fs::File;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::check::Verdict;
use crate::curve::{Point, Route, USUAL_BYTES};
use crate::history::{Line, round};
use crate::machine::{Bench, on_cores};
use crate::process::{self, Usage};
use crate::scenario::Scenario;

/// The word by which this program starts itself as `sluicegate bench`.
pub const AS_BENCH: &str = "--as-bench";

const SECONDS: u64 = 3;
const WARM_UP_SECONDS: u64 = 1;
/// How often memory and CPU are read.
const EVERY: Duration = Duration::from_millis(100);
/// A measurement that takes longer has failed: it drains for two minutes at most.
const PATIENCE: Duration = Duration::from_secs(240);

/// A percentile in milliseconds, as a figure of a line.
pub const P50: &str = "p50, ms";
/// See [`P50`].
pub const P99: &str = "p99, ms";
/// See [`P50`].
pub const P999: &str = "p99.9, ms";
/// See [`P50`].
pub const LARGEST: &str = "largest, ms";
/// Those of a curve.
pub const PERCENTILES: [&str; 3] = [P50, P99, P999];
/// Every latency, and the member it is in what `bench` prints.
const LATENCIES: [(&str, &str); 4] = [(P50, "p50_ms"), (P99, "p99_ms"), (P999, "p99.9_ms"), (LARGEST, "max_ms")];
/// The figure for a rate that was not reached: 0 or 1.
pub const REACHED: &str = "rate reached";

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// Records fed, warm-up included.
    pub fed: u64,
    /// Records the sink's server got.
    pub arrived: u64,
    /// Records resolved a second.
    pub per_second: f64,
    /// CPU seconds of the process for a million of them.
    pub cpu_s_per_million: f64,
    /// Whether records were fed as fast as asked for.
    pub reached: bool,
    /// In the order of [`LATENCIES`]: from the moment each record was meant to be produced, at full speed from the
    /// poll.
    latencies: [f64; 4],
}

impl Measured {
    /// As a line of the history, with its latencies as figures.
    pub fn line(&self, place: (Scenario, &str, u32), usage: &Usage, bench: &Bench) -> Line {
        let (missing, extra) = (self.fed.saturating_sub(self.arrived), self.arrived.saturating_sub(self.fed));
        let mut line = Line::bare(place, (self.fed, Verdict { missing, extra, changed: 0 }), bench);
        line.records_per_second = round(self.per_second, 0);
        line.cpu_s_per_million = round(self.cpu_s_per_million, 3);
        line.cpu_s_per_million_all = round(usage.cpu_s / self.fed.max(1) as f64 * 1e6, 3);
        line.peak_mib = round(usage.peak_bytes as f64 / 1_048_576.0, 1);
        let figures = LATENCIES.iter().zip(self.latencies);
        line.figures.extend(figures.map(|((name, _), value)| ((*name).to_owned(), round(value, 2))));
        line
    }
}

/// Measures at a share of `most` records a second, or at full speed.
///
/// # Errors
/// The command failed: it says so itself when a record is not accounted for.
pub fn measure(route: Route, point: Point, most: f64, cores: usize) -> anyhow::Result<(Measured, Usage)> {
    let rate = match point {
        Point::LoadPercent(percent) => format!("{:.0}/s", most * f64::from(percent) / 100.0),
        _ => "max".to_owned(),
    };
    let (run, usage) = run(&arguments(route, &rate), cores)?;
    Ok((read(&run)?, usage))
}

/// Runs `sluicegate bench` with these arguments on so many cores: the JSON it prints, and what it used.
///
/// # Errors
/// The command failed; the end of its log is in the error.
pub fn run(arguments: &[String], cores: usize) -> anyhow::Result<(Value, Usage)> {
    let folder = tempfile::tempdir()?;
    let mut command = command(arguments, folder.path(), cores)?;
    let (out, log) = (folder.path().join("out"), folder.path().join("log"));
    command.stdin(Stdio::null()).stdout(File::create(&out)?).stderr(File::create(&log)?);
    let told = || format!("bench {}: {}", arguments.join(" "), std::fs::read_to_string(&log).unwrap_or_default());
    let usage = watch(command).with_context(told)?;
    let text = std::fs::read_to_string(&out)?;
    Ok((serde_json::from_str(&text).with_context(|| format!("bench printed {text}"))?, usage))
}

fn command(arguments: &[String], folder: &Path, cores: usize) -> anyhow::Result<Command> {
    let program = std::env::current_exe().context("where is this program?")?;
    let mut command = on_cores(&format!("0-{}", cores - 1), program);
    command.args([AS_BENCH, "--format", "json"]).args(arguments).arg("--report").arg(folder.join("report"));
    Ok(command)
}

fn arguments(route: Route, rate: &str) -> Vec<String> {
    let text = format!(
        "--pipeline {} --rate {rate} --seconds {SECONDS} --warmup {WARM_UP_SECONDS} --record-bytes {USUAL_BYTES}",
        route.name()
    );
    text.split(' ').map(str::to_owned).collect()
}

/// Waits for its end; what it used, as far as could be seen.
fn watch(mut command: Command) -> anyhow::Result<Usage> {
    let mut child = command.spawn().context("it cannot be started")?;
    let (started, mut most) = (Instant::now(), Usage::default());
    let status = loop {
        if let Some(usage) = process::usage(child.id()) {
            most.peak_bytes = most.peak_bytes.max(usage.peak_bytes);
            most.cpu_s = usage.cpu_s;
        }
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if started.elapsed() > PATIENCE {
            child.kill()?;
            child.wait()?;
            bail!("it has not ended within {} s", PATIENCE.as_secs());
        }
        std::thread::park_timeout(EVERY);
    };
    if !status.success() {
        bail!("it ended with {status}");
    }
    Ok(most)
}

/// What the JSON of one run says.
///
/// # Errors
/// Something is missing in it.
pub fn read(run: &Value) -> anyhow::Result<Measured> {
    read_bench(&run["bench"]).with_context(|| format!("bench printed {run}"))
}

fn read_bench(bench: &Value) -> Option<Measured> {
    let stage = if bench["rate_asked"].is_null() { "end_to_end" } else { "age" };
    let of_stage = |one: &&Value| one["stage"] == stage && one["pipeline"] == bench["pipeline"];
    let latency = bench["latencies"].as_array()?.iter().find(of_stage)?;
    let mut latencies = [0.0; 4];
    for (value, (_, member)) in latencies.iter_mut().zip(LATENCIES) {
        *value = latency.get(member)?.as_f64()?;
    }
    Some(Measured {
        fed: bench["fed"].as_u64()?,
        arrived: bench["arrived"].as_u64()?,
        per_second: bench["resolved_per_second"].as_f64()?,
        cpu_s_per_million: bench["cpu_seconds_per_million_records"].as_f64()?,
        reached: bench["rate_reached"].as_bool()?,
        latencies,
    })
}

/// Is `sluicegate bench`.
pub fn bench(words: &[String]) -> ExitCode {
    sluicegate::run_line(["sluicegate", "bench"].into_iter().chain(words.iter().map(String::as_str)))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::json;
    use sluicegate::internals::cli::Cli;

    use super::*;

    #[test]
    fn a_run_is_read_from_what_bench_prints() {
        let latency = |stage: &str, pipeline: &str, first: f64| {
            json!({
                "stage": stage, "pipeline": pipeline,
                "p50_ms": first, "p99_ms": first + 1.0, "p99.9_ms": first + 2.0, "max_ms": first + 3.0,
            })
        };
        let mut run = json!({ "bench": {
            "pipeline": "relay", "rate_asked": 100.0, "rate_reached": true,
            "fed": 300, "arrived": 301, "resolved_per_second": 99.5, "cpu_seconds_per_million_records": 4.5,
            "latencies": [latency("end_to_end", "relay", 1.0), latency("age", "index", 9.0), latency("age", "relay", 5.0)],
        } });
        let measured = read(&run).expect("read");
        assert_eq!((measured.fed, measured.arrived, measured.latencies), (300, 301, [5.0, 6.0, 7.0, 8.0]));
        run["bench"]["rate_asked"] = Value::Null;
        assert_eq!(read(&run).expect("read").latencies, [1.0, 2.0, 3.0, 4.0]);
        run["bench"]["rate_reached"] = Value::Null;
        let error = read(&run).expect_err("nothing was measured");
        assert!(format!("{error:#}").contains("bench printed"), "{error:#}");
    }

    #[test]
    fn the_command_line_is_one_bench_takes() {
        for (route, rate) in [(Route::Relay, "max"), (Route::Index, "5000/s")] {
            let command = command(&arguments(route, rate), Path::new("/nowhere"), 2).expect("a command");
            let words: Vec<&str> = command.get_args().filter_map(|word| word.to_str()).collect();
            let own = words.iter().position(|word| *word == AS_BENCH).expect("the word");
            let line = ["sluicegate", "bench"].into_iter().chain(words[own + 1..].iter().copied());
            assert!(Cli::try_parse_from(line).is_ok(), "{words:?}");
        }
    }

    #[test]
    fn a_failure_is_told() {
        let mut command = Command::new("sh");
        command.args(["-c", "exit 7"]);
        assert!(format!("{:#}", watch(command).expect_err("it failed")).contains("exit status: 7"));
    }
}
