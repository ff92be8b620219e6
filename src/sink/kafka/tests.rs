//! The Kafka sink against an in-process cluster whose answers are scripted.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message as _;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{ClientConfig, Offset as ReadFrom, TopicPartitionList};

use super::*;
use crate::config::plan::{
    KafkaConnection, KafkaSinkPlan, OnMissingTopic, OnReject, RetryPlan, Template, TemplateSegment,
};
use crate::model::{
    Charge, Encode, Epoch, Exit, GiveUp, ItemPath, Kept, Offset, Originals, Outcome, OwnedRecord, Part, PartitionId,
    Place, Prepared, Reject, RejectReason, Rejected, Report, ReportSender, RewindCause, Ticket, TicketId,
    TopicPartition,
};
use crate::sink::context::SinkContext;
use crate::sink::reject::tests::desk;
use crate::telemetry::handles::Handles;
use crate::telemetry::health::Component;
use crate::telemetry::latency::Stage;
use crate::telemetry::metrics::RequestClass;

type Cluster = MockCluster<'static, DefaultProducerContext>;

const TOPIC: &str = "out";
/// Stands for a null key in the batches of these tests.
const NULL_KEY: &str = "null";
const RING: usize = 8;
const WAIT: Duration = Duration::from_secs(20);

/// A connection to these brokers.
pub(crate) fn connection(brokers: &str) -> KafkaConnection {
    let brokers = brokers.split(',').map(str::to_owned).collect();
    KafkaConnection { name: "downstream".into(), brokers, properties: BTreeMap::new() }
}

/// The plan of a sink with the defaults users get.
pub(crate) fn sink_plan(connection: KafkaConnection, topic: &str) -> KafkaSinkPlan {
    KafkaSinkPlan {
        connection,
        topic: Template { text: topic.into(), segments: vec![TemplateSegment::Literal(topic.into())] },
        key: Template { text: "{key}".into(), segments: vec![TemplateSegment::Key] },
        on_missing_topic: OnMissingTopic::Hold,
        keep_headers: true,
        keep_timestamp: false,
        linger: Duration::from_millis(2),
        compression: "none".into(),
        partitioner: "murmur2_random".into(),
    }
}

fn cluster(partitions: i32) -> Cluster {
    let cluster = MockCluster::new(1).expect("mock cluster");
    cluster.create_topic(TOPIC, partitions, 1).expect("topic");
    cluster
}

/// Originals by index, as a batch would keep them.
struct Kept32(Vec<OwnedRecord>);

impl Originals for Kept32 {
    fn copy(&self, index: u32) -> Option<OwnedRecord> {
        self.0.get(index as usize).cloned()
    }
    fn thin(&self, open: &[u32]) -> usize {
        open.len()
    }
}

/// A running sink, with the source's side in the test's hands.
struct Rig {
    intake: Option<flume::Sender<Prepared<KafkaItem>>>,
    commands: flume::Sender<SinkCommand>,
    reports: flume::Receiver<Report>,
    ctx: SinkContext,
    plan: KafkaSinkPlan,
    thread: Option<JoinHandle<()>>,
    sequence: u64,
    tickets: u64,
    settled: HashMap<TicketId, HashMap<Outcome, u32>>,
    others: Vec<Report>,
}

struct Options {
    topic: Template,
    on_missing_topic: OnMissingTopic,
    on_reject: OnReject,
    properties: Vec<(&'static str, &'static str)>,
    in_place: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            topic: Template { text: TOPIC.into(), segments: vec![TemplateSegment::Literal(TOPIC.into())] },
            on_missing_topic: OnMissingTopic::Hold,
            on_reject: OnReject::Drop,
            // Reading the topic's limit is left out where a value is set; the mock cannot answer it.
            properties: vec![("message.max.bytes", "1000000")],
            in_place: Duration::from_secs(60),
        }
    }
}

impl Rig {
    fn start(cluster: &Cluster, options: Options) -> Self {
        let mut connection = connection(&cluster.bootstrap_servers());
        for (name, value) in &options.properties {
            connection.properties.insert((*name).to_owned(), (*value).into());
        }
        let Options { topic, on_missing_topic, .. } = options;
        let plan = KafkaSinkPlan { topic, on_missing_topic, ..sink_plan(connection, TOPIC) };
        let (sender, reports) = flume::bounded(10_000);
        let pipeline = Handles::new(&"relay".into(), 64 << 20, Arc::default());
        let sender = ReportSender::new(sender, pipeline.wake.clone());
        let desk = desk(options.on_reject, &pipeline, &sender);
        let ctx = SinkContext { pipeline, reports: sender, released: Arc::new(AtomicU64::new(0)), desk };
        let retry =
            RetryPlan { first: Duration::from_millis(10), max: Duration::from_millis(100), in_place: options.in_place };
        let setup = Setup { plan: plan.clone(), retry, memory_bytes: 64 << 20, ring: RING };
        let sink = KafkaSink::open(setup, ctx.clone()).expect("opens");
        let (intake, batches) = flume::bounded(8);
        let (commands, orders) = flume::bounded(8);
        let thread = std::thread::spawn(move || sink.run(batches, orders));
        Self {
            intake: Some(intake),
            commands,
            reports,
            ctx,
            plan,
            thread: Some(thread),
            sequence: 0,
            tickets: 0,
            settled: HashMap::new(),
            others: Vec::new(),
        }
    }

    /// A slot of a partition with a fresh current epoch.
    fn assign(&self, partition: i32) -> (PartitionId, Epoch) {
        let slot = self.ctx.pipeline.table.slot(&TopicPartition { topic: "in".into(), partition }).expect("slot");
        (slot, self.fence(slot))
    }

    fn fence(&self, slot: PartitionId) -> Epoch {
        let epoch = Epoch::fresh();
        self.ctx.pipeline.table.set_current(slot, epoch);
        epoch
    }

    fn ticket(&mut self, (slot, epoch): (PartitionId, Epoch)) -> Ticket {
        self.tickets += 1;
        Ticket { id: TicketId(self.tickets), slot, epoch }
    }

    /// A batch of these records, with the next sequence number.
    fn batch(&mut self, records: &[(Ticket, i64, &str, &[u8])]) -> Prepared<KafkaItem> {
        let mut batch = Prepared::empty(self.sequence, self.ctx.pipeline.budget.charge(100), Instant::now());
        self.sequence += 1;
        let mut encoder = KafkaEncoder::new(&self.plan);
        let mut originals = Vec::new();
        for (index, (ticket, offset, key, value)) in records.iter().enumerate() {
            let original = OwnedRecord {
                topic: "in".into(),
                partition: 0,
                offset: *offset,
                timestamp_ms: Some(1),
                key: Some(key.as_bytes().to_vec()),
                value: Some(format!("original-{offset}").into_bytes()),
                headers: Vec::new(),
            };
            let place = Place { ticket: *ticket, offset: Offset(*offset), item: ItemPath::WHOLE, index: index as u32 };
            let rendered = [(*key != NULL_KEY).then_some(key.as_bytes()), Some(key.as_bytes())];
            let kept = Kept { value: Some(&[value]), rendered: &rendered };
            let item = encoder.encode(place, &original.view(), &kept, &mut batch.payload).expect("encodes");
            batch.items.push(item);
            originals.push(original);
        }
        batch.oldest_timestamp_ms = Some(1);
        batch.originals = Some(Arc::new(Kept32(originals)));
        batch
    }

    fn send(&self, batch: Prepared<KafkaItem>) {
        self.intake.as_ref().expect("open").send_timeout(batch, WAIT).expect("taken");
    }

    /// Sends offsets `range` of one partition as one batch of one ticket, values `v-OFFSET`, keys `OFFSET mod 5`.
    fn send_range(&mut self, tenure: (PartitionId, Epoch), range: std::ops::Range<i64>) -> Ticket {
        let ticket = self.ticket(tenure);
        let texts: Vec<(String, String)> = range.clone().map(|at| ((at % 5).to_string(), format!("v-{at}"))).collect();
        let records: Vec<(Ticket, i64, &str, &[u8])> =
            range.zip(&texts).map(|(at, (key, value))| (ticket, at, key.as_str(), value.as_bytes())).collect();
        let batch = self.batch(&records);
        // The source keeps within the ring.
        self.await_released((batch.sequence + 1).saturating_sub(RING as u64));
        self.send(batch);
        ticket
    }

    fn read(&mut self, report: Report) {
        match report {
            Report::Settled(parts) => {
                for Part { ticket, outcome, records, items_of: _ } in parts {
                    *self.settled.entry(ticket.id).or_default().entry(outcome).or_default() += records;
                }
            }
            other @ (Report::Split(_)
            | Report::Rewind { .. }
            | Report::GaveUp(_)
            | Report::SinkAnswers
            | Report::Quiet(_)
            | Report::Halt(_)) => self.others.push(other),
        }
    }

    fn settled(&self, ticket: Ticket, outcome: Outcome) -> u32 {
        self.settled.get(&ticket.id).and_then(|of| of.get(&outcome)).copied().unwrap_or_default()
    }

    /// Reads reports until `done` says so.
    fn await_reports(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + WAIT;
        while !done(self) {
            match self.reports.recv_deadline(deadline) {
                Ok(report) => self.read(report),
                Err(error) => panic!("{what}: {error}; settled {:?}, others {:?}", self.settled, self.others),
            }
        }
    }

    fn await_settled(&mut self, ticket: Ticket, outcome: Outcome, records: u32) {
        self.await_reports("settled", |rig| rig.settled(ticket, outcome) >= records);
        assert_eq!(self.settled(ticket, outcome), records);
    }

    fn await_rewind(&mut self, of: Ticket) -> RewindCause {
        let found = move |rig: &Self| rig.others.iter().find_map(|report| rewind_cause(report, of));
        self.await_reports("rewind", |rig| found(rig).is_some());
        found(self).expect("found")
    }

    fn await_halt(&mut self) -> crate::model::Halt {
        let found = |rig: &Self| rig.others.iter().find_map(halt_of);
        self.await_reports("halt", |rig| found(rig).is_some());
        found(self).expect("found")
    }

    /// Waits until the intake has taken every batch below this number.
    fn await_released(&self, next: u64) {
        let deadline = Instant::now() + WAIT;
        while self.ctx.released.load(Ordering::Acquire) < next {
            assert!(Instant::now() < deadline, "not released");
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }

    /// Closes the intake and waits for the thread.
    fn finish(mut self) -> Self {
        self.intake = None;
        self.join();
        self
    }

    fn join(&mut self) {
        let thread = self.thread.take().expect("runs");
        let deadline = Instant::now() + WAIT;
        while !thread.is_finished() {
            assert!(Instant::now() < deadline, "the sink did not end");
            std::thread::park_timeout(Duration::from_millis(5));
        }
        thread.join().expect("no panic");
        while let Ok(report) = self.reports.try_recv() {
            self.read(report);
        }
    }
}

fn rewind_cause(report: &Report, of: Ticket) -> Option<RewindCause> {
    if let Report::Rewind { tickets, cause } = report { tickets.contains(&of).then_some(*cause) } else { None }
}

fn halt_of(report: &Report) -> Option<crate::model::Halt> {
    if let Report::Halt(halt) = report { Some(halt.clone()) } else { None }
}

/// Values of a topic's partitions, each in order.
fn read_back(cluster: &Cluster, topic: &str, partitions: i32, count: usize) -> Vec<Vec<String>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("group.id", "reader")
        .set("fetch.wait.max.ms", "10")
        .create()
        .expect("consumer");
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition, ReadFrom::Beginning).expect("valid");
    }
    consumer.assign(&list).expect("assigns");
    let deadline = Instant::now() + WAIT;
    let mut read = vec![Vec::new(); partitions as usize];
    while read.iter().map(Vec::len).sum::<usize>() < count && Instant::now() < deadline {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        let message = message.expect("no error");
        let value = String::from_utf8_lossy(message.payload().expect("value")).into_owned();
        read[message.partition() as usize].push(value);
    }
    read
}

fn error(cluster: &Cluster, code: RDKafkaRespErr, times: usize) {
    cluster.request_errors(RDKafkaApiKey::Produce, &vec![code; times]);
}

#[test]
fn batches_out_of_sequence_are_delivered_in_order_and_settled_by_ticket() {
    let cluster = cluster(1);
    let mut rig = Rig::start(&cluster, Options::default());
    let (one, other) = (rig.assign(0), rig.assign(1));
    let (first, second) = (rig.ticket(one), rig.ticket(other));
    let batch = |rig: &mut Rig, offset: i64| {
        rig.batch(&[
            (first, offset, "k", format!("a{offset}").as_bytes()),
            (second, offset, "k", format!("b{offset}").as_bytes()),
        ])
    };
    let mut batches: Vec<_> = (0..4).map(|offset| batch(&mut rig, offset)).collect();
    batches[3].ended.push(Part::of_records(first, Outcome::Dropped, 7));
    let rejected = Rejected {
        place: Place { ticket: second, offset: Offset(99), item: ItemPath::WHOLE, index: 0 },
        reject: Reject::new(RejectReason::Missing, &"steps[0].select".into(), "/result"),
    };
    batches[3].rejects.push(rejected);
    let third = rig.assign(2);
    let lost = rig.ticket(third);
    batches[3].lost.push(lost);
    for batch in batches.into_iter().rev() {
        rig.send(batch);
    }
    rig.await_settled(first, Outcome::Delivered, 4);
    rig.await_settled(second, Outcome::Delivered, 4);
    rig.await_settled(first, Outcome::Dropped, 7);
    rig.await_settled(second, Outcome::Dropped, 1);
    assert_eq!(rig.await_rewind(lost), RewindCause::Lost);
    assert_eq!(rig.ctx.released.load(Ordering::Acquire), 4);
    let rig = rig.finish();
    assert_eq!(read_back(&cluster, TOPIC, 1, 8)[0], ["a0", "b0", "a1", "b1", "a2", "b2", "a3", "b3"]);
    let metrics = &rig.ctx.pipeline.metrics;
    assert_eq!((rig.ctx.pipeline.budget.used(), metrics.queue_records.get(), metrics.queue_bytes.get()), (0, 0, 0));
    let timed = |stage| rig.ctx.pipeline.latency.take(stage).len();
    assert_eq!([Stage::SinkWait, Stage::Request, Stage::EndToEnd, Stage::Age].map(timed), [8; 4]);
    assert!(rig.ctx.pipeline.health.unreached().is_empty() && rig.ctx.pipeline.metrics.last_delivered_ms.get() > 0);
}

#[test]
fn order_per_key_holds_through_retriable_errors_and_a_full_queue() {
    let cluster = cluster(3);
    error(&cluster, RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, 5);
    let options = Options {
        properties: vec![("queue.buffering.max.messages", "50"), ("message.max.bytes", "1000000")],
        ..Options::default()
    };
    let mut rig = Rig::start(&cluster, options);
    let tenure = rig.assign(0);
    let tickets: Vec<_> = (0..10).map(|at| rig.send_range(tenure, at * 200..(at + 1) * 200)).collect();
    for ticket in tickets {
        rig.await_settled(ticket, Outcome::Delivered, 200);
    }
    let rig = rig.finish();
    assert!(rig.others.is_empty(), "{:?}", rig.others);
    let read = read_back(&cluster, TOPIC, 3, 2_000);
    assert_eq!(read.iter().map(Vec::len).sum::<usize>(), 2_000, "each once");
    for values in read {
        let mut last = [-1; 5];
        for value in values {
            let at: i64 = value[2..].parse().expect("number");
            let key = (at % 5) as usize;
            assert!(at > last[key], "{at} after {}", last[key]);
            last[key] = at;
        }
    }
}

#[test]
fn fenced_records_are_neither_sent_nor_settled() {
    let cluster = cluster(1);
    let mut rig = Rig::start(&cluster, Options::default());
    let (gone, kept) = (rig.assign(0), rig.assign(1));
    rig.fence(gone.0);
    let (old, fresh) = (rig.ticket(gone), rig.ticket(kept));
    let batch = rig.batch(&[(old, 1, "k", b"old"), (fresh, 1, "k", b"fresh"), (old, 2, "k", b"old")]);
    rig.send(batch);
    rig.await_settled(fresh, Outcome::Delivered, 1);
    let rig = rig.finish();
    assert_eq!(rig.settled(old, Outcome::Delivered), 0);
    assert_eq!(read_back(&cluster, TOPIC, 1, 1)[0], ["fresh"]);
    assert_eq!(rig.ctx.pipeline.budget.used(), 0);
}

#[test]
fn nothing_behind_a_lost_batch_is_sent_before_it_was_read_again() {
    let cluster = cluster(1);
    let mut rig = Rig::start(&cluster, Options::default());
    let tenure = rig.assign(0);
    let ticket = rig.ticket(tenure);
    let mut lost = rig.batch(&[]);
    lost.lost.push(ticket);
    rig.send(lost);
    let behind = rig.batch(&[(ticket, 2, "k", b"behind")]);
    rig.send(behind);
    assert_eq!(rig.await_rewind(ticket), RewindCause::Lost);
    let tenure = (tenure.0, rig.fence(tenure.0));
    let again = rig.ticket(tenure);
    let batch = rig.batch(&[(again, 1, "k", b"lost"), (again, 2, "k", b"behind")]);
    rig.send(batch);
    rig.await_settled(again, Outcome::Delivered, 2);
    rig.finish();
    assert_eq!(read_back(&cluster, TOPIC, 1, 2)[0], ["lost", "behind"]);
}

#[test]
fn a_record_too_large_for_the_client_is_rejected_and_the_others_go_on() {
    let cluster = cluster(1);
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("dead.ndjson");
    let options = Options {
        properties: vec![("message.max.bytes", "2000"), ("batch.size", "2000")],
        on_reject: OnReject::DeadLetterFile { path: path.clone() },
        ..Options::default()
    };
    let mut rig = Rig::start(&cluster, options);
    let tenure = rig.assign(0);
    let ticket = rig.ticket(tenure);
    let large = vec![b'x'; 5_000];
    let batch = rig.batch(&[(ticket, 1, "k", b"one"), (ticket, 2, "k", &large), (ticket, 3, "k", b"three")]);
    rig.send(batch);
    rig.await_settled(ticket, Outcome::Delivered, 2);
    rig.await_settled(ticket, Outcome::DeadLettered, 1);
    let rig = rig.finish();
    rig.ctx.desk.close();
    assert_eq!(read_back(&cluster, TOPIC, 1, 2)[0], ["one", "three"]);
    let text = std::fs::read_to_string(&path).expect("readable");
    let line: serde_json::Value = serde_json::from_str(&text).expect("one line");
    assert_eq!((&line["reason"], &line["value"]), (&"too_large".into(), &"original-2".into()));
}

#[test]
fn records_the_broker_calls_too_large_together_are_sent_alone_after_the_rewind() {
    let cluster = cluster(1);
    let mut rig = Rig::start(&cluster, Options::default());
    let tenure = rig.assign(0);
    error(&cluster, RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, 1);
    let ticket = rig.send_range(tenure, 0..3);
    assert_eq!(rig.await_rewind(ticket), RewindCause::Delivery);
    assert_eq!(rig.settled(ticket, Outcome::Delivered), 0);
    // The second of the three is the guilty one.
    let (none, large) =
        (RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR, RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
    cluster.request_errors(RDKafkaApiKey::Produce, &[none, large]);
    let tenure = (tenure.0, rig.fence(tenure.0));
    let again = rig.send_range(tenure, 0..10);
    rig.await_settled(again, Outcome::Delivered, 9);
    rig.await_settled(again, Outcome::Dropped, 1);
    let rewinds = rig.others.len();
    // Read once more, the guilty one is rejected unsent.
    let tenure = (tenure.0, rig.fence(tenure.0));
    let third = rig.send_range(tenure, 0..10);
    rig.await_settled(third, Outcome::Delivered, 9);
    rig.await_settled(third, Outcome::Dropped, 1);
    let rig = rig.finish();
    assert_eq!((rewinds, rig.others.len()), (1, 1), "{:?}", rig.others);
    let expected: Vec<String> = [0, 2, 3, 4, 5, 6, 7, 8, 9].repeat(2).iter().map(|at| format!("v-{at}")).collect();
    assert_eq!(read_back(&cluster, TOPIC, 1, 18)[0], expected);
}

#[test]
fn a_failed_report_rewinds_its_partition_once_and_nothing_of_that_epoch_follows() {
    let cluster = cluster(1);
    let mut rig = Rig::start(&cluster, Options::default());
    let (failing, fine) = (rig.assign(0), rig.assign(1));
    error(&cluster, RDKafkaRespErr::RD_KAFKA_RESP_ERR_POLICY_VIOLATION, 1);
    let ticket = rig.send_range(failing, 0..5);
    assert_eq!(rig.await_rewind(ticket), RewindCause::Delivery);
    let follower = rig.send_range(failing, 5..10);
    let other = rig.send_range(fine, 100..105);
    rig.await_settled(other, Outcome::Delivered, 5);
    let tenure = (failing.0, rig.fence(failing.0));
    let again = rig.send_range(tenure, 0..10);
    rig.await_settled(again, Outcome::Delivered, 10);
    let rig = rig.finish();
    assert_eq!(rig.settled(follower, Outcome::Delivered), 0);
    assert_eq!(rig.others.len(), 1, "{:?}", rig.others);
    let metrics = &rig.ctx.pipeline.metrics;
    assert_eq!(metrics.sink_item_errors.snapshot(), [(44, "other", 5)], "POLICY_VIOLATION");
    assert_eq!(metrics.sink_request(RequestClass::BrokerError).get(), 1, "one answer for five records");
    assert!(metrics.sink_request(RequestClass::Acknowledged).get() >= 2);
    let expected: Vec<String> = (100..105).chain(0..10).map(|at| format!("v-{at}")).collect();
    assert_eq!(read_back(&cluster, TOPIC, 1, 15)[0], expected);
}

#[test]
fn missing_rights_halt_with_their_exit_code_and_settle_nothing() {
    let cluster = cluster(1);
    let mut rig = Rig::start(&cluster, Options::default());
    let tenure = rig.assign(0);
    error(&cluster, RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, 1);
    let ticket = rig.send_range(tenure, 0..5);
    let halt = rig.await_halt();
    assert_eq!(halt.exit, Exit::Permission);
    assert!(halt.message.contains(TOPIC) && halt.message.contains("downstream"), "{}", halt.message);
    let later = rig.send_range(tenure, 5..10);
    let rig = rig.finish();
    assert_eq!((rig.settled(ticket, Outcome::Delivered), rig.settled(later, Outcome::Delivered)), (0, 0));
    assert_eq!(rig.ctx.pipeline.budget.used(), 0);
}

#[test]
fn a_fatal_error_brings_a_new_producer_and_rewinds_what_was_open() {
    let cluster = cluster(1);
    let mut rig = Rig::start(&cluster, Options::default());
    let (one, other) = (rig.assign(0), rig.assign(1));
    // At the head of the line librdkafka cannot mend it.
    error(&cluster, RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, 1);
    let lost = rig.send_range(one, 0..5);
    assert_eq!(rig.await_rewind(lost), RewindCause::Producer);
    let untouched = rig.send_range(other, 50..55);
    rig.await_settled(untouched, Outcome::Delivered, 5);
    let tenure = (one.0, rig.fence(one.0));
    let again = rig.send_range(tenure, 0..5);
    rig.await_settled(again, Outcome::Delivered, 5);
    let rig = rig.finish();
    assert_eq!((rig.settled(lost, Outcome::Delivered), rig.others.len()), (0, 1), "{:?}", rig.others);
}

#[test]
fn a_user_without_the_right_to_write_idempotently_halts() {
    let cluster = cluster(1);
    let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED;
    cluster.request_errors(RDKafkaApiKey::InitProducerId, &[refused; 4]);
    let mut rig = Rig::start(&cluster, Options::default());
    let tenure = rig.assign(0);
    let ticket = rig.send_range(tenure, 0..5);
    let halt = rig.await_halt();
    assert_eq!(halt.exit, Exit::Permission);
    let rig = rig.finish();
    assert_eq!(rig.settled(ticket, Outcome::Delivered), 0);
}

#[test]
fn records_a_broker_calls_invalid_are_found_one_by_one() {
    let cluster = cluster(1);
    let mut rig = Rig::start(&cluster, Options::default());
    let tenure = rig.assign(0);
    let invalid = RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_RECORD;
    error(&cluster, invalid, 1);
    let ticket = rig.send_range(tenure, 0..4);
    rig.await_rewind(ticket);
    assert_eq!(rig.settled(ticket, Outcome::Dropped), 0, "nobody is rejected for what a neighbour did");
    cluster.request_errors(RDKafkaApiKey::Produce, &[invalid]);
    let tenure = (tenure.0, rig.fence(tenure.0));
    let again = rig.send_range(tenure, 0..4);
    rig.await_settled(again, Outcome::Dropped, 1);
    rig.await_settled(again, Outcome::Delivered, 3);
    rig.finish();
    assert_eq!(read_back(&cluster, TOPIC, 1, 3)[0], ["v-1", "v-2", "v-3"]);
}

#[test]
fn a_limit_that_cannot_be_read_is_no_reason_to_wait_or_stop() {
    let cluster = cluster(1);
    let start = Instant::now();
    let answer = limit::max_message_bytes(&connection(&cluster.bootstrap_servers()), TOPIC, Duration::from_secs(2));
    assert!(answer.is_err() && start.elapsed() < Duration::from_secs(10), "{answer:?}");
    let mut rig = Rig::start(&cluster, Options { properties: Vec::new(), ..Options::default() });
    let tenure = rig.assign(0);
    let ticket = rig.send_range(tenure, 0..5);
    rig.await_settled(ticket, Outcome::Delivered, 5);
    rig.finish();
}

#[test]
fn a_silent_cluster_is_given_up_and_probed_until_it_answers() {
    let cluster = cluster(1);
    let mut rig = Rig::start(&cluster, Options { in_place: Duration::from_secs(3), ..Options::default() });
    let tenure = rig.assign(0);
    let ready = rig.send_range(tenure, 0..1);
    rig.await_settled(ready, Outcome::Delivered, 1);
    cluster.broker_down(1).expect("down");
    let ticket = rig.send_range(tenure, 1..10);
    rig.await_reports("given up", |rig| rig.others.contains(&Report::GaveUp(GiveUp::Unacknowledged)));
    let named = rig
        .ctx
        .pipeline
        .health
        .faults()
        .into_iter()
        .any(|(room, fault)| room == Component::Sink && fault.message.contains(TOPIC));
    assert!(named, "the fault is named");
    // Of an epoch the source has not fenced yet: held, not lost.
    let held = rig.assign(1);
    let held = rig.send_range(held, 50..52);
    let tenure = (tenure.0, rig.fence(tenure.0));
    cluster.broker_up(1).expect("up");
    rig.await_reports("answers", |rig| rig.others.contains(&Report::SinkAnswers));
    rig.await_settled(held, Outcome::Delivered, 2);
    let again = rig.send_range(tenure, 1..10);
    rig.await_settled(again, Outcome::Delivered, 9);
    let rig = rig.finish();
    assert_eq!(rig.settled(ticket, Outcome::Delivered), 0);
    assert!(rig.ctx.pipeline.health.faults().is_empty(), "{:?}", rig.ctx.pipeline.health.faults());
    assert_eq!(rig.others.iter().filter(|report| matches!(report, Report::GaveUp(_))).count(), 1);
}

#[test]
fn a_missing_topic_gives_everything_back_and_goes_on_when_it_is_there() {
    let cluster = cluster(1);
    let missing = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    cluster.topic_error(TOPIC, missing).expect("topic error");
    let options = Options {
        properties: vec![("message.max.bytes", "1000000"), ("topic.metadata.propagation.max.ms", "200")],
        ..Options::default()
    };
    let mut rig = Rig::start(&cluster, options);
    let tenure = rig.assign(0);
    rig.send_range(tenure, 0..5);
    rig.await_reports("given up", |rig| rig.others.contains(&Report::GaveUp(GiveUp::MissingTopic)));
    let fault =
        rig.ctx.pipeline.health.faults().into_iter().find(|(room, _)| *room == Component::Sink).expect("a fault").1;
    assert!(fault.message.contains(TOPIC) && fault.message.contains("Create it"), "{}", fault.message);
    cluster.topic_error(TOPIC, RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).expect("topic error");
    rig.await_reports("answers", |rig| rig.others.contains(&Report::SinkAnswers));
    let tenure = (tenure.0, rig.fence(tenure.0));
    let again = rig.send_range(tenure, 0..5);
    rig.await_settled(again, Outcome::Delivered, 5);
    rig.finish();
}

#[test]
fn records_choose_their_topic() {
    let cluster = cluster(1);
    for topic in ["left", "right"] {
        cluster.create_topic(topic, 1, 1).expect("topic");
    }
    let topic = Template { text: "{key}".into(), segments: vec![TemplateSegment::Key] };
    let mut rig = Rig::start(&cluster, Options { topic, ..Options::default() });
    let tenure = rig.assign(0);
    let ticket = rig.ticket(tenure);
    let batch = rig.batch(&[
        (ticket, 1, "left", b"1"),
        (ticket, 2, "left", b"2"),
        (ticket, 3, "right", b"3"),
        (ticket, 4, "left", b"4"),
    ]);
    rig.send(batch);
    rig.await_settled(ticket, Outcome::Delivered, 4);
    rig.finish();
    assert_eq!(read_back(&cluster, "left", 1, 3)[0], ["1", "2", "4"]);
    assert_eq!(read_back(&cluster, "right", 1, 1)[0], ["3"]);
}

#[test]
fn a_lost_partition_is_quiet_after_its_reports_or_after_a_purge() {
    let cluster = cluster(1);
    let mut rig = Rig::start(&cluster, Options::default());
    let (lost, kept) = (rig.assign(0), rig.assign(1));
    rig.commands.send(SinkCommand::Quiesce(lost.0)).expect("taken");
    rig.await_reports("quiet", |rig| rig.others.contains(&Report::Quiet(lost.0)));
    rig.others.clear();
    let ready = rig.send_range(kept, 0..1);
    rig.await_settled(ready, Outcome::Delivered, 1);
    cluster.broker_down(1).expect("down");
    let open = rig.send_range(lost, 0..5);
    let kept_open = rig.send_range(kept, 1..3);
    rig.await_released(3);
    rig.ctx.pipeline.table.set_current(lost.0, Epoch::NONE);
    rig.commands.send(SinkCommand::Quiesce(lost.0)).expect("taken");
    let early = rig.reports.recv_timeout(Duration::from_millis(300));
    assert!(early.is_err(), "its reports are open: {early:?}");
    rig.commands.send(SinkCommand::Purge).expect("taken");
    rig.await_reports("quiet", |rig| rig.others.contains(&Report::Quiet(lost.0)));
    assert_eq!(rig.await_rewind(kept_open), RewindCause::Producer);
    cluster.broker_up(1).expect("up");
    let tenure = (kept.0, rig.fence(kept.0));
    let again = rig.send_range(tenure, 1..3);
    rig.await_settled(again, Outcome::Delivered, 2);
    let rig = rig.finish();
    assert_eq!(rig.settled(open, Outcome::Delivered), 0);
    assert_eq!(read_back(&cluster, TOPIC, 1, 3)[0], ["v-0", "v-1", "v-2"]);
}

#[test]
fn an_abort_ends_with_open_records_unsettled() {
    let cluster = cluster(1);
    let mut rig = Rig::start(&cluster, Options::default());
    let tenure = rig.assign(0);
    cluster.broker_down(1).expect("down");
    let ticket = rig.send_range(tenure, 0..5);
    rig.await_released(1);
    rig.ctx.pipeline.stop.abort();
    rig.join();
    assert_eq!(rig.settled(ticket, Outcome::Delivered), 0);
    assert_eq!(rig.ctx.pipeline.budget.used(), 0);
}

#[test]
fn a_sequence_number_that_cannot_be_halts_as_a_bug() {
    let cluster = cluster(1);
    let mut rig = Rig::start(&cluster, Options::default());
    rig.send(Prepared::empty(500, Charge::none(), Instant::now()));
    assert_eq!(rig.await_halt().exit, Exit::Failure);
    rig.finish();
}

mod targets;
mod waits;
