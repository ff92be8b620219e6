//! `sluicegate bench` at half speed, with a stall, and beside a server that refuses: the goals about latency and about
//! finding the number of requests.

use std::time::Instant;

use anyhow::Context as _;
use serde_json::Value;

use crate::history::{Line, round};
use crate::machine::Bench;
use crate::open_loop;
use crate::paired::show;
use crate::process;
use crate::scenario::Scenario;

/// How long the sink waits for more, as configured.
pub const LINGER: &str = "linger, ms";

/// The pipelines `bench` has built in.
pub const PIPELINES: [&str; 2] = ["relay", "index"];
/// Length of the stall, in milliseconds.
pub const STALL_MS: u32 = 1_000;
/// Requests at once above which the server of `concurrency` answers 429.
const ALLOWED: u32 = 5;
/// The most the adaptive run may have out.
const LANES: u32 = 16;
/// Fixed numbers it is compared with: one below the best, the best, one above, and as many as there are lanes.
const FIXED: [u32; 4] = [ALLOWED - 1, ALLOWED, ALLOWED + 1, LANES];

/// The name of a run of `pipeline` at full speed.
pub fn full(pipeline: &str) -> String {
    format!("{pipeline}, full speed")
}

/// The name of a run of `pipeline` at half of that.
pub fn half(pipeline: &str) -> String {
    format!("{pipeline}, half speed")
}

/// The name of a run of `pipeline` with a stall.
pub fn stalled(pipeline: &str) -> String {
    format!("{pipeline}, stalled")
}

/// The name of the run whose number of requests finds itself.
pub const ADAPTIVE: &str = "adaptive";

/// The name of a run with a fixed number of requests.
pub fn fixed(requests: u32) -> String {
    format!("fixed {requests}")
}

/// Every fixed run's name.
pub fn all_fixed() -> [String; 4] {
    FIXED.map(fixed)
}

/// Half of the maximum for each pipeline, and a stall at it.
///
/// # Errors
/// A run failed.
pub fn at_half(rounds: u32, bench: &Bench) -> anyhow::Result<Vec<Line>> {
    let started = Instant::now();
    let mut lines = Vec::new();
    for number in 0..rounds {
        if number > 0 && started.elapsed().as_secs_f64() > Scenario::Latency.minutes() * 60.0 {
            break;
        }
        for pipeline in PIPELINES {
            let mut run = |name: String, words: &[String]| {
                let arguments = ["--pipeline", pipeline, "--warmup", "2"].map(str::to_owned);
                let line = one(Scenario::Latency, &name, lines.len(), &[&arguments, words].concat(), bench)?;
                let rate = line.records_per_second;
                lines.push(line);
                anyhow::Ok(rate)
            };
            let most = run(full(pipeline), &words("--seconds 4"))?;
            let rate = format!("{:.0}/s", most / 2.0);
            run(half(pipeline), &words(&format!("--seconds 8 --rate {rate}")))?;
            run(stalled(pipeline), &words(&format!("--seconds 4 --rate {rate} --sink-stall-ms {STALL_MS}")))?;
        }
    }
    Ok(lines)
}

/// A server that refuses more than [`ALLOWED`] requests at once, adaptive against fixed numbers.
///
/// # Errors
/// A run failed.
pub fn concurrency(rounds: u32, bench: &Bench) -> anyhow::Result<Vec<Line>> {
    let started = Instant::now();
    let mut lines = Vec::new();
    let common = format!(
        "--pipeline index --sink-delay-ms 50 --sink-requests {ALLOWED} --seconds 10 --warmup 4 \
         --set pipelines.index.sink.elasticsearch.batch.records=100"
    );
    let numbers: Vec<Option<u32>> = std::iter::once(None).chain(FIXED.map(Some)).collect();
    for round_number in 0..rounds {
        if round_number > 0 && started.elapsed().as_secs_f64() > Scenario::Concurrency.minutes() * 60.0 {
            break;
        }
        for number in &numbers {
            let sink = "--set pipelines.index.sink.elasticsearch";
            let (name, settings) = match number {
                None => (ADAPTIVE.to_owned(), format!("{sink}.lanes={LANES} {sink}.concurrency=adaptive")),
                Some(number) => (fixed(*number), format!("{sink}.lanes={number} {sink}.concurrency=fixed")),
            };
            let arguments = words(&format!("{common} {settings}"));
            lines.push(one(Scenario::Concurrency, &name, lines.len(), &arguments, bench)?);
        }
    }
    Ok(lines)
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn one(scenario: Scenario, name: &str, place: usize, arguments: &[String], bench: &Bench) -> anyhow::Result<Line> {
    let busy = || (0..bench.cores).map(process::busy_s).sum::<f64>();
    let (started, before) = (Instant::now(), busy());
    let (run, usage) = open_loop::run(arguments, bench.cores)?;
    let all_s = started.elapsed().as_secs_f64() * bench.cores as f64;
    let others = ((busy() - before - usage.cpu_s) / all_s).max(0.0);
    let mut line = open_loop::read(&run).context(name.to_owned())?.line((scenario, name, place as u32), &usage, bench);
    line.figures.insert(LINGER.to_owned(), linger_ms(&run).with_context(|| format!("{name}: no linger in {run}"))?);
    line.others = round(others, 2);
    show(&line);
    Ok(line)
}

/// As the run was configured.
fn linger_ms(run: &Value) -> Option<f64> {
    let sink = &run["settings"]["config"]["configuration"]["pipelines"][run["bench"]["pipeline"].as_str()?]["sink"];
    let lingers = [&sink["kafka"]["linger"], &sink["elasticsearch"]["batch"]["linger"]];
    lingers.into_iter().find_map(|linger| milliseconds(linger.as_str()?))
}

/// `100ms` and `2s`, as the configuration shows them.
fn milliseconds(text: &str) -> Option<f64> {
    let (digits, factor) = match text.strip_suffix("ms") {
        Some(digits) => (digits, 1.0),
        None => (text.strip_suffix('s')?, 1_000.0),
    };
    Some(digits.parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_the_configuration_shows_them() {
        assert_eq!(milliseconds("100ms"), Some(100.0));
        assert_eq!(milliseconds("2s"), Some(2_000.0));
        assert_eq!(milliseconds("2h"), None);
        assert_eq!(milliseconds(""), None);
    }
}
