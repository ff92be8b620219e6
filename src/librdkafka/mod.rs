//! The only component with `unsafe`: librdkafka's consumer by batches, its replies, and the messages it lends.
//!
//! rust-rdkafka's consumers hand over one message at a time and lose the rebalance when the batch call is used, so the
//! consumer here is made from plain `rdkafka-sys`. One thread owns a [`Consumer`]: every method takes `&mut self`.
//! Batches may be freed on any thread.
#![allow(unsafe_code, reason = "the foreign function interface lives here and nowhere else")]

pub mod allocator;
mod batch;
mod bootstrap;
mod callbacks;
mod close;
mod code;
mod conf;
mod consumer;
mod list;
pub mod mock;
mod native;
#[cfg(test)]
mod pattern_tests;
pub mod producer;
pub mod property;
mod replaced;
mod replies;
#[cfg(test)]
mod tests;
mod topics;
pub mod words;

pub use batch::{MessageBatch, MessageSegment, RecordBatch, SharedBatch};
pub use bootstrap::{Bootstrap, RECONNECT_BACKOFF_MAX_MS, name_again_to};
pub use callbacks::Event;
pub use code::ErrorCode;
pub use conf::OpenError;
pub use consumer::Consumer;
pub use list::{NO_OFFSET, PartitionAnswer, START_EARLIEST, START_STORED};
pub use replies::{CommitAnswer, OffsetKind, OffsetsAnswer, Reply};
pub use topics::{TopicId, TopicsAnswer};

/// The version of the C library linked in.
#[must_use]
pub fn version() -> String {
    rdkafka::util::get_rdkafka_version().1
}
