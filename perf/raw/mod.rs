//! The floor: what the client library, the parser and the sockets cost without an engine around them.
//!
//! Each loop is a process of its own, alone on the subjects' core, with the engine's own client settings. They keep no
//! books, know no retry and handle no rebalance; what they move is checked as the engine's output is. `engine-source`
//! is the engine's source room between such a loop's ends: no configuration takes the parser out of a pipeline.

mod bulk;
mod copy;
mod extract;
mod poll;
pub mod progress;
mod reader;
pub mod replay;
mod socket;
mod source;
mod sum;

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;
use clap::{Parser as _, ValueEnum as _};

use crate::machine::pinned;

/// The word by which this program starts itself as a raw loop.
pub const AS_RAW: &str = "--as-raw";

/// Records a drain asks for: what the engine asks for at 912 bytes a record is a fourth of it.
const DRAIN: usize = 1024;

/// A loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Loop {
    /// Batch consume, sum every byte.
    Sum,
    /// `BaseConsumer::poll`, sum every byte.
    Poll,
    /// The engine's source, its batches summed: ledger, fence, budget and commits, neither parser nor sink.
    Source,
    /// Batch consume, batch produce of the same bytes; commit after all before were acknowledged.
    Copy,
    /// The same with the tape parsed and only the bytes of `result` produced.
    Result,
    /// Batch consume, tape, bulk bodies over keep-alive sockets.
    Bulk,
    /// Bulk bodies made beforehand.
    Replay,
}

/// What a loop is told.
#[derive(Debug, clap::Parser)]
pub struct Task {
    /// Which.
    #[arg(value_enum)]
    pub kind: Loop,
    /// Records to move.
    #[arg(long)]
    pub records: u64,
    /// Brokers of the source.
    #[arg(long, default_value = "")]
    pub brokers: String,
    /// Topic of the source.
    #[arg(long, default_value = "")]
    pub topic: String,
    /// Its partitions.
    #[arg(long, default_value_t = crate::sink::PARTITIONS)]
    pub partitions: u16,
    /// Group that is committed for.
    #[arg(long, default_value = "")]
    pub group: String,
    /// Where the count is written to, for loops whose sink is nothing.
    #[arg(long)]
    pub progress: Option<PathBuf>,
    /// Brokers of the target.
    #[arg(long, default_value = "")]
    pub to_brokers: String,
    /// Topic of the target.
    #[arg(long, default_value = "")]
    pub to_topic: String,
    /// Bulk endpoint.
    #[arg(long, default_value = "")]
    pub url: String,
    /// Index.
    #[arg(long, default_value = "")]
    pub index: String,
}

/// The command line of a loop, alone on the subjects' core.
///
/// # Errors
/// The path of this program is not known.
pub fn command(kind: Loop, arguments: &[(&str, &str)]) -> anyhow::Result<Command> {
    let mut command = pinned(std::env::current_exe().context("where is this program?")?);
    let name = kind.to_possible_value().context("a loop has a name")?;
    command.arg(AS_RAW).arg(name.get_name());
    for (option, value) in arguments {
        command.arg(format!("--{option}")).arg(value);
    }
    Ok(command)
}

/// Is a loop.
///
/// # Errors
/// Anything that went wrong: nothing is tried again.
pub fn run(words: &[String]) -> anyhow::Result<()> {
    let task = Task::try_parse_from(std::iter::once(AS_RAW).chain(words.iter().map(String::as_str)))?;
    match task.kind {
        Loop::Sum => sum::run(&task),
        Loop::Poll => poll::run(&task),
        Loop::Source => source::run(&task),
        Loop::Copy => copy::run(&task, false),
        Loop::Result => copy::run(&task, true),
        Loop::Bulk => bulk::run(&task),
        Loop::Replay => replay::run(&task),
    }
}
