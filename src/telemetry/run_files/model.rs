//! The members of `run.json`.

use std::collections::BTreeMap;

use enum_map::{Enum, EnumMap};
use serde::{Deserialize, Serialize};
use strum::VariantArray;

use super::super::board::{Board, BuildInfo, PipelineView};
use super::super::metrics::{Counter, PipelineMetrics, StageName};
use super::super::percentiles::{Percentiles, curve, rounded};
use super::super::process::{Machine, ProcessUse};
use super::super::reporter::{Collected, CollectedPipeline};
use super::super::sampler::SeriesPoint;
use super::super::status::rfc3339;
use crate::model::{Conservation, RejectReason, RewindCause};

/// Format of `run.json`; grows when a member changes its meaning. Members may be added without it.
pub const FORMAT: u32 = 1;

/// A whole run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunFile {
    /// See [`FORMAT`].
    pub format: u32,
    /// Start, UTC.
    pub started_at: String,
    /// Duration.
    pub seconds: f64,
    /// Whether the conservation sum holds for every pipeline.
    pub conserved: bool,
    /// What ran.
    pub versions: BuildInfo,
    /// Hash of the effective configuration.
    pub config_hash: String,
    /// The settings, secrets masked.
    pub settings: serde_json::Value,
    /// Where it ran.
    pub machine: Machine,
    /// CPU time of the process, all threads.
    pub cpu_seconds: Option<f64>,
    /// CPU time per million records resolved.
    pub cpu_seconds_per_million_records: Option<f64>,
    /// Largest resident set of the process.
    pub peak_memory_bytes: Option<u64>,
    /// By name.
    pub pipelines: BTreeMap<String, PipelineRun>,
}

/// One pipeline of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PipelineRun {
    /// Its last state.
    pub state: String,
    /// The conservation sum.
    #[serde(flatten)]
    pub sum: Conservation,
    /// Whether it holds.
    pub conserved: bool,
    /// Records resolved per second over the whole run, without its warm-up.
    pub records_per_second: f64,
    /// Bytes read per second over the whole run, without its warm-up.
    pub bytes_per_second: f64,
    /// Bytes read.
    pub source_bytes: u64,
    /// Sends repeated in place.
    pub retries: u64,
    /// Rewinds by cause; causes that did not occur are left out.
    pub rewinds: BTreeMap<String, u64>,
    /// Rejects by reason; reasons that did not occur are left out.
    pub rejects: BTreeMap<String, u64>,
    /// Bytes of the budget at most in use.
    pub peak_budget_bytes: u64,
    /// Bound of the budget.
    pub budget_bytes: u64,
    /// Latency by stage; stages in which nothing was timed are left out.
    pub percentiles: BTreeMap<String, Percentiles>,
    /// `[quantile, milliseconds]` by stage.
    pub curves: BTreeMap<String, Vec<(f64, f64)>>,
    /// Time by stage.
    pub stages: BTreeMap<String, StageShare>,
    /// Over time.
    pub series: Vec<SeriesPoint>,
    /// The last errors named.
    pub last_errors: Vec<String>,
}

/// Time of a stage, summed over its threads.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StageShare {
    /// At work.
    pub busy_seconds: f64,
    /// Waiting for room behind it.
    pub blocked_seconds: f64,
    /// Threads it had.
    pub threads: usize,
}

impl RunFile {
    /// What `collected` says of the run. `settings` is the effective configuration with secrets masked.
    #[must_use]
    pub fn new(board: &Board, collected: &Collected, settings: serde_json::Value) -> Self {
        let seconds = collected.duration.as_secs_f64();
        let used = ProcessUse::now();
        let run = |one: &CollectedPipeline| (one.view.pipeline.name.to_string(), pipeline(one, seconds));
        let pipelines: BTreeMap<String, PipelineRun> = collected.pipelines.iter().map(run).collect();
        let resolved: u64 = pipelines.values().map(|one| one.sum.resolved()).sum();
        let per_million = |cpu: f64| rounded(cpu / (resolved as f64 / 1e6), 3);
        Self {
            format: FORMAT,
            started_at: rfc3339(board.started_at),
            seconds: rounded(seconds, 3),
            conserved: pipelines.values().all(|one| one.conserved),
            versions: board.build.clone(),
            config_hash: board.config_hash.clone(),
            settings,
            machine: Machine::here(),
            cpu_seconds: used.cpu_seconds,
            cpu_seconds_per_million_records: used.cpu_seconds.filter(|_| resolved > 0).map(per_million),
            peak_memory_bytes: used.peak_memory_bytes,
            pipelines,
        }
    }
}

fn pipeline(one: &CollectedPipeline, seconds: f64) -> PipelineRun {
    let metrics = &one.view.pipeline.metrics;
    let sum = metrics.conservation();
    let bytes = metrics.source_bytes.get();
    let timed = one.totals.iter().filter(|(_, histogram)| !histogram.is_empty());
    let percentiles = timed.clone().map(|(stage, histogram)| (stage.name().to_owned(), Percentiles::of(histogram)));
    let curves = timed.map(|(stage, histogram)| (stage.name().to_owned(), curve(histogram)));
    let share = |stage: &StageName| (stage.name().to_owned(), stage_share(metrics, *stage, &one.view));
    PipelineRun {
        state: one.judgement.state.name().to_owned(),
        sum,
        conserved: sum.holds(),
        records_per_second: rounded((sum.resolved() - one.before.resolved) as f64 / seconds.max(1e-9), 1),
        bytes_per_second: rounded((bytes - one.before.bytes) as f64 / seconds.max(1e-9), 1),
        source_bytes: bytes,
        retries: metrics.retries.get(),
        rewinds: occurred(&metrics.rewinds, RewindCause::name),
        rejects: occurred(&metrics.rejects, RejectReason::name),
        peak_budget_bytes: one.view.pipeline.budget.peak() as u64,
        budget_bytes: one.view.pipeline.budget.limit() as u64,
        percentiles: percentiles.collect(),
        curves: curves.collect(),
        stages: StageName::VARIANTS.iter().map(share).collect(),
        series: one.series.clone(),
        last_errors: one.view.pipeline.health.last_errors(),
    }
}

fn stage_share(metrics: &PipelineMetrics, stage: StageName, view: &PipelineView) -> StageShare {
    let threads = match stage {
        StageName::Source => 1,
        StageName::Sink => view.lanes,
        StageName::Preprocess | StageName::Lookup => view.workers,
    };
    StageShare {
        busy_seconds: rounded(metrics.busy(stage).get() as f64 / 1e9, 6),
        blocked_seconds: rounded(metrics.blocked(stage).get() as f64 / 1e9, 6),
        threads,
    }
}

fn occurred<K: Enum>(counters: &EnumMap<K, Counter>, name: fn(K) -> &'static str) -> BTreeMap<String, u64> {
    let counted = counters.iter().map(|(one, counter)| (name(one).to_owned(), counter.get()));
    counted.filter(|(_, n)| *n > 0).collect()
}
