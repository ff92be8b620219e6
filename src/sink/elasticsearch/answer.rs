//! Reads the answer to a bulk request. Pure; survives any bytes.
//!
//! We ask with [`FILTER_PATH`], so that a good item costs about 25 bytes and positions hold: `status` must be in the
//! filter, otherwise good items vanish from the array. The item count is never trusted.

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::redact::redact;

/// What we want of an answer.
pub const FILTER_PATH: &str =
    "errors,items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by.reason";

/// One item that is not plainly done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemFault {
    /// Its place in the request.
    pub index: usize,
    /// Its status.
    pub status: u16,
    /// Its error, when it has one.
    pub error: Option<ServerError>,
}

/// What a server says of an error; redacted and cut.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerError {
    /// The exception's name, such as `mapper_parsing_exception`.
    pub kind: String,
    /// The reason, at most 1 KiB.
    pub reason: String,
}

/// Why an answer cannot be used: every item of the request is unknown then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Not a bulk answer at all.
    #[error("the answer to the bulk request is not readable as one ({0})")]
    Malformed(String),
    /// An answer for another number of items.
    #[error("the answer holds {found} items, the request held {sent}")]
    Count {
        /// Items in the answer.
        found: usize,
        /// Items in the request.
        sent: usize,
    },
}

/// Reads an answer to a request of `sent` items: the items that are not 200 or 201 without an error, in order.
///
/// # Errors
/// [`Unreadable`]: nothing may be concluded about any item.
pub fn read(body: &[u8], sent: usize) -> Result<Vec<ItemFault>, Unreadable> {
    if let Some(found) = count_all_good(body) {
        return if found == sent { Ok(Vec::new()) } else { Err(Unreadable::Count { found, sent }) };
    }
    let lossy;
    let text = match std::str::from_utf8(body) {
        Ok(text) => text,
        Err(_) => {
            lossy = String::from_utf8_lossy(body);
            &lossy
        }
    };
    let answer: Answer<'_> =
        serde_json::from_str(text).map_err(|error| Unreadable::Malformed(redact(&error.to_string())))?;
    let found = answer.items.len();
    if found != sent {
        return Err(Unreadable::Count { found, sent });
    }
    let faults = answer.items.into_iter().enumerate().filter_map(|(index, item)| {
        let error = item.error.map(server_error);
        let plain = matches!(item.status, 200 | 201) && error.is_none();
        (!plain).then_some(ItemFault { index, status: item.status, error })
    });
    Ok(faults.collect())
}

/// The number of items, when the answer is the compact `{"errors":false,"items":[{"index":{"status":201}},…]}` with
/// nothing but 200 and 201; `None` sends it to the general reader.
fn count_all_good(body: &[u8]) -> Option<usize> {
    let mut rest = body.strip_prefix(b"{\"errors\":false,\"items\":[")?;
    let mut count = 0;
    loop {
        rest = rest.strip_prefix(b"{\"")?;
        let name = [&b"update"[..], b"index", b"create", b"delete"].into_iter().find(|name| rest.starts_with(name))?;
        rest = rest[name.len()..].strip_prefix(b"\":{\"status\":20")?;
        let (last, after) = rest.split_first()?;
        if !matches!(last, b'0' | b'1') {
            return None;
        }
        rest = after.strip_prefix(b"}}")?;
        count += 1;
        match rest.split_first()? {
            (b',', after) => rest = after,
            (b']', b"}") => return Some(count),
            _ => return None,
        }
    }
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    items: Vec<Item<'a>>,
}

struct Item<'a> {
    status: u16,
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Inside<'a> {
    status: u16,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// An item is an object of one member, named after its action.
impl<'de: 'a, 'a> Deserialize<'de> for Item<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneMember;
        impl<'de> Visitor<'de> for OneMember {
            type Value = Item<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object named after its action")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Item<'de>, A::Error> {
                let missing = || serde::de::Error::custom("an item without an action");
                let (_, inside) = map.next_entry::<IgnoredAny, Inside<'de>>()?.ok_or_else(missing)?;
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Item { status: inside.status, error: inside.error })
            }
        }
        deserializer.deserialize_map(OneMember)
    }
}

fn server_error(raw: &RawValue) -> ServerError {
    let value: serde_json::Value = match serde_json::from_str(raw.get()) {
        Ok(value) => value,
        // A lone surrogate in a quoted value, for instance: keep what can be read by eye.
        Err(_) => return ServerError { kind: kind_by_search(raw.get()), reason: redact(raw.get()) },
    };
    error_of(&value)
}

fn kind_by_search(text: &str) -> String {
    let after = text.split_once("\"type\":\"").map_or("", |(_, after)| after);
    after.split('"').next().unwrap_or_default().chars().take(100).collect()
}

fn error_of(value: &serde_json::Value) -> ServerError {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    if value.is_string() {
        return ServerError { kind: String::new(), reason: redact(&text(value)) };
    }
    let mut reason = text(&value["reason"]);
    let cause = text(&value["caused_by"]["reason"]);
    if !cause.is_empty() {
        reason = format!("{reason}; caused by: {cause}");
    }
    let kind = text(&value["type"]).chars().take(100).collect();
    ServerError { kind, reason: redact(&reason) }
}

/// The error object of a whole-request answer; `None` when the body is none of a server (a proxy's page), or its error is
/// a bare string, which servers use for requests they cannot route.
#[must_use]
pub fn request_error(body: &[u8]) -> Option<ServerError> {
    let value: serde_json::Value = serde_json::from_slice(body).ok()?;
    value["error"].is_object().then(|| error_of(&value["error"]))
}
