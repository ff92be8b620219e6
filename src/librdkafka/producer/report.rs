//! What a producer tells its owner.

use super::buffers::BufferId;
use super::code::ErrorCode;

/// Why a producer could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// A property's name or value is refused. The value is not repeated: it may be a secret.
    #[error("librdkafka refuses the property `{name}`: unknown, not built in, or its value is not one it takes")]
    Property {
        /// Its name.
        name: String,
    },
    /// The client could not be made.
    #[error("librdkafka could not make the producer: {text}")]
    Client {
        /// librdkafka's words.
        text: String,
    },
}

/// The end of one produced message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryReport {
    /// The buffer it pointed into.
    pub buffer: BufferId,
    /// Its index, counted from the `first` its call was given.
    pub index: u32,
    /// Partition of the target topic; negative when none was chosen.
    pub partition: i32,
    /// [`ErrorCode::NONE`] when the cluster acknowledged it.
    pub code: ErrorCode,
}

/// A message that was not taken, for another reason than a full queue. No report follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
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
