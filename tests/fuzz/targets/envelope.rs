//! Dead letters: whatever the record holds, the line is one line of JSON and every byte comes back; so do the headers.
//!
//! Input: fields with the byte 0x1e between them: key, value, error text, topic, then names and values of headers.
//! An empty field is null.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use sluicegate::internals::librdkafka::producer::message::headers;
use sluicegate::internals::model::{OwnedRecord, Reject, RejectReason};
use sluicegate::internals::sink::dead_letter::envelope::{append_headers, append_line};

fn bytes_of(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone().into_bytes()),
        other => Some(STANDARD.decode(other["base64"].as_str().expect("base64")).expect("base64")),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fuzz_target!(|data: &[u8]| {
    let mut fields = data.split(|byte| *byte == 0x1e);
    let mut next = || fields.next().filter(|field| !field.is_empty()).map(<[u8]>::to_vec);
    let (key, value, error, topic) = (next(), next(), next(), next());
    let mut own = Vec::new();
    while let Some(name) = next() {
        own.push((text(&name), next()));
    }
    let original = OwnedRecord {
        topic: text(&topic.unwrap_or_default()),
        partition: 3,
        offset: data.len() as i64,
        timestamp_ms: data.first().map(|byte| i64::from(*byte) - 100),
        key,
        value,
        headers: own,
    };
    let mut reject = Reject::new(RejectReason::Refused, &"sink".into(), text(&error.unwrap_or_default()));
    reject.status = data.last().map(|byte| u16::from(*byte));

    let mut line = b"before\n".to_vec();
    append_line(&mut line, &original, &reject, "pipe\"line");
    let line = line.strip_prefix(b"before\n").expect("what was there stays");
    assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
    assert_eq!(line.last(), Some(&b'\n'));
    let read: Value = serde_json::from_slice(line).expect("a line is JSON");
    assert_eq!(bytes_of(&read["key"]), original.key);
    assert_eq!(bytes_of(&read["value"]), original.value);
    assert_eq!((read["topic"].as_str(), read["offset"].as_i64()), (Some(&*original.topic), Some(original.offset)));
    assert_eq!((read["error"].as_str(), read["pipeline"].as_str()), (Some(&*reject.detail), Some("pipe\"line")));
    assert_eq!(read["timestamp"].as_i64(), original.timestamp_ms);
    let own: Vec<(String, Option<Vec<u8>>)> = read["headers"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|pair| (pair[0].as_str().expect("a name").to_owned(), bytes_of(&pair[1])))
        .collect();
    assert_eq!(own, original.headers);

    let mut payload = Vec::new();
    assert!(append_headers(&mut payload, &original, &reject, "pipe\"line"));
    let read: Vec<_> = headers(&payload).map(|header| header.expect("well formed")).collect();
    let facts = read.iter().take_while(|(name, _)| name.starts_with(b"sluicegate-")).count();
    assert!(facts >= 8, "{facts} facts");
    let own = &read[read.len() - original.headers.len()..];
    for ((name, value), (read_name, read_value)) in original.headers.iter().zip(own) {
        assert_eq!((name.as_bytes(), value.as_deref()), (*read_name, *read_value));
    }
    // Bytes the envelope did not write are an error or an end, never a panic.
    let _ = headers(data).take(data.len() + 1).filter(Result::is_ok).count();
});
