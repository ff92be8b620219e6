//! The demo over engines with planted mistakes: it must notice each.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::*;
use crate::cli::builtin::{self, INDEX, INDEX_TOPIC, OUTPUT_TOPIC, PARTITIONS, RELAY, RELAY_TOPIC};
use crate::cli::machinery::{self, BulkServer, EngineEnding, Order, PATIENCE, PositionOf, RunningEngine};
use crate::config::plan::{Plan, SinkPlan};
use crate::enrich::{Enricher, Found, Lookups};
use crate::model::Conservation;
use crate::pipeline::PipelineTally;
use crate::telemetry::latency::Stage;
use crate::testbed::naive::{LookUp, NaiveDocuments, NaiveEngine, Plant, Wiring, lock};

/// A lie in the engine's own account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    None,
    WrongSum,
    LeftOpen,
    Halted,
}

fn start(plan: &Plan, lookups: &Arc<Lookups>, documents: &NaiveDocuments, plant: Plant, lie: Lie) -> RunningEngine {
    let SinkPlan::Kafka(sink) = &plan.pipelines[0].sink else { panic!("a Kafka sink") };
    let wiring = Wiring {
        upstream: plan.pipelines[0].source.connection.brokers.join(","),
        downstream: sink.connection.brokers.join(","),
        inputs: [RELAY_TOPIC, INDEX_TOPIC],
        output: OUTPUT_TOPIC,
        partitions: PARTITIONS,
        documents: documents.clone(),
        look_up: look_up(lookups.clone()),
    };
    let engine = NaiveEngine::start(wiring, plant);
    let (position, stop) = (engine.position(), engine.stop_switch());
    let position: PositionOf = Arc::new(move |_, topic, partition| position(topic, partition));
    RunningEngine {
        position,
        ended: Box::new(move || lie == Lie::Halted),
        measure: Box::new(|| ()),
        resolved: Box::new(|| 0),
        stop: Box::new(move || stop.store(true, Ordering::Release)),
        join: Box::new(move || ending(engine.join(), lie)),
    }
}

fn look_up(lookups: Arc<Lookups>) -> LookUp {
    let mut enricher = Enricher::new(lookups);
    let mut found = Vec::new();
    Box::new(move |key| {
        enricher.resolve(0, &[key.as_bytes()], &|| true, &mut found).expect("resolved");
        match found.first() {
            Some(Found::Json(json)) => Some(json.to_vec().into()),
            Some(Found::Miss | Found::Unavailable) | None => None,
        }
    })
}

fn ending(done: [u64; 2], lie: Lie) -> EngineEnding {
    let tally = |name: &str, done| PipelineTally {
        name: name.into(),
        tally: Conservation { consumed: done, delivered: done, ..Conservation::default() },
    };
    let mut tallies = vec![tally(RELAY, done[0]), tally(INDEX, done[1])];
    tallies[0].tally.consumed += u64::from(lie == Lie::WrongSum);
    if lie == Lie::LeftOpen {
        tallies[1].tally.consumed += 1;
        tallies[1].tally.open += 1;
    }
    let halted = lie == Lie::Halted;
    let mut histogram = hdrhistogram::Histogram::new(3).expect("a histogram");
    histogram.record_n(2_000, done[0]).expect("recorded");
    EngineEnding {
        exit: if halted { Exit::Protocol } else { Exit::Done },
        halt: halted.then(|| "the server does not know _bulk".to_owned()),
        tallies,
        latencies: vec![machinery::StageLatency { pipeline: RELAY.into(), stage: Stage::EndToEnd, histogram }],
        run_file: serde_json::json!({ "version": 1 }),
    }
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

fn play(line: &[&str], plant: Plant, lie: Lie) -> (Exit, String) {
    let documents: NaiveDocuments = Arc::default();
    let engine = |order: Order| {
        let lookups = order.lookups.expect("from memory");
        Ok(start(&order.plan, &lookups, &documents, plant, lie))
    };
    let endpoint = || {
        let (by_id, all) = (documents.clone(), documents.clone());
        Ok(BulkServer {
            url: "http://127.0.0.1:1".into(),
            document: Box::new(move |index, id| {
                let documents = lock(&by_id);
                (index == builtin::INDEX_NAME).then(|| serde_json::to_vec(documents.get(id)?).ok()).flatten()
            }),
            count: Box::new(move |_| lock(&all).len() as u64),
        })
    };
    let patience = if (plant, lie) == (Plant::Nothing, Lie::None) { PATIENCE } else { Duration::from_secs(3) };
    let mut out = Vec::new();
    let exit = run(&arguments(line), Machinery { engine: &engine, endpoint: &endpoint, patience }, &mut out);
    (exit, String::from_utf8(out).expect("UTF-8"))
}

#[test]
fn a_correct_engine_passes_and_the_account_is_printed() {
    let (exit, text) = play(&["--records", "6000"], Plant::Nothing, Lie::None);
    assert_eq!(exit, Exit::Done, "{text}");
    assert!(text.contains("consumed 6000 = delivered 6000"), "{text}");
    assert!(text.contains("6000 of 6000 records verified, 0 missing"), "{text}");
    assert!(text.contains("0 missing, 0 different, 0 that must not exist"), "{text}");
    assert!(text.contains("end_to_end"), "{text}");
}

#[test]
fn json_is_one_object_with_the_run_file_s_members_and_seconds_bound_the_feeding() {
    let started = Instant::now();
    let (exit, text) = play(&["--seconds", "1", "--format", "json", "--value-bytes", "300"], Plant::Nothing, Lie::None);
    assert_eq!(exit, Exit::Done, "{text}");
    assert!(started.elapsed() < Duration::from_secs(60));
    let object: Value = serde_json::from_str(&text).expect("one JSON object");
    assert_eq!(object["version"], 1);
    assert_eq!(object["demo"]["correct"], true);
    let fed = object["demo"]["pipelines"][0]["fed"].as_u64().expect("a number");
    assert!(fed > 100 && object["demo"]["output"]["verified"] == fed, "{text}");
}

/// Whatever an engine does wrong, the demo must not exit 0, and must say what it was.
#[test]
fn every_planted_fault_fails_the_demo() {
    let honest = |plant, words| (plant, Lie::None, words);
    let lying = |lie, words| (Plant::Nothing, lie, words);
    let table = [
        honest(Plant::LoseOutput, "the output topic is wrong"),
        honest(Plant::RepeatOutput, "1 repeated"),
        honest(Plant::ChangeOutput, "nobody fed this"),
        honest(
            Plant::SwapOutput,
            "600 of 600 records verified, 0 missing, 0 repeated, 0 unexpected, 2 out of order, 1 keys",
        ),
        honest(Plant::LoseDocument, "the documents are wrong"),
        honest(Plant::NoLookup, "user_info"),
        honest(Plant::GoSilent, "nothing moved"),
        lying(Lie::WrongSum, "were read, but"),
        lying(Lie::LeftOpen, "left open"),
        lying(Lie::Halted, "does not know _bulk"),
    ];
    for (plant, lie, words) in table {
        // Few keys only where a key must come again soon: elsewhere a later record would hide a lost document.
        let keys = if plant == Plant::SwapOutput { "20" } else { "50000" };
        let (exit, text) = play(&["--records", "600", "--keys", keys], plant, lie);
        let expected = if lie == Lie::Halted { Exit::Protocol } else { Exit::Failure };
        assert_eq!(exit, expected, "{plant:?} {lie:?}: {text}");
        assert!(text.contains("WRONG") && text.contains(words), "{plant:?} {lie:?} lacks {words:?}: {text}");
        assert!(!text.contains("everything that came out is what was generated"), "{plant:?} {lie:?}: {text}");
    }
}

#[test]
fn parts_that_do_not_start_end_the_demo_with_a_failure() {
    let engine = |_: Order| Err("no engine".to_owned());
    let endpoint = || Err("no port".to_owned());
    let machinery = Machinery { engine: &engine, endpoint: &endpoint, patience: PATIENCE };
    assert_eq!(run(&arguments(&["--records", "10"]), machinery, &mut Vec::new()), Exit::Failure);
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
