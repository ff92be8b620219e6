//! Values that serde's own types do not hold, because every digit counts: constants, bounds, any JSON value.

use std::cmp::Ordering;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error as _, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::model::Decimal;

/// A constant: true, false, a number or a string. Quotes make a string.
#[derive(Debug, Clone, PartialEq)]
pub enum Constant {
    /// true or false
    Bool(bool),
    /// A number, with every digit that was written.
    Number(Decimal),
    /// A string.
    String(String),
}

/// A number that others are compared with, exactly as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound(pub Decimal);

/// Any JSON value, as text, so that its numbers keep their digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonText(pub String);

/// Names under which the decoder hands over more than serde's types hold: every digit of a number.
pub const BOUND: &str = "Bound";
/// The same for a number among other constants: it comes as bytes.
pub const CONSTANT: &str = "Constant";
/// The same for a whole value, as JSON text.
pub const JSON_TEXT: &str = "JsonText";

impl<'de> Deserialize<'de> for Constant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ConstantVisitor;
        impl Visitor<'_> for ConstantVisitor {
            type Value = Constant;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("true, false, a number or a string (for null, use `exists`)")
            }
            fn visit_bool<E>(self, value: bool) -> Result<Constant, E> {
                Ok(Constant::Bool(value))
            }
            fn visit_bytes<E: serde::de::Error>(self, spelling: &[u8]) -> Result<Constant, E> {
                let number = std::str::from_utf8(spelling).ok().and_then(Decimal::new);
                number.map(Constant::Number).ok_or_else(|| E::custom("expected a number"))
            }
            fn visit_str<E>(self, value: &str) -> Result<Constant, E> {
                Ok(Constant::String(value.to_owned()))
            }
        }
        deserializer.deserialize_newtype_struct(CONSTANT, ConstantVisitor)
    }
}

impl Serialize for Constant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(number) => serialize_number(number, serializer),
            Self::String(value) => serializer.serialize_str(value),
        }
    }
}

/// As a number where that keeps it, else as its digits in quotes.
fn serialize_number<S: Serializer>(number: &Decimal, serializer: S) -> Result<S::Ok, S::Error> {
    if let Some(whole) = number.whole().and_then(|whole| i64::try_from(whole).ok()) {
        return serializer.serialize_i64(whole);
    }
    if let Some(whole) = number.whole().and_then(|whole| u64::try_from(whole).ok()) {
        return serializer.serialize_u64(whole);
    }
    match number.text().parse::<f64>() {
        Ok(double) if number.order_of(double.to_string().as_bytes()) == Some(Ordering::Equal) => {
            serializer.serialize_f64(double)
        }
        Ok(_) | Err(_) => serializer.serialize_str(number.text()),
    }
}

impl<'de> Deserialize<'de> for Bound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text: String = deserializer.deserialize_newtype_struct(BOUND, TextVisitor)?;
        Decimal::new(&text).map(Bound).ok_or_else(|| D::Error::custom("expected a number"))
    }
}

impl Serialize for Bound {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_number(&self.0, serializer)
    }
}

impl JsonSchema for Bound {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Bound".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number" })
    }
}

impl<'de> Deserialize<'de> for JsonText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(JSON_TEXT, TextVisitor).map(JsonText)
    }
}

impl Serialize for JsonText {
    /// As people would write it; a number that a double does not hold is shown rounded.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde_json::from_str::<serde_json::Value>(&self.0).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

impl JsonSchema for JsonText {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "AnyValue".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!(true)
    }
}

/// What the decoder hands over as text.
struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = String;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("text")
    }
    fn visit_str<E>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }
}

impl JsonSchema for Constant {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Constant".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["boolean", "number", "string"] })
    }
}
