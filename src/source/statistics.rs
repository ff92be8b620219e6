//! What librdkafka's statistics say of each partition. Pure.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
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
    /// The broker it is read from is up.
    pub is_served: bool,
    /// The last stable offset.
    pub last_stable: i64,
    /// The low watermark.
    pub low: i64,
    /// Fetches sent to the broker it is read from, of all partitions.
    pub fetches: u64,
}

/// Where the client stands with its group, in librdkafka's words.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct GroupState {
    /// Of the coordinator's connection: `up` when it is there.
    pub state: String,
    /// Of the membership: `steady` when nothing is waited for.
    pub join_state: String,
}

impl GroupState {
    /// Whether the coordinator can be asked.
    #[must_use]
    pub fn has_coordinator(&self) -> bool {
        self.state == "up"
    }

    /// Whether the coordinator was asked to join, or to give the share of a join that is over, and has not answered.
    #[must_use]
    pub fn is_joining(&self) -> bool {
        self.has_coordinator() && matches!(&*self.join_state, "wait-join" | "wait-sync")
    }
}

impl fmt::Display for GroupState {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}, {}", self.state, self.join_state)
    }
}

/// What a statistics document says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Every partition the client knows.
    pub partitions: Vec<PartitionStatistics>,
    /// A broker is up, and none that was ever needed is not.
    pub connected: bool,
    /// A broker is up, a bootstrap server included; the coordinator's own connection leads to no other broker.
    pub reached: bool,
    /// Where the client stands with its group.
    pub group: Option<GroupState>,
}

#[derive(Deserialize)]
struct StatisticsDocument {
    #[serde(default)]
    brokers: BTreeMap<String, Broker>,
    #[serde(default)]
    topics: BTreeMap<String, TopicStatistics>,
    #[serde(default)]
    cgrp: Option<GroupState>,
}

#[derive(Deserialize)]
struct Broker {
    nodeid: i32,
    state: String,
    #[serde(default)]
    source: String,
    #[serde(default)]
    req: Requests,
}

/// Requests sent to a broker, by kind.
#[derive(Deserialize, Default)]
struct Requests {
    #[serde(rename = "Fetch", default)]
    fetch: u64,
}

impl Broker {
    /// Bootstrap and coordinator entries have no number of their own.
    fn is_real(&self) -> bool {
        self.nodeid >= 0
    }

    fn is_up(&self) -> bool {
        matches!(&*self.state, "UP" | "UPDATE")
    }
}

#[derive(Deserialize)]
struct TopicStatistics {
    #[serde(default)]
    partitions: BTreeMap<String, WrittenPartition>,
}

#[derive(Deserialize)]
struct WrittenPartition {
    partition: i32,
    #[serde(default = "nobody")]
    broker: i32,
    next_offset: i64,
    ls_offset: i64,
    lo_offset: i64,
}

/// As librdkafka numbers it.
fn nobody() -> i32 {
    -1
}

/// Reads a statistics document; partitions without a number (`-1`) are internal and left out.
///
/// # Errors
/// When the text is not what librdkafka documents.
pub fn read(json: &str) -> Result<Statistics, serde_json::Error> {
    let document: StatisticsDocument = serde_json::from_str(json)?;
    let in_state = |state: &str| document.brokers.values().filter(|one| one.is_real() && one.state == state).count();
    let (in_use, never_needed) = (in_state("UP"), in_state("INIT"));
    let connected =
        in_use > 0 && in_use + never_needed == document.brokers.values().filter(|one| one.is_real()).count();
    let up: HashSet<i32> =
        document.brokers.values().filter(|one| one.is_real() && one.state == "UP").map(|one| one.nodeid).collect();
    let fetches: BTreeMap<i32, u64> = document.brokers.values().map(|one| (one.nodeid, one.req.fetch)).collect();
    let mut all = Vec::new();
    for (topic, entry) in document.topics {
        let topic: Arc<str> = topic.into();
        all.extend(entry.partitions.into_values().filter(|p| p.partition >= 0).map(|p| PartitionStatistics {
            name: TopicPartition { topic: topic.clone(), partition: p.partition },
            next_offset: p.next_offset,
            is_served: up.contains(&p.broker),
            last_stable: p.ls_offset,
            low: p.lo_offset,
            fetches: fetches.get(&p.broker).copied().unwrap_or_default(),
        }));
    }
    let reached = document.brokers.values().any(|one| one.source != "logical" && one.is_up());
    Ok(Statistics { partitions: all, connected, reached, group: document.cgrp })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_partitions_and_leaves_the_internal_one_out() {
        let json = r#"{"name":"c","brokers":{"a:1/4":{"nodeid":4,"state":"UP","req":{"Fetch":12}},"b:1/5":{"nodeid":5,"state":"DOWN"}},
            "topics":{"t":{"topic":"t","partitions":{
            "0":{"partition":0,"broker":4,"next_offset":7,"ls_offset":9,"lo_offset":1,"hi_offset":9,"fetchq_cnt":3},
            "-1":{"partition":-1,"next_offset":0,"ls_offset":-1001,"lo_offset":-1001}}}},
            "cgrp":{"state":"up","stateage":9,"join_state":"wait-join","rebalance_cnt":1}}"#;
        let group = read(json).expect("valid").group.expect("a group");
        assert!(group.is_joining() && group.to_string() == "up, wait-join");
        let partitions = read(json).expect("valid").partitions;
        assert_eq!(partitions.len(), 1);
        assert_eq!((partitions[0].next_offset, partitions[0].last_stable, partitions[0].low), (7, 9, 1));
        assert!(partitions[0].is_served && partitions[0].fetches == 12);
        for other in [json.replace("\"broker\":4", "\"broker\":5"), json.replace("\"broker\":4,", "")] {
            assert!(!read(&other).expect("valid").partitions[0].is_served, "{other}");
        }
        assert_eq!(read(r#"{"name":"c"}"#).expect("no topics yet"), Statistics::default());
    }

    #[test]
    fn the_coordinators_connection_alone_reaches_no_broker() {
        for (source, state, reached) in [
            ("logical", "UP", false),
            ("learned", "INIT", false),
            ("learned", "UP", true),
            ("learned", "UPDATE", true),
            ("configured", "UP", true),
            ("configured", "CONNECT", false),
        ] {
            let other = r#""g":{"nodeid":-1,"source":"logical","state":"UP"}"#;
            let json = format!(r#"{{"brokers":{{"a":{{"nodeid":1,"source":"{source}","state":"{state}"}},{other}}}}}"#);
            assert_eq!(read(&json).expect("valid").reached, reached, "{source} {state}");
        }
    }

    #[test]
    fn connected_means_that_no_broker_in_use_is_away() {
        for (states, connected) in [
            (&[(1, "UP"), (2, "INIT"), (-1, "DOWN")][..], true),
            (&[(1, "UP"), (2, "TRY_CONNECT")], false),
            (&[(1, "DOWN")], false),
            (&[(1, "INIT")], false),
            (&[], false),
        ] {
            let brokers = states.iter().map(|(id, state)| format!(r#""{id}":{{"nodeid":{id},"state":"{state}"}}"#));
            let json = format!(r#"{{"brokers":{{{}}}}}"#, brokers.collect::<Vec<_>>().join(","));
            assert_eq!(read(&json).expect("valid").connected, connected, "{json}");
        }
    }
}
