use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList, consumer::BaseConsumer, consumer::Consumer};
use serde_json::{Map, Value};

use super::machinery::{Ending, Endpoint, PATIENCE, PositionOf, Running, Tally};
use super::plan::{INDEX, INDEX_TOPIC, OUTPUT_TOPIC, PARTITIONS, RELAY, RELAY_TOPIC};
use super::*;
use crate::config::plan::{Plan, SinkPlan};
use crate::enrich::{Enricher, Found, Lookups};
use crate::telemetry::latency::Stage;

/// Faults planted into the naive engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plant {
    Nothing,
    LoseOutput,
    RepeatOutput,
    ChangeOutput,
    SwapOutput,
    LoseDocument,
    NoLookup,
    WrongSum,
    LeaveOpen,
    Halt,
    GoSilent,
}

/// The record (by its place in its partition) a fault hits.
const HIT: i64 = 40;

type Documents = Arc<Mutex<HashMap<String, Map<String, Value>>>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("unpoisoned")
}

/// The simplest thing that does what the two pipelines do: one thread each, no batches, no commits.
struct NaiveEngine {
    positions: Arc<BTreeMap<(String, i32), AtomicI64>>,
    done: [Arc<AtomicU64>; 2],
    stop: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl NaiveEngine {
    fn start(plan: &Plan, lookups: &Arc<Lookups>, documents: &Documents, plant: Plant) -> Self {
        let keys = [RELAY_TOPIC, INDEX_TOPIC].into_iter().flat_map(|t| (0..PARTITIONS).map(move |p| (t.to_owned(), p)));
        let positions = Arc::new(keys.map(|key| (key, AtomicI64::new(0))).collect::<BTreeMap<_, _>>());
        let mut engine = Self {
            positions,
            done: Default::default(),
            stop: Arc::default(),
            ended: Arc::default(),
            threads: Vec::new(),
        };
        let brokers = plan.pipelines[0].source.connection.brokers.join(",");
        let SinkPlan::Kafka(sink) = &plan.pipelines[0].sink else { panic!("a Kafka sink") };
        let producer: BaseProducer = client(&sink.connection.brokers.join(",")).create().expect("a producer");
        engine.spawn(&brokers, RELAY_TOPIC, 0, relay(producer, plant));
        engine.spawn(&brokers, INDEX_TOPIC, 1, index(lookups.clone(), documents.clone(), plant));
        engine.ended.store(plant == Plant::Halt, Ordering::Release);
        engine
    }

    fn spawn(
        &mut self,
        brokers: &str,
        topic: &'static str,
        pipeline: usize,
        mut work: impl FnMut(i32, i64, &[u8], &[u8]) -> bool + Send + 'static,
    ) {
        let consumer: BaseConsumer = client(brokers).create().expect("a consumer");
        let mut assignment = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            assignment.add_partition_offset(topic, partition, Offset::Offset(0)).expect("added");
        }
        consumer.assign(&assignment).expect("assigned");
        let (stop, done, positions) = (self.stop.clone(), self.done[pipeline].clone(), self.positions.clone());
        self.threads.push(std::thread::spawn(move || {
            while !stop.load(Ordering::Acquire) {
                let Some(Ok(message)) = consumer.poll(Duration::from_millis(10)) else { continue };
                let (key, value) = (message.key().expect("a key"), message.payload().expect("a value"));
                if !work(message.partition(), message.offset(), key, value) {
                    return;
                }
                done.fetch_add(1, Ordering::AcqRel);
                positions[&(topic.to_owned(), message.partition())].store(message.offset() + 1, Ordering::Release);
            }
        }));
    }

    fn running(self, plant: Plant) -> Running {
        let positions = self.positions.clone();
        let position: PositionOf = Arc::new(move |_, topic, partition| {
            positions.get(&(topic.to_owned(), partition)).map(|position| position.load(Ordering::Acquire))
        });
        let (stop, ended) = (self.stop.clone(), self.ended.clone());
        Running {
            position,
            ended: Box::new(move || ended.load(Ordering::Acquire)),
            stop: Box::new(move || stop.store(true, Ordering::Release)),
            join: Box::new(move || {
                self.threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
                ending(self.done.map(|done| done.load(Ordering::Acquire)), plant)
            }),
        }
    }
}

fn ending(done: [u64; 2], plant: Plant) -> Ending {
    let tally = |name: &str, done| Tally { name: name.into(), consumed: done, delivered: done, ..Tally::default() };
    let mut tallies = vec![tally(RELAY, done[0]), tally(INDEX, done[1])];
    tallies[0].consumed += u64::from(plant == Plant::WrongSum);
    if plant == Plant::LeaveOpen {
        tallies[1].consumed += 1;
        tallies[1].open += 1;
    }
    let halted = plant == Plant::Halt;
    let mut histogram = hdrhistogram::Histogram::new(3).expect("a histogram");
    histogram.record_n(2_000, done[0]).expect("recorded");
    Ending {
        exit: if halted { Exit::Protocol } else { Exit::Done },
        halt: halted.then(|| "the server does not know _bulk".to_owned()),
        tallies,
        latencies: vec![machinery::StageLatency { pipeline: RELAY.into(), stage: Stage::EndToEnd, histogram }],
        run_file: serde_json::json!({ "version": 1 }),
    }
}

fn client(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", "naive").set("fetch.wait.max.ms", "10");
    config.set("linger.ms", "1").set("partitioner", "murmur2_random").set("enable.auto.commit", "false");
    config
}

fn relay(producer: BaseProducer, plant: Plant) -> impl FnMut(i32, i64, &[u8], &[u8]) -> bool + Send + 'static {
    let mut held: Option<(Vec<u8>, Vec<u8>)> = None;
    move |partition, offset, key, value| {
        let parsed: BTreeMap<&str, &serde_json::value::RawValue> = serde_json::from_slice(value).expect("JSON");
        let mut result = parsed["result"].get().as_bytes().to_vec();
        let hit = partition == 0 && offset == HIT;
        let send = |key: &[u8], value: &[u8]| {
            producer.send(BaseRecord::to(OUTPUT_TOPIC).key(key).payload(value)).map_err(|(e, _)| e).expect("taken");
        };
        if plant == Plant::GoSilent && partition == 0 && offset >= HIT {
            return false;
        }
        if hit && plant == Plant::ChangeOutput {
            result.push(b' ');
        }
        let copies = match (hit, plant) {
            (true, Plant::LoseOutput | Plant::SwapOutput) => 0,
            (true, Plant::RepeatOutput) => 2,
            (_, _) => 1,
        };
        (0..copies).for_each(|_| send(key, &result));
        if hit && plant == Plant::SwapOutput {
            held = Some((key.to_vec(), result));
        }
        if let Some((first, value)) = held.take_if(|(first, _)| first == key && !hit) {
            send(&first, &value);
        }
        producer.poll(Duration::ZERO);
        let end = Instant::now() + Duration::from_secs(10);
        while producer.in_flight_count() > 1_000 {
            assert!(Instant::now() < end, "delivered");
            producer.poll(Duration::ZERO);
            std::thread::park_timeout(Duration::from_millis(1));
        }
        true
    }
}

fn index(
    lookups: Arc<Lookups>,
    documents: Documents,
    plant: Plant,
) -> impl FnMut(i32, i64, &[u8], &[u8]) -> bool + Send + 'static {
    let mut enricher = Enricher::new(lookups);
    let mut found = Vec::new();
    move |partition, offset, key, value| {
        let mut value: Value = serde_json::from_slice(value).expect("JSON");
        let mut result = value["result"].take();
        let user = format!("user:{}", result["user"].as_str().expect("a user"));
        enricher.resolve(0, &[user.as_bytes()], &|| true, &mut found).expect("resolved");
        if let (Some(Found::Json(json)), false) = (found.first(), plant == Plant::NoLookup) {
            result["user_info"] = serde_json::from_slice::<Value>(&Bytes::clone(json)).expect("JSON");
        }
        if plant == Plant::LoseDocument && partition == 0 && offset < HIT {
            return true;
        }
        let id = String::from_utf8_lossy(key).into_owned();
        let mut documents = lock(&documents);
        merge(documents.entry(id).or_default(), result);
        true
    }
}

fn merge(old: &mut Map<String, Value>, new: Value) {
    let Value::Object(new) = new else { panic!("an object") };
    for (name, value) in new {
        match old.get_mut(&name) {
            Some(Value::Object(inner)) if value.is_object() => merge(inner, value),
            _ => drop(old.insert(name, value)),
        }
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

fn play(line: &[&str], plant: Plant) -> (Exit, String) {
    let documents: Documents = Arc::default();
    let engine = |plan: Plan, lookups: Arc<Lookups>, _: &Path| {
        Ok(NaiveEngine::start(&plan, &lookups, &documents, plant).running(plant))
    };
    let endpoint = || {
        let (by_id, all) = (documents.clone(), documents.clone());
        Ok(Endpoint {
            url: "http://127.0.0.1:1".into(),
            document: Box::new(move |index, id| {
                let documents = lock(&by_id);
                (index == plan::INDEX_NAME).then(|| serde_json::to_vec(documents.get(id)?).ok()).flatten()
            }),
            count: Box::new(move |_| lock(&all).len() as u64),
        })
    };
    let patience = if plant == Plant::Nothing { PATIENCE } else { Duration::from_secs(3) };
    let mut out = Vec::new();
    let exit = run(&arguments(line), Machinery { engine: &engine, endpoint: &endpoint, patience }, &mut out);
    (exit, String::from_utf8(out).expect("UTF-8"))
}

#[test]
fn a_correct_engine_passes_and_the_account_is_printed() {
    let (exit, text) = play(&["--records", "6000"], Plant::Nothing);
    assert_eq!(exit, Exit::Done, "{text}");
    assert!(text.contains("consumed 6000 = delivered 6000"), "{text}");
    assert!(text.contains("6000 of 6000 records verified, 0 missing"), "{text}");
    assert!(text.contains("0 missing, 0 different, 0 that must not exist"), "{text}");
    assert!(text.contains("end_to_end"), "{text}");
}

#[test]
fn json_is_one_object_with_the_run_file_s_members_and_seconds_bound_the_feeding() {
    let started = Instant::now();
    let (exit, text) = play(&["--seconds", "1", "--format", "json", "--value-bytes", "300"], Plant::Nothing);
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
    let table = [
        (Plant::LoseOutput, "the output topic is wrong"),
        (Plant::RepeatOutput, "1 repeated"),
        (Plant::ChangeOutput, "nobody fed this"),
        (
            Plant::SwapOutput,
            "600 of 600 records verified, 0 missing, 0 repeated, 0 unexpected, 2 out of order, 1 keys left in the wrong order",
        ),
        (Plant::LoseDocument, "the documents are wrong"),
        (Plant::NoLookup, "user_info"),
        (Plant::WrongSum, "were read, but"),
        (Plant::LeaveOpen, "left open"),
        (Plant::Halt, "does not know _bulk"),
        (Plant::GoSilent, "nothing moved"),
    ];
    for (plant, words) in table {
        // Few keys only where a key must come again soon: elsewhere a later record would hide a lost document.
        let keys = if plant == Plant::SwapOutput { "20" } else { "50000" };
        let (exit, text) = play(&["--records", "600", "--keys", keys], plant);
        let expected = if plant == Plant::Halt { Exit::Protocol } else { Exit::Failure };
        assert_eq!(exit, expected, "{plant:?}: {text}");
        assert!(text.contains("WRONG") && text.contains(words), "{plant:?} lacks {words:?}: {text}");
        assert!(!text.contains("everything that came out is what was generated"), "{plant:?}: {text}");
    }
}

#[test]
fn parts_that_do_not_start_end_the_demo_with_a_failure() {
    let engine = |_: Plan, _: Arc<Lookups>, _: &Path| Err("no engine".to_owned());
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
