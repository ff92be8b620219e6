//! Lists of topic partitions with offsets, to and from librdkafka.

use std::ffi::{CStr, CString};
use std::ptr::NonNull;
use std::sync::Arc;

use rdkafka::bindings as rd;

use super::code::{ErrorCode, code_at};
use crate::model::TopicPartition;

/// librdkafka's "no offset" (`RD_KAFKA_OFFSET_INVALID`).
pub const NO_OFFSET: i64 = -1001;
/// Start at the group's committed offset (`RD_KAFKA_OFFSET_STORED`).
pub const START_STORED: i64 = -1000;
/// Start at the oldest record (`RD_KAFKA_OFFSET_BEGINNING`).
pub const START_EARLIEST: i64 = -2;

/// One partition's part of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionAnswer {
    /// Which partition.
    pub name: TopicPartition,
    /// The offset in the answer; negative when there is none.
    pub offset: i64,
    /// The partition's own error, when it has one. The overall result may be fine all the same.
    pub error: Option<ErrorCode>,
}

/// An owned `rd_kafka_topic_partition_list_t`.
pub(super) struct List(NonNull<rd::rd_kafka_topic_partition_list_t>);

impl List {
    pub(super) fn new<'a>(entries: impl IntoIterator<Item = (&'a TopicPartition, i64)>) -> Self {
        let mut list = Self::empty();
        for (name, offset) in entries {
            list.push(name, offset);
        }
        list
    }

    pub(super) fn empty() -> Self {
        // SAFETY: no preconditions; librdkafka aborts on out-of-memory, so the result is never null.
        let ptr = unsafe { rd::rd_kafka_topic_partition_list_new(8) };
        match NonNull::new(ptr) {
            Some(ptr) => Self(ptr),
            None => unreachable!("rd_kafka_topic_partition_list_new never returns null"),
        }
    }

    /// Adds an entry. A topic name with a NUL byte cannot exist in Kafka and is left out.
    pub(super) fn push(&mut self, name: &TopicPartition, offset: i64) {
        let Ok(topic) = CString::new(&*name.topic) else { return };
        // SAFETY: the list is live; librdkafka copies the name; the returned element lives as long as the list is
        // unchanged.
        unsafe {
            let entry = rd::rd_kafka_topic_partition_list_add(self.as_ptr(), topic.as_ptr(), name.partition);
            (*entry).offset = offset;
        }
    }

    pub(super) fn as_ptr(&self) -> *mut rd::rd_kafka_topic_partition_list_t {
        self.0.as_ptr()
    }

    pub(super) fn read(&self) -> Vec<PartitionAnswer> {
        // SAFETY: the list is live and owned by us.
        unsafe { read_list(self.as_ptr()) }
    }
}

impl Drop for List {
    fn drop(&mut self) {
        // SAFETY: owned; destroyed once.
        unsafe { rd::rd_kafka_topic_partition_list_destroy(self.as_ptr()) };
    }
}

/// Copies a list that librdkafka owns.
///
/// # Safety
/// `list` is null or points to a live list that nobody changes during the call.
pub(super) unsafe fn read_list(list: *const rd::rd_kafka_topic_partition_list_t) -> Vec<PartitionAnswer> {
    if list.is_null() {
        return Vec::new();
    }
    // SAFETY: live by the caller's promise; `elems` holds `cnt` elements, each of them live.
    unsafe {
        let count = usize::try_from((*list).cnt).unwrap_or(0);
        (0..count).map(|index| read_element((*list).elems.add(index))).collect()
    }
}

/// Copies one element. Its error is read as a number: a broker's may be one the C enum does not have.
///
/// # Safety
/// `element` points to a live element whose topic is a NUL-terminated string.
pub(super) unsafe fn read_element(element: *const rd::rd_kafka_topic_partition_t) -> PartitionAnswer {
    // SAFETY: live by the caller's promise.
    let (topic, partition, offset, error) = unsafe {
        let error = code_at(&raw const (*element).err);
        (CStr::from_ptr((*element).topic), (*element).partition, (*element).offset, error)
    };
    PartitionAnswer { name: TopicPartition { topic: Arc::from(topic.to_string_lossy()), partition }, offset, error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        let names: Vec<_> = (0..20).map(|partition| TopicPartition { topic: "t".into(), partition }).collect();
        let list = List::new(names.iter().map(|name| (name, i64::from(name.partition) * 10)));
        let read = list.read();
        assert_eq!(read.len(), 20);
        assert_eq!((&read[7].name, read[7].offset, read[7].error), (&names[7], 70, None));
        assert!(List::empty().read().is_empty());
    }
}
