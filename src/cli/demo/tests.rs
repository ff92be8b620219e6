//! What the demo says of a run, the demo itself, and that neither passes what is wrong.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::account::{DemoAccount, PipelineAccount};
use super::*;
use crate::cli::builtin::{INDEX, RELAY};
use crate::cli::figures::{EngineEnding, StageLatency};
use crate::model::Conservation;
use crate::telemetry::latency::Stage;
use crate::testbed::feeder::Fed;
use crate::testbed::oracle::{DocumentVerdict, OutputVerdict};

/// A run in which everything is right, but for one thing.
fn account(change: impl FnOnce(&mut DemoAccount)) -> DemoAccount {
    let pipeline = |name: &str| PipelineAccount {
        name: name.to_owned(),
        fed: Fed { records: 600, bytes: 547_200, ..Fed::default() },
        elapsed: Duration::from_secs(2),
        sum: Conservation { consumed: 600, delivered: 600, ..Conservation::default() },
    };
    let mut histogram = hdrhistogram::Histogram::new(3).expect("a histogram");
    histogram.record_n(2_000, 600).expect("recorded");
    let ending = EngineEnding {
        exit: Exit::Done,
        halt: None,
        tallies: Vec::new(),
        latencies: vec![StageLatency { pipeline: RELAY.into(), stage: Stage::EndToEnd, histogram }],
        run_file: json!({ "format": 1 }),
    };
    let mut account = DemoAccount {
        pipelines: vec![pipeline(RELAY), pipeline(INDEX)],
        output: OutputVerdict::default(),
        documents: DocumentVerdict::default(),
        trouble: Vec::new(),
        ending,
    };
    (account.output.expected, account.output.verified) = (600, 600);
    (account.documents.expected, account.documents.equal) = (500, 500);
    change(&mut account);
    account
}

const PRAISE: &str = "everything that came out is what was generated";

#[test]
fn a_run_in_which_all_is_right_passes_and_its_account_is_printed() {
    let account = account(|_| ());
    let text = account.text(Path::new("none"));
    assert_eq!((account.faults(), account.exit()), (Vec::<String>::new(), Exit::Done));
    for part in [
        "600 records in 2.0 s, 300 records/s",
        "consumed 600 = delivered 600",
        "600 of 600 records verified, 0 missing",
        "0 missing, 0 different, 0 that must not exist",
        "end_to_end",
        PRAISE,
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

/// Whatever an engine does wrong, the demo must not exit 0, and must say what it was. That the oracles notice what is
/// lost, repeated, changed or out of order, their own tests show (`testbed/oracle/tests.rs`).
#[test]
fn every_hole_in_the_account_fails_the_demo() {
    type Damage = fn(&mut DemoAccount);
    let table: [(&str, Damage); 14] = [
        ("the output topic is wrong: 599 of 600 records verified, 1 missing", |run| {
            (run.output.verified, run.output.missing) = (599, 1);
        }),
        ("1 repeated", |run| run.output.duplicates = 1),
        ("1 unexpected", |run| run.output.unexpected = 1),
        ("2 out of order", |run| run.output.order_violations = 2),
        ("1 keys left in the wrong order", |run| run.output.misordered_keys = 1),
        ("the documents are wrong: 499 of 500 documents equal, 1 missing", |run| {
            (run.documents.equal, run.documents.missing) = (499, 1);
        }),
        ("1 different", |run| (run.documents.equal, run.documents.different) = (499, 1)),
        ("1 that must not exist", |run| run.documents.extra = 1),
        ("nothing moved", |run| run.trouble.push("nothing moved for 60s".to_owned())),
        ("601 records were read, but 600 accounted for", |run| run.pipelines[0].sum.consumed += 1),
        ("599 accounted for", |run| run.pipelines[1].sum.delivered -= 1),
        ("1 records were left open", |run| {
            (run.pipelines[1].sum.consumed, run.pipelines[1].sum.open) = (601, 1);
        }),
        ("600 records were fed, but 599 delivered", |run| {
            (run.pipelines[1].sum.delivered, run.pipelines[1].sum.dropped) = (599, 1);
        }),
        ("exit 76: the server does not know _bulk", |run| {
            (run.ending.exit, run.ending.halt) = (Exit::Protocol, Some("the server does not know _bulk".to_owned()));
        }),
    ];
    for (words, damage) in table {
        let account = account(damage);
        let text = account.text(Path::new("none"));
        let expected = if account.ending.exit == Exit::Done { Exit::Failure } else { Exit::Protocol };
        assert_eq!(account.exit(), expected, "{words}: {text}");
        assert!(text.contains("WRONG") && text.contains(words), "{words}: {text}");
        assert!(!text.contains(PRAISE), "{words}: {text}");
        assert_eq!(account.json()["demo"]["correct"], false, "{words}");
    }
    let rewound = account(|run| {
        run.output.duplicates = 5;
        (run.pipelines[0].sum.consumed, run.pipelines[0].sum.rewound) = (605, 5);
    });
    assert_eq!(rewound.exit(), Exit::Done, "a rewind may repeat: {:?}", rewound.faults());
}

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    args: DemoArgs,
}

fn arguments(line: &[&str]) -> DemoArgs {
    let line = std::iter::once("demo").chain(line.iter().copied());
    <Line as clap::Parser>::try_parse_from(line).expect("a valid line").args
}

/// The arguments, with a report in the directory.
fn reporting_to(directory: &Path, line: &[&str]) -> DemoArgs {
    DemoArgs { report: directory.to_owned(), ..arguments(line) }
}

fn play(line: &[&str]) -> (Exit, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut out = Vec::new();
    let exit = run(&reporting_to(directory.path(), line), &mut out);
    (exit, String::from_utf8(out).expect("UTF-8"))
}

#[test]
fn the_demo_passes() {
    let (exit, text) = play(&["--records", "6000"]);
    assert_eq!(exit, Exit::Done, "{text}");
    for part in
        ["6000 of 6000 records verified, 0 missing", "0 missing, 0 different", "end_to_end", PRAISE, "report.html"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn json_is_one_object_with_the_run_file_s_members_and_seconds_bound_the_feeding() {
    let started = Instant::now();
    let (exit, text) = play(&["--seconds", "1", "--format", "json", "--value-bytes", "300"]);
    assert_eq!(exit, Exit::Done, "{text}");
    assert!(started.elapsed() < Duration::from_secs(60));
    let object: Value = serde_json::from_str(&text).expect("one JSON object");
    assert!(object["format"].is_u64() && object["pipelines"][RELAY].is_object(), "{text}");
    assert_eq!(object["demo"]["correct"], true);
    let fed = object["demo"]["pipelines"][0]["fed"].as_u64().expect("a number");
    assert!(fed > 100 && object["demo"]["output"]["verified"] == fed, "{text}");
}

/// With the real engine: what the oracle sees decides.
#[test]
fn a_record_in_the_output_that_nobody_fed_fails_the_demo() {
    let directory = tempfile::tempdir().expect("a directory");
    let args = reporting_to(directory.path(), &["--records", "600"]);
    let play = Play::open(&args).expect("opened");
    play.oracle.observe(0, Some(b"k-0000000001"), Some(b"{}"));
    let account = play.run(&args).expect("played");
    let text = account.text(directory.path());
    assert_eq!(account.exit(), Exit::Failure, "{text}");
    assert!(text.contains("WRONG: the output topic is wrong") && text.contains("1 unexpected"), "{text}");
}

#[test]
fn an_engine_that_does_not_start_ends_the_demo_with_a_failure() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("a file");
    std::fs::write(&file, "in the way").expect("written");
    let mut out = Vec::new();
    assert_eq!(run(&reporting_to(&file, &["--records", "10"]), &mut out), Exit::Failure);
    assert!(out.is_empty(), "{}", String::from_utf8_lossy(&out));
}

#[test]
fn nonsense_on_the_command_line_is_refused() {
    for line in [["--records", "0"], ["--seconds", "0"], ["--value-bytes", "12"], ["--format", "xml"]] {
        let parsed = <Line as clap::Parser>::try_parse_from(std::iter::once("demo").chain(line));
        assert!(parsed.is_err(), "{line:?}");
    }
    assert_eq!(arguments(&[]).records(), DEFAULT_RECORDS);
    assert_eq!(arguments(&["--seconds", "5"]).records(), u64::MAX);
}
