//! The exposition against the table of the interface.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, UNIX_EPOCH};

use super::super::board::tests::board_of_two;
use super::super::latency::Stage;
use super::*;
use crate::model::{Outcome, Position, RejectReason, RewindCause, TopicPartition};
use crate::telemetry::lag::Lag;

/// Section 3 of the interface: name, type, labels in order.
const TABLE: &[(&str, &str, &str)] = &[
    ("build_info", "gauge", "version,commit,librdkafka"),
    ("source_records_total", "counter", "pipeline,topic"),
    ("source_bytes_total", "counter", "pipeline,topic"),
    ("records_total", "counter", "pipeline,outcome"),
    ("open_records", "gauge", "pipeline"),
    ("redelivered_records_total", "counter", "pipeline"),
    ("consumer_lag_records", "gauge", "pipeline,topic,partition"),
    ("consumer_lag_seconds", "gauge", "pipeline,topic,partition"),
    ("oldest_unresolved_seconds", "gauge", "pipeline"),
    ("last_delivered_timestamp_seconds", "gauge", "pipeline"),
    ("stage_busy_seconds_total", "counter", "pipeline,stage"),
    ("stage_blocked_seconds_total", "counter", "pipeline,stage"),
    ("queue_records", "gauge", "pipeline"),
    ("queue_records_limit", "gauge", "pipeline"),
    ("queue_bytes", "gauge", "pipeline"),
    ("queue_bytes_limit", "gauge", "pipeline"),
    ("batch_records", "histogram", "pipeline"),
    ("batch_bytes", "histogram", "pipeline"),
    ("end_to_end_seconds", "histogram", "pipeline"),
    ("sink_request_seconds", "histogram", "pipeline"),
    ("lookup_seconds", "histogram", "pipeline"),
    ("sink_requests_total", "counter", "pipeline,status"),
    ("sink_item_errors_total", "counter", "pipeline,status,type"),
    ("retries_total", "counter", "pipeline"),
    ("rewinds_total", "counter", "pipeline,cause"),
    ("rejects_total", "counter", "pipeline,reason"),
    ("lookup_keys_total", "counter", "pipeline,result"),
    ("rebalances_total", "counter", "pipeline"),
    ("assigned_partitions", "gauge", "pipeline"),
    ("memory_budget_bytes", "gauge", "pipeline,kind"),
];

/// What we say beyond the interface's table.
const MORE: &[&str] = &[
    "allocator_bytes",
    "gap_records_total",
    "missing_topics",
    "damaged_partitions",
    "commit_unanswered_seconds",
    "damaged_offsets_skipped_total",
    "conservation_difference_records",
    "conservation_errors_total",
    "stalled_partitions",
    "commits_total",
    "commit_failures_total",
    "stale_parts_total",
    "sink_requests_in_flight",
    "sink_requests_in_flight_limit",
];

fn filled() -> Arc<Board> {
    let board = board_of_two();
    let view = &board.pipelines[0];
    let metrics = &view.pipeline.metrics;
    metrics.drained(&"events".into(), 10, 1_000);
    metrics.outcome(Outcome::Delivered).add(7);
    metrics.rewound.add(2);
    metrics.balance(1);
    metrics.last_delivered_ms.set(1_500);
    metrics.conservation_errors.add(6);
    metrics.oldest_unresolved_since_ms.set(1_000);
    metrics.queue_records_limit.set(5);
    metrics.queue_bytes_limit.set(6);
    metrics.requests_in_flight_limit.set(4);
    metrics.sink_item_errors.count(400, "mapper_parsing_exception", 3);
    metrics.rewind(RewindCause::Lost).add(4);
    metrics.reject(RejectReason::Missing).add(5);
    metrics.batch_records.observe(3);
    view.pipeline.latency.record(Stage::EndToEnd, Duration::from_millis(3), 7);
    view.pipeline.latency.record(Stage::Request, Duration::from_millis(2), 7);
    let partition = TopicPartition { topic: "events".into(), partition: 2 };
    view.pipeline.lag.set(&partition, Lag { records: 9, position: Position(1), oldest_timestamp_ms: Some(500) });
    board
}

fn text_of(board: &Board) -> String {
    render(board, UNIX_EPOCH + Duration::from_secs(3)).expect("formats")
}

/// `name{labels} value` of every sample.
fn samples(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').map(|(name, value)| (name.to_owned(), value.to_owned())).expect("a value"))
        .collect()
}

fn label_names(series: &str) -> Vec<String> {
    let Some((_, labels)) = series.split_once('{') else { return Vec::new() };
    let labels = labels.trim_end_matches('}').split(',');
    labels
        .filter_map(|label| label.split_once('='))
        .map(|(name, _)| name.to_owned())
        .filter(|name| name != "le")
        .collect()
}

#[test]
fn names_types_and_labels_are_the_interfaces() {
    let text = text_of(&filled());
    let types: BTreeMap<&str, &str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let samples = samples(&text);
    for (name, kind, labels) in TABLE {
        let full = format!("sluicegate_{name}");
        let family = if *kind == "counter" { full.trim_end_matches("_total") } else { &full };
        assert_eq!(types.get(family), Some(kind), "{name}");
        let sample = if *kind == "histogram" { format!("{full}_count") } else { full };
        let series = samples.iter().find(|(series, _)| series.split('{').next() == Some(&sample));
        let (series, _) = series.unwrap_or_else(|| panic!("no sample of {sample}\n{text}"));
        assert_eq!(label_names(series).join(","), *labels, "{series}");
    }
    let named: BTreeSet<String> = TABLE
        .iter()
        .map(|(name, _, _)| *name)
        .chain(MORE.iter().copied())
        .map(|name| format!("sluicegate_{}", name.trim_end_matches("_total")))
        .collect();
    let extra: Vec<&&str> = types.keys().filter(|name| !named.contains(**name)).collect();
    assert!(extra.is_empty(), "not in the interface: {extra:?}");
    assert!(text.ends_with("# EOF\n"));
}

/// Label values come from the variants' names: a renamed variant must not rename what dashboards and alerts ask for.
#[test]
fn label_values_are_those_dashboards_know() {
    let text = text_of(&filled());
    let reasons = "invalid_json invalid_utf8 too_deep number_range empty missing null wrong_type invalid_value exists condition program_error lookup_miss \
                   invalid_id invalid_target too_large tombstone refused";
    let table = [
        ("records_total", "outcome", "delivered superseded dropped dead_lettered redirected rewound"),
        ("stage_busy_seconds_total", "stage", "source preprocess lookup sink"),
        ("stage_blocked_seconds_total", "stage", "source preprocess lookup sink"),
        ("sink_requests_total", "status", "2xx 3xx 4xx 429 5xx none acknowledged refused"),
        ("rewinds_total", "cause", "delivery exhausted producer lost redelivered truncated"),
        ("rejects_total", "reason", reasons),
        ("lookup_keys_total", "result", "cached found missed failed unusable"),
    ];
    for (name, label, expected) in table {
        let of_one = |series: &str| series.contains(r#"pipeline="relay""#) && series.contains(&format!("_{name}{{"));
        let series = samples(&text).into_iter().map(|(series, _)| series).filter(|series| of_one(series));
        let value = |series: String| Some(series.split_once(&format!("{label}=\""))?.1.split('"').next()?.to_owned());
        let values: Vec<String> = series.filter_map(value).collect();
        assert_eq!(values.join(" "), expected, "{name}");
    }
}

#[test]
fn values_are_those_of_the_counters() {
    let samples: BTreeMap<String, String> = samples(&text_of(&filled())).into_iter().collect();
    let table = [
        (r#"sluicegate_source_records_total{pipeline="relay",topic="events"}"#, "10"),
        (r#"sluicegate_source_bytes_total{pipeline="relay",topic="events"}"#, "1000"),
        (r#"sluicegate_records_total{pipeline="relay",outcome="delivered"}"#, "7"),
        (r#"sluicegate_records_total{pipeline="relay",outcome="rewound"}"#, "2"),
        (r#"sluicegate_records_total{pipeline="index",outcome="delivered"}"#, "0"),
        (r#"sluicegate_open_records{pipeline="relay"}"#, "1"),
        (r#"sluicegate_consumer_lag_records{pipeline="relay",topic="events",partition="2"}"#, "9"),
        (r#"sluicegate_consumer_lag_seconds{pipeline="relay",topic="events",partition="2"}"#, "2.5"),
        (r#"sluicegate_oldest_unresolved_seconds{pipeline="relay"}"#, "2.0"),
        (r#"sluicegate_last_delivered_timestamp_seconds{pipeline="relay"}"#, "1.5"),
        (r#"sluicegate_sink_item_errors_total{pipeline="relay",status="400",type="mapper_parsing_exception"}"#, "3"),
        (r#"sluicegate_rewinds_total{pipeline="relay",cause="lost"}"#, "4"),
        (r#"sluicegate_rejects_total{pipeline="relay",reason="missing"}"#, "5"),
        (r#"sluicegate_batch_records_bucket{pipeline="relay",le="2.0"}"#, "0"),
        (r#"sluicegate_batch_records_bucket{pipeline="relay",le="4.0"}"#, "1"),
        (r#"sluicegate_batch_records_bucket{pipeline="relay",le="+Inf"}"#, "1"),
        (r#"sluicegate_end_to_end_seconds_count{pipeline="relay"}"#, "7"),
        (r#"sluicegate_end_to_end_seconds_sum{pipeline="relay"}"#, "0.021"),
        (r#"sluicegate_sink_request_seconds_count{pipeline="relay"}"#, "1"),
        (r#"sluicegate_conservation_difference_records{pipeline="relay"}"#, "0"),
        (r#"sluicegate_conservation_errors_total{pipeline="relay"}"#, "6"),
        (r#"sluicegate_memory_budget_bytes{pipeline="relay",kind="limit"}"#, "1000"),
    ];
    for (series, expected) in table {
        // The encoder puts `le` first; the order of labels has no meaning.
        let found = samples.iter().find(|(name, _)| same_series(name, series)).map(|(_, value)| value.as_str());
        assert_eq!(found, Some(expected), "{series}");
    }
}

fn same_series(a: &str, b: &str) -> bool {
    let parts = |series: &str| {
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let labels: BTreeSet<String> = labels.trim_end_matches('}').split(',').map(str::to_owned).collect();
        (name.to_owned(), labels)
    };
    parts(a) == parts(b)
}

#[test]
fn what_is_unknown_or_revoked_is_absent() {
    let board = filled();
    let has = |name: &str| text_of(&board).contains(name);
    assert!(has(r#"sluicegate_consumer_lag_records{"#));
    board.pipelines[0].pipeline.lag.remove(&TopicPartition { topic: "events".into(), partition: 2 });
    assert!(!has("sluicegate_consumer_lag_records"));
    assert!(!has(r#"sluicegate_queue_bytes_limit{pipeline="index"}"#));
    let oldest = r#"sluicegate_oldest_unresolved_seconds{pipeline="index"}"#;
    assert!(text_of(&board).contains(&format!("{oldest} 0.0")), "nothing is open");
    board.pipelines[1].pipeline.metrics.balance(4);
    assert!(!has(oldest), "open since nobody knows when");
    assert!(!has(r#"sluicegate_last_delivered_timestamp_seconds{pipeline="index"}"#));
}
