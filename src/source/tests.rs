//! A source on the in-process cluster, turned by hand: the test is its workers and its sink.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use secrecy::SecretString;

use std::sync::Arc;

use super::context::*;
use super::control::*;
use super::pauses::PauseReason;
use super::rebalance::Rebalance;
use crate::config::plan::{
    BreakerPlan, KafkaConnection, OnDamaged, OnHalt, OnReject, PipelinePlan, RetryPlan, SinkPlan, SourcePlan, Start,
};
use crate::librdkafka::{ErrorCode, RecordBatch};
use crate::model::{Exit, GiveUp, Outcome, Part, PartitionId, Report, RewindCause, Run, TopicPartition};
use crate::sink::kafka::tests::sink_plan;
use crate::telemetry::handles::Handles;
use crate::telemetry::health::Component;
use crate::testbed::kafka::MockKafka;

const TOPIC: &str = "input";
const LIMIT: Duration = Duration::from_secs(30);

/// A sink that never has anything in flight.
struct Nothing;

impl InFlight for Nothing {
    fn ask(&self, _slot: PartitionId) {}
    fn is_quiet(&self, _slot: PartitionId) -> bool {
        true
    }
    fn purge(&self) {}
}

fn plan(brokers: &str) -> PipelinePlan {
    let properties = BTreeMap::from([("fetch.wait.max.ms".to_owned(), SecretString::from("10"))]);
    let connection = KafkaConnection { name: "up".into(), brokers: vec![brokers.to_owned()], properties };
    PipelinePlan {
        name: "relay".into(),
        source: SourcePlan {
            connection: connection.clone(),
            topics: vec![TOPIC.into()],
            group: "relay".into(),
            instance_id: None,
            start: Start::Earliest,
            format: Default::default(),
            on_damaged: OnDamaged::Hold,
            revoke_timeout: Duration::from_secs(2),
            // The mock group waits nearly this long for a member that has left.
            session_timeout: Duration::from_secs(3),
        },
        steps: Vec::new(),
        sink: SinkPlan::Kafka(sink_plan(connection, "out")),
        on_reject: OnReject::Drop,
        breaker: BreakerPlan { ratio: 1.0, window: 1_000_000, in_a_row: 1_000_000, count_redirected: false },
        retry: RetryPlan {
            first: Duration::from_millis(10),
            max: Duration::from_millis(100),
            in_place: Duration::from_secs(5),
        },
        commit_interval: Duration::from_millis(20),
        on_halt: OnHalt::Exit,
        span_records: 200_000,
        value_bytes: 16 << 20,
        most_items: 10_000,
        memory: crate::model::MemoryShare(64 << 20),
        workers: 1,
    }
}

struct Rig {
    // Dropped in this order: what was drained goes before its client, the client before its cluster.
    got: Vec<RecordBatch>,
    batches: flume::Receiver<RecordBatch>,
    source: Source,
    reports: flume::Sender<Report>,
    kafka: Arc<MockKafka>,
}

impl Rig {
    fn start(partitions: i32, until_end: bool, change: impl FnOnce(&mut PipelinePlan)) -> Self {
        Self::on(Arc::new(MockKafka::start(&[(TOPIC, partitions)]).expect("cluster")), until_end, change)
    }

    fn on(kafka: Arc<MockKafka>, until_end: bool, change: impl FnOnce(&mut PipelinePlan)) -> Self {
        let mut plan = plan(kafka.brokers());
        change(&mut plan);
        let (reports, settled) = flume::bounded(64);
        let (sender, batches) = flume::bounded(64);
        let mut source = Source::open(SourceContext {
            pipeline: Handles::new(&plan.name, plan.memory.0, Arc::default()),
            reports: settled,
            batches: sender,
            released: Arc::new(AtomicU64::new(1 << 40)),
            ring: 64,
            view: Arc::default(),
            in_flight: Arc::new(Nothing),
            until: until_end.then_some(Until::End),
            dry_run: false,
            plan: Arc::new(plan),
        })
        .expect("source");
        source.begin();
        Self { got: Vec::new(), batches, source, reports, kafka }
    }

    fn produce(&self, partition: i32, records: i32) {
        let producer: BaseProducer =
            ClientConfig::new().set("bootstrap.servers", self.kafka.brokers()).create().expect("producer");
        for number in 0..records {
            let value = format!("{{\"n\":{number}}}");
            let record = BaseRecord::<[u8], _>::to(TOPIC).partition(partition).payload(&value);
            producer.send(record).map_err(|(error, _)| error).expect("send");
        }
        producer.flush(Duration::from_secs(10)).expect("flush");
    }

    fn slot(&self, partition: i32) -> PartitionId {
        self.source.cx.pipeline.table.slot(&TopicPartition { topic: TOPIC.into(), partition }).expect("room")
    }

    fn position(&self, partition: i32) -> i64 {
        self.source.ledger.position(self.slot(partition)).map_or(-1, |position| position.0)
    }

    fn turn(&mut self) {
        self.source.turn(Instant::now());
        self.got.extend(self.batches.drain());
        self.source.cx.pipeline.wake.park(Duration::from_millis(5));
    }

    fn turn_until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + LIMIT;
        while !done(self) {
            assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}");
            self.turn();
        }
    }

    fn assigned(&mut self, partitions: usize) {
        self.turn_until("assigned", |rig| {
            rig.source.partitions.len() == partitions && rig.source.rebalance.is_stable()
        });
    }

    /// Turns until this many records came; their runs, forgotten here. The messages are freed.
    fn runs(&mut self, records: u32) -> Vec<Run> {
        let count = |rig: &Self| rig.got.iter().flat_map(|batch| &batch.runs).map(Run::records).sum::<u32>();
        self.turn_until("records", |rig| count(rig) >= records);
        self.got.drain(..).flat_map(|batch| batch.runs).collect()
    }

    fn settle(&mut self, runs: &[Run]) {
        let part = |run: &Run| Part::of_records(run.ticket, Outcome::Delivered, run.records());
        self.reports.send(Report::Settled(runs.iter().map(part).collect())).expect("taken");
        self.turn();
    }

    fn rewind(&mut self, run: &Run) {
        let report = Report::Rewind { tickets: vec![run.ticket], cause: RewindCause::Delivery };
        self.reports.send(report).expect("taken");
    }

    /// Ends the source as a stop does; how it ended and how long that took.
    fn finish(self) -> (SourceEnd, Duration) {
        let Self { got, batches, source, reports, kafka } = self;
        drop((got, batches, reports));
        let started = Instant::now();
        let end = source.finish();
        drop(kafka);
        (end, started.elapsed())
    }

    /// What librdkafka would say every few seconds.
    fn statistics(&mut self, partition: i32, next_offset: i64) {
        let json = format!(
            r#"{{"topics":{{"{TOPIC}":{{"partitions":{{"{partition}":
            {{"partition":{partition},"next_offset":{next_offset},"ls_offset":1000,"lo_offset":0}}}}}}}}}}"#
        );
        self.source.take_statistics(&json);
    }
}

#[test]
fn what_is_destroyed_while_draining_is_never_adopted() {
    let mut rig = Rig::start(2, false, |_| {});
    rig.produce(0, 5);
    rig.produce(1, 1);
    let runs = rig.runs(6);
    let first: Vec<_> = runs.into_iter().filter(|run| run.ticket.slot == rig.slot(0)).collect();
    rig.settle(&first);
    assert_eq!(rig.position(0), 5);
    // A drain: partition 1 still has an open record, partition 0 has a new one that nobody will process.
    rig.source.stop_taking();
    rig.produce(0, 1);
    let deadline = Instant::now() + LIMIT;
    let name = TopicPartition { topic: TOPIC.into(), partition: 0 };
    while rig.source.consumer.position(&name) < 6 {
        assert!(Instant::now() < deadline, "the record never came");
        rig.source.serve_group();
        rig.source.upkeep(Instant::now());
    }
    rig.statistics(0, 6);
    assert_eq!(rig.position(0), 5, "offset 5 was destroyed: committing behind it loses it");
}

#[test]
fn what_the_hold_loses_at_a_stop_is_never_adopted() {
    let mut rig = Rig::start(1, false, |_| {});
    rig.produce(0, 3);
    let runs = rig.runs(3);
    rig.settle(&runs);
    rig.source.cx.released = Arc::new(AtomicU64::new(0));
    rig.source.cx.ring = 0;
    rig.produce(0, 2);
    rig.turn_until("held", |rig| !rig.source.hold.is_empty());
    rig.source.stop_taking();
    rig.statistics(0, 5);
    assert_eq!(rig.position(0), 3);
}

#[test]
fn a_rewind_of_a_partition_past_its_mark_reads_again() {
    let mut rig = Rig::start(1, true, |_| {});
    rig.produce(0, 5);
    rig.assigned(1);
    // Behind the mark, which was pinned at 5.
    rig.produce(0, 3);
    let slot = rig.slot(0);
    let runs = rig.runs(5);
    rig.turn_until("past the mark", |rig| rig.source.partitions[&slot].pauses.has(PauseReason::Until));
    rig.rewind(&runs[0]);
    let again = rig.runs(5);
    assert_eq!((again[0].first.0, rig.position(0)), (runs[0].first.0, runs[0].first.0));
    rig.settle(&again);
    rig.turn_until("the end", |rig| rig.source.bounded_run_is_over());
    assert_eq!(rig.position(0), 5);
}

#[test]
fn records_given_back_while_draining_are_left_open() {
    let mut rig = Rig::start(1, false, |_| {});
    rig.produce(0, 4);
    drop(rig.runs(4));
    rig.source.cx.pipeline.stop.drain();
    rig.reports.send(Report::GaveUp(GiveUp::Unacknowledged)).expect("taken");
    let (end, _) = rig.finish();
    assert_eq!((end.left_open, end.halt), (4, None));
}

#[test]
fn a_seek_that_was_lost_is_repeated() {
    let mut rig = Rig::start(1, false, |_| {});
    rig.produce(0, 10);
    let runs = rig.runs(10);
    let slot = rig.slot(0);
    rig.rewind(&runs[0]);
    rig.source.take_reports(Instant::now());
    let deadline = Instant::now() + LIMIT;
    while rig.source.partitions[&slot].is_seeking() {
        assert!(Instant::now() < deadline, "never sought");
        rig.source.seek_due(Instant::now());
    }
    let skew = TopicPartition { topic: TOPIC.into(), partition: 0 };
    let answers = rig.source.consumer.seek(&[(skew, 7)], 1000).expect("seek");
    assert_eq!(answers[0].error, None);
    let again = rig.runs(10);
    assert_eq!((again[0].first.0, again.iter().map(Run::records).sum::<u32>()), (0, 10));
}

#[test]
fn a_source_stopped_while_it_is_assigned_leaves_at_once() {
    // The answers may be there within the turn that asks; then it is no such source.
    let assigning = |_| {
        let mut rig = Rig::start(2, false, |_| {});
        let is = |rig: &mut Rig| matches!(rig.source.rebalance, Rebalance::Assigning(_));
        rig.turn_until("assigning", |rig| is(rig) || !rig.source.partitions.is_empty());
        is(&mut rig).then_some(rig)
    };
    let rig = (0..20).find_map(assigning).expect("an assignment that waits for answers");
    rig.source.cx.pipeline.stop.drain();
    let (end, took) = rig.finish();
    assert_eq!((end.left_open, end.committed), (0, true));
    assert!(took < Duration::from_secs(4), "{took:?}");
}

#[test]
fn a_source_stopped_while_it_gives_partitions_up_leaves_behind_its_commit() {
    let mut rig = Rig::start(2, false, |plan| plan.source.revoke_timeout = Duration::from_secs(20));
    rig.produce(0, 3);
    rig.produce(1, 3);
    let runs = rig.runs(6);
    let slot = rig.slot(0);
    let resolved: Vec<_> = runs.into_iter().filter(|run| run.ticket.slot == slot).collect();
    rig.settle(&resolved);
    let both = [0, 1].map(|partition| TopicPartition { topic: TOPIC.into(), partition });
    rig.source.begin_revoke(both.to_vec(), false, Instant::now());
    rig.turn();
    assert!(matches!(rig.source.rebalance, Rebalance::Revoking(_)), "waits for partition 1");
    rig.source.cx.pipeline.stop.drain();
    let kafka = rig.kafka.clone();
    let (end, took) = rig.finish();
    assert_eq!(end.left_open, 3, "of the partition nobody settled");
    assert!(took < Duration::from_secs(4), "{took:?}");
    let mut next = Rig::on(kafka, false, |_| {});
    next.assigned(2);
    assert_eq!((next.position(0), next.position(1)), (3, 0));
}

#[test]
fn a_fatal_error_and_refused_rights_end_the_source() {
    let cases = [
        (RDKafkaRespErr::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID, Exit::Protocol, "fenced"),
        (RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, Exit::Permission, "refused"),
    ];
    for (error, exit, word) in cases {
        let kafka = Arc::new(MockKafka::start(&[(TOPIC, 1)]).expect("cluster"));
        kafka.fail_requests(RDKafkaApiKey::JoinGroup, &[error; 20]).expect("errors");
        let mut rig = Rig::on(kafka, false, |plan| plan.source.instance_id = Some("one".into()));
        rig.turn_until("halted", |rig| rig.source.halt.is_some());
        let (end, took) = rig.finish();
        assert!(took < Duration::from_secs(5), "{took:?}");
        let halt = end.halt.expect("halted");
        assert_eq!(halt.exit, exit);
        assert!(halt.message.contains(word), "{}", halt.message);
    }
}

#[test]
fn a_fault_of_the_source_is_over_when_its_cluster_answers_again() {
    let mut rig = Rig::start(1, false, |_| {});
    rig.assigned(1);
    rig.source.take_error(ErrorCode::ALL_BROKERS_DOWN, "", false, Instant::now());
    let mut say = |state| {
        let json = format!(r#"{{"brokers":{{"a":{{"nodeid":1,"state":"{state}"}}}}}}"#);
        rig.source.take_statistics(&json);
        rig.source.cx.pipeline.health.faults().len()
    };
    assert_eq!((say("TRY_CONNECT"), say("UP")), (1, 0), "no record needs to come for it");
    rig.source.cx.pipeline.health.raise(Component::Source, "the topic is not there");
    rig.statistics(0, 0);
    assert_eq!(rig.source.cx.pipeline.health.faults().len(), 1, "another fault is not one of connections");
}

#[test]
fn a_pattern_that_matches_no_topic_is_told_as_it_was_written() {
    let pattern = crate::config::pattern::Pattern::new(r"^nothing-\d+$").expect("a pattern");
    let mut rig = Rig::start(1, false, |plan| {
        plan.source.topics = vec![crate::config::pattern::SourceTopic::Pattern(Box::new(pattern))];
    });
    let told = |rig: &Rig| {
        rig.source.cx.pipeline.health.faults().into_iter().map(|(_, fault)| fault.message).collect::<String>()
    };
    rig.turn_until("told", |rig| told(rig).contains("no topic matches"));
    assert_eq!(told(&rig), r"no topic matches `^nothing-\d+$`; waiting for one");
}
