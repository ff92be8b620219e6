//! What librdkafka calls back, and what it tells: everything runs inside the owner's poll and only appends to a list.

#![expect(unsafe_code, reason = "callbacks of a C library; see the component's documentation")]

use std::cell::UnsafeCell;
use std::ffi::{c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use rdkafka::bindings as rd;

use super::buffers::BufferId;
use crate::librdkafka::code::{ErrorCode, code_at};
use crate::librdkafka::native::owned;

/// One delivery report as it came.
#[derive(Clone, Copy)]
pub(super) struct RawReport {
    pub(super) opaque: usize,
    pub(super) error: Option<ErrorCode>,
    pub(super) partition: i32,
}

impl RawReport {
    /// The buffer its message points into, and its index.
    pub(super) fn place(self) -> (BufferId, u32) {
        (BufferId((self.opaque >> 32) as u32), self.opaque as u32)
    }
}

/// Something the client says that belongs to no record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientEvent {
    /// An error: brokers down, credentials refused, fatal. Information unless it is fatal or lasts.
    Error {
        /// What.
        code: ErrorCode,
        /// Why, in librdkafka's words.
        text: String,
    },
    /// Why the broker did not take one message, in its own words. Its report follows.
    Refused {
        /// The buffer it points into.
        buffer: BufferId,
        /// Its index.
        index: u32,
        /// The words.
        text: String,
    },
    /// A line of librdkafka's log.
    Log {
        /// syslog severity, 0 (emergency) to 7 (debug).
        level: i32,
        /// The line.
        text: String,
    },
}

const KEPT_EVENTS: usize = 1024;

/// Where callbacks put what they are told. Its address is the client's opaque pointer.
#[derive(Default)]
pub(super) struct Inbox {
    told: UnsafeCell<CallbackNotes>,
    hook: Option<Box<dyn Fn() + Send + Sync>>,
}

/// See [`Inbox`].
#[derive(Default)]
pub(super) struct CallbackNotes {
    pub(super) reports: Vec<RawReport>,
    pub(super) events: Vec<ClientEvent>,
}

impl Inbox {
    pub(super) fn new(hook: Box<dyn Fn() + Send + Sync>) -> Self {
        Self { told: UnsafeCell::new(CallbackNotes::default()), hook: Some(hook) }
    }

    /// What was told since the last call.
    ///
    /// # Safety
    /// The caller owns the client: no other thread polls it, and this thread is not inside one of its callbacks.
    #[expect(clippy::mut_from_ref, reason = "the cell is shared with callbacks that run only inside the owner's calls")]
    pub(super) unsafe fn told(&self) -> &mut CallbackNotes {
        // SAFETY: by the caller's promise nobody else is looking at the cell.
        unsafe { &mut *self.told.get() }
    }
}

/// Appends to the inbox behind `opaque`; a panic ends here and not in C.
///
/// # Safety
/// `opaque` is the address of the client's live [`Inbox`], and the callback runs inside the owner's poll.
unsafe fn tell(opaque: *mut c_void, what: impl FnOnce(&mut CallbackNotes)) {
    // SAFETY: by the caller's promise the inbox lives and is not looked at by anyone else during the poll.
    let told = unsafe { (*opaque.cast::<Inbox>()).told() };
    let _ = catch_unwind(AssertUnwindSafe(|| what(told)));
}

/// `dr_msg_cb`.
pub(super) unsafe extern "C" fn on_delivery(
    _client: *mut rd::rd_kafka_t,
    message: *const rd::rd_kafka_message_t,
    opaque: *mut c_void,
) {
    // SAFETY: librdkafka passes a valid message for the length of the call.
    let report = unsafe {
        RawReport {
            opaque: (*message)._private as usize,
            error: code_at(&raw const (*message).err),
            partition: (*message).partition,
        }
    };
    // SAFETY: as above; the text lives as long as the message.
    let words = (report.error == Some(ErrorCode::INVALID_RECORD))
        .then(|| unsafe { owned(rd::rd_kafka_message_produce_errstr(message)) })
        .filter(|words| !words.is_empty());
    let (buffer, index) = report.place();
    // SAFETY: librdkafka serves this callback only inside rd_kafka_poll, with the opaque of the client's configuration.
    unsafe {
        tell(opaque, |told| {
            told.reports.push(report);
            words.into_iter().for_each(|text| keep(told, ClientEvent::Refused { buffer, index, text }));
        });
    }
}

/// `error_cb`.
pub(super) unsafe extern "C" fn on_error(
    _client: *mut rd::rd_kafka_t,
    code: c_int,
    reason: *const c_char,
    opaque: *mut c_void,
) {
    let Some(code) = ErrorCode::of(code) else { return };
    // SAFETY: as in `on_delivery`; `reason` is a NUL terminated string for the length of the call.
    unsafe {
        tell(opaque, |told| keep(told, ClientEvent::Error { code, text: owned(reason) }));
    }
}

/// `log_cb`: with `log.queue` it is served inside poll like the others.
pub(super) unsafe extern "C" fn on_log(
    client: *const rd::rd_kafka_t,
    level: c_int,
    facility: *const c_char,
    text: *const c_char,
) {
    if client.is_null() {
        return;
    }
    // SAFETY: librdkafka passes the client whose log this is; its opaque is our inbox, set before the client was made.
    let opaque = unsafe { rd::rd_kafka_opaque(client) };
    if opaque.is_null() {
        return;
    }
    // SAFETY: as in `on_delivery`; both strings are NUL terminated for the length of the call.
    unsafe {
        tell(opaque, |told| {
            let text = format!("{}: {}", owned(facility), owned(text));
            keep(told, ClientEvent::Log { level, text });
        });
    }
}

/// The hook of the main queue: it became non-empty. Runs on a librdkafka thread with the queue's lock held, so it only
/// wakes the owner.
pub(super) unsafe extern "C" fn on_ready(_client: *mut rd::rd_kafka_t, opaque: *mut c_void) {
    // SAFETY: `opaque` is the address of the client's inbox, which outlives the client. Only `hook` is touched, which
    // is never written after the client was made and may be called from any thread.
    let hook = unsafe { &(*opaque.cast::<Inbox>()).hook };
    let _ = catch_unwind(AssertUnwindSafe(|| {
        if let Some(hook) = hook {
            hook();
        }
    }));
}

fn keep(told: &mut CallbackNotes, event: ClientEvent) {
    if told.events.len() < KEPT_EVENTS {
        told.events.push(event);
    }
}
