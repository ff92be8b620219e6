//! The configuration as people write it. Doc comments here are the texts of `config schema` and `config reference`.
//!
//! Sum types are externally tagged; `flatten`, untagged and internally tagged forms are not used: they ruin positions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::leaf::quantity::{ByteSize, Interval};

pub mod connection;
pub mod named;
pub mod pipeline;
pub(super) mod scalar;
pub mod sink;
mod test;

pub use named::Named;
pub use test::{Expectation, ExpectedOutcome, RedisContent, TestFile, TestHeader, TestHeaders, TestInput, TestKeys};

/// A configuration of sluicegate.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// Version of this format. Only 1 exists.
    #[serde(default = "format_version")]
    pub version: u32,
    /// Servers, by name. Pipelines refer to them.
    #[serde(default)]
    pub connections: connection::Connections,
    /// What is moved from where to where, by name.
    pub pipelines: Named<pipeline::Pipeline>,
    /// Metrics, health and status over HTTP.
    #[serde(default)]
    pub telemetry: Telemetry,
    /// Bounds of the whole process.
    #[serde(default)]
    pub limits: LimitKeys,
    /// The start.
    #[serde(default)]
    pub startup: Startup,
    /// The end.
    #[serde(default)]
    pub shutdown: ShutdownKeys,
    /// The last resort against a hang.
    #[serde(default)]
    pub watchdog: Watchdog,
    /// Offline tests of pipelines, run by `sluicegate test` together with those in files `*.test.yaml` beside this one.
    #[serde(default)]
    pub tests: Vec<TestKeys>,
}

fn format_version() -> u32 {
    1
}

/// Metrics, health and status over HTTP.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// Address and port that `/metrics`, `/livez`, `/readyz`, `/startupz`, `/status` and a page at `/` listen on; port
    /// 0 takes any free one and logs it; `off` listens nowhere.
    pub listen: String,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { listen: "127.0.0.1:9598".to_owned() }
    }
}

/// Bounds of the whole process.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Limits")]
pub struct LimitKeys {
    /// Memory for records: prefetch, batches in flight, retry residue, dead letters. Shared out evenly over the
    /// pipelines.
    pub memory: ByteSize,
    /// Most records between the first unresolved and the last read, per partition; beyond it the partition is paused.
    #[schemars(range(min = 1))]
    pub span: usize,
    /// Largest value that is parsed; a larger one is rejected as `too_large`. While one above 1 MiB is parsed, the
    /// parser may take up to 36 times its size outside `memory`; one is parsed at a time.
    pub value: ByteSize,
    /// Most records that `explode` and `jq` steps may make of one; a record that would become more is rejected as
    /// `too_large`.
    #[schemars(range(min = 1, max = 65_535))]
    pub items: u32,
}

impl Default for LimitKeys {
    fn default() -> Self {
        Self { memory: ByteSize(256 << 20), span: 200_000, value: ByteSize(16 << 20), items: 10_000 }
    }
}

/// The start.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Startup {
    /// How long servers that do not answer are tried at start before the process ends with exit code 69.
    pub timeout: Interval,
}

impl Default for Startup {
    fn default() -> Self {
        Self { timeout: Interval::seconds(60) }
    }
}

/// The end.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Shutdown")]
pub struct ShutdownKeys {
    /// How long records that were read may take to be delivered after a signal; past it the process ends with exit code
    /// 75 and they are read again.
    pub timeout: Interval,
}

impl Default for ShutdownKeys {
    fn default() -> Self {
        Self { timeout: Interval::seconds(30) }
    }
}

/// The last resort against a hang.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Watchdog {
    /// Records open, no progress and no fault named for this long: the process ends with exit code 75.
    pub timeout: Interval,
}

impl Default for Watchdog {
    fn default() -> Self {
        Self { timeout: Interval::seconds(600) }
    }
}
