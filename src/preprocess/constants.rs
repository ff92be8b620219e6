//! What a program's edits write that is the same for every record: names of members, and values as written in the
//! configuration.

use super::document::{Cursor, Document, Value};
use super::tape::Parser;
use crate::leaf::Pointer;

/// One of a program's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct NameId(u32);

/// One of a program's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LiteralId(u32);

/// A pointer to something below the record.
#[derive(Debug, Clone)]
pub(super) struct EditPath {
    pub(super) parents: Vec<NameId>,
    pub(super) name: NameId,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Constants {
    names: Vec<Name>,
    literals: Vec<Literal>,
}

#[derive(Debug)]
struct Name {
    text: String,
    /// `"name":` with the name's escapes.
    json: Vec<u8>,
}

/// A value.
#[derive(Debug)]
pub(super) struct Literal {
    /// As JSON text.
    pub(super) json: Vec<u8>,
    pub(super) shape: LiteralShape,
}

/// What a value consists of.
#[derive(Debug)]
pub(super) enum LiteralShape {
    Null,
    Bool(bool),
    Negative(i64),
    Unsigned(u64),
    Float(f64),
    String(String),
    Object(Vec<(NameId, LiteralId)>),
    Array(Vec<LiteralId>),
}

impl Constants {
    pub(super) fn name(&self, id: NameId) -> &str {
        self.names.get(id.0 as usize).map_or("", |name| name.text.as_str())
    }

    /// `"name":`.
    pub(super) fn name_json(&self, id: NameId) -> &[u8] {
        self.names.get(id.0 as usize).map_or(&[][..], |name| &name.json)
    }

    pub(super) fn literal(&self, id: LiteralId) -> &Literal {
        &self.literals[id.0 as usize]
    }

    /// The number of a name, new or known.
    pub(super) fn intern(&mut self, text: &str) -> NameId {
        let known = self.names.iter().position(|name| name.text == text);
        let index = known.unwrap_or_else(|| {
            let json = format!("{}:", serde_json::Value::from(text)).into_bytes();
            self.names.push(Name { text: text.to_owned(), json });
            self.names.len() - 1
        });
        NameId(index as u32)
    }

    /// The names of a pointer; `None` for the whole record.
    pub(super) fn path(&mut self, pointer: &Pointer) -> Option<EditPath> {
        let (name, parents) = pointer.members.split_last()?;
        Some(EditPath { parents: parents.iter().map(|name| self.intern(name)).collect(), name: self.intern(name) })
    }

    /// Takes in a value given as JSON text.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub(super) fn take(&mut self, json: &str) -> Result<LiteralId, String> {
        let mut parser = Parser::default();
        parser.read(json.as_bytes(), |doc| self.take_value(&doc, doc.root())).map_err(|fault| fault.detail)
    }

    /// A string.
    pub(super) fn take_string(&mut self, text: &str) -> LiteralId {
        let json = serde_json::Value::from(text).to_string().into_bytes();
        self.push(Literal { json, shape: LiteralShape::String(text.to_owned()) })
    }

    fn take_value(&mut self, doc: &Document<'_>, at: Cursor) -> LiteralId {
        let shape = match doc.value(at) {
            Value::Null => LiteralShape::Null,
            Value::Bool(value) => LiteralShape::Bool(value),
            Value::Negative(number) => LiteralShape::Negative(number),
            Value::Unsigned(number) => LiteralShape::Unsigned(number),
            Value::Float(number) => LiteralShape::Float(number),
            Value::String(text) => LiteralShape::String(text.to_owned()),
            Value::Object { .. } => {
                let mut members = Vec::new();
                doc.each_member(at, |name, value| {
                    let name = self.intern(name);
                    members.push((name, self.take_value(doc, value)));
                });
                LiteralShape::Object(members)
            }
            Value::Array => {
                let mut elements = Vec::new();
                doc.each_element(at, |value| elements.push(self.take_value(doc, value)));
                LiteralShape::Array(elements)
            }
        };
        self.push(Literal { json: doc.bytes(at).to_vec(), shape })
    }

    fn push(&mut self, literal: Literal) -> LiteralId {
        self.literals.push(literal);
        LiteralId(self.literals.len() as u32 - 1)
    }
}

impl LiteralShape {
    pub(super) fn value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Negative(number) => Value::Negative(*number),
            Self::Unsigned(number) => Value::Unsigned(*number),
            Self::Float(number) => Value::Float(*number),
            Self::String(text) => Value::String(text),
            Self::Object(members) => Value::Object { empty: members.is_empty() },
            Self::Array(_) => Value::Array,
        }
    }
}
