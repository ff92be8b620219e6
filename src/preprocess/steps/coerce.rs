//! `coerce`: values get the type that their readers want. The other bytes of the record stay untouched (class P).
//!
//! A number keeps its digits: no double stands in between. What cannot be converted without inventing or losing
//! something is refused, and `otherwise` says what then happens.

use schemars::{JsonSchema, SchemaGenerator};
use serde::de::MapAccess;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize};

use super::super::compile::Compiler;
use super::super::constants::EditPath;
use super::super::document::Value;
use super::super::draft::Draft;
use super::super::ending::StepEnding;
use super::super::look::Look;
use super::super::program::CostClass;
use super::pointers::{PointerMap, StepOptions, no_place, overlap};
use super::unconverted::{self, OnUnconverted, Unconverted};
use super::{Change, StepOperation};
use crate::leaf::{CheckContext, Pointer};
use crate::model::{NotWhole, StepName, WholeNumber, write_number};

/// The most digits of a whole number: so many has the largest double, and no JSON reader takes more.
const MAX_DIGITS: usize = 309;
/// Words for true and false besides 1 and 0, in any case.
const TRUE: [&str; 4] = ["true", "t", "yes", "y"];
const FALSE: [&str; 4] = ["false", "f", "no", "n"];

/// Types for values of the record, by pointer. A missing value is left alone, and null stays null.
pub type Coerce = PointerMap<CoerceOptions>;

/// Options of `coerce`.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct CoerceOptions {
    otherwise: OnUnconverted,
}

impl StepOptions for CoerceOptions {
    type Value = CoerceTo;
    const NAME: &'static str = "Coerce";
    const KEYS: &'static [&'static str] = &["otherwise"];

    fn read<'de, A: MapAccess<'de>>(&mut self, _: &str, map: &mut A) -> Result<(), A::Error> {
        self.otherwise = map.next_value()?;
        Ok(())
    }
    fn properties(generator: &mut SchemaGenerator) -> serde_json::Value {
        serde_json::json!({ "otherwise": generator.subschema_for::<OnUnconverted>() })
    }
    fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("otherwise", &self.otherwise)
    }
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
        let items = self.pointers(path, context, "/count: integer")?;
        if overlap(context, items.iter().map(|(place, pointer, _)| (place, pointer))) {
            return None;
        }
        let fields = items.into_iter().map(|(_, pointer, to)| (pointer, *to)).collect();
        Some(CoercePlan { fields, otherwise: self.options.otherwise })
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
            if to.is_the_type_of(&draft.value(found)) {
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
            let value = unconverted::put_or_reject(converted, self.otherwise, draft, place, pointer)?;
            if let Some(value) = value {
                draft.put_at(path, value).map_err(|fault| no_place(draft, place, pointer, fault))?;
            }
        }
        Ok(())
    }
}

/// Appends the scalar `value`, which is spelled so in the record, as JSON text of the type `to`; nothing where it is
/// refused. Text of a container is the draft's to make: it knows what steps have changed of it.
///
/// # Errors
/// Why it cannot be converted.
pub fn convert(to: CoerceTo, value: Value<'_>, spelling: &[u8], out: &mut Vec<u8>) -> Result<(), Unconverted> {
    match (to, value) {
        // What has the type already, as `is_the_type_of` says.
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
        (CoerceTo::Boolean, Value::Negative(_) | Value::Unsigned(_) | Value::Float(_)) => {
            boolean(number_is_true(spelling), out)
        }
        (CoerceTo::Boolean, Value::String(text)) => boolean(is_true(text), out),
        (_, Value::Object { .. } | Value::Array) => Err(Unconverted::Kind(value.kind())),
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

#[cfg(test)]
#[path = "coerce_tests.rs"]
mod tests;
