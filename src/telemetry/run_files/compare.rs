//! Two runs side by side, percentile by percentile. Percentiles are compared, never averaged.

use std::collections::BTreeMap;

use serde::Serialize;
use strum::VariantArray;

use super::super::latency::Stage;
use super::super::percentiles::Percentiles;
use super::model::{PipelineRun, RunFile};

/// Two runs; ratios are second by first.
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// Start and version of the first run.
    pub first: String,
    /// Start and version of the second.
    pub second: String,
    /// Figures of the whole process.
    pub process: Vec<ComparedRow>,
    /// By pipeline that both runs have.
    pub pipelines: BTreeMap<String, PipelineComparison>,
    /// Pipelines of one run only.
    pub unmatched: Vec<String>,
}

/// One pipeline in both runs.
#[derive(Debug, Serialize)]
pub struct PipelineComparison {
    /// Rates.
    pub figures: Vec<ComparedRow>,
    /// Percentiles by stage timed in both runs, in pipeline order.
    pub stages: Vec<(String, Vec<ComparedRow>)>,
}

/// One figure in both runs.
#[derive(Debug, PartialEq, Serialize)]
pub struct ComparedRow {
    /// What it is.
    pub name: String,
    /// Its unit.
    pub unit: &'static str,
    /// In the first run.
    pub first: f64,
    /// In the second run.
    pub second: f64,
    /// Second by first; `None` when the first is 0.
    pub ratio: Option<f64>,
}

impl ComparedRow {
    fn new(name: &str, unit: &'static str, first: f64, second: f64) -> Self {
        Self { name: name.to_owned(), unit, first, second, ratio: (first > 0.0).then(|| second / first) }
    }
}

/// Compares two runs. Pipelines are matched by name; a run with one pipeline is compared with another run with one
/// pipeline whatever their names.
#[must_use]
pub fn compare(first: &RunFile, second: &RunFile) -> Comparison {
    let mut pipelines = BTreeMap::new();
    let mut unmatched = Vec::new();
    if let Some((name, a, b)) = only_pair(first, second) {
        pipelines.insert(name, pair(a, b));
    } else {
        for (name, a) in &first.pipelines {
            match second.pipelines.get(name) {
                Some(b) => drop(pipelines.insert(name.clone(), pair(a, b))),
                None => unmatched.push(name.clone()),
            }
        }
        unmatched.extend(second.pipelines.keys().filter(|name| !first.pipelines.contains_key(*name)).cloned());
    }
    let label = |run: &RunFile| format!("{} ({})", run.started_at, run.versions.version);
    Comparison { first: label(first), second: label(second), process: process(first, second), pipelines, unmatched }
}

fn only_pair<'a>(first: &'a RunFile, second: &'a RunFile) -> Option<(String, &'a PipelineRun, &'a PipelineRun)> {
    let ((a_name, a), (b_name, b)) = (first.pipelines.first_key_value()?, second.pipelines.first_key_value()?);
    if first.pipelines.len() > 1 || second.pipelines.len() > 1 {
        return None;
    }
    let name = if a_name == b_name { a_name.clone() } else { format!("{a_name} / {b_name}") };
    Some((name, a, b))
}

fn process(first: &RunFile, second: &RunFile) -> Vec<ComparedRow> {
    let row = |name, unit, a: Option<f64>, b: Option<f64>| Some(ComparedRow::new(name, unit, a?, b?));
    let rows = [
        row("duration", "s", Some(first.seconds), Some(second.seconds)),
        row(
            "CPU per million records",
            "s",
            first.cpu_seconds_per_million_records,
            second.cpu_seconds_per_million_records,
        ),
        row(
            "peak memory",
            "bytes",
            first.peak_memory_bytes.map(|n| n as f64),
            second.peak_memory_bytes.map(|n| n as f64),
        ),
    ];
    rows.into_iter().flatten().collect()
}

fn pair(first: &PipelineRun, second: &PipelineRun) -> PipelineComparison {
    let timed = Stage::VARIANTS.iter().map(|stage| stage.name());
    let both = timed.filter_map(|stage| Some((stage, first.percentiles.get(stage)?, second.percentiles.get(stage)?)));
    PipelineComparison {
        figures: vec![
            ComparedRow::new("records", "records/s", first.records_per_second, second.records_per_second),
            ComparedRow::new("bytes", "bytes/s", first.bytes_per_second, second.bytes_per_second),
        ],
        stages: both.map(|(stage, a, b)| (stage.to_owned(), percentile_rows(a, b))).collect(),
    }
}

fn percentile_rows(first: &Percentiles, second: &Percentiles) -> Vec<ComparedRow> {
    let pairs = first.rows().into_iter().zip(second.rows());
    pairs.map(|((name, a), (_, b))| ComparedRow::new(name, "ms", a, b)).collect()
}
