//! Lines → records: values alone, or what kcat prints. Pure.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::model::OwnedRecord;

/// Bytes that a value may take in an envelope for each of its own, and what else the envelope holds.
const ESCAPED: usize = 6;
const ENVELOPE: usize = 1 << 20;

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputForm {
    /// A value.
    Values,
    /// An object of `kcat -J`.
    Envelopes,
    /// Key, TAB, value.
    KeyValues,
}

/// What a record has that its line does not say.
#[derive(Debug, Clone)]
pub struct RecordDefaults {
    /// The topic.
    pub topic: String,
}

/// One object of `kcat -J`. kcat adds members by build and flags; the others say nothing of the record.
#[derive(Deserialize)]
struct KcatEnvelope<'l> {
    topic: Option<String>,
    partition: Option<i32>,
    offset: Option<i64>,
    ts: Option<i64>,
    #[serde(borrow)]
    headers: Option<&'l RawValue>,
    #[serde(borrow)]
    key: Option<&'l RawValue>,
    #[serde(borrow)]
    payload: &'l RawValue,
}

impl InputForm {
    /// Most bytes of a line whose value may have `value` bytes: one more, so that the program itself rejects it.
    #[must_use]
    pub fn most_bytes(self, value: usize) -> usize {
        match self {
            Self::Values => value.saturating_add(1),
            Self::Envelopes => value.saturating_mul(ESCAPED).saturating_add(ENVELOPE),
            Self::KeyValues => value.saturating_add(ENVELOPE),
        }
    }

    /// The record of line `number`; `None` for a blank one.
    ///
    /// # Errors
    /// Why the line is none of this form.
    pub fn record(
        self,
        mut line: Vec<u8>,
        number: u64,
        now_ms: i64,
        defaults: &RecordDefaults,
    ) -> Result<Option<OwnedRecord>, String> {
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        if line.iter().all(u8::is_ascii_whitespace) && (self != Self::KeyValues || !line.contains(&b'\t')) {
            return Ok(None);
        }
        let record = OwnedRecord {
            topic: defaults.topic.clone(),
            partition: 0,
            offset: i64::try_from(number.saturating_sub(1)).unwrap_or(i64::MAX),
            timestamp_ms: Some(now_ms),
            key: None,
            value: None,
            headers: Vec::new(),
        };
        match self {
            Self::Values => Ok(Some(OwnedRecord { value: Some(line), ..record })),
            Self::Envelopes => envelope(&line, record).map(Some),
            Self::KeyValues => key_value(&line, record).map(Some),
        }
    }
}

fn key_value(line: &[u8], record: OwnedRecord) -> Result<OwnedRecord, String> {
    let tab = memchr::memchr(b'\t', line).ok_or("it has no TAB between key and value; write kcat -f '%k\\t%s\\n'")?;
    let filled = |part: &[u8]| (!part.is_empty()).then(|| part.to_vec());
    Ok(OwnedRecord { key: filled(&line[..tab]), value: filled(&line[tab + 1..]), ..record })
}

fn envelope(line: &[u8], record: OwnedRecord) -> Result<OwnedRecord, String> {
    let read: KcatEnvelope<'_> =
        serde_json::from_slice(line).map_err(|error| format!("it is no line of kcat -J: {error}"))?;
    Ok(OwnedRecord {
        topic: read.topic.unwrap_or(record.topic),
        partition: read.partition.unwrap_or(record.partition),
        offset: read.offset.unwrap_or(record.offset),
        timestamp_ms: read.ts.or(record.timestamp_ms),
        key: read.key.and_then(bytes),
        value: bytes(read.payload),
        headers: read.headers.map_or(Ok(Vec::new()), headers)?,
    })
}

/// A string's text; anything else (kcat prints Avro as JSON) as it stands; `None` for null.
fn bytes(raw: &RawValue) -> Option<Vec<u8>> {
    match raw.get() {
        "null" => None,
        text => Some(serde_json::from_str::<String>(text).unwrap_or_else(|_| text.to_owned()).into_bytes()),
    }
}

/// Headers in order.
type HeaderList = Vec<(String, Option<Vec<u8>>)>;

/// Headers: name, value, name, value; or, of newer versions on demand, a map of names and lists.
fn headers(raw: &RawValue) -> Result<HeaderList, String> {
    if raw.get().starts_with('{') {
        let map: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(raw.get()).map_err(|error| format!("`headers`: {error}"))?;
        let each = |(name, values): (String, serde_json::Value)| {
            let values = values.as_array().cloned().ok_or_else(|| format!("`headers`: `{name}` holds no list"))?;
            Ok(values.into_iter().map(move |value| (name.clone(), value.as_str().map(|text| text.as_bytes().to_vec()))))
        };
        let all: Vec<_> = map.into_iter().map(each).collect::<Result<_, String>>()?;
        return Ok(all.into_iter().flatten().collect());
    }
    let flat: Vec<Option<String>> = serde_json::from_str(raw.get()).map_err(|error| format!("`headers`: {error}"))?;
    let (pairs, rest) = flat.as_chunks::<2>();
    if !rest.is_empty() {
        return Err("`headers` ends with a name without a value".to_owned());
    }
    let pair = |[name, value]: &[Option<String>; 2]| {
        let name = name.clone().ok_or("`headers` has a name that is null")?;
        Ok((name, value.clone().map(String::into_bytes)))
    };
    pairs.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(form: InputForm, line: &str) -> Result<Option<OwnedRecord>, String> {
        form.record(line.as_bytes().to_vec(), 3, 99, &RecordDefaults { topic: "t".into() })
    }

    fn record(key: Option<&str>, value: Option<&str>) -> OwnedRecord {
        let bytes = |text: &str| text.as_bytes().to_vec();
        let (key, value) = (key.map(bytes), value.map(bytes));
        OwnedRecord { topic: "t".into(), partition: 0, offset: 2, timestamp_ms: Some(99), key, value, headers: vec![] }
    }

    #[test]
    fn a_value_travels_as_it_stands() {
        assert_eq!(read(InputForm::Values, " {\"a\": 1} \r"), Ok(Some(record(None, Some(" {\"a\": 1} ")))));
        for blank in ["", "  ", "\t", "\r"] {
            assert_eq!(read(InputForm::Values, blank), Ok(None));
        }
    }

    #[test]
    fn a_key_ends_at_the_first_tab() {
        for (line, key, value) in [
            ("k\tv", Some("k"), Some("v")),
            ("k\tv\tw", Some("k"), Some("v\tw")),
            ("\tv", None, Some("v")),
            ("k\t", Some("k"), None),
            ("\t", None, None),
        ] {
            assert_eq!(read(InputForm::KeyValues, line), Ok(Some(record(key, value))), "{line:?}");
        }
        assert!(read(InputForm::KeyValues, "k v").is_err_and(|why| why.contains("no TAB")));
    }

    #[test]
    fn lines_of_kcat() {
        let line = r#"{"topic":"in","partition":2,"offset":7,"tstype":"create","ts":1700000000123,"broker":1,"headers":["a","1","a",null,"b","ä\n"],"key":"k\"","payload":"{\"n\": 1}\u0000"}"#;
        let read_back = read(InputForm::Envelopes, line).expect("an envelope").expect("a record");
        let header = |name: &str, value: Option<&str>| (name.to_owned(), value.map(|text| text.as_bytes().to_vec()));
        let expected = OwnedRecord {
            topic: "in".into(),
            partition: 2,
            offset: 7,
            timestamp_ms: Some(1_700_000_000_123),
            key: Some(b"k\"".to_vec()),
            value: Some(b"{\"n\": 1}\0".to_vec()),
            headers: vec![header("a", Some("1")), header("a", None), header("b", Some("ä\n"))],
        };
        assert_eq!(read_back, expected);
        let by_name = r#"{"headers":{"a":["1",null]},"payload":{"of": "avro"}}"#;
        let by_name = read(InputForm::Envelopes, by_name).expect("an envelope").expect("a record");
        assert_eq!(by_name.headers, [header("a", Some("1")), header("a", None)]);
        assert_eq!(by_name.value.as_deref(), Some(&b"{\"of\": \"avro\"}"[..]));
        let tombstone = read(InputForm::Envelopes, r#"{"key":null,"payload":null}"#);
        assert_eq!(tombstone, Ok(Some(record(None, None))));
    }

    #[test]
    fn what_is_no_line_of_kcat_says_why() {
        for (line, part) in [
            ("{", "no line of kcat -J"),
            ("{\"key\":\"k\"}", "payload"),
            ("[1]", "no line of kcat -J"),
            ("{\"payload\":\"x\",\"headers\":[\"a\"]}", "a name without a value"),
            ("{\"payload\":\"x\",\"headers\":[null,\"a\"]}", "a name that is null"),
            ("{\"payload\":\"x\",\"headers\":{\"a\":1}}", "`a` holds no list"),
        ] {
            assert!(read(InputForm::Envelopes, line).is_err_and(|why| why.contains(part)), "{line}");
        }
    }
}
