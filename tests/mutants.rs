//! Runs the tests against each known bug of `src/mutants.rs` and prints how many were killed.
//!
//! `cargo run --features mutants --example mutants [-- NAME…]`. First the named tests must pass without a bug; then each bug
//! is switched on and at least one of its tests must fail. A test that has not ended after [`LIMIT`] counts as failed. Exit
//! 0 only if every bug was killed.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use sluicegate::internals::mutants::{Mutant, VARIABLE};

/// For the tests of one bug.
const LIMIT: Duration = Duration::from_secs(240);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Binary {
    /// Unit tests.
    Unit,
    /// `tests/tests.rs`. Those that need a real server want `SLUICEGATE_TEST_SERVICES=required`.
    Integration,
}
use Binary::{Integration, Unit};

/// What is known to find each bug: parts of test names.
fn killers(mutant: Mutant) -> &'static [(Binary, &'static str)] {
    match mutant {
        Mutant::CommitTheReadPosition => &[(Unit, "source::ledger::"), (Integration, "races::source::a_later_batch")],
        Mutant::CommitWithoutPlusOne => &[(Unit, "source::ledger::")],
        Mutant::CommitOutOfOrder => &[(Unit, "source::ledger::"), (Integration, "races::source::a_later_batch")],
        Mutant::RefusedCommitIsStored => &[(Unit, "source::commit::"), (Integration, "races::source::a_later_batch")],
        Mutant::AcceptAnOldEpoch => &[(Unit, "source::ledger::")],
        Mutant::AcceptAfterRevoke => &[(Unit, "source::ledger::")],
        Mutant::AcceptAnOverlappingRun => &[(Unit, "source::ledger::")],
        Mutant::CountAtTheSink => &[(Unit, "source::ledger::")],
        Mutant::ResidueForgottenOnRewind => {
            &[(Unit, "source::ledger::"), (Integration, "the_scripts_own_hole::a_failed_delivery")]
        }
        Mutant::UnboundedSpan => &[(Integration, "a_partition_whose_first_record_stays_open")],
        Mutant::BudgetLeak => &[(Unit, "model::budget::")],
        Mutant::BudgetIgnored => &[(Integration, "a_budget_full_of_nothing_but_residue")],
        Mutant::AdoptWithRecordsHeld => &[(Integration, "a_partition_with_records_only_in_the_hold")],
        Mutant::ReleaseHeldOfAnOldEpoch => &[(Integration, "a_rewind_destroys_what_the_hold_has")],
        Mutant::DrainDuringABackoff => &[(Integration, "records_drained_during_a_rewinds_backoff")],
        Mutant::PauseSurvivesARevoke => &[(Integration, "a_paused_partition_revoked_and_assigned_again")],
        Mutant::SeekOnlyTheFailing => &[(Integration, "a_failure_takes_back_every_partition")],
        Mutant::ResetToLatest => &[(Unit, "source::start::")],
        Mutant::PositionBeyondTheEnd => {
            &[(Integration, "a_topic_recreated_between_two_runs"), (Unit, "source::start::")]
        }
        Mutant::RecreatedTopicUnnoticed => {
            &[(Integration, "a_topic_recreated_longer"), (Integration, "a_topic_recreated_as_long")]
        }
        Mutant::SuspectedTopicBelieved => &[(Unit, "source::recreation::tests::asked_soon")],
        Mutant::LoweredPositionForgotten => &[
            (Unit, "simulation::scripts::a_position_that_a_new_log_lowered"),
            (Unit, "source::recreation::tests::a_lowered"),
        ],
        Mutant::TruncationUnnoticed => &[(Integration, "a_topic_recreated_shorter")],
        Mutant::BeginningSoughtOnFaith | Mutant::TruncatedStartForgotten | Mutant::OldLogsEndsBelieved => {
            &[(Unit, "simulation::histories_that_failed_once")]
        }
        Mutant::StaleStatisticsBelieved => &[(Unit, "simulation::scripts::statistics_of_before_a_seek")],
        Mutant::BornLateIsHistory => &[(Unit, "source::start::"), (Integration, "start_latest::")],
        Mutant::ErrorTakenForARecord => {
            &[(Unit, "simulation::scripts::a_bounded_run_ends_at_a_batch"), (Integration, "damaged_batch::")]
        }
        Mutant::SilentBatchUnnoticed => {
            &[(Unit, "simulation::scripts::a_bounded_run_ends_at_a_batch_of_which"), (Integration, "damaged_batch::")]
        }
        Mutant::WrongNumbersRewound => &[(Integration, "damaged_batch::")],
        Mutant::DamageOfAnotherLog => {
            &[(Unit, "simulation::scripts::nothing_is_skipped_of_a_log"), (Unit, "source::damage::")]
        }
        Mutant::DamageSkippedOnOneWord => &[(Unit, "source::damage::")],
        Mutant::StandbyStaysInItsGroup => &[(Integration, "members::")],
        Mutant::ForgottenBrokers => &[(Unit, "librdkafka::bootstrap::"), (Integration, "races::forgotten_brokers::")],
        Mutant::LatePauseBelieved => &[(Unit, "simulation::scripts::a_partition_that_is_paused_at_last")],
        Mutant::HalfDrainedQueueSleeps => &[(Integration, "a_half_drained_queue")],
        Mutant::ShareKnownAtOnce => &[(Integration, "two_members_share"), (Unit, "source::until::")],
        Mutant::EmptiedPartitionHasNoEnd => &[(Integration, "partitions_emptied_by_retention")],
        Mutant::MarkersHideTheEnd => &[(Integration, "behind_a_transactional_tail")],
        Mutant::SequenceLostWithItsWorker => &[(Integration, "races::workers::a_panicking_worker")],
        Mutant::FencedBatchKeptBack => &[(Integration, "races::workers::batches_fenced")],
        Mutant::HoleBehindALostBatch => &[(Unit, "nothing_behind_a_lost_batch_is_sent")],
        Mutant::SequenceIgnored => &[(Unit, "sink::sequencer::")],
        Mutant::BufferReused => &[(Unit, "preprocess::")],
        Mutant::IgnoreADeliveryError => {
            &[(Unit, "sink::kafka::"), (Integration, "the_scripts_own_hole::a_failed_delivery")]
        }
        Mutant::ErrorsReadAsSuccess => &[(Unit, "sink::elasticsearch::lane_tests")],
        Mutant::DropOnItem429 => {
            &[(Unit, "sink::elasticsearch::verdict"), (Integration, "the_scripts_own_hole::one_item")]
        }
        Mutant::DeadLetterBeforeItsAck => &[(Unit, "sink::reject::")],
        Mutant::DeadLetterSkipped => &[(Integration, "races::bad_input")],
        Mutant::NumbersAsDoubles => &[(Unit, "model::decimal::"), (Unit, "preprocess::steps::")],
        Mutant::MissingTopicTrusted => &[(Unit, "sink::kafka::tests::targets::"), (Integration, "named_topics::")],
        Mutant::WaitingRecordsOvertaken => &[(Unit, "sink::kafka::")],
        Mutant::RetryOutOfKeyOrder => &[(Unit, "sink::elasticsearch::lane_tests")],
        Mutant::LaneHashIgnoresTheId => &[(Unit, "sink::elasticsearch::bulk")],
        Mutant::SettleAheadOfAnEarlier => {
            &[(Unit, "sink::elasticsearch::lane_tests"), (Integration, "an_acknowledged_item_behind")]
        }
        Mutant::SendAfterARevoke => &[(Integration, "residue_of_a_revoked_partition")],
        Mutant::TargetFaultBlamesTheRecord => &[(Unit, "sink::elasticsearch::target_tests")],
        Mutant::AlikeIsNoFault => &[(Unit, "sink::elasticsearch::alike")],
        Mutant::TiesLoseTheLater => &[(Unit, "sink::elasticsearch::bulk_tests"), (Unit, "of_records_with_one_version")],
        Mutant::RedirectedIsDelivered => &[(Unit, "what_the_server_puts_aside")],
        Mutant::FencedLeavesSuccessorsOpen => &[(Unit, "sink::elasticsearch::lane_tests::a_chain_whose_first")],
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Passed,
    Failed,
    TimedOut,
    NothingRan,
}

fn main() -> ExitCode {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |mutant: &&Mutant| names.is_empty() || names.iter().any(|name| name == mutant.name());
    let mutants: Vec<Mutant> = Mutant::ALL.iter().filter(wanted).copied().collect();
    if mutants.is_empty() {
        eprintln!("no such mutant; there are: {}", Mutant::ALL.iter().map(|m| m.name()).collect::<Vec<_>>().join(" "));
        return ExitCode::from(2);
    }
    let Some(binaries) = build() else { return ExitCode::FAILURE };
    let mut sound = true;
    let mut tests: Vec<_> = mutants.iter().flat_map(|mutant| killers(*mutant)).copied().collect();
    tests.sort_unstable();
    tests.dedup();
    for (binary, filter) in tests {
        let end = run(&binaries[&binary], filter, None);
        if end != End::Passed {
            println!("{filter}: {end:?} without any mutant");
            sound = false;
        }
    }
    if !sound {
        return ExitCode::FAILURE;
    }
    let mut killed = 0;
    for mutant in &mutants {
        let started = Instant::now();
        let mut by = None;
        for (binary, filter) in killers(*mutant) {
            let end = run(&binaries[binary], filter, Some(*mutant));
            if matches!(end, End::Failed | End::TimedOut) {
                by = Some(format!("{filter}{}", if end == End::TimedOut { " (did not end)" } else { "" }));
                break;
            }
        }
        killed += usize::from(by.is_some());
        let verdict = by.map_or_else(|| "SURVIVED".to_owned(), |by| format!("killed by {by}"));
        println!("{:<32} {:>4} s  {verdict}", mutant.name(), started.elapsed().as_secs());
    }
    println!("{killed}/{} killed", mutants.len());
    if killed == mutants.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Builds the test binaries with the mutants in them; their paths.
fn build() -> Option<BTreeMap<Binary, String>> {
    let arguments = ["test", "--features", "mutants", "--lib", "--test", "tests", "--no-run", "--message-format=json"];
    let mut command = Command::new("cargo");
    // What `cargo run` tells us of this package would make other packages' build scripts run again.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            command.env_remove(name);
        }
    }
    let output = command.args(arguments).stderr(Stdio::inherit()).output().ok()?;
    if !output.status.success() {
        return None;
    }
    let mut found = BTreeMap::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Ok(message) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        let Some(path) = message["executable"].as_str() else { continue };
        match message["target"]["kind"][0].as_str() {
            Some("lib") => found.insert(Unit, path.to_owned()),
            Some("test") => found.insert(Integration, path.to_owned()),
            Some(_) | None => None,
        };
    }
    (found.len() == 2).then_some(found)
}

fn run(binary: &str, filter: &str, mutant: Option<Mutant>) -> End {
    let mut command = Command::new(binary);
    command.args([filter, "--test-threads", "2"]).stdout(Stdio::piped()).stderr(Stdio::null());
    // What a bug on purpose finds is no regression to keep.
    command.env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1");
    match mutant {
        Some(mutant) => command.env(VARIABLE, mutant.name()),
        None => command.env_remove(VARIABLE),
    };
    let Ok(mut child) = command.spawn() else { return End::NothingRan };
    // Read beside the wait: a full pipe would hold the tests up.
    let mut pipe = child.stdout.take();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        if let Some(pipe) = &mut pipe {
            // What is no UTF-8 ends the text; only the summary is looked for.
            let _ = pipe.read_to_string(&mut text);
        }
        text
    });
    let deadline = Instant::now() + LIMIT;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => std::thread::park_timeout(Duration::from_millis(20)),
            Ok(None) | Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                return End::TimedOut;
            }
        }
    };
    let text = reader.join().unwrap_or_default();
    if text.contains("running 0 tests") {
        End::NothingRan
    } else if status.success() {
        End::Passed
    } else {
        End::Failed
    }
}
