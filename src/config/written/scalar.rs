//! Values of several forms: a constant of a condition, the fields of a look-up.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::step::{Constant, Fields};
use crate::config::plan::Scalar;

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
            fn visit_i64<E>(self, value: i64) -> Result<Constant, E> {
                Ok(Constant(Scalar::Integer(value)))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Constant, E> {
                Ok(Constant(Scalar::Float(value)))
            }
            fn visit_str<E>(self, value: &str) -> Result<Constant, E> {
                Ok(Constant(Scalar::String(value.to_owned())))
            }
        }
        deserializer.deserialize_any(ConstantVisitor)
    }
}

impl Serialize for Constant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Scalar::Bool(value) => serializer.serialize_bool(*value),
            Scalar::Integer(value) => serializer.serialize_i64(*value),
            Scalar::Float(value) => serializer.serialize_f64(*value),
            Scalar::String(value) => serializer.serialize_str(value),
        }
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
