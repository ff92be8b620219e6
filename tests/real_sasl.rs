//! SASL towards a real broker (F30): what it takes works; what it refuses ends the start with 77, says at which
//! connection, and never shows a password.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use sluicegate_testkit::services::kafka::{self, KafkaOptions};
use sluicegate_testkit::services::{Service, ServiceError};

use crate::support::own;
use crate::support::process::Process;

const LIMIT: Duration = Duration::from_secs(90);
const RIGHT: &str = "c4n4ry-right";
const WRONG: &str = "c4n4ry-wrong";
const RECORDS: u64 = 200;

/// A broker whose listener takes `ingest` with [`RIGHT`], and nobody else but itself.
fn broker() -> Result<Service, ServiceError> {
    let users = format!(
        "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"broker\" password=\"b\" \
         user_broker=\"b\" user_ingest=\"{RIGHT}\";"
    );
    let properties = [
        ("listener.security.protocol.map", "PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT"),
        ("sasl.enabled.mechanisms", "PLAIN"),
        ("sasl.mechanism.inter.broker.protocol", "PLAIN"),
        ("listener.name.plaintext.plain.sasl.jaas.config", &users),
    ];
    let properties = properties.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    kafka::start(&KafkaOptions { properties, ..KafkaOptions::default() })
}

fn client(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (name, value) in [
        ("bootstrap.servers", brokers),
        ("security.protocol", "sasl_plaintext"),
        ("sasl.mechanism", "PLAIN"),
        ("sasl.username", "ingest"),
        ("sasl.password", RIGHT),
    ] {
        config.set(name, value);
    }
    config
}

fn fill(brokers: &str) {
    let admin: AdminClient<DefaultClientContext> = client(brokers).create().unwrap();
    let topics = ["events", "events-clean"].map(|name| NewTopic::new(name, 2, TopicReplication::Fixed(1)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for made in runtime.block_on(admin.create_topics(&topics, &AdminOptions::new())).unwrap() {
        made.unwrap();
    }
    let producer: BaseProducer = client(brokers).create().unwrap();
    for number in 0..RECORDS {
        let (key, value) = (number.to_string(), format!("{{\"result\":{{\"id\":{number}}}}}"));
        producer.send(BaseRecord::to("events").key(&key).payload(&value)).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(Duration::from_secs(30)).unwrap();
}

fn relay(brokers: &str, upstream: &str, downstream: &str) -> String {
    let connection = |password: &str| {
        format!("{{ brokers: [\"{brokers}\"], sasl: {{ mechanism: PLAIN, username: ingest, password: {password} }} }}")
    };
    format!(
        "version: 1\nconnections:\n  kafka:\n    upstream: {}\n    downstream: {}\npipelines:\n  relay:\n    source:\n      \
         kafka: {{ connection: upstream, topics: [events], group: relay }}\n    steps:\n      - select: /result\n    \
         sink:\n      kafka: {{ connection: downstream, topic: events-clean }}\nstartup: {{ timeout: 20s }}\n\
         telemetry: {{ listen: \"127.0.0.1:0\" }}\n",
        connection(upstream),
        connection(downstream)
    )
}

#[test]
fn the_right_password_delivers_and_a_wrong_one_ends_the_start_with_77() {
    let test = "the_right_password_delivers_and_a_wrong_one_ends_the_start_with_77";
    let Some(broker) = own(test, broker) else { return };
    let brokers = broker.endpoint();
    fill(brokers);
    for (upstream, downstream, at) in [(WRONG, RIGHT, "upstream"), (RIGHT, WRONG, "downstream")] {
        let yaml = relay(brokers, upstream, downstream);
        let ended = Process::run(at, &yaml, &["--until", "end"]).wait(LIMIT).assert_code(77);
        assert!(ended.log.contains(at) && ended.log.contains("redentials"), "{at}\n{}", ended.tail());
        assert!(!ended.log.contains("c4n4ry"), "{at}\n{}", ended.tail());
    }
    let yaml = relay(brokers, RIGHT, RIGHT);
    let ended = Process::run("right", &yaml, &["--until", "end", "--report", "report"]).wait(LIMIT).assert_code(0);
    assert_eq!(ended.count("relay", "delivered"), RECORDS, "{}", ended.tail());
    assert!(!ended.log.contains("c4n4ry"), "{}", ended.tail());
}
