//! What a producer tells its owner.

use super::buffers::BufferId;
use crate::librdkafka::ErrorCode;

/// The end of one produced message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryReport {
    /// The buffer it pointed into.
    pub buffer: BufferId,
    /// Its index, counted from the `first` its call was given.
    pub index: u32,
    /// Partition of the target topic; negative when none was chosen.
    pub partition: i32,
    /// `None` when the cluster acknowledged it.
    pub error: Option<ErrorCode>,
}

/// A message that was not taken, for another reason than a full queue. No report follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProduceRefusal {
    /// Its index, counted from the `first` its call was given.
    pub index: u32,
    /// Why.
    pub code: ErrorCode,
}

/// What the cluster said to a metadata request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// The topic exists and every partition has a leader (without a topic: a broker answered).
    Answers,
    /// The cluster answered, and the topic or one of its partitions has this error.
    Topic(ErrorCode),
    /// Nobody answered.
    Silent(ErrorCode),
}
