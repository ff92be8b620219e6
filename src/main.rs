//! The binary: parse, load, run, exit code.

use std::process::ExitCode;

use clap::Parser;
use sluicegate::cli::demo;

/// Serves Rust and, unprefixed, librdkafka's C as well.
#[global_allocator]
static ALLOCATOR: jemallocator::Jemalloc = jemallocator::Jemalloc;

#[derive(clap::Parser)]
enum Cli {
    Demo(demo::DemoArgs),
}

fn main() -> ExitCode {
    let Cli::Demo(args) = Cli::parse();
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    ExitCode::from(demo::run(&args, demo::real::machinery(), &mut std::io::stdout()).code())
}
