//! Questions that are answered through a reply queue: commits, committed offsets, the ends of partitions. No blocking
//! call.

use std::ffi::{CStr, CString, c_int, c_void};
use std::ptr::NonNull;

use rdkafka::bindings as rd;

use super::code::{ErrorCode, code, code_of, take_error};
use super::list::{List, PartitionAnswer, read_element, read_list};
use super::native::{Hook, Queue};
use super::topics::{self, TopicsAnswer};
use crate::model::TopicPartition;

/// Answer to a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitAnswer {
    /// The request's number.
    pub request: u64,
    /// Overall error; `None` also when only some partitions failed.
    pub error: Option<ErrorCode>,
    /// Every partition with its own error.
    pub partitions: Vec<PartitionAnswer>,
}

/// Which offsets were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OffsetKind {
    /// The group's committed positions ([`super::NO_OFFSET`] where there is none).
    Committed,
    /// The oldest record's offset.
    Earliest,
    /// The last stable offset: the end of what a read-committed consumer may read.
    Latest,
    /// The first offset whose timestamp is not before a time; [`super::NO_OFFSET`] or -1 when there is none.
    Since {
        /// Milliseconds since the epoch.
        unix_ms: i64,
    },
}

/// Answer to a question for offsets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetsAnswer {
    /// The request's number.
    pub request: u64,
    /// What was asked.
    pub kind: OffsetKind,
    /// Offsets by partition, or why there are none.
    pub result: Result<Vec<PartitionAnswer>, ErrorCode>,
}

/// Anything that comes out of the reply queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A commit was answered.
    Commit(CommitAnswer),
    /// A question for offsets was answered.
    Offsets(OffsetsAnswer),
    /// A question for topic ids was answered.
    Topics(TopicsAnswer),
}

/// A client's reply queue.
pub(super) struct Replies {
    queue: Queue,
}

impl Replies {
    /// A new queue, with its hook.
    ///
    /// # Safety
    /// `rk` is a live client that outlives the queue, and `hook` may be called with `opaque` as long as the queue
    /// lives.
    pub(super) unsafe fn new(rk: *mut rd::rd_kafka_t, hook: Hook, opaque: *mut c_void) -> Self {
        // SAFETY: as promised; librdkafka aborts on out-of-memory.
        match unsafe { Queue::take(rd::rd_kafka_queue_new(rk)) } {
            Some(queue) => {
                // SAFETY: as promised.
                unsafe { queue.hook(hook, opaque) };
                Self { queue }
            }
            None => unreachable!("rd_kafka_queue_new never returns null"),
        }
    }

    pub(super) fn as_ptr(&self) -> *mut rd::rd_kafka_queue_t {
        self.queue.as_ptr()
    }

    /// The next answer, if one is there.
    pub(super) fn poll(&mut self) -> Option<Reply> {
        loop {
            // SAFETY: the queue is live; the event is owned by us and destroyed below.
            let event = NonNull::new(unsafe { rd::rd_kafka_queue_poll(self.queue.as_ptr(), 0) })?;
            // SAFETY: a live event.
            let reply = unsafe { read_event(event.as_ptr()) };
            // SAFETY: owned, destroyed once; everything was copied out.
            unsafe { rd::rd_kafka_event_destroy(event.as_ptr()) };
            if reply.is_some() {
                return reply;
            }
        }
    }
}

/// # Safety
/// `event` is live.
unsafe fn read_event(event: *mut rd::rd_kafka_event_t) -> Option<Reply> {
    // SAFETY: live event; every pointer read lives as long as the event.
    unsafe {
        let request = rd::rd_kafka_event_opaque(event) as u64;
        let error = code(rd::rd_kafka_event_error(event));
        match rd::rd_kafka_event_type(event) {
            rd::RD_KAFKA_EVENT_OFFSET_COMMIT => {
                let partitions = read_list(rd::rd_kafka_event_topic_partition_list(event));
                Some(Reply::Commit(CommitAnswer { request, error, partitions }))
            }
            rd::RD_KAFKA_EVENT_LISTCONSUMERGROUPOFFSETS_RESULT => {
                let result = error.map_or_else(|| read_committed(event), Err);
                Some(Reply::Offsets(OffsetsAnswer { request, kind: OffsetKind::Committed, result }))
            }
            rd::RD_KAFKA_EVENT_LISTOFFSETS_RESULT => {
                let result = error.map_or_else(|| Ok(read_ends(event)), Err);
                let kind = match request >> KIND_SHIFT {
                    0 => OffsetKind::Latest,
                    1 => OffsetKind::Earliest,
                    _ => OffsetKind::Since { unix_ms: 0 },
                };
                Some(Reply::Offsets(OffsetsAnswer { request: request & !(3 << KIND_SHIFT), kind, result }))
            }
            rd::RD_KAFKA_EVENT_DESCRIBETOPICS_RESULT => Some(Reply::Topics(topics::read(event))),
            _ => None,
        }
    }
}

/// The kinds of ListOffsets are told apart in the opaque's top bits, above the request number.
const KIND_SHIFT: u32 = 60;

/// # Safety
/// `event` is a live ListConsumerGroupOffsets result without an overall error.
unsafe fn read_committed(event: *mut rd::rd_kafka_event_t) -> Result<Vec<PartitionAnswer>, ErrorCode> {
    // SAFETY: as promised; groups and lists belong to the event.
    unsafe {
        let result = rd::rd_kafka_event_ListConsumerGroupOffsets_result(event);
        let mut count = 0;
        let groups = rd::rd_kafka_ListConsumerGroupOffsets_result_groups(result, &raw mut count);
        if groups.is_null() || count == 0 {
            return Ok(Vec::new());
        }
        let group = *groups;
        match code_of(rd::rd_kafka_group_result_error(group)) {
            Some(error) => Err(error),
            None => Ok(read_list(rd::rd_kafka_group_result_partitions(group))),
        }
    }
}

/// # Safety
/// `event` is a live ListOffsets result without an overall error.
unsafe fn read_ends(event: *mut rd::rd_kafka_event_t) -> Vec<PartitionAnswer> {
    // SAFETY: as promised; the infos belong to the event.
    unsafe {
        let result = rd::rd_kafka_event_ListOffsets_result(event);
        let mut count = 0;
        let infos = rd::rd_kafka_ListOffsets_result_infos(result, &raw mut count);
        (0..if infos.is_null() { 0 } else { count })
            .map(|index| read_element(rd::rd_kafka_ListOffsetsResultInfo_topic_partition(*infos.add(index))))
            .collect()
    }
}

/// Options of an admin request; freed on drop.
pub(super) struct AdminOptions(NonNull<rd::rd_kafka_AdminOptions_t>);

impl AdminOptions {
    /// # Safety
    /// `rk` is a live client.
    pub(super) unsafe fn new(
        rk: *mut rd::rd_kafka_t,
        kind: rd::rd_kafka_admin_op_t,
        timeout_ms: c_int,
        opaque: u64,
    ) -> Option<Self> {
        let mut text = [0; 256];
        // SAFETY: live client; `text` has the size given; the opaque is a number, never dereferenced.
        unsafe {
            let options = Self(NonNull::new(rd::rd_kafka_AdminOptions_new(rk, kind))?);
            rd::rd_kafka_AdminOptions_set_request_timeout(
                options.0.as_ptr(),
                timeout_ms,
                text.as_mut_ptr(),
                text.len(),
            );
            rd::rd_kafka_AdminOptions_set_opaque(options.0.as_ptr(), opaque as *mut c_void);
            Some(options)
        }
    }

    pub(super) fn as_ptr(&self) -> *const rd::rd_kafka_AdminOptions_t {
        self.0.as_ptr()
    }
}

impl Drop for AdminOptions {
    fn drop(&mut self) {
        // SAFETY: owned; librdkafka copied it into the request.
        unsafe { rd::rd_kafka_AdminOptions_destroy(self.0.as_ptr()) };
    }
}

/// The most librdkafka allows. A question to the group's coordinator that runs out of time while the coordinator is
/// away loses its last reference twice when the coordinator comes back, and aborts the process (librdkafka 2.12,
/// `rd_kafka_admin_coord_request`). A connection that goes silent ends it sooner, with an error; who asks has a
/// deadline of its own.
const COORDINATOR_WITHIN_MS: c_int = 3_600_000;

/// Asks for the group's committed positions. Answered when the coordinator can be reached, at most an hour later.
///
/// # Safety
/// `rk` is live and `replies` belongs to it.
pub(super) unsafe fn ask_committed(
    rk: *mut rd::rd_kafka_t,
    replies: &Replies,
    group: &CStr,
    partitions: &[TopicPartition],
    request: u64,
) {
    let list = List::new(partitions.iter().map(|name| (name, super::NO_OFFSET)));
    // SAFETY: as promised; the request copies group, list and options.
    unsafe {
        let kind = rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS;
        let Some(options) = AdminOptions::new(rk, kind, COORDINATOR_WITHIN_MS, request) else { return };
        let mut question = rd::rd_kafka_ListConsumerGroupOffsets_new(group.as_ptr(), list.as_ptr());
        rd::rd_kafka_ListConsumerGroupOffsets(rk, &raw mut question, 1, options.0.as_ptr(), replies.as_ptr());
        rd::rd_kafka_ListConsumerGroupOffsets_destroy(question);
    }
}

/// Asks for the earliest or the last stable offsets, or those of a time.
///
/// # Safety
/// `rk` is live and `replies` belongs to it.
pub(super) unsafe fn ask_ends(
    rk: *mut rd::rd_kafka_t,
    replies: &Replies,
    kind: OffsetKind,
    partitions: &[TopicPartition],
    timeout_ms: c_int,
    request: u64,
) {
    let (spec, mark) = match kind {
        OffsetKind::Earliest => (-2, 1),
        OffsetKind::Latest | OffsetKind::Committed => (-1, 0),
        OffsetKind::Since { unix_ms } => (unix_ms.max(0), 2),
    };
    let list = List::new(partitions.iter().map(|name| (name, spec)));
    // SAFETY: as promised; the request copies list and options.
    unsafe {
        let operation = rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS;
        let opaque = request | (mark << KIND_SHIFT);
        let Some(options) = AdminOptions::new(rk, operation, timeout_ms, opaque) else { return };
        take_error(rd::rd_kafka_AdminOptions_set_isolation_level(
            options.0.as_ptr(),
            rd::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED,
        ));
        rd::rd_kafka_ListOffsets(rk, list.as_ptr(), options.0.as_ptr(), replies.as_ptr());
    }
}

/// A group name for librdkafka; a NUL byte cannot be part of one.
pub(super) fn group_name(group: &str) -> CString {
    CString::new(group.replace('\0', "")).unwrap_or_default()
}
