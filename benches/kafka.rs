//! Consuming from and producing to the cluster in this process, through the same client code as the engine. The
//! cluster's own work is in the figures.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sluicegate::internals::librdkafka::Consumer;
use sluicegate::internals::librdkafka::producer::Producer;
use sluicegate::internals::librdkafka::producer::message::{Message, Span};
use sluicegate::internals::model::{OwnedRecord, Records as _, TopicPartition, Wake};
use sluicegate::internals::testbed::kafka::MockKafka;

use crate::input;
use crate::stage::Stage;

const TOPIC: &str = "events";
const PARTITIONS: i32 = 4;
/// Records of a round: a partition of the cluster keeps 5 MiB.
const RECORDS: usize = 8_192;
/// Records of a lent payload.
const BATCH: usize = 256;
const PATIENCE: Duration = Duration::from_secs(30);

/// 1 KB records, in rounds of [`RECORDS`].
pub fn stages() -> impl Iterator<Item = Stage> {
    std::iter::once_with(produce).chain(std::iter::once_with(consume))
}

fn stage(case: &str, records: &[OwnedRecord], run: impl FnMut() -> usize + 'static) -> Stage {
    let bytes = input::bytes(records) / records.len() as u64 * RECORDS as u64;
    let (group, case) = ("kafka".to_owned(), case.to_owned());
    Stage { group, case, records: RECORDS as u64, bytes: Some(bytes), run: Box::new(run) }
}

fn produce() -> Stage {
    let records = input::records(1_000);
    let cluster = MockKafka::start(&[(TOPIC, PARTITIONS)]).expect("starts");
    let mut sender = Sender::open(cluster.brokers(), &records);
    stage("produce", &records, move || {
        let _running = &cluster;
        sender.round()
    })
}

fn consume() -> Stage {
    let records = input::records(1_000);
    let cluster = MockKafka::start(&[(TOPIC, PARTITIONS)]).expect("starts");
    Sender::open(cluster.brokers(), &records).round();
    let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let properties = [
        set("bootstrap.servers", cluster.brokers()),
        set("group.id", "bench"),
        set("enable.auto.commit", "false"),
        set("auto.offset.reset", "earliest"),
        set("fetch.wait.max.ms", "10"),
    ];
    let wake = Arc::new(Wake::default());
    let mut consumer = Consumer::open(&properties, "bench", &[], wake).expect("opens");
    let name = |partition| TopicPartition { topic: TOPIC.into(), partition };
    let all: Vec<_> = (0..PARTITIONS).map(|partition| (name(partition), 0)).collect();
    stage("consume", &records, move || {
        let _running = &cluster;
        let deadline = Instant::now() + PATIENCE;
        consumer.assign(&all).expect("assigns");
        let (mut taken, mut bytes) = (0, 0);
        while taken < RECORDS {
            assert!(Instant::now() < deadline, "{taken} of {RECORDS} records within {PATIENCE:?}");
            let batch = consumer.drain(BATCH, 20);
            taken += batch.len();
            bytes += (0..batch.count()).map(|index| batch.bytes_at(index)).sum::<usize>();
        }
        bytes
    })
}

/// A producer, and one payload that is lent again and again.
struct Sender {
    producer: Producer,
    woken: flume::Receiver<()>,
    payload: Vec<u8>,
    messages: Vec<Message>,
}

impl Sender {
    fn open(brokers: &str, records: &[OwnedRecord]) -> Self {
        let (wake, woken) = flume::bounded(1);
        let properties = [("bootstrap.servers", brokers), ("enable.idempotence", "true"), ("linger.ms", "1")];
        // A wake-up that is already waiting is enough.
        let hook = move || {
            let _ = wake.try_send(());
        };
        let producer = Producer::open(properties, hook).expect("opens");
        let mut payload = Vec::new();
        let mut append = |bytes: Option<&[u8]>| {
            let start = payload.len();
            payload.extend_from_slice(bytes?);
            Span::since(start, &payload)
        };
        let mut message = |record: &OwnedRecord| {
            let (value, key) = (append(record.value.as_deref()), append(record.key.as_deref()));
            Message { value, key, headers: None, timestamp_ms: None }
        };
        let messages = records.iter().cycle().take(BATCH).map(&mut message).collect();
        Self { producer, woken, payload, messages }
    }

    /// Produces [`RECORDS`] records and waits for their reports.
    fn round(&mut self) -> usize {
        let deadline = Instant::now() + PATIENCE;
        let (mut refused, mut reports, mut events) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..RECORDS / BATCH {
            let buffer = self.producer.lend(self.payload.clone());
            let taken = self.producer.produce(TOPIC, buffer, 0, &self.messages, |message| *message, &mut refused);
            assert!(taken == BATCH && refused.is_empty(), "the queue has room");
            self.producer.seal(buffer);
        }
        while reports.len() < RECORDS {
            self.woken.recv_deadline(deadline).expect("reports in time");
            self.producer.serve(&mut reports, &mut events);
        }
        assert!(reports.iter().all(|report| report.error.is_none()), "every record is delivered");
        reports.len()
    }
}
