//! Sums and latencies in words and as JSON, for `demo` and `bench` (pure).

use std::fmt::Write as _;
use std::path::Path;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::model::{Conservation, Exit};
use crate::pipeline::{Ending, PipelineTally};
use crate::telemetry::latency::Stage;
use crate::telemetry::reporter::{Collected, CollectedPipeline};

const PERCENTILES: [(&str, f64); 5] = [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9), ("max", 100.0)];

/// How an engine ended, in numbers.
pub(super) struct EngineEnding {
    pub(super) exit: Exit,
    /// Why it halted, where it did.
    pub(super) halt: Option<String>,
    pub(super) tallies: Vec<PipelineTally>,
    /// Over the whole run.
    pub(super) latencies: Vec<StageLatency>,
    /// The members of the run file, a JSON object.
    pub(super) run_file: Value,
}

/// Latency of one stage of one pipeline, in microseconds.
pub(super) struct StageLatency {
    pub(super) pipeline: String,
    pub(super) stage: Stage,
    /// Its records.
    pub(super) histogram: Histogram<u64>,
}

impl From<Ending> for EngineEnding {
    fn from(ending: Ending) -> Self {
        Self {
            exit: ending.exit,
            halt: ending.halt.map(|halt| halt.message),
            tallies: ending.tallies,
            latencies: ending.collected.as_ref().map(latencies).unwrap_or_default(),
            run_file: ending.run_file.and_then(|run| serde_json::to_value(run).ok()).unwrap_or_default(),
        }
    }
}

impl EngineEnding {
    /// The conservation sum of a pipeline.
    pub(super) fn sum_of(&self, pipeline: &str) -> Conservation {
        self.tallies.iter().find(|one| *one.name == *pipeline).map(|one| one.tally).unwrap_or_default()
    }

    /// The members of the run file and one more.
    pub(super) fn run_file_with(&self, name: &str, member: Value) -> Value {
        let mut object = self.run_file.as_object().cloned().unwrap_or_default();
        object.insert(name.to_owned(), member);
        Value::Object(object)
    }
}

/// The end of an account: what is wrong, or else the praise, and where the report is.
pub(super) fn verdict(faults: &[String], praise: &str, report: &Path) -> String {
    let mut text = String::new();
    // Writing into a String cannot fail.
    faults.iter().for_each(|fault| _ = writeln!(text, "WRONG: {fault}"));
    if faults.is_empty() {
        let _ = writeln!(text, "{praise}");
    }
    let file = report.join("report.html");
    if file.exists() {
        let _ = writeln!(text, "report: {}", file.display());
    }
    text
}

fn latencies(collected: &Collected) -> Vec<StageLatency> {
    let of_one = |one: &CollectedPipeline| {
        let pipeline = &one.view.pipeline.name;
        let stages = one.totals.iter().map(|(stage, histogram)| StageLatency {
            pipeline: pipeline.to_string(),
            stage,
            histogram: histogram.clone(),
        });
        stages.collect::<Vec<_>>()
    };
    collected.pipelines.iter().flat_map(of_one).collect()
}

/// What is wrong with the engine's own sum.
pub(super) fn sum_faults(name: &str, sum: &Conservation) -> Vec<String> {
    let mut faults = Vec::new();
    if !sum.holds() {
        faults.push(format!("{name}: {} records were read, but {} accounted for", sum.consumed, sum.accounted()));
    }
    if sum.open != 0 {
        faults.push(format!("{name}: {} records were left open", sum.open));
    }
    faults
}

/// A line a stage; nothing when nothing was timed.
pub(super) fn latency_table(latencies: &[StageLatency]) -> String {
    if latencies.is_empty() {
        return String::new();
    }
    let mut text = format!("\n{:<8} {:<12}", "latency", "ms");
    // Writing into a String cannot fail, here and below.
    for (name, _) in PERCENTILES {
        let _ = write!(text, "{name:>10}");
    }
    text.push('\n');
    for latency in latencies {
        let _ = write!(text, "{:<8} {:<12}", latency.pipeline, latency.stage.name());
        for (_, percentile) in PERCENTILES {
            let _ = write!(text, "{:>10.2}", millis(latency, percentile));
        }
        text.push('\n');
    }
    text.push('\n');
    text
}

/// The same as JSON.
pub(super) fn latency_json(latencies: &[StageLatency]) -> Vec<Value> {
    let line = |latency: &StageLatency| {
        let mut line = json!({ "pipeline": latency.pipeline, "stage": latency.stage.name() });
        for (name, percentile) in PERCENTILES {
            line[format!("{name}_ms")] = json!(millis(latency, percentile));
        }
        line
    };
    latencies.iter().map(line).collect()
}

/// A percentile in milliseconds.
pub(super) fn millis(latency: &StageLatency, percentile: f64) -> f64 {
    latency.histogram.value_at_percentile(percentile) as f64 / 1_000.0
}
