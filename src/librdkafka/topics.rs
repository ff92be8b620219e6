//! Topic ids: a topic deleted and made again under its name has another one. Asked through the reply queue.

use std::ffi::{CStr, CString, c_char, c_int};
use std::sync::Arc;

use rdkafka::bindings as rd;

use super::code::code_of;
use super::replies::{AdminOptions, Replies};

/// A topic's id; brokers before 2.8 have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId {
    high: i64,
    low: i64,
}

/// Answer to a question for topic ids: topics that exist and have one. Empty as well when nobody answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicsAnswer {
    /// Id by topic.
    pub topics: Vec<(Arc<str>, TopicId)>,
}

/// Asks for the ids of topics.
///
/// # Safety
/// `rk` is live and `replies` belongs to it.
pub(super) unsafe fn ask(rk: *mut rd::rd_kafka_t, replies: &Replies, topics: &[Arc<str>], timeout_ms: c_int) {
    let names: Vec<CString> = topics.iter().filter_map(|topic| CString::new(topic.as_bytes()).ok()).collect();
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    // SAFETY: as promised; the collection copies the names, the request copies collection and options.
    unsafe {
        let operation = rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        let Some(options) = AdminOptions::new(rk, operation, timeout_ms, 0) else { return };
        let collection = rd::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        rd::rd_kafka_DescribeTopics(rk, collection, options.as_ptr(), replies.as_ptr());
        rd::rd_kafka_TopicCollection_destroy(collection);
    }
}

/// # Safety
/// `event` is a live DescribeTopics result.
pub(super) unsafe fn read(event: *mut rd::rd_kafka_event_t) -> TopicsAnswer {
    let mut topics = Vec::new();
    // SAFETY: as promised; descriptions, names and ids belong to the event.
    unsafe {
        let result = rd::rd_kafka_event_DescribeTopics_result(event);
        let mut count = 0;
        let found = rd::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        for index in 0..if found.is_null() { 0 } else { count } {
            let topic = *found.add(index);
            if code_of(rd::rd_kafka_TopicDescription_error(topic)).is_some() {
                continue;
            }
            let id = rd::rd_kafka_TopicDescription_topic_id(topic);
            if id.is_null() {
                continue;
            }
            let high = rd::rd_kafka_Uuid_most_significant_bits(id);
            let low = rd::rd_kafka_Uuid_least_significant_bits(id);
            if (high, low) != (0, 0) {
                let name = CStr::from_ptr(rd::rd_kafka_TopicDescription_name(topic)).to_string_lossy();
                topics.push((Arc::from(name), TopicId { high, low }));
            }
        }
    }
    TopicsAnswer { topics }
}

#[cfg(test)]
impl TopicId {
    /// An id for tests of those who compare them.
    pub(crate) fn test(low: i64) -> Self {
        Self { high: 1, low }
    }
}
