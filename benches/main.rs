//! What each stage costs: `cargo bench --bench stages [FILTER]` measures time, in records/s and, where bytes matter,
//! bytes/s.
//!
//! `cargo bench --bench stages -- instructions` counts the instructions of the pure stages instead and fails when one
//! has grown by more than 5 % over `benches/instructions.txt`: see [`instructions`]. Instructions do not depend on the
//! machine's load, times do.

mod baseline;
mod bulk;
mod cache;
mod channel;
mod input;
mod instructions;
mod kafka;
mod ledger;
mod preprocess;
mod stage;

use std::process::ExitCode;

use criterion::{Criterion, Throughput};

use stage::Stage;

#[global_allocator]
static ALLOCATOR: jemallocator::Jemalloc = jemallocator::Jemalloc;

/// Stages without threads, clocks and sockets: what they execute depends on their input only.
fn pure() -> impl Iterator<Item = Stage> {
    preprocess::stages().chain(bulk::stages()).chain(ledger::stages())
}

fn measure(criterion: &mut Criterion, stages: impl Iterator<Item = Stage>) {
    for Stage { group, case, records, bytes, mut run } in stages {
        let mut measured = criterion.benchmark_group(group);
        measured.throughput(match bytes {
            Some(bytes) => Throughput::ElementsAndBytes { elements: records, bytes },
            None => Throughput::Elements(records),
        });
        measured.bench_function(case, |bencher| bencher.iter(&mut run));
        measured.finish();
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["instructions"] => instructions::compare(),
        ["instructions", "renew"] => instructions::renew(),
        ["count"] => instructions::count(pure()),
        _ => {
            let mut criterion = Criterion::default().configure_from_args();
            measure(&mut criterion, pure());
            measure(&mut criterion, channel::stages().chain(cache::stages()).chain(kafka::stages()));
            criterion.final_summary();
            ExitCode::SUCCESS
        }
    }
}
