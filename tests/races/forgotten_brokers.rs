//! An answer for metadata that names no broker makes librdkafka 2.12 forget all it knew. It names its bootstrap servers
//! again when its last broker goes, unless it is done with that answer only afterwards: then it connects to nobody any
//! more. A consumer nearly always ends so, a producer now and then. Each client of the engine goes on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::SecretString;
use sluicegate::internals::config::plan::{KafkaConnection, OnReject, OnTooLarge, SinkPlan};
use sluicegate::internals::model::{Exit, Outcome};
use sluicegate::internals::testbed::feeder::{FeedHooks, FeedPlan, Feeder};
use sluicegate::internals::testbed::generator::{Generator, LoadShape};
use sluicegate::internals::testbed::kafka::MockKafka;
use sluicegate_testkit::broker_proxy::BrokerProxy;
use sluicegate_testkit::services::{KafkaClient, NewRecord};

use super::engine_rig::{EngineRig, count, endpoint};
use super::plans::{self, INDEX, cluster};
use super::source_rig::{GROUP, TOPIC};
use super::waiting::{record, wait_until};

/// Tries to make a client forget. A consumer does in the first; a producer in some of them, or, in about every second
/// run of the test, in none, and then that run shows nothing.
const ROUNDS: usize = 20;
/// Answers without brokers each time. A consumer is done for with the first; for a producer it is one of the next.
const OF_A_CONSUMER: u64 = 1;
const OF_A_PRODUCER: u64 = 4;
/// A client that was without a broker for so long had forgotten them and was told them again.
const WAS_TOLD: Duration = Duration::from_secs(5);

fn before(kafka: &MockKafka) -> BrokerProxy {
    let (_, port) = kafka.brokers().rsplit_once(':').expect("host:port");
    BrokerProxy::start(port.parse().expect("a port")).expect("a relay")
}

/// A connection whose client asks for metadata all the time; by default it does every five minutes, and whenever
/// something is amiss.
fn through(relay: &BrokerProxy) -> KafkaConnection {
    let mut connection = cluster("downstream", &relay.address().to_string());
    connection.properties.insert("topic.metadata.refresh.interval.ms".into(), SecretString::from("100"));
    connection
}

/// Breaks the client's connection and names it no broker, again and again until it has forgotten them all. Each time
/// `feed` gives it a reason to ask about a topic: only an answer with topics and without brokers is believed.
fn make_forget(relay: &BrokerProxy, answers: u64, mut feed: impl FnMut()) {
    for _ in 0..ROUNDS {
        let (before, started) = (relay.named_nobody(), Instant::now());
        relay.set_names_nobody(true);
        relay.reset();
        feed();
        wait_until("answers that name nobody", || relay.named_nobody() >= before + answers);
        relay.set_names_nobody(false);
        if started.elapsed() > WAS_TOLD {
            return;
        }
    }
}

/// Feeds the first partition of [`TOPIC`], one record at a time.
struct Feed {
    client: KafkaClient,
    record: fn(i64) -> NewRecord,
    fed: i64,
}

impl Feed {
    fn new(kafka: &MockKafka, record: fn(i64) -> NewRecord) -> Self {
        Self { client: KafkaClient::at(kafka.brokers()), record, fed: 0 }
    }

    fn next(&mut self) {
        self.fed += 1;
        self.client.produce(TOPIC, [(self.record)(self.fed)]).expect("a record is fed");
    }
}

/// One record passes; the client behind the relay forgets; the records of that time and one more pass. How many there
/// were.
fn goes_on(rig: &EngineRig, relay: &BrokerProxy, answers: u64, mut feed: Feed) -> i64 {
    feed.next();
    wait_until("the first record is committed", || rig.committed() == [Some(1)]);
    make_forget(relay, answers, || feed.next());
    feed.next();
    wait_until("the records after it are committed", || rig.committed() == [Some(feed.fed)]);
    feed.fed
}

fn good(n: i64) -> NewRecord {
    record(0, &n.to_string(), n)
}

fn bad(n: i64) -> NewRecord {
    NewRecord::keyed(n.to_string(), "no JSON").to(0)
}

#[test]
fn a_source_that_forgot_its_brokers_reads_on() {
    let (kafka, search) = (MockKafka::start(&[(TOPIC, 1)]).unwrap(), endpoint());
    let relay = before(&kafka);
    let mut plan = plans::pipeline(kafka.brokers(), TOPIC, GROUP, plans::bulk(&search.url()));
    plan.source.connection = through(&relay);
    let rig = EngineRig::start_beside(plan, kafka.brokers());
    let fed = goes_on(&rig, &relay, OF_A_CONSUMER, Feed::new(&kafka, good));
    assert_eq!(search.count(INDEX), fed as usize);
    assert_eq!(rig.drain().exit, Exit::Done);
}

#[test]
fn a_kafka_sink_that_forgot_its_brokers_sends_on() {
    let (kafka, out) = (MockKafka::start(&[(TOPIC, 1)]).unwrap(), MockKafka::start(&[("out", 1)]).unwrap());
    let relay = before(&out);
    let SinkPlan::Kafka(mut sink) = plans::relay(out.brokers(), "out") else { panic!("no Kafka sink") };
    sink.connection = through(&relay);
    let rig = EngineRig::start(plans::pipeline(kafka.brokers(), TOPIC, GROUP, SinkPlan::Kafka(sink)));
    let fed = goes_on(&rig, &relay, OF_A_PRODUCER, Feed::new(&kafka, good));
    // A connection that ends may take an acknowledgement with it: what comes twice is the same.
    let mut arrived = KafkaClient::at(out.brokers()).read_all("out").unwrap();
    arrived.dedup_by(|one, other| one.key == other.key);
    let keys = arrived.into_iter().map(|record| String::from_utf8(record.key.unwrap()).unwrap());
    assert_eq!(keys.collect::<Vec<_>>(), (1..=fed).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(rig.drain().exit, Exit::Done);
}

#[test]
fn dead_letters_whose_client_forgot_its_brokers_are_written() {
    let (kafka, search) = (MockKafka::start(&[(TOPIC, 1)]).unwrap(), endpoint());
    let out = MockKafka::start(&[("dead", 1)]).unwrap();
    let relay = before(&out);
    let mut plan = plans::pipeline(kafka.brokers(), TOPIC, GROUP, plans::bulk(&search.url()));
    plan.on_reject =
        OnReject::DeadLetterKafka { connection: through(&relay), topic: "dead".into(), on_too_large: OnTooLarge::Hold };
    let rig = EngineRig::start(plan);
    let fed = goes_on(&rig, &relay, OF_A_PRODUCER, Feed::new(&kafka, bad));
    let mut letters = KafkaClient::at(out.brokers()).read_all("dead").unwrap();
    letters.dedup_by(|one, other| one.key == other.key);
    assert_eq!(letters.len(), fed as usize);
    let ending = rig.drain();
    assert_eq!((ending.exit, count(&ending, Outcome::DeadLettered)), (Exit::Done, fed as u64));
}

/// The demo's, the bench's and the tests' own producer is no client of the engine.
#[test]
fn a_feeder_that_forgot_its_brokers_feeds_on() {
    let kafka = MockKafka::start(&[(TOPIC, 1)]).unwrap();
    let relay = before(&kafka);
    let properties = through(&relay).properties;
    let plan =
        FeedPlan { rate: Some(200.0), window_bytes: usize::MAX, properties, ..FeedPlan::new(TOPIC, 1, u64::MAX) };
    let hooks = FeedHooks { consumed: Box::new(|_| None), announce: Box::new(|_, _| {}) };
    let generator = Arc::new(Generator::new(LoadShape::default()));
    let feeder = Feeder::start(&relay.address().to_string(), generator, plan, hooks).unwrap();
    make_forget(&relay, OF_A_PRODUCER, || wait_until("it feeds", || feeder.fed() > 0));
    feeder.finish();
    let fed = feeder.join().expect("all of it is acknowledged");
    assert_eq!(KafkaClient::at(kafka.brokers()).read_all(TOPIC).unwrap().len() as u64, fed.records);
}
