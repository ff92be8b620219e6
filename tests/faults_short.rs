//! A short selection of the fault campaign: each class of fault once, with a seed that is printed when it fails.
//!
//! `cargo faults` plays all of it, many times.

use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sluicegate_testkit::services::kafka::{self, KafkaOptions};
use sluicegate_testkit::services::{Mode, redis};

use crate::support::own;
use sluicegate_testkit::faults::engine::Program;
use sluicegate_testkit::faults::play::play;
use sluicegate_testkit::faults::scenario::{On, all};
use sluicegate_testkit::faults::stage::Real;

/// Runs beside each other: they wait for most of their time.
const JOBS: usize = 3;
/// Records a second: the machine does other things beside.
const RATE: f64 = 400.0;
/// Kills at each point of a batch's life.
const KILLS: u64 = 2;

/// Longest time to the first delivery after a fault, in microseconds; a session is 6 s, and the machine may be busy.
const RECOVERY_US: u64 = 30_000_000;
/// Largest process: four times its `limits.memory` of 64 MiB.
const MEMORY_BYTES: u64 = 256 << 20;

fn program() -> Program {
    Program {
        path: env!("CARGO_BIN_EXE_sluicegate").into(),
        words: Vec::<OsString>::new(),
        rate: RATE,
        environment: Vec::new(),
    }
}

/// Plays scenarios of these names; fails with everything that went wrong.
fn plays(names: &[&str], real: Option<Arc<Real>>) {
    let known = all();
    let seed = crate::support::bench::seed();
    let (program, next) = (program(), AtomicUsize::new(0));
    let work = || {
        let mut wrong = Vec::new();
        while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
            let scenario = known.iter().find(|one| one.name == *name).unwrap_or_else(|| panic!("no scenario {name}"));
            match play(scenario, &program, real.clone(), seed, KILLS) {
                Ok(outcome) => {
                    let kills = if scenario.on == On::Kills { KILLS } else { 0 };
                    let is_whole = outcome.verdict.records > 0 && outcome.kills >= kills;
                    let recovered = outcome.recoveries_us.iter().all(|us| *us < RECOVERY_US);
                    if !(outcome.is_sound(scenario) && is_whole && recovered && outcome.peak_bytes < MEMORY_BYTES) {
                        wrong.push(format!("{name}, seed {seed}: {:?}\n{}", outcome.verdict, outcome.logs));
                    }
                }
                Err(error) => wrong.push(format!("{name}, seed {seed}: {error:#}")),
            }
        }
        wrong
    };
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..JOBS).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn faults_of_the_search_server_and_its_line_lose_nothing() {
    plays(
        &["search-late", "line-silent", "search-items", "search-401", "line-resets-versioned", "search-wrong-count"],
        None,
    );
}

#[test]
fn faults_of_commits_members_and_letters_lose_nothing() {
    plays(&["commits-fail", "member-unknown", "poison", "letters-topic-missing"], None);
}

#[test]
fn a_silent_and_a_restarted_redis_and_wrong_types_lose_nothing() {
    if own("a_silent_and_a_restarted_redis_and_wrong_types_lose_nothing", redis::start).is_some() {
        plays(&["redis-silent", "redis-restart", "redis-wrong-type"], None);
    }
}

#[test]
fn kills_at_every_point_of_a_batch_and_drains_lose_nothing() {
    let upstream =
        own("kills_at_every_point_of_a_batch_and_drains_lose_nothing", || kafka::start(&KafkaOptions::default()));
    let Some(upstream) = upstream else { return };
    let may_redis = Mode::from_environment().is_ok() && redis::start().is_ok();
    let points = all().into_iter().filter(|one| one.on == On::Kills && (may_redis || one.name != "kill-drained"));
    let mut names: Vec<&str> = points.map(|one| one.name).collect();
    assert!(names.len() >= 7, "{names:?}");
    names.extend([
        "members-come-and-go",
        "sigterm",
        "sigterm-deadline",
        "memory",
        "topic-recreated",
        "partitions-added",
    ]);
    plays(&names, Some(Arc::new(Real { upstream, far: None })));
}
