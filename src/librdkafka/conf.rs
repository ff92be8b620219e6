//! A client configuration under construction.

use std::ffi::{CStr, CString};
use std::os::raw::c_char;

use rdkafka::bindings as rd;

/// Owns an `rd_kafka_conf_t` until a client takes it.
pub(super) struct Conf {
    ptr: *mut rd::rd_kafka_conf_t,
}

/// A property librdkafka refused. The value is not part of the message: it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("librdkafka refuses property `{name}`: {reason}")]
pub struct RefusedProperty {
    /// Property name.
    pub name: String,
    /// librdkafka's words, without the value.
    pub reason: String,
}

impl Conf {
    pub(super) fn new() -> Self {
        // SAFETY: no preconditions; the result is owned by `Self` until `into_raw`.
        Self { ptr: unsafe { rd::rd_kafka_conf_new() } }
    }

    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), RefusedProperty> {
        let refused = |reason: &str| RefusedProperty { name: name.to_owned(), reason: reason.to_owned() };
        let c_name = CString::new(name).map_err(|_| refused("the name holds a NUL byte"))?;
        let c_value = CString::new(value).map_err(|_| refused("the value holds a NUL byte"))?;
        let mut text: [c_char; 512] = [0; 512];
        // SAFETY: `ptr` is a live conf, both strings are NUL-terminated and outlive the call, `text` has the size given.
        let result = unsafe {
            rd::rd_kafka_conf_set(self.ptr, c_name.as_ptr(), c_value.as_ptr(), text.as_mut_ptr(), text.len())
        };
        if result == rd::rd_kafka_conf_res_t::RD_KAFKA_CONF_OK {
            return Ok(());
        }
        // SAFETY: librdkafka NUL-terminates within the size given; the buffer was zeroed.
        let said = unsafe { CStr::from_ptr(text.as_ptr()) }.to_string_lossy().into_owned();
        let hidden = if value.len() > 3 { said.replace(value, "…") } else { said };
        Err(refused(&hidden))
    }

    pub(super) fn as_ptr(&self) -> *mut rd::rd_kafka_conf_t {
        self.ptr
    }

    /// Hands the conf to a client that was created from it; the client frees it.
    pub(super) fn taken(mut self) {
        self.ptr = std::ptr::null_mut();
    }
}

impl Drop for Conf {
    fn drop(&mut self) {
        if !self.ptr.is_null() {
            // SAFETY: still owned by us: no client took it.
            unsafe { rd::rd_kafka_conf_destroy(self.ptr) };
        }
    }
}
