//! Scalars that steps make, and JSON out of text.

use super::super::document::Value;
use super::super::look::Look;
use super::super::tape::Malformed;
use super::room::{MadeScalar, Overgrown, ScalarKind};
use super::{Draft, DraftValue};

impl Draft<'_> {
    /// Makes a scalar of its JSON text; a string must have no escapes.
    pub(in crate::preprocess) fn make(&mut self, json: &[u8]) -> DraftValue {
        let start = self.room.texts.len();
        self.room.texts.extend_from_slice(json);
        let end = self.room.texts.len();
        let kind = match json.first() {
            Some(b'n') | None => ScalarKind::Null,
            Some(b't') => ScalarKind::Bool(true),
            Some(b'f') => ScalarKind::Bool(false),
            Some(b'"') => ScalarKind::String((start as u32 + 1, end as u32 - 1)),
            Some(_) => ScalarKind::Number,
        };
        self.add_made(start, kind)
    }

    /// Makes a string of a value's JSON text.
    pub(in crate::preprocess) fn make_text_of(&mut self, value: DraftValue) -> DraftValue {
        let text = self.text_of(value);
        self.make_string(&text)
    }

    /// Makes a string.
    pub(in crate::preprocess) fn make_string(&mut self, text: &str) -> DraftValue {
        let texts = &mut self.room.texts;
        let start = texts.len();
        texts.extend_from_slice(text.as_bytes());
        let end = texts.len();
        write_string(texts, start, end);
        self.add_made(end, ScalarKind::String((start as u32, end as u32)))
    }

    /// Makes a scalar of the texts from `start` on.
    fn add_made(&mut self, start: usize, kind: ScalarKind) -> DraftValue {
        let end = self.room.texts.len();
        if end > self.room.most_bytes {
            self.room.overgrown.get_or_insert(Overgrown::Bytes);
        }
        // Most bytes are far below what 32 bits count.
        self.room.scalars.push(MadeScalar { json: (start as u32, end as u32), kind });
        DraftValue::Made(self.room.scalars.len() as u32 - 1)
    }

    /// What the text of a string is as JSON; `None` where the value is no string.
    ///
    /// # Errors
    /// The text is no JSON.
    pub(in crate::preprocess) fn parse_text(&mut self, value: DraftValue) -> Result<Option<DraftValue>, Malformed> {
        let mut inner = std::mem::take(&mut self.room.inner);
        inner.clear();
        let is_string = match self.value(value) {
            Value::String(text) => {
                inner.extend_from_slice(text.as_bytes());
                true
            }
            Value::Null
            | Value::Bool(_)
            | Value::Negative(_)
            | Value::Unsigned(_)
            | Value::Float(_)
            | Value::Object { .. }
            | Value::Array => false,
        };
        let mut parser = self.room.parser.take().unwrap_or_default();
        let range = is_string.then(|| parser.read(&inner, |doc| doc.range(doc.root()))).transpose();
        self.room.parser = Some(parser);
        let made = range.map(|range| {
            range.map(|range| {
                let start = self.room.texts.len();
                self.room.texts.extend_from_slice(&inner[range]);
                self.add_made(start, ScalarKind::Json)
            })
        });
        self.room.inner = inner;
        made
    }
}

/// Appends the characters `texts[start..end]`, which are UTF-8, as a JSON string (RFC 8259 section 7).
fn write_string(texts: &mut Vec<u8>, start: usize, end: usize) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    texts.push(b'"');
    let mut plain = start;
    for at in start..end {
        let byte = texts[at];
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        texts.extend_from_within(plain..at);
        plain = at + 1;
        match byte {
            b'"' => texts.extend_from_slice(b"\\\""),
            b'\\' => texts.extend_from_slice(b"\\\\"),
            b'\n' => texts.extend_from_slice(b"\\n"),
            b'\r' => texts.extend_from_slice(b"\\r"),
            b'\t' => texts.extend_from_slice(b"\\t"),
            control => {
                texts.extend_from_slice(b"\\u00");
                texts.extend([HEX[usize::from(control >> 4)], HEX[usize::from(control & 15)]]);
            }
        }
    }
    texts.extend_from_within(plain..end);
    texts.push(b'"');
}
