//! `coerce`: values get the type that their readers want. The other bytes of the record stay untouched (class P).
//!
//! A number keeps its digits: no double stands in between. What cannot be converted without inventing or losing
//! something is refused, and `otherwise` says what then happens.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::super::compile::Compiler;
use super::super::constants::EditPath;
use super::super::document::Value;
use super::super::draft::Draft;
use super::super::ending::StepEnding;
use super::super::look::Look;
use super::super::program::CostClass;
use super::unconverted::{self, OnUnconverted, Unconverted};
use super::{Change, StepOperation, no_place};
use crate::leaf::{CheckContext, Pointer, nearest, tree};
use crate::model::{NotWhole, StepName, WholeNumber, write_number};

/// The most digits of a whole number: so many has the largest double, and no JSON reader takes more.
const MAX_DIGITS: usize = 309;
/// Words for true and false besides 1 and 0, in any case.
const TRUE: [&str; 4] = ["true", "t", "yes", "y"];
const FALSE: [&str; 4] = ["false", "f", "no", "n"];

/// Types for values of the record, and what happens where one cannot be converted. A missing value is left alone, and
/// null stays null.
#[derive(Debug, Clone, Serialize)]
pub struct Coerce {
    /// A type by RFC 6901 pointer.
    pub fields: BTreeMap<String, CoerceTo>,
    /// What happens where a value cannot be converted.
    pub otherwise: OnUnconverted,
}

/// The type a value gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CoerceTo {
    /// A whole number with all its digits: of `"00042"` 42, of `1e3` 1000, of `7.0` 7, of true 1. A fraction is
    /// refused.
    Integer,
    /// A number, spelled as it was: of `" 1.50 "` 1.50, of `"+.5"` 0.5, of true 1.
    Number,
    /// A string: of a number its spelling, of a boolean its name, of an object or array its JSON text.
    String,
    /// true of true, t, yes, y and 1; false of false, f, no, n and 0, in any case, and of the numbers 1 and 0.
    Boolean,
}

/// Values that get a type.
#[derive(Debug, Clone)]
pub struct CoercePlan {
    /// Where, and which.
    pub fields: Vec<(Pointer, CoerceTo)>,
    /// What happens where a value cannot be converted.
    pub otherwise: OnUnconverted,
}

impl CoerceTo {
    /// Whether a value stays as it is.
    fn is_the_type_of(self, value: &Value<'_>) -> bool {
        matches!(
            (self, value),
            (_, Value::Null)
                | (Self::Integer | Self::Number, Value::Unsigned(_))
                | (Self::Number, Value::Negative(_) | Value::Float(_))
                | (Self::String, Value::String(_))
                | (Self::Boolean, Value::Bool(_))
        )
    }
}

impl Coerce {
    pub(super) fn check(&self, path: &str, context: &CheckContext<'_>) -> Option<CoercePlan> {
        if self.fields.is_empty() {
            context.error(path, "converts nothing", "name at least one value, such as `/count: integer`");
            return None;
        }
        let long = format!("{path}.fields");
        let map = if context.index.is_written(&long) { &long } else { path };
        let mut fields: Vec<(Pointer, CoerceTo)> = Vec::new();
        let mut complete = true;
        for (text, to) in &self.fields {
            let place = tree::join(map, text);
            let Some(pointer) = context.pointer(&place, text) else {
                complete = false;
                continue;
            };
            let overlaps = |other: &Pointer| {
                other.members.starts_with(&pointer.members) || pointer.members.starts_with(&other.members)
            };
            if pointer.members.is_empty() {
                context.error(&place, "would convert the whole record", "name a member, such as `/count`");
                complete = false;
            } else if let Some((other, _)) = fields.iter().find(|(other, _)| overlaps(other)) {
                let reason = format!("{pointer} and {other} overlap: the value of one holds the other");
                context.error(&place, reason, "convert one of them in a step of its own");
                complete = false;
            }
            fields.push((pointer, *to));
        }
        complete.then_some(CoercePlan { fields, otherwise: self.otherwise })
    }
}

#[derive(Debug)]
pub(in crate::preprocess) struct CompiledCoerce {
    fields: Vec<(Pointer, EditPath, CoerceTo)>,
    otherwise: OnUnconverted,
}

impl CoercePlan {
    pub(super) fn compile(&self, compiler: &mut Compiler) -> (StepOperation, CostClass) {
        let mut fields = Vec::new();
        for (pointer, to) in &self.fields {
            compiler.change(pointer);
            fields.extend(compiler.constants.path(pointer).map(|path| (pointer.clone(), path, *to)));
        }
        let coerce = CompiledCoerce { fields, otherwise: self.otherwise };
        (StepOperation::Change(Change::Coerce(coerce)), CostClass::Splice)
    }
}

impl CompiledCoerce {
    pub(super) fn run(&self, draft: &mut Draft<'_>, place: &StepName, room: &mut Vec<u8>) -> Result<(), StepEnding> {
        for (pointer, path, to) in &self.fields {
            let Some(found) = draft.find(draft.root, &pointer.members) else { continue };
            let value = draft.value(found);
            if to.is_the_type_of(&value) {
                // Of equal names only the first is read, and none of the others may have another type.
                if draft.has_namesakes(&pointer.members, found) {
                    draft.put_at(path, found).map_err(|fault| no_place(draft, place, pointer, fault))?;
                }
                continue;
            }
            let converted = if *to == CoerceTo::String && draft.is_container(found) {
                Ok(Some(draft.make_text_of(found)))
            } else {
                room.clear();
                convert(*to, draft.value(found), draft.spelling(found), room)
                    .map(|()| (room != draft.spelling(found)).then(|| draft.make(room)))
            };
            let value = unconverted::settle(converted, self.otherwise, draft, place, pointer)?;
            if let Some(value) = value {
                draft.put_at(path, value).map_err(|fault| no_place(draft, place, pointer, fault))?;
            }
        }
        Ok(())
    }
}

/// Appends `value`, which is spelled so in the record, as JSON text of the type `to`; nothing where it is refused.
///
/// # Errors
/// Why it cannot be converted.
pub fn convert(to: CoerceTo, value: Value<'_>, spelling: &[u8], out: &mut Vec<u8>) -> Result<(), Unconverted> {
    match (to, value) {
        (_, Value::Null)
        | (CoerceTo::Integer | CoerceTo::Number, Value::Unsigned(_))
        | (CoerceTo::Number, Value::Negative(_) | Value::Float(_))
        | (CoerceTo::String, Value::String(_))
        | (CoerceTo::Boolean, Value::Bool(_)) => {
            out.extend_from_slice(spelling);
            Ok(())
        }
        (CoerceTo::Integer, Value::Negative(_) | Value::Float(_)) => integer(spelling, out),
        (CoerceTo::Integer, Value::String(text)) => integer(number_in(text)?, out),
        (CoerceTo::Number, Value::String(text)) => {
            write_number(number_in(text)?, out).then_some(()).ok_or(Unconverted::NoNumber)
        }
        (CoerceTo::Integer | CoerceTo::Number, Value::Bool(value)) => {
            out.push(if value { b'1' } else { b'0' });
            Ok(())
        }
        (CoerceTo::String, Value::Bool(_) | Value::Negative(_) | Value::Unsigned(_) | Value::Float(_)) => {
            out.push(b'"');
            out.extend_from_slice(spelling);
            out.push(b'"');
            Ok(())
        }
        (CoerceTo::String, Value::Object { .. } | Value::Array) => quoted(value, spelling, out),
        (CoerceTo::Boolean, Value::Negative(_) | Value::Unsigned(_) | Value::Float(_)) => {
            boolean(number_is_true(spelling), out)
        }
        (CoerceTo::Boolean, Value::String(text)) => boolean(is_true(text), out),
        (CoerceTo::Integer | CoerceTo::Number | CoerceTo::Boolean, Value::Object { .. } | Value::Array) => {
            Err(Unconverted::Kind(value.kind()))
        }
    }
}

/// The number that a string holds between blanks, where a double reaches it: readers behind, our own parser too, take
/// no other.
fn number_in(text: &str) -> Result<&[u8], Unconverted> {
    let text = text.trim_ascii();
    // The standard parser takes all that numbers are made of, and a few words.
    let starts = text.trim_start_matches(['+', '-']).starts_with(|first: char| first == '.' || first.is_ascii_digit());
    let double = text.parse::<f64>().ok().filter(|_| starts).ok_or(Unconverted::NoNumber)?;
    if double.is_finite() { Ok(text.as_bytes()) } else { Err(Unconverted::TooLarge) }
}

fn integer(spelling: &[u8], out: &mut Vec<u8>) -> Result<(), Unconverted> {
    let whole = WholeNumber::new(spelling, MAX_DIGITS).map_err(|fault| match fault {
        NotWhole::NoNumber => Unconverted::NoNumber,
        NotWhole::Fraction => Unconverted::Fraction,
        NotWhole::TooLong => Unconverted::TooLarge,
    })?;
    whole.write(out);
    Ok(())
}

/// A container's text in quotes, blanks between its values included.
fn quoted(value: Value<'_>, spelling: &[u8], out: &mut Vec<u8>) -> Result<(), Unconverted> {
    let start = out.len();
    let text = std::str::from_utf8(spelling).ok();
    if text.is_some_and(|text| serde_json::to_writer(&mut *out, text).is_ok()) {
        return Ok(());
    }
    out.truncate(start);
    Err(Unconverted::Kind(value.kind()))
}

fn boolean(value: Option<bool>, out: &mut Vec<u8>) -> Result<(), Unconverted> {
    out.extend_from_slice(if value.ok_or(Unconverted::NoBoolean)? { b"true" } else { b"false" });
    Ok(())
}

fn is_true(text: &str) -> Option<bool> {
    let text = text.trim_ascii();
    let is_one_of = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is_one_of(&TRUE) {
        Some(true)
    } else if is_one_of(&FALSE) {
        Some(false)
    } else {
        number_is_true(text.as_bytes())
    }
}

/// 1 and 0 by their values, in any spelling.
fn number_is_true(spelling: &[u8]) -> Option<bool> {
    WholeNumber::new(spelling, 1).ok()?.bit()
}

/// What may be written.
const EXPECTED: &str = "a map of pointers and types, or a map with `fields` and `otherwise`";

impl<'de> Deserialize<'de> for Coerce {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CoerceVisitor)
    }
}

struct CoerceVisitor;

impl<'de> Visitor<'de> for CoerceVisitor {
    type Value = Coerce;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(EXPECTED)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Coerce, A::Error> {
        let (mut short, mut long, mut otherwise) = (BTreeMap::new(), None, None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "fields" => long = Some(map.next_value()?),
                "otherwise" => otherwise = Some(map.next_value()?),
                // No pointer starts with a letter, so the keys of both forms cannot be mistaken for each other.
                _ if key.is_empty() || key.starts_with('/') => drop(short.insert(key, map.next_value()?)),
                _ => {
                    let near = nearest::nearest(&key, ["fields", "otherwise"]);
                    let keys = near.map_or_else(String::new, |near| format!(", or the key `{near}`"));
                    return Err(A::Error::custom(format!("`{key}` is no pointer: write `/{key}`{keys}")));
                }
            }
        }
        match (long, short.is_empty()) {
            (Some(fields), true) => Ok(Coerce { fields, otherwise: otherwise.unwrap_or_default() }),
            (None, true) if otherwise.is_some() => Err(A::Error::missing_field("fields")),
            (None, _) => Ok(Coerce { fields: short, otherwise: otherwise.unwrap_or_default() }),
            (Some(_), false) => {
                Err(A::Error::custom("pointers stand beside `fields`: write them as `fields: { /pointer: integer }`"))
            }
        }
    }
}

impl JsonSchema for Coerce {
    fn schema_name() -> Cow<'static, str> {
        "Coerce".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (to, otherwise) = (generator.subschema_for::<CoerceTo>(), generator.subschema_for::<OnUnconverted>());
        json_schema!({ "oneOf": [
            {
                "type": "object",
                "properties": { "otherwise": otherwise },
                "patternProperties": { "^(/.*)?$": to },
                "additionalProperties": false,
                "minProperties": 1,
            },
            {
                "type": "object",
                "description": "The long form.",
                "properties": {
                    "fields": {
                        "description": "A type by RFC 6901 pointer.", "type": "object", "additionalProperties": to,
                        "minProperties": 1,
                    },
                    "otherwise": otherwise,
                },
                "required": ["fields"],
                "additionalProperties": false,
            },
        ] })
    }
}

#[cfg(test)]
#[path = "coerce_tests.rs"]
mod tests;
