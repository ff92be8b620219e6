//! A pipeline from one topic of a real broker to others of it, with a topic for what is rejected.

use sluicegate_testkit::services::{KafkaClient, NewRecord, Service};

use super::process::Process;
use super::unique;

/// Topics whose names begin alike, and the pipeline over them.
pub struct Relay<'server> {
    kafka: &'server Service,
    /// What the topics' names begin with; also the group.
    pub name: String,
}

impl<'server> Relay<'server> {
    /// Topic `in` with these records, which carry their number as `n`, and topic `dead`.
    pub fn new(kafka: &'server Service, records: impl IntoIterator<Item = NewRecord>) -> Self {
        let relay = Self { kafka, name: unique("relay") };
        ["in", "dead"].iter().for_each(|kind| relay.create(kind, &[]));
        relay.client().produce(&relay.topic("in"), records).unwrap();
        relay
    }

    pub fn client(&self) -> KafkaClient {
        KafkaClient::new(self.kafka)
    }

    pub fn topic(&self, kind: &str) -> String {
        format!("{}-{kind}", self.name)
    }

    /// Makes a topic of one partition.
    pub fn create(&self, kind: &str, settings: &[(&str, &str)]) {
        self.client().create_topic(&self.topic(kind), 1, settings).unwrap();
    }

    /// Reads `in` to its end into topic `kind`, which may be a template; `keys` of the sink, `more` of the pipeline.
    pub fn run(&self, kind: &str, keys: &str, more: &str) -> Process {
        let Self { kafka, name } = self;
        let yaml = format!(
            "version: 1\nconnections:\n  kafka:\n    k: {{ brokers: [\"{}\"] }}\npipelines:\n  p:\n    source:\n      \
             kafka: {{ connection: k, topics: [{name}-in], group: {name} }}\n    sink:\n      \
             kafka: {{ connection: k, topic: \"{name}-{kind}\"{keys} }}{more}\n    on_reject: {{ dead_letter: {{ kafka: {{ \
             connection: k, topic: {name}-dead }} }} }}\ntelemetry: {{ listen: \"127.0.0.1:0\" }}\n",
            kafka.endpoint(),
        );
        Process::run(name, &yaml, &["--until", "end", "--report", "report"])
    }

    /// The values of the records in a topic, in its order.
    pub fn values(&self, kind: &str) -> Vec<serde_json::Value> {
        let records = self.client().read_all(&self.topic(kind)).unwrap();
        records.iter().map(|record| serde_json::from_slice(record.value.as_deref().unwrap()).unwrap()).collect()
    }

    /// The numbers of the records in a topic, in its order.
    pub fn numbers(&self, kind: &str) -> Vec<usize> {
        self.values(kind).iter().map(|value| value["n"].as_u64().unwrap() as usize).collect()
    }

    /// The numbers of the dead letters, in rising order.
    pub fn dead(&self) -> Vec<usize> {
        let mut dead = self.numbers("dead");
        dead.sort_unstable();
        dead
    }

    /// Fails unless the group has committed so many records of the input.
    pub fn assert_committed(&self, records: usize) {
        let committed = self.client().committed(&self.name, &self.topic("in")).unwrap();
        assert_eq!(committed, [Some(records as i64)]);
    }
}
