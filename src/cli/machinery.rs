//! What `demo` and `bench` are given: how an engine and a bulk endpoint are started, and the little they need of them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::config::plan::Plan;
use crate::enrich::Lookups;
use crate::model::Exit;
use crate::pipeline::PipelineTally;
use crate::telemetry::latency::Stage;

/// See [`Machinery::engine`].
pub type StartEngine<'a> = dyn Fn(Order) -> Result<RunningEngine, String> + 'a;

/// What an engine is to run.
pub struct Order {
    /// The pipelines.
    pub plan: Plan,
    /// Look-ups from memory in the place of Redis.
    pub lookups: Option<Arc<Lookups>>,
    /// The directory for its report.
    pub report: PathBuf,
    /// For the report: what was run, secrets masked.
    pub settings: serde_json::Value,
    /// Nothing is timed before [`RunningEngine::measure`].
    pub warm_up: bool,
}

/// Starts the parts that are checked.
pub struct Machinery<'a> {
    /// Starts the engine.
    pub engine: &'a StartEngine<'a>,
    /// Starts a bulk endpoint that keeps documents.
    pub endpoint: &'a dyn Fn() -> Result<BulkServer, String>,
    /// Nothing moves for this long: the run is given up and judged as it is.
    pub patience: Duration,
}

/// The patience of the command.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The position of a partition: pipeline, topic, partition number. Nothing below it is ever read again.
pub type PositionOf = Arc<dyn Fn(&str, &str, i32) -> Option<i64> + Send + Sync>;

/// A running engine.
pub struct RunningEngine {
    /// See [`PositionOf`].
    pub position: PositionOf,
    /// Whether the engine ended, or halted, by itself.
    pub ended: Box<dyn Fn() -> bool>,
    /// Ends the warm-up.
    pub measure: Box<dyn Fn()>,
    /// Records resolved so far, over all pipelines.
    pub resolved: Box<dyn Fn() -> u64>,
    /// Asks it to drain and stop; does not wait.
    pub stop: Box<dyn Fn()>,
    /// Waits for its end, within its own shutdown deadline.
    pub join: Box<dyn FnOnce() -> EngineEnding>,
}

/// How an engine ended.
pub struct EngineEnding {
    /// Its exit.
    pub exit: Exit,
    /// Why it halted, where it did.
    pub halt: Option<String>,
    /// Final sums.
    pub tallies: Vec<PipelineTally>,
    /// Latencies over the whole run.
    pub latencies: Vec<StageLatency>,
    /// The members of the run file, a JSON object.
    pub run_file: serde_json::Value,
}

/// Latency of one stage of one pipeline, in microseconds.
pub struct StageLatency {
    /// Pipeline name.
    pub pipeline: String,
    /// The stage.
    pub stage: Stage,
    /// Its records.
    pub histogram: Histogram<u64>,
}

/// Document by index and id, as JSON text.
pub type DocumentOf = Box<dyn Fn(&str, &str) -> Option<Vec<u8>>>;

/// A running bulk endpoint; ends when dropped.
pub struct BulkServer {
    /// Its base URL.
    pub url: String,
    /// See [`DocumentOf`].
    pub document: DocumentOf,
    /// Number of documents of an index.
    pub count: Box<dyn Fn(&str) -> u64>,
}
