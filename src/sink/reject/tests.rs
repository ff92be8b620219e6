//! The reject desk: verdicts, order, breaker, and what a slow dead letter does.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{ClientConfig, Offset as ReadFrom, TopicPartitionList};

use super::*;
use crate::config::plan::{
    BreakerPlan, KafkaConnection, OnDamaged, OnHalt, OnTooLarge, RetryPlan, SinkPlan, SourcePlan, Start,
};
use crate::model::{Epoch, ItemPath, Offset, RejectReason, Ticket, TicketId, TopicPartition};
use crate::sink::kafka::tests::sink_plan;
use crate::telemetry::health::Component;

const WAIT: Duration = Duration::from_secs(20);

/// A desk, what it reports, and the handles behind it.
struct Office {
    desk: Arc<Rejects>,
    reports: flume::Receiver<Report>,
    pipeline: Arc<Handles>,
    ticket: Ticket,
}

fn plan(on_reject: OnReject, breaker: BreakerPlan) -> PipelinePlan {
    let connection =
        KafkaConnection { name: "up".into(), brokers: vec!["127.0.0.1:1".into()], properties: BTreeMap::new() };
    PipelinePlan {
        name: "relay".into(),
        source: SourcePlan {
            connection: connection.clone(),
            topics: vec!["events".into()],
            group: "relay".into(),
            instance_id: None,
            start: Start::Earliest,
            format: Default::default(),
            on_damaged: OnDamaged::Hold,
            revoke_timeout: Duration::from_secs(2),
            session_timeout: Duration::from_secs(45),
        },
        steps: Vec::new(),
        sink: SinkPlan::Kafka(sink_plan(connection, "out")),
        on_reject,
        breaker,
        retry: RetryPlan {
            first: Duration::from_millis(10),
            max: Duration::from_millis(100),
            in_place: Duration::from_secs(5),
        },
        commit_interval: Duration::from_millis(200),
        on_halt: OnHalt::Exit,
        span_records: 200_000,
        value_bytes: 16 << 20,
        most_items: 10_000,
        memory: crate::model::MemoryShare(64 << 20),
        workers: 1,
    }
}

const QUIET: BreakerPlan = BreakerPlan { ratio: 1.0, window: 1_000_000, in_a_row: 1_000_000, count_redirected: false };

/// A desk that drops every reject and whose reports reach nobody, for tests of what stands before it.
#[allow(dead_code, reason = "for the tests of other sinks")]
pub(crate) fn idle_desk() -> Arc<Rejects> {
    let (sender, _) = flume::bounded(1);
    let pipeline = Handles::new(&"relay".into(), 1 << 20, Arc::default());
    desk(OnReject::Drop, &pipeline, &ReportSender::new(sender, pipeline.wake.clone()))
}

/// A desk that shares these handles, with a breaker that never trips.
pub(crate) fn desk(on_reject: OnReject, pipeline: &Arc<Handles>, reports: &ReportSender) -> Arc<Rejects> {
    Rejects::open(&plan(on_reject, QUIET), pipeline.clone(), reports.clone()).expect("opens")
}

impl Office {
    fn open(on_reject: OnReject, breaker: BreakerPlan) -> Self {
        let (sender, reports) = flume::bounded(1024);
        let pipeline = Handles::new(&"relay".into(), 1 << 20, Arc::default());
        let slot = pipeline.table.slot(&TopicPartition { topic: "events".into(), partition: 3 }).expect("slot");
        let epoch = Epoch::fresh();
        pipeline.table.set_current(slot, epoch);
        let sender = ReportSender::new(sender, pipeline.wake.clone());
        let desk = Rejects::open(&plan(on_reject, breaker), pipeline.clone(), sender).expect("opens");
        Self { desk, reports, pipeline, ticket: Ticket { id: TicketId(1), slot, epoch } }
    }

    fn place(&self, offset: i64) -> Place {
        Place { ticket: self.ticket, offset: Offset(offset), item: ItemPath::WHOLE, index: offset as u32 }
    }

    fn file(&self, offset: i64) {
        let reject = Reject::new(RejectReason::Missing, &"steps[0].select".into(), "/result not found");
        self.desk.file(self.place(offset), reject, self.desk.needs_original().then(|| original(offset)));
    }

    /// Sums dead-lettered or dropped records until `count` are settled.
    fn await_settled(&self, outcome: Outcome, count: u32) {
        let deadline = Instant::now() + WAIT;
        let mut seen = 0;
        while seen < count {
            let report = self.reports.recv_deadline(deadline).expect("settled in time");
            let Report::Settled(parts) = report else { panic!("{report:?}") };
            assert!(parts.iter().all(|part| part.ticket == self.ticket && part.outcome == outcome), "{parts:?}");
            seen += parts.iter().map(|part| part.records).sum::<u32>();
        }
        assert_eq!(seen, count);
    }

    fn await_fault(&self) -> String {
        let deadline = Instant::now() + WAIT;
        while Instant::now() < deadline {
            if let Some((_, fault)) =
                self.pipeline.health.faults().into_iter().find(|(room, _)| *room == Component::DeadLetter)
            {
                return fault.message;
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
        panic!("no fault was named");
    }
}

fn original(offset: i64) -> OwnedRecord {
    OwnedRecord {
        topic: "events".into(),
        partition: 3,
        offset,
        timestamp_ms: Some(1_700_000_000_000),
        key: (offset % 2 == 0).then(|| vec![0xff, offset as u8]),
        value: Some(format!("value-{offset}").into_bytes()),
        headers: vec![("own".into(), Some(b"1".to_vec()))],
    }
}

fn topic_target(cluster: &MockCluster<'static, rdkafka::producer::DefaultProducerContext>, topic: &str) -> OnReject {
    let brokers = cluster.bootstrap_servers().split(',').map(str::to_owned).collect();
    let connection = KafkaConnection { name: "down".into(), brokers, properties: BTreeMap::new() };
    OnReject::DeadLetterKafka { connection, topic: topic.into(), on_too_large: OnTooLarge::Hold }
}

#[test]
fn stop_halts_once_with_the_coordinates_and_settles_nothing() {
    let office = Office::open(OnReject::Stop, QUIET);
    assert!(!office.desk.needs_original());
    office.file(7);
    office.file(8);
    let Ok(Report::Halt(halt)) = office.reports.try_recv() else { panic!("no halt") };
    assert_eq!(halt.exit, Exit::Rejected);
    for part in ["events[3]", "offset 7", "missing", "steps[0].select", "/result not found", "on_reject", "dead_letter"]
    {
        assert!(halt.message.contains(part), "{part} is missing in: {}", halt.message);
    }
    assert!(office.reports.is_empty());
    assert_eq!(office.pipeline.metrics.reject(RejectReason::Missing).get(), 2);
}

#[test]
fn drop_settles_each_as_dropped_until_the_breaker_trips() {
    let office = Office::open(
        OnReject::Drop,
        BreakerPlan { ratio: 1.0, window: 1_000_000, in_a_row: 4, count_redirected: false },
    );
    for offset in 1..=3 {
        office.file(offset);
    }
    office.await_settled(Outcome::Dropped, 3);
    office.file(4);
    office.file(5);
    let Ok(Report::Halt(halt)) = office.reports.try_recv() else { panic!("no halt") };
    assert!(halt.exit == Exit::Rejected && halt.message.contains("4 records in a row"), "{}", halt.message);
    assert!(office.reports.is_empty(), "what comes after the breaker is not settled");
}

#[test]
fn what_the_servers_put_aside_trips_the_breaker_only_where_it_is_to() {
    for count_redirected in [false, true] {
        let breaker = BreakerPlan { ratio: 1.0, window: 1_000_000, in_a_row: 4, count_redirected };
        let office = Office::open(OnReject::Drop, breaker);
        (1..=5).for_each(|offset| office.desk.redirected(office.place(offset), "put into its failure store"));
        let halts: Vec<Report> = office.reports.try_iter().collect();
        match halts.as_slice() {
            [] => assert!(!count_redirected),
            [Report::Halt(halt)] => {
                assert!(count_redirected && halt.exit == Exit::Rejected);
                assert!(halt.message.contains("failure store"), "{}", halt.message);
            }
            others => panic!("{others:?}"),
        }
    }
}

#[test]
fn a_batch_full_of_rejects_trips_the_ratio() {
    let office =
        Office::open(OnReject::Drop, BreakerPlan { ratio: 0.1, window: 100, in_a_row: 0, count_redirected: false });
    let reject = |offset: i64| Rejected {
        place: office.place(offset * 2),
        reject: Reject::new(RejectReason::Null, &"parse".into(), "null"),
    };
    office.desk.admit(90, (0..10).map(reject).collect(), None);
    office.await_settled(Outcome::Dropped, 10);
    office.desk.admit(50, (10..30).map(reject).collect(), None);
    let message = |report| if let Report::Halt(halt) = report { Some(halt.message) } else { None };
    let halted = office.reports.try_iter().find_map(message);
    assert!(halted.expect("halts").contains("of the last"));
}

#[test]
fn a_dead_letter_holds_the_original_bytes_and_settles_after_its_acknowledgement() {
    let cluster = MockCluster::new(1).expect("mock");
    cluster.create_topic("dead", 1, 1).expect("topic");
    let office = Office::open(topic_target(&cluster, "dead"), QUIET);
    assert!(office.desk.needs_original());
    for offset in 0..600 {
        office.file(offset);
    }
    office.await_settled(Outcome::DeadLettered, 600);
    office.desk.close();
    assert_eq!(office.pipeline.budget.used(), 0, "letters give their bytes back");

    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("group.id", "reader")
        .set("fetch.wait.max.ms", "10")
        .create()
        .expect("consumer");
    let mut list = TopicPartitionList::new();
    list.add_partition_offset("dead", 0, ReadFrom::Beginning).expect("valid");
    consumer.assign(&list).expect("assigns");
    let deadline = Instant::now() + WAIT;
    let mut next = 0;
    while next < 600 && Instant::now() < deadline {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        let message = message.expect("no error");
        let expected = original(next);
        assert_eq!(message.key(), expected.key.as_deref());
        assert_eq!(message.payload(), expected.value.as_deref());
        let headers: Vec<_> = message.headers().expect("headers").iter().map(|h| (h.key.to_owned(), h.value)).collect();
        let offset = next.to_string();
        assert!(headers.contains(&("sluicegate-offset".to_owned(), Some(offset.as_bytes()))), "{headers:?}");
        assert!(headers.contains(&("sluicegate-reason".to_owned(), Some(b"missing"))));
        assert_eq!(headers.last(), Some(&("own".to_owned(), Some(b"1".as_slice()))));
        next += 1;
    }
    assert_eq!(next, 600);
}

#[test]
fn a_refused_dead_letter_holds_in_place_is_named_and_is_written_again() {
    let cluster = MockCluster::new(1).expect("mock");
    cluster.create_topic("dead", 1, 1).expect("topic");
    let refusal = RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_RECORD;
    cluster.request_errors(RDKafkaApiKey::Produce, &[refusal, refusal, refusal]);
    let office = Office::open(topic_target(&cluster, "dead"), QUIET);
    office.file(5);
    let fault = office.await_fault();
    assert!(fault.contains("dead") && fault.contains("events[3] offset 5"), "{fault}");
    office.await_settled(Outcome::DeadLettered, 1);
    office.desk.close();
    assert!(office.reports.is_empty(), "no rewind, no halt");
}

#[test]
fn a_missing_topic_holds_and_the_alert_names_it() {
    let cluster = MockCluster::new(1).expect("mock");
    let missing = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    cluster.topic_error("nowhere", missing).expect("topic error");
    let office = Office::open(topic_target(&cluster, "nowhere"), QUIET);
    office.file(5);
    let fault = office.await_fault();
    assert!(fault.contains("nowhere"), "{fault}");
    assert!(office.reports.is_empty(), "nothing is settled");
    office.pipeline.stop.abort();
    office.desk.close();
    assert!(office.reports.is_empty(), "an abort settles nothing");
}

#[test]
fn letters_of_a_fenced_epoch_are_dropped_and_known_ones_settle_without_a_second_copy() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("dead.ndjson");
    let mut office = Office::open(OnReject::DeadLetterFile { path: path.clone() }, QUIET);
    office.file(1);
    office.await_settled(Outcome::DeadLettered, 1);
    let old = office.ticket;
    let epoch = Epoch::fresh();
    office.pipeline.table.set_current(old.slot, epoch);
    office.file(2);
    office.ticket = Ticket { id: TicketId(2), epoch, ..old };
    office.file(1);
    office.file(3);
    office.await_settled(Outcome::DeadLettered, 2);
    office.desk.close();
    assert!(office.reports.is_empty(), "the fenced letter is not settled");
    let text = std::fs::read_to_string(&path).expect("readable");
    let offsets: Vec<i64> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("json")["offset"].as_i64().expect("offset"))
        .collect();
    assert_eq!(offsets, [1, 3]);
}

#[test]
fn a_halt_for_another_reason_says_what_was_settled_before_and_ends_the_filing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("dead.ndjson");
    let letters = OnReject::DeadLetterFile { path: path.clone() };
    for (on_reject, outcome, part) in [
        (letters, Outcome::DeadLettered, "3 records into dead letters"),
        (OnReject::Drop, Outcome::Dropped, "dropped 3 records"),
    ] {
        let office = Office::open(on_reject.clone(), QUIET);
        assert_eq!(Office::open(on_reject, QUIET).desk.end_filing(), "", "nothing was settled");
        (0..3).for_each(|offset| office.file(offset));
        office.await_settled(outcome, 3);
        let told = office.desk.end_filing();
        assert!(told.contains(part), "{told}");
        office.file(3);
        assert!(office.reports.recv_timeout(Duration::from_millis(300)).is_err(), "left unsettled");
        assert_eq!(office.desk.end_filing(), told);
        office.desk.close();
    }
    let lines = std::fs::read_to_string(&path).expect("letters").lines().count();
    assert_eq!(lines, 3);
}

#[test]
fn the_breaker_says_how_many_letters_were_written_before_it_tripped() {
    let office = Office::open(OnReject::Drop, BreakerPlan { in_a_row: 3, ..QUIET });
    (0..3).for_each(|offset| office.file(offset));
    let halt = office.reports.iter().find_map(|report| match report {
        Report::Halt(halt) => Some(halt),
        _ => None,
    });
    let message = halt.expect("a halt").message;
    assert!(message.contains("rejected and dropped 2 records"), "{message}");
}
