//! The binary: parse, run, exit code.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use sluicegate::cli::{self, Cli, Failure};
use sluicegate::model::Exit;

/// Serves Rust and, unprefixed, librdkafka's C as well.
#[global_allocator]
static ALLOCATOR: jemallocator::Jemalloc = jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to stdout; a reader that is gone changes nothing.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { Exit::Usage.code() } else { Exit::Done.code() });
        }
    };
    let exit = cli::dispatch(&cli).unwrap_or_else(|failure| {
        if !matches!(failure, Failure::Closed) {
            let _ = writeln!(std::io::stderr(), "{failure}");
        }
        failure.exit()
    });
    ExitCode::from(exit.code())
}
