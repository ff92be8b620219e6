//! The feeder: counts, pace, window, and how it gives up.

use std::sync::atomic::AtomicI64;
use std::time::Instant;

use super::*;
use crate::testbed::generator::LoadShape;
use crate::testbed::kafka::MockKafka;
use crate::testbed::oracle::OutputOracle;
use crate::testbed::tap::Tap;

const DEADLINE: Duration = Duration::from_secs(60);
const PARTITIONS: i32 = 2;

fn until(what: &str, done: impl Fn() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < end, "not within {DEADLINE:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

fn no_hooks() -> FeedHooks {
    FeedHooks { consumed: Box::new(|_| None), announce: Box::new(|_, _| {}) }
}

/// 24 MB through two partitions that keep 5 MiB each: nothing may be lost, and the window must have been kept.
#[test]
fn more_than_the_broker_keeps_goes_through_without_a_loss() {
    let kafka = MockKafka::start(&[("in", PARTITIONS)]).expect("a cluster");
    let shape = LoadShape { value_bytes: 6_000, keys: 200, ..LoadShape::default() };
    let generator = Arc::new(Generator::new(shape));
    let records = 4_000;
    let oracle = Arc::new(OutputOracle::new(PARTITIONS));
    let positions: Arc<[AtomicI64; PARTITIONS as usize]> = Arc::default();
    let (expecting, consumed) = (oracle.clone(), positions.clone());
    let under_way = Arc::new(AtomicU64::new(0));
    let most = Arc::new(AtomicU64::new(0));
    let (sent, highest) = (under_way.clone(), most.clone());
    let hooks = FeedHooks {
        consumed: Box::new(move |partition| Some(consumed[partition as usize].load(Ordering::Acquire))),
        announce: Box::new(move |record, partition| {
            expecting.expect(record, partition);
            highest.fetch_max(sent.fetch_add(record.len() as u64, Ordering::AcqRel), Ordering::AcqRel);
        }),
    };
    let (seen, reached, arrived) = (oracle.clone(), positions.clone(), under_way.clone());
    let tap = Tap::start(kafka.brokers(), "in", PARTITIONS, move |message| {
        let value = message.value().and_then(crate::testbed::oracle::select_result);
        seen.observe(message.partition(), message.key(), value);
        let bytes = message.key().map_or(0, <[u8]>::len) + message.value().map_or(0, <[u8]>::len);
        arrived.fetch_sub(bytes as u64, Ordering::AcqRel);
        reached[message.partition() as usize].store(message.offset() + 1, Ordering::Release);
    });
    let tap = tap.expect("a tap");
    let feeder = Feeder::start(kafka.brokers(), generator, FeedPlan::new("in", PARTITIONS, records), hooks);
    let fed = feeder.expect("a feeder").join().expect("fed");
    assert_eq!(fed.records, records);
    assert_eq!(fed.by_partition.iter().sum::<u64>(), records);
    until("everything read", || oracle.progress().1 == records);
    tap.stop();
    let verdict = oracle.verdict();
    assert!(verdict.is_exact(), "{verdict}");
    let bound = (WINDOW_BYTES * PARTITIONS as usize) as u64;
    let most = most.load(Ordering::Acquire);
    assert!(most <= bound, "{most} bytes under way, {bound} allowed");
    assert!(most > bound / 8, "{most} bytes: the window was never used");
}

#[test]
fn without_a_consumer_it_stops_at_the_window_and_says_so() {
    let kafka = MockKafka::start(&[("in", PARTITIONS)]).expect("a cluster");
    let generator = Arc::new(Generator::new(LoadShape::default()));
    let mut plan = FeedPlan::new("in", PARTITIONS, 20_000);
    plan.patience = Duration::from_millis(300);
    plan.window_bytes = 200_000;
    let feeder = Feeder::start(kafka.brokers(), generator, plan, no_hooks()).expect("a feeder");
    let error = feeder.join().expect_err("nobody consumes");
    let FeedError::Stalled { topic, unconsumed, position, .. } = &error else { panic!("{error}") };
    assert_eq!((topic.as_str(), *position), ("in", 0));
    assert!((190_000..=200_000).contains(unconsumed), "{unconsumed}");
    assert!(error.to_string().contains("in["), "{error}");
}

/// Held up for half a second, an open loop must show it in the timestamps: they go on as intended.
#[test]
fn an_open_loop_keeps_its_rate_and_stamps_the_intended_moments() {
    let kafka = MockKafka::start(&[("in", 1)]).expect("a cluster");
    let generator = Arc::new(Generator::new(LoadShape { value_bytes: 128, ..LoadShape::default() }));
    let mut plan = FeedPlan::new("in", 1, u64::MAX);
    plan.rate = Some(1_000.0);
    let stamps = Arc::new(Mutex::new(Vec::new()));
    let seen = stamps.clone();
    let tap = Tap::start(kafka.brokers(), "in", 1, move |message| {
        seen.lock().expect("unpoisoned").push(message.timestamp_ms().expect("a timestamp"));
    });
    let tap = tap.expect("a tap");
    let mut hooks = no_hooks();
    hooks.announce = Box::new(|record, _| {
        if record.index == 100 {
            std::thread::park_timeout(Duration::from_millis(500));
        }
    });
    let feeder = Feeder::start(kafka.brokers(), generator, plan, hooks).expect("a feeder");
    let started = Instant::now();
    until("700 records", || feeder.fed() >= 700);
    let elapsed = started.elapsed();
    assert!(elapsed >= Duration::from_millis(650), "700 records at 1,000 a second took {elapsed:?}");
    feeder.finish();
    let fed = feeder.join().expect("fed");
    assert!(fed.records < 30_000, "{fed:?}");
    until("all read", || stamps.lock().expect("unpoisoned").len() as u64 == fed.records);
    tap.stop();
    let stamps = stamps.lock().expect("unpoisoned");
    for (index, stamp) in stamps.iter().enumerate() {
        let after = stamp - stamps[0];
        assert!((after - index as i64).abs() <= 1, "record {index} is stamped {after} ms after the first");
    }
}

#[test]
fn headers_null_keys_and_null_values_travel() {
    let kafka = MockKafka::start(&[("in", PARTITIONS)]).expect("a cluster");
    let shape =
        LoadShape { headers: true, keyless_every: 3, tombstone_every: 4, value_bytes: 128, ..LoadShape::default() };
    let generator = Arc::new(Generator::new(shape));
    let (counts, total) = (Arc::new(Mutex::new((0, 0, 0))), Arc::new(AtomicU64::new(0)));
    let (counting, all) = (counts.clone(), total.clone());
    let tap = Tap::start(kafka.brokers(), "in", PARTITIONS, move |message| {
        let mut counts = counting.lock().expect("unpoisoned");
        counts.0 += u32::from(message.key().is_none());
        counts.1 += u32::from(message.value().is_none());
        let headers: Vec<_> = message.headers().collect();
        assert_eq!(headers[1], ("origin", Some(b"generator".as_slice())));
        counts.2 += u32::from(headers[0].0 == "trace" && headers[0].1.is_some_and(|trace| trace.len() == 16));
        all.fetch_add(1, Ordering::AcqRel);
    });
    let tap = tap.expect("a tap");
    let feeder = Feeder::start(kafka.brokers(), generator, FeedPlan::new("in", PARTITIONS, 120), no_hooks());
    feeder.expect("a feeder").join().expect("fed");
    until("120 records", || total.load(Ordering::Acquire) == 120);
    tap.stop();
    assert_eq!(*counts.lock().expect("unpoisoned"), (40, 30, 120));
}

#[test]
fn a_broker_that_refuses_ends_the_feeding_with_its_reason() {
    let kafka = MockKafka::start(&[("in", PARTITIONS)]).expect("a cluster");
    let errors = [rdkafka::types::RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE; 50];
    kafka.fail_requests(rdkafka::types::RDKafkaApiKey::Produce, &errors).expect("scripted");
    let generator = Arc::new(Generator::new(LoadShape { value_bytes: 128, ..LoadShape::default() }));
    let feeder = Feeder::start(kafka.brokers(), generator, FeedPlan::new("in", PARTITIONS, 10), no_hooks());
    let error = feeder.expect("a feeder").join().expect_err("refused");
    assert!(matches!(error, FeedError::Delivery { .. } | FeedError::Kafka { .. }), "{error}");
}
