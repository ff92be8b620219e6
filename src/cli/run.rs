//! `sluicegate run`: the pipelines, until a signal or until the end.

use std::path::PathBuf;
use std::str::FromStr;

use super::{Failure, Global};
use crate::config::Loaded;
use crate::model::Exit;

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// Pipelines to run [default: all]
    #[arg(value_name = "PIPELINE")]
    pub pipelines: Vec<String>,
    /// Stop at `end` (each partition's last record at start), or at the first record from a time on (RFC 3339)
    #[arg(long, value_name = "end|TIME")]
    pub until: Option<Until>,
    /// Read and transform, but neither write nor commit; does not join the group
    #[arg(long)]
    pub dry_run: bool,
    /// Write the run's report into this directory on exit
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
}

/// Where a bounded run stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// At each partition's last stable offset, pinned at start.
    End,
    /// At the first record whose timestamp is not before this.
    Time(jiff::Timestamp),
}

impl FromStr for Until {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "end" => Ok(Self::End),
            text => text
                .parse()
                .map(Self::Time)
                .map_err(|_| "write `end`, or a time such as 2026-01-31T12:00:00Z".to_owned()),
        }
    }
}

/// Keeps the pipelines that were named; all when none were.
///
/// # Errors
/// [`Failure::Usage`] for a name that is not configured.
pub fn choose(loaded: &mut Loaded, names: &[String]) -> Result<(), Failure> {
    let known: Vec<&str> = loaded.plan.pipelines.iter().map(|pipeline| pipeline.name.as_ref()).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(Failure::Usage(format!("no pipeline is named `{unknown}`; there are {}", known.join(", "))));
    }
    if !names.is_empty() {
        loaded.plan.pipelines.retain(|pipeline| names.iter().any(|name| *name == *pipeline.name));
    }
    Ok(())
}

/// Runs the pipelines.
///
/// # Errors
/// An invalid configuration, an unknown pipeline; the rest is the lead's.
pub fn run(global: &Global, args: &RunArgs) -> Result<Exit, Failure> {
    super::logging::init(global)?;
    let mut loaded = global.load()?;
    choose(&mut loaded, &args.pipelines)?;
    for warning in &loaded.warnings {
        tracing::warn!(place = %warning.origin, key = %warning.path, "{}", warning.reason);
    }
    Err(Failure::unexpected("`run` is not joined to the rooms yet"))
}
