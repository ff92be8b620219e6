//! What came out of a record → what is expected of it, as YAML in braces. Pure.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::compare::{ActionMembers, two_lines};
use super::super::json::{self, JsonLevel};
use crate::config::NewExpectation;
use crate::config::plan::{ExpectedEnd, ExpectedOutput, ExpectedValue};
use crate::pipeline::{OfflineEnd, SinkForm, SinkOutput};

/// Most levels of a value that is written as YAML; a deeper one is written as text.
const DEEPEST: usize = 32;

type WrittenKeys = Vec<(&'static str, String)>;

/// The keys of `expected` with what came out in the place of their values; all keys where there is nothing to go by.
/// `quoted` writes JSON.
#[must_use]
pub fn expectation(expected: &[ExpectedEnd], ends: &[OfflineEnd], quoted: bool) -> NewExpectation {
    let pattern = |number: usize| expected.get(number).or(expected.first());
    let ends = ends.iter().enumerate().map(|(number, end)| written(pattern(number), end, quoted)).collect();
    NewExpectation { ends }
}

fn written(expected: Option<&ExpectedEnd>, end: &OfflineEnd, quoted: bool) -> WrittenKeys {
    match end {
        OfflineEnd::Dropped => vec![("outcome", text("dropped"))],
        OfflineEnd::Rejected { reject, .. } => {
            let reason = ("reason", text(reject.reason.name()));
            let step = ("step", text(&reject.step));
            match expected {
                Some(ExpectedEnd::Rejected { reason: Some(_), step: None }) => vec![reason],
                Some(ExpectedEnd::Rejected { reason: None, step: Some(_) }) => vec![step],
                Some(ExpectedEnd::Rejected { .. } | ExpectedEnd::Delivered(_) | ExpectedEnd::Dropped) | None => {
                    vec![("outcome", text("rejected")), reason, step]
                }
            }
        }
        OfflineEnd::Sent(output) => {
            let pattern = match expected {
                Some(ExpectedEnd::Delivered(pattern)) => pattern.clone(),
                Some(ExpectedEnd::Dropped | ExpectedEnd::Rejected { .. }) | None => Box::new(everything(output)),
            };
            sent(&pattern, output, quoted)
        }
    }
}

/// Wants everything that is sent.
fn everything(output: &SinkOutput) -> ExpectedOutput {
    let some = || Some(String::new());
    match &output.form {
        SinkForm::Kafka { headers, .. } => ExpectedOutput {
            topic: some(),
            key: Some(None),
            headers: (!headers.is_empty()).then(Vec::new),
            value: Some(ExpectedValue::Tombstone),
            ..ExpectedOutput::default()
        },
        SinkForm::Elasticsearch { .. } => {
            ExpectedOutput { index: some(), action: some(), document: some(), ..ExpectedOutput::default() }
        }
    }
}

fn sent(pattern: &ExpectedOutput, output: &SinkOutput, quoted: bool) -> WrittenKeys {
    let mut keys = Vec::new();
    match &output.form {
        SinkForm::Kafka { topic, key, headers } => {
            if pattern.topic.is_some() {
                keys.push(("topic", text(topic)));
            }
            if pattern.key.is_some() {
                keys.push(optional("key", "key_base64", key.as_deref()));
            }
            if pattern.headers.is_some() {
                keys.push(("headers", headers_written(headers, quoted)));
            }
        }
        SinkForm::Elasticsearch { lines, index } => {
            let (action, document) = two_lines(lines);
            let members = ActionMembers::of(action);
            if pattern.index.is_some() {
                keys.push(("index", text(members.index.as_ref().or(index.as_ref()).map_or("", String::as_str))));
            }
            if pattern.id.is_some() {
                keys.push(optional("id", "id", members.id.as_ref().map(String::as_bytes)));
            }
            let (whole, yaml) = (String::from_utf8_lossy(lines), |line| yaml_of(line, quoted));
            let document = document.map_or_else(|| Some("null".to_owned()), yaml);
            // What cannot be a YAML value (a name twice in one object) is written as it stands.
            match (pattern.action.is_some(), pattern.document.is_some(), yaml(action), document) {
                (false, false, _, _) if pattern.lines.is_none() => {}
                (action_wanted, document_wanted, Some(action), Some(document)) if pattern.lines.is_none() => {
                    keys.extend(action_wanted.then_some(("action", action)));
                    keys.extend(document_wanted.then_some(("document", document)));
                }
                _ => keys.push(("lines", text(&whole))),
            }
        }
    }
    if let Some(kind) = &pattern.value {
        keys.push(value(kind, output.value.as_deref(), quoted));
    }
    if keys.is_empty() {
        keys.push(("outcome", text("delivered")));
    }
    keys
}

fn value(kind: &ExpectedValue, found: Option<&[u8]>, quoted: bool) -> (&'static str, String) {
    let Some(found) = found else { return ("value", "null".to_owned()) };
    let as_yaml = match kind {
        ExpectedValue::Tombstone | ExpectedValue::Json(_) => yaml_of(found, quoted).filter(|yaml| yaml != "null"),
        ExpectedValue::Bytes(_) => None,
    };
    match as_yaml {
        Some(yaml) => ("value", yaml),
        None => optional("text", "base64", Some(found)),
    }
}

/// A key with bytes as text, as Base64 where they are none, or null.
fn optional(key: &'static str, binary: &'static str, found: Option<&[u8]>) -> (&'static str, String) {
    match found.map(|bytes| std::str::from_utf8(bytes).map_err(|_| bytes)) {
        None => (key, "null".to_owned()),
        Some(Ok(found)) => (key, text(found)),
        Some(Err(bytes)) => (binary, text(&STANDARD.encode(bytes))),
    }
}

fn headers_written(headers: &[(String, Option<Vec<u8>>)], quoted: bool) -> String {
    let is_text = |value: &Option<Vec<u8>>| value.as_ref().is_none_or(|value| std::str::from_utf8(value).is_ok());
    let is_first = |number: usize, name: &String| !headers[..number].iter().any(|(earlier, _)| earlier == name);
    let by_name = headers.iter().enumerate().all(|(number, (name, value))| is_text(value) && is_first(number, name));
    let key = |name: &str| if quoted { quote(name) } else { name.to_owned() };
    let one = |(name, value): &(String, Option<Vec<u8>>)| {
        let (kind, value) = optional("value", "base64", value.as_deref());
        match by_name {
            true => format!("{}: {value}", member(name, quoted)),
            false => format!("{{ {}: {}, {}: {value} }}", key("name"), text(name), key(kind)),
        }
    };
    let all = headers.iter().map(one).collect::<Vec<_>>().join(", ");
    match (by_name, headers.is_empty()) {
        (_, true) => "{}".to_owned(),
        (true, false) => format!("{{ {all} }}"),
        (false, false) => format!("[{all}]"),
    }
}

/// A JSON text as a YAML value in braces; `None` where YAML cannot say it.
fn yaml_of(found: &[u8], quoted: bool) -> Option<String> {
    let found: &serde_json::value::RawValue = serde_json::from_slice(found).ok()?;
    let mut out = String::new();
    write_value(found, quoted, 0, &mut out)?;
    Some(out)
}

fn write_value(raw: &serde_json::value::RawValue, quoted: bool, depth: usize, out: &mut String) -> Option<()> {
    if depth > DEEPEST {
        return None;
    }
    match json::level(raw) {
        JsonLevel::Word(word @ ("null" | "true" | "false")) => out.push_str(word),
        JsonLevel::Word(_) => return None,
        JsonLevel::Number(number) => out.push_str(number),
        JsonLevel::Text(found) => out.push_str(&text(&found)),
        JsonLevel::List(items) => {
            out.push('[');
            for (number, item) in items.iter().enumerate() {
                out.push_str(if number > 0 { ", " } else { "" });
                write_value(item, quoted, depth + 1, out)?;
            }
            out.push(']');
        }
        JsonLevel::Members(members) if members.is_empty() => out.push_str("{}"),
        JsonLevel::Members(members) => {
            out.push_str("{ ");
            for (number, (name, item)) in members.iter().enumerate() {
                if members[..number].iter().any(|(earlier, _)| earlier == name) {
                    return None;
                }
                out.push_str(if number > 0 { ", " } else { "" });
                let _ = write!(out, "{}: ", member(name, quoted));
                write_value(item, quoted, depth + 1, out)?;
            }
            out.push_str(" }");
        }
    }
    Some(())
}

/// Words that are no text in YAML, or were none once.
const NO_TEXT: [&str; 10] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan"];

/// A member's name: without quotes where it is a plain word. Variables are not filled into names.
fn member(name: &str, quoted: bool) -> String {
    let is_word = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !NO_TEXT.contains(&name.to_ascii_lowercase().as_str());
    if is_word && !quoted { name.to_owned() } else { quote(name) }
}

/// A text as a value: a `$` is doubled, or it would begin a variable.
fn text(found: &str) -> String {
    quote(&found.replace('$', "$$"))
}

/// In double quotes, with the escapes that YAML and JSON share.
fn quote(found: &str) -> String {
    let mut out = String::from("\"");
    for character in found.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            odd if odd.is_control() || matches!(odd, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                let _ = write!(out, "\\u{:04x}", u32::from(odd));
            }
            other => out.push(other),
        }
    }
    out + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_as_yaml() {
        for (found, expected) in [
            (r#"{"id":7,"a b":[1.50,null,true],"yes":{}}"#, Some(r#"{ id: 7, "a b": [1.50, null, true], "yes": {} }"#)),
            (r#"{"$a":"$b ${C}"}"#, Some(r#"{ "$a": "$$b $${C}" }"#)),
            (r#""\ud83d\ude00\u0001\"""#, Some(r#""😀\u0001\"""#)),
            ("12345678901234567890123", Some("12345678901234567890123")),
            (r#"{"a":1,"a":2}"#, None),
            (r#""\ud800""#, None),
            ("{", None),
        ] {
            assert_eq!(yaml_of(found.as_bytes(), false).as_deref(), expected, "{found}");
        }
        assert_eq!(yaml_of(b"{\"id\":{\"a\":1}}", true).as_deref(), Some(r#"{ "id": { "a": 1 } }"#));
        let deep = format!("{}1{}", "[".repeat(60), "]".repeat(60));
        assert_eq!(yaml_of(deep.as_bytes(), false), None);
    }

    #[test]
    fn headers_in_the_shorter_form_that_holds_them() {
        let header = |name: &str, value: Option<&[u8]>| (name.to_owned(), value.map(<[u8]>::to_vec));
        for (headers, expected) in [
            (vec![], "{}"),
            (vec![header("a", Some(b"1")), header("b-c", None)], r#"{ a: "1", "b-c": null }"#),
            (
                vec![header("a", Some(b"1")), header("a", None)],
                r#"[{ name: "a", value: "1" }, { name: "a", value: null }]"#,
            ),
            (vec![header("a", Some(b"\xff"))], r#"[{ name: "a", base64: "/w==" }]"#),
        ] {
            assert_eq!(headers_written(&headers, false), expected);
        }
    }
}
