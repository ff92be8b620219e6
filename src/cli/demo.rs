//! `sluicegate demo`: both pipelines of the replaced script in this process, checked record by record.
//!
//! No services and no configuration: two in-process Kafka clusters, an in-process bulk endpoint and look-ups from
//! memory. A feeder per pipeline produces generated records while the engine runs; the output topic is verified while
//! it is written, the documents at the end. It succeeds only if every record is accounted for and everything that came
//! out is what was generated.

mod account;
mod play;

use std::io::Write;
use std::path::PathBuf;

use crate::model::Exit;
use crate::testbed::feeder::FeedError;

use play::Play;

/// Records per pipeline unless asked for otherwise.
pub const DEFAULT_RECORDS: u64 = 500_000;

/// Arguments of `demo`.
#[derive(Debug, Clone, clap::Args)]
pub struct DemoArgs {
    /// Records for each of the two pipelines [default: 500000, or as many as fit into --seconds]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub records: Option<u64>,
    /// Feed for this many seconds
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub seconds: Option<u64>,
    /// Size of a record's value in bytes, 128 to 65536
    #[arg(long, default_value_t = 912, value_parser = clap::value_parser!(u32).range(128..=65536))]
    pub value_bytes: u32,
    /// Distinct keys, which are also the documents there will be
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub keys: u64,
    /// Seed of the generated records
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// What is printed at the end: a summary, or one JSON object with the run file's members
    #[arg(long, value_enum, default_value_t = DemoFormat::Text)]
    pub format: DemoFormat,
    /// Where report.html and the run's files are written
    #[arg(long, value_name = "DIR", default_value = "report")]
    pub report: PathBuf,
}

/// What `demo` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum DemoFormat {
    /// A summary for people.
    Text,
    /// One JSON object.
    Json,
}

impl DemoArgs {
    fn records(&self) -> u64 {
        self.records.unwrap_or(if self.seconds.is_some() { u64::MAX } else { DEFAULT_RECORDS })
    }
}

/// Why the demo could not be run at all.
#[derive(Debug, thiserror::Error)]
enum SetUp {
    #[error("demo: {0}")]
    Part(String),
    #[error("demo: {0}")]
    Feed(#[from] FeedError),
}

fn part(error: impl ToString) -> SetUp {
    SetUp::Part(error.to_string())
}

/// Runs the demo, prints the result to `out` and says how the process must end: [`Exit::Done`] only if
/// every sum holds and everything that came out is right; the engine's own exit if that failed; else [`Exit::Failure`].
pub fn run(args: &DemoArgs, out: &mut dyn Write) -> Exit {
    match Play::open(args).and_then(|play| play.run(args)) {
        Ok(account) => {
            let printed = match args.format {
                DemoFormat::Text => write!(out, "{}", account.text(&args.report)),
                DemoFormat::Json => writeln!(out, "{}", account.json()),
            };
            if let Err(error) = printed {
                tracing::error!("the demo's result could not be printed: {error}");
                return Exit::Failure;
            }
            account.exit()
        }
        Err(error) => {
            tracing::error!("{error}");
            Exit::Failure
        }
    }
}

#[cfg(test)]
mod tests;
