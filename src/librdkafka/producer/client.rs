//! The native client of a producer: making it, the calls that need more than one line of C, destroying it.

#![expect(unsafe_code, reason = "the librdkafka component; every block says why it is sound")]

use std::ffi::{c_char, c_void};
use std::ptr;

use rdkafka::bindings as rd;

use super::PARTITION_UNASSIGNED;
use super::callbacks::{self, Inbox};
use super::message::{self, Message, Span};
use crate::librdkafka::OpenError;
use crate::librdkafka::code::{ErrorCode, code, code_at, take_error};
use crate::librdkafka::conf::{ClientKind, Conf};
use crate::librdkafka::native::Queue;

/// The client's parts, in the order they are given up.
pub(super) struct ProducerClient {
    pub(super) handle: *mut rd::rd_kafka_t,
    pub(super) main_queue: Option<Queue>,
    pub(super) inbox: *mut Inbox,
}

// SAFETY: librdkafka's handles may be used from any thread. The raw pointers are owned by this value alone, and all
// uses go through `&mut self` or by value.
unsafe impl Send for ProducerClient {}
impl ProducerClient {
    pub(super) fn new(conf: Conf, inbox: Inbox) -> Result<Self, OpenError> {
        let inbox = Box::into_raw(Box::new(inbox));
        // SAFETY: `conf` is live. `inbox` lives until the client is destroyed. The callbacks have the types these
        // setters take.
        unsafe {
            let conf = conf.as_ptr();
            rd::rd_kafka_conf_set_opaque(conf, inbox.cast::<c_void>());
            rd::rd_kafka_conf_set_dr_msg_cb(conf, Some(callbacks::on_delivery));
            rd::rd_kafka_conf_set_error_cb(conf, Some(callbacks::on_error));
            rd::rd_kafka_conf_set_log_cb(conf, Some(callbacks::on_log));
        }
        let handle = match conf.into_client(ClientKind::Producer) {
            Ok(client) => client.as_ptr(),
            Err(error) => {
                // SAFETY: no client was made, so nobody else knows the inbox's address.
                drop(unsafe { Box::from_raw(inbox) });
                return Err(error);
            }
        };
        // SAFETY: the handle is live; a null queue means the main queue, which `serve` polls. The queue goes before the
        // client, and the hook's opaque after it.
        let main_queue = unsafe {
            rd::rd_kafka_set_log_queue(handle, ptr::null_mut());
            let queue = Queue::take(rd::rd_kafka_queue_get_main(handle));
            queue.iter().for_each(|queue| queue.hook(callbacks::on_ready, inbox.cast::<c_void>()));
            queue
        };
        Ok(Self { handle, main_queue, inbox })
    }

    /// rd_kafka_produceva: the only call that carries headers and timestamps.
    pub(super) fn produce_full(
        &mut self,
        topic: *mut rd::rd_kafka_topic_t,
        payload: &[u8],
        message: &Message,
        opaque: *mut c_void,
    ) -> Result<(), ErrorCode> {
        let (Ok(value), Ok(key)) = (pointer(payload, message.value), pointer(payload, message.key)) else {
            return Err(ErrorCode::INVALID_ARG);
        };
        let headers = message.headers.map(|span| native_headers(payload, span)).transpose()?;
        let mut fields = [field(rd::rd_kafka_vtype_t::RD_KAFKA_VTYPE_RKT, PropertyValue { rkt: topic }); 6];
        fields[1] = field(rd::rd_kafka_vtype_t::RD_KAFKA_VTYPE_VALUE, PropertyValue { mem: memory(value) });
        fields[2] = field(rd::rd_kafka_vtype_t::RD_KAFKA_VTYPE_KEY, PropertyValue { mem: memory(key) });
        fields[3] = field(rd::rd_kafka_vtype_t::RD_KAFKA_VTYPE_OPAQUE, PropertyValue { ptr: opaque });
        // A timestamp of 0 is librdkafka's word for now, too.
        let timestamp = message.timestamp_ms.unwrap_or_default();
        fields[4] = field(rd::rd_kafka_vtype_t::RD_KAFKA_VTYPE_TIMESTAMP, PropertyValue { i64_: timestamp });
        let mut count = 5;
        if let Some(headers) = headers {
            fields[5] = field(rd::rd_kafka_vtype_t::RD_KAFKA_VTYPE_HEADERS, PropertyValue { headers });
            count = 6;
        }
        // SAFETY: every field holds the union member its type names. Payload and key point into a lent buffer, which
        // stays until the report; the key is copied by the call. On success the headers belong to librdkafka; an error
        // is ours.
        let error = unsafe { take_error(rd::rd_kafka_produceva(self.handle, fields.as_ptr(), count)) };
        let Some(error) = error else { return Ok(()) };
        if let Some(headers) = headers {
            // SAFETY: the call failed, so the headers are still ours; they are destroyed once.
            unsafe { rd::rd_kafka_headers_destroy(headers) };
        }
        Err(error)
    }

    /// Destroys the client; blocks until all its threads have ended.
    pub(super) fn destroy(self) {
        // In the order librdkafka asks for: the queue with its hook, then the client.
        drop(self.main_queue);
        // SAFETY: handle and inbox are live and given up here, once. The inbox goes last, because callbacks may run
        // until the destruction returns.
        unsafe {
            rd::rd_kafka_destroy(self.handle);
            drop(Box::from_raw(self.inbox));
        }
    }
}

type PropertyValue = rd::rd_kafka_vu_s__bindgen_ty_1;

fn field(vtype: rd::rd_kafka_vtype_t, u: PropertyValue) -> rd::rd_kafka_vu_t {
    rd::rd_kafka_vu_s { vtype, u }
}

fn memory((ptr, size): (*mut c_void, usize)) -> rd::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 {
    rd::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 { ptr, size }
}

/// Address and length of a span; null for none. An empty span has an address, for empty is not null.
fn pointer(payload: &[u8], span: Option<Span>) -> Result<(*mut c_void, usize), ()> {
    let Some(span) = span else { return Ok((ptr::null_mut(), 0)) };
    let bytes = span.of(payload).ok_or(())?;
    Ok((bytes.as_ptr().cast_mut().cast::<c_void>(), bytes.len()))
}

/// A message as the batch call takes it. Spans outside the payload make one that the call refuses as too large without
/// following a pointer.
pub(super) fn native_message(payload: &[u8], message: &Message, opaque: *mut c_void) -> rd::rd_kafka_message_t {
    let (value, key) = match (pointer(payload, message.value), pointer(payload, message.key)) {
        (Ok(value), Ok(key)) => (value, key),
        _ => ((ptr::dangling_mut::<u8>().cast::<c_void>(), usize::MAX), (ptr::null_mut(), 0)),
    };
    rd::rd_kafka_message_t {
        err: rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR,
        rkt: ptr::null_mut(),
        partition: PARTITION_UNASSIGNED,
        payload: value.0,
        len: value.1,
        key: key.0,
        key_len: key.1,
        offset: 0,
        _private: opaque,
    }
}

fn native_headers(payload: &[u8], span: Span) -> Result<*mut rd::rd_kafka_headers_t, ErrorCode> {
    let bytes = span.of(payload).ok_or(ErrorCode::INVALID_ARG)?;
    // SAFETY: has no preconditions; never returns null.
    let list = unsafe { rd::rd_kafka_headers_new(8) };
    for header in message::headers(bytes) {
        let added = header.is_ok_and(|(name, value)| {
            let value_address = value.map_or(ptr::null(), <[u8]>::as_ptr).cast::<c_void>();
            // SAFETY: the list is live and ours; name and value are copied by the call, with the lengths given.
            let error = unsafe {
                rd::rd_kafka_header_add(
                    list,
                    name.as_ptr().cast::<c_char>(),
                    name.len() as isize,
                    value_address,
                    value.map_or(0, <[u8]>::len) as isize,
                )
            };
            code(error).is_none()
        });
        if !added {
            // SAFETY: the list is ours and destroyed once.
            unsafe { rd::rd_kafka_headers_destroy(list) };
            return Err(ErrorCode::INVALID_ARG);
        }
    }
    Ok(list)
}

/// The topic's error, or else that of its first partition without a leader.
///
/// # Safety
/// `metadata` is a structure librdkafka filled and that was not destroyed.
pub(super) unsafe fn topic_error(metadata: &rd::rd_kafka_metadata) -> Option<ErrorCode> {
    if metadata.topic_cnt < 1 {
        return Some(ErrorCode::UNKNOWN_TOPIC);
    }
    // SAFETY: there is at least one topic, and its array holds `partition_cnt` partitions.
    unsafe {
        let topic = metadata.topics;
        let error = code_at(&raw const (*topic).err);
        if error.is_some() {
            return error;
        }
        let count = usize::try_from((*topic).partition_cnt).unwrap_or_default();
        if count == 0 {
            return Some(ErrorCode::UNKNOWN_TOPIC_OR_PART);
        }
        let leaderless = (0..count).any(|index| (*(*topic).partitions.add(index)).leader < 0);
        leaderless.then_some(ErrorCode::LEADER_NOT_AVAILABLE)
    }
}
