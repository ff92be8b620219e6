//! A producer that borrows payloads instead of copying them, over librdkafka's plain C interface.
//!
//! A payload buffer is *lent*: messages point into it, and it is freed only after the delivery report of the last one.
//! Reports name buffer and message by two indexes in the message's opaque pointer, so nothing is allocated per message
//! and no report needs a search. Keys and headers are copied by librdkafka.
//!
//! One thread owns the producer (`Send`, not `Sync`, every call takes `&mut self`). All callbacks run inside
//! [`Producer::serve`] and only append to a list. The hook given to [`Producer::open`] is called on a librdkafka thread
//! when there is something to serve; it must only wake the owner. There is no `flush`: it waits in steps of 100 ms.
//!
//! # Leaving
//! A client is destroyed on a thread of its own, because that may hang on a network or DNS call. What it still holds of
//! lent buffers goes to that thread and is freed after the destruction, or never: a leak at exit, on purpose.

#![expect(unsafe_code, reason = "the librdkafka component; every block says why it is sound")]

pub mod buffers;
mod callbacks;
mod client;
pub mod message;
mod report;

use std::collections::{HashMap, HashSet};
use std::ffi::{CStr, CString, c_void};
use std::ptr;
use std::time::Duration;

use rdkafka::bindings as rd;

use super::code::{ErrorCode, code, code_at};
use super::conf::{Conf, OpenError};
use super::{bootstrap, native};

use buffers::{BufferId, Buffers};
pub use callbacks::ClientEvent;
use callbacks::Inbox;
use client::{ProducerClient, native_message, topic_error};
use message::Message;
pub use report::{DeliveryReport, Probe, ProduceRefusal};

#[cfg(not(target_pointer_width = "64"))]
compile_error!("a delivery report's opaque pointer carries two 32-bit indexes");

/// Messages handed over in one batch call.
const CHUNK: usize = 1024;
/// Topic handles kept; beyond it all are let go, which costs a look-up each when they are used again.
const TOPIC_HANDLES: usize = 1024;
const PARTITION_UNASSIGNED: i32 = -1;

/// See the module.
pub struct Producer {
    client: ProducerClient,
    servers: CString,
    buffers: Buffers,
    topics: HashMap<String, ProducerTopic>,
    scratch: Vec<rd::rd_kafka_message_t>,
}

/// A topic handle of a client that outlives it.
struct ProducerTopic(*mut rd::rd_kafka_topic_t);

// SAFETY: librdkafka's handles may be used from any thread; this pointer is owned by this value alone.
unsafe impl Send for ProducerTopic {}

impl Drop for ProducerTopic {
    fn drop(&mut self) {
        // SAFETY: the handle came from rd_kafka_topic_new of a client that is still live, and is given back once;
        // librdkafka keeps its own reference while messages of the topic are open.
        unsafe { rd::rd_kafka_topic_destroy(self.0) };
    }
}

// SAFETY: the message structs in `scratch` are plain data between calls: they are cleared and rebuilt by every use, and
// their pointers are never followed except by librdkafka during the call they were built for.
unsafe impl Send for Producer {}

impl Producer {
    /// Makes a producer. `properties` are applied in order, later ones win. `hook` is called on a librdkafka thread,
    /// with a lock of librdkafka held, when there is something to [`Producer::serve`]: it must only wake the owner.
    ///
    /// # Errors
    /// [`OpenError`]; no property value is repeated in it.
    pub fn open<'a>(
        properties: impl IntoIterator<Item = (&'a str, &'a str)>,
        hook: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self, OpenError> {
        let mut conf = Conf::new();
        let properties: Vec<_> = properties.into_iter().collect();
        for (name, value) in &properties {
            conf.set(name, value)?;
        }
        conf.set("log.queue", "true")?;
        let client = ProducerClient::new(conf, Inbox::new(Box::new(hook)))?;
        let servers = bootstrap::servers(properties.into_iter());
        Ok(Self { client, servers, buffers: Buffers::default(), topics: HashMap::new(), scratch: Vec::new() })
    }

    /// Lends a payload. It stays at least until [`Producer::seal`] was called and its last message was reported.
    pub fn lend(&mut self, payload: Vec<u8>) -> BufferId {
        self.buffers.lend(payload)
    }

    /// No further message of this buffer will be produced.
    /// It is freed by the first [`Producer::serve`] after the one that gave its last report.
    pub fn seal(&mut self, buffer: BufferId) {
        self.buffers.seal(buffer);
    }

    /// The bytes of a buffer that is lent.
    #[must_use]
    pub(crate) fn payload(&self, buffer: BufferId) -> Option<&[u8]> {
        self.buffers.payload(buffer)
    }

    /// Gives a lent payload back; `None` while a message points into it, and when it is sealed or gone.
    pub(crate) fn take_back(&mut self, buffer: BufferId) -> Option<Vec<u8>> {
        self.buffers.take_back(buffer)
    }

    /// Messages taken and not yet reported.
    #[must_use]
    pub fn open_messages(&self) -> usize {
        self.buffers.open()
    }

    /// Produces the items of one topic in order, until all were considered or the queue is full. Returns how many were
    /// considered; the rest waits for room. Each considered item is either reported later under its index (`first` plus
    /// its place in `items`), or appended to `refused` now.
    pub fn produce<I>(
        &mut self,
        topic: &str,
        buffer: BufferId,
        first: u32,
        items: &[I],
        message: impl Fn(&I) -> Message,
        refused: &mut Vec<ProduceRefusal>,
    ) -> usize {
        let topic = match self.topic(topic) {
            Ok(topic) => topic,
            Err(code) => {
                refused.extend((0..items.len() as u32).map(|at| ProduceRefusal { index: first + at, code }));
                return items.len();
            }
        };
        let mut at = 0;
        while at < items.len() {
            let index = first + at as u32;
            let head = message(&items[at]);
            let (wanted, taken) = if head.is_plain() {
                let rest = items[at..].iter().take(CHUNK);
                let plain = rest.map(&message).take_while(Message::is_plain);
                self.produce_plain(topic, buffer, index, plain, refused)
            } else {
                (1, self.produce_full(topic, buffer, index, &head, refused))
            };
            at += taken;
            if taken < wanted {
                break;
            }
        }
        at
    }

    /// The batch call, without copying. Returns how many were given to it and how many were considered.
    fn produce_plain(
        &mut self,
        topic: *mut rd::rd_kafka_topic_t,
        buffer: BufferId,
        first: u32,
        messages: impl Iterator<Item = Message>,
        refused: &mut Vec<ProduceRefusal>,
    ) -> (usize, usize) {
        let Some(payload) = self.buffers.payload(buffer) else { return (0, 0) };
        self.scratch.clear();
        for (at, message) in messages.enumerate() {
            // A span outside the buffer is a bug of the caller; it becomes a refusal below and never reaches
            // librdkafka.
            let index = first + at as u32;
            self.scratch.push(native_message(payload, &message, opaque(buffer, index)));
        }
        let wanted = self.scratch.len();
        // SAFETY: `topic` is a live handle of this client. The array holds `wanted` messages whose payload and key
        // pointers lie in a lent buffer, which is neither moved, changed nor freed before their reports: `buffers`
        // frees it only when it is sealed and every message counted by `sent` was reported. Keys are copied by the
        // call.
        unsafe {
            rd::rd_kafka_produce_batch(
                topic,
                PARTITION_UNASSIGNED,
                0,
                self.scratch.as_mut_ptr(),
                wanted.min(i32::MAX as usize) as i32,
            );
        }
        let mut considered = wanted;
        let mut taken = 0;
        for (at, message) in self.scratch.iter().enumerate() {
            // SAFETY: the field of a live element.
            match unsafe { code_at(&raw const message.err) } {
                None => taken += 1,
                Some(ErrorCode::QUEUE_FULL) => {
                    considered = considered.min(at);
                    break;
                }
                Some(code) => refused.push(ProduceRefusal { index: first + at as u32, code }),
            }
        }
        self.scratch.clear();
        self.buffers.sent(buffer, taken);
        (wanted, considered)
    }

    /// One message with headers or a timestamp, payload not copied. Returns 1 when it was considered, 0 when the queue
    /// is full.
    fn produce_full(
        &mut self,
        topic: *mut rd::rd_kafka_topic_t,
        buffer: BufferId,
        index: u32,
        message: &Message,
        refused: &mut Vec<ProduceRefusal>,
    ) -> usize {
        let Some(payload) = self.buffers.payload(buffer) else { return 0 };
        match self.client.produce_full(topic, payload, message, opaque(buffer, index)) {
            Ok(()) => self.buffers.sent(buffer, 1),
            Err(ErrorCode::QUEUE_FULL) => return 0,
            Err(code) => refused.push(ProduceRefusal { index, code }),
        }
        1
    }

    /// Serves everything that waits, without blocking: appends delivery reports in the order librdkafka gives them, and
    /// what the client says besides. Buffers whose last message is among them stay readable until the next call.
    pub fn serve(&mut self, reports: &mut Vec<DeliveryReport>, events: &mut Vec<ClientEvent>) {
        self.buffers.free_finished();
        // SAFETY: the handle is live and only this thread uses the client (`&mut self`). Callbacks run inside this call
        // and only touch the inbox, which we do not look at meanwhile.
        unsafe { rd::rd_kafka_poll(self.client.handle, 0) };
        // SAFETY: the poll has ended, we own the client, and no other thread polls it.
        let told = unsafe { (*self.client.inbox).told() };
        events.append(&mut told.events);
        for raw in told.reports.drain(..) {
            let (buffer, index) = raw.place();
            self.buffers.reported(buffer);
            reports.push(DeliveryReport { buffer, index, partition: raw.partition, error: raw.error });
        }
    }

    /// Asks librdkafka to give up everything queued or in flight; the reports say so when they are served. Does not
    /// wait. Messages in flight may still be written.
    pub(crate) fn purge(&mut self) {
        const NON_BLOCKING: i32 = rd::RD_KAFKA_PURGE_F_NON_BLOCKING;
        // SAFETY: the handle is live; the call only queues requests to librdkafka's threads.
        unsafe {
            rd::rd_kafka_purge(
                self.client.handle,
                rd::RD_KAFKA_PURGE_F_QUEUE | rd::RD_KAFKA_PURGE_F_INFLIGHT | NON_BLOCKING,
            );
        }
    }

    /// Names the bootstrap servers once more to a client that has lost all brokers.
    pub(crate) fn bootstrap_again(&mut self) {
        // SAFETY: the handle is live.
        unsafe { bootstrap::name_again(self.client.handle, &self.servers) };
    }

    /// The fatal error that made this client unusable.
    #[must_use]
    pub(crate) fn fatal(&self) -> Option<(ErrorCode, String)> {
        // SAFETY: the handle is live.
        unsafe { native::fatal(self.client.handle) }
    }

    /// Raises a fatal error as a broker would, for tests of what follows.
    #[cfg(test)]
    pub(crate) fn break_for_test(&mut self) {
        // SAFETY: the handle is live, the reason is NUL terminated.
        unsafe {
            rd::rd_kafka_test_fatal_error(
                self.client.handle,
                rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER,
                c"test".as_ptr(),
            );
        }
    }

    /// Asks the cluster for metadata, of one topic or of none. Blocks for at most `limit`.
    pub(crate) fn probe(&mut self, topic: Option<&str>, limit: Duration) -> Probe {
        let handle = match topic.map(|topic| self.topic(topic)).transpose() {
            Ok(handle) => handle.unwrap_or(ptr::null_mut()),
            Err(code) => return Probe::Topic(code),
        };
        let mut metadata: *const rd::rd_kafka_metadata = ptr::null();
        let millis = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: handles are live; `metadata` is writable and receives a structure we destroy below.
        let error = unsafe { rd::rd_kafka_metadata(self.client.handle, 0, handle, &mut metadata, millis) };
        if let Some(error) = code(error).or(metadata.is_null().then_some(ErrorCode::TIMED_OUT)) {
            return Probe::Silent(error);
        }
        // SAFETY: the call succeeded, so `metadata` is a valid structure that is ours until it is destroyed, once,
        // here.
        let worst = unsafe {
            let worst = if topic.is_some() { topic_error(&*metadata) } else { None };
            rd::rd_kafka_metadata_destroy(metadata);
            worst
        };
        let Some(code) = worst else { return Probe::Answers };
        // librdkafka asks for every topic it has a handle of ten times a second while that is missing: with hundreds of
        // them a question takes a third of a second.
        topic.and_then(|topic| self.topics.remove(topic));
        Probe::Topic(code)
    }

    /// The names of all topics of the cluster that we may see; `None` where nobody answers within `limit`.
    pub(crate) fn topics(&mut self, limit: Duration) -> Option<HashSet<String>> {
        let mut metadata: *const rd::rd_kafka_metadata = ptr::null();
        let millis = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the handle is live; `metadata` is writable and receives a structure we destroy below.
        let error = unsafe { rd::rd_kafka_metadata(self.client.handle, 1, ptr::null_mut(), &mut metadata, millis) };
        if code(error).is_some() || metadata.is_null() {
            return None;
        }
        // SAFETY: the call succeeded, so `metadata` is a valid structure with that many topics, each with a
        // NUL-terminated name; it is ours until it is destroyed, once, here.
        unsafe {
            let list = &*metadata;
            let count = usize::try_from(list.topic_cnt).unwrap_or_default();
            let topics = if count == 0 { &[] } else { std::slice::from_raw_parts(list.topics, count) };
            let is_there = |topic: &&rd::rd_kafka_metadata_topic| code(topic.err).is_none();
            let name = |topic: &rd::rd_kafka_metadata_topic| CStr::from_ptr(topic.topic).to_string_lossy().into_owned();
            let names = topics.iter().filter(is_there).map(name).collect();
            rd::rd_kafka_metadata_destroy(metadata);
            Some(names)
        }
    }

    /// Destroys the client, waiting at most `limit`. What is open then is not reported. Whether it ended in time; if
    /// not, a thread of its own goes on, and what is still lent is freed after it.
    pub fn close(mut self, limit: Duration) -> bool {
        let (done, ended) = flume::bounded::<()>(1);
        if self.retire(move || drop(done)) {
            return matches!(ended.recv_timeout(limit), Err(flume::RecvTimeoutError::Disconnected));
        }
        false
    }

    /// Hands client, handles and lent buffers to a thread that destroys them in that order.
    fn retire(&mut self, after: impl FnOnce() + Send + 'static) -> bool {
        let client = ProducerClient {
            handle: std::mem::replace(&mut self.client.handle, ptr::null_mut()),
            main_queue: self.client.main_queue.take(),
            inbox: std::mem::replace(&mut self.client.inbox, ptr::null_mut()),
        };
        if client.handle.is_null() {
            return false;
        }
        // Wrapped so that a thread that cannot be started leaks them instead of dropping them under a live client.
        let parts = std::mem::ManuallyDrop::new((client, std::mem::take(&mut self.buffers)));
        let topics = std::mem::take(&mut self.topics);
        let destroy = move || {
            let (client, buffers) = std::mem::ManuallyDrop::into_inner(parts);
            drop(topics);
            client.destroy();
            drop(buffers);
            after();
        };
        std::thread::Builder::new().name("producer-close".into()).spawn(destroy).is_ok()
    }

    fn topic(&mut self, name: &str) -> Result<*mut rd::rd_kafka_topic_t, ErrorCode> {
        if let Some(topic) = self.topics.get(name) {
            return Ok(topic.0);
        }
        if self.topics.len() >= TOPIC_HANDLES {
            self.topics.clear();
        }
        let c_name = CString::new(name).map_err(|_| ErrorCode::TOPIC_EXCEPTION)?;
        // SAFETY: the handle is live, the name NUL terminated; a null configuration means the client's default.
        let topic = unsafe { rd::rd_kafka_topic_new(self.client.handle, c_name.as_ptr(), ptr::null_mut()) };
        if topic.is_null() {
            return Err(ErrorCode::TOPIC_EXCEPTION);
        }
        self.topics.insert(name.to_owned(), ProducerTopic(topic));
        Ok(topic)
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.retire(|| ());
    }
}

fn opaque(buffer: BufferId, index: u32) -> *mut c_void {
    ptr::without_provenance_mut(((buffer.0 as usize) << 32) | index as usize)
}

#[cfg(test)]
mod tests;
