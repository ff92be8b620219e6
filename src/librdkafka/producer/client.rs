//! The native client of a producer: making it, the calls that need more than one line of C, destroying it.

#![expect(unsafe_code, reason = "the librdkafka room; every block says why it is sound")]

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr;

use rdkafka::bindings as rk;

use super::callbacks::{self, Inbox};
use super::code::ErrorCode;
use super::message::{self, Message, Span};
use super::{OpenError, PARTITION_UNASSIGNED};

/// Room for librdkafka's error texts, in bytes.
pub(super) const ERROR_TEXT: usize = 512;

/// The client's parts, in the order they are given up.
pub(super) struct Client {
    pub(super) handle: *mut rk::rd_kafka_t,
    pub(super) main_queue: *mut rk::rd_kafka_queue_t,
    pub(super) inbox: *mut Inbox,
}

// SAFETY: librdkafka's handles may be used from any thread. The raw pointers are owned by this value alone, and all uses
// go through `&mut self` or by value.
unsafe impl Send for Client {}
impl Client {
    pub(super) fn new(conf: Conf, inbox: Inbox) -> Result<Self, OpenError> {
        let inbox = Box::into_raw(Box::new(inbox));
        let mut text = [0 as c_char; ERROR_TEXT];
        // SAFETY: `conf` is a live configuration and is given up to rd_kafka_new on success only. `inbox` lives until the
        // client is destroyed. The callbacks have the types these setters take. `text` is writable for its length.
        let handle = unsafe {
            rk::rd_kafka_conf_set_opaque(conf.0, inbox.cast::<c_void>());
            rk::rd_kafka_conf_set_dr_msg_cb(conf.0, Some(callbacks::on_delivery));
            rk::rd_kafka_conf_set_error_cb(conf.0, Some(callbacks::on_error));
            rk::rd_kafka_conf_set_log_cb(conf.0, Some(callbacks::on_log));
            rk::rd_kafka_new(rk::rd_kafka_type_t::RD_KAFKA_PRODUCER, conf.0, text.as_mut_ptr(), text.len())
        };
        if handle.is_null() {
            // SAFETY: no client was made, so nobody else knows the inbox's address. `conf` is dropped by its owner.
            drop(unsafe { Box::from_raw(inbox) });
            return Err(OpenError::Client { text: buffer_text(&text) });
        }
        std::mem::forget(conf);
        // SAFETY: the handle is live; a null queue means the main queue, which `serve` polls. The hook's opaque outlives
        // the client.
        let main_queue = unsafe {
            rk::rd_kafka_set_log_queue(handle, ptr::null_mut());
            let queue = rk::rd_kafka_queue_get_main(handle);
            rk::rd_kafka_queue_cb_event_enable(queue, Some(callbacks::on_ready), inbox.cast::<c_void>());
            queue
        };
        Ok(Self { handle, main_queue, inbox })
    }

    /// rd_kafka_produceva: the only call that carries headers and timestamps.
    pub(super) fn produce_full(
        &mut self,
        topic: *mut rk::rd_kafka_topic_t,
        payload: &[u8],
        message: &Message,
        opaque: *mut c_void,
    ) -> ErrorCode {
        let (Ok(value), Ok(key)) = (pointer(payload, message.value), pointer(payload, message.key)) else {
            return ErrorCode::INVALID_ARG;
        };
        let headers = match message.headers.map(|span| native_headers(payload, span)).transpose() {
            Ok(headers) => headers,
            Err(code) => return code,
        };
        let mut fields = [field(rk::rd_kafka_vtype_t::RD_KAFKA_VTYPE_RKT, Value { rkt: topic }); 6];
        fields[1] = field(rk::rd_kafka_vtype_t::RD_KAFKA_VTYPE_VALUE, Value { mem: memory(value) });
        fields[2] = field(rk::rd_kafka_vtype_t::RD_KAFKA_VTYPE_KEY, Value { mem: memory(key) });
        fields[3] = field(rk::rd_kafka_vtype_t::RD_KAFKA_VTYPE_OPAQUE, Value { ptr: opaque });
        // A timestamp of 0 is librdkafka's word for now, too.
        let timestamp = message.timestamp_ms.unwrap_or_default();
        fields[4] = field(rk::rd_kafka_vtype_t::RD_KAFKA_VTYPE_TIMESTAMP, Value { i64_: timestamp });
        let mut count = 5;
        if let Some(headers) = headers {
            fields[5] = field(rk::rd_kafka_vtype_t::RD_KAFKA_VTYPE_HEADERS, Value { headers });
            count = 6;
        }
        // SAFETY: every field holds the union member its type names. Payload and key point into a lent buffer, which stays
        // until the report; the key is copied by the call. On success the headers belong to librdkafka.
        let error = unsafe { rk::rd_kafka_produceva(self.handle, fields.as_ptr(), count) };
        if error.is_null() {
            return ErrorCode::NONE;
        }
        // SAFETY: the call failed, so error and headers are ours, and each is destroyed once.
        unsafe {
            let code = rk::rd_kafka_error_code(error);
            rk::rd_kafka_error_destroy(error);
            if let Some(headers) = headers {
                rk::rd_kafka_headers_destroy(headers);
            }
            raw_code(&raw const code)
        }
    }

    /// Destroys the client; blocks until all its threads have ended.
    pub(super) fn destroy(self) {
        // SAFETY: the parts are live and given up here, once, in the order librdkafka asks for: hook off, queue, client.
        // The inbox goes last, because callbacks may run until the destruction returns.
        unsafe {
            rk::rd_kafka_queue_cb_event_enable(self.main_queue, None, ptr::null_mut());
            rk::rd_kafka_queue_destroy(self.main_queue);
            rk::rd_kafka_destroy(self.handle);
            drop(Box::from_raw(self.inbox));
        }
    }
}

/// A configuration that is destroyed unless a client took it over.
pub(super) struct Conf(*mut rk::rd_kafka_conf_t);

impl Conf {
    pub(super) fn new() -> Self {
        // SAFETY: has no preconditions; never returns null.
        Self(unsafe { rk::rd_kafka_conf_new() })
    }

    pub(super) fn set(&self, name: &str, value: &str) -> Result<(), OpenError> {
        let fault = || OpenError::Property { name: name.to_owned() };
        let (c_name, c_value) = (CString::new(name).map_err(|_| fault())?, CString::new(value).map_err(|_| fault())?);
        let mut text = [0 as c_char; ERROR_TEXT];
        // SAFETY: the configuration is live, both strings NUL terminated, `text` writable for its length.
        let result =
            unsafe { rk::rd_kafka_conf_set(self.0, c_name.as_ptr(), c_value.as_ptr(), text.as_mut_ptr(), text.len()) };
        if result == rk::rd_kafka_conf_res_t::RD_KAFKA_CONF_OK { Ok(()) } else { Err(fault()) }
    }
}

impl Drop for Conf {
    fn drop(&mut self) {
        // SAFETY: still ours: a client that took it over forgets this value.
        unsafe { rk::rd_kafka_conf_destroy(self.0) };
    }
}

type Value = rk::rd_kafka_vu_s__bindgen_ty_1;

fn field(vtype: rk::rd_kafka_vtype_t, u: Value) -> rk::rd_kafka_vu_t {
    rk::rd_kafka_vu_s { vtype, u }
}

fn memory((ptr, size): (*mut c_void, usize)) -> rk::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 {
    rk::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 { ptr, size }
}

/// Address and length of a span; null for none. An empty span has an address, for empty is not null.
fn pointer(payload: &[u8], span: Option<Span>) -> Result<(*mut c_void, usize), ()> {
    let Some(span) = span else { return Ok((ptr::null_mut(), 0)) };
    let bytes = span.of(payload).ok_or(())?;
    Ok((bytes.as_ptr().cast_mut().cast::<c_void>(), bytes.len()))
}

/// A message as the batch call takes it. Spans outside the payload make one that the call refuses as too large without
/// following a pointer.
pub(super) fn native_message(payload: &[u8], message: &Message, opaque: *mut c_void) -> rk::rd_kafka_message_t {
    let (value, key) = match (pointer(payload, message.value), pointer(payload, message.key)) {
        (Ok(value), Ok(key)) => (value, key),
        _ => ((ptr::dangling_mut::<u8>().cast::<c_void>(), usize::MAX), (ptr::null_mut(), 0)),
    };
    rk::rd_kafka_message_t {
        err: rk::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR,
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

fn native_headers(payload: &[u8], span: Span) -> Result<*mut rk::rd_kafka_headers_t, ErrorCode> {
    let bytes = span.of(payload).ok_or(ErrorCode::INVALID_ARG)?;
    // SAFETY: has no preconditions; never returns null.
    let list = unsafe { rk::rd_kafka_headers_new(8) };
    for header in message::headers(bytes) {
        let added = header.is_ok_and(|(name, value)| {
            let value_address = value.map_or(ptr::null(), <[u8]>::as_ptr).cast::<c_void>();
            // SAFETY: the list is live and ours; name and value are copied by the call, with the lengths given.
            let code = unsafe {
                let code = rk::rd_kafka_header_add(
                    list,
                    name.as_ptr().cast::<c_char>(),
                    name.len() as isize,
                    value_address,
                    value.map_or(0, <[u8]>::len) as isize,
                );
                raw_code(&raw const code)
            };
            code.is_none()
        });
        if !added {
            // SAFETY: the list is ours and destroyed once.
            unsafe { rk::rd_kafka_headers_destroy(list) };
            return Err(ErrorCode::INVALID_ARG);
        }
    }
    Ok(list)
}

/// Reads a code as a number: librdkafka passes on numbers its enum does not have.
///
/// # Safety
/// `code` is the address of a live field or local of this type.
pub(super) unsafe fn raw_code(code: *const rk::rd_kafka_resp_err_t) -> ErrorCode {
    // SAFETY: valid for reads by the caller's promise; both types have the same size and alignment.
    ErrorCode(unsafe { code.cast::<i32>().read() })
}

pub(super) fn buffer_text(text: &[c_char]) -> String {
    // SAFETY: the arrays given here start zeroed and librdkafka writes NUL terminated text into them, within their length.
    unsafe { CStr::from_ptr(text.as_ptr()) }.to_string_lossy().into_owned()
}

/// The topic's error, or else that of its first partition without a leader.
///
/// # Safety
/// `metadata` is a structure librdkafka filled and that was not destroyed.
pub(super) unsafe fn topic_error(metadata: &rk::rd_kafka_metadata) -> ErrorCode {
    if metadata.topic_cnt < 1 {
        return ErrorCode::UNKNOWN_TOPIC;
    }
    // SAFETY: there is at least one topic, and its array holds `partition_cnt` partitions.
    unsafe {
        let topic = metadata.topics;
        let code = raw_code(&raw const (*topic).err);
        if !code.is_none() {
            return code;
        }
        let count = usize::try_from((*topic).partition_cnt).unwrap_or_default();
        if count == 0 {
            return ErrorCode::UNKNOWN_TOPIC_OR_PART;
        }
        let leaderless = (0..count).any(|index| (*(*topic).partitions.add(index)).leader < 0);
        if leaderless { ErrorCode::LEADER_NOT_AVAILABLE } else { ErrorCode::NONE }
    }
}
