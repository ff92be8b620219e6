//! Error codes, of librdkafka and of brokers, and the one place that turns them into words.
//!
//! Answers pass on whatever number a broker sent, also one this version of librdkafka has no name for. A closed enum
//! could not hold that, so a code is a number here, and only the known ones have names.

use std::ffi::CStr;
use std::fmt;
use std::num::NonZeroI32;

use rdkafka::bindings as rd;
use rdkafka::bindings::rd_kafka_resp_err_t as native;

/// An error code of librdkafka (negative: local) or of a broker (positive). Success is no code: it is `None`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ErrorCode(NonZeroI32);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $native:ident;)*) => {
        impl ErrorCode {
            $($(#[$doc])* pub const $name: Self = Self::known(native::$native);)*
        }
    };
}

codes! {
    /// The producer's queue has no room.
    QUEUE_FULL = RD_KAFKA_RESP_ERR__QUEUE_FULL;
    /// The client is unusable; [`super::producer::Producer::fatal`] tells the cause.
    FATAL = RD_KAFKA_RESP_ERR__FATAL;
    /// Purged before it was sent.
    PURGE_QUEUE = RD_KAFKA_RESP_ERR__PURGE_QUEUE;
    /// Purged while it was in flight: it may have been written.
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
    /// The cluster is too old for what the producer needs.
    UNSUPPORTED_FEATURE = RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE;
    /// The topic's message format cannot hold what the producer sends.
    UNSUPPORTED_FOR_MESSAGE_FORMAT = RD_KAFKA_RESP_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT;
    /// The cluster does not speak the request's version.
    UNSUPPORTED_VERSION = RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION;
    /// An argument is impossible: a bug in the caller.
    INVALID_ARG = RD_KAFKA_RESP_ERR__INVALID_ARG;
    /// Fewer replicas in sync than the topic demands.
    NOT_ENOUGH_REPLICAS = RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS;
    /// No leader for the partition now.
    LEADER_NOT_AVAILABLE = RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
    /// A sequence number did not fit: fatal for an idempotent producer when librdkafka cannot mend it.
    OUT_OF_ORDER_SEQUENCE_NUMBER = RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    /// Partitions are to be assigned: an event of a rebalance, no failure.
    ASSIGN_PARTITIONS = RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
    /// Partitions are to be given up: an event of a rebalance, no failure.
    REVOKE_PARTITIONS = RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS;
    /// Every broker is away.
    ALL_BROKERS_DOWN = RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN;
    /// A batch that cannot be read.
    BAD_MSG = RD_KAFKA_RESP_ERR__BAD_MSG;
    /// A batch that cannot be decompressed.
    BAD_COMPRESSION = RD_KAFKA_RESP_ERR__BAD_COMPRESSION;
    /// A batch in a format, or compressed in a way, this client does not know.
    NOT_IMPLEMENTED = RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED;
    /// A batch that ends too early.
    UNDERFLOW = RD_KAFKA_RESP_ERR__UNDERFLOW;
    /// The broker does not say what went wrong.
    UNKNOWN = RD_KAFKA_RESP_ERR_UNKNOWN;
    /// The broker's disk failed.
    KAFKA_STORAGE_ERROR = RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR;
    /// The client, or a partition, is in no state for the call.
    STATE = RD_KAFKA_RESP_ERR__STATE;
    /// The call collides with another one.
    CONFLICT = RD_KAFKA_RESP_ERR__CONFLICT;
    /// No answer in time, says librdkafka.
    TIMED_OUT = RD_KAFKA_RESP_ERR__TIMED_OUT;
    /// No answer in time, says a broker.
    REQUEST_TIMED_OUT = RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT;
    /// The broker is not the group's coordinator.
    NOT_COORDINATOR = RD_KAFKA_RESP_ERR_NOT_COORDINATOR;
    /// The group does not know this member.
    UNKNOWN_MEMBER_ID = RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID;
    /// Another member has taken this static membership over.
    FENCED_INSTANCE_ID = RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID;
    /// The partitions belong to others by now.
    ASSIGNMENT_LOST = RD_KAFKA_RESP_ERR__ASSIGNMENT_LOST;
    /// The group is rebalancing.
    REBALANCE_IN_PROGRESS = RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS;
    /// The group has rebalanced since.
    ILLEGAL_GENERATION = RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION;
    /// No right to join the group.
    GROUP_AUTHORIZATION_FAILED = RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED;
}

impl ErrorCode {
    /// The code of a number; `None` for 0, which is success.
    #[must_use]
    pub const fn of(number: i32) -> Option<Self> {
        match NonZeroI32::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    const fn known(code: native) -> Self {
        match Self::of(code as i32) {
            Some(code) => code,
            None => panic!("success is no error code"),
        }
    }

    /// Its number, never 0.
    #[must_use]
    pub const fn number(self) -> i32 {
        self.0.get()
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
        unsafe { rd::rd_kafka_get_err_descs(&mut first, &mut count) };
        (0..count).find_map(|index| {
            // SAFETY: `index` lies in the static table of `count` entries. The code is read as a number, because
            // entries without a description are zeroed and an enum must not be read from arbitrary bits. Name and text
            // are NUL terminated static strings where they are not null.
            unsafe {
                let entry = first.add(index);
                let code = (&raw const (*entry).code).cast::<i32>().read();
                let (name, text) = ((*entry).name, (*entry).desc);
                if code != self.number() || name.is_null() || text.is_null() {
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
        write!(f, "{}:{}", self.number(), self.name())
    }
}

/// The code a call returned.
pub(super) fn code(native: native) -> Option<ErrorCode> {
    ErrorCode::of(native as i32)
}

/// Reads a code as a number: what a broker sent may be none of the C enum's members.
///
/// # Safety
/// `at` is the address of a live field of this type.
pub(super) unsafe fn code_at(at: *const native) -> Option<ErrorCode> {
    // SAFETY: valid for reads by the caller's promise; both types have the same size and alignment.
    ErrorCode::of(unsafe { at.cast::<i32>().read() })
}

/// The code of an error object that stays another's.
///
/// # Safety
/// `error` is null or live.
pub(super) unsafe fn code_of(error: *const rd::rd_kafka_error_t) -> Option<ErrorCode> {
    // SAFETY: live by the caller's promise. librdkafka takes null for success.
    code(unsafe { rd::rd_kafka_error_code(error) })
}

/// The code of an error object, which is freed.
///
/// # Safety
/// `error` is null or ours, and is not used again.
pub(super) unsafe fn take_error(error: *mut rd::rd_kafka_error_t) -> Option<ErrorCode> {
    // SAFETY: live and ours by the caller's promise; librdkafka takes null in both calls.
    unsafe {
        let code = code_of(error);
        rd::rd_kafka_error_destroy(error);
        code
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
        let unknown = ErrorCode::of(31_999).expect("an error");
        assert_eq!((unknown.name(), unknown.text(), unknown.number()), ("unknown", "unknown error", 31_999));
        assert_eq!(ErrorCode::of(0), None, "success");
        assert_eq!(size_of::<Option<ErrorCode>>(), 4, "a delivery report stays small");
        assert_eq!(ErrorCode::BAD_MSG.to_string(), "Local: Bad message format (_BAD_MSG)");
    }
}
