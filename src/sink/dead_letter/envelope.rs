//! The envelope of a dead letter: what is said about the record, as headers and as a line of JSON.
//!
//! As headers each fact is text, named `sluicegate-…`; a fact that is not known (no timestamp, no status, no item
//! because no step made several of the record) has no header.
//!
//! As a line the letter is one JSON object: `pipeline step reason topic partition offset item timestamp status error
//! attempts key value headers`. `key`, `value` and header values are JSON strings where the bytes are UTF-8,
//! `{"base64": "…"}` where they are not, and null where they are null. `headers` is a list of `[name, value]` in order.
//! Unknown facts are null.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::librdkafka::producer::message::append_header;
use crate::model::{ItemPath, OwnedRecord, Reject};

/// Appends the envelope's headers, then the record's own, as the producer takes them. `false` when one does not fit.
pub fn append_headers(
    payload: &mut Vec<u8>,
    original: &OwnedRecord,
    item: ItemPath,
    reject: &Reject,
    pipeline: &str,
) -> bool {
    let facts = [
        ("sluicegate-pipeline", Some(pipeline.to_owned())),
        ("sluicegate-step", Some(reject.step.to_string())),
        ("sluicegate-reason", Some(reject.reason.to_string())),
        ("sluicegate-topic", Some(original.topic.clone())),
        ("sluicegate-partition", Some(original.partition.to_string())),
        ("sluicegate-offset", Some(original.offset.to_string())),
        ("sluicegate-item", (!item.is_whole()).then(|| item.to_string())),
        ("sluicegate-timestamp", original.timestamp_ms.map(|timestamp| timestamp.to_string())),
        ("sluicegate-status", reject.status.map(|status| status.to_string())),
        ("sluicegate-error", Some(reject.detail.clone())),
        ("sluicegate-attempts", Some(reject.attempts.to_string())),
    ];
    facts
        .iter()
        .filter_map(|(name, fact)| Some((*name, fact.as_ref()?)))
        .all(|(name, fact)| append_header(payload, name, Some(fact.as_bytes())))
        && original.headers.iter().all(|(name, value)| append_header(payload, name, value.as_deref()))
}

/// Appends the letter as one line of JSON, newline included.
pub fn append_line(out: &mut Vec<u8>, original: &OwnedRecord, item: ItemPath, reject: &Reject, pipeline: &str) {
    let headers: Vec<Value> =
        original.headers.iter().map(|(name, value)| json!([name, bytes(value.as_deref())])).collect();
    let line = json!({
        "pipeline": pipeline,
        "step": &*reject.step,
        "reason": reject.reason.name(),
        "topic": original.topic,
        "partition": original.partition,
        "offset": original.offset,
        "item": (!item.is_whole()).then(|| item.to_string()),
        "timestamp": original.timestamp_ms,
        "status": reject.status,
        "error": reject.detail,
        "attempts": reject.attempts,
        "key": bytes(original.key.as_deref()),
        "value": bytes(original.value.as_deref()),
        "headers": headers,
    });
    out.extend_from_slice(line.to_string().as_bytes());
    out.push(b'\n');
}

/// How much of a record is left out of a letter that is too large for its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Omitted {
    /// The value; key and headers stay.
    Value,
    /// The value, the key and the headers.
    All,
}

impl Omitted {
    /// For people, and the header `sluicegate-omitted`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::All => "value, key and headers",
        }
    }
}

/// The record without what is `omitted`, for a letter: its headers begin with `sluicegate-omitted` and the sizes of
/// what is missing. The value is empty rather than null, so that compaction does not take the letter for a tombstone.
#[must_use]
pub fn without(original: &OwnedRecord, omitted: Omitted) -> OwnedRecord {
    let fact = |name: &str, fact: String| (name.to_owned(), Some(fact.into_bytes()));
    let size = |bytes: Option<&Vec<u8>>| bytes.map_or(0, Vec::len).to_string();
    let mut headers = vec![
        fact("sluicegate-omitted", omitted.name().to_owned()),
        fact("sluicegate-value-bytes", size(original.value.as_ref())),
    ];
    let key = match omitted {
        Omitted::Value => {
            headers.extend(original.headers.iter().cloned());
            original.key.clone()
        }
        Omitted::All => {
            headers.push(fact("sluicegate-key-bytes", size(original.key.as_ref())));
            None
        }
    };
    let OwnedRecord { topic, partition, offset, timestamp_ms, .. } = original;
    let (topic, partition, offset, timestamp_ms) = (topic.clone(), *partition, *offset, *timestamp_ms);
    OwnedRecord { topic, partition, offset, timestamp_ms, key, value: Some(Vec::new()), headers }
}

fn bytes(bytes: Option<&[u8]>) -> Value {
    bytes.map_or(Value::Null, |bytes| match std::str::from_utf8(bytes) {
        Ok(text) => Value::from(text),
        Err(_) => json!({ "base64": STANDARD.encode(bytes) }),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::librdkafka::producer::message::headers;
    use crate::model::{Charge, Epoch, Offset, PartitionId, Place, RejectReason, Ticket, TicketId};
    use crate::sink::dead_letter::Letter;

    /// A letter of partition 3 of `events`, slot 0, epoch 1.
    pub(in crate::sink) fn letter(offset: i64, value: &[u8]) -> Letter {
        let ticket = Ticket { id: TicketId(1), slot: PartitionId(0), epoch: Epoch(1) };
        let mut reject = Reject::new(RejectReason::Missing, &"steps[0].select".into(), "/result not found");
        reject.status = Some(400);
        Letter {
            place: Place { ticket, offset: Offset(offset), item: ItemPath::WHOLE, index: 0 },
            reject,
            original: OwnedRecord {
                topic: "events".into(),
                partition: 3,
                offset,
                timestamp_ms: Some(1_700_000_000_000),
                key: Some(vec![0xff, 0x00]),
                value: Some(value.to_vec()),
                headers: vec![("own".into(), Some(b"1".to_vec())), ("own".into(), None)],
            },
            charge: Charge::none(),
        }
    }

    #[test]
    fn headers_tell_the_facts_and_then_the_record_s_own() {
        let mut payload = Vec::new();
        let letter = letter(9, b"{}");
        assert!(append_headers(&mut payload, &letter.original, letter.place.item, &letter.reject, "relay"));
        let read: Vec<(String, Option<String>)> = headers(&payload)
            .map(|header| header.expect("well formed"))
            .map(|(name, value)| {
                (String::from_utf8_lossy(name).into(), value.map(|value| String::from_utf8_lossy(value).into()))
            })
            .collect();
        let expected = [
            ("sluicegate-pipeline", Some("relay")),
            ("sluicegate-step", Some("steps[0].select")),
            ("sluicegate-reason", Some("missing")),
            ("sluicegate-topic", Some("events")),
            ("sluicegate-partition", Some("3")),
            ("sluicegate-offset", Some("9")),
            ("sluicegate-timestamp", Some("1700000000000")),
            ("sluicegate-status", Some("400")),
            ("sluicegate-error", Some("/result not found")),
            ("sluicegate-attempts", Some("0")),
            ("own", Some("1")),
            ("own", None),
        ];
        let expected: Vec<_> =
            expected.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned))).collect();
        assert_eq!(read, expected);
    }

    #[test]
    fn unknown_facts_have_no_header_and_are_null_in_a_line() {
        let mut letter = letter(9, b"{}");
        letter.original.timestamp_ms = None;
        letter.reject.status = None;
        let mut payload = Vec::new();
        assert!(append_headers(&mut payload, &letter.original, letter.place.item, &letter.reject, "relay"));
        let names: Vec<_> = headers(&payload).map(|header| header.expect("well formed").0.to_vec()).collect();
        assert!(!names.iter().any(|name| name == b"sluicegate-timestamp" || name == b"sluicegate-status"));
        let mut line = Vec::new();
        append_line(&mut line, &letter.original, letter.place.item, &letter.reject, "relay");
        let line: Value = serde_json::from_slice(&line).expect("json");
        assert_eq!((&line["timestamp"], &line["status"]), (&Value::Null, &Value::Null));
    }

    #[test]
    fn a_record_without_its_value_says_so_and_keeps_its_origin() {
        let original = letter(9, &[b'x'; 5_000]).original;
        let own = original.headers.clone();
        let short = without(&original, Omitted::Value);
        assert_eq!((short.key.as_ref(), short.value.as_deref()), (original.key.as_ref(), Some(&b""[..])));
        assert_eq!((short.topic.as_str(), short.partition, short.offset), ("events", 3, 9));
        assert_eq!(short.headers[0], ("sluicegate-omitted".to_owned(), Some(b"value".to_vec())));
        assert_eq!(short.headers[1], ("sluicegate-value-bytes".to_owned(), Some(b"5000".to_vec())));
        assert_eq!(short.headers[2..], own[..]);
        let bare = without(&original, Omitted::All);
        assert_eq!((bare.key, bare.headers.len()), (None, 3));
        assert_eq!(bare.headers[2], ("sluicegate-key-bytes".to_owned(), Some(b"2".to_vec())));
    }

    #[test]
    fn a_line_is_one_line_and_keeps_every_byte() {
        let mut out = Vec::new();
        let letter = letter(9, b"{\"a\":\n1}");
        append_line(&mut out, &letter.original, letter.place.item, &letter.reject, "relay");
        assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1);
        assert_eq!(out.last(), Some(&b'\n'));
        let line: Value = serde_json::from_slice(&out).expect("json");
        assert_eq!(line["value"], "{\"a\":\n1}");
        let key = line["key"]["base64"].as_str().map(|text| STANDARD.decode(text).expect("base64"));
        assert_eq!(key, Some(vec![0xff, 0x00]));
        assert_eq!(line["headers"], json!([["own", "1"], ["own", null]]));
        assert_eq!((&line["offset"], &line["reason"]), (&json!(9), &json!("missing")));
    }
}
