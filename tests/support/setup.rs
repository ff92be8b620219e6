//! The configuration of a process under test: both pipelines of the replaced script, or one of them, on the bench.

use sluicegate_testkit::services::ServiceError;

use super::bench::{Bench, PARTITIONS};
use super::unique;

/// What a process is to do. Everything it writes to is its own.
pub struct Setup {
    /// Group of the pipeline `relay`; `None` leaves the pipeline out.
    pub relay: Option<String>,
    /// Group of the pipeline `index`; `None` leaves the pipeline out.
    pub index: Option<String>,
    /// The input topic of both.
    pub input: String,
    /// The output topic of `relay`, in the downstream cluster.
    pub output: String,
    /// The index of `index`.
    pub documents: String,
    /// Elasticsearch's nodes.
    pub nodes: Vec<String>,
    /// Static membership, with a session of 6 s.
    pub instance_id: Option<String>,
    upstream: String,
    downstream: String,
    redis: String,
}

impl Setup {
    /// Both pipelines from `input`, with their output topic and index made.
    pub fn new(bench: &Bench, input: &str) -> Setup {
        let setup = Setup {
            relay: Some(unique("relay")),
            index: Some(unique("index")),
            input: input.to_owned(),
            output: unique("events-clean"),
            documents: unique("items"),
            nodes: vec![bench.elasticsearch.endpoint().to_owned()],
            instance_id: None,
            upstream: bench.upstream.endpoint().to_owned(),
            downstream: bench.downstream.endpoint().to_owned(),
            redis: bench.redis.endpoint().to_owned(),
        };
        setup.make(bench).unwrap();
        setup
    }

    fn make(&self, bench: &Bench) -> Result<(), ServiceError> {
        bench.downstream_client().create_topic(&self.output, PARTITIONS, &[])?;
        let body = r#"{"settings":{"number_of_shards":2,"number_of_replicas":0,"refresh_interval":"30s"},
                       "mappings":{"itmes":{"dynamic":false}}}"#;
        bench.elasticsearch_client().create_index(&self.documents, body)
    }

    /// The file's text.
    pub fn yaml(&self) -> String {
        let Self { output, documents, upstream, downstream, redis, .. } = self;
        let redis = redis.trim_start_matches("redis://");
        let nodes: Vec<String> = self.nodes.iter().map(|node| format!("\"{node}\"")).collect();
        let nodes = nodes.join(", ");
        let relay = self.relay.as_ref().map_or_else(String::new, |group| {
            let source = self.source(group);
            format!(
                "  relay:\n    source:\n      kafka: {source}\n    steps:\n      - select: /result\n    sink:\n      \
                 kafka: {{ connection: downstream, topic: {output} }}\n"
            )
        });
        let index = self.index.as_ref().map_or_else(String::new, |group| {
            let source = self.source(group);
            format!(
                "  index:\n    source:\n      kafka: {source}\n    steps:\n      - select: /result\n      \
                 - lookup: {{ redis: lookups, key: \"user:{{/user}}\", fields: [name, tier], into: /user_info,\n                  \
                 cache: {{ ttl: 1s, miss_ttl: 1s }} }}\n    \
                 sink:\n      elasticsearch:\n        connection: search\n        index: {documents}\n        \
                 type: itmes\n        id: \"{{/id}}\"\n        action: upsert\n        \
                 batch: {{ records: 2000 }}\n"
            )
        });
        format!(
            "version: 1\nconnections:\n  kafka:\n    upstream: {{ brokers: [\"{upstream}\"] }}\n    \
             downstream: {{ brokers: [\"{downstream}\"] }}\n  elasticsearch:\n    \
             search: {{ nodes: [{nodes}], request_timeout: 60s }}\n  redis:\n    \
             lookups: {{ url: \"redis://{redis}\" }}\npipelines:\n{relay}{index}\
             telemetry:\n  listen: 127.0.0.1:0\nstartup: {{ timeout: 60s }}\nshutdown: {{ timeout: 120s }}\n"
        )
    }

    fn source(&self, group: &str) -> String {
        let member = self.instance_id.as_ref();
        let member = member.map_or_else(String::new, |id| format!(", instance_id: {id}, session_timeout: 6s"));
        format!("{{ connection: upstream, topics: [{}], group: {group}{member} }}", self.input)
    }
}
