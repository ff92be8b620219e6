//! A parsed value: walks pointers over the parser's tape and maps what it finds to byte ranges of the original.
//!
//! The tape keeps no offsets for containers and numbers, but every key is a slice of the scratch copy, so its distance
//! from the start of the scratch is its offset in the original. A value starts behind its key's colon; a container ends
//! before the next key of the same object, or, when it is the last member, before the end of its parent, found the same
//! way. Inside arrays there are no keys: their elements are scanned. Only the original is read for this, never the
//! unescaped scratch.

use std::ops::Range;

use simd_json::{Node, StaticNode};

use super::scan;

/// A parsed value and its original bytes.
#[derive(Clone, Copy)]
pub struct Document<'d> {
    original: &'d [u8],
    base: usize,
    nodes: &'d [Node<'d>],
}

/// A value inside a [`Document`]. Its numbers have 32 bits because the parser takes no value of 4 GiB, and because
/// cursors are handed around for every record.
#[derive(Debug, Clone, Copy)]
pub struct Cursor {
    node: u32,
    start: ValueStart,
    end: ValueEnd,
    /// Closing braces between this value's end and `end`.
    closers: u32,
}

/// Where a value starts.
#[derive(Debug, Clone, Copy)]
enum ValueStart {
    Document,
    /// Behind its key, which is the node before it.
    BehindKey,
    At(u32),
}

/// What follows a value, behind `closers` braces.
#[derive(Debug, Clone, Copy)]
enum ValueEnd {
    Document,
    /// The key whose first character is here.
    NextKey(u32),
    /// An array's element, or its last member: nothing known follows.
    Unknown,
}

/// What a cursor points at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'d> {
    /// null
    Null,
    /// true or false
    Bool(bool),
    /// A number that fits an `i64` and is negative.
    Negative(i64),
    /// A number that fits a `u64`.
    Unsigned(u64),
    /// Any other number, rounded to a double; its spelling is in the original.
    Float(f64),
    /// A string, unescaped.
    String(&'d str),
    /// An object.
    Object {
        /// Whether it has no members.
        empty: bool,
    },
    /// An array.
    Array,
}

impl Value<'_> {
    /// The type's name, for messages.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Negative(_) | Self::Unsigned(_) | Self::Float(_) => "a number",
            Self::String(_) => "a string",
            Self::Object { .. } => "an object",
            Self::Array => "an array",
        }
    }
}

impl Cursor {
    /// Whether both are the same value of one document.
    pub(super) fn is(self, other: Self) -> bool {
        self.node == other.node
    }
}

impl<'d> Document<'d> {
    /// A document over `nodes`, the tape of a copy of `original` that starts at address `base`.
    pub(super) fn new(original: &'d [u8], base: usize, nodes: &'d [Node<'d>]) -> Self {
        Self { original, base, nodes }
    }

    /// The original bytes, blanks around the value included.
    #[must_use]
    pub fn original(&self) -> &'d [u8] {
        self.original
    }

    /// The whole value.
    #[must_use]
    pub fn root(&self) -> Cursor {
        Cursor { node: 0, start: ValueStart::Document, end: ValueEnd::Document, closers: 0 }
    }

    /// Follows `members` from `from`: object members by name (the first of equal names), array elements by index.
    /// `None` when nothing is there.
    #[must_use]
    #[inline]
    pub fn find(&self, from: Cursor, members: &[String]) -> Option<Cursor> {
        let mut at = from;
        for member in members {
            at = match *self.nodes.get(at.node as usize)? {
                Node::Object { count, .. } => self.member(at, count, member)?,
                Node::Array { len, .. } => self.element(at, len, member)?,
                Node::String(_) | Node::Static(_) => return None,
            };
        }
        Some(at)
    }

    /// The member or element `member` of the container at `from`.
    #[must_use]
    pub(super) fn child(&self, from: Cursor, member: &str) -> Option<Cursor> {
        match *self.nodes.get(from.node as usize)? {
            Node::Object { count, .. } => self.member(from, count, member),
            Node::Array { len, .. } => self.element(from, len, member),
            Node::String(_) | Node::Static(_) => None,
        }
    }

    /// What `cursor` points at.
    #[must_use]
    pub fn value(&self, cursor: Cursor) -> Value<'d> {
        match self.nodes.get(cursor.node as usize) {
            Some(Node::String(text)) => Value::String(text),
            Some(Node::Object { len, .. }) => Value::Object { empty: *len == 0 },
            Some(Node::Array { .. }) => Value::Array,
            Some(Node::Static(value)) => match value {
                StaticNode::I64(number) => Value::Negative(*number),
                StaticNode::U64(number) => Value::Unsigned(*number),
                StaticNode::F64(number) => Value::Float(*number),
                StaticNode::Bool(value) => Value::Bool(*value),
                StaticNode::Null => Value::Null,
            },
            None => Value::Null,
        }
    }

    /// Elements of an array or members of an object, equal names counted each; 0 for other values.
    #[must_use]
    pub fn count(&self, cursor: Cursor) -> usize {
        match self.nodes.get(cursor.node as usize) {
            Some(Node::Object { len, .. } | Node::Array { len, .. }) => *len,
            Some(Node::String(_) | Node::Static(_)) | None => 0,
        }
    }

    /// Where the value stands in the original, without the blanks around it.
    #[must_use]
    pub fn range(&self, cursor: Cursor) -> Range<usize> {
        let start = self.start(cursor);
        let end = match self.nodes.get(cursor.node as usize) {
            Some(Node::String(text)) => scan::known_string_end(self.original, start + 1, text.len()),
            Some(Node::Object { .. } | Node::Array { .. }) => self.container_end(cursor, start),
            Some(Node::Static(_)) | None => scan::token_end(self.original, start),
        };
        start..end
    }

    /// The value's bytes in the original.
    #[must_use]
    pub fn bytes(&self, cursor: Cursor) -> &'d [u8] {
        self.original.get(self.range(cursor)).unwrap_or_default()
    }

    /// The member `name` of the object at `object`, whose inner nodes are `count`.
    #[inline(never)]
    fn member(&self, object: Cursor, count: usize, name: &str) -> Option<Cursor> {
        let first = object.node as usize + 1;
        let mut rest = self.nodes.get(first..first + count)?;
        while let [Node::String(key), value, behind @ ..] = rest {
            let behind = behind.get(inner(value)..)?;
            if *key == name {
                let (end, closers) = match behind.first() {
                    Some(Node::String(next)) => (ValueEnd::NextKey(self.offset(next)), 0),
                    Some(_) | None => (object.end, object.closers + 1),
                };
                let node = first + count + 1 - rest.len();
                return Some(Cursor { node: node as u32, start: ValueStart::BehindKey, end, closers });
            }
            rest = behind;
        }
        None
    }

    /// Calls `visit` with what `wanted` says of a member's name, where it says something, and the member's value; in
    /// order.
    #[inline(always)]
    pub(super) fn each_wanted<T>(
        &self,
        object: Cursor,
        wanted: impl Fn(&'d str) -> Option<T>,
        mut visit: impl FnMut(T, Cursor),
    ) {
        let Some(Node::Object { count, .. }) = self.nodes.get(object.node as usize) else { return };
        let first = object.node as usize + 1;
        let end = first + count;
        let mut rest = self.nodes.get(first..end).unwrap_or_default();
        while let [Node::String(key), value, behind @ ..] = rest {
            let Some(behind) = behind.get(inner(value)..) else { return };
            if let Some(found) = wanted(key)
                && let Some((_, cursor)) = self.member_at(object, end - rest.len(), rest.len())
            {
                visit(found, cursor);
            }
            rest = behind;
        }
    }

    /// The first member of an object: its name and value.
    pub(super) fn first_member(&self, object: Cursor) -> Option<(&'d str, Cursor)> {
        let Some(Node::Object { count, .. }) = self.nodes.get(object.node as usize) else { return None };
        self.member_at(object, object.node as usize + 1, *count)
    }

    /// The member behind the one whose value is at `before`.
    pub(super) fn member_behind(&self, object: Cursor, before: Cursor) -> Option<(&'d str, Cursor)> {
        let Some(Node::Object { count, .. }) = self.nodes.get(object.node as usize) else { return None };
        let key = before.node as usize + 1 + inner(self.nodes.get(before.node as usize)?);
        self.member_at(object, key, (object.node as usize + 1 + count).saturating_sub(key))
    }

    /// The next member of this name behind the one whose value is at `before`.
    pub(super) fn namesake_behind(&self, object: Cursor, before: Cursor, name: &str) -> Option<Cursor> {
        let Some(Node::Object { count, .. }) = self.nodes.get(object.node as usize) else { return None };
        let end = object.node as usize + 1 + count;
        let first = before.node as usize + 1 + inner(self.nodes.get(before.node as usize)?);
        let mut rest = self.nodes.get(first..end)?;
        while let [Node::String(key), value, behind @ ..] = rest {
            if *key == name {
                let (_, found) = self.member_at(object, end - rest.len(), rest.len())?;
                return Some(found);
            }
            rest = behind.get(inner(value)..)?;
        }
        None
    }

    /// The member whose key is node `key`, with `left` nodes of the object from there on.
    fn member_at(&self, object: Cursor, key: usize, left: usize) -> Option<(&'d str, Cursor)> {
        let [Node::String(name), value, behind @ ..] = self.nodes.get(key..key + left)? else { return None };
        let (end, closers) = match behind.get(inner(value)..)?.first() {
            Some(Node::String(next)) => (ValueEnd::NextKey(self.offset(next)), 0),
            Some(_) | None => (object.end, object.closers + 1),
        };
        Some((name, Cursor { node: key as u32 + 1, start: ValueStart::BehindKey, end, closers }))
    }

    /// The name of the member whose value is at `value`.
    pub(super) fn name_of(&self, value: Cursor) -> Option<&'d str> {
        match (value.start, self.nodes.get((value.node as usize).wrapping_sub(1))) {
            (ValueStart::BehindKey, Some(Node::String(key))) => Some(key),
            (ValueStart::BehindKey | ValueStart::Document | ValueStart::At(_), _) => None,
        }
    }

    /// Where the key of the member stands whose value is at `value`; `None` for an element or the whole document.
    pub(super) fn key_of(&self, value: Cursor) -> Option<usize> {
        match (value.start, self.nodes.get((value.node as usize).wrapping_sub(1))) {
            (ValueStart::BehindKey, Some(Node::String(key))) => Some((self.offset(key) as usize).saturating_sub(1)),
            (ValueStart::BehindKey | ValueStart::Document | ValueStart::At(_), _) => None,
        }
    }

    /// Where the next member's key stands.
    pub(super) fn next_key(&self, value: Cursor) -> Option<usize> {
        match value.end {
            ValueEnd::NextKey(key) if value.closers == 0 => Some((key as usize).saturating_sub(1)),
            ValueEnd::NextKey(_) | ValueEnd::Document | ValueEnd::Unknown => None,
        }
    }

    /// The element of an array behind the one at `before`; it starts at `start`.
    pub(super) fn element_behind(&self, before: Cursor, start: usize) -> Option<Cursor> {
        let node = before.node as usize + 1 + inner(self.nodes.get(before.node as usize)?);
        let start = ValueStart::At(start as u32);
        Some(Cursor { node: node as u32, start, end: ValueEnd::Unknown, closers: 0 })
    }

    #[inline(never)]
    fn element(&self, array: Cursor, len: usize, index: &str) -> Option<Cursor> {
        self.nth(array, array_index(index).filter(|index| *index < len)?)
    }

    /// The element number `index`.
    pub(super) fn find_element(&self, array: Cursor, index: usize) -> Option<Cursor> {
        match self.nodes.get(array.node as usize)? {
            Node::Array { len, .. } if index < *len => self.nth(array, index),
            Node::Array { .. } | Node::Object { .. } | Node::String(_) | Node::Static(_) => None,
        }
    }

    #[inline(always)]
    fn nth(&self, array: Cursor, index: usize) -> Option<Cursor> {
        let mut node = array.node as usize + 1;
        let mut at = scan::skip_blanks(self.original, self.start(array) + 1);
        for _ in 0..index {
            node += 1 + inner(self.nodes.get(node)?);
            let comma = scan::skip_blanks(self.original, scan::value_end(self.original, at));
            at = scan::skip_blanks(self.original, comma + 1);
        }
        Some(Cursor { node: node as u32, start: ValueStart::At(at as u32), end: ValueEnd::Unknown, closers: 0 })
    }

    fn offset(&self, text: &str) -> u32 {
        (text.as_ptr() as usize).wrapping_sub(self.base) as u32
    }

    /// Where the value starts in the original.
    #[inline(always)]
    pub(super) fn start(&self, cursor: Cursor) -> usize {
        match cursor.start {
            ValueStart::Document => scan::skip_blanks(self.original, 0),
            ValueStart::At(at) => at as usize,
            ValueStart::BehindKey => {
                let Some(Node::String(key)) = self.nodes.get((cursor.node as usize).wrapping_sub(1)) else {
                    return self.original.len();
                };
                let end = scan::known_string_end(self.original, self.offset(key) as usize, key.len());
                let colon = scan::skip_blanks(self.original, end);
                scan::skip_blanks(self.original, colon + 1)
            }
        }
    }

    fn container_end(&self, cursor: Cursor, start: usize) -> usize {
        let behind = match cursor.end {
            ValueEnd::Unknown => return scan::value_end(self.original, start),
            ValueEnd::Document => self.original.len(),
            // One over the key's opening quote, blanks, one over the comma.
            ValueEnd::NextKey(key) => {
                scan::trim_blanks(self.original, (key as usize).saturating_sub(1)).saturating_sub(1)
            }
        };
        let mut end = scan::trim_blanks(self.original, behind);
        for _ in 0..cursor.closers {
            end = scan::trim_blanks(self.original, end.saturating_sub(1));
        }
        end
    }
}

/// Nodes inside the value `node`.
fn inner(node: &Node<'_>) -> usize {
    match node {
        Node::Object { count, .. } | Node::Array { count, .. } => *count,
        Node::String(_) | Node::Static(_) => 0,
    }
}

/// An array index as RFC 6901 section 4 spells it: digits without leading zeros.
pub(super) fn array_index(text: &str) -> Option<usize> {
    let plain = text == "0" || (!text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()));
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;
