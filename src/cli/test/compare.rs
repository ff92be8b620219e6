//! What was expected of a record and what became of it → the differences. Pure.

use serde_json::Value;

use super::json;
use crate::config::plan::{ExpectedEnd, ExpectedOutput, ExpectedValue};
use crate::pipeline::{OfflineEnd, SinkForm, SinkOutput};

/// Bytes shown in front of the first that differs.
const BEFORE: usize = 40;
/// Bytes shown from there on.
const AFTER: usize = 40;

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Number of the output, from 0, where several are expected or found.
    pub output: Option<usize>,
    /// What differs: a key of `expect`, or `outputs`.
    pub what: &'static str,
    /// Where in it.
    pub place: DifferencePlace,
    /// What was expected there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

/// Where in a value something differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DifferencePlace {
    /// The whole of it.
    Whole,
    /// At a JSON pointer.
    Pointer(String),
    /// At a byte; the texts of both sides begin at the same byte before it.
    Byte {
        /// The first byte that differs, from 0.
        offset: usize,
        /// Its column in both texts, from 0.
        column: usize,
    },
}

/// All differences, in order. None means: as expected.
#[must_use]
pub fn compare(expected: &[ExpectedEnd], ends: &[OfflineEnd]) -> Vec<Difference> {
    let mut all = Vec::new();
    if expected.len() != ends.len() {
        let (wanted, there) = (expected.len().to_string(), ends.len().to_string());
        all.push(difference("outputs", DifferencePlace::Whole, wanted, there));
    }
    let several = expected.len() > 1 || ends.len() > 1;
    for (number, (expected, end)) in expected.iter().zip(ends).enumerate() {
        let before = all.len();
        one(expected, end, &mut all);
        all[before..].iter_mut().for_each(|difference| difference.output = several.then_some(number));
    }
    all
}

fn difference(what: &'static str, place: DifferencePlace, expected: String, found: String) -> Difference {
    Difference { output: None, what, place, expected, found }
}

fn one(expected: &ExpectedEnd, end: &OfflineEnd, all: &mut Vec<Difference>) {
    let whole =
        |what, expected: &str, found: String| difference(what, DifferencePlace::Whole, expected.to_owned(), found);
    match (expected, end) {
        (ExpectedEnd::Delivered(expected), OfflineEnd::Sent(output)) => sent(expected, output, all),
        (ExpectedEnd::Dropped, OfflineEnd::Dropped) => {}
        (ExpectedEnd::Rejected { reason, step }, OfflineEnd::Rejected { reject, .. }) => {
            if let Some(reason) = reason.filter(|reason| *reason != reject.reason) {
                all.push(whole("reason", reason.name(), format!("{}: {}", reject.reason, reject.detail)));
            }
            if let Some(step) = step.as_ref().filter(|step| **step != *reject.step) {
                all.push(whole("step", step, reject.step.to_string()));
            }
        }
        (expected, end) => {
            let wanted = match expected {
                ExpectedEnd::Delivered(_) => "delivered",
                ExpectedEnd::Dropped => "dropped",
                ExpectedEnd::Rejected { .. } => "rejected",
            };
            let found = match end {
                OfflineEnd::Sent(_) => "delivered".to_owned(),
                OfflineEnd::Dropped => "dropped".to_owned(),
                OfflineEnd::Rejected { reject, .. } => format!("rejected: {reject}"),
            };
            all.push(whole("outcome", wanted, found));
        }
    }
}

fn sent(expected: &ExpectedOutput, output: &SinkOutput, all: &mut Vec<Difference>) {
    match &output.form {
        SinkForm::Kafka { topic, key, headers } => {
            if let Some(wanted) = &expected.topic {
                texts("topic", wanted, topic, all);
            }
            if let Some(wanted) = &expected.key {
                optional_bytes("key", wanted.as_deref(), key.as_deref(), all);
            }
            if let Some(wanted) = expected.headers.as_ref().filter(|wanted| *wanted != headers) {
                let (wanted, found) = (shown_headers(wanted), shown_headers(headers));
                all.push(difference("headers", DifferencePlace::Whole, wanted, found));
            }
        }
        SinkForm::Elasticsearch { lines, index } => entry(expected, lines, index.as_deref(), all),
    }
    match (&expected.value, output.value.as_deref()) {
        (None, _) | (Some(ExpectedValue::Tombstone), None) => {}
        (Some(ExpectedValue::Bytes(wanted)), found) => optional_bytes("value", Some(wanted), found, all),
        (Some(ExpectedValue::Json(wanted)), Some(found)) => as_json("value", wanted, found, all),
        (Some(ExpectedValue::Tombstone), Some(found)) => optional_bytes("value", None, Some(found), all),
        (Some(ExpectedValue::Json(wanted)), None) => optional_bytes("value", Some(wanted.as_bytes()), None, all),
    }
}

/// The two lines of a bulk request.
fn entry(expected: &ExpectedOutput, lines: &[u8], index: Option<&str>, all: &mut Vec<Difference>) {
    let (action, document) = two_lines(lines);
    let members = ActionMembers::of(action);
    if let Some(wanted) = &expected.index {
        texts("index", wanted, members.index.as_deref().or(index).unwrap_or_default(), all);
    }
    if let Some(wanted) = &expected.id {
        optional_bytes("id", wanted.as_ref().map(String::as_bytes), members.id.as_ref().map(String::as_bytes), all);
    }
    if let Some(wanted) = &expected.action {
        as_json("action", wanted, action, all);
    }
    match (&expected.document, document) {
        (Some(wanted), Some(found)) => as_json("document", wanted, found, all),
        (Some(wanted), None) if wanted != "null" => optional_bytes("document", Some(wanted.as_bytes()), None, all),
        (Some(_) | None, _) => {}
    }
    if let Some(wanted) = &expected.lines {
        optional_bytes("lines", Some(wanted), Some(lines), all);
    }
}

/// The action line and the line behind it, without line ends.
#[must_use]
pub fn two_lines(lines: &[u8]) -> (&[u8], Option<&[u8]>) {
    let mut parts = lines.split(|byte| *byte == b'\n');
    let action = parts.next().unwrap_or_default();
    (action, parts.next().filter(|line| !line.is_empty()))
}

/// What an action line says of its target.
#[derive(Debug, Default)]
pub struct ActionMembers {
    /// The document's id.
    pub id: Option<String>,
    /// The index.
    pub index: Option<String>,
}

impl ActionMembers {
    /// Reads an action line.
    #[must_use]
    pub fn of(action: &[u8]) -> Self {
        let Ok(Value::Object(line)) = serde_json::from_slice(action) else { return Self::default() };
        let text = |name: &str| line.values().next()?.get(name)?.as_str().map(str::to_owned);
        Self { id: text("_id"), index: text("_index") }
    }
}

fn texts(what: &'static str, expected: &str, found: &str, all: &mut Vec<Difference>) {
    if expected != found {
        all.push(difference(what, DifferencePlace::Whole, expected.to_owned(), found.to_owned()));
    }
}

fn as_json(what: &'static str, expected: &str, found: &[u8], all: &mut Vec<Difference>) {
    let told = std::str::from_utf8(found).map_err(|error| error.to_string());
    match told.and_then(|found| json::differences(expected, found)) {
        Ok(differences) => all.extend(
            differences
                .into_iter()
                .map(|one| difference(what, DifferencePlace::Pointer(one.pointer), one.expected, one.found)),
        ),
        Err(why) => {
            let found = format!("no JSON ({why}): {}", shown(found.get(..BEFORE + AFTER).unwrap_or(found)));
            all.push(difference(what, DifferencePlace::Whole, expected.to_owned(), found));
        }
    }
}

fn optional_bytes(what: &'static str, expected: Option<&[u8]>, found: Option<&[u8]>, all: &mut Vec<Difference>) {
    match (expected, found) {
        (Some(expected), Some(found)) => all.extend(bytes(what, expected, found)),
        (None, None) => {}
        (expected, found) => {
            let side = |side: Option<&[u8]>| side.map_or("nothing".to_owned(), |bytes| shown(&excerpt(bytes, 0).1));
            all.push(difference(what, DifferencePlace::Whole, side(expected), side(found)));
        }
    }
}

/// The first byte in which two texts differ, with what stands around it on both sides.
fn bytes(what: &'static str, expected: &[u8], found: &[u8]) -> Option<Difference> {
    if expected == found {
        return None;
    }
    let offset = expected.iter().zip(found).take_while(|(a, b)| a == b).count();
    let ((head, wanted), (_, there)) = (excerpt(expected, offset), excerpt(found, offset));
    let column = shown(&head).chars().count();
    Some(difference(what, DifferencePlace::Byte { offset, column }, shown(&wanted), shown(&there)))
}

/// What is shown of a text: the part before the byte, and all. Characters are not cut, and what is left out is `…`.
fn excerpt(bytes: &[u8], offset: usize) -> (Vec<u8>, Vec<u8>) {
    let is_inside = |at: &usize| bytes.get(*at).is_some_and(|byte| byte & 0xC0 == 0x80);
    let back = |at: usize| (0..=at).rev().find(|at| !is_inside(at)).unwrap_or(0);
    let (start, middle) = (back(offset.saturating_sub(BEFORE)), back(offset));
    let end = back((offset + AFTER).min(bytes.len()));
    let end = if end <= middle { bytes.len().min(offset + AFTER) } else { end };
    let part = |from: usize, to: usize| bytes.get(from..to).unwrap_or_default();
    let ellipsis = |wanted: bool| if wanted { "…".as_bytes() } else { b"" };
    let head = [ellipsis(start > 0), part(start, middle)].concat();
    let all = [&head, part(middle, end), ellipsis(end < bytes.len())].concat();
    (head, all)
}

/// Bytes as text: control characters and what is no UTF-8 are escaped.
#[must_use]
pub fn shown(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() { out.extend(character.escape_default()) } else { out.push(character) }
        }
        chunk.invalid().iter().for_each(|byte| out.push_str(&format!("\\x{byte:02x}")));
    }
    out
}

/// Headers on one line.
#[must_use]
pub fn shown_headers(headers: &[(String, Option<Vec<u8>>)]) -> String {
    let one = |(name, value): &(String, Option<Vec<u8>>)| match value {
        Some(value) => format!("{name}={}", shown(value)),
        None => format!("{name} (null)"),
    };
    if headers.is_empty() { "none".to_owned() } else { headers.iter().map(one).collect::<Vec<_>>().join(", ") }
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
