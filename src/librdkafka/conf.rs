//! A client configuration under construction, and what may go wrong before there is a client.

use std::ffi::CString;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

use rdkafka::bindings as rd;

use super::code::ErrorCode;
use super::native::TextBuffer;

/// Why a client could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// A property is unknown, not built in, or its value wrong. The value is not part of the message: it may be a
    /// secret.
    #[error("librdkafka refuses property `{name}`: {reason}")]
    Property {
        /// Its name.
        name: String,
        /// librdkafka's words, without the value.
        reason: String,
    },
    /// librdkafka refused the client.
    #[error("librdkafka cannot make a {kind}: {reason}")]
    Client {
        /// Consumer or producer.
        kind: &'static str,
        /// librdkafka's words.
        reason: String,
    },
    /// The subscription was refused.
    #[error("cannot subscribe to {topics}: {code}")]
    Subscribe {
        /// The topics.
        topics: String,
        /// Why.
        code: ErrorCode,
    },
}

/// Which client a configuration is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientKind {
    Consumer,
    Producer,
}

/// Owns an `rd_kafka_conf_t` until a client takes it.
pub(super) struct Conf(NonNull<rd::rd_kafka_conf_t>);

impl Conf {
    pub(super) fn new() -> Self {
        // SAFETY: no preconditions; the result is ours.
        match NonNull::new(unsafe { rd::rd_kafka_conf_new() }) {
            Some(conf) => Self(conf),
            None => unreachable!("rd_kafka_conf_new never returns null"),
        }
    }

    /// Sets a property; later ones win.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), OpenError> {
        self.try_set(name, value).map_err(|words| {
            let words = words.unwrap_or_else(|| "name or value holds a NUL byte".to_owned());
            // Shorter values are no secrets, and would be found inside of words.
            let reason = if value.len() > 3 { words.replace(value, "…") } else { words };
            OpenError::Property { name: name.to_owned(), reason }
        })
    }

    /// Sets a property. What is wrong in librdkafka's words, which may quote the value; `None` where it was not asked,
    /// because a NUL byte cannot be passed on.
    pub(super) fn try_set(&mut self, name: &str, value: &str) -> Result<(), Option<String>> {
        let name = CString::new(name).map_err(|_| None)?;
        let value = CString::new(value).map_err(|_| None)?;
        let mut text = TextBuffer::new();
        // SAFETY: a live conf; both strings are NUL-terminated and copied; the buffer has the length given.
        let result = unsafe {
            rd::rd_kafka_conf_set(self.as_ptr(), name.as_ptr(), value.as_ptr(), text.as_mut_ptr(), text.len())
        };
        if result == rd::rd_kafka_conf_res_t::RD_KAFKA_CONF_OK { Ok(()) } else { Err(Some(text.text())) }
    }

    /// For the setters of callbacks.
    pub(super) fn as_ptr(&self) -> *mut rd::rd_kafka_conf_t {
        self.0.as_ptr()
    }

    /// Makes a client, which is the caller's to destroy.
    pub(super) fn into_client(self, kind: ClientKind) -> Result<NonNull<rd::rd_kafka_t>, OpenError> {
        let (native, kind) = match kind {
            ClientKind::Consumer => (rd::rd_kafka_type_t::RD_KAFKA_CONSUMER, "consumer"),
            ClientKind::Producer => (rd::rd_kafka_type_t::RD_KAFKA_PRODUCER, "producer"),
        };
        let conf = ManuallyDrop::new(self);
        let mut text = TextBuffer::new();
        // SAFETY: a live conf, which a client takes over and a failure leaves to us; the buffer has the length given.
        let made = unsafe { rd::rd_kafka_new(native, conf.as_ptr(), text.as_mut_ptr(), text.len()) };
        NonNull::new(made).ok_or_else(|| {
            drop(ManuallyDrop::into_inner(conf));
            OpenError::Client { kind, reason: text.text() }
        })
    }
}

impl Drop for Conf {
    fn drop(&mut self) {
        // SAFETY: still ours: no client took it.
        unsafe { rd::rd_kafka_conf_destroy(self.as_ptr()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_is_told_without_its_value() {
        let mut conf = Conf::new();
        assert_eq!(conf.set("linger.ms", "5"), Ok(()));
        let refused = conf.set("linger.ms", "canary-4711").expect_err("no number");
        let text = refused.to_string();
        assert!(text.contains("`linger.ms`") && !text.contains("canary"), "{text}");
        assert!(conf.set("no.such.property", "1").is_err_and(|error| error.to_string().contains("no.such.property")));
        assert!(conf.set("group.id", "a\0b").is_err_and(|error| error.to_string().contains("NUL")));
    }

    #[test]
    fn a_client_that_cannot_be_made_leaves_its_configuration_to_be_freed() {
        let mut conf = Conf::new();
        conf.set("enable.idempotence", "true").expect("set");
        conf.set("acks", "1").expect("set");
        let error = conf.into_client(ClientKind::Producer).expect_err("they do not go together");
        assert!(error.to_string().starts_with("librdkafka cannot make a producer: "), "{error}");
    }
}
