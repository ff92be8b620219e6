//! Scalars that steps make, and JSON out of text.

use super::super::decode::write_json;
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

    /// Makes a string.
    pub(in crate::preprocess) fn make_string(&mut self, text: &str) -> DraftValue {
        let texts = &mut self.room.texts;
        let start = texts.len();
        texts.extend_from_slice(text.as_bytes());
        let end = texts.len();
        write_json(text, texts);
        self.add_made(end, ScalarKind::String((start as u32, end as u32)))
    }

    /// Lists the values that `make` makes of the record's JSON text: it appends them to a text, and where each ends to
    /// a list. How many there are; none of a record that is overgrown.
    ///
    /// # Errors
    /// Those of `make`.
    pub(in crate::preprocess) fn list_made<E>(
        &mut self,
        make: impl FnOnce(&[u8], &mut Vec<u8>, &mut Vec<usize>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let input = self.write_text(self.root);
        if self.room.overgrown.is_some() {
            self.room.inner = input;
            return Ok(0);
        }
        let (mut texts, mut ends) = (std::mem::take(&mut self.room.texts), Vec::new());
        let mut start = texts.len();
        let made = make(&input, &mut texts, &mut ends);
        (self.room.texts, self.room.inner) = (texts, input);
        made?;
        for end in &ends {
            self.room.scalars.push(MadeScalar { json: (start as u32, *end as u32), kind: ScalarKind::Json });
            self.room.split.elements.push(DraftValue::Made(self.room.scalars.len() as u32 - 1));
            start = *end;
        }
        Ok(ends.len())
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
