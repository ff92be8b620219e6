//! librdkafka's error codes as plain numbers.
//!
//! A delivery report passes on whatever number a broker sent, also one this version of librdkafka has no name for. A
//! closed Rust enum could not hold that, so a code stays a number here and only the known ones have names.

use std::ffi::CStr;
use std::fmt;

use rdkafka::bindings as rk;
use rdkafka::bindings::rd_kafka_resp_err_t as native;

/// An error code of librdkafka (negative: local) or of a broker (positive). [`ErrorCode::NONE`] is success.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ErrorCode(pub i32);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $native:ident;)*) => {
        impl ErrorCode {
            $($(#[$doc])* pub const $name: Self = Self(native::$native as i32);)*
        }
    };
}

codes! {
    /// No error.
    NONE = RD_KAFKA_RESP_ERR_NO_ERROR;
    /// The producer's queue has no room.
    QUEUE_FULL = RD_KAFKA_RESP_ERR__QUEUE_FULL;
    /// The client is unusable; [`super::Producer::fatal`] tells the cause.
    FATAL = RD_KAFKA_RESP_ERR__FATAL;
    /// Purged before it was sent.
    PURGE_QUEUE = RD_KAFKA_RESP_ERR__PURGE_QUEUE;
    /// Purged while it was on the wire: it may have been written.
    PURGE_INFLIGHT = RD_KAFKA_RESP_ERR__PURGE_INFLIGHT;
    /// Expired.
    MSG_TIMED_OUT = RD_KAFKA_RESP_ERR__MSG_TIMED_OUT;
    /// Another record of the same batch was refused.
    INVALID_DIFFERENT_RECORD = RD_KAFKA_RESP_ERR__INVALID_DIFFERENT_RECORD;
    /// The topic is not in the cluster's metadata.
    UNKNOWN_TOPIC = RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
    /// The partition is not in the cluster's metadata.
    UNKNOWN_PARTITION = RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION;
    /// The broker does not know the topic or partition.
    UNKNOWN_TOPIC_OR_PART = RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    /// The broker calls the topic's name invalid.
    TOPIC_EXCEPTION = RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION;
    /// A record or batch is too large: for the client when refused at produce, else for the broker.
    MSG_SIZE_TOO_LARGE = RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
    /// A batch is larger than a log segment.
    RECORD_LIST_TOO_LARGE = RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE;
    /// The broker's validation refused the record.
    INVALID_RECORD = RD_KAFKA_RESP_ERR_INVALID_RECORD;
    /// The broker calls the message corrupt; brokers before 2.4 say so of a null key in a compacted topic.
    INVALID_MSG = RD_KAFKA_RESP_ERR_INVALID_MSG;
    /// The record's timestamp is outside the topic's bounds.
    INVALID_TIMESTAMP = RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP;
    /// No right to write the topic.
    TOPIC_AUTHORIZATION_FAILED = RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    /// No right on the cluster, such as idempotent writes.
    CLUSTER_AUTHORIZATION_FAILED = RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED;
    /// No right on the transactional id.
    TRANSACTIONAL_ID_AUTHORIZATION_FAILED = RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
    /// Credentials refused by the broker's SASL layer.
    SASL_AUTHENTICATION_FAILED = RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED;
    /// Credentials refused.
    AUTHENTICATION = RD_KAFKA_RESP_ERR__AUTHENTICATION;
    /// The TLS handshake failed.
    SSL = RD_KAFKA_RESP_ERR__SSL;
    /// The cluster is too old for what the producer needs.
    UNSUPPORTED_FEATURE = RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE;
    /// The topic's message format cannot hold what the producer sends.
    UNSUPPORTED_FOR_MESSAGE_FORMAT = RD_KAFKA_RESP_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT;
    /// The cluster does not speak the request's version.
    UNSUPPORTED_VERSION = RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION;
    /// An argument is impossible: a bug in the caller.
    INVALID_ARG = RD_KAFKA_RESP_ERR__INVALID_ARG;
    /// A generic local failure.
    FAIL = RD_KAFKA_RESP_ERR__FAIL;
    /// Fewer replicas in sync than the topic demands.
    NOT_ENOUGH_REPLICAS = RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS;
    /// No leader for the partition now.
    LEADER_NOT_AVAILABLE = RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
    /// A sequence number did not fit: fatal for an idempotent producer when librdkafka cannot mend it.
    OUT_OF_ORDER_SEQUENCE_NUMBER = RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
}

impl ErrorCode {
    /// Whether this is success.
    #[must_use]
    pub fn is_none(self) -> bool {
        self == Self::NONE
    }

    /// What librdkafka says about the code; `unknown error` for one it does not know.
    #[must_use]
    pub fn text(self) -> &'static str {
        self.description().map_or("unknown error", |(_, text)| text)
    }

    /// The code's symbolic name; `unknown` for one librdkafka does not know.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.description().map_or("unknown", |(name, _)| name)
    }

    fn description(self) -> Option<(&'static str, &'static str)> {
        let mut first = std::ptr::null();
        let mut count = 0;
        // SAFETY: both arguments are valid for writes; the call only stores the address and length of a static table.
        unsafe { rk::rd_kafka_get_err_descs(&mut first, &mut count) };
        (0..count).find_map(|index| {
            // SAFETY: `index` lies in the static table of `count` entries. The code is read as a number, because entries
            // without a description are zeroed and an enum must not be read from arbitrary bits. Name and text are NUL
            // terminated static strings where they are not null.
            unsafe {
                let entry = first.add(index);
                let code = (&raw const (*entry).code).cast::<i32>().read();
                let (name, text) = ((*entry).name, (*entry).desc);
                if code != self.0 || name.is_null() || text.is_null() {
                    return None;
                }
                Some((CStr::from_ptr(name).to_str().ok()?, CStr::from_ptr(text).to_str().ok()?))
            }
        })
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.text(), self.name())
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0, self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_codes_have_names_and_unknown_ones_do_not_fail() {
        assert_eq!(ErrorCode::QUEUE_FULL.name(), "_QUEUE_FULL");
        assert_eq!(ErrorCode::MSG_SIZE_TOO_LARGE.name(), "MSG_SIZE_TOO_LARGE");
        assert!(ErrorCode::UNKNOWN_TOPIC.text().contains("topic"));
        assert_eq!((ErrorCode(31_999).name(), ErrorCode(31_999).text()), ("unknown", "unknown error"));
    }
}
