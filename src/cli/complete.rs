//! `sluicegate completions SHELL` and `sluicegate man`, from the same command definitions.

use std::path::PathBuf;

use clap::CommandFactory;

use super::output::print;
use super::{Cli, Failure};
use crate::model::Exit;

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// Which shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// Arguments of `man`.
#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// Write one page a command into this directory instead of printing the main one
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Prints completions.
///
/// # Errors
/// When stdout cannot be written.
pub fn completions(args: &CompletionsArgs) -> Result<Exit, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "sluicegate", &mut text);
    print(&String::from_utf8_lossy(&text))?;
    Ok(Exit::Done)
}

/// Prints the manual page, or writes all of them.
///
/// # Errors
/// When stdout or the directory cannot be written.
pub fn man(args: &ManArgs) -> Result<Exit, Failure> {
    let Some(directory) = &args.out else {
        let mut text = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut text)?;
        print(&String::from_utf8_lossy(&text))?;
        return Ok(Exit::Done);
    };
    std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), directory))
        .map_err(|error| Failure::unexpected(format!("{} cannot be written: {}", directory.display(), error.kind())))?;
    Ok(Exit::Done)
}
