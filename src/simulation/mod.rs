//! A deterministic simulation: the real control loop of the source, the real lanes of the Elasticsearch sink and the
//! real ring, on a simulated cluster and server, with a clock and a scheduler that are chance by a seed.
//!
//! Real here is everything in `source` but the client, and what decides in `sink/elasticsearch`. Simulated are
//! librdkafka ([`library`], after its source), the brokers and the group ([`kafka`]), workers, intake and desk
//! ([`engine`]), the server ([`server`]) and the driving of the lanes ([`lanes`]). [`history`] is one history: faults
//! for a while, then calm, in which everything must be resolved and committed within a bounded number of steps.
//!
//! ```sh
//! cargo test --lib simulation                                            # 10,000 histories
//! SLUICEGATE_HISTORIES=1000000 cargo test --release --lib simulation     # as many as you like
//! SLUICEGATE_SEED=4711 cargo test --lib simulation                       # one of them, step by step
//! ```

mod client;
mod desk;
mod draw;
mod engine;
mod group;
mod history;
mod kafka;
mod lanes;
mod library;
mod log;
mod messages;
mod plan;
mod relay;
mod scripts;
mod server;
mod sinks;
mod step;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use draw::AS_AT_FIRST;
use history::{Account, Failure, Instruments, run};

/// Histories of a plain test run.
const HISTORIES: u64 = 10_000;
/// Threads they are spread over.
const THREADS: usize = 2;
/// Failures after which a run ends.
const ENOUGH: usize = 20;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.replace('_', "").parse().ok()
}

/// Each failed once, in runs of a million: a pause that failed at first, a lost seek to the beginning, a start in a log
/// that ends before the position in the one before, an end of a log that was answered when there was another, members
/// expelled before a stop, a bounded run whose end lies before what is committed, two seeks lost in a row.
const FAILED_ONCE: [u64; 10] =
    [215_516, 217_678, 295_080, 317_964, 471_698, 525_312, 800_306, 862_701, 1_115_912, 1_919_032];

#[test]
fn histories_that_failed_once_pass() {
    for seed in FAILED_ONCE {
        if let Err(failure) = run(seed | AS_AT_FIRST, &Instruments::new(), false) {
            panic!("seed {seed}: {}", failure.what);
        }
    }
}

#[test]
fn nothing_is_lost_reordered_or_stalled_in_any_history() {
    if let Some(seed) = number("SLUICEGATE_SEED") {
        let outcome = run(seed, &Instruments::new(), true);
        if let Err(Failure { what, trace }) = outcome {
            panic!("{}\nseed {seed}: {what}", trace.join("\n"));
        }
        return;
    }
    let count = number("SLUICEGATE_HISTORIES").unwrap_or(HISTORIES);
    let first = number("SLUICEGATE_FIRST_SEED").unwrap_or(0);
    let next = AtomicU64::new(first);
    let failures: Mutex<Vec<(u64, String)>> = Mutex::default();
    let total: Mutex<Account> = Mutex::default();
    let counts: Mutex<Vec<(&str, u64)>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let instruments = Instruments::new();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let enough = failures.lock().expect("not poisoned").len() >= ENOUGH;
                    if seed >= first + count || enough {
                        return counts.lock().expect("not poisoned").extend(instruments.counts());
                    }
                    match run(seed, &instruments, false) {
                        Ok(account) => total.lock().expect("not poisoned").add(account),
                        Err(failure) => failures.lock().expect("not poisoned").push((seed, failure.what)),
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("not poisoned");
    let total = total.into_inner().expect("not poisoned");
    let counts = counts.into_inner().expect("not poisoned");
    let counted =
        |name: &str| counts.iter().filter(|(counter, _)| *counter == name).map(|(_, count)| count).sum::<u64>();
    println!("{count} histories: {total:?}");
    for name in counts.iter().map(|(name, _)| *name).collect::<std::collections::BTreeSet<_>>() {
        println!("  {name}: {}", counted(name));
    }
    for (seed, what) in &failures {
        println!("seed {seed}: {}", what.chars().take(600).collect::<String>());
    }
    assert!(
        failures.is_empty(),
        "{} histories failed, the first with SLUICEGATE_SEED={}",
        failures.len(),
        failures[0].0
    );
    // Histories in which nothing happens would prove nothing; one of them may be quiet.
    let count = if count < 1000 { 0 } else { count };
    assert!(total.rewound >= count && total.lives >= count && total.landed >= 10 * count, "{total:?}");
}
