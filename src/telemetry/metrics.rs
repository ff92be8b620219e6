//! Counters of one pipeline, bound at start. Everything here is touched per batch or per request, never per record.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use enum_map::{Enum, EnumMap};
use strum::{IntoStaticStr, VariantArray};

use super::distribution::Distribution;
use super::labelled::{ItemErrors, TopicCounters};
use crate::model::{Conservation, Outcome, RejectReason, RewindCause};

/// A counter that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }
    /// The value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A value that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Sets the value.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }
    /// Adds `n`, which may be negative.
    pub fn add(&self, n: i64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }
    /// The value.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A stage whose busy and blocked time is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum StageName {
    /// The control loop.
    Source,
    /// The workers, summed.
    Preprocess,
    /// Redis round trips, summed.
    Lookup,
    /// The sink: its thread (Kafka), or requests awaiting their answers, summed over the lanes (Elasticsearch).
    Sink,
}

impl StageName {
    /// The label value.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Result of asking for a look-up key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum LookupResult {
    /// In the cache.
    Cached,
    /// Read from Redis.
    Found,
    /// Not there.
    Missed,
    /// Redis did not answer.
    Failed,
    /// There, but not UTF-8 or over 1 MiB: answered as a miss.
    Unusable,
}

impl LookupResult {
    /// The label value.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// How a request of a sink ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, IntoStaticStr)]
pub enum RequestClass {
    /// HTTP 200 to 299.
    #[strum(serialize = "2xx")]
    Success,
    /// HTTP 300 to 399.
    #[strum(serialize = "3xx")]
    Redirect,
    /// HTTP 400 to 499 but for 429.
    #[strum(serialize = "4xx")]
    Refused,
    /// HTTP 429.
    #[strum(serialize = "429")]
    Busy,
    /// HTTP 500 and above.
    #[strum(serialize = "5xx")]
    ServerError,
    /// No answer: a timeout, a broken connection; for Kafka a failure the client found without the broker.
    #[strum(serialize = "none")]
    NoAnswer,
    /// A Kafka broker acknowledged records.
    #[strum(serialize = "acknowledged")]
    Acknowledged,
    /// A Kafka broker refused records.
    #[strum(serialize = "refused")]
    BrokerError,
}

impl RequestClass {
    /// The class of an HTTP status.
    #[must_use]
    pub fn of_http(status: u16) -> Self {
        match status {
            429 => Self::Busy,
            0..=299 => Self::Success,
            300..=399 => Self::Redirect,
            400..=499 => Self::Refused,
            _ => Self::ServerError,
        }
    }

    /// The label value.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Everything one pipeline counts.
#[derive(Debug, Default)]
pub struct PipelineMetrics {
    /// Pipeline name (label).
    pub pipeline: Arc<str>,
    /// Records drained; written by [`PipelineMetrics::drained`].
    pub(crate) source_records: Counter,
    /// Bytes drained (key + value); written by [`PipelineMetrics::drained`].
    pub(crate) source_bytes: Counter,
    /// The same by topic.
    pub topics: TopicCounters,
    /// Records of each batch the source drained, observed once a batch.
    pub batch_records: Distribution,
    /// Bytes (key + value) of each batch the source drained, observed once a batch.
    pub batch_bytes: Distribution,
    /// Records of closed tickets by [`Outcome`].
    pub(crate) outcomes: EnumMap<Outcome, Counter>,
    /// Records of forgotten tickets.
    pub rewound: Counter,
    /// Records read and not resolved.
    pub(crate) open_records: Gauge,
    /// Milliseconds since the epoch at which the oldest unresolved record was polled; 0 while nothing is open.
    pub(crate) oldest_unresolved_since_ms: Gauge,
    /// Records the client delivered again unasked.
    pub redelivered: Counter,
    /// Records missing between an expected and a delivered offset because retention removed them.
    pub gap_records: Counter,
    /// Topics that records name and that do not exist.
    pub(crate) missing_topics: Gauge,
    /// Partitions that stand still at a batch that cannot be read.
    pub(crate) damaged_partitions: Gauge,
    /// Offsets of batches that could not be read and were skipped (`on_damaged: skip`).
    pub(crate) damaged_offsets_skipped: Counter,
    /// Rejected records by [`RejectReason`].
    pub rejects: EnumMap<RejectReason, Counter>,
    /// Rewinds by [`RewindCause`].
    pub rewinds: EnumMap<RewindCause, Counter>,
    /// Settlements of tickets that had already ended; harmless, counted.
    pub(crate) stale_parts: Counter,
    /// Rebalance events.
    pub rebalances: Counter,
    /// Partitions assigned now.
    pub assigned_partitions: Gauge,
    /// Commit requests answered without an error, and with one.
    pub commits: Counter,
    /// See `commits`.
    pub commit_failures: Counter,
    /// Milliseconds since the epoch at which the commit was sent whose answer is waited for; 0 while none is.
    pub(crate) commit_unanswered_since_ms: Gauge,
    /// Nanoseconds busy, by [`StageName`].
    pub(crate) stage_busy_nanos: EnumMap<StageName, Counter>,
    /// Nanoseconds blocked, by [`StageName`].
    pub(crate) stage_blocked_nanos: EnumMap<StageName, Counter>,
    /// Look-up keys by [`LookupResult`].
    pub(crate) lookup_keys: EnumMap<LookupResult, Counter>,
    /// Microseconds of each Redis round trip.
    pub(crate) lookup_micros: Distribution,
    /// Sends of items or requests repeated in place.
    pub retries: Counter,
    /// Sink requests that ended, by [`RequestClass`]. The Kafka sink, whose client packs requests itself, counts runs
    /// of delivery reports of one partition and one code instead.
    pub(crate) sink_requests: EnumMap<RequestClass, Counter>,
    /// Bulk items or delivery reports that carried an error, by status and type.
    pub(crate) sink_item_errors: ItemErrors,
    /// Records prepared and waiting in the sink: not handed to the client (Kafka), not answered for good
    /// (Elasticsearch).
    pub(crate) queue_records: Gauge,
    /// Bound of `queue_records`; 0 = not known yet.
    pub(crate) queue_records_limit: Gauge,
    /// Payload bytes of those records.
    pub(crate) queue_bytes: Gauge,
    /// Bound of `queue_bytes`; 0 = not known yet.
    pub(crate) queue_bytes_limit: Gauge,
    /// Bulk requests out now (Elasticsearch).
    pub(crate) requests_in_flight: Gauge,
    /// How many may be out at once now; 0 = not bounded by us (Kafka).
    pub(crate) requests_in_flight_limit: Gauge,
    /// Milliseconds since the epoch of the last acknowledgement.
    pub(crate) last_delivered_ms: Gauge,
    /// The conservation sum as of the end of a turn of the source, the one thread that changes its counters: between
    /// two turns the sum need not hold, so nobody else may add the counters up.
    balance: Mutex<Conservation>,
    /// Conservation violated: always 0 unless there is a bug.
    pub(crate) conservation_errors: Counter,
}

impl PipelineMetrics {
    /// Counters of the pipeline `name`.
    #[must_use]
    pub fn new(name: &str) -> Arc<Self> {
        Arc::new(Self { pipeline: name.into(), ..Self::default() })
    }
    /// Ends a turn of the source with so many records open: what [`PipelineMetrics::conservation`] answers from now on.
    /// A reader holds the lock for one copy.
    pub(crate) fn balance(&self, open: u64) {
        self.open_records.set(i64::try_from(open).unwrap_or(i64::MAX));
        let mut sum = Conservation {
            consumed: self.source_records.get(),
            rewound: self.rewound.get(),
            open,
            ..Conservation::default()
        };
        for (outcome, counter) in &self.outcomes {
            *sum.ended(outcome) = counter.get();
        }
        *self.balance.lock().unwrap_or_else(PoisonError::into_inner) = sum;
    }
    /// The conservation sum of the last balance: never a torn reading.
    #[must_use]
    pub(crate) fn conservation(&self) -> Conservation {
        *self.balance.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Counts `records` of `topic` as consumed. Once a run, before the ledger opens its ticket.
    pub(crate) fn drained(&self, topic: &Arc<str>, records: u64, bytes: u64) {
        self.source_records.add(records);
        self.source_bytes.add(bytes);
        self.topics.add(topic, records, bytes);
    }
    /// The counter of an outcome.
    pub(crate) fn outcome(&self, outcome: Outcome) -> &Counter {
        &self.outcomes[outcome]
    }
    /// The counter of a reject reason.
    pub(crate) fn reject(&self, reason: RejectReason) -> &Counter {
        &self.rejects[reason]
    }
    /// The counter of a rewind cause.
    pub fn rewind(&self, cause: RewindCause) -> &Counter {
        &self.rewinds[cause]
    }
    /// The counter of a class of sink requests.
    pub(crate) fn sink_request(&self, class: RequestClass) -> &Counter {
        &self.sink_requests[class]
    }
    /// Busy nanoseconds of a stage.
    pub(crate) fn busy(&self, stage: StageName) -> &Counter {
        &self.stage_busy_nanos[stage]
    }
    /// Adds to the busy time of a stage.
    pub(crate) fn worked(&self, stage: StageName, duration: Duration) {
        self.busy(stage).add(nanos(duration));
    }
    /// Adds to the blocked time of a stage.
    pub(crate) fn waited(&self, stage: StageName, duration: Duration) {
        self.blocked(stage).add(nanos(duration));
    }
    /// Blocked nanoseconds of a stage.
    pub(crate) fn blocked(&self, stage: StageName) -> &Counter {
        &self.stage_blocked_nanos[stage]
    }
    /// The counter of a look-up result.
    pub(crate) fn lookup(&self, result: LookupResult) -> &Counter {
        &self.lookup_keys[result]
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use strum::VariantArray;

    use super::*;

    #[test]
    fn every_counter_takes_part_in_the_sum() {
        let metrics = PipelineMetrics::new("p");
        metrics.source_records.add(127);
        for (place, outcome) in Outcome::VARIANTS.iter().enumerate() {
            metrics.outcome(*outcome).add(1 << place);
        }
        metrics.rewound.add(32);
        metrics.balance(64);
        let expected = Conservation {
            consumed: 127,
            delivered: 1,
            superseded: 2,
            dropped: 4,
            dead_lettered: 8,
            redirected: 16,
            rewound: 32,
            open: 64,
        };
        assert_eq!(metrics.conservation(), expected);
        assert!(expected.holds());
    }

    #[test]
    fn a_reading_in_the_middle_of_a_turn_is_the_one_of_the_turn_before() {
        let metrics = PipelineMetrics::new("p");
        metrics.source_records.add(7);
        metrics.balance(7);
        metrics.source_records.add(5);
        metrics.outcome(Outcome::Delivered).add(3);
        let sum = metrics.conservation();
        assert!(sum.holds() && sum.consumed == 7, "{sum}");
        metrics.balance(9);
        let sum = metrics.conservation();
        assert!(sum.holds() && sum.consumed == 12, "{sum}");
    }
}
