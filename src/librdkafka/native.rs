//! What consumer and producer need alike of the C interface: texts, the fatal error, queues with a hook.

use std::ffi::{CStr, c_char, c_void};
use std::ptr::{self, NonNull};

use rdkafka::bindings as rd;

use super::code::{ErrorCode, code};

/// Room for one of librdkafka's error texts.
pub(super) struct TextBuffer([c_char; 512]);

impl TextBuffer {
    pub(super) fn new() -> Self {
        Self([0; 512])
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut c_char {
        self.0.as_mut_ptr()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// What librdkafka wrote.
    pub(super) fn text(&self) -> String {
        // SAFETY: the array was zeroed, and librdkafka NUL-terminates what it writes within the length it is given.
        unsafe { owned(self.0.as_ptr()) }
    }
}

/// Copies a text; empty for null.
///
/// # Safety
/// `text` is null or NUL-terminated.
pub(super) unsafe fn owned(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: not null, and NUL-terminated by the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// The fatal error that made a client unusable.
///
/// # Safety
/// `client` is live.
pub(super) unsafe fn fatal(client: *mut rd::rd_kafka_t) -> Option<(ErrorCode, String)> {
    let mut text = TextBuffer::new();
    // SAFETY: live by the caller's promise; the buffer has the length given.
    let error = unsafe { rd::rd_kafka_fatal_error(client, text.as_mut_ptr(), text.len()) };
    code(error).map(|code| (code, text.text()))
}

/// What librdkafka calls when a queue is no longer empty.
pub(super) type Hook = unsafe extern "C" fn(*mut rd::rd_kafka_t, *mut c_void);

/// A reference to a queue of a client; given back by drop, its hook first.
pub(super) struct Queue(NonNull<rd::rd_kafka_queue_t>);

impl Queue {
    /// Takes a reference over; `None` for null.
    ///
    /// # Safety
    /// The reference is the caller's, and its client outlives what is returned.
    pub(super) unsafe fn take(queue: *mut rd::rd_kafka_queue_t) -> Option<Self> {
        NonNull::new(queue).map(Self)
    }

    /// Calls `hook` whenever the queue goes from empty to non-empty, on a thread of librdkafka with the queue's lock
    /// held.
    ///
    /// # Safety
    /// `hook` may be called with `opaque` as long as this value lives, from any thread.
    pub(super) unsafe fn hook(&self, hook: Hook, opaque: *mut c_void) {
        // SAFETY: a live queue; hook and opaque by the caller's promise.
        unsafe { rd::rd_kafka_queue_cb_event_enable(self.as_ptr(), Some(hook), opaque) };
    }

    pub(super) fn as_ptr(&self) -> *mut rd::rd_kafka_queue_t {
        self.0.as_ptr()
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the reference is ours and its client is live (see `take`); a null callback switches the hook off.
        unsafe {
            rd::rd_kafka_queue_cb_event_enable(self.as_ptr(), None, ptr::null_mut());
            rd::rd_kafka_queue_destroy(self.as_ptr());
        }
    }
}
