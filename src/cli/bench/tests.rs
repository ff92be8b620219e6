//! The command with the real engine and the servers of this process.

use std::path::Path;
use std::time::Instant;

use clap::Parser;
use serde_json::Value;

use super::*;
use crate::cli::figures::{EngineEnding, StageLatency};
use crate::cli::{Cli, Command};
use crate::model::Conservation;
use crate::pipeline::PipelineTally;
use crate::telemetry::latency::Stage;
use crate::testbed::feeder::Fed;

fn bench(line: &[&str]) -> Result<(Exit, String), Failure> {
    let directory = tempfile::tempdir().expect("a directory");
    bench_with_report(directory.path(), line)
}

fn bench_with_report(report: &Path, line: &[&str]) -> Result<(Exit, String), Failure> {
    let report = report.to_str().expect("a name");
    let cli = Cli::try_parse_from([&["sluicegate", "bench", "--report", report], line].concat()).expect("a valid line");
    let Command::Bench(args) = &cli.command else { panic!("bench") };
    let mut out = Vec::new();
    let exit = run(&cli.global, args, &mut out)?;
    Ok((exit, String::from_utf8(out).expect("text")))
}

fn measured(line: &[&str]) -> Value {
    let line = [line, &["--format", "json"]].concat();
    let (exit, text) = bench(&line).expect("runs");
    assert_eq!(exit, Exit::Done, "{text}");
    serde_json::from_str(&text).expect("one JSON object")
}

fn percentile(run: &Value, stage: &str, name: &str) -> f64 {
    let latencies = run["bench"]["latencies"].as_array().expect("latencies");
    let found = latencies.iter().find(|one| one["stage"] == stage).unwrap_or_else(|| panic!("no {stage}: {run}"));
    found[name].as_f64().expect("a number")
}

#[test]
fn rates_are_parsed_and_nonsense_is_refused() {
    let table = [
        ("max", Some(Rate::Max)),
        ("50000/s", Some(Rate::PerSecond(50_000.0))),
        ("2.5", Some(Rate::PerSecond(2.5))),
        ("0", None),
        ("-5/s", None),
        ("NaN", None),
        ("inf", None),
        ("fast", None),
        ("", None),
    ];
    for (text, expected) in table {
        assert_eq!(rate(text).ok(), expected, "{text}");
    }
    let both = Cli::try_parse_from(["sluicegate", "bench", "--sweep", "--rate", "5/s"]);
    assert!(both.is_err(), "a sweep chooses its rates");
}

#[test]
fn an_open_loop_keeps_its_rate_and_accounts_for_every_record() {
    for pipeline in ["relay", "index"] {
        let run = measured(&["--pipeline", pipeline, "--rate", "2000/s", "--seconds", "2", "--warmup", "1"]);
        let bench = &run["bench"];
        let fed = bench["fed"].as_u64().expect("a number");
        assert!((5_000..=10_000).contains(&fed), "three seconds at 2,000/s, and until the warm-up is resolved: {fed}");
        assert_eq!(bench["sum"]["delivered"], fed);
        assert!(bench["arrived"].as_u64().expect("asked") >= fed);
        assert_eq!(run["settings"]["bench"]["rate_per_second"], 2000.0);
        let counted = run["pipelines"][pipeline]["percentiles"]["age"]["count"].as_u64().expect("a count");
        assert!(counted < fed && counted > fed / 3, "the warm-up is left out: {counted} of {fed}");
    }
}

/// P9: what waits for a server that stands still is in the histogram, each record with the time since it was meant to
/// be produced. At 1,000/s a stall of 1 s delays about 1,000 records, half of them by more than half a second; a loop
/// that waits for answers would have shown a handful.
#[test]
fn a_stall_of_a_second_shows_in_every_record_it_delayed() {
    for pipeline in ["relay", "index"] {
        let stalled =
            ["--pipeline", pipeline, "--rate", "1000/s", "--seconds", "4", "--warmup", "1", "--sink-stall-ms", "1000"];
        let run = measured(&stalled);
        assert!(percentile(&run, "age", "max_ms") >= 900.0, "{pipeline}: {run}");
        let curve = run["pipelines"][pipeline]["curves"]["age"].as_array().expect("a curve");
        let below = curve.iter().filter(|point| point[1].as_f64().expect("ms") < 500.0);
        let share = below.map(|point| point[0].as_f64().expect("a quantile")).fold(0.0, f64::max);
        assert!((0.4..=0.92).contains(&share), "{pipeline}: {share} of 4,000 records were below 500 ms");
    }
}

#[test]
fn full_speed_for_people() {
    let (exit, text) = bench(&["--seconds", "1", "--warmup", "0"]).expect("runs");
    assert_eq!(exit, Exit::Done, "{text}");
    for part in [
        "relay: full speed for 1 s",
        "records/s resolved",
        "end_to_end",
        "every record is accounted for",
        "report.html",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

fn tally(records: u64) -> PipelineTally {
    let tally = Conservation { consumed: records, delivered: records, ..Conservation::default() };
    PipelineTally { name: "relay".into(), tally }
}

fn account(change: impl FnOnce(&mut BenchAccount)) -> BenchAccount {
    let mut age = hdrhistogram::Histogram::new(3).expect("a histogram");
    age.record_n(3_000, 1_000).expect("recorded");
    let at = Instant::now();
    let begin = account::MeasurementEnd { at, resolved: 100, fed: 100, cpu_seconds: Some(1.0) };
    let end = account::MeasurementEnd {
        at: at + Duration::from_secs(10),
        resolved: 1_100,
        fed: 1_100,
        cpu_seconds: Some(3.0),
    };
    let mut account = BenchAccount {
        pipeline: "relay".into(),
        load: Load { rate: Some(100.0), warm_up: Duration::from_secs(1), time: Duration::from_secs(10), stall: None },
        fed: Fed { records: 1_200, bytes: 1_200_000, ..Fed::default() },
        marks: Some((begin, end)),
        arrived: Some(Ok(1_200)),
        ending: EngineEnding {
            exit: Exit::Done,
            halt: None,
            tallies: vec![tally(1_200)],
            latencies: vec![StageLatency { pipeline: "relay".into(), stage: Stage::Age, histogram: age }],
            run_file: serde_json::json!({ "format": 1 }),
        },
        trouble: Vec::new(),
    };
    change(&mut account);
    account
}

/// Exit 0 only if every record is accounted for.
#[test]
fn every_hole_in_the_account_is_a_fault() {
    assert_eq!((account(|_| ()).faults(), account(|_| ()).exit()), (vec![], Exit::Done));
    let summed = |change: fn(&mut Conservation)| account(|account| change(&mut account.ending.tallies[0].tally));
    let table = [
        ("1199 read", summed(|sum| (sum.consumed, sum.delivered) = (1_199, 1_199))),
        ("1201 read", summed(|sum| (sum.consumed, sum.delivered) = (1_201, 1_201))),
        ("accounted for", summed(|sum| sum.delivered = 1_199)),
        ("left open", summed(|sum| (sum.delivered, sum.open) = (1_199, 1))),
        ("the server got 1199", account(|account| account.arrived = Some(Ok(1_199)))),
        ("cannot be asked", account(|account| account.arrived = Some(Err("gone".into())))),
        ("nothing was measured", account(|account| account.marks = None)),
        ("exit 76", account(|account| account.ending.exit = Exit::Protocol)),
        ("stuck", account(|account| account.trouble.push("stuck".into()))),
        ("0 read", account(|account| account.ending.tallies.clear())),
    ];
    for (words, account) in table {
        let faults = account.faults().join("; ");
        assert!(faults.contains(words), "{words}: {faults}");
        assert_ne!(account.exit(), Exit::Done, "{words}");
        assert!(account.text(Path::new("none")).contains("WRONG"), "{words}");
    }
    let rewound = summed(|sum| (sum.consumed, sum.rewound) = (1_250, 50));
    assert_eq!(rewound.faults(), Vec::<String>::new(), "what was read again was rewound before");
    let shared = account(|account| {
        account.arrived = None;
        account.ending.tallies[0] = tally(1_300);
    });
    assert_eq!(shared.faults(), Vec::<String>::new(), "others produce into a real topic");
}

#[test]
fn means_are_of_the_measurement_and_a_missed_rate_is_told() {
    let good = account(|_| ());
    let means = good.means().expect("measured");
    assert_eq!((means.seconds, means.resolved_per_second, means.fed_per_second), (10.0, 100.0, 100.0));
    assert_eq!(means.cpu_seconds_per_million, Some(2_000.0));
    assert!(good.reached() && good.text(Path::new("none")).contains("100 records/s resolved"));
    let slow = account(|account| account.load.rate = Some(150.0));
    assert!(!slow.reached() && slow.text(Path::new("none")).contains("not reached"));
    assert_eq!(slow.exit(), Exit::Done, "no record is missing");
}

#[test]
fn an_engine_that_does_not_start_is_a_failure_with_its_words() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("a file");
    std::fs::write(&file, "in the way").expect("written");
    let failure = bench_with_report(&file, &["--seconds", "1"]).expect_err("fails");
    assert!(failure.to_string().contains("failed to write"), "{failure}");
    assert_eq!(failure.exit(), Exit::Failure);
}
