//! How far each assigned partition is behind. Absent until known, gone on revoke.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::{Position, TopicPartition};

/// Lag of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    /// Records between the ledger's position and the last stable offset.
    pub records: u64,
    /// The ledger's position: everything below it is resolved. Moves when the partition moves; the stall alarm watches
    /// it.
    pub position: Position,
    /// Broker timestamp of the oldest record not resolved, when known.
    pub oldest_timestamp_ms: Option<i64>,
}

impl Lag {
    /// Age in seconds of the oldest unresolved record; 0 without lag, `None` while no timestamp is known.
    #[must_use]
    pub fn seconds(&self, now_ms: i64) -> Option<f64> {
        if self.records == 0 {
            return Some(0.0);
        }
        self.oldest_timestamp_ms.map(|oldest| now_ms.saturating_sub(oldest).max(0) as f64 / 1e3)
    }
}

/// Lag of the partitions a pipeline is assigned: written by the source when it learns something (at most once per
/// statistics interval and partition), read by metrics and status.
#[derive(Debug, Default)]
pub struct LagTable {
    partitions: Mutex<BTreeMap<TopicPartition, Lag>>,
    /// Records behind when the pipeline ended.
    at_end: Mutex<Option<u64>>,
}

impl LagTable {
    /// A table that knows nothing.
    #[must_use]
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// What is known of a partition now.
    pub(crate) fn set(&self, partition: &TopicPartition, lag: Lag) {
        let mut partitions = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        match partitions.get_mut(partition) {
            Some(known) => *known = lag,
            None => {
                partitions.insert(partition.clone(), lag);
            }
        }
    }

    /// The partition was revoked or lost.
    pub(crate) fn remove(&self, partition: &TopicPartition) {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner).remove(partition);
    }

    /// The pipeline has ended: its partitions go, and how far all of them were behind is kept for the run's report.
    pub(crate) fn end(&self) {
        let known = std::mem::take(&mut *self.partitions.lock().unwrap_or_else(PoisonError::into_inner));
        let records = (!known.is_empty()).then(|| known.values().map(|lag| lag.records).sum());
        *self.at_end.lock().unwrap_or_else(PoisonError::into_inner) = records;
    }

    /// Records behind over all partitions known; at the end of the pipeline, when it has ended; `None` while unknown.
    #[must_use]
    pub(crate) fn records(&self) -> Option<u64> {
        let now = total(&self.snapshot(), 0).map(|(records, _)| records);
        now.or(*self.at_end.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Everything known, by topic and partition.
    #[must_use]
    pub(crate) fn snapshot(&self) -> Vec<(TopicPartition, Lag)> {
        let partitions = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        partitions.iter().map(|(partition, lag)| (partition.clone(), *lag)).collect()
    }
}

/// Records behind over all partitions known, and the age of the oldest; `None` while nothing is known.
#[must_use]
pub fn total(partitions: &[(TopicPartition, Lag)], now_ms: i64) -> Option<(u64, Option<f64>)> {
    if partitions.is_empty() {
        return None;
    }
    let records = partitions.iter().map(|(_, lag)| lag.records).sum();
    let seconds = partitions.iter().filter_map(|(_, lag)| lag.seconds(now_ms)).reduce(f64::max);
    Some((records, seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(number: i32) -> TopicPartition {
        TopicPartition { topic: "t".into(), partition: number }
    }

    #[test]
    fn absent_until_known_and_gone_on_revoke() {
        let table = LagTable::new();
        assert_eq!(total(&table.snapshot(), 0), None);
        table.set(&partition(1), Lag { records: 5, position: Position(7), oldest_timestamp_ms: Some(1_000) });
        table.set(&partition(2), Lag { records: 0, position: Position(7), oldest_timestamp_ms: Some(1_000) });
        assert_eq!(total(&table.snapshot(), 3_500), Some((5, Some(2.5))));
        table.remove(&partition(1));
        assert_eq!(total(&table.snapshot(), 3_500), Some((0, Some(0.0))));
        table.remove(&partition(2));
        assert_eq!(table.snapshot(), []);
        assert_eq!(table.records(), None);
        table.set(&partition(1), Lag { records: 5, position: Position(7), oldest_timestamp_ms: None });
        assert_eq!(table.records(), Some(5));
        table.set(&partition(1), Lag { records: 0, position: Position(12), oldest_timestamp_ms: None });
        table.end();
        assert_eq!((table.snapshot(), table.records()), (vec![], Some(0)), "its true end");
    }

    #[test]
    fn an_unknown_or_future_timestamp_gives_no_false_seconds() {
        let lag = |oldest| Lag { records: 1, position: Position(0), oldest_timestamp_ms: oldest };
        assert_eq!(lag(None).seconds(1_000), None);
        assert_eq!(lag(Some(2_000)).seconds(1_000), Some(0.0));
    }
}
