//! What the values of a source are.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

/// What the values of a source are. Steps and sinks work on JSON: whatever is not is put into an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueFormat {
    /// JSON.
    #[default]
    Json,
    /// JSON behind the five bytes of a schema registry's serializer, which are left out.
    JsonSchemaRegistry,
    /// Text in UTF-8: `{ "message": text }`.
    Text(FieldOfValue),
    /// Anything: `{ "message": text }` with the bytes in Base64 (RFC 4648, with padding).
    Bytes(FieldOfValue),
}

/// Where a value that is no JSON is put.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FieldOfValue {
    /// The member's name.
    #[serde(default = "message")]
    pub field: String,
}

fn message() -> String {
    "message".to_owned()
}

impl Default for FieldOfValue {
    fn default() -> Self {
        Self { field: message() }
    }
}

impl ValueFormat {
    /// What values are made into JSON of; nothing for what is JSON.
    #[must_use]
    pub(crate) fn made(&self) -> Option<String> {
        match self {
            Self::Json => None,
            Self::JsonSchemaRegistry => Some("JSON behind a schema registry's frame".to_owned()),
            Self::Text(FieldOfValue { field }) => Some(format!("text, as member `{field}`")),
            Self::Bytes(FieldOfValue { field }) => Some(format!("bytes, as member `{field}`")),
        }
    }
}

const NAMES: &[&str] = &["json", "json_schema_registry", "text", "bytes"];

impl<'de> Deserialize<'de> for ValueFormat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FormatVisitor;
        impl<'de> Visitor<'de> for FormatVisitor {
            type Value = ValueFormat;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("`json`, `json_schema_registry`, `text`, `bytes`, or `{ text: { field: name } }`")
            }
            fn visit_str<E: Error>(self, name: &str) -> Result<ValueFormat, E> {
                match name {
                    "json" => Ok(ValueFormat::Json),
                    "json_schema_registry" => Ok(ValueFormat::JsonSchemaRegistry),
                    "text" => Ok(ValueFormat::Text(FieldOfValue::default())),
                    "bytes" => Ok(ValueFormat::Bytes(FieldOfValue::default())),
                    other => Err(E::unknown_variant(other, NAMES)),
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ValueFormat, A::Error> {
                let format = match map.next_key::<String>()?.as_deref() {
                    Some("text") => ValueFormat::Text(map.next_value()?),
                    Some("bytes") => ValueFormat::Bytes(map.next_value()?),
                    Some(other) => return Err(A::Error::unknown_field(other, &["text", "bytes"])),
                    None => return Err(A::Error::custom("expected `{ text: { field: name } }`")),
                };
                match map.next_key::<String>()? {
                    Some(_) => Err(A::Error::custom("expected exactly one of `text` and `bytes`")),
                    None => Ok(format),
                }
            }
        }
        deserializer.deserialize_any(FormatVisitor)
    }
}

impl JsonSchema for ValueFormat {
    fn schema_name() -> Cow<'static, str> {
        "ValueFormat".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let field = generator.subschema_for::<FieldOfValue>();
        let map = |name: &str| {
            serde_json::json!({
                "type": "object", "properties": { name: field }, "required": [name], "additionalProperties": false,
            })
        };
        json_schema!({ "oneOf": [{ "enum": NAMES }, map("text"), map("bytes")] })
    }
}
