//! What the control loop needs of a Kafka client and of time.
//!
//! Two implementations: librdkafka's consumer here, and the simulated cluster's client of the tests. The loop is
//! compiled for each of them: nothing is dispatched at run time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::probe;
use super::start::History;
use crate::config::plan::SourcePlan;
use crate::librdkafka::{
    Consumer, ErrorCode, Event, MessageBatch, MessageSegment, OffsetKind, OpenError, PartitionAnswer, Reply,
};
use crate::model::{TopicPartition, Wake};

/// Bound of each question about what lies in the topics.
const HISTORY_WITHIN: Duration = Duration::from_secs(5);

/// Messages drained in one call, in the order they came.
pub trait Messages: Sized {
    /// Number of messages.
    fn len(&self) -> usize;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Offset of the message at `index`.
    fn offset(&self, index: usize) -> i64;
    /// Key and value bytes of the message at `index`.
    fn bytes_at(&self, index: usize) -> usize;
    /// Broker timestamp in milliseconds of the message at `index`.
    fn timestamp_ms(&self, index: usize) -> Option<i64>;
    /// The stretches of one partition with growing offsets, in order.
    fn segments(&self) -> Vec<MessageSegment<'_>>;
    /// Destroys the messages whose index `keep` refuses, leaving the order as it is.
    fn retain(&mut self, keep: impl FnMut(usize) -> bool);
    /// Adds the messages of `other` behind these.
    fn append(&mut self, other: Self);
}

/// A group consumer driven by the one thread that runs the loop, and that thread's clock. Errors are librdkafka's
/// codes.
pub trait Client {
    /// What a drain returns.
    type Messages: Messages;

    /// The time. Everything the loop decides is decided at a time it asked for here.
    fn now(&self) -> Instant;
    /// Waits until `wake` is woken, at most `limit`.
    fn park(&mut self, wake: &Wake, limit: Duration);
    /// Takes at most `max` messages, waiting at most `wait_ms` for the first. Serves callbacks.
    fn drain(&mut self, max: usize, wait_ms: i32) -> Self::Messages;
    /// What the callbacks recorded since the last call.
    fn events(&mut self) -> Vec<Event>;
    /// The next answer to a commit or a question, if one is there.
    fn reply(&mut self) -> Option<Reply>;
    /// Assigns partitions at these positions: everything for the eager protocol, an addition for the cooperative one.
    ///
    /// # Errors
    /// The client refused.
    fn assign(&mut self, partitions: &[(TopicPartition, i64)]) -> Result<(), ErrorCode>;
    /// Gives partitions up: all of them for the eager protocol.
    ///
    /// # Errors
    /// The client refused.
    fn unassign(&mut self, partitions: &[TopicPartition]) -> Result<(), ErrorCode>;
    /// Moves partitions to these positions; each has its own result.
    ///
    /// # Errors
    /// The whole call failed.
    fn seek(&mut self, positions: &[(TopicPartition, i64)], wait_ms: i32) -> Result<Vec<PartitionAnswer>, ErrorCode>;
    /// Stops fetching of partitions and throws their prefetch away.
    fn pause(&mut self, partitions: &[TopicPartition]) -> Vec<PartitionAnswer>;
    /// Fetches partitions again.
    fn resume(&mut self, partitions: &[TopicPartition]) -> Vec<PartitionAnswer>;
    /// The client's own position: behind the last message handed out. Negative when unknown.
    fn position(&mut self, partition: &TopicPartition) -> i64;
    /// The oldest offset of a partition, as of the last fetch.
    fn low_watermark(&mut self, partition: &TopicPartition) -> Option<i64>;
    /// Subscribes, which asks to join the group.
    ///
    /// # Errors
    /// The client refused a topic or pattern.
    fn subscribe(&mut self, topics: &[String]) -> Result<(), OpenError>;
    /// What lies in the source's topics, before the group is joined. Waits for the answer.
    ///
    /// # Errors
    /// Why there is none.
    fn history(&mut self, source: &SourcePlan) -> Result<History, String>;
    /// Asks the coordinator to store positions; answered by [`Reply::Commit`].
    ///
    /// # Errors
    /// The request could not even be queued.
    fn commit(&mut self, positions: &[(TopicPartition, i64)], request: u64) -> Result<(), ErrorCode>;
    /// Asks for the group's committed positions; answered by [`Reply::Offsets`], once the coordinator can be reached.
    fn ask_committed(&mut self, partitions: &[TopicPartition], request: u64);
    /// Asks for offsets of partitions; answered by [`Reply::Offsets`].
    fn ask_ends(&mut self, kind: OffsetKind, partitions: &[TopicPartition], timeout_ms: i32, request: u64);
    /// Asks for the ids of topics; answered by [`Reply::Topics`].
    fn ask_topics(&mut self, topics: &[Arc<str>], timeout_ms: i32);
    /// Names the bootstrap servers once more, where all brokers are lost.
    fn bootstrap_again(&mut self);
    /// Gives the subscription up, which leaves the group once everything assigned was given up.
    fn unsubscribe(&mut self);
    /// Whether the group's coordinator has made us a member, and the client has not left.
    fn is_member(&mut self) -> bool;
    /// Closes the client.
    ///
    /// # Errors
    /// It will never be closed.
    fn start_close(&mut self) -> Result<(), ErrorCode>;
    /// Whether the group was left.
    fn is_closed(&self) -> bool;
    /// Frees the client, waiting at most `limit`. Returns whether it was freed.
    fn destroy(self, limit: Duration) -> bool;
}

impl Messages for MessageBatch {
    fn len(&self) -> usize {
        Self::len(self)
    }
    fn offset(&self, index: usize) -> i64 {
        Self::offset(self, index)
    }
    fn bytes_at(&self, index: usize) -> usize {
        Self::bytes_at(self, index)
    }
    fn timestamp_ms(&self, index: usize) -> Option<i64> {
        Self::timestamp_ms(self, index)
    }
    fn segments(&self) -> Vec<MessageSegment<'_>> {
        Self::segments(self)
    }
    fn retain(&mut self, keep: impl FnMut(usize) -> bool) {
        Self::retain(self, keep);
    }
    fn append(&mut self, other: Self) {
        Self::append(self, other);
    }
}

impl Client for Consumer {
    type Messages = MessageBatch;

    fn now(&self) -> Instant {
        Instant::now()
    }
    fn park(&mut self, wake: &Wake, limit: Duration) {
        wake.park(limit);
    }
    fn drain(&mut self, max: usize, wait_ms: i32) -> MessageBatch {
        Self::drain(self, max, wait_ms)
    }
    fn events(&mut self) -> Vec<Event> {
        Self::events(self)
    }
    fn reply(&mut self) -> Option<Reply> {
        Self::reply(self)
    }
    fn assign(&mut self, partitions: &[(TopicPartition, i64)]) -> Result<(), ErrorCode> {
        Self::assign(self, partitions)
    }
    fn unassign(&mut self, partitions: &[TopicPartition]) -> Result<(), ErrorCode> {
        Self::unassign(self, partitions)
    }
    fn seek(&mut self, positions: &[(TopicPartition, i64)], wait_ms: i32) -> Result<Vec<PartitionAnswer>, ErrorCode> {
        Self::seek(self, positions, wait_ms)
    }
    fn pause(&mut self, partitions: &[TopicPartition]) -> Vec<PartitionAnswer> {
        Self::pause(self, partitions)
    }
    fn resume(&mut self, partitions: &[TopicPartition]) -> Vec<PartitionAnswer> {
        Self::resume(self, partitions)
    }
    fn position(&mut self, partition: &TopicPartition) -> i64 {
        Self::position(self, partition)
    }
    fn low_watermark(&mut self, partition: &TopicPartition) -> Option<i64> {
        Self::low_watermark(self, partition)
    }
    fn subscribe(&mut self, topics: &[String]) -> Result<(), OpenError> {
        Self::subscribe(self, topics)
    }
    fn history(&mut self, source: &SourcePlan) -> Result<History, String> {
        probe::history(source, HISTORY_WITHIN)
    }
    fn commit(&mut self, positions: &[(TopicPartition, i64)], request: u64) -> Result<(), ErrorCode> {
        Self::commit(self, positions, request)
    }
    fn ask_committed(&mut self, partitions: &[TopicPartition], request: u64) {
        Self::ask_committed(self, partitions, request);
    }
    fn ask_ends(&mut self, kind: OffsetKind, partitions: &[TopicPartition], timeout_ms: i32, request: u64) {
        Self::ask_ends(self, kind, partitions, timeout_ms, request);
    }
    fn ask_topics(&mut self, topics: &[Arc<str>], timeout_ms: i32) {
        Self::ask_topics(self, topics, timeout_ms);
    }
    fn bootstrap_again(&mut self) {
        Self::bootstrap_again(self);
    }
    fn unsubscribe(&mut self) {
        Self::unsubscribe(self);
    }
    fn is_member(&mut self) -> bool {
        Self::is_member(self)
    }
    fn start_close(&mut self) -> Result<(), ErrorCode> {
        Self::start_close(self)
    }
    fn is_closed(&self) -> bool {
        Self::is_closed(self)
    }
    fn destroy(self, limit: Duration) -> bool {
        Self::destroy(self, limit)
    }
}
