//! The consumer against librdkafka's mock cluster. Also run under Valgrind, with `BINARY` as `cargo test --no-run`
//! names it:
//!
//! ```text
//! valgrind --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=none BINARY --test-threads=1 librdkafka::
//! ```
//! No invalid access and no use of unset bytes. The blocks it calls definitely lost are one queue handle for each
//! client that rust-rdkafka makes (`Client::new_context_arc`), none is ours.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::*;
use crate::model::{Originals, Records, TopicPartition, Wake};

const TOPIC: &str = "input";

fn cluster(partitions: i32) -> MockCluster<'static, rdkafka::producer::DefaultProducerContext> {
    let cluster = MockCluster::new(1).expect("mock cluster");
    cluster.create_topic(TOPIC, partitions, 1).expect("topic");
    cluster
}

fn produce(brokers: &str, partitions: i32, records: i32) {
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", brokers).create().expect("producer");
    for number in 0..records {
        let (key, value) = (format!("k{number}"), format!("{{\"n\":{number}}}"));
        let headers = rdkafka::message::OwnedHeaders::new()
            .insert(rdkafka::message::Header { key: "h", value: Some("first") })
            .insert(rdkafka::message::Header { key: "h", value: Some("last") });
        let record = BaseRecord::to(TOPIC).partition(number % partitions).key(&key).payload(&value).headers(headers);
        producer.send(record).map_err(|(error, _)| error).expect("send");
    }
    producer.flush(Duration::from_secs(10)).expect("flush");
}

fn open(brokers: &str, wake: Arc<Wake>) -> Consumer {
    let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let properties = [
        set("bootstrap.servers", brokers),
        set("group.id", "g"),
        set("enable.auto.commit", "false"),
        set("auto.offset.reset", "earliest"),
        set("fetch.wait.max.ms", "10"),
        set("partition.assignment.strategy", "cooperative-sticky"),
    ];
    Consumer::open(&properties, "g", &[TOPIC.to_owned()], wake).expect("consumer")
}

/// Drains, assigning what the group gives, until `done` says so.
fn drive(consumer: &mut Consumer, mut done: impl FnMut(&mut Consumer, MessageBatch) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        assert!(Instant::now() < deadline, "no end after 30 s");
        let batch = consumer.drain(100, 20);
        for event in consumer.events() {
            if let Event::Assign(partitions) = event {
                let start: Vec<_> = partitions.into_iter().map(|name| (name, START_STORED)).collect();
                consumer.assign(&start).expect("assign");
            }
        }
        if done(consumer, batch) {
            return;
        }
    }
}

fn name(partition: i32) -> TopicPartition {
    TopicPartition { topic: TOPIC.into(), partition }
}

fn close(mut consumer: Consumer) {
    consumer.start_close().expect("not fatal");
    let deadline = Instant::now() + Duration::from_secs(10);
    while !consumer.is_closed() {
        assert!(Instant::now() < deadline, "not closed after 10 s");
        drop(consumer.drain(100, 20));
        for event in consumer.events() {
            if let Event::Revoke { partitions, .. } = event {
                consumer.unassign(&partitions).expect("unassign");
            }
        }
    }
    assert!(consumer.destroy(Duration::from_secs(5)), "destroy waited too long");
}

#[test]
fn drains_commits_asks_seeks_and_closes() {
    let cluster = cluster(2);
    let brokers = cluster.bootstrap_servers();
    produce(&brokers, 2, 200);
    let mut consumer = open(&brokers, Arc::new(Wake::default()));
    let mut kept: Vec<MessageBatch> = Vec::new();
    drive(&mut consumer, |_, batch| {
        kept.push(batch);
        kept.iter().map(MessageBatch::len).sum::<usize>() == 200
    });
    let mut all = kept.remove(0);
    kept.into_iter().for_each(|batch| all.append(batch));
    check_messages(&mut all);
    assert_eq!(consumer.live_messages(), 140);
    drop(all);
    assert_eq!(consumer.live_messages(), 0);

    consumer.commit(&[(name(0), 60), (name(1), 7)], 11).expect("commit");
    let mut answers = Vec::new();
    drive(&mut consumer, |consumer, _| {
        answers.extend(consumer.reply());
        !answers.is_empty()
    });
    let Some(Reply::Commit(answer)) = answers.pop() else { panic!("{answers:?}") };
    assert_eq!((answer.request, answer.error, answer.partitions.len()), (11, None, 2));

    let both = [name(0), name(1)];
    consumer.ask_committed(&both, 21);
    consumer.ask_ends(OffsetKind::Earliest, &both, 5000, 22);
    consumer.ask_ends(OffsetKind::Latest, &both, 5000, 23);
    drive(&mut consumer, |consumer, _| {
        answers.extend(consumer.reply());
        answers.len() == 3
    });
    let mut found: Vec<_> = answers
        .into_iter()
        .map(|reply| match reply {
            Reply::Offsets(OffsetsAnswer { request, kind, result }) => {
                let mut offsets: Vec<_> =
                    result.expect("offsets").into_iter().map(|p| (p.name.partition, p.offset)).collect();
                offsets.sort_unstable();
                (request, kind, offsets)
            }
            other @ (Reply::Commit(_) | Reply::Topics(_)) => panic!("{other:?}"),
        })
        .collect();
    found.sort_by_key(|(request, ..)| *request);
    assert_eq!(found[0], (21, OffsetKind::Committed, vec![(0, 60), (1, 7)]));
    assert_eq!(found[1], (22, OffsetKind::Earliest, vec![(0, 0), (1, 0)]));
    assert_eq!(found[2], (23, OffsetKind::Latest, vec![(0, 100), (1, 100)]));

    consumer.ask_topics(&[name(0).topic, "absent".into()], 5000);
    let mut topics = None;
    drive(&mut consumer, |consumer, _| {
        topics = consumer.reply();
        topics.is_some()
    });
    let Some(Reply::Topics(answer)) = topics else { panic!("{topics:?}") };
    assert_eq!(answer.topics, [], "the mock cluster answers, and has no ids");

    let moved = consumer.seek(&[(name(1), 42)], 1000).expect("seek");
    assert_eq!(moved[0].error, None);
    let mut first = None;
    drive(&mut consumer, |_, batch| {
        first = (!batch.is_empty()).then(|| batch.offset(0));
        first.is_some()
    });
    assert_eq!(first, Some(42));

    // A pause after a seek, before its first record was handed out, must not lose the seek.
    consumer.seek(&[(name(1), 17)], 1000).expect("seek");
    assert_eq!(consumer.pause(&[name(1)])[0].error, None);
    assert!(consumer.drain(100, 100).segments().iter().all(|one| one.partition != 1), "paused");
    assert_eq!(consumer.resume(&[name(1)])[0].error, None);
    let mut first = None;
    drive(&mut consumer, |_, batch| {
        first = batch.segments().iter().find(|one| one.partition == 1).map(|one| batch.offset(one.start));
        first.is_some()
    });
    assert_eq!(first, Some(17));
    close(consumer);
}

fn read(consumer: &mut Consumer, records: usize) -> MessageBatch {
    let mut all = consumer.drain(0, 0);
    drive(consumer, |_, batch| {
        all.append(batch);
        all.len() >= records
    });
    all
}

#[test]
fn a_stretch_ends_where_offsets_go_back_and_tells_its_widest_jump() {
    let cluster = cluster(1);
    let brokers = cluster.bootstrap_servers();
    produce(&brokers, 1, 10);
    let mut consumer = open(&brokers, Arc::new(Wake::default()));
    let mut all = read(&mut consumer, 10);
    assert_eq!(consumer.low_watermark(&name(0)), Some(0));
    assert_eq!(consumer.low_watermark(&name(7)), None, "a partition nobody reads");
    consumer.seek(&[(name(0), 4)], 1000).expect("seek");
    all.append(read(&mut consumer, 6));
    all.retain(|index| ![1, 2, 3, 7].contains(&index));
    let found: Vec<_> = all.segments().into_iter().map(|one| (one.start, one.end, one.jump)).collect();
    assert_eq!(found, [(0, 6, Some((1, 4))), (6, 12, None)]);
    assert_eq!(all.offset(6), 4);
    drop(all);
    close(consumer);
}

/// 100 records of each of two partitions, whole and in order; leaves 150.
fn check_messages(all: &mut MessageBatch) {
    for segment in all.segments() {
        assert_eq!(segment.topic, TOPIC);
        for index in segment.start..segment.end {
            let record = all.record(index);
            let number = record.offset * 2 + i64::from(segment.partition);
            assert_eq!(record.key, Some(format!("k{number}").as_bytes()));
            assert_eq!(record.value, Some(format!("{{\"n\":{number}}}").as_bytes()));
            assert_eq!(record.headers.header("h"), Some(Some(&b"last"[..])));
            assert!(record.timestamp_ms.is_some());
        }
    }
    let tail = all.split_off(150);
    assert_eq!(tail.len(), 50);
    drop(tail);
    let shared = SharedBatch::new(all.split_off(140));
    assert_eq!(shared.copy(3).expect("kept").headers.len(), 2);
    shared.thin(&[3]);
    assert!(shared.copy(3).is_some() && shared.copy(4).is_none());
    let restored = all.len();
    all.retain(|index| index % 2 == 0 || index < restored);
    assert_eq!(all.len(), 140);
}

#[test]
fn the_hook_wakes_a_parked_owner() {
    let cluster = cluster(1);
    let brokers = cluster.bootstrap_servers();
    let wake = Arc::new(Wake::default());
    wake.register();
    let mut consumer = open(&brokers, wake.clone());
    produce(&brokers, 1, 1);
    let mut seen = 0;
    drive(&mut consumer, |_, batch| {
        seen += batch.len();
        seen == 1
    });
    wake.take();
    produce(&brokers, 1, 1);
    let (started, limit) = (Instant::now(), Duration::from_secs(10));
    while consumer.drain(10, 0).is_empty() {
        assert!(started.elapsed() < limit, "never woken");
        wake.park(limit);
        assert!(wake.take(), "woken by the park's limit, not by the hook");
    }
    close(consumer);
}

/// A cluster that went away before it could say what is committed, and who asked.
fn unanswered() -> (MockCluster<'static, rdkafka::producer::DefaultProducerContext>, Consumer) {
    let cluster = cluster(1);
    let mut consumer = open(&cluster.bootstrap_servers(), Arc::new(Wake::default()));
    drive(&mut consumer, |_, batch| batch.is_empty());
    cluster.broker_down(1).expect("down");
    consumer.ask_committed(&[name(0)], 7);
    (cluster, consumer)
}

/// A coordinator comes back after five seconds, which were once the time a question for committed offsets had:
/// librdkafka 2.12 then took the question's last reference twice and aborted the process.
#[test]
fn a_question_that_outlasts_its_coordinators_absence_is_answered() {
    let (cluster, mut consumer) = unanswered();
    let start = Instant::now();
    drive(&mut consumer, |_, _| start.elapsed() > Duration::from_secs(6));
    cluster.broker_up(1).expect("up");
    drive(&mut consumer, |consumer, _| consumer.reply().is_some());
    let answered = Instant::now();
    drive(&mut consumer, |_, _| answered.elapsed() > Duration::from_secs(2));
}

/// Such a question has an hour; nobody waits for it when the client is to end.
#[test]
fn a_client_whose_question_has_no_answer_ends_in_time() {
    let (_cluster, mut consumer) = unanswered();
    let start = Instant::now();
    drive(&mut consumer, |consumer, _| {
        assert!(consumer.reply().is_none(), "nobody is there to answer");
        start.elapsed() > Duration::from_secs(1)
    });
    assert!(consumer.destroy(Duration::from_secs(5)), "destroy waited too long");
}
