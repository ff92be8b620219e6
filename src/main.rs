//! The binary: parse, run, exit code.

use std::process::ExitCode;

/// Serves Rust and, unprefixed, librdkafka's C as well.
#[global_allocator]
static ALLOCATOR: jemallocator::Jemalloc = jemallocator::Jemalloc;

fn main() -> ExitCode {
    sluicegate::run_line(std::env::args_os())
}
