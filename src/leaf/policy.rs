//! The configuration's choices between behaviours, such as `on_halt: exit`. Each is one type, as written and as
//! checked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where to start without a committed offset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// At the oldest record.
    #[default]
    Earliest,
    /// Behind the newest record there was when a member of a new group first started; partitions and topics that appear
    /// later are read from their beginning.
    Latest,
}

/// What happens at a batch that cannot be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnDamaged {
    /// Its partition stands still with an alert and is read again now and then; what lies before it is delivered and
    /// committed. A bounded run ends with exit code 76.
    #[default]
    Hold,
    /// Its offsets are skipped, counted and logged: their records are lost.
    Skip,
}

/// What happens to a dead letter that is larger than its topic takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnTooLarge {
    /// It waits, with an alert, until the topic takes it; records behind it wait too.
    #[default]
    Hold,
    /// It is written without the value; its headers say so and where the record stands in the input.
    OmitValue,
}

/// What a halt of one pipeline does to the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnHalt {
    /// They finish what they have read, then the process ends with the cause's exit code.
    #[default]
    Exit,
    /// They go on.
    KeepOthers,
}

/// What a topic that does not exist does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnMissingTopic {
    /// The records that name it wait, with an alert; others go on.
    Hold,
    /// The records that name it are rejected, once it has been missing for 10 s.
    Reject,
}

/// What a record without a value does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnTombstone {
    /// Deletes the document.
    Delete,
    /// Nothing; it is counted as dropped.
    Drop,
    /// It is rejected.
    Reject,
}

/// What a fault of the target does that must be cured on the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnIndexFault {
    /// The records wait and are retried, with an alert: an operator's fault hits every record.
    #[default]
    Hold,
    /// The record is rejected.
    Reject,
}

/// How many bulk requests may be in flight at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Concurrency")]
pub enum ConcurrencyMode {
    /// Found between 1 and `lanes`: one more while the servers answer as fast as before, a quarter fewer when they are
    /// too busy.
    #[default]
    Adaptive,
    /// Always `lanes`.
    Fixed,
}

/// When rejects stop the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Breaker")]
pub struct BreakerPlan {
    /// Largest share of rejects in a window, above 0 and up to 1.
    #[schemars(range(min = 0, max = 1))]
    pub ratio: f64,
    /// Records in a window.
    #[schemars(range(min = 1))]
    pub window: u32,
    /// Most rejects in a row on one partition.
    #[schemars(range(min = 1))]
    pub in_a_row: u32,
    /// Whether records that the servers took and put aside (a failure store, an ingest pipeline that drops) count as
    /// rejects.
    pub count_redirected: bool,
}

impl Default for BreakerPlan {
    fn default() -> Self {
        Self { ratio: 0.1, window: 1_000, in_a_row: 100, count_redirected: false }
    }
}
