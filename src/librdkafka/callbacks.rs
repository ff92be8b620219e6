//! What librdkafka calls: each callback records what happened, wakes the owner and returns.
//!
//! Rebalance and statistics callbacks run inside the batch call on the owner's thread; the queue hooks and log lines
//! come from librdkafka's own threads. None calls back into librdkafka except `rd_kafka_assignment_lost`.

use std::ffi::{c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::bindings as rd;

use super::code::{ErrorCode, code};
use super::list::read_list;
use super::native::{fatal, owned};
use super::words;
use crate::model::{TopicPartition, Wake};

/// Something librdkafka reported, in the order it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// These partitions are to be assigned: the group waits until `Consumer::assign` is called.
    Assign(Vec<TopicPartition>),
    /// These partitions are to be given up: the group waits until `Consumer::unassign` is called.
    Revoke {
        /// Which.
        partitions: Vec<TopicPartition>,
        /// Another member may own them already: commit nothing.
        lost: bool,
    },
    /// Joining the group failed; librdkafka tries again by itself.
    RebalanceFailed(ErrorCode),
    /// Statistics as JSON; only the newest is kept.
    Statistics(String),
    /// Information, or trouble it keeps trying to cure: brokers down, authentication refused.
    Error {
        /// The code.
        code: ErrorCode,
        /// librdkafka's words.
        message: String,
        /// The client is unusable.
        fatal: bool,
    },
    /// An error message that came in the place of a record.
    InPlaceOfRecord {
        /// Which partition, when it is known.
        partition: Option<TopicPartition>,
        /// Where in the partition, when the error is one of reading: the first offset of a batch that cannot be read,
        /// or the offset a broker refused to read. librdkafka's own position counts it as read from then on.
        offset: Option<i64>,
        /// The code.
        code: ErrorCode,
        /// librdkafka's words.
        message: String,
    },
}

/// What the callbacks share with the owner. Lives until `rd_kafka_destroy` has returned; in an `Arc`, because a `Box`
/// that is moved claims to be the only way to what it holds, and librdkafka holds another.
pub(super) struct Context {
    events: Mutex<Vec<Event>>,
    /// Why a connection broke, where librdkafka only logs it: wrong listeners, mostly.
    last_words: Mutex<Option<String>>,
    wake: Arc<Wake>,
}

/// More events than this are never kept: rebalances are rare and statistics replace one another; errors beyond it are
/// repetitions.
const EVENT_BOUND: usize = 4096;

impl Context {
    pub(super) fn new(wake: Arc<Wake>) -> Arc<Self> {
        Arc::new(Self { events: Mutex::default(), last_words: Mutex::default(), wake })
    }

    pub(super) fn push(&self, event: Event) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        match &event {
            Event::Statistics(_) => events.retain(|kept| !matches!(kept, Event::Statistics(_))),
            Event::Error { .. } if events.len() >= EVENT_BOUND => return,
            // The first of a partition says where reading broke off; what comes behind it may be nonsense.
            Event::InPlaceOfRecord { partition, offset: Some(_), .. } if broke_off(&events, partition.as_ref()) => {
                return;
            }
            Event::InPlaceOfRecord { offset: None, .. } if events.len() >= EVENT_BOUND => return,
            Event::Assign(_)
            | Event::Revoke { .. }
            | Event::RebalanceFailed(_)
            | Event::Error { .. }
            | Event::InPlaceOfRecord { .. } => {}
        }
        events.push(event);
        drop(events);
        self.wake.wake();
    }

    /// A line of librdkafka's log. Only what has a remedy is kept: the rest repeats what comes as an error.
    fn heard(&self, facility: &str, text: &str) {
        if facility == "FAIL" && words::remedy(text).is_some() {
            *self.last_words.lock().unwrap_or_else(PoisonError::into_inner) = Some(words::told(text));
        }
    }

    /// An error's text, and what was last heard of a connection.
    fn explained(&self, text: &str) -> String {
        let told = words::told(text);
        match self.last_words.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(heard) if words::remedy(text).is_none() => format!("{told}: {heard}"),
            Some(_) | None => told,
        }
    }

    pub(super) fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Whether reading of the partition is already known to have broken off.
fn broke_off(events: &[Event], of: Option<&TopicPartition>) -> bool {
    events.iter().any(|event| match event {
        Event::InPlaceOfRecord { partition, offset: Some(_), .. } => partition.as_ref() == of,
        Event::InPlaceOfRecord { offset: None, .. }
        | Event::Assign(_)
        | Event::Revoke { .. }
        | Event::RebalanceFailed(_)
        | Event::Statistics(_)
        | Event::Error { .. } => false,
    })
}

/// # Safety
/// `opaque` is the pointer of a live [`Context`].
unsafe fn with_context(opaque: *mut c_void, act: impl FnOnce(&Context)) {
    if opaque.is_null() {
        return;
    }
    // SAFETY: by the caller's promise; the context is freed only after `rd_kafka_destroy` has returned.
    let context = unsafe { &*opaque.cast::<Context>() };
    // A panic must not unwind into C; recording cannot panic short of memory exhaustion.
    let _ = catch_unwind(AssertUnwindSafe(|| act(context)));
}

pub(super) unsafe extern "C" fn on_rebalance(
    rk: *mut rd::rd_kafka_t,
    err: rd::rd_kafka_resp_err_t,
    partitions: *mut rd::rd_kafka_topic_partition_list_t,
    opaque: *mut c_void,
) {
    // SAFETY: librdkafka passes the opaque of the conf, a live list and a live client.
    unsafe {
        with_context(opaque, |context| {
            let names = || read_list(partitions).into_iter().map(|answer| answer.name).collect();
            match code(err) {
                Some(ErrorCode::ASSIGN_PARTITIONS) => context.push(Event::Assign(names())),
                Some(ErrorCode::REVOKE_PARTITIONS) => {
                    let lost = rd::rd_kafka_assignment_lost(rk) == 1;
                    context.push(Event::Revoke { partitions: names(), lost });
                }
                Some(failed) => context.push(Event::RebalanceFailed(failed)),
                None => {}
            }
        });
    }
}

pub(super) unsafe extern "C" fn on_statistics(
    _rk: *mut rd::rd_kafka_t,
    json: *mut c_char,
    len: usize,
    opaque: *mut c_void,
) -> c_int {
    // SAFETY: `json` holds `len` bytes during the call; 0 tells librdkafka to free them.
    unsafe {
        with_context(opaque, |context| {
            let bytes = std::slice::from_raw_parts(json.cast::<u8>(), len);
            context.push(Event::Statistics(String::from_utf8_lossy(bytes).into_owned()));
        });
    }
    0
}

pub(super) unsafe extern "C" fn on_error(
    rk: *mut rd::rd_kafka_t,
    err: c_int,
    reason: *const c_char,
    opaque: *mut c_void,
) {
    // SAFETY: librdkafka passes one of its own codes, a live client and a NUL-terminated text or null.
    unsafe {
        with_context(opaque, |context| {
            let Some(code) = ErrorCode::of(err) else { return };
            let is_fatal = code == ErrorCode::FATAL;
            let cause = if is_fatal { fatal(rk) } else { None };
            let message = match cause {
                Some((_, text)) => text,
                None if reason.is_null() => String::new(),
                None => context.explained(&owned(reason)),
            };
            context.push(Event::Error { code, message, fatal: is_fatal });
        });
    }
}

pub(super) unsafe extern "C" fn on_log(
    rk: *const rd::rd_kafka_t,
    level: c_int,
    facility: *const c_char,
    text: *const c_char,
) {
    let _ = catch_unwind(|| {
        // SAFETY: both are null or NUL-terminated during the call.
        let (facility, text) = unsafe { (owned(facility), owned(text)) };
        if !rk.is_null() {
            // SAFETY: a live client; its opaque was set in its conf, and lives as long as it does.
            unsafe { with_context(rd::rd_kafka_opaque(rk), |context| context.heard(&facility, &text)) };
        }
        // Levels are syslog's: 0-3 errors, 4 warning, 5-6 notice and info, 7 debug.
        match level {
            0..=2 => tracing::error!(target: "librdkafka", %facility, "{text}"),
            3 => tracing::warn!(target: "librdkafka", %facility, "{text}"),
            4..=6 => tracing::info!(target: "librdkafka", %facility, "{text}"),
            _ => tracing::debug!(target: "librdkafka", %facility, "{text}"),
        }
    });
}

/// The queue went from empty to non-empty. Runs with the queue's lock held, so it only stores and unparks.
pub(super) unsafe extern "C" fn on_queue_event(_rk: *mut rd::rd_kafka_t, opaque: *mut c_void) {
    // SAFETY: the opaque is the context given to `rd_kafka_queue_cb_event_enable`.
    unsafe { with_context(opaque, |context| context.wake.wake()) };
}
