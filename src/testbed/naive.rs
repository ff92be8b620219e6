//! The simplest thing that does what the two pipelines do, and makes mistakes when told to: what proves that the checks
//! find them. One thread a pipeline, no batches, no commits.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use serde_json::{Map, Value};

/// A mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// None.
    Nothing,
    /// A record of the output is left out.
    LoseOutput,
    /// A record of the output is written twice.
    RepeatOutput,
    /// A blank is added to a record of the output.
    ChangeOutput,
    /// A record of the output is written after the next one of its key.
    SwapOutput,
    /// Some documents are not written.
    LoseDocument,
    /// Documents are not enriched.
    NoLookup,
    /// The first pipeline stops working without a word.
    GoSilent,
}

/// The record, by its place in partition 0, that a mistake hits.
const HIT: i64 = 40;

/// The documents written, by id.
pub type NaiveDocuments = Arc<Mutex<HashMap<String, Map<String, Value>>>>;

/// Finds the JSON text for a look-up key.
pub type LookUp = Box<dyn FnMut(&str) -> Option<Bytes> + Send>;

/// What a naive engine reads and writes.
pub struct Wiring {
    /// Brokers of the input.
    pub upstream: String,
    /// Brokers of the output.
    pub downstream: String,
    /// Input topics: of the relay, of the index.
    pub inputs: [&'static str; 2],
    /// Output topic of the relay.
    pub output: &'static str,
    /// Partitions of each input topic.
    pub partitions: i32,
    /// Where the second pipeline puts its documents.
    pub documents: NaiveDocuments,
    /// Its look-up.
    pub look_up: LookUp,
}

/// A running naive engine.
pub struct NaiveEngine {
    positions: Arc<BTreeMap<(&'static str, i32), AtomicI64>>,
    done: [Arc<AtomicU64>; 2],
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// Locks what no thread has left poisoned.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("unpoisoned")
}

impl NaiveEngine {
    /// Starts both pipelines.
    pub fn start(wiring: Wiring, plant: Plant) -> Self {
        let Wiring { upstream, downstream, inputs, output, partitions, documents, look_up } = wiring;
        let keys = inputs.into_iter().flat_map(|topic| (0..partitions).map(move |partition| (topic, partition)));
        let positions = Arc::new(keys.map(|key| (key, AtomicI64::new(0))).collect::<BTreeMap<_, _>>());
        let mut engine = Self { positions, done: Default::default(), stop: Arc::default(), threads: Vec::new() };
        let producer: BaseProducer = client(&downstream).create().expect("a producer");
        engine.spawn(&upstream, inputs[0], partitions, 0, relay(producer, output, plant));
        engine.spawn(&upstream, inputs[1], partitions, 1, index(look_up, documents, plant));
        engine
    }

    /// Positions, to be asked from anywhere.
    pub fn position(&self) -> impl Fn(&str, i32) -> Option<i64> + Send + Sync + 'static {
        let positions = self.positions.clone();
        move |topic, partition| {
            let mut found = positions.iter().filter(|((t, p), _)| *t == topic && *p == partition);
            found.next().map(|(_, position)| position.load(Ordering::Acquire))
        }
    }

    /// Stops it when set.
    pub fn stop_switch(&self) -> Arc<AtomicBool> {
        self.stop.clone()
    }

    /// Waits for its threads; the records each pipeline did.
    pub fn join(self) -> [u64; 2] {
        self.threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
        self.done.map(|done| done.load(Ordering::Acquire))
    }

    fn spawn(
        &mut self,
        brokers: &str,
        topic: &'static str,
        partitions: i32,
        pipeline: usize,
        mut work: impl FnMut(i32, i64, &[u8], &[u8]) -> bool + Send + 'static,
    ) {
        let consumer: BaseConsumer = client(brokers).create().expect("a consumer");
        let mut assignment = TopicPartitionList::new();
        for partition in 0..partitions {
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
                positions[&(topic, message.partition())].store(message.offset() + 1, Ordering::Release);
            }
        }));
    }
}

fn client(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", "naive").set("fetch.wait.max.ms", "10");
    config.set("linger.ms", "1").set("partitioner", "murmur2_random").set("enable.auto.commit", "false");
    config
}

fn relay(
    producer: BaseProducer,
    output: &'static str,
    plant: Plant,
) -> impl FnMut(i32, i64, &[u8], &[u8]) -> bool + Send + 'static {
    let mut held: Option<(Vec<u8>, Vec<u8>)> = None;
    move |partition, offset, key, value| {
        let parsed: BTreeMap<&str, &serde_json::value::RawValue> = serde_json::from_slice(value).expect("JSON");
        let mut result = parsed["result"].get().as_bytes().to_vec();
        let hit = partition == 0 && offset == HIT;
        let send = |key: &[u8], value: &[u8]| {
            producer.send(BaseRecord::to(output).key(key).payload(value)).map_err(|(e, _)| e).expect("taken");
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
    mut look_up: LookUp,
    documents: NaiveDocuments,
    plant: Plant,
) -> impl FnMut(i32, i64, &[u8], &[u8]) -> bool + Send + 'static {
    move |partition, offset, key, value| {
        let mut value: Value = serde_json::from_slice(value).expect("JSON");
        let mut result = value["result"].take();
        let user = format!("user:{}", result["user"].as_str().expect("a user"));
        if let (Some(json), false) = (look_up(&user), plant == Plant::NoLookup) {
            result["user_info"] = serde_json::from_slice::<Value>(&json).expect("JSON");
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
