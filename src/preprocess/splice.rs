//! Puts JSON text into a record without touching its other bytes: as a new member before an object's closing brace, or
//! in place of the first member of that name.

use std::ops::Range;

use super::document::{Cursor, Document, Value};

/// Where in a document something is put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplicePoint {
    /// The bytes that are replaced; empty for a new member.
    range: Range<usize>,
    form: SpliceForm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SpliceForm {
    Value,
    /// A new member, of an object that may have none yet.
    Member {
        first: bool,
    },
}

impl SplicePoint {
    /// In the place of these bytes.
    pub(super) fn value(range: Range<usize>) -> Self {
        Self { range, form: SpliceForm::Value }
    }

    /// A new member before the closing brace at `brace`, of an object that has none yet where it is the `first`.
    pub(super) fn member(brace: usize, first: bool) -> Self {
        Self { range: brace..brace, form: SpliceForm::Member { first } }
    }

    /// Outside of every record.
    pub(super) fn nowhere() -> Self {
        Self::value(usize::MAX..usize::MAX)
    }
}

/// Why there is no place for a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoPlace {
    /// A parent is missing.
    Missing,
    /// The parent is null.
    Null,
    /// The parent is of a type without named members.
    NotAnObject,
}

/// JSON text and where it goes.
#[derive(Debug, Clone, Copy)]
pub struct Splice<'a> {
    /// Where; from [`locate`] on the same bytes.
    pub point: &'a SplicePoint,
    /// The member as it is written when new: `,"name":`, from [`member_text`].
    pub member: &'a [u8],
    /// The value.
    pub json: &'a [u8],
}

/// `,"name":` with the name's escapes.
#[must_use]
pub fn member_text(name: &str) -> Vec<u8> {
    format!(",{}:", serde_json::Value::from(name)).into_bytes()
}

/// Finds the place of `into`, members from `window`.
///
/// # Errors
/// [`NoPlace`] when the object that would hold the member is not there. An empty `into` has no place.
pub fn locate(doc: &Document<'_>, window: Cursor, into: &[String]) -> Result<SplicePoint, NoPlace> {
    let (_, parents) = into.split_last().ok_or(NoPlace::NotAnObject)?;
    let parent = doc.find(window, parents).ok_or(NoPlace::Missing)?;
    let empty = is_empty_object(doc.value(parent))?;
    if let Some(old) = doc.find(parent, &into[parents.len()..]) {
        return Ok(SplicePoint { range: doc.range(old), form: SpliceForm::Value });
    }
    let brace = doc.range(parent).end.saturating_sub(1);
    Ok(SplicePoint { range: brace..brace, form: SpliceForm::Member { first: empty } })
}

/// Whether the object that is to hold a member has none yet.
///
/// # Errors
/// It is no object.
pub(super) fn is_empty_object(parent: Value<'_>) -> Result<bool, NoPlace> {
    match parent {
        Value::Object { empty } => Ok(empty),
        Value::Null => Err(NoPlace::Null),
        Value::Bool(_)
        | Value::Negative(_)
        | Value::Unsigned(_)
        | Value::Float(_)
        | Value::String(_)
        | Value::Array => Err(NoPlace::NotAnObject),
    }
}

/// Lists the pieces of `source[window]` with `splices` put in. Reorders `splices`; their places must not overlap.
/// Places outside the window are left out.
pub fn assemble<'a>(source: &'a [u8], window: Range<usize>, splices: &mut [Splice<'a>], pieces: &mut Vec<&'a [u8]>) {
    // The standard sort keeps the order of equal places, and does not allocate for the few that come here.
    splices.sort_by_key(|splice| splice.point.range.start);
    let mut from = window.start;
    let mut opened = None;
    for Splice { point, member, json } in splices.iter().copied() {
        if point.range.start < from || point.range.end > window.end || point.range.start >= window.end {
            continue;
        }
        push(pieces, source.get(from..point.range.start));
        if let SpliceForm::Member { first } = point.form {
            let comma = !first || opened == Some(point.range.start);
            push(pieces, member.get(usize::from(!comma)..));
            opened = Some(point.range.start);
        }
        push(pieces, Some(json));
        from = point.range.end;
    }
    push(pieces, source.get(from..window.end));
}

fn push<'a>(pieces: &mut Vec<&'a [u8]>, piece: Option<&'a [u8]>) {
    if let Some(piece) = piece.filter(|piece| !piece.is_empty()) {
        pieces.push(piece);
    }
}

#[cfg(test)]
#[path = "splice_tests.rs"]
mod tests;
