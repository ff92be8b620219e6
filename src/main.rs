//! The binary: parse, load, run, exit code.

/// Serves Rust and, unprefixed, librdkafka's C as well.
#[global_allocator]
static ALLOCATOR: jemallocator::Jemalloc = jemallocator::Jemalloc;

fn main() {}
