//! Reads the answer to a bulk request. Pure; survives any bytes.
//!
//! We ask with [`FILTER_PATH`], so that a good item costs about 25 bytes and positions hold: `status` must be in the
//! filter, otherwise good items vanish from the array. The item count is never trusted.
//!
//! A record may be taken and not be where it was sent. `failure_store` says so, and is only there when it has something
//! to say. An ingest pipeline that drops answers `noop`: of `create` its status tells (200, where 201 is meant); of
//! `index` only `result` does, at 19 bytes an item, and a default pipeline may be set on an index at any time, so it is
//! always asked for. Of `update` a `noop` is a document that did not change.

use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::redact::redact;

/// What we want of an answer.
pub const FILTER_PATH: &str = "errors,items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by.reason,\
     items.*.failure_store,items.index.result";

/// Where a record is that was taken, and is not where it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aside {
    /// In the failure store of its data stream: it does not fit.
    FailureStore,
    /// Nowhere: an ingest pipeline dropped it.
    Dropped,
}

/// One item that is not plainly done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemFault {
    /// Its place in the request.
    pub index: usize,
    /// Its status.
    pub status: u16,
    /// Its error, when it has one.
    pub error: Option<ServerError>,
    /// Where it is, when it was taken and put aside.
    pub aside: Option<Aside>,
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

/// Reads an answer to a request of `sent` items: the items that are not plainly done, in order.
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
    let AnswerObject(answer): AnswerObject<BulkAnswer<'_>> =
        serde_json::from_str(text).map_err(|error| Unreadable::Malformed(redact(&error.to_string())))?;
    let found = answer.items.len();
    if found != sent {
        return Err(Unreadable::Count { found, sent });
    }
    let faults = answer.items.into_iter().enumerate().filter_map(|(index, item)| {
        let (status, aside) = (item.inside.status, item.aside());
        let error = item.inside.error.map(server_error);
        let plain = matches!(status, 200 | 201) && error.is_none() && aside.is_none();
        (!plain).then_some(ItemFault { index, status, error, aside })
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
        rest = rest[name.len()..].strip_prefix(b"\":{")?;
        if let Some(result) = rest.strip_prefix(b"\"result\":\"") {
            rest = result.strip_prefix(b"created\",").or_else(|| result.strip_prefix(b"updated\","))?;
        }
        rest = rest.strip_prefix(b"\"status\":20")?;
        let (last, after) = rest.split_first()?;
        if !matches!((last, name), (b'1', _) | (b'0', b"update" | b"index" | b"delete")) {
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

/// An object. The derived readers alone would also take an array for a struct, its elements for the members in order.
struct AnswerObject<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for AnswerObject<T> {
    #[inline(always)]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OnlyMembers<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for OnlyMembers<T> {
            type Value = AnswerObject<T>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            #[inline(always)]
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<AnswerObject<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(AnswerObject)
            }
        }
        deserializer.deserialize_map(OnlyMembers(PhantomData))
    }
}

#[derive(Deserialize)]
struct BulkAnswer<'a> {
    #[serde(borrow)]
    items: Vec<AnswerItem<'a>>,
}

struct AnswerItem<'a> {
    verb: Verb,
    inside: Inside<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Verb {
    Index,
    Create,
    #[serde(other)]
    Other,
}

impl AnswerItem<'_> {
    fn aside(&self) -> Option<Aside> {
        let Inside { status, error, failure_store, result } = &self.inside;
        let is = |member: &Option<&RawValue>, text: &str| member.is_some_and(|raw| raw.get() == text);
        if error.is_some() || !matches!(status, 200 | 201) {
            None
        } else if is(failure_store, "\"used\"") {
            Some(Aside::FailureStore)
        } else if (self.verb == Verb::Create && *status == 200) || (self.verb == Verb::Index && is(result, "\"noop\""))
        {
            Some(Aside::Dropped)
        } else {
            None
        }
    }
}

#[derive(Deserialize)]
struct Inside<'a> {
    status: u16,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    failure_store: Option<&'a RawValue>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
}

/// An item is an object of one member, named after its action.
impl<'de: 'a, 'a> Deserialize<'de> for AnswerItem<'a> {
    #[inline(always)]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneMember;
        impl<'de> Visitor<'de> for OneMember {
            type Value = AnswerItem<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object named after its action")
            }
            #[inline(always)]
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<AnswerItem<'de>, A::Error> {
                let missing = || serde::de::Error::custom("an item without an action");
                let (verb, AnswerObject(inside)) =
                    map.next_entry::<Verb, AnswerObject<Inside<'de>>>()?.ok_or_else(missing)?;
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(AnswerItem { verb, inside })
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

/// The error object of a whole-request answer; `None` when the body is none of a server (a proxy's page), or its error
/// is a bare string, which servers use for requests they cannot route.
#[must_use]
pub fn request_error(body: &[u8]) -> Option<ServerError> {
    let value: serde_json::Value = serde_json::from_slice(body).ok()?;
    value["error"].is_object().then(|| error_of(&value["error"]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fault(index: usize, status: u16, kind: &str, reason: &str) -> ItemFault {
        let error = (!kind.is_empty()).then(|| ServerError { kind: kind.to_owned(), reason: reason.to_owned() });
        ItemFault { index, status, error, aside: None }
    }

    #[test]
    fn good_answers_are_counted_in_every_spelling() {
        let compact = br#"{"errors":false,"items":[{"index":{"status":201}},{"update":{"status":200}}]}"#;
        let full = br#"{"took":3,"errors":false,"items":[{"index":{"_index":"i","_id":"1","status":201,
            "result":"created"}}, {"update":{"status":200,"_shards":{"total":2}}}]}"#;
        let pretty =
            b"{ \"errors\" : false, \"items\" : [ {\"create\":{\"status\":201}}, {\"index\":{\"status\":200}} ] }";
        for body in [&compact[..], full, pretty] {
            assert_eq!(read(body, 2), Ok(vec![]), "{}", String::from_utf8_lossy(body));
            for sent in [1, 3] {
                assert_eq!(read(body, sent), Err(Unreadable::Count { found: 2, sent }));
            }
        }
        assert_eq!(read(br#"{"errors":false,"items":[]}"#, 0), Ok(vec![]));
    }

    #[test]
    fn faults_keep_their_positions() {
        let body = br#"{"errors":true,"items":[{"index":{"status":201}},
            {"update":{"status":400,"error":{"type":"mapper_parsing_exception","reason":"failed to parse",
              "caused_by":{"type":"x","reason":"Duplicate field 'a'"}}}},
            {"delete":{"status":404}},
            {"index":{"status":429,"error":"busy"}}]}"#;
        let want = vec![
            fault(1, 400, "mapper_parsing_exception", "failed to parse; caused by: Duplicate field 'a'"),
            fault(2, 404, "", ""),
            ItemFault {
                index: 3,
                status: 429,
                error: Some(ServerError { kind: String::new(), reason: "busy".into() }),
                aside: None,
            },
        ];
        assert_eq!(read(body, 4), Ok(want));
    }

    #[test]
    fn what_was_taken_and_put_aside_is_told_apart() {
        let body = br#"{"errors":false,"items":[{"create":{"failure_store":"used","status":201}},{"create":{"status":201}},
            {"create":{"status":200}},{"index":{"result":"noop","status":200}},{"index":{"result":"updated","status":200}},
            {"update":{"result":"noop","status":200}},{"index":{"status":201,"failure_store":"not_enabled"}},
            {"create":{"status":400,"failure_store":"failed","error":{"type":"x","reason":"y"}}}]}"#;
        let found: Vec<(usize, Option<Aside>)> =
            read(body, 8).expect("readable").into_iter().map(|fault| (fault.index, fault.aside)).collect();
        let want = [(0, Some(Aside::FailureStore)), (2, Some(Aside::Dropped)), (3, Some(Aside::Dropped)), (7, None)];
        assert_eq!(found, want);
        let alone = br#"{"errors":false,"items":[{"create":{"status":200}}]}"#;
        assert_eq!(read(alone, 1).expect("readable")[0].aside, Some(Aside::Dropped), "also in the compact form");
        let results = br#"{"errors":false,"items":[{"index":{"result":"created","status":201}},{"index":{"result":"updated","status":200}}]}"#;
        assert_eq!(count_all_good(results), Some(2), "and `result` does not cost the fast path");
        assert_eq!(read(results, 2), Ok(vec![]));
    }

    #[test]
    fn errors_false_is_not_believed_when_items_say_otherwise() {
        let body = br#"{"errors":false,"items":[{"index":{"status":503}}]}"#;
        assert_eq!(read(body, 1), Ok(vec![fault(0, 503, "", "")]));
    }

    #[test]
    fn anything_else_is_unreadable() {
        let bodies: [&[u8]; 12] = [
            b"",
            b"<html></html>",
            b"{\"errors\":false}",
            b"{\"errors\":false,\"items\":[{\"index\":{\"status\":201}},",
            b"{\"errors\":false,\"items\":[{\"index\":{\"status\":201}}]",
            b"{\"errors\":false,\"items\":[{\"index\":{\"status\":201}}]}x",
            b"{\"errors\":false,\"items\":[{}]}",
            b"{\"errors\":false,\"items\":[{\"index\":{\"status\":\"201\"}}]}",
            b"\xff\xfe",
            b"[[{\"index\":{\"status\":201}}]]",
            b"{\"items\":[{\"index\":[201]}]}",
            b"{\"items\":[{\"index\":[201,null]}]}",
        ];
        for body in bodies {
            assert!(matches!(read(body, 1), Err(Unreadable::Malformed(_))), "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn odd_bytes_in_a_reason_do_not_hide_the_fault() {
        let lone = br#"{"errors":true,"items":[{"index":{"status":400,"error":{"type":"t_x","reason":"'\ud800'"}}}]}"#;
        let faults = read(lone, 1).expect("readable");
        assert_eq!((faults[0].status, faults[0].error.as_ref().map(|e| e.kind.as_str())), (400, Some("t_x")));
        let raw = b"{\"errors\":true,\"items\":[{\"index\":{\"status\":400,\"error\":{\"type\":\"t_x\",\"reason\":\"\xff\"}}}]}";
        assert_eq!(read(raw, 1).expect("readable")[0].error.as_ref().map(|e| e.kind.as_str()), Some("t_x"));
    }

    #[test]
    fn a_quoted_request_never_leaves_this_module() {
        let body =
            br#"{"error":{"type":"parse_exception","reason":"x (byte[])\"POST /_bulk\r\nAuthorization: Basic U0VD"}}"#;
        let error = request_error(body).expect("an error object");
        assert!(!error.reason.contains("U0VD"), "{}", error.reason);
        assert_eq!(request_error(b"{\"error\":\"no handler found\"}"), None);
        assert_eq!(request_error(b"<html>"), None);
    }

    proptest! {
        #[test]
        fn survives_any_bytes(body in proptest::collection::vec(any::<u8>(), 0..300), sent in 0_usize..5) {
            let _ = read(&body, sent);
            let _ = request_error(&body);
        }

        #[test]
        fn survives_cuts_and_finds_every_status(
            statuses in proptest::collection::vec(proptest::sample::select(vec![200_u16, 201, 404, 409, 429, 503]), 1..20),
            cut in any::<proptest::sample::Index>(),
        ) {
            let items: Vec<String> = statuses.iter().map(|status| format!("{{\"index\":{{\"status\":{status}}}}}")).collect();
            let body = format!("{{\"errors\":false,\"items\":[{}]}}", items.join(","));
            let faults = read(body.as_bytes(), statuses.len()).expect("readable");
            let want: Vec<(usize, u16)> =
                statuses.iter().copied().enumerate().filter(|(_, status)| !matches!(status, 200 | 201)).collect();
            prop_assert_eq!(faults.iter().map(|fault| (fault.index, fault.status)).collect::<Vec<_>>(), want);
            let at = cut.index(body.len());
            prop_assert!(read(&body.as_bytes()[..at], statuses.len()).is_err(), "cut at {}", at);
        }
    }
}
