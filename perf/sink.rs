//! Where records go, seen from the sink's side: how many have arrived, and whether they are the right ones.

use std::time::Duration;

use anyhow::Context as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use sluicegate_testkit::services::{ElasticsearchClient, KafkaClient};

use crate::check::{self, Verdict};
use crate::expected::Values;
use crate::raw::progress;
use crate::stub::{Counted, Stub};

/// Partitions of every topic.
pub const PARTITIONS: u16 = 4;
/// Bound on one question to a broker.
const ASK: Duration = Duration::from_secs(5);

/// The target of one run.
pub enum Sink<'s> {
    /// A topic.
    Topic {
        /// Its cluster.
        client: KafkaClient,
        /// The topic.
        topic: String,
        /// What its values must be.
        values: Values,
        /// Asks for the ends of the partitions.
        asker: BaseConsumer,
    },
    /// The endpoint without storage, and what it had counted before.
    Stub {
        /// The endpoint.
        stub: &'s Stub,
        /// What it had counted before the run.
        before: Counted,
    },
    /// Nothing: the subject counts for itself.
    Nothing {
        /// Where it writes its count.
        file: tempfile::NamedTempFile,
        /// The sum of all bytes it must come to.
        sum: u64,
    },
    /// An index of its own.
    Index {
        /// The server.
        client: ElasticsearchClient,
        /// The index.
        index: String,
    },
}

impl<'s> Sink<'s> {
    /// A new topic.
    ///
    /// # Errors
    /// The cluster refuses it.
    pub fn topic(client: &KafkaClient, topic: &str, values: Values) -> anyhow::Result<Self> {
        client.create_topic(topic, PARTITIONS, &[])?;
        let asker = client.config().set("group.id", "perf-watch").create()?;
        Ok(Self::Topic { client: client.clone(), topic: topic.to_owned(), values, asker })
    }

    /// The endpoint as it is now.
    pub fn stub(stub: &'s Stub) -> Self {
        Self::Stub { stub, before: stub.counted() }
    }

    /// A file for a subject that counts for itself.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn nothing(sum: u64) -> anyhow::Result<Self> {
        Ok(Self::Nothing { file: tempfile::NamedTempFile::new()?, sum })
    }

    /// A new index, for mapping type `itmes` of server version 6: as few moving parts as can be, and no refresh while
    /// measuring.
    ///
    /// # Errors
    /// The server refuses it.
    pub fn index(client: &ElasticsearchClient, index: &str) -> anyhow::Result<Self> {
        // `ratio` is written as integer and as fraction: without a mapping the first document would decide, and records
        // be refused.
        let body = r#"{"settings":{"number_of_shards":1,"number_of_replicas":0,"refresh_interval":"30s"},
            "mappings":{"itmes":{"properties":{"ratio":{"type":"double"}}}}}"#;
        client.create_index(index, body)?;
        Ok(Self::Index { client: client.clone(), index: index.to_owned() })
    }

    /// Records acknowledged so far.
    ///
    /// # Errors
    /// The server does not answer.
    pub fn delivered(&self) -> anyhow::Result<u64> {
        match self {
            Self::Topic { topic, asker, .. } => {
                let end = |partition| {
                    asker.fetch_watermarks(topic, partition, ASK).map(|(low, high)| (high - low).unsigned_abs())
                };
                Ok((0..i32::from(PARTITIONS)).map(end).sum::<Result<u64, _>>()?)
            }
            Self::Stub { stub, before } => Ok(stub.counted().items - before.items),
            Self::Nothing { file, .. } => Ok(progress::read(file.path())?.0),
            Self::Index { client, index } => {
                let reply = client.request("GET", &format!("/{index}/_stats/indexing"), None)?;
                let stats: serde_json::Value = serde_json::from_slice(&reply.body)?;
                stats["_all"]["primaries"]["indexing"]["index_total"].as_u64().context("the index has no statistics")
            }
        }
    }

    /// Judges what arrived, then takes the target away.
    ///
    /// # Errors
    /// The target cannot be read or removed.
    pub fn judge(self, records: u64) -> anyhow::Result<Verdict> {
        match self {
            Self::Topic { client, topic, values, .. } => {
                let verdict = check::topic(&client, &topic, values, records)?;
                client.delete_topic(&topic)?;
                Ok(verdict)
            }
            Self::Stub { stub, before } => {
                // It tells what it counts every 20 ms: give the last word time to arrive.
                std::thread::park_timeout(Duration::from_millis(200));
                let now = stub.counted();
                let ids = now.ids.wrapping_sub(before.ids);
                Ok(check::counted(records, now.items - before.items, ids, now.changed - before.changed))
            }
            Self::Nothing { file, sum } => {
                let (seen, sum_seen) = progress::read(file.path())?;
                let (missing, extra) = (records.saturating_sub(seen), seen.saturating_sub(records));
                let wrong = u64::from(missing == 0 && extra == 0 && sum_seen != sum);
                Ok(Verdict { missing: missing + wrong, extra: extra + wrong, changed: 0 })
            }
            Self::Index { client, index } => {
                let documents = client.count(&index)?;
                let last = format!("k-{:010}", records - 1);
                let found = client.request("GET", &format!("/{index}/itmes/{last}"), None)?.status == 200;
                client.delete_index(&index)?;
                // Every record has an id of its own, so as many documents as records means each is there.
                let missing = records.saturating_sub(documents).max(u64::from(!found));
                Ok(Verdict { missing, extra: documents.saturating_sub(records), changed: 0 })
            }
        }
    }
}
