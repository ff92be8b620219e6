//! Messages drained in one call: they stay where librdkafka put them and are freed on drop, on any thread.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ffi::CStr;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rdkafka::bindings as rd;

use crate::model::{Charge, HeaderSource, Originals, OwnedRecord, Record, Records, Run, Sequence};

/// Messages that own their place in librdkafka's fetch buffers. `Send`, not `Sync`: reading headers writes into a
/// message.
///
/// A client is destroyed only after its messages: `rd_kafka_destroy` waits for them (measured), and the count in `live`
/// tells the closing owner whether it would.
pub struct MessageBatch {
    messages: Vec<NonNull<rd::rd_kafka_message_t>>,
    live: Arc<AtomicUsize>,
    last_topic: Cell<LastTopic>,
}

/// The topic handle asked for last and where its name lies, so that a batch asks once for each run, not for each
/// record. Forgotten whenever messages leave or join the batch: a freed handle's address may be used again.
#[derive(Clone, Copy)]
struct LastTopic {
    handle: *mut rd::rd_kafka_topic_t,
    name: *const str,
}

impl LastTopic {
    const NONE: Self = Self { handle: std::ptr::null_mut(), name: "" };
}

// SAFETY: a message is owned by exactly one batch and reference-counts its buffers with atomics; librdkafka documents
// `rd_kafka_message_destroy` and the accessors as callable from any thread. No shared access: the type is not `Sync`.
unsafe impl Send for MessageBatch {}

/// Consecutive messages of one partition in a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageSegment<'a> {
    /// Topic name.
    pub topic: &'a str,
    /// Partition number.
    pub partition: i32,
    /// Indexes `start..end`.
    pub start: usize,
    /// See `start`.
    pub end: usize,
    /// The widest jump between two neighbours: the offset expected and the one that came.
    pub jump: Option<(i64, i64)>,
}

impl MessageBatch {
    /// Takes ownership of messages.
    ///
    /// # Safety
    /// Every pointer came from a consume call, carries no error, and is owned by nobody else.
    pub(super) unsafe fn new(messages: Vec<NonNull<rd::rd_kafka_message_t>>, live: Arc<AtomicUsize>) -> Self {
        live.fetch_add(messages.len(), Ordering::AcqRel);
        Self { messages, live, last_topic: Cell::new(LastTopic::NONE) }
    }

    /// Number of messages.
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    fn raw(&self, index: usize) -> &rd::rd_kafka_message_t {
        // SAFETY: owned by this batch and live until it drops; nobody writes the fields read here.
        unsafe { self.messages[index].as_ref() }
    }

    /// Offset of the message at `index`.
    #[must_use]
    pub fn offset(&self, index: usize) -> i64 {
        self.raw(index).offset
    }

    /// Key and value bytes of the message at `index`.
    #[must_use]
    pub fn bytes_at(&self, index: usize) -> usize {
        let message = self.raw(index);
        message.len + message.key_len
    }

    /// Value of the message at `index`; `None` is a tombstone.
    #[must_use]
    pub fn value(&self, index: usize) -> Option<&[u8]> {
        let message = self.raw(index);
        // SAFETY: the payload points to `len` bytes of a buffer the message holds a reference on.
        unsafe { slice(message.payload.cast(), message.len) }
    }

    /// Key of the message at `index`.
    #[must_use]
    pub fn key(&self, index: usize) -> Option<&[u8]> {
        let message = self.raw(index);
        // SAFETY: the key points to `key_len` bytes of a buffer the message holds a reference on.
        unsafe { slice(message.key.cast(), message.key_len) }
    }

    /// Broker timestamp in milliseconds of the message at `index`.
    #[must_use]
    pub(crate) fn timestamp_ms(&self, index: usize) -> Option<i64> {
        let mut kind = rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is live; `kind` outlives the call.
        let at = unsafe { rd::rd_kafka_message_timestamp(self.messages[index].as_ptr(), &raw mut kind) };
        (kind != rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE && at >= 0).then_some(at)
    }

    fn topic(&self, index: usize) -> &str {
        let handle = self.raw(index).rkt;
        let last = self.last_topic.get();
        if last.handle == handle && !handle.is_null() {
            // SAFETY: this message holds the handle the name was read from, and the name lives as long as the handle.
            // It is the same handle and not another at its address: the name was read since messages last left or
            // joined, so all that time a message of this batch held it.
            return unsafe { &*last.name };
        }
        // SAFETY: a message without error has a live topic handle; its name is NUL-terminated, legal topic names are
        // ASCII, and both live as long as the message.
        let name = unsafe { CStr::from_ptr(rd::rd_kafka_topic_name(handle)) }.to_str().unwrap_or("");
        self.last_topic.set(LastTopic { handle, name });
        name
    }

    /// The stretches of one partition with growing offsets, in order. Messages come in runs: a batch has few.
    #[must_use]
    pub fn segments(&self) -> Vec<MessageSegment<'_>> {
        let mut segments: Vec<MessageSegment<'_>> = Vec::new();
        let mut last = (std::ptr::null_mut(), -1);
        let mut expected = 0;
        for index in 0..self.len() {
            let message = self.raw(index);
            let this = (message.rkt, message.partition);
            match segments.last_mut() {
                Some(segment) if this == last && message.offset >= expected => {
                    segment.end = index + 1;
                    if message.offset > expected {
                        let wider = segment.jump.is_none_or(|(from, to)| message.offset - expected > to - from);
                        segment.jump = if wider { Some((expected, message.offset)) } else { segment.jump };
                    }
                }
                Some(_) | None => segments.push(MessageSegment {
                    topic: self.topic(index),
                    partition: message.partition,
                    start: index,
                    end: index + 1,
                    jump: None,
                }),
            }
            last = this;
            expected = message.offset + 1;
        }
        segments
    }

    /// Destroys the messages whose index `keep` refuses, leaving the order as it is.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(usize) -> bool) {
        self.last_topic.set(LastTopic::NONE);
        let mut index = 0;
        let live = &self.live;
        self.messages.retain(|message| {
            let kept = keep(index);
            index += 1;
            if !kept {
                destroy(*message);
                live.fetch_sub(1, Ordering::AcqRel);
            }
            kept
        });
    }

    /// Adds the messages of `other` behind these.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.last_topic.set(LastTopic::NONE);
        self.messages.append(&mut other.messages);
    }

    /// Splits off the messages from `at` on.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn split_off(&mut self, at: usize) -> Self {
        self.last_topic.set(LastTopic::NONE);
        let messages = self.messages.split_off(at.min(self.messages.len()));
        Self { messages, live: self.live.clone(), last_topic: Cell::new(LastTopic::NONE) }
    }
}

/// Frees a message of the caller, who forgets the pointer.
pub(super) fn destroy(message: NonNull<rd::rd_kafka_message_t>) {
    // SAFETY: the caller owns the message and forgets the pointer.
    unsafe { rd::rd_kafka_message_destroy(message.as_ptr()) };
}

impl Drop for MessageBatch {
    fn drop(&mut self) {
        let freed = self.messages.len();
        self.messages.drain(..).for_each(destroy);
        self.live.fetch_sub(freed, Ordering::AcqRel);
    }
}

/// One message's headers, read where they lie.
#[repr(transparent)]
struct MessageHeaders(NonNull<rd::rd_kafka_message_t>);

impl MessageHeaders {
    /// The headers handle; parsed on first use, which writes into the message: see the `Sync` note of the batch.
    fn handle(&self) -> Option<*mut rd::rd_kafka_headers_t> {
        let mut headers = std::ptr::null_mut();
        // SAFETY: the message is live: `Record` borrows the batch; only one thread reads a batch at a time.
        let error = unsafe { rd::rd_kafka_message_headers(self.0.as_ptr(), &raw mut headers) };
        (error == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && !headers.is_null()).then_some(headers)
    }
}

impl HeaderSource for MessageHeaders {
    fn header(&self, name: &str) -> Option<Option<&[u8]>> {
        let headers = self.handle()?;
        let name = std::ffi::CString::new(name).ok()?;
        let (mut value, mut size) = (std::ptr::null(), 0);
        // SAFETY: live headers, NUL-terminated name; the value lives as long as the message.
        unsafe {
            let error = rd::rd_kafka_header_get_last(headers, name.as_ptr(), &raw mut value, &raw mut size);
            (error == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| slice(value.cast(), size))
        }
    }

    fn each_header(&self, visit: &mut dyn FnMut(&str, Option<&[u8]>)) {
        let Some(headers) = self.handle() else { return };
        for index in 0.. {
            let (mut name, mut value, mut size) = (std::ptr::null(), std::ptr::null(), 0);
            // SAFETY: live headers; name and value live as long as the message; the loop ends at the first error.
            unsafe {
                let error = rd::rd_kafka_header_get_all(headers, index, &raw mut name, &raw mut value, &raw mut size);
                if error != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                    return;
                }
                visit(&CStr::from_ptr(name).to_string_lossy(), slice(value.cast(), size));
            }
        }
    }
}

/// # Safety
/// `bytes` is null or points to `len` bytes that live for `'a`.
unsafe fn slice<'a>(bytes: *const u8, len: usize) -> Option<&'a [u8]> {
    // SAFETY: by the caller's promise.
    (!bytes.is_null()).then(|| unsafe { std::slice::from_raw_parts(bytes, len) })
}

impl Records for MessageBatch {
    fn count(&self) -> usize {
        self.len()
    }

    fn record(&self, index: usize) -> Record<'_> {
        let message = self.raw(index);
        // The pointer itself is the header source: a `MessageHeaders` is laid out like the vector's element.
        let headers: &MessageHeaders = MessageHeaders::of(&self.messages[index]);
        Record {
            topic: self.topic(index),
            partition: message.partition,
            offset: message.offset,
            timestamp_ms: self.timestamp_ms(index),
            key: self.key(index),
            value: self.value(index),
            headers,
        }
    }
}

impl MessageHeaders {
    fn of(message: &NonNull<rd::rd_kafka_message_t>) -> &Self {
        // SAFETY: `MessageHeaders` is `repr(transparent)` over the pointer.
        unsafe { &*std::ptr::from_ref(message).cast::<Self>() }
    }
}

/// A batch on its way from the source to a worker.
pub struct RecordBatch<M = MessageBatch> {
    /// Place in the pipeline's order.
    pub sequence: Sequence,
    /// The messages.
    pub messages: M,
    /// Their runs, in order, covering all messages.
    pub runs: Vec<Run>,
    /// What the batch holds of the byte budget.
    pub charge: Charge,
    /// When it was drained.
    pub polled: Instant,
}

/// Original records kept for dead letters, shared by a sink's tasks.
pub struct SharedBatch {
    kept: Mutex<KeptMessage>,
}

enum KeptMessage {
    Whole(MessageBatch),
    Thinned(Vec<(u32, OwnedRecord)>),
}

impl SharedBatch {
    /// Keeps a whole batch.
    #[must_use]
    pub fn new(messages: MessageBatch) -> Arc<Self> {
        Arc::new(Self { kept: Mutex::new(KeptMessage::Whole(messages)) })
    }
}

impl Originals for SharedBatch {
    fn copy(&self, index: u32) -> Option<OwnedRecord> {
        match &*self.kept.lock().unwrap_or_else(PoisonError::into_inner) {
            KeptMessage::Whole(messages) if (index as usize) < messages.len() => {
                Some(OwnedRecord::copy_of(&messages.record(index as usize)))
            }
            KeptMessage::Whole(_) => None,
            KeptMessage::Thinned(records) => {
                records.iter().find(|(at, _)| *at == index).map(|(_, record)| record.clone())
            }
        }
    }

    fn thin(&self, open: &[u32]) -> usize {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *kept {
            KeptMessage::Whole(messages) => {
                let open: BTreeSet<u32> = open.iter().copied().filter(|at| (*at as usize) < messages.len()).collect();
                let copy = |index: u32| (index, OwnedRecord::copy_of(&messages.record(index as usize)));
                let records = open.into_iter().map(copy).collect();
                *kept = KeptMessage::Thinned(records);
            }
            KeptMessage::Thinned(records) => records.retain(|(index, _)| open.contains(index)),
        }
        match &*kept {
            KeptMessage::Whole(_) => 0,
            KeptMessage::Thinned(records) => records.iter().map(|(_, record)| record.bytes()).sum(),
        }
    }
}
