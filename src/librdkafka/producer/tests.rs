//! The producer against the mock cluster. Memory is checked with valgrind, which needs the test binary cargo names:
//! `cargo test --lib --no-run`, then
//! `valgrind --error-exitcode=9 --leak-check=full <binary> librdkafka::producer --test-threads=1`.
//! The only losses are one queue handle for each client of rust-rdkafka (`rd_kafka_queue_new0` below
//! `rdkafka::client::Client::new`): the mock clusters and readers of these tests.

use std::time::Instant;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::message::{Span, append_header};
use super::*;

const TOPIC: &str = "out";

type Cluster = MockCluster<'static, DefaultProducerContext>;

fn cluster(partitions: i32) -> Cluster {
    let cluster = MockCluster::new(1).expect("mock cluster");
    cluster.create_topic(TOPIC, partitions, 1).expect("topic");
    cluster
}

/// A producer, the wake-ups of its hook, and what it was told.
struct Bench {
    producer: Producer,
    woken: flume::Receiver<()>,
    reports: Vec<DeliveryReport>,
    events: Vec<ClientEvent>,
}

impl Bench {
    fn open(cluster: &Cluster, more: &[(&str, &str)]) -> Self {
        let brokers = cluster.bootstrap_servers();
        let base = [
            ("bootstrap.servers", brokers.as_str()),
            ("enable.idempotence", "true"),
            ("message.timeout.ms", "0"),
            ("linger.ms", "1"),
        ];
        let (wake, woken) = flume::bounded(1);
        let producer = Producer::open(base.into_iter().chain(more.iter().copied()), move || {
            let _ = wake.try_send(());
        });
        Self { producer: producer.expect("opens"), woken, reports: Vec::new(), events: Vec::new() }
    }

    /// Serves until `count` reports are there; waits only on the hook, so a hook that does not fire fails the test.
    fn await_reports(&mut self, count: usize) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.reports.len() < count {
            self.woken.recv_deadline(deadline).expect("the hook wakes us before the deadline");
            self.producer.serve(&mut self.reports, &mut self.events);
        }
    }

    fn close(self) {
        assert!(self.producer.close(Duration::from_secs(10)), "closes in time");
    }
}

/// A payload of records `value-N` with keys `key-N`, and their messages.
fn records(count: usize) -> (Vec<u8>, Vec<Message>) {
    let mut payload = Vec::new();
    let messages = (0..count)
        .map(|index| {
            let value = append(&mut payload, format!("value-{index}").as_bytes());
            let key = append(&mut payload, format!("key-{}", index % 7).as_bytes());
            Message { value: Some(value), key: Some(key), headers: None, timestamp_ms: None }
        })
        .collect();
    (payload, messages)
}

fn append(payload: &mut Vec<u8>, bytes: &[u8]) -> Span {
    let start = payload.len();
    payload.extend_from_slice(bytes);
    Span::since(start, payload).expect("small")
}

type Read = (i32, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>, Option<i64>);

/// Reads `count` records back, in the order of each partition.
fn read_back(cluster: &Cluster, partitions: i32, count: usize) -> Vec<Read> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("group.id", "reader")
        .set("fetch.wait.max.ms", "10")
        .create()
        .expect("consumer");
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(TOPIC, partition, Offset::Beginning).expect("valid");
    }
    consumer.assign(&list).expect("assigns");
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut read = Vec::new();
    while read.len() < count && Instant::now() < deadline {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        let message = message.expect("no error");
        let headers = message.headers().map_or_else(Vec::new, |headers| {
            headers.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect()
        });
        let (key, value) = (message.key().map(<[u8]>::to_vec), message.payload().map(<[u8]>::to_vec));
        read.push((message.partition(), key, value, headers, message.timestamp().to_millis()));
    }
    read
}

#[test]
fn every_message_is_reported_once_and_arrives_in_order() {
    let cluster = cluster(4);
    let mut bench = Bench::open(&cluster, &[("partitioner", "murmur2_random")]);
    let count = 2_500;
    let (payload, messages) = records(count);
    let buffer = bench.producer.lend(payload);
    let mut refused = Vec::new();
    let taken = bench.producer.produce(TOPIC, buffer, 10, &messages, |message| *message, &mut refused);
    bench.producer.seal(buffer);
    assert_eq!((taken, refused.len(), bench.producer.open_messages()), (count, 0, count));
    bench.await_reports(count);

    let mut indexes: Vec<u32> = bench.reports.iter().map(|report| report.index).collect();
    assert!(bench.reports.iter().all(|report| report.error.is_none() && report.buffer == buffer));
    indexes.sort_unstable();
    assert_eq!(indexes, (10..10 + count as u32).collect::<Vec<_>>());
    assert!(bench.producer.open_messages() == 0 && bench.producer.payload(buffer).is_some(), "readable once more");
    bench.producer.serve(&mut bench.reports, &mut bench.events);
    assert_eq!(bench.producer.payload(buffer), None, "the buffer is freed");

    let read = read_back(&cluster, 4, count);
    assert_eq!(read.len(), count);
    for key in 0..7 {
        let key = format!("key-{key}").into_bytes();
        let of_key: Vec<_> = read.iter().filter(|record| record.1.as_ref() == Some(&key)).collect();
        assert!(of_key.iter().all(|record| record.0 == of_key[0].0), "one key, one partition");
        let order: Vec<usize> = of_key
            .iter()
            .map(|record| String::from_utf8_lossy(&record.2.clone().expect("value"))[6..].parse().expect("number"))
            .collect();
        assert!(order.is_sorted() && order.len() >= count / 7);
    }
    bench.close();
}

#[test]
fn nulls_empties_headers_and_timestamps_arrive_exactly() {
    let cluster = cluster(1);
    let mut bench = Bench::open(&cluster, &[]);
    let mut payload = b"value".to_vec();
    let value = Some(Span { start: 0, len: 5 });
    let empty = Some(Span { start: 5, len: 0 });
    let start = payload.len();
    assert!(append_header(&mut payload, "a", Some(b"1")) && append_header(&mut payload, "a", None));
    assert!(append_header(&mut payload, "", Some(b"")));
    let headers = Span::since(start, &payload);
    let plain = Message { value, key: None, headers: None, timestamp_ms: None };
    let messages = [
        plain,
        Message { value: None, ..plain },
        Message { value: empty, key: empty, ..plain },
        Message { headers, timestamp_ms: Some(1_700_000_000_123), ..plain },
        Message { value: None, key: value, headers, ..plain },
        plain,
    ];
    let buffer = bench.producer.lend(payload);
    let mut refused = Vec::new();
    assert_eq!(bench.producer.produce(TOPIC, buffer, 0, &messages, |message| *message, &mut refused), 6);
    bench.producer.seal(buffer);
    bench.await_reports(6);
    assert!(refused.is_empty() && bench.reports.iter().all(|report| report.error.is_none()), "{:?}", bench.reports);

    let read = read_back(&cluster, 1, 6);
    let (value, empty) = (Some(b"value".to_vec()), Some(Vec::new()));
    let list = vec![("a".to_owned(), Some(b"1".to_vec())), ("a".to_owned(), None), (String::new(), Some(Vec::new()))];
    let seen: Vec<_> =
        read.iter().map(|(_, key, value, headers, _)| (key.clone(), value.clone(), headers.clone())).collect();
    let expected = vec![
        (None, value.clone(), vec![]),
        (None, None, vec![]),
        (empty.clone(), empty, vec![]),
        (None, value.clone(), list.clone()),
        (value.clone(), None, list),
        (None, value, vec![]),
    ];
    assert_eq!(seen, expected);
    assert_eq!(read[3].4, Some(1_700_000_000_123));
    bench.close();
}

#[test]
fn a_full_queue_takes_a_prefix_and_the_rest_fits_after_reports() {
    let cluster = cluster(2);
    let mut bench = Bench::open(&cluster, &[("queue.buffering.max.messages", "100")]);
    let (payload, messages) = records(1_000);
    let buffer = bench.producer.lend(payload);
    let mut refused = Vec::new();
    let (mut next, mut pauses) = (0, 0);
    while next < messages.len() {
        let taken =
            bench.producer.produce(TOPIC, buffer, next as u32, &messages[next..], |message| *message, &mut refused);
        assert!(taken <= 100, "no more than the queue holds");
        next += taken;
        if next < messages.len() {
            pauses += 1;
            let known = bench.reports.len();
            bench.await_reports(known + 1);
        }
    }
    bench.producer.seal(buffer);
    bench.await_reports(1_000);
    assert!(pauses >= 9 && refused.is_empty());
    let indexes: std::collections::BTreeSet<u32> = bench.reports.iter().map(|report| report.index).collect();
    assert_eq!((indexes.len(), bench.reports.len()), (1_000, 1_000));
    bench.close();
}

#[test]
fn too_large_for_the_client_is_refused_alone() {
    let cluster = cluster(1);
    let mut bench = Bench::open(&cluster, &[("message.max.bytes", "2000"), ("batch.size", "1000")]);
    let payload = vec![b'x'; 3_000];
    let of = |len| Message { value: Some(Span { start: 0, len }), key: None, headers: None, timestamp_ms: None };
    let outside = Message { value: Some(Span { start: 2_999, len: 2 }), ..of(0) };
    let stamped = Message { timestamp_ms: Some(5), ..of(3_000) };
    let buffer = bench.producer.lend(payload);
    let mut refused = Vec::new();
    let messages = [of(10), of(3_000), of(20), outside, stamped, of(30)];
    assert_eq!(bench.producer.produce(TOPIC, buffer, 0, &messages, |message| *message, &mut refused), 6);
    bench.producer.seal(buffer);
    let refused: Vec<_> = refused.iter().map(|refusal| (refusal.index, refusal.code)).collect();
    let large = ErrorCode::MSG_SIZE_TOO_LARGE;
    assert_eq!(refused, [(1, large), (3, large), (4, large)]);
    bench.await_reports(3);
    assert_eq!(bench.reports.iter().map(|report| report.index).collect::<Vec<_>>(), [0, 2, 5]);
    bench.close();
}

#[test]
fn a_purge_reports_everything_and_frees_the_buffer() {
    let cluster = cluster(1);
    cluster.broker_down(1).expect("down");
    let mut bench = Bench::open(&cluster, &[]);
    let (payload, messages) = records(50);
    let buffer = bench.producer.lend(payload);
    bench.producer.produce(TOPIC, buffer, 0, &messages, |message| *message, &mut Vec::new());
    bench.producer.seal(buffer);
    bench.producer.serve(&mut bench.reports, &mut bench.events);
    assert_eq!((bench.reports.len(), bench.producer.open_messages()), (0, 50));
    bench.producer.purge();
    bench.await_reports(50);
    assert!(bench.reports.iter().all(|report| report.error == Some(ErrorCode::PURGE_QUEUE)), "{:?}", bench.reports[0]);
    bench.producer.serve(&mut bench.reports, &mut bench.events);
    assert_eq!(bench.producer.payload(buffer), None);
    bench.close();
}

#[test]
fn a_producer_closed_with_open_messages_frees_their_buffers_only_after_the_client() {
    let cluster = cluster(1);
    cluster.broker_down(1).expect("down");
    let mut bench = Bench::open(&cluster, &[]);
    let (payload, messages) = records(50);
    let buffer = bench.producer.lend(payload);
    bench.producer.produce(TOPIC, buffer, 0, &messages, |message| *message, &mut Vec::new());
    assert_eq!(bench.producer.take_back(buffer), None, "messages point into it");
    bench.close();
}

#[test]
fn broker_errors_come_back_by_their_number() {
    let cluster = cluster(1);
    cluster.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE]);
    let mut bench = Bench::open(&cluster, &[]);
    let (payload, messages) = records(3);
    let buffer = bench.producer.lend(payload);
    bench.producer.produce(TOPIC, buffer, 0, &messages, |message| *message, &mut Vec::new());
    bench.producer.seal(buffer);
    bench.await_reports(3);
    assert!(
        bench.reports.iter().all(|report| report.error == Some(ErrorCode::MSG_SIZE_TOO_LARGE)),
        "{:?}",
        bench.reports
    );
    assert_eq!(bench.producer.fatal(), None, "an epoch bump mends it");
    bench.close();
}

#[test]
fn a_fatal_error_is_told_and_refuses_what_follows() {
    let cluster = cluster(1);
    let mut bench = Bench::open(&cluster, &[]);
    assert_eq!(bench.producer.probe(Some(TOPIC), Duration::from_secs(5)), Probe::Answers);
    bench.producer.break_for_test();
    let (payload, messages) = records(3);
    let buffer = bench.producer.lend(payload);
    let mut refused = Vec::new();
    assert_eq!(bench.producer.produce(TOPIC, buffer, 0, &messages, |message| *message, &mut refused), 3);
    assert!(refused.len() == 3 && refused.iter().all(|refusal| refusal.code == ErrorCode::FATAL), "{refused:?}");
    let (code, text) = bench.producer.fatal().expect("fatal");
    assert!(code == ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER && text.contains("test"), "{code:?} {text}");
    bench.producer.serve(&mut bench.reports, &mut bench.events);
    let told = bench.events.iter().any(|event| matches!(event, ClientEvent::Error { code: ErrorCode::FATAL, .. }));
    assert!(told, "{:?}", bench.events);
    bench.close();
}

#[test]
fn a_probe_tells_a_missing_topic_from_a_silent_cluster() {
    let cluster = cluster(1);
    let mut bench = Bench::open(&cluster, &[]);
    let limit = Duration::from_secs(5);
    assert_eq!(bench.producer.probe(None, limit), Probe::Answers);
    cluster.topic_error("gone", RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART).expect("topic error");
    assert_eq!(bench.producer.probe(Some("gone"), limit), Probe::Topic(ErrorCode::UNKNOWN_TOPIC_OR_PART));
    cluster.broker_down(1).expect("down");
    let silent = bench.producer.probe(Some(TOPIC), Duration::from_millis(300));
    assert!(matches!(silent, Probe::Silent(_)), "{silent:?}");
    bench.close();
}

#[test]
fn a_refused_property_is_named_without_its_value() {
    let properties = [("bootstrap.servers", "127.0.0.1:1"), ("linger.ms", "s3cret")];
    let Err(error) = Producer::open(properties, || ()) else { panic!("opened") };
    let text = error.to_string();
    assert!(text.contains("linger.ms") && !text.contains("s3cret"), "{text}");
}
