//! Scalars that steps make, and JSON out of text.

use super::super::document::Value;
use super::super::look::Look;
use super::super::tape::Malformed;
use super::room::{MadeScalar, ScalarKind};
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
        self.add_scalar(MadeScalar { json: (start as u32, end as u32), kind })
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
        let json = (end as u32, texts.len() as u32);
        let kind = ScalarKind::String((start as u32, end as u32));
        self.add_scalar(MadeScalar { json, kind })
    }

    pub(super) fn add_scalar(&mut self, scalar: MadeScalar) -> DraftValue {
        self.room.scalars.push(scalar);
        DraftValue::Made(self.room.scalars.len() as u32 - 1)
    }

    /// What the text of a string is as JSON; `None` where the value is no string.
    ///
    /// # Errors
    /// The text is no JSON.
    pub(in crate::preprocess) fn parse_text(&mut self, value: DraftValue) -> Result<Option<DraftValue>, Malformed> {
        let mut parser = std::mem::take(&mut self.room.parser);
        let read = match self.value(value) {
            Value::String(text) => parser.read(text.as_bytes(), |doc| Some(doc.bytes(doc.root()).to_vec())),
            Value::Null
            | Value::Bool(_)
            | Value::Negative(_)
            | Value::Unsigned(_)
            | Value::Float(_)
            | Value::Object { .. }
            | Value::Array => Ok(None),
        };
        self.room.parser = parser;
        Ok(read?.map(|json| {
            let start = self.room.texts.len();
            self.room.texts.extend_from_slice(&json);
            let json = (start as u32, self.room.texts.len() as u32);
            self.add_scalar(MadeScalar { json, kind: ScalarKind::Json })
        }))
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
