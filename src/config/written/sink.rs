//! Where records go.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use crate::leaf::policy::{ConcurrencyMode, OnIndexFault, OnMissingTopic, OnTombstone};
use crate::leaf::quantity::{ByteSize, Interval};

/// Where records go.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sink {
    /// A topic.
    Kafka(KafkaSinkKeys),
    /// An index of Elasticsearch or OpenSearch.
    Elasticsearch(ElasticsearchSinkKeys),
}

/// A topic.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "KafkaSink")]
pub struct KafkaSinkKeys {
    /// A name in `connections.kafka`.
    pub connection: String,
    /// Template of the topic's name.
    pub topic: String,
    /// What a topic that does not exist does. Default: `reject` where the record names the topic, `hold` where it is
    /// fixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_missing_topic: Option<OnMissingTopic>,
    /// Template of the record's key; exactly `{key}` passes a missing key on.
    #[serde(default = "key")]
    pub key: String,
    /// Whether the record's headers travel.
    #[serde(default)]
    pub headers: Headers,
    /// The record's timestamp.
    #[serde(default)]
    pub timestamp: Timestamp,
    /// Acknowledgements waited for. Only `all`: fewer would lose records.
    #[serde(default)]
    pub acks: Acks,
    /// How long a batch waits for more records.
    #[serde(default = "kafka_linger")]
    pub linger: Interval,
    /// Compression of batches.
    #[serde(default)]
    pub compression: Codec,
    /// How a key chooses its partition. `murmur2_random` is what Java and Python clients do.
    #[serde(default)]
    pub partitioner: Partitioner,
}

fn key() -> String {
    "{key}".to_owned()
}

fn kafka_linger() -> Interval {
    Interval::millis(20)
}

/// Whether headers travel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Headers {
    /// They do.
    #[default]
    Keep,
    /// They do not.
    None,
}

/// The record's timestamp.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Timestamp {
    /// When it was produced here.
    #[default]
    Now,
    /// The input record's.
    Keep,
}

/// Acknowledgements waited for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Acks {
    /// Of all in-sync replicas.
    #[default]
    All,
}

/// Compression of Kafka batches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Codec {
    /// None.
    #[default]
    None,
    /// gzip.
    Gzip,
    /// snappy.
    Snappy,
    /// lz4.
    Lz4,
    /// zstd.
    Zstd,
}

impl Codec {
    /// librdkafka's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// How a key chooses its partition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Partitioner {
    /// Java's hash; records without a key go to a random partition.
    #[default]
    Murmur2Random,
    /// Java's hash; records without a key all go to one partition.
    Murmur2,
    /// librdkafka's default: CRC32; records without a key go to a random partition.
    ConsistentRandom,
    /// CRC32; records without a key all go to one partition.
    Consistent,
    /// FNV-1a, as Sarama; records without a key go to a random partition.
    Fnv1aRandom,
    /// FNV-1a; records without a key all go to one partition.
    Fnv1a,
    /// Random for all: gives up the order per key.
    Random,
}

impl Partitioner {
    /// librdkafka's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// An index of Elasticsearch or OpenSearch.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ElasticsearchSink")]
pub struct ElasticsearchSinkKeys {
    /// A name in `connections.elasticsearch`.
    pub connection: String,
    /// Template of the index or alias.
    pub index: String,
    /// Mapping type; sent only to servers that know mapping types (6.x).
    #[serde(default = "doc_type", rename = "type")]
    pub doc_type: String,
    /// Template of the document's id, 1 to 512 bytes. Default with an `action`: `{key}`, and
    /// `{topic}+{partition}+{offset}` for a record without a key. Default without: `{topic}+{partition}+{offset}`, a
    /// document for each record. `none` sends no id: the server makes one, and a record sent again becomes a second
    /// document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What is done with each document. Default: `upsert` with an `id`, `index` without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<WrittenAction>,
    /// External version, with `index` and `delete` only: an older record never overwrites a newer one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<WrittenVersion>,
    /// Template of the routing value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routing: Option<String>,
    /// Ingest pipeline of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
    /// How often the server itself retries an update after a version conflict.
    #[serde(default = "retry_on_conflict")]
    #[schemars(range(max = 100))]
    pub retry_on_conflict: u32,
    /// Whether `index` must be an alias (7.10 and later).
    #[serde(default)]
    pub require_alias: bool,
    /// What a record without a value does. Default: `delete` where index, id, routing and version need no document and
    /// the id is not a record's own (`{offset}`), else `reject`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_tombstone: Option<OnTombstone>,
    /// What a fault of the target does: an index missing, closed or blocked, an alias without a write index.
    #[serde(default)]
    pub on_index_fault: OnIndexFault,
    /// Compression of request bodies.
    #[serde(default)]
    pub compression: HttpCompression,
    /// When a bulk request is closed.
    #[serde(default)]
    pub batch: BatchKeys,
    /// Bulk requests in flight at most. Documents of one id always take the same lane, so their order is kept.
    #[serde(default = "lanes")]
    #[schemars(range(min = 1, max = 64))]
    pub lanes: usize,
    /// How many of them may be in flight at once.
    #[serde(default)]
    pub concurrency: ConcurrencyMode,
}

fn doc_type() -> String {
    "_doc".to_owned()
}

fn retry_on_conflict() -> u32 {
    3
}

fn lanes() -> usize {
    4
}

/// What is done with each document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Action")]
pub enum WrittenAction {
    /// Merges into the document, or inserts it (`update` with `doc_as_upsert`).
    Upsert,
    /// Replaces the whole document. With `version` the safest: a late retry cannot undo a newer write.
    Index,
    /// Inserts; a document that is there already is left as it is.
    Create,
    /// Merges into the document; rejects the record when there is none.
    Update,
    /// Deletes the document.
    Delete,
    /// Chosen for each record by a field of it, as change-data capture needs.
    By(WrittenActionBy),
}

/// An action for each value of a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ActionBy")]
pub struct WrittenActionBy {
    /// Pointer into the input, as the record is before the steps.
    pub field: String,
    /// The action by value. Records that are deleted, dropped or rejected skip the steps.
    pub map: BTreeMap<String, ActionChoice>,
    /// The action for any other value, and where there is none.
    #[serde(default)]
    pub otherwise: ActionChoice,
}

/// What is done with a record of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Choice")]
pub enum ActionChoice {
    /// As the action `upsert`.
    Upsert,
    /// As the action `index`.
    Index,
    /// As the action `create`.
    Create,
    /// As the action `update`.
    Update,
    /// As the action `delete`.
    Delete,
    /// Nothing; it is counted as dropped.
    Drop,
    /// It is rejected.
    #[default]
    Reject,
}

/// Where an external version comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Version")]
pub enum WrittenVersion {
    /// The record's offset: for ids that always come from one partition.
    Offset,
    /// The record's timestamp in milliseconds.
    Timestamp,
    /// A header that holds a whole number.
    Header(String),
    /// A field of the finished record that holds a whole number.
    Pointer(String),
}

/// Compression of request bodies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HttpCompression {
    /// None.
    #[default]
    None,
    /// gzip: less network, more CPU.
    Gzip,
}

/// When a bulk request is closed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Batch")]
pub struct BatchKeys {
    /// At this many records,
    #[schemars(range(min = 1, max = 1_000_000))]
    pub records: usize,
    /// or at this many bytes,
    pub bytes: ByteSize,
    /// or after this long, while a request slot is free: bulks grow under load.
    pub linger: Interval,
}

impl Default for BatchKeys {
    fn default() -> Self {
        Self { records: 5_000, bytes: ByteSize(5 << 20), linger: Interval::millis(100) }
    }
}
