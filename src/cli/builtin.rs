//! The configuration of `demo` and `bench`: both pipelines of the script this replaces, against servers in this
//! process.

use crate::config::{self, Findings, Loaded};

pub(super) const RELAY: &str = "relay";
pub(super) const INDEX: &str = "index";
pub(super) const RELAY_TOPIC: &str = "events";
pub(super) const INDEX_TOPIC: &str = "events-to-index";
pub(super) const OUTPUT_TOPIC: &str = "events-clean";
pub(super) const INDEX_NAME: &str = "items";
/// Of each topic. Input and output have the same number, so a record keeps its partition.
pub(super) const PARTITIONS: i32 = 8;

/// Where the servers are.
pub(super) struct Addresses<'a> {
    pub(super) upstream: &'a str,
    pub(super) downstream: &'a str,
    /// The bulk endpoint's URL.
    pub(super) search: &'a str,
}

// The in-process cluster answers an empty fetch only after the whole wait, which is 500 ms by default, and no question
// about a topic's settings, so the largest message is said here. Redis is never connected: look-ups come from memory.
const CONNECTIONS: &str = r#"
connections:
  kafka:
    upstream: { brokers: ["{upstream}"], librdkafka: { fetch.wait.max.ms: 10, message.max.bytes: 1000000 } }
    downstream: { brokers: ["{downstream}"], librdkafka: { fetch.wait.max.ms: 10, message.max.bytes: 1000000 } }
  elasticsearch:
    search: { nodes: ["{search}"] }
  redis:
    lookups: { url: "redis://127.0.0.1:6379" }
telemetry: { listen: off }
startup: { timeout: 30s }
pipelines:
"#;

const RELAY_PIPELINE: &str = r#"
  relay:
    source: { kafka: { connection: upstream, topics: [events], group: relay } }
    steps:
      - select: /result
    sink: { kafka: { connection: downstream, topic: events-clean } }
"#;

const INDEX_PIPELINE: &str = r#"
  index:
    source: { kafka: { connection: upstream, topics: [events-to-index], group: index } }
    steps:
      - select: /result
      - lookup:
          redis: lookups
          key: "user:{/user}"
          fields: [name, tier]
          into: /user_info
          cache: { bytes: 16MiB }
    sink:
      elasticsearch: { connection: search, index: items, type: itmes, id: "{/id}", action: upsert, lanes: 4 }
"#;

/// The configuration with these of the pipelines, and with `sets` applied as `--set` is.
///
/// # Errors
/// What `sets` made wrong.
pub(super) fn load(addresses: &Addresses<'_>, pipelines: &[&str], sets: &[String]) -> Result<Loaded, Findings> {
    let mut text = CONNECTIONS
        .replace("{upstream}", &addresses.upstream.replace(',', "\", \""))
        .replace("{downstream}", &addresses.downstream.replace(',', "\", \""))
        .replace("{search}", addresses.search);
    for (name, pipeline) in [(RELAY, RELAY_PIPELINE), (INDEX, INDEX_PIPELINE)] {
        if pipelines.contains(&name) {
            text.push_str(pipeline);
        }
    }
    config::load_text_and_sets(&text, "<built-in>", sets, super::surroundings())
}
