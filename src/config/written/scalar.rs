//! Values of several forms: a constant of a condition, the fields of a look-up.

use std::cmp::Ordering;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::step::{Bound, Constant, Fields, JsonText};
use crate::config::plan::Scalar;
use crate::model::Decimal;

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
                Ok(Constant(Scalar::Bool(value)))
            }
            fn visit_bytes<E: serde::de::Error>(self, spelling: &[u8]) -> Result<Constant, E> {
                let number = std::str::from_utf8(spelling).ok().and_then(Decimal::new);
                number.map(|number| Constant(Scalar::Number(number))).ok_or_else(|| E::custom("expected a number"))
            }
            fn visit_str<E>(self, value: &str) -> Result<Constant, E> {
                Ok(Constant(Scalar::String(value.to_owned())))
            }
        }
        deserializer.deserialize_newtype_struct(CONSTANT, ConstantVisitor)
    }
}

impl Serialize for Constant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Scalar::Bool(value) => serializer.serialize_bool(*value),
            Scalar::Number(number) => serialize_number(number, serializer),
            Scalar::String(value) => serializer.serialize_str(value),
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

/// A list of texts, or one text that is taken apart at commas and blanks.
pub fn texts(generator: &mut SchemaGenerator) -> Schema {
    one_or_many::<String>(generator)
}

/// The same of members with a schema of their own.
pub fn one_or_many<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let inner = generator.subschema_for::<T>();
    json_schema!({ "oneOf": [{ "type": "array", "items": inner, "minItems": 1 }, inner] })
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a list of fields, or `all`")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Fields, E> {
                match text {
                    "all" => Ok(Fields::All),
                    one => {
                        Err(E::custom(format!("expected a list of fields, or `all`; for one field write `[{one}]`")))
                    }
                }
            }
            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Fields, A::Error> {
                let names: Vec<String> = Deserialize::deserialize(SeqAccessDeserializer::new(items))?;
                if names.is_empty() {
                    return Err(A::Error::custom("the list of fields is empty; for all fields write `all`"));
                }
                Ok(Fields::Named(names))
            }
        }
        deserializer.deserialize_any(FieldsVisitor)
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => serializer.serialize_str("all"),
            Self::Named(names) => names.serialize(serializer),
        }
    }
}

impl JsonSchema for Fields {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Fields".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "oneOf": [
            { "const": "all" }, { "type": "array", "items": { "type": "string" }, "minItems": 1 },
        ] })
    }
}
