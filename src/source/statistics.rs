//! What librdkafka's statistics say of each partition. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;

use crate::model::TopicPartition;

/// Offsets of one partition as the client sees them; negative when unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionStatistics {
    /// Which partition.
    pub name: TopicPartition,
    /// The next offset to be fetched.
    pub next_offset: i64,
    /// The last stable offset.
    pub last_stable: i64,
    /// The low watermark.
    pub low: i64,
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    topics: HashMap<String, Topic>,
}

#[derive(Deserialize)]
struct Topic {
    #[serde(default)]
    partitions: HashMap<String, Partition>,
}

#[derive(Deserialize)]
struct Partition {
    partition: i32,
    next_offset: i64,
    ls_offset: i64,
    lo_offset: i64,
}

/// Reads a statistics document; partitions without a number (`-1`) are internal and left out.
///
/// # Errors
/// When the text is not what librdkafka documents.
pub fn read(json: &str) -> Result<Vec<PartitionStatistics>, serde_json::Error> {
    let document: Document = serde_json::from_str(json)?;
    let mut all = Vec::new();
    for (topic, entry) in document.topics {
        let topic: Arc<str> = topic.into();
        all.extend(entry.partitions.into_values().filter(|p| p.partition >= 0).map(|p| PartitionStatistics {
            name: TopicPartition { topic: topic.clone(), partition: p.partition },
            next_offset: p.next_offset,
            last_stable: p.ls_offset,
            low: p.lo_offset,
        }));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_partitions_and_leaves_the_internal_one_out() {
        let json = r#"{"name":"c","topics":{"t":{"topic":"t","partitions":{
            "0":{"partition":0,"next_offset":7,"ls_offset":9,"lo_offset":1,"hi_offset":9,"fetchq_cnt":3},
            "-1":{"partition":-1,"next_offset":0,"ls_offset":-1001,"lo_offset":-1001}}}}}"#;
        let read = read(json).expect("valid");
        assert_eq!(read.len(), 1);
        assert_eq!((read[0].next_offset, read[0].last_stable, read[0].low), (7, 9, 1));
        assert_eq!(super::read(r#"{"name":"c"}"#).expect("no topics yet"), []);
    }
}
