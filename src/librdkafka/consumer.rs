//! A group consumer driven by one thread: drains its queue in batches, records rebalances, commits through a reply
//! queue.

use std::ffi::{CStr, CString, c_int, c_void};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use rdkafka::bindings as rd;

use super::batch::{MessageBatch, destroy};
use super::bootstrap;
use super::callbacks::{self, Context, Event};
use super::code::{ErrorCode, code, code_at, take_error};
use super::conf::{ClientKind, Conf, OpenError};
use super::list::{List, PartitionAnswer};
use super::native::{Queue, fatal, owned};
use super::replies::{self, OffsetKind, Replies, Reply};
use crate::model::{TopicPartition, Wake};

/// What becomes of the assignment: additions and removals for the cooperative protocol, everything for the eager one.
enum AssignmentChange {
    Add,
    Remove,
    Replace,
    Clear,
}

/// Calls that librdkafka answers by itself.
enum LocalCall {
    Pause,
    Resume,
    Position,
}

/// A consumer owned by one thread: `Send`, not `Sync`, every method takes `&mut self`.
pub struct Consumer {
    pub(super) rk: NonNull<rd::rd_kafka_t>,
    pub(super) queue: Option<Queue>,
    pub(super) replies: Option<Replies>,
    pub(super) context: Option<Arc<Context>>,
    pub(super) live_messages: Arc<AtomicUsize>,
    group: CString,
    servers: CString,
}

// SAFETY: librdkafka's handles may be used from any thread; by `&mut self` only one does at a time.
unsafe impl Send for Consumer {}

impl Consumer {
    /// A consumer with these properties, subscribed to `topics` (names, or patterns starting with `^`); an empty list
    /// makes a consumer that is assigned by hand. `wake` is notified whenever its queue fills or a reply arrives.
    ///
    /// # Errors
    /// See [`OpenError`]. Unreachable brokers are no error: librdkafka keeps trying and says so in [`Event::Error`].
    pub fn open(
        properties: &[(String, String)],
        group: &str,
        topics: &[String],
        wake: Arc<Wake>,
    ) -> Result<Self, OpenError> {
        super::replaced::keep();
        let mut conf = Conf::new();
        for (name, value) in properties {
            conf.set(name, value)?;
        }
        let context = Context::new(wake);
        let opaque = Arc::as_ptr(&context).cast_mut().cast::<c_void>();
        // SAFETY: a live conf; the callbacks match librdkafka's signatures; the context outlives the client (see
        // `close`).
        unsafe {
            let conf = conf.as_ptr();
            rd::rd_kafka_conf_set_opaque(conf, opaque);
            rd::rd_kafka_conf_set_rebalance_cb(conf, Some(callbacks::on_rebalance));
            rd::rd_kafka_conf_set_stats_cb(conf, Some(callbacks::on_statistics));
            rd::rd_kafka_conf_set_error_cb(conf, Some(callbacks::on_error));
            rd::rd_kafka_conf_set_log_cb(conf, Some(callbacks::on_log));
        }
        let rk = conf.into_client(ClientKind::Consumer)?;
        // SAFETY: a fresh client; queue and replies are dropped before it is destroyed, and the context after (see
        // `close`). The hook may be called from any thread.
        let (queue, replies) = unsafe {
            rd::rd_kafka_poll_set_consumer(rk.as_ptr());
            let queue = Queue::take(rd::rd_kafka_queue_get_consumer(rk.as_ptr()));
            queue.iter().for_each(|queue| queue.hook(callbacks::on_queue_event, opaque));
            (queue, Replies::new(rk.as_ptr(), callbacks::on_queue_event, opaque))
        };
        let mut consumer = Self {
            rk,
            queue,
            replies: Some(replies),
            context: Some(context),
            live_messages: Arc::new(AtomicUsize::new(0)),
            group: replies::group_name(group),
            servers: bootstrap::servers(properties.iter().map(|(name, value)| (&**name, &**value))),
        };
        if !topics.is_empty() {
            consumer.subscribe(topics)?;
        }
        Ok(consumer)
    }

    /// Subscribes to topics (names, or patterns starting with `^`), which asks to join the group.
    ///
    /// # Errors
    /// librdkafka refused one.
    pub(crate) fn subscribe(&mut self, topics: &[String]) -> Result<(), OpenError> {
        let names: Vec<_> =
            topics.iter().map(|topic| TopicPartition { topic: topic.as_str().into(), partition: -1 }).collect();
        let list = List::new(names.iter().map(|name| (name, super::NO_OFFSET)));
        // SAFETY: live client and list; librdkafka copies it.
        match code(unsafe { rd::rd_kafka_subscribe(self.rk.as_ptr(), list.as_ptr()) }) {
            None => Ok(()),
            Some(code) => Err(OpenError::Subscribe { topics: topics.join(", "), code }),
        }
    }

    /// Takes at most `max` messages that are already there, waiting at most `wait_ms` for the first. Serves callbacks:
    /// look at [`Consumer::events`] after every call. An error in the place of a record becomes an event, and the
    /// records of its partition that lie behind it in the queue are freed: between them and the last one returned
    /// something is missing.
    pub fn drain(&mut self, max: usize, wait_ms: c_int) -> MessageBatch {
        let mut raw: Vec<*mut rd::rd_kafka_message_t> = Vec::with_capacity(max);
        let got = match &self.queue {
            // SAFETY: live queue handle; `raw` has room for `max` pointers.
            Some(queue) => unsafe { rd::rd_kafka_consume_batch_queue(queue.as_ptr(), wait_ms, raw.as_mut_ptr(), max) },
            None => 0,
        };
        // SAFETY: librdkafka has written the first `got` pointers; -1 means none.
        unsafe { raw.set_len(usize::try_from(got).unwrap_or(0)) };
        let mut messages = Vec::with_capacity(raw.len());
        let mut broken_off = Vec::new();
        for message in raw.into_iter().filter_map(NonNull::new) {
            let raw = message.as_ptr();
            // SAFETY: a live message that is ours.
            let (error, place, offset) =
                unsafe { (code_at(&raw const (*raw).err), ((*raw).rkt, (*raw).partition), (*raw).offset) };
            match error {
                None if broken_off.contains(&place) => destroy(message),
                None => messages.push(message),
                Some(error) => {
                    if !place.0.is_null() && offset >= 0 {
                        broken_off.push(place);
                    }
                    self.refuse(message, error);
                }
            }
        }
        // SAFETY: consumed just now, without errors, owned by nobody else.
        unsafe { MessageBatch::new(messages, self.live_messages.clone()) }
    }

    /// An error in the place of a record: recorded as an event and freed.
    fn refuse(&mut self, message: NonNull<rd::rd_kafka_message_t>, error: ErrorCode) {
        let raw = message.as_ptr();
        // SAFETY: a live message; its topic handle may be null for client-wide errors; its text is null or
        // NUL-terminated and lives as long as the message, which is destroyed once, at the end.
        let (partition, offset, message) = unsafe {
            let topic = (*raw).rkt;
            let partition = (!topic.is_null()).then(|| TopicPartition {
                topic: owned(rd::rd_kafka_topic_name(topic)).into(),
                partition: (*raw).partition,
            });
            let offset = ((*raw).offset >= 0).then_some((*raw).offset);
            let said = owned(rd::rd_kafka_message_errstr(raw));
            destroy(message);
            (partition, offset, said)
        };
        // A consumer's fatal error comes in the place of a record, never through the error callback.
        let event = match error {
            ErrorCode::FATAL => Event::Error { code: error, message: self.fatal_text(), fatal: true },
            code => Event::InPlaceOfRecord { partition, offset, code, message },
        };
        if let Some(context) = &self.context {
            context.push(event);
        }
    }

    fn fatal_text(&self) -> String {
        // SAFETY: live client.
        unsafe { fatal(self.rk.as_ptr()) }.map_or_else(String::new, |(_, text)| text)
    }

    /// The oldest offset of a partition, as of the last fetch; no request is sent. `None` while unknown.
    pub(crate) fn low_watermark(&mut self, partition: &TopicPartition) -> Option<i64> {
        let topic = CString::new(&*partition.topic).ok()?;
        let (mut low, mut high) = (super::NO_OFFSET, super::NO_OFFSET);
        // SAFETY: live client, NUL-terminated name; both numbers outlive the call.
        let error = unsafe {
            let (low, high) = (&raw mut low, &raw mut high);
            rd::rd_kafka_get_watermark_offsets(self.rk.as_ptr(), topic.as_ptr(), partition.partition, low, high)
        };
        (code(error).is_none() && low >= 0).then_some(low)
    }

    /// What the callbacks recorded since the last call.
    pub fn events(&mut self) -> Vec<Event> {
        self.context.as_ref().map(|context| context.take()).unwrap_or_default()
    }

    /// The next answer to a commit or a question, if one is there.
    pub fn reply(&mut self) -> Option<Reply> {
        self.replies.as_mut()?.poll()
    }

    /// Assigns partitions at these positions (a position, or one of the `START_` constants): everything for the eager
    /// protocol, an addition for the cooperative one.
    ///
    /// # Errors
    /// librdkafka's code.
    pub fn assign(&mut self, partitions: &[(TopicPartition, i64)]) -> Result<(), ErrorCode> {
        let list = List::new(partitions.iter().map(|(name, offset)| (name, *offset)));
        let change = if self.is_cooperative() { AssignmentChange::Add } else { AssignmentChange::Replace };
        self.change_assignment(change, &list)
    }

    /// Gives partitions up: all of them for the eager protocol.
    ///
    /// # Errors
    /// librdkafka's code.
    pub(crate) fn unassign(&mut self, partitions: &[TopicPartition]) -> Result<(), ErrorCode> {
        let list = List::new(partitions.iter().map(|name| (name, super::NO_OFFSET)));
        let change = if self.is_cooperative() { AssignmentChange::Remove } else { AssignmentChange::Clear };
        self.change_assignment(change, &list)
    }

    fn change_assignment(&mut self, change: AssignmentChange, list: &List) -> Result<(), ErrorCode> {
        let (client, list) = (self.rk.as_ptr(), list.as_ptr());
        // SAFETY: live client and list; librdkafka copies it; null gives everything up; an error object is ours.
        let refused = unsafe {
            match change {
                AssignmentChange::Add => take_error(rd::rd_kafka_incremental_assign(client, list)),
                AssignmentChange::Remove => take_error(rd::rd_kafka_incremental_unassign(client, list)),
                AssignmentChange::Replace => code(rd::rd_kafka_assign(client, list)),
                AssignmentChange::Clear => code(rd::rd_kafka_assign(client, std::ptr::null())),
            }
        };
        refused.map_or(Ok(()), Err)
    }

    fn is_cooperative(&self) -> bool {
        // SAFETY: live client; the result is null or a static NUL-terminated string.
        unsafe {
            let protocol = rd::rd_kafka_rebalance_protocol(self.rk.as_ptr());
            !protocol.is_null() && CStr::from_ptr(protocol).to_bytes() == b"COOPERATIVE"
        }
    }

    /// Moves partitions to these positions, waiting at most `wait_ms` for librdkafka's own threads. Each partition has
    /// its own result: one that has just been assigned answers `State` until it has started.
    ///
    /// # Errors
    /// librdkafka's code when the whole call failed.
    pub(crate) fn seek(
        &mut self,
        positions: &[(TopicPartition, i64)],
        wait_ms: c_int,
    ) -> Result<Vec<PartitionAnswer>, ErrorCode> {
        let list = List::new(positions.iter().map(|(name, offset)| (name, *offset)));
        // SAFETY: live client and list; results are written into the list.
        let failed = unsafe { take_error(rd::rd_kafka_seek_partitions(self.rk.as_ptr(), list.as_ptr(), wait_ms)) };
        failed.map_or_else(|| Ok(list.read()), Err)
    }

    /// Stops fetching of partitions and throws their prefetch away.
    pub(crate) fn pause(&mut self, partitions: &[TopicPartition]) -> Vec<PartitionAnswer> {
        self.of_each(LocalCall::Pause, partitions)
    }

    /// Fetches partitions again.
    pub(crate) fn resume(&mut self, partitions: &[TopicPartition]) -> Vec<PartitionAnswer> {
        self.of_each(LocalCall::Resume, partitions)
    }

    /// The consumer's own position in a partition: the offset behind the last message it handed out, control records
    /// included once it passed them. Negative when unknown.
    pub(crate) fn position(&mut self, partition: &TopicPartition) -> i64 {
        let answers = self.of_each(LocalCall::Position, std::slice::from_ref(partition));
        answers.first().map_or(super::NO_OFFSET, |answer| answer.offset)
    }

    /// A call without a request, answered for each partition.
    fn of_each(&mut self, call: LocalCall, partitions: &[TopicPartition]) -> Vec<PartitionAnswer> {
        let list = List::new(partitions.iter().map(|name| (name, super::NO_OFFSET)));
        let client = self.rk.as_ptr();
        // SAFETY: live client and list; results are written into the list.
        unsafe {
            match call {
                LocalCall::Pause => rd::rd_kafka_pause_partitions(client, list.as_ptr()),
                LocalCall::Resume => rd::rd_kafka_resume_partitions(client, list.as_ptr()),
                LocalCall::Position => rd::rd_kafka_position(client, list.as_ptr()),
            }
        };
        list.read()
    }

    /// Asks the coordinator to store positions; the answer arrives as [`Reply::Commit`] with this request number.
    ///
    /// # Errors
    /// librdkafka's code when the request could not even be queued.
    pub fn commit(&mut self, positions: &[(TopicPartition, i64)], request: u64) -> Result<(), ErrorCode> {
        let Some(replies) = &self.replies else { return Err(ErrorCode::STATE) };
        let list = List::new(positions.iter().map(|(name, offset)| (name, *offset)));
        // SAFETY: live client, list and queue; librdkafka copies the list; without a callback the answer is an event
        // whose opaque is the number.
        let error = unsafe {
            rd::rd_kafka_commit_queue(self.rk.as_ptr(), list.as_ptr(), replies.as_ptr(), None, request as *mut c_void)
        };
        code(error).map_or(Ok(()), Err)
    }

    /// Asks for the group's committed positions; the answer arrives as [`Reply::Offsets`], once the coordinator can be
    /// reached.
    pub(crate) fn ask_committed(&mut self, partitions: &[TopicPartition], request: u64) {
        if let Some(replies) = &self.replies {
            // SAFETY: live client and its own queue.
            unsafe { replies::ask_committed(self.rk.as_ptr(), replies, &self.group, partitions, request) };
        }
    }

    /// Asks for the earliest, or the last stable offsets, or those of a time; the answer arrives as [`Reply::Offsets`].
    pub(crate) fn ask_ends(
        &mut self,
        kind: OffsetKind,
        partitions: &[TopicPartition],
        timeout_ms: c_int,
        request: u64,
    ) {
        if let Some(replies) = &self.replies {
            // SAFETY: live client and its own queue.
            unsafe { replies::ask_ends(self.rk.as_ptr(), replies, kind, partitions, timeout_ms, request) };
        }
    }

    /// Asks for the ids of topics; the answer arrives as [`Reply::Topics`].
    pub(crate) fn ask_topics(&mut self, topics: &[Arc<str>], timeout_ms: c_int) {
        if let Some(replies) = &self.replies {
            // SAFETY: live client and its own queue.
            unsafe { super::topics::ask(self.rk.as_ptr(), replies, topics, timeout_ms) };
        }
    }

    /// Names the bootstrap servers once more to a client that has lost all brokers.
    pub(crate) fn bootstrap_again(&mut self) {
        // SAFETY: live client.
        unsafe { bootstrap::name_again(self.rk.as_ptr(), &self.servers) };
    }

    /// Messages drained and not freed yet.
    #[must_use]
    #[cfg(test)]
    pub(crate) fn live_messages(&self) -> usize {
        self.live_messages.load(std::sync::atomic::Ordering::Acquire)
    }
}
