//! One pipeline: source, steps, sink, and what happens when something goes wrong.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::sink::Sink;
use crate::leaf::format::ValueFormat;
use crate::leaf::policy::{BreakerPlan, OnDamaged, OnHalt, OnTooLarge, Start};
use crate::leaf::quantity::Interval;
use crate::preprocess::steps::Step;

/// One pipeline.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pipeline {
    /// Where records come from.
    pub source: SourceKeys,
    /// What is done to each record, in order; nothing by default.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// Where records go.
    pub sink: Sink,
    /// What happens to records that cannot be processed or are refused by the sink.
    #[serde(default)]
    pub on_reject: WrittenOnReject,
    /// When rejects stop the pipeline instead of draining a topic into the dead letters.
    #[serde(default)]
    pub breaker: BreakerPlan,
    /// Retry in place.
    #[serde(default)]
    pub retry: Retry,
    /// Commits of offsets.
    #[serde(default)]
    pub commit: Commit,
    /// What a halt of this pipeline does to the others.
    #[serde(default)]
    pub on_halt: OnHalt,
    /// Time zone of times in templates, such as `Europe/Berlin`.
    #[serde(default = "utc")]
    pub time_zone: String,
    /// Worker threads for the steps; default: one less than there are cores, at least one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 256))]
    pub workers: Option<usize>,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// Where records come from.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Source")]
pub enum SourceKeys {
    /// Topics of a Kafka cluster.
    Kafka(KafkaSource),
}

/// Topics of a Kafka cluster.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KafkaSource {
    /// A name in `connections.kafka`.
    pub connection: String,
    /// Topic names, or patterns that start with `^`. A list, or one text with commas.
    #[schemars(schema_with = "super::scalar::texts")]
    pub topics: Vec<String>,
    /// Consumer group: committed offsets are kept under this name.
    pub group: String,
    /// Name of this member for static membership: a restart within `session_timeout` moves no partitions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// Where to start in a partition for which the group has no offset yet.
    #[serde(default)]
    pub start: Start,
    /// What values are: `json`, `text`, `bytes` or `json_schema_registry`.
    #[serde(default)]
    pub format: ValueFormat,
    /// What happens at a batch that cannot be read: wrong checksum, decompression that fails, unknown format.
    #[serde(default)]
    pub on_damaged: OnDamaged,
    /// How long partitions that are taken away may take to finish what is in flight.
    #[serde(default = "revoke_timeout")]
    pub revoke_timeout: Interval,
    /// Without a heartbeat for this long, the brokers give the partitions to another member.
    #[serde(default = "session_timeout")]
    pub session_timeout: Interval,
}

fn revoke_timeout() -> Interval {
    Interval::seconds(2)
}

fn session_timeout() -> Interval {
    Interval::seconds(45)
}

/// What happens to rejected records.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "OnReject")]
pub enum WrittenOnReject {
    /// The pipeline halts and names the record; nothing is lost.
    #[default]
    Stop,
    /// The record is counted and dropped.
    Drop,
    /// The record is kept elsewhere, with its reason, before its offset is committed.
    DeadLetter(DeadLetter),
}

/// Where rejected records are kept.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeadLetter {
    /// A topic.
    Kafka(DeadLetterTopic),
    /// A file of JSON lines.
    File(DeadLetterFile),
}

/// A topic for rejected records.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeadLetterTopic {
    /// A name in `connections.kafka`.
    pub connection: String,
    /// The topic.
    pub topic: String,
    /// What happens to a dead letter that is larger than the topic takes.
    #[serde(default)]
    pub on_too_large: OnTooLarge,
}

/// A file for rejected records.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeadLetterFile {
    /// Where; records are appended and synced.
    pub path: PathBuf,
}

/// Retry in place.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// First backoff; doubled each time, with jitter.
    pub first: Interval,
    /// Longest backoff.
    pub max: Interval,
    /// Nothing acknowledged for this long: memory is given back and the partitions are read again from their first
    /// unresolved record. Keep it above twice the sink's `request_timeout`.
    pub in_place: Interval,
}

impl Default for Retry {
    fn default() -> Self {
        Self { first: Interval::millis(200), max: Interval::seconds(30), in_place: Interval::seconds(150) }
    }
}

/// Commits of offsets.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Commit {
    /// Least time between two commits; `0` commits after each batch.
    pub interval: Interval,
}

impl Default for Commit {
    fn default() -> Self {
        Self { interval: Interval::millis(200) }
    }
}
