//! `sluicegate init`: a commented configuration to start from.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use super::output::print;
use super::{DEFAULT_CONFIG, Failure};
use crate::model::Exit;

const COMMENTED: &str = include_str!("../../config/sluicegate.yaml");
const MINIMAL: &str = include_str!("../../config/minimal.yaml");

/// Arguments of `init`.
#[derive(Debug, clap::Args)]
pub struct InitArgs {
    /// Where to write it; - prints it
    #[arg(value_name = "PATH", default_value = DEFAULT_CONFIG)]
    pub path: PathBuf,
    /// The shortest useful configuration instead of the commented one
    #[arg(long)]
    pub minimal: bool,
    /// Overwrite an existing file
    #[arg(long)]
    pub force: bool,
}

/// Writes the file.
///
/// # Errors
/// When it exists already or cannot be written.
pub fn run(args: &InitArgs) -> Result<Exit, Failure> {
    let text = if args.minimal { MINIMAL } else { COMMENTED };
    if args.path.as_os_str() == "-" {
        print(text)?;
        return Ok(Exit::Done);
    }
    let shown = args.path.display();
    let opened = if args.force { File::create(&args.path) } else { File::create_new(&args.path) };
    match opened.and_then(|mut file| file.write_all(text.as_bytes())) {
        Ok(()) => {
            eprintln!("wrote {shown}; next: sluicegate check -c {shown}");
            Ok(Exit::Done)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Err(Failure::unexpected(format!("{shown} exists already; name another file, or overwrite it with --force")))
        }
        Err(error) => Err(Failure::unexpected(format!("{shown} cannot be written: {}", error.kind()))),
    }
}
