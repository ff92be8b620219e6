//! The in-process cluster: what it stores, answers and forgets.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::BaseRecord;

use super::*;
use crate::testbed::generator::{Generator, GeneratorScratch, LoadShape, murmur2};
use crate::testbed::tap::Tap;

/// Bytes a partition keeps before its oldest batches are dropped without a word (librdkafka's constant, no API).
const PARTITION_LIMIT_BYTES: usize = 5 * 1024 * 1024;

const DEADLINE: Duration = Duration::from_secs(30);

fn until(what: &str, done: impl Fn() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < end, "not within {DEADLINE:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

fn producer(kafka: &MockKafka) -> BaseProducer {
    ClientConfig::new()
        .set("bootstrap.servers", kafka.brokers())
        .set("partitioner", "murmur2_random")
        .set("linger.ms", "1")
        .set("retry.backoff.ms", "10")
        .set("reconnect.backoff.ms", "10")
        .set("reconnect.backoff.max.ms", "50")
        .set_log_level(RDKafkaLogLevel::Critical)
        .create()
        .expect("a producer")
}

fn flush(producer: &BaseProducer) {
    until("all delivered", || {
        producer.poll(Duration::ZERO);
        producer.in_flight_count() == 0
    });
}

type Line = (i32, Vec<u8>);

fn tap(kafka: &MockKafka, topic: &str, partitions: i32) -> (Tap, Arc<Mutex<Vec<Line>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = seen.clone();
    let tap = Tap::start(kafka.brokers(), topic, partitions, move |message| {
        let key = message.key().unwrap_or_default().to_vec();
        sink.lock().expect("unpoisoned").push((message.partition(), key));
    });
    (tap.expect("a tap"), seen)
}

/// Produce, consume, and agreement on partitions with librdkafka's own `murmur2_random`.
#[test]
fn what_is_produced_is_consumed_from_the_partition_the_generator_says() {
    let kafka = MockKafka::start(&[("in", 7)]).expect("a cluster");
    let producer = producer(&kafka);
    let generator = Generator::new(LoadShape { keys: 0, value_bytes: 128, ..LoadShape::default() });
    let mut scratch = GeneratorScratch::default();
    for index in 0..500 {
        let record = generator.record(index, &mut scratch);
        let message = BaseRecord::to("in").key(record.key.expect("a key")).payload(record.value.expect("a value"));
        producer.send(message).map_err(|(error, _)| error).expect("taken");
    }
    flush(&producer);
    let (tap, seen) = tap(&kafka, "in", 7);
    until("500 records", || seen.lock().expect("unpoisoned").len() >= 500);
    tap.stop();
    let seen = seen.lock().expect("unpoisoned");
    assert_eq!(seen.iter().map(|(_, key)| key).collect::<BTreeSet<_>>().len(), 500);
    for (partition, key) in seen.iter() {
        assert_eq!(murmur2::partition(key, 7), *partition, "{}", String::from_utf8_lossy(key));
    }
}

#[test]
fn a_group_joins_without_the_three_seconds_of_the_mock() {
    let kafka = MockKafka::start(&[("in", 3)]).expect("a cluster");
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", kafka.brokers())
        .set("group.id", "g")
        .set("session.timeout.ms", "6000")
        .create()
        .expect("a consumer");
    let started = Instant::now();
    consumer.subscribe(&["in"]).expect("subscribed");
    until("an assignment", || {
        let _ = consumer.poll(Duration::from_millis(10));
        consumer.assignment().is_ok_and(|assignment| assignment.count() == 3)
    });
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

/// Each fault makes itself felt, and after it everything still arrives. A lost answer may double a record, no more.
#[test]
fn faults_are_felt_and_survived() {
    let kafka = MockKafka::start_with_brokers(2, &[("in", 1)]).expect("a cluster");
    let producer = producer(&kafka);
    let send = |key: &str| {
        producer.send(BaseRecord::to("in").key(key).payload("x")).map_err(|(error, _)| error).expect("taken");
        producer.poll(Duration::ZERO);
    };
    let (tap, seen) = tap(&kafka, "in", 1);
    let keys = || seen.lock().expect("unpoisoned").iter().map(|(_, key)| key.clone()).collect::<BTreeSet<_>>();
    send("a");
    until("a", || keys().len() == 1);

    kafka
        .fail_requests(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION; 2])
        .expect("scripted");
    send("b");
    until("b", || keys().len() == 2);

    kafka.take_down(-1).expect("down");
    send("c");
    std::thread::park_timeout(Duration::from_millis(300));
    assert!(!keys().contains(b"c".as_slice()), "a broker that is down takes nothing");
    kafka.bring_up(-1).expect("up");
    until("c", || keys().len() == 3);

    kafka.move_leader("in", 0, Some(2)).expect("moved");
    kafka.move_coordinator("g", 2).expect("moved");
    kafka.set_round_trip(-1, Duration::from_millis(150)).expect("slow");
    let sent = Instant::now();
    send("d");
    until("d", || keys().len() == 4);
    assert!(sent.elapsed() >= Duration::from_millis(100), "{:?}", sent.elapsed());
    tap.stop();
    assert!(kafka.take_down(77).is_err(), "there is no broker 77");
}

/// The limit this module warns of is real: were it gone, the feeder's window would be needless.
#[test]
fn a_partition_silently_forgets_beyond_its_limit() {
    let kafka = MockKafka::start(&[("in", 1)]).expect("a cluster");
    let producer = producer(&kafka);
    let value = vec![b'x'; 100_000];
    for _ in 0..80 {
        producer.send(BaseRecord::<(), _>::to("in").payload(&value)).map_err(|(error, _)| error).expect("taken");
    }
    flush(&producer);
    let (low, high) = producer.client().fetch_watermarks("in", 0, DEADLINE).expect("watermarks");
    assert_eq!(high, 80);
    assert!(low > 0 && (high - low) as usize * value.len() <= PARTITION_LIMIT_BYTES, "{low}..{high}");
}
