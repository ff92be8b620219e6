//! Batches to another Kafka cluster.
//!
//! Workers encode ([`KafkaEncoder`]); one thread ([`KafkaSink::run`]) puts batches back in sequence, lends their
//! payloads to one producer in one order, counts delivery reports by ticket and settles.
//!
//! - The fence is asked before each run of records is produced; fenced items are left to nobody.
//! - A failed report rewinds its partition. What follows of that partition and epoch is not produced any more: the
//!   source is about to fence it. What was produced already may arrive; the rewind repeats a suffix in order.
//! - Records a broker refused together with others are suspects: after the rewind a producer that sends one record a
//!   request finds the guilty one. Guilty records are remembered, so the next reading rejects them unsent.
//! - Where records name their topic, each name is asked for once before anything is produced to it. Records of a
//!   missing topic wait apart or are rejected (`roll.rs`); nothing else waits with them.
//! - When nothing is acknowledged for `retry.in_place`, or the one fixed topic is missing, everything goes back: the
//!   producer is purged and made anew, and nothing is produced until a probe, once a second, is answered.
//! - After a halt nothing is produced or settled; batches are taken and dropped so that nobody blocks.

mod answers;
mod encode;
mod failing;
mod flight;
mod hand_over;
mod limit;
mod line;
mod lot;
mod patience;
mod recover;
mod roll;
pub mod settings;
mod sink;
mod suspects;
mod targets;
mod tickets;
mod verdict;

use crate::model::PartitionId;

pub use encode::{KafkaEncoder, KafkaItem, constant_topic, templates};
pub use sink::{KafkaSink, Setup};

/// What the source asks of a running sink, over a channel of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkCommand {
    /// Answer [`crate::model::Report::Quiet`] for this partition once nothing of it is at the producer except records
    /// of its current epoch. Sent after the fence was moved.
    Quiesce(PartitionId),
    /// Purge the producer, queue and wire, and make it anew. Everything open is reported: what was acknowledged is
    /// settled, the rest comes as a rewind. Open [`SinkCommand::Quiesce`] questions are answered at once.
    Purge,
}

#[cfg(test)]
pub(crate) mod tests;
