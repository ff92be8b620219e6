//! A group consumer driven by one thread: drains its queue in batches, records rebalances, commits through a reply queue.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rdkafka::bindings as rd;
use rdkafka::types::RDKafkaErrorCode;

use super::batch::{MessageBatch, destroy};
use super::bootstrap;
use super::callbacks::{self, Context, Event};
use super::conf::{Conf, RefusedProperty};
use super::list::{List, PartitionAnswer, code, read_element};
use super::replies::{self, OffsetKind, Replies, Reply};
use crate::model::{TopicPartition, Wake};

/// Why a consumer could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// A property is unknown or its value wrong.
    #[error(transparent)]
    Property(#[from] RefusedProperty),
    /// librdkafka refused the client.
    #[error("librdkafka cannot make a consumer: {0}")]
    Client(String),
    /// The subscription was refused.
    #[error("cannot subscribe to {topics}: {code}")]
    Subscribe {
        /// The topics.
        topics: String,
        /// Why.
        code: RDKafkaErrorCode,
    },
}

/// A consumer owned by one thread: `Send`, not `Sync`, every method takes `&mut self`.
pub struct Consumer {
    pub(super) rk: NonNull<rd::rd_kafka_t>,
    pub(super) queue: Option<NonNull<rd::rd_kafka_queue_t>>,
    pub(super) replies: Option<Replies>,
    pub(super) context: Option<Arc<Context>>,
    pub(super) live_messages: Arc<AtomicUsize>,
    group: CString,
    servers: CString,
    cooperative: bool,
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
        // SAFETY: a live conf; the callbacks match librdkafka's signatures; the context outlives the client (see `close`).
        unsafe {
            let conf = conf.as_ptr();
            rd::rd_kafka_conf_set_opaque(conf, opaque);
            rd::rd_kafka_conf_set_rebalance_cb(conf, Some(callbacks::on_rebalance));
            rd::rd_kafka_conf_set_stats_cb(conf, Some(callbacks::on_statistics));
            rd::rd_kafka_conf_set_error_cb(conf, Some(callbacks::on_error));
            rd::rd_kafka_conf_set_log_cb(conf, Some(callbacks::on_log));
        }
        let mut text: [c_char; 512] = [0; 512];
        // SAFETY: on success the client owns the conf, on failure it stays ours; `text` has the size given.
        let made = unsafe {
            rd::rd_kafka_new(rd::rd_kafka_type_t::RD_KAFKA_CONSUMER, conf.as_ptr(), text.as_mut_ptr(), text.len())
        };
        let Some(rk) = NonNull::new(made) else {
            // SAFETY: NUL-terminated by librdkafka.
            let said = unsafe { CStr::from_ptr(text.as_ptr()) }.to_string_lossy().into_owned();
            return Err(OpenError::Client(said));
        };
        conf.taken();
        // SAFETY: a fresh client; the queue handle and replies are dropped before it is destroyed (see `close`).
        let (queue, replies) = unsafe {
            rd::rd_kafka_poll_set_consumer(rk.as_ptr());
            let queue = NonNull::new(rd::rd_kafka_queue_get_consumer(rk.as_ptr()));
            let replies = Replies::new(rk.as_ptr());
            for hooked in queue.map(NonNull::as_ptr).into_iter().chain([replies.as_ptr()]) {
                rd::rd_kafka_queue_cb_event_enable(hooked, Some(callbacks::on_queue_event), opaque);
            }
            (queue, replies)
        };
        let mut consumer = Self {
            rk,
            queue,
            replies: Some(replies),
            context: Some(context),
            live_messages: Arc::new(AtomicUsize::new(0)),
            group: replies::group_name(group),
            servers: bootstrap::servers(properties.iter().map(|(name, value)| (&**name, &**value))),
            cooperative: false,
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
    pub fn subscribe(&mut self, topics: &[String]) -> Result<(), OpenError> {
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
    /// look at [`Consumer::events`] after every call. An error in the place of a record becomes an event, and the records of
    /// its partition that lie behind it in the queue are freed: between them and the last one returned something is missing.
    pub fn drain(&mut self, max: usize, wait_ms: c_int) -> MessageBatch {
        let mut raw: Vec<*mut rd::rd_kafka_message_t> = Vec::with_capacity(max);
        let got = match self.queue {
            // SAFETY: live queue handle; `raw` has room for `max` pointers.
            Some(queue) => unsafe { rd::rd_kafka_consume_batch_queue(queue.as_ptr(), wait_ms, raw.as_mut_ptr(), max) },
            None => 0,
        };
        // SAFETY: librdkafka has written the first `got` pointers; -1 means none.
        unsafe { raw.set_len(usize::try_from(got).unwrap_or(0)) };
        let mut messages = Vec::with_capacity(raw.len());
        let mut broken_off = Vec::new();
        for message in raw.into_iter().filter_map(NonNull::new) {
            // SAFETY: a live message that is ours.
            let read = unsafe { message.as_ref() };
            let place = (read.rkt, read.partition);
            match code(read.err) {
                None if broken_off.contains(&place) => destroy(message),
                None => messages.push(message),
                Some(error) => {
                    if !read.rkt.is_null() && read.offset >= 0 {
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
    fn refuse(&mut self, message: NonNull<rd::rd_kafka_message_t>, error: RDKafkaErrorCode) {
        // SAFETY: a live message; its topic handle may be null for client-wide errors; its text is null or NUL-terminated
        // and lives as long as the message, which is destroyed once, at the end.
        let (partition, offset, message) = unsafe {
            let read = message.as_ref();
            let partition = (!read.rkt.is_null()).then(|| TopicPartition {
                topic: CStr::from_ptr(rd::rd_kafka_topic_name(read.rkt)).to_string_lossy().into(),
                partition: read.partition,
            });
            let said = rd::rd_kafka_message_errstr(message.as_ptr());
            let said = if said.is_null() { String::new() } else { CStr::from_ptr(said).to_string_lossy().into_owned() };
            let offset = (read.offset >= 0).then_some(read.offset);
            destroy(message);
            (partition, offset, said)
        };
        // A consumer's fatal error comes in the place of a record, never through the error callback.
        let event = match error {
            RDKafkaErrorCode::Fatal => Event::Error { code: error, message: self.fatal_text(), fatal: true },
            code => Event::InPlaceOfRecord { partition, offset, code, message },
        };
        if let Some(context) = &self.context {
            context.push(event);
        }
    }

    fn fatal_text(&self) -> String {
        let mut text: [c_char; 512] = [0; 512];
        // SAFETY: live client; `text` has the size given and is NUL-terminated by librdkafka.
        unsafe {
            rd::rd_kafka_fatal_error(self.rk.as_ptr(), text.as_mut_ptr(), text.len());
            CStr::from_ptr(text.as_ptr()).to_string_lossy().into_owned()
        }
    }

    /// The oldest offset of a partition, as of the last fetch; no request is sent. `None` while unknown.
    pub fn low_watermark(&mut self, partition: &TopicPartition) -> Option<i64> {
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
    pub fn assign(&mut self, partitions: &[(TopicPartition, i64)]) -> Result<(), RDKafkaErrorCode> {
        self.cooperative = self.is_cooperative();
        let list = List::new(partitions.iter().map(|(name, offset)| (name, *offset)));
        // SAFETY: live client and list; librdkafka copies it.
        unsafe {
            if self.cooperative {
                self.outcome(rd::rd_kafka_incremental_assign(self.rk.as_ptr(), list.as_ptr()))
            } else {
                code(rd::rd_kafka_assign(self.rk.as_ptr(), list.as_ptr())).map_or(Ok(()), Err)
            }
        }
    }

    /// Gives partitions up: all of them for the eager protocol.
    ///
    /// # Errors
    /// librdkafka's code.
    pub fn unassign(&mut self, partitions: &[TopicPartition]) -> Result<(), RDKafkaErrorCode> {
        self.cooperative = self.is_cooperative();
        let list = List::new(partitions.iter().map(|name| (name, super::NO_OFFSET)));
        // SAFETY: live client and list; librdkafka copies it; null unassigns everything.
        unsafe {
            if self.cooperative {
                self.outcome(rd::rd_kafka_incremental_unassign(self.rk.as_ptr(), list.as_ptr()))
            } else {
                code(rd::rd_kafka_assign(self.rk.as_ptr(), std::ptr::null())).map_or(Ok(()), Err)
            }
        }
    }

    fn is_cooperative(&self) -> bool {
        // SAFETY: live client; the result is null or a static NUL-terminated string.
        unsafe {
            let protocol = rd::rd_kafka_rebalance_protocol(self.rk.as_ptr());
            !protocol.is_null() && CStr::from_ptr(protocol).to_bytes() == b"COOPERATIVE"
        }
    }

    /// # Safety
    /// `error` is null or owned by us.
    pub(super) unsafe fn outcome(&self, error: *mut rd::rd_kafka_error_t) -> Result<(), RDKafkaErrorCode> {
        if error.is_null() {
            return Ok(());
        }
        // SAFETY: by the caller's promise; destroyed once.
        unsafe {
            let code = code(rd::rd_kafka_error_code(error));
            rd::rd_kafka_error_destroy(error);
            code.map_or(Ok(()), Err)
        }
    }

    /// Moves partitions to these positions, waiting at most `wait_ms` for librdkafka's own threads. Each partition has its
    /// own result: one that has just been assigned answers `State` until it has started.
    ///
    /// # Errors
    /// librdkafka's code when the whole call failed.
    pub fn seek(
        &mut self,
        positions: &[(TopicPartition, i64)],
        wait_ms: c_int,
    ) -> Result<Vec<PartitionAnswer>, RDKafkaErrorCode> {
        let list = List::new(positions.iter().map(|(name, offset)| (name, *offset)));
        // SAFETY: live client and list; results are written into the list.
        unsafe { self.outcome(rd::rd_kafka_seek_partitions(self.rk.as_ptr(), list.as_ptr(), wait_ms))? };
        Ok(list.read())
    }

    /// Stops fetching of partitions and throws their prefetch away.
    pub fn pause(&mut self, partitions: &[TopicPartition]) -> Vec<PartitionAnswer> {
        let list = List::new(partitions.iter().map(|name| (name, super::NO_OFFSET)));
        // SAFETY: live client and list; results are written into the list.
        unsafe { rd::rd_kafka_pause_partitions(self.rk.as_ptr(), list.as_ptr()) };
        list.read()
    }

    /// Fetches partitions again.
    pub fn resume(&mut self, partitions: &[TopicPartition]) -> Vec<PartitionAnswer> {
        let list = List::new(partitions.iter().map(|name| (name, super::NO_OFFSET)));
        // SAFETY: live client and list; results are written into the list.
        unsafe { rd::rd_kafka_resume_partitions(self.rk.as_ptr(), list.as_ptr()) };
        list.read()
    }

    /// The consumer's own position in a partition: the offset behind the last message it handed out, control records
    /// included once it passed them. Negative when unknown.
    pub fn position(&mut self, partition: &TopicPartition) -> i64 {
        let list = List::new([(partition, super::NO_OFFSET)]);
        // SAFETY: live client and list; a local question, no request is sent.
        unsafe {
            rd::rd_kafka_position(self.rk.as_ptr(), list.as_ptr());
            read_element((*list.as_ptr()).elems).offset
        }
    }

    /// Asks the coordinator to store positions; the answer arrives as [`Reply::Commit`] with this request number.
    ///
    /// # Errors
    /// librdkafka's code when the request could not even be queued.
    pub fn commit(&mut self, positions: &[(TopicPartition, i64)], request: u64) -> Result<(), RDKafkaErrorCode> {
        let Some(replies) = &self.replies else { return Err(RDKafkaErrorCode::State) };
        let list = List::new(positions.iter().map(|(name, offset)| (name, *offset)));
        // SAFETY: live client, list and queue; librdkafka copies the list; without a callback the answer is an event whose
        // opaque is the number.
        let error = unsafe {
            rd::rd_kafka_commit_queue(self.rk.as_ptr(), list.as_ptr(), replies.as_ptr(), None, request as *mut c_void)
        };
        code(error).map_or(Ok(()), Err)
    }

    /// Asks for the group's committed positions; the answer arrives as [`Reply::Offsets`], once the coordinator can be
    /// reached.
    pub fn ask_committed(&mut self, partitions: &[TopicPartition], request: u64) {
        if let Some(replies) = &self.replies {
            // SAFETY: live client and its own queue.
            unsafe { replies::ask_committed(self.rk.as_ptr(), replies, &self.group, partitions, request) };
        }
    }

    /// Asks for the earliest, or the last stable offsets, or those of a time; the answer arrives as [`Reply::Offsets`].
    pub fn ask_ends(&mut self, kind: OffsetKind, partitions: &[TopicPartition], timeout_ms: c_int, request: u64) {
        if let Some(replies) = &self.replies {
            // SAFETY: live client and its own queue.
            unsafe { replies::ask_ends(self.rk.as_ptr(), replies, kind, partitions, timeout_ms, request) };
        }
    }

    /// Asks for the ids of topics; the answer arrives as [`Reply::Topics`].
    pub fn ask_topics(&mut self, topics: &[Arc<str>], timeout_ms: c_int) {
        if let Some(replies) = &self.replies {
            // SAFETY: live client and its own queue.
            unsafe { super::topics::ask(self.rk.as_ptr(), replies, topics, timeout_ms) };
        }
    }

    /// Names the bootstrap servers once more to a client that has lost all brokers.
    pub fn bootstrap_again(&mut self) {
        // SAFETY: live client.
        unsafe { bootstrap::name_again(self.rk.as_ptr(), &self.servers) };
    }

    /// Messages drained and not freed yet.
    #[must_use]
    pub fn live_messages(&self) -> usize {
        self.live_messages.load(Ordering::Acquire)
    }
}
