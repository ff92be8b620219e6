//! The metrics as data: names, labels and values of every pipeline at one moment. Hot paths only bump atomics;
//! everything is added up here, when somebody asks.

use std::sync::Arc;

use enum_map::{Enum, EnumMap};
use prometheus_client::metrics::MetricType;

use super::board::{Board, PipelineView};
use super::distribution::Distribution;
use super::lag::Lag;
use super::latency::Stage;
use super::metrics::{Counter, LookupResult, PipelineMetrics, RequestClass, StageName};
use super::process::AllocatorBytes;
use crate::model::{Outcome, RejectReason, RewindCause, TopicPartition};

/// One metric with all its series. Counters are named without `_total`: the encoder adds it.
#[derive(Debug)]
pub struct Family {
    /// Name without the prefix.
    pub name: &'static str,
    /// What it is, for people.
    pub help: &'static str,
    /// Its type.
    pub kind: MetricType,
    /// Its series; none while nothing is known.
    pub samples: Vec<Sample>,
}

/// One series.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Label names and values.
    pub labels: Vec<(&'static str, String)>,
    /// The value.
    pub value: MetricValue,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricValue {
    /// A counter.
    Count(u64),
    /// A counter of seconds.
    CountSeconds(f64),
    /// A gauge.
    Level(i64),
    /// A gauge of seconds.
    LevelSeconds(f64),
    /// A histogram: sum, and `(upper bound, values in this bucket)`, the last bound infinite.
    Histogram {
        /// Sum of all values.
        sum: f64,
        /// Not cumulative.
        buckets: Vec<(f64, u64)>,
    },
}

/// Every family, in the order of the documentation.
#[must_use]
pub fn families(board: &Board, allocator: Option<AllocatorBytes>, now_ms: i64) -> Vec<Family> {
    let mut page = Page { pipelines: &board.pipelines, families: Vec::with_capacity(40) };
    build(&mut page, board);
    records(&mut page);
    lag(&mut page, now_ms);
    stages_and_queues(&mut page);
    distributions(&mut page);
    sink(&mut page, now_ms);
    memory(&mut page, allocator);
    page.families
}

/// The page being built. `each` writes one family by asking every pipeline for its series.
struct Page<'a> {
    pipelines: &'a [Arc<PipelineView>],
    families: Vec<Family>,
}

type Series = (Vec<(&'static str, String)>, MetricValue);

impl Page<'_> {
    fn each<S>(&mut self, name: &'static str, help: &'static str, kind: MetricType, series: S)
    where
        S: Fn(&PipelineView) -> Vec<Series>,
    {
        let of_one = |view: &Arc<PipelineView>| {
            let name = view.pipeline.name.to_string();
            series(view).into_iter().map(move |(mut labels, value)| {
                labels.insert(0, ("pipeline", name.clone()));
                Sample { labels, value }
            })
        };
        let samples = self.pipelines.iter().flat_map(of_one).collect();
        self.families.push(Family { name, help, kind, samples });
    }

    fn count(&mut self, name: &'static str, help: &'static str, value: impl Fn(&PipelineMetrics) -> u64) {
        self.each(name, help, MetricType::Counter, |view| {
            vec![plain(MetricValue::Count(value(&view.pipeline.metrics)))]
        });
    }

    fn level(&mut self, name: &'static str, help: &'static str, value: impl Fn(&PipelineMetrics) -> Option<i64>) {
        self.each(name, help, MetricType::Gauge, |view| {
            value(&view.pipeline.metrics).map(|level| plain(MetricValue::Level(level))).into_iter().collect()
        });
    }
}

fn plain(value: MetricValue) -> Series {
    (Vec::new(), value)
}

fn labelled(key: &'static str, label: impl Into<String>, value: MetricValue) -> Series {
    (vec![(key, label.into())], value)
}

/// A series for each variant.
fn by_variant<K: Enum>(
    label: &'static str,
    counters: &EnumMap<K, Counter>,
    name: fn(K) -> &'static str,
) -> Vec<Series> {
    counters.iter().map(|(one, counter)| labelled(label, name(one), MetricValue::Count(counter.get()))).collect()
}

fn build(page: &mut Page<'_>, board: &Board) {
    let labels = vec![
        ("version", board.build.version.clone()),
        ("commit", board.build.commit.clone()),
        ("librdkafka", board.build.librdkafka.clone()),
    ];
    let samples = vec![Sample { labels, value: MetricValue::Level(1) }];
    page.families.push(Family { name: "build_info", help: "What runs", kind: MetricType::Gauge, samples });
}

fn records(page: &mut Page<'_>) {
    page.each("source_records", "Records read, by topic", MetricType::Counter, |view| {
        let topics = view.pipeline.metrics.topics.snapshot();
        topics.into_iter().map(|(topic, n)| labelled("topic", &*topic, MetricValue::Count(n.records))).collect()
    });
    page.each("source_bytes", "Bytes of keys and values read, by topic", MetricType::Counter, |view| {
        let topics = view.pipeline.metrics.topics.snapshot();
        topics.into_iter().map(|(topic, n)| labelled("topic", &*topic, MetricValue::Count(n.bytes))).collect()
    });
    page.each("records", "Records by how they ended", MetricType::Counter, |view| {
        let mut series = by_variant("outcome", &view.pipeline.metrics.outcomes, Outcome::name);
        series.push(labelled("outcome", "rewound", MetricValue::Count(view.pipeline.metrics.rewound.get())));
        series
    });
    page.level("open_records", "Records read and not resolved", |metrics| Some(metrics.open_records.get()));
    page.count("redelivered_records", "Records the client delivered again unasked", |m| m.redelivered.get());
    page.count("gap_records", "Records that retention removed before they were read", |m| m.gap_records.get());
    page.level("missing_topics", "Topics that records name and that do not exist", |m| Some(m.missing_topics.get()));
    page.level("damaged_partitions", "Partitions that stand still at a batch that cannot be read", |m| {
        Some(m.damaged_partitions.get())
    });
    page.count("damaged_offsets_skipped", "Offsets of batches that could not be read and were skipped", |m| {
        m.damaged_offsets_skipped.get()
    });
    page.each("conservation_difference_records", "Records the conservation sum misses", MetricType::Gauge, |view| {
        vec![plain(MetricValue::Level(view.pipeline.metrics.conservation().difference()))]
    });
    page.count("conservation_errors", "Times the conservation sum was found not to hold", |m| {
        m.conservation_errors.get()
    });
}

fn lag(page: &mut Page<'_>, now_ms: i64) {
    page.each("consumer_lag_records", "Records behind the last stable offset", MetricType::Gauge, |view| {
        by_partition(view, |lag| Some(level(lag.records)))
    });
    page.each("consumer_lag_seconds", "Age of the oldest record not resolved", MetricType::Gauge, |view| {
        by_partition(view, |lag| lag.seconds(now_ms).map(MetricValue::LevelSeconds))
    });
    page.each(
        "stalled_partitions",
        "Partitions with lag of which nothing was resolved for long",
        MetricType::Gauge,
        |view| {
            let judged = view.judgement();
            judged.map(|judged| plain(level(judged.stalled.len() as u64))).into_iter().collect()
        },
    );
    page.each("oldest_unresolved_seconds", "Time since the oldest open record was polled", MetricType::Gauge, |view| {
        let since = view.pipeline.metrics.oldest_unresolved_since_ms.get();
        let age = match (view.pipeline.metrics.open_records.get(), since) {
            (..=0, _) => Some(0.0),
            // Something is open and nobody has said since when: better absent than 0.
            (_, ..=0) => None,
            (_, since) => Some(now_ms.saturating_sub(since).max(0) as f64 / 1e3),
        };
        age.map(|age| plain(MetricValue::LevelSeconds(age))).into_iter().collect()
    });
    page.each("last_delivered_timestamp_seconds", "When the sink last acknowledged", MetricType::Gauge, |view| {
        let at = view.pipeline.metrics.last_delivered_ms.get();
        (at > 0).then(|| plain(MetricValue::LevelSeconds(at as f64 / 1e3))).into_iter().collect()
    });
}

fn by_partition(view: &PipelineView, value: impl Fn(Lag) -> Option<MetricValue>) -> Vec<Series> {
    let labels = |partition: TopicPartition| {
        vec![("topic", partition.topic.to_string()), ("partition", partition.partition.to_string())]
    };
    let known = view.pipeline.lag.snapshot().into_iter();
    known.filter_map(|(partition, lag)| value(lag).map(|value| (labels(partition), value))).collect()
}

fn level(value: u64) -> MetricValue {
    MetricValue::Level(i64::try_from(value).unwrap_or(i64::MAX))
}

fn stages_and_queues(page: &mut Page<'_>) {
    page.each("stage_busy_seconds", "Time at work, summed over threads", MetricType::Counter, |view| {
        stage_seconds(&view.pipeline.metrics.stage_busy_nanos)
    });
    page.each("stage_blocked_seconds", "Time waiting for room behind the stage", MetricType::Counter, |view| {
        stage_seconds(&view.pipeline.metrics.stage_blocked_nanos)
    });
    page.level("queue_records", "Records waiting in the sink", |m| Some(m.queue_records.get()));
    page.level("queue_records_limit", "Bound of queue_records", |m| known(m.queue_records_limit.get()));
    page.level("queue_bytes", "Bytes waiting in the sink", |m| Some(m.queue_bytes.get()));
    page.level("queue_bytes_limit", "Bound of queue_bytes", |m| known(m.queue_bytes_limit.get()));
}

fn known(limit: i64) -> Option<i64> {
    (limit > 0).then_some(limit)
}

fn stage_seconds(nanos: &EnumMap<StageName, Counter>) -> Vec<Series> {
    let seconds = |counter: &Counter| MetricValue::CountSeconds(counter.get() as f64 / 1e9);
    nanos.iter().map(|(stage, counter)| labelled("stage", stage.name(), seconds(counter))).collect()
}

/// Which powers of two become bounds, and what divides the recorded unit into the exposed one.
#[derive(Clone, Copy)]
struct Scale {
    first: usize,
    last: usize,
    divisor: f64,
}

/// 128 µs to 134 s; recorded in microseconds.
const SECONDS: Scale = Scale { first: 7, last: 27, divisor: 1e6 };
/// 1 to 32,768 records.
const RECORDS: Scale = Scale { first: 0, last: 15, divisor: 1.0 };
/// 1 KiB to 64 MiB.
const BYTES: Scale = Scale { first: 10, last: 26, divisor: 1.0 };

fn distributions(page: &mut Page<'_>) {
    let kind = MetricType::Histogram;
    page.each("batch_records", "Records of a batch as read", kind, |v| {
        histogram(&v.pipeline.metrics.batch_records, RECORDS)
    });
    page.each("batch_bytes", "Bytes of a batch as read", kind, |v| histogram(&v.pipeline.metrics.batch_bytes, BYTES));
    page.each("end_to_end_seconds", "Polled to acknowledged, by record", kind, |view| {
        histogram(view.pipeline.latency.micros(Stage::EndToEnd), SECONDS)
    });
    page.each("sink_request_seconds", "Sent to answered, weighted by records", kind, |view| {
        histogram(view.pipeline.latency.micros(Stage::Request), SECONDS)
    });
    page.each("lookup_seconds", "Redis round trips", kind, |v| histogram(&v.pipeline.metrics.lookup_micros, SECONDS));
}

fn histogram(distribution: &Distribution, scale: Scale) -> Vec<Series> {
    let bound = |bound: Option<u64>| bound.map_or(f64::INFINITY, |bound| bound as f64 / scale.divisor);
    let buckets = distribution.buckets(scale.first, scale.last);
    let buckets = buckets.into_iter().map(|(limit, n)| (bound(limit), n)).collect();
    vec![plain(MetricValue::Histogram { sum: distribution.sum() as f64 / scale.divisor, buckets })]
}

fn sink(page: &mut Page<'_>, now_ms: i64) {
    let kind = MetricType::Counter;
    page.each("sink_requests", "Requests by class of status", kind, |view| {
        by_variant("status", &view.pipeline.metrics.sink_requests, RequestClass::name)
    });
    page.each("sink_item_errors", "Items or delivery reports with an error", kind, |view| {
        let errors = view.pipeline.metrics.sink_item_errors.snapshot().into_iter();
        let labels = |status: u16, kind: &str| {
            let status = if status == 0 { "none".to_owned() } else { status.to_string() };
            vec![("status", status), ("type", kind.to_owned())]
        };
        errors.map(|(status, kind, n)| (labels(status, kind), MetricValue::Count(n))).collect()
    });
    page.level("sink_requests_in_flight", "Bulk requests out", |m| {
        known(m.requests_in_flight_limit.get()).map(|_| m.requests_in_flight.get())
    });
    page.level("sink_requests_in_flight_limit", "How many may be out at once now", |m| {
        known(m.requests_in_flight_limit.get())
    });
    page.count("retries", "Sends repeated in place", |metrics| metrics.retries.get());
    page.each("rewinds", "Partitions that went back, by cause", kind, |view| {
        by_variant("cause", &view.pipeline.metrics.rewinds, RewindCause::name)
    });
    page.each("rejects", "Rejected records by reason", kind, |view| {
        by_variant("reason", &view.pipeline.metrics.rejects, RejectReason::name)
    });
    page.each("lookup_keys", "Look-up keys by result", kind, |view| {
        by_variant("result", &view.pipeline.metrics.lookup_keys, LookupResult::name)
    });
    page.count("rebalances", "Rebalance events", |metrics| metrics.rebalances.get());
    page.level("assigned_partitions", "Partitions assigned now", |m| Some(m.assigned_partitions.get()));
    page.count("commits", "Commits acknowledged", |metrics| metrics.commits.get());
    page.count("commit_failures", "Commits answered with an error", |metrics| metrics.commit_failures.get());
    page.each(
        "commit_unanswered_seconds",
        "How long the answer to a commit is waited for",
        MetricType::Gauge,
        |view| {
            let since = view.pipeline.metrics.commit_unanswered_since_ms.get();
            let age = if since > 0 { now_ms.saturating_sub(since).max(0) as f64 / 1e3 } else { 0.0 };
            vec![plain(MetricValue::LevelSeconds(age))]
        },
    );
    page.count("stale_parts", "Settlements of tickets that had already ended", |metrics| metrics.stale_parts.get());
}

fn memory(page: &mut Page<'_>, allocator: Option<AllocatorBytes>) {
    page.each("memory_budget_bytes", "Bytes drained and not resolved, and their bound", MetricType::Gauge, |view| {
        let of = |kind, bytes: usize| labelled("kind", kind, level(bytes as u64));
        vec![of("used", view.pipeline.budget.used()), of("limit", view.pipeline.budget.limit())]
    });
    let sample = |kind: &str, bytes: u64| Sample { labels: vec![("kind", kind.to_owned())], value: level(bytes) };
    let samples = allocator.map_or_else(Vec::new, |bytes| {
        vec![sample("allocated", bytes.allocated), sample("active", bytes.active), sample("resident", bytes.resident)]
    });
    let help = "Bytes of the allocator of the process";
    page.families.push(Family { name: "allocator_bytes", help, kind: MetricType::Gauge, samples });
}
