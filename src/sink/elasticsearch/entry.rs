//! The bytes of one bulk entry: action line and body line. Pure.

use std::io::Write;

use crate::config::plan::Action;
use crate::model::Record;
use crate::mutants::{self, Mutant};

use super::bulk::ItemAction;

/// How the id begins in an action line.
const ID_MEMBER: &[u8] = b"\"_id\":\"";

/// Where one document goes.
pub struct DocumentTarget<'a> {
    /// Document id, 1 to 512 bytes; `None`: the server makes one.
    pub id: Option<&'a str>,
    /// Index, unless the request's path names it.
    pub index: Option<&'a str>,
    /// Routing value.
    pub routing: Option<&'a str>,
    /// External version.
    pub version: Option<i64>,
}

/// Writes entries; holds the constant ends of the lines.
pub struct ActionLine {
    update_end: Vec<u8>,
    version_type: &'static [u8],
}

impl ActionLine {
    /// `retry_on_conflict` goes into every update. Where two records of an id may have one version (`ties`), the later
    /// one wins; otherwise the same version again is the same record again.
    #[must_use]
    pub fn new(retry_on_conflict: u32, ties: bool) -> Self {
        Self {
            update_end: format!(",\"retry_on_conflict\":{retry_on_conflict}}}}}\n").into_bytes(),
            version_type: if ties && !mutants::on(Mutant::TiesLoseTheLater) {
                b",\"version_type\":\"external_gte\""
            } else {
                b",\"version_type\":\"external\""
            },
        }
    }

    /// Appends one whole entry. `wanted` tells an upsert from a plain update.
    pub fn write(
        &self,
        action: ItemAction,
        wanted: Action,
        target: &DocumentTarget<'_>,
        body: Option<&[&[u8]]>,
        out: &mut Vec<u8>,
    ) {
        let opening: &[u8] = match action {
            ItemAction::Index => b"{\"index\":{\"_id\":\"",
            ItemAction::Create => b"{\"create\":{\"_id\":\"",
            ItemAction::Update => b"{\"update\":{\"_id\":\"",
            ItemAction::Delete => b"{\"delete\":{\"_id\":\"",
            ItemAction::Drop => return,
        };
        let mut first = match target.id {
            Some(id) => {
                out.extend_from_slice(opening);
                escape(id, out);
                out.push(b'"');
                false
            }
            None => {
                out.extend_from_slice(&opening[..opening.len() - ID_MEMBER.len()]);
                true
            }
        };
        for (member, value) in [("_index", target.index), ("routing", target.routing)] {
            if let Some(value) = value {
                write_member(member, value, first, out);
                first = false;
            }
        }
        if let Some(version) = target.version {
            out.extend_from_slice(b",\"version\":");
            write_number(version, out);
            out.extend_from_slice(self.version_type);
        }
        out.extend_from_slice(if action == ItemAction::Update { &self.update_end } else { b"}}\n" });
        if let Some(pieces) = body {
            write_body(action, wanted, pieces, out);
        }
    }
}

fn write_body(action: ItemAction, wanted: Action, pieces: &[&[u8]], out: &mut Vec<u8>) {
    if action != ItemAction::Update {
        write_value(pieces, out);
        out.push(b'\n');
        return;
    }
    out.extend_from_slice(b"{\"doc\":");
    write_value(pieces, out);
    let end: &[u8] = if wanted == Action::Upsert { b",\"doc_as_upsert\":true}\n" } else { b"}\n" };
    out.extend_from_slice(end);
}

fn write_member(name: &str, value: &str, first: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(if first { b"\"" } else { b",\"" });
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":\"");
    escape(value, out);
    out.push(b'"');
}

fn write_number(number: i64, out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{number}");
}

/// The id of a record without a key: `{topic}+{partition}+{offset}`, as Kafka Connect spells it.
pub fn write_default_id(record: &Record<'_>, out: &mut Vec<u8>) {
    out.clear();
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{}+{}+{}", record.topic, record.partition, record.offset);
}

/// Copies a value. A raw line end, which JSON allows only as a blank, would split the body line: it becomes a space.
fn write_value(pieces: &[&[u8]], out: &mut Vec<u8>) {
    for piece in pieces {
        let start = out.len();
        out.extend_from_slice(piece);
        let mut from = start;
        while let Some(at) = memchr::memchr2(b'\n', b'\r', &out[from..]) {
            out[from + at] = b' ';
            from += at + 1;
        }
    }
}

/// Appends `text` as the inside of a JSON string (RFC 8259, section 7).
fn escape(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let mut plain = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if *byte >= 0x20 && *byte != b'"' && *byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[plain..at]);
        plain = at + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            control => {
                // Writing to a Vec cannot fail.
                let _ = write!(out, "\\u{control:04x}");
            }
        }
    }
    out.extend_from_slice(&bytes[plain..]);
}

/// What is wrong with an index name, by the rules all supported servers share; `None` when nothing is.
#[must_use]
pub fn index_name_fault(name: &str) -> Option<&'static str> {
    let forbidden = |c: char| matches!(c, '\\' | '/' | '*' | '?' | '"' | '<' | '>' | '|' | ' ' | ',' | '#' | ':');
    if name.is_empty() {
        Some("is empty or not UTF-8")
    } else if name.len() > 255 {
        Some("is longer than 255 bytes")
    } else if name.starts_with(['-', '_', '+']) || name == "." || name == ".." {
        Some("must not start with -, _ or +, nor be . or ..")
    } else if name.chars().any(forbidden) {
        Some("holds one of \\ / * ? \" < > | , # : or a blank")
    } else if name.chars().any(char::is_uppercase) {
        Some("must be lower case: write `:lower` in the template, as in `{topic:lower}`")
    } else {
        None
    }
}
