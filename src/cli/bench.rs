//! `sluicegate bench`: drives a pipeline's real path at a set rate or at full speed, and measures.
//!
//! Without `-c` the servers are in this process, as for `demo`. With `-c` it is a configured pipeline with its own
//! servers, and since made-up records go into its topic, only with `--produce`. At a set rate the loop is open: every
//! record carries the moment it was *meant* to be produced as its timestamp, and latency counts from there, so that a
//! stall shows in every record that had to wait for it. It succeeds only if every record is accounted for.

mod account;
mod measure;
mod sweep;
mod target;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::{DataFormat, Failure, Global};
use crate::model::Exit;

use account::BenchAccount;
use measure::Load;
use target::BenchTarget;

/// Arguments of `bench`.
#[derive(Debug, Clone, clap::Args)]
pub struct BenchArgs {
    /// Records per second, as 50000/s, or `max`
    #[arg(long, default_value = "max", value_name = "N/s|max", value_parser = rate)]
    pub rate: Rate,
    /// Length of the measurement in seconds
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: u64,
    /// Seconds of the same load before it, which do not count; it goes on until what was fed in them is resolved
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(0..=3_600))]
    pub warmup: u64,
    /// At full speed first, then at 10, 20 … 90 % of that; prints one table
    #[arg(long, conflicts_with = "rate")]
    pub sweep: bool,
    /// Which pipeline: relay (to Kafka) or index (to a bulk endpoint); with -c one of the configuration [default:
    /// relay, or the only one]
    #[arg(long, value_name = "NAME")]
    pub pipeline: Option<String>,
    /// With -c: yes, produce made-up records into the pipeline's topic
    #[arg(long)]
    pub produce: bool,
    /// Size of a record's value in bytes, 128 to 65536
    #[arg(long, default_value_t = 912, value_parser = clap::value_parser!(u32).range(128..=65_536))]
    pub record_bytes: u32,
    /// Distinct keys
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub keys: u64,
    /// Seed of the generated records
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Without -c: how long the bulk endpoint takes for a request, in milliseconds
    #[arg(long, default_value_t = 0, value_name = "MS")]
    pub sink_delay_ms: u64,
    /// Without -c: more bulk requests at once than this are answered with 429
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub sink_requests: Option<u64>,
    /// Without -c: the sink's server stands still for so long in the middle of the measurement, in milliseconds
    #[arg(long, value_name = "MS")]
    pub sink_stall_ms: Option<u64>,
    /// What is printed at the end: a summary, or one JSON object with the run file's members
    #[arg(long, value_enum, default_value_t = DataFormat::Text)]
    pub format: DataFormat,
    /// Where report.html and the run's files are written
    #[arg(long, value_name = "DIR", default_value = "report")]
    pub report: PathBuf,
}

/// How fast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rate {
    /// As fast as it goes.
    Max,
    /// Records a second, in an open loop.
    PerSecond(f64),
}

fn rate(text: &str) -> Result<Rate, String> {
    if text == "max" {
        return Ok(Rate::Max);
    }
    let number = text.strip_suffix("/s").unwrap_or(text).parse().ok();
    let number = number.filter(|number: &f64| (0.1..=1e9).contains(number));
    number.map(Rate::PerSecond).ok_or_else(|| "write `max`, or records per second such as 50000/s".to_owned())
}

impl BenchArgs {
    fn load(&self, rate: Rate) -> Load {
        Load {
            rate: match rate {
                Rate::Max => None,
                Rate::PerSecond(rate) => Some(rate),
            },
            warm_up: Duration::from_secs(self.warmup),
            time: Duration::from_secs(self.seconds),
            stall: self.sink_stall_ms.map(Duration::from_millis),
        }
    }
}

/// Measures once, or in a sweep, and prints the result to `out`.
///
/// # Errors
/// A configuration or command line that cannot be benched, or servers that do not start. What went wrong in the
/// measurement itself is in the result and its exit code.
pub fn run(global: &Global, args: &BenchArgs, out: &mut dyn Write) -> Result<Exit, Failure> {
    if args.sweep {
        return sweep::run(global, args, out);
    }
    let account = once(global, args, args.rate, args.report.clone())?;
    match args.format {
        DataFormat::Text => write!(out, "{}", account.text(&args.report))?,
        DataFormat::Json => writeln!(out, "{}", account.json())?,
    }
    Ok(account.exit())
}

fn once(global: &Global, args: &BenchArgs, rate: Rate, report: PathBuf) -> Result<BenchAccount, Failure> {
    let target = BenchTarget::open(global, args)?;
    let load = args.load(rate);
    measure::run(target, load, report).map_err(|why| Failure::unexpected(format!("bench: {why}")))
}

/// What a report says of how it was made.
fn settings(args: &BenchArgs, load: &Load, config: Value) -> Value {
    serde_json::json!({
        "bench": {
            "rate_per_second": load.rate, "seconds": load.time.as_secs_f64(), "warmup_seconds": load.warm_up.as_secs_f64(),
            "record_bytes": args.record_bytes, "keys": args.keys, "seed": args.seed,
            "sink_delay_ms": args.sink_delay_ms, "sink_requests": args.sink_requests,
            "sink_stall_ms": args.sink_stall_ms,
        },
        "config": config,
    })
}

#[cfg(test)]
mod tests;
