//! Renders templates: text with the record's key, topic, offset, timestamp, headers and fields in it.
//!
//! Numbers render by their original spelling, strings unescaped, booleans as `true` and `false`. Null counts as
//! missing; an object or array never renders. The only failure is a [`RenderFault`], which becomes a reject with the
//! template's text.

use std::io::Write;
use std::ops::Range;

use super::document::{Document, Value};
use super::ending;
use super::look::Look;
use super::moment;
use super::stamp::{Stamps, TimeFormat};
use crate::leaf::{Pointer, Template};
use crate::model::{Record, Reject, RejectReason, StepName};

/// A template compiled against the point of the program where it is rendered.
#[derive(Debug)]
pub struct Compiled {
    text: String,
    pub(super) parts: Vec<TemplatePart>,
    /// Reads the record as it is at this point.
    needs_record: bool,
    /// Reads the input.
    needs_input: bool,
    late: bool,
}

/// One piece of a template.
#[derive(Debug)]
pub(super) enum TemplatePart {
    Literal(String),
    Key,
    Topic,
    Partition,
    Offset,
    TimestampMs,
    Timestamp(TimeFormat),
    /// The time it is.
    Now(TimeFormat),
    Header(String),
    /// The record's route, among these.
    Route(Vec<String>),
    /// Nothing for what no step made several items of.
    Item,
    /// Another part in small letters.
    Lower(Box<Self>),
    /// From the key, read as JSON.
    KeyField(Field),
    /// From the record as it is at this point.
    Field(Field),
    /// From the input.
    Original(Field),
    /// From the record, at or below where look-up number `lookup` of the same phase puts what it found.
    Found {
        lookup: usize,
        /// Members below the look-up's `into`.
        below: Vec<String>,
        /// The same field as the record had it, used when the look-up put nothing there.
        own: Field,
    },
}

/// A pointer and what to render when nothing is there.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) pointer: Pointer,
    pub(super) fallback: Option<String>,
    pub(super) shape: FieldShape,
}

/// How a field is written.
#[derive(Debug)]
pub(super) enum FieldShape {
    /// By its own spelling.
    Plain,
    Lower,
    /// As a time: RFC 3339 text, or a number of seconds or milliseconds (or finer) since the epoch.
    Time(TimeFormat),
}

/// Why a part does not render. Small: some are expected and never shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RenderFault {
    Missing,
    Null,
    NotText,
    NullKey,
    NoTimestamp,
    TimestampRange,
    NoHeader,
    NoRoute,
    NullHeader,
    NotJson,
    NoKey,
    KeyNotJson,
    NotATime,
    TooLong,
}

impl RenderFault {
    fn reason(self) -> RejectReason {
        match self {
            Self::Missing | Self::Null | Self::NoTimestamp | Self::NoHeader | Self::NoRoute | Self::NoKey => {
                RejectReason::Missing
            }
            Self::NullKey | Self::NullHeader => RejectReason::Null,
            Self::NotText | Self::TimestampRange | Self::NotATime => RejectReason::WrongType,
            Self::NotJson | Self::KeyNotJson => RejectReason::InvalidJson,
            Self::TooLong => RejectReason::TooLarge,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Missing => "is missing",
            Self::Null => "is null",
            Self::NotText => "is an object or array, which does not render",
            Self::NullKey | Self::NullHeader => "is null inside other text",
            Self::NoTimestamp => "is missing: the broker has none",
            Self::TimestampRange => "is beyond the calendar",
            Self::NoHeader | Self::NoRoute => "is missing",
            Self::NoKey => "is missing: the record has no key",
            Self::KeyNotJson => "cannot be read: the key is no JSON",
            Self::NotATime => "is no time: neither RFC 3339 text nor seconds or milliseconds since 1970",
            Self::NotJson => "cannot be read: the look-up found no valid JSON",
            Self::TooLong => "makes the text longer than four times `limits.value`",
        }
    }
}

/// What templates may look at.
pub(super) struct Scope<'a, L: Look = Document<'a>> {
    pub(super) record: &'a Record<'a>,
    /// The record at this point: what it is part of, and which part; `None` for a tombstone.
    pub(super) document: Option<(&'a L, L::At)>,
    /// The parsed input, where the program needs it.
    pub(super) original: Option<&'a Document<'a>>,
}

/// A rendered template, as a range of the bytes it was rendered into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rendered {
    /// A null key passed on, or a tombstone's template that needs the document.
    Null,
    Span(Range<usize>),
    /// Waits for look-ups: the first of its parts' outcomes.
    Late(usize),
}

impl Compiled {
    /// A template whose parts are `parts`, one for each segment of `template`.
    pub(super) fn new(template: &Template, parts: Vec<TemplatePart>) -> Self {
        let late = parts.iter().any(|part| matches!(part, TemplatePart::Found { .. }));
        let needs_input = parts.iter().any(|part| matches!(part, TemplatePart::Original(_)));
        Self { text: template.text.clone(), parts, needs_record: template.needs_finished(), needs_input, late }
    }

    /// Whether a record without a document cannot render it: a tombstone, or one that skips the steps.
    pub(super) fn is_beyond<L: Look>(&self, scope: &Scope<'_, L>) -> bool {
        scope.document.is_none() && (self.needs_record || (self.needs_input && scope.original.is_none()))
    }

    /// Whether it reads what a look-up of its own phase finds.
    pub(super) fn is_late(&self) -> bool {
        self.late
    }

    /// As it is written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it reads the input.
    pub(super) fn reads_original(&self) -> bool {
        self.needs_input
    }

    /// Renders a template that is not late, at the end of `out`.
    ///
    /// # Errors
    /// The part that failed and why; `out` may then hold a beginning.
    pub(super) fn render<L: Look>(
        &self,
        scope: &Scope<'_, L>,
        stamps: &mut Stamps,
        out: &mut Vec<u8>,
    ) -> Result<Rendered, (usize, RenderFault)> {
        if matches!(self.parts[..], [TemplatePart::Key]) && scope.record.key.is_none() {
            return Ok(Rendered::Null);
        }
        let start = out.len();
        for (index, part) in self.parts.iter().enumerate() {
            part.render(scope, stamps, out).map_err(|fault| (index, fault))?;
        }
        Ok(Rendered::Span(start..out.len()))
    }

    /// The same of a text that may take at most `most` bytes, of which only its beginning is rendered when it takes
    /// more.
    ///
    /// # Errors
    /// As [`Compiled::render`].
    pub(super) fn render_within<L: Look>(
        &self,
        scope: &Scope<'_, L>,
        stamps: &mut Stamps,
        out: &mut Vec<u8>,
        most: usize,
    ) -> Result<(), (usize, RenderFault)> {
        for (index, part) in self.parts.iter().enumerate() {
            part.render(scope, stamps, out).map_err(|fault| (index, fault))?;
            if out.len() > most {
                return Err((index, RenderFault::TooLong));
            }
        }
        Ok(())
    }

    /// The reject of a part that did not render.
    #[cold]
    pub(super) fn reject(&self, step: &StepName, (part, fault): (usize, RenderFault)) -> Reject {
        let name = self.parts.get(part).map_or_else(String::new, TemplatePart::name);
        ending::reject(fault.reason(), step, format!("template `{}`: {name} {}", self.text, fault.text()))
    }
}

impl TemplatePart {
    /// Renders one part at the end of `out`; a [`TemplatePart::Found`] as if the look-up had put nothing there.
    pub(super) fn render<L: Look>(
        &self,
        scope: &Scope<'_, L>,
        stamps: &mut Stamps,
        out: &mut Vec<u8>,
    ) -> Result<(), RenderFault> {
        let record = scope.record;
        match self {
            Self::Literal(text) => out.extend_from_slice(text.as_bytes()),
            Self::Key => out.extend_from_slice(record.key.ok_or(RenderFault::NullKey)?),
            Self::Topic => out.extend_from_slice(record.topic.as_bytes()),
            Self::Partition => integer(i64::from(record.partition), out),
            Self::Offset => integer(record.offset, out),
            Self::TimestampMs => integer(record.timestamp_ms.ok_or(RenderFault::NoTimestamp)?, out),
            Self::Timestamp(format) => {
                let time = record.timestamp_ms.ok_or(RenderFault::NoTimestamp)?;
                let text = stamps.text(format, time).map_err(|_| RenderFault::TimestampRange)?;
                out.extend_from_slice(text.as_bytes());
            }
            Self::Now(format) => {
                let now_ms = stamps.now_ms;
                let text = stamps.text(format, now_ms).map_err(|_| RenderFault::TimestampRange)?;
                out.extend_from_slice(text.as_bytes());
            }
            Self::Lower(part) => {
                let start = out.len();
                part.render(scope, stamps, out)?;
                stamps.lower(out, start);
            }
            Self::KeyField(field) => key_field(field, record.key, stamps, out)?,
            Self::Route(names) => {
                let route = stamps.route.and_then(|route| names.get(route)).ok_or(RenderFault::NoRoute)?;
                out.extend_from_slice(route.as_bytes());
            }
            Self::Item => {
                // Writing to a vector cannot fail.
                let _infallible = write!(out, "{}", stamps.item);
            }
            Self::Header(name) => {
                let value = record.headers.header(name).ok_or(RenderFault::NoHeader)?;
                out.extend_from_slice(value.ok_or(RenderFault::NullHeader)?);
            }
            Self::Field(field) | Self::Found { own: field, .. } => {
                let found =
                    scope.document.and_then(|(doc, window)| Some((doc, doc.find(window, &field.pointer.members)?)));
                field.render(found, stamps, out)?;
            }
            Self::Original(field) => {
                let found = scope.original.and_then(|doc| Some((doc, doc.find(doc.root(), &field.pointer.members)?)));
                field.render(found, stamps, out)?;
            }
        }
        Ok(())
    }

    fn name(&self) -> String {
        match self {
            Self::Literal(text) => text.clone(),
            Self::Key => "the key".to_owned(),
            Self::Topic => "the topic".to_owned(),
            Self::Partition => "the partition".to_owned(),
            Self::Offset => "the offset".to_owned(),
            Self::TimestampMs | Self::Timestamp(_) => "the timestamp".to_owned(),
            Self::Now(_) => "the time".to_owned(),
            Self::Lower(part) => part.name(),
            Self::KeyField(field) => format!("key:{}", field.pointer.shown()),
            Self::Header(name) => format!("header {name}"),
            Self::Route(_) => "the route".to_owned(),
            Self::Item => "the item".to_owned(),
            Self::Field(field) | Self::Found { own: field, .. } => field.pointer.shown(),
            Self::Original(field) => format!("original:{}", field.pointer.shown()),
        }
    }
}

impl Field {
    /// Renders what `found` points at, or the fallback.
    pub(super) fn render<L: Look>(
        &self,
        found: Option<(&L, L::At)>,
        stamps: &mut Stamps,
        out: &mut Vec<u8>,
    ) -> Result<(), RenderFault> {
        let fault = match found {
            None => RenderFault::Missing,
            Some((doc, cursor)) => match self.write(doc, cursor, stamps, out) {
                Ok(()) => return Ok(()),
                Err(fault) => fault,
            },
        };
        match (&self.fallback, fault) {
            (Some(fallback), RenderFault::Missing | RenderFault::Null) => {
                out.extend_from_slice(fallback.as_bytes());
                Ok(())
            }
            (Some(_) | None, fault) => Err(fault),
        }
    }

    fn write<L: Look>(
        &self,
        doc: &L,
        cursor: L::At,
        stamps: &mut Stamps,
        out: &mut Vec<u8>,
    ) -> Result<(), RenderFault> {
        match &self.shape {
            FieldShape::Plain => scalar(doc, cursor, out),
            FieldShape::Lower => {
                let start = out.len();
                scalar(doc, cursor, out)?;
                stamps.lower(out, start);
                Ok(())
            }
            FieldShape::Time(format) => {
                let time = match doc.value(cursor) {
                    Value::Null => return Err(RenderFault::Null),
                    Value::Unsigned(number) => moment::of_number(i64::try_from(number).ok()),
                    Value::Negative(number) => moment::of_number(Some(number)),
                    Value::Float(number) => moment::of_float(number),
                    Value::String(text) => format.moment(text),
                    Value::Bool(_) | Value::Object { .. } | Value::Array => None,
                };
                let text =
                    stamps.text(format, time.ok_or(RenderFault::NotATime)?).map_err(|_| RenderFault::TimestampRange)?;
                out.extend_from_slice(text.as_bytes());
                Ok(())
            }
        }
    }
}

/// A field of the key. It is parsed for each template that asks, which is seldom more than one.
fn key_field(field: &Field, key: Option<&[u8]>, stamps: &mut Stamps, out: &mut Vec<u8>) -> Result<(), RenderFault> {
    let Some(key) = key else {
        return field.render::<Document<'_>>(None, stamps, out).map_err(|_| RenderFault::NoKey);
    };
    let mut parser = std::mem::take(&mut stamps.keys);
    let rendered = parser.read(key, |doc| {
        let found = doc.find(doc.root(), &field.pointer.members).map(|cursor| (&doc, cursor));
        field.render(found, stamps, out)
    });
    stamps.keys = parser;
    rendered.unwrap_or(Err(RenderFault::KeyNotJson))
}

fn scalar<L: Look>(doc: &L, cursor: L::At, out: &mut Vec<u8>) -> Result<(), RenderFault> {
    match doc.value(cursor) {
        Value::Null => return Err(RenderFault::Null),
        Value::Object { .. } | Value::Array => return Err(RenderFault::NotText),
        Value::String(text) => out.extend_from_slice(text.as_bytes()),
        Value::Bool(_) | Value::Negative(_) | Value::Unsigned(_) | Value::Float(_) => {
            out.extend_from_slice(doc.spelling(cursor));
        }
    }
    Ok(())
}

fn integer(number: i64, out: &mut Vec<u8>) {
    // Writing to a vector cannot fail.
    let _infallible = write!(out, "{number}");
}

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
