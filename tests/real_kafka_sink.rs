//! What only a real broker refuses, and how the Kafka sink finds the records that are to blame.

use std::time::Duration;

use sluicegate_testkit::services::shared::Need;
use sluicegate_testkit::services::{KafkaClient, NewRecord, Service};

use crate::support::bench::until;
use crate::support::process::{Ended, Process};
use crate::support::{servers, unique};

/// For one run of a few records on a machine that other work shares.
const LIMIT: Duration = Duration::from_secs(90);

/// An input of one partition, a target, and a place for what is rejected.
struct Case<'server> {
    kafka: &'server Service,
    name: String,
}

impl<'server> Case<'server> {
    fn new(kafka: &'server Service, records: impl IntoIterator<Item = NewRecord>) -> Self {
        let case = Self { kafka, name: unique("sink") };
        ["in", "dead"].iter().for_each(|topic| case.client().create_topic(&case.topic(topic), 1, &[]).unwrap());
        case.client().produce(&case.topic("in"), records).unwrap();
        case
    }

    fn client(&self) -> KafkaClient {
        KafkaClient::new(self.kafka)
    }

    fn topic(&self, kind: &str) -> String {
        format!("{}-{kind}", self.name)
    }

    fn make_target(&self, settings: &[(&str, &str)]) {
        self.client().create_topic(&self.topic("out"), 1, settings).unwrap();
    }

    /// Reads the input to its end; `topic` is the target's name or a template of it.
    fn run(&self, topic: &str) -> Process {
        let Self { kafka, name, .. } = self;
        let yaml = format!(
            "version: 1\nconnections:\n  kafka:\n    k: {{ brokers: [\"{}\"] }}\npipelines:\n  p:\n    source:\n      \
             kafka: {{ connection: k, topics: [{name}-in], group: {name} }}\n    sink:\n      \
             kafka: {{ connection: k, topic: \"{topic}\" }}\n    on_reject: {{ dead_letter: {{ kafka: {{ \
             connection: k, topic: {name}-dead }} }} }}\ntelemetry: {{ listen: \"127.0.0.1:0\" }}\n",
            kafka.endpoint(),
        );
        Process::run(name, &yaml, &["--until", "end", "--report", "report"])
    }

    /// The numbers of the records in a topic, in its order.
    fn numbers(&self, kind: &str) -> Vec<usize> {
        let records = self.client().read_all(&self.topic(kind)).unwrap();
        let number = |value: &[u8]| serde_json::from_slice::<serde_json::Value>(value).unwrap()["n"].as_u64().unwrap();
        records.iter().map(|record| number(record.value.as_deref().unwrap()) as usize).collect()
    }

    /// The records of `guilty` are dead letters, each once; all others are in the target, at the end of it in order.
    fn assert_only_these_are_dead(&self, ended: Ended, records: usize, guilty: &[usize], reason: &str) -> Ended {
        let ended = ended.assert_code(0);
        let good: Vec<usize> = (0..records).filter(|n| !guilty.contains(n)).collect();
        let out = self.numbers("out");
        assert!(out.ends_with(&good) && out.iter().all(|n| good.contains(n)), "{out:?}\n{}", ended.tail());
        let mut dead = self.numbers("dead");
        dead.sort_unstable();
        assert_eq!(dead, guilty, "{}", ended.tail());
        let letters = self.client().read_all(&self.topic("dead")).unwrap();
        for letter in &letters {
            let says = |header: &(String, Option<Vec<u8>>)| header.1.as_deref() == Some(reason.as_bytes());
            assert!(letter.headers.iter().any(says), "{:?}", letter.headers);
        }
        assert_eq!(ended.count("p", "delivered"), good.len() as u64);
        assert_eq!(self.client().committed(&self.name, &self.topic("in")).unwrap(), [Some(records as i64)]);
        ended
    }
}

/// A record of about so many bytes that no compression makes much smaller.
fn record(n: usize, bytes: usize) -> String {
    let text: String = (0..bytes).map(|_| fastrand::alphanumeric()).collect();
    format!("{{\"n\":{n},\"type\":\"out\",\"text\":\"{text}\"}}")
}

#[test]
fn the_topic_s_limit_is_read_and_larger_records_are_rejected_unsent() {
    let Some([kafka]) = servers("the_topic_s_limit_is_read", [Need::KafkaIn]) else { return };
    let bytes = |n| if n == 4 { 40_000 } else { 20_000 };
    let case = Case::new(kafka, (0..10).map(|n| NewRecord::keyed("k", record(n, bytes(n)))));
    case.make_target(&[("max.message.bytes", "30000")]);
    let ended = case.run(&case.topic("out")).wait(LIMIT);
    let ended = case.assert_only_these_are_dead(ended, 10, &[4], "too_large");
    assert_eq!(ended.count("p", "rewound"), 0, "{}", ended.tail());
}

/// Of topics that records name the limit is not known: the broker refuses a batch, and the record is found.
#[test]
fn of_a_batch_above_the_broker_s_limit_only_the_guilty_record_is_rejected() {
    let Some([kafka]) = servers("of_a_batch_above_the_broker_s_limit", [Need::KafkaIn]) else { return };
    let bytes = |n| if n == 17 { 30_000 } else { 5_000 };
    let case = Case::new(kafka, (0..30).map(|n| NewRecord::keyed("k", record(n, bytes(n)))));
    case.make_target(&[("max.message.bytes", "20000")]);
    let ended = case.run(&format!("{}-{{/type}}", case.name)).wait(LIMIT);
    case.assert_only_these_are_dead(ended, 30, &[17], "too_large");
}

#[test]
fn null_keys_in_a_compacted_topic_are_named_by_the_broker_and_rejected() {
    let Some([kafka]) = servers("null_keys_in_a_compacted_topic", [Need::KafkaIn]) else { return };
    let guilty: Vec<usize> = (0..50).filter(|n| n % 10 == 3).collect();
    let records = (0..50).map(|n| {
        let keyed = NewRecord::keyed("k", record(n, 20));
        if guilty.contains(&n) { NewRecord { key: None, ..keyed } } else { keyed }
    });
    let case = Case::new(kafka, records);
    case.make_target(&[("cleanup.policy", "compact")]);
    let ended = case.run(&case.topic("out")).wait(LIMIT);
    case.assert_only_these_are_dead(ended, 50, &guilty, "refused");
}

#[test]
fn a_topic_that_is_made_later_ends_the_wait() {
    let Some([kafka]) = servers("a_topic_that_is_made_later", [Need::KafkaIn]) else { return };
    let case = Case::new(kafka, (0..5).map(|n| NewRecord::keyed("k", record(n, 20))));
    let process = case.run(&case.topic("out"));
    let told = || process.log().contains(&format!("topic {}", case.topic("out")));
    until("the topic's name in the log", LIMIT, told, || process.tail());
    assert_eq!(process.delivered("p"), 0);
    case.make_target(&[]);
    case.assert_only_these_are_dead(process.wait(LIMIT), 5, &[], "");
}
