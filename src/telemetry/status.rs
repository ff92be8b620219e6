//! `/status` as JSON, and the reasons behind `/livez` and `/readyz`. Bounded: the worst partitions, the last errors.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use enum_map::EnumMap;
use serde::Serialize;

use super::board::{Board, PipelineView};
use super::lag::{self, Lag};
use super::latency::Stage;
use super::metrics::Counter;
use super::percentiles::Percentiles;
use super::{process, unix_ms};
use crate::model::{Conservation, TopicPartition};

/// A control loop that has not turned for this long is dead. It parks for 100 ms at most; bounded drains at revoke and
/// stop keep turning.
const LIVE_WITHIN: Duration = Duration::from_secs(15);
/// Partitions shown a pipeline: those furthest behind.
const PARTITIONS_SHOWN: usize = 32;

/// The whole answer.
#[derive(Debug, Serialize)]
pub struct Status {
    version: String,
    commit: String,
    librdkafka: String,
    started_at: String,
    uptime_seconds: f64,
    config_hash: String,
    live: bool,
    ready: bool,
    not_ready: Vec<String>,
    allocated_bytes: Option<u64>,
    pipelines: BTreeMap<String, PipelineStatus>,
}

#[derive(Debug, Serialize)]
struct PipelineStatus {
    state: &'static str,
    why: Vec<String>,
    notices: Vec<String>,
    faults: Vec<FaultStatus>,
    rates: RatesStatus,
    lag: Option<LagStatus>,
    open_records: u64,
    slowest_stage: Option<SlowestStatus>,
    latency: BTreeMap<&'static str, Percentiles>,
    conservation: ConservationStatus,
    assigned_partitions: i64,
    rewinds: u64,
    retries: u64,
    rejects: u64,
    memory_budget_bytes: MemoryStatus,
    sink_requests_in_flight: Option<InFlightStatus>,
    stuck_seconds: f64,
    last_errors: Vec<String>,
}

#[derive(Debug, Serialize)]
struct FaultStatus {
    component: &'static str,
    message: String,
    seconds: f64,
}

#[derive(Debug, Default, Serialize)]
struct RatesStatus {
    consumed_per_second: f64,
    resolved_per_second: f64,
    bytes_per_second: f64,
    repeats_per_second: f64,
}

#[derive(Debug, Serialize)]
struct LagStatus {
    records: u64,
    seconds: Option<f64>,
    partitions_known: usize,
    worst: Vec<PartitionStatus>,
}

#[derive(Debug, Serialize)]
struct PartitionStatus {
    topic: String,
    partition: i32,
    records: u64,
    seconds: Option<f64>,
    position: i64,
    stalled: bool,
}

#[derive(Debug, Serialize)]
struct SlowestStatus {
    stage: &'static str,
    busy_share: f64,
}

#[derive(Debug, Serialize)]
struct ConservationStatus {
    #[serde(flatten)]
    sum: Conservation,
    difference: i64,
    holds: bool,
}

#[derive(Debug, Serialize)]
struct InFlightStatus {
    now: i64,
    limit: i64,
    most: usize,
}

#[derive(Debug, Serialize)]
struct MemoryStatus {
    used: usize,
    peak: usize,
    limit: usize,
}

impl Status {
    /// The status at `wall`.
    #[must_use]
    pub fn of(board: &Board, wall: SystemTime) -> Self {
        let not_ready = not_ready(board);
        let now_ms = unix_ms(wall);
        let one = |view: &PipelineView| (view.pipeline.name.to_string(), pipeline(view, now_ms));
        Self {
            version: board.build.version.clone(),
            commit: board.build.commit.clone(),
            librdkafka: board.build.librdkafka.clone(),
            started_at: rfc3339(board.started_at),
            uptime_seconds: wall.duration_since(board.started_at).unwrap_or_default().as_secs_f64(),
            config_hash: board.config_hash.clone(),
            live: dead_loops(board).is_empty(),
            ready: not_ready.is_empty(),
            not_ready,
            allocated_bytes: process::allocator_bytes().map(|bytes| bytes.allocated),
            pipelines: board.pipelines.iter().map(|view| one(view)).collect(),
        }
    }
}

/// Seconds precision, UTC.
#[must_use]
pub fn rfc3339(wall: SystemTime) -> String {
    jiff::Timestamp::from_second(unix_ms(wall) / 1_000).map_or_else(|_| String::new(), |at| at.to_string())
}

/// Pipelines whose control loop stands still. Never depends on a server.
#[must_use]
pub fn dead_loops(board: &Board) -> Vec<String> {
    let dead = |view: &&std::sync::Arc<PipelineView>| {
        !view.pipeline.health.state().has_ended()
            && view.pipeline.health.has_ticked()
            && view.pipeline.health.since_tick() > LIVE_WITHIN
    };
    let name = |view: &std::sync::Arc<PipelineView>| {
        format!(
            "{}: the control loop has not turned for {} s",
            view.pipeline.name,
            view.pipeline.health.since_tick().as_secs()
        )
    };
    board.pipelines.iter().filter(dead).map(name).collect()
}

/// Pipelines whose control loop has not turned yet.
#[must_use]
pub fn not_started(board: &Board) -> Vec<String> {
    let waiting = board
        .pipelines
        .iter()
        .filter(|view| !view.pipeline.health.has_ticked() && !view.pipeline.health.state().has_ended());
    waiting.map(|view| format!("{}: the control loop has not turned yet", view.pipeline.name)).collect()
}

/// What is missing for readiness: an assignment (or standby), and one answer of every server needed.
#[must_use]
pub fn not_ready(board: &Board) -> Vec<String> {
    let mut missing = Vec::new();
    for view in &board.pipelines {
        let state = view.pipeline.health.state();
        if state.has_ended() {
            missing.push(format!("{}: {}", view.pipeline.name, state.name()));
            continue;
        }
        if !view.has_joined() {
            missing.push(format!("{}: no partition assignment yet", view.pipeline.name));
        }
        let unreached = view.pipeline.health.unreached().into_iter();
        missing.extend(
            unreached.map(|component| format!("{}: {} has not answered yet", view.pipeline.name, component.name())),
        );
    }
    missing
}

fn pipeline(view: &PipelineView, now_ms: i64) -> PipelineStatus {
    let judged = view.judgement();
    let judged = judged.as_deref();
    let sum = view.pipeline.metrics.conservation();
    let metrics = &view.pipeline.metrics;
    let fault = |(component, fault): (super::health::Component, super::health::Fault)| FaultStatus {
        component: component.name(),
        message: fault.message,
        seconds: fault.since.elapsed().as_secs_f64(),
    };
    PipelineStatus {
        state: judged.map_or(view.pipeline.health.state(), |judged| judged.state).name(),
        why: judged.map(|judged| judged.why.clone()).unwrap_or_default(),
        notices: judged.map(|judged| judged.notices.iter().map(|one| one.text.clone()).collect()).unwrap_or_default(),
        faults: view.pipeline.health.faults().into_iter().map(fault).collect(),
        rates: judged.map(|judged| rates(&judged.rates)).unwrap_or_default(),
        lag: lag_status(view, now_ms),
        open_records: sum.open,
        slowest_stage: judged
            .and_then(|judged| judged.slowest)
            .map(|(stage, share)| SlowestStatus { stage: stage.name(), busy_share: share }),
        latency: judged.map(|judged| latency(&judged.latency)).unwrap_or_default(),
        conservation: ConservationStatus {
            sum,
            difference: sum.difference(),
            holds: judged.map_or_else(|| sum.holds(), |judged| !judged.conservation_broken),
        },
        assigned_partitions: metrics.assigned_partitions.get(),
        rewinds: metrics.rewinds.values().map(Counter::get).sum(),
        retries: metrics.retries.get(),
        rejects: metrics.rejects.values().map(Counter::get).sum(),
        memory_budget_bytes: MemoryStatus {
            used: view.pipeline.budget.used(),
            peak: view.pipeline.budget.peak(),
            limit: view.pipeline.budget.limit(),
        },
        sink_requests_in_flight: in_flight(view),
        stuck_seconds: judged.map_or(0.0, |judged| judged.stuck.as_secs_f64()),
        last_errors: view.pipeline.health.last_errors(),
    }
}

/// `None` where nothing bounds requests but the client (Kafka).
fn in_flight(view: &PipelineView) -> Option<InFlightStatus> {
    let limit = view.pipeline.metrics.requests_in_flight_limit.get();
    (limit > 0).then(|| InFlightStatus { now: view.pipeline.metrics.requests_in_flight.get(), limit, most: view.lanes })
}

fn rates(rates: &super::watch::Rates) -> RatesStatus {
    RatesStatus {
        consumed_per_second: rates.consumed,
        resolved_per_second: rates.resolved,
        bytes_per_second: rates.bytes,
        repeats_per_second: rates.repeats,
    }
}

fn latency(window: &EnumMap<Stage, Percentiles>) -> BTreeMap<&'static str, Percentiles> {
    window.iter().filter(|(_, one)| one.count > 0).map(|(stage, one)| (stage.name(), *one)).collect()
}

fn lag_status(view: &PipelineView, now_ms: i64) -> Option<LagStatus> {
    let mut known = view.pipeline.lag.snapshot();
    let (records, seconds) = lag::total(&known, now_ms)?;
    let partitions_known = known.len();
    known.sort_by_key(|(_, lag)| std::cmp::Reverse(lag.records));
    known.truncate(PARTITIONS_SHOWN);
    let judged = view.judgement();
    let stalled = |partition: &TopicPartition| {
        judged.as_deref().is_some_and(|judged| judged.stalled.iter().any(|one| one.partition == *partition))
    };
    let shown = |(partition, lag): (TopicPartition, Lag)| PartitionStatus {
        stalled: stalled(&partition),
        topic: partition.topic.to_string(),
        partition: partition.partition,
        records: lag.records,
        seconds: lag.seconds(now_ms),
        position: lag.position.0,
    };
    Some(LagStatus { records, seconds, partitions_known, worst: known.into_iter().map(shown).collect() })
}
