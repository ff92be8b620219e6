//! A scripted run, written and read back.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::super::board::Board;
use super::super::board::tests::board_of_two;
use super::super::latency::Stage;
use super::super::metrics::StageName;
use super::super::reporter::{Reporter, TURN};
use super::super::watch::WatchLimits;
use super::*;
use crate::model::{Outcome, RejectReason};

/// Runs `turns` turns of 250 ms; `relay` gets 1,000 records a turn that take 2 to 40 ms, scaled by `slower`.
pub(crate) fn scripted(directory: &Path, turns: u32, slower: u64) -> (Arc<Board>, Collected) {
    let board = board_of_two();
    let start = Instant::now();
    let log = open_log(directory).expect("a log");
    let mut reporter = Reporter::new(board.clone(), WatchLimits::default(), Some(log), start).expect("a head");
    let relay = &board.pipelines[0];
    relay.pipeline.metrics.assigned_partitions.set(1);
    for turn in 1..=turns {
        relay.pipeline.metrics.drained(&"events".into(), 1_000, 500_000);
        relay.pipeline.metrics.outcome(Outcome::Delivered).add(999);
        relay.pipeline.metrics.outcome(Outcome::DeadLettered).add(1);
        relay.pipeline.metrics.balance(0);
        relay.pipeline.metrics.reject(RejectReason::Missing).add(1);
        relay.pipeline.metrics.busy(StageName::Preprocess).add(150_000_000);
        relay.pipeline.metrics.blocked(StageName::Source).add(100_000_000);
        for part in 1..=20_u64 {
            let wave = 1 + u64::from(turn % 10);
            relay.pipeline.latency.record(Stage::EndToEnd, Duration::from_micros(slower * part * part * 10 * wave), 50);
            relay.pipeline.latency.record(Stage::Request, Duration::from_micros(slower * part * part * 7), 50);
        }
        reporter.turn(start + TURN * turn, SystemTime::now());
    }
    (board.clone(), reporter.finish(start + TURN * turns, SystemTime::now()))
}

fn written(directory: &Path, turns: u32) -> RunFile {
    let (board, collected) = scripted(directory, turns, 1);
    let run = RunFile::new(&board, &collected, serde_json::json!({ "password": "***" }));
    write(directory, &run, &collected).expect("written");
    run
}

#[test]
fn a_run_leaves_the_promised_files_and_members() {
    let directory = tempfile::tempdir().expect("a directory");
    written(directory.path(), 20);
    let mut names: Vec<String> = fs::read_dir(directory.path())
        .expect("lists")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "latency-end_to_end.hgrm",
            "latency-relay.end_to_end.hgrm",
            "latency-relay.request.hgrm",
            "latency-request.hgrm",
            "latency.hlog",
            "report.html",
            "run.json"
        ]
    );

    let text = fs::read(directory.path().join("run.json")).expect("reads");
    let run: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    let relay = &run["pipelines"]["relay"];
    let sums = ["consumed", "delivered", "superseded", "dropped", "dead_lettered", "redirected", "rewound", "open"]
        .map(|name| relay[name].as_u64());
    assert_eq!(sums, [Some(20_000), Some(19_980), Some(0), Some(0), Some(20), Some(0), Some(0), Some(0)]);
    assert_eq!((&relay["conserved"], &run["conserved"]), (&true.into(), &true.into()));
    assert_eq!(relay["records_per_second"].as_f64(), Some(4_000.0));
    assert_eq!(relay["rejects"]["missing"], 20);
    assert_eq!(relay["percentiles"]["end_to_end"]["count"], 20_000);
    assert!(run["machine"]["cores"].as_u64() >= Some(1) && run["versions"]["librdkafka"] == "2.12");
    assert!(
        run["cpu_seconds"].is_number() && run["peak_memory_bytes"].is_number() && run["settings"]["password"] == "***"
    );

    let hlog = fs::read_to_string(directory.path().join("latency.hlog")).expect("reads");
    assert_eq!(hlog.lines().filter(|line| line.starts_with("Tag=relay.end_to_end,")).count(), 5, "{hlog}");
}

#[test]
fn what_was_written_reads_back_the_same() {
    let directory = tempfile::tempdir().expect("a directory");
    let run = written(directory.path(), 8);
    let expected = serde_json::to_value(&run).expect("JSON");
    for path in [directory.path().to_owned(), directory.path().join("run.json")] {
        let back = serde_json::to_value(read(&path).expect("reads")).expect("JSON");
        assert!(back == expected, "{back}\n{expected}");
    }
}

#[test]
fn errors_name_the_file_and_what_to_do() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("run.json");
    let message = |path: &Path| read(path).expect_err("fails").to_string();
    assert!(message(directory.path()).contains("failed to read") && message(&path).contains("run.json"));
    fs::write(&path, "{\"format\": 1}").expect("writes");
    assert!(message(&path).contains("failed to understand") && message(&path).contains("missing field"));
    let mut run = serde_json::to_value(written(directory.path(), 4)).expect("JSON");
    run["format"] = 99.into();
    fs::write(&path, run.to_string()).expect("writes");
    assert!(message(&path).contains("format 99 is newer than 1"));
    let error = open_log(&path.join("below")).err().expect("a file is no directory");
    assert!(error.to_string().starts_with("failed to write"), "{error}");
}

#[test]
fn the_page_is_self_contained_and_well_formed() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut run = written(directory.path(), 20);
    let relay = run.pipelines.remove("relay").expect("there");
    run.pipelines.insert("<script>alert(1)</script>".into(), relay);
    let page = html::page(&run);
    for foreign in ["<script", "http://", "https://", "src=", "@import", "NaN", "inf "] {
        let page = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!page.contains(foreign), "{foreign}");
    }
    assert_eq!(page.matches("<svg").count(), 4 + 2, "four charts of relay, throughput and open of index");
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    assert_eq!(page.matches("<section").count(), page.matches("</section>").count());
}

#[test]
fn two_runs_are_compared_percentile_by_percentile() {
    let directory = tempfile::tempdir().expect("a directory");
    let run = |slower| {
        let (board, collected) = scripted(directory.path(), 8, slower);
        RunFile::new(&board, &collected, serde_json::Value::Null)
    };
    let (first, second) = (run(1), run(3));
    let both = compare::compare(&first, &second);
    assert_eq!(both.unmatched, Vec::<String>::new());
    let relay = &both.pipelines["relay"];
    assert_eq!(relay.stages.iter().map(|(stage, _)| stage.as_str()).collect::<Vec<_>>(), ["request", "end_to_end"]);
    for (stage, rows) in &relay.stages {
        assert_eq!(rows.len(), 7, "{stage}");
        assert!(rows.iter().all(|row| row.ratio.is_some_and(|ratio| (ratio - 3.0).abs() < 0.02)), "{stage}: {rows:?}");
    }
    assert_eq!(relay.figures[0].ratio, Some(1.0));

    let mut renamed = second.clone();
    let moved = renamed.pipelines.remove("relay").expect("there");
    renamed.pipelines.insert("other".into(), moved);
    assert_eq!(compare::compare(&first, &renamed).unmatched, ["relay", "other"]);
    let text = text::comparison(&both);
    assert!(text.contains("p99.9") && text.contains("3.000") && text.contains("end_to_end"), "{text}");
}
