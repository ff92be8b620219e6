//! Counters with labels that are not known at start, bounded: topics, and error types of a server.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Series of one metric and pipeline beyond this are counted as `other`.
const MOST_SERIES: usize = 256;

/// Records and bytes by topic. One uncontended lock a run of records.
#[derive(Debug, Default)]
pub struct TopicCounters(Mutex<BTreeMap<Arc<str>, Drained>>);

/// What was drained of a topic.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Records.
    pub records: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
}

impl TopicCounters {
    /// Adds to the counters of `topic`.
    pub fn add(&self, topic: &Arc<str>, records: u64, bytes: u64) {
        let mut topics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let full = topics.len() >= MOST_SERIES && !topics.contains_key(topic);
        let key = if full { Arc::from("other") } else { topic.clone() };
        let drained = topics.entry(key).or_default();
        drained.records += records;
        drained.bytes += bytes;
    }

    /// The counters now, by topic.
    #[must_use]
    pub fn snapshot(&self) -> Vec<(Arc<str>, Drained)> {
        let topics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        topics.iter().map(|(topic, drained)| (topic.clone(), *drained)).collect()
    }
}

/// Error types that become label values. Everything else is `other`: a server's text must not mint series.
const KNOWN_TYPES: &[&str] = &[
    "circuit_breaking_exception",
    "cluster_block_exception",
    "document_missing_exception",
    "document_parsing_exception",
    "document_source_missing_exception",
    "es_rejected_execution_exception",
    "illegal_argument_exception",
    "index_closed_exception",
    "index_create_block_exception",
    "index_not_found_exception",
    "invalid_index_name_exception",
    "mapper_parsing_exception",
    "parse_exception",
    "process_cluster_event_timeout_exception",
    "rejected_execution_exception",
    "routing_missing_exception",
    "security_exception",
    "shard_not_available_exception",
    "strict_dynamic_mapping_exception",
    "type_missing_exception",
    "unavailable_shards_exception",
    "validation_exception",
    "version_conflict_engine_exception",
    "x_content_parse_exception",
    // Delivery reports of the Kafka sink.
    "invalid_different_record",
    "invalid_record",
    "message_too_large",
    "not_authorized",
    "purged",
    "timed_out",
    "unknown_topic",
];

const OTHER: &str = "other";

/// Errors of single items by `(status, type)`. Touched only when items fail.
#[derive(Debug, Default)]
pub struct ItemErrors(Mutex<BTreeMap<(u16, &'static str), u64>>);

impl ItemErrors {
    /// Counts `n` errors. `status` is the item's status, 0 when it has none; an unknown `kind` is counted as `other`.
    pub fn count(&self, status: u16, kind: &str, n: u64) {
        let kind = Self::known(kind);
        let mut errors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let full = errors.len() >= MOST_SERIES && !errors.contains_key(&(status, kind));
        *errors.entry(if full { (0, OTHER) } else { (status, kind) }).or_default() += n;
    }

    /// The label value for a server's error type.
    #[must_use]
    pub fn known(kind: &str) -> &'static str {
        KNOWN_TYPES.iter().copied().find(|known| *known == kind).unwrap_or(OTHER)
    }

    /// All errors counted.
    #[cfg(test)]
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }

    /// `(status, type, errors)`.
    #[must_use]
    pub fn snapshot(&self) -> Vec<(u16, &'static str, u64)> {
        let errors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        errors.iter().map(|((status, kind), n)| (*status, *kind, *n)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_cannot_mint_series() {
        let errors = ItemErrors::default();
        for number in 0..2_000_u16 {
            errors.count(number, &format!("made_up_{number}"), 1);
        }
        errors.count(400, "mapper_parsing_exception", 3);
        assert!(errors.snapshot().len() <= MOST_SERIES + 1, "{}", errors.snapshot().len());
        assert_eq!(errors.get(), 2_003, "nothing is lost by folding");
    }

    #[test]
    fn known_types_keep_their_name() {
        let errors = ItemErrors::default();
        errors.count(400, "mapper_parsing_exception", 2);
        errors.count(400, "surprise", 1);
        errors.count(0, OTHER, 4);
        assert_eq!(errors.snapshot(), [(0, "other", 4), (400, "mapper_parsing_exception", 2), (400, "other", 1)]);
    }

    #[test]
    fn topics_add_up_and_are_bounded() {
        let topics = TopicCounters::default();
        for number in 0..400 {
            topics.add(&format!("t{number}").into(), 2, 10);
        }
        let all = topics.snapshot();
        assert_eq!(all.iter().map(|(_, drained)| drained.records).sum::<u64>(), 800);
        assert_eq!(all.len(), MOST_SERIES + 1);
    }
}
