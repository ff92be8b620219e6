//! What is done to each record.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::config::quantity::{ByteSize, Interval};

/// One step: a map with one key.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The object at this RFC 6901 pointer becomes the record, byte for byte. A missing, null or other value rejects it.
    Select(String),
    /// These pointers must find a value that is not null: one, a list, or a map with `fields` and `otherwise`.
    Require(Require),
    /// The record goes on only when all conditions hold: a list, or a map with `all` and `otherwise`.
    Where(Where),
    /// Adds fields of a Redis hash.
    Lookup(Box<Lookup>),
}

/// What happens to a record that a condition does not let pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Otherwise {
    /// It is counted as dropped.
    Drop,
    /// It is rejected.
    Reject,
}

/// Pointers that must find something.
#[derive(Debug, Clone, Serialize)]
pub struct Require {
    /// The pointers.
    pub fields: Vec<String>,
    /// What happens otherwise.
    pub otherwise: Otherwise,
}

/// The long form of [`Require`].
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RequireMap {
    /// RFC 6901 pointers.
    #[schemars(length(min = 1))]
    fields: Vec<String>,
    /// What happens to records where one finds nothing.
    #[serde(default = "reject")]
    otherwise: Otherwise,
}

fn reject() -> Otherwise {
    Otherwise::Reject
}

impl<'de> Deserialize<'de> for Require {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RequireVisitor;
        impl<'de> Visitor<'de> for RequireVisitor {
            type Value = Require;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a pointer, a list of pointers, or a map with `fields` and `otherwise`")
            }
            fn visit_str<E>(self, pointer: &str) -> Result<Require, E> {
                Ok(Require { fields: vec![pointer.to_owned()], otherwise: reject() })
            }
            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Require, A::Error> {
                let fields = Deserialize::deserialize(SeqAccessDeserializer::new(items))?;
                Ok(Require { fields, otherwise: reject() })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Require, A::Error> {
                let RequireMap { fields, otherwise } = Deserialize::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Require { fields, otherwise })
            }
        }
        deserializer.deserialize_any(RequireVisitor)
    }
}

impl JsonSchema for Require {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Require".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let map = generator.subschema_for::<RequireMap>();
        json_schema!({ "oneOf": [
            { "type": "string" }, { "type": "array", "items": { "type": "string" }, "minItems": 1 }, map,
        ] })
    }
}

/// Conditions that must all hold.
#[derive(Debug, Clone, Serialize)]
pub struct Where {
    /// The conditions.
    pub all: Vec<Condition>,
    /// What happens otherwise.
    pub otherwise: Otherwise,
}

/// The long form of [`Where`].
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WhereMap {
    /// The conditions.
    #[schemars(length(min = 1))]
    all: Vec<Condition>,
    /// What happens to records where one does not hold.
    #[serde(default = "drop_record")]
    otherwise: Otherwise,
}

fn drop_record() -> Otherwise {
    Otherwise::Drop
}

impl<'de> Deserialize<'de> for Where {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WhereVisitor;
        impl<'de> Visitor<'de> for WhereVisitor {
            type Value = Where;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a list of conditions, or a map with `all` and `otherwise`")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Where, A::Error> {
                let all = Deserialize::deserialize(SeqAccessDeserializer::new(items))?;
                Ok(Where { all, otherwise: drop_record() })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Where, A::Error> {
                let WhereMap { all, otherwise } = Deserialize::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Where { all, otherwise })
            }
        }
        deserializer.deserialize_any(WhereVisitor)
    }
}

impl JsonSchema for Where {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Where".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let map = generator.subschema_for::<WhereMap>();
        let condition = generator.subschema_for::<Condition>();
        json_schema!({ "oneOf": [{ "type": "array", "items": condition, "minItems": 1 }, map] })
    }
}

/// A value of the record and what it is compared with. Several comparisons must all hold. A missing value satisfies only
/// `exists: false`, `not_equals` and `not_in`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// RFC 6901 pointer to the value.
    pub field: String,
    /// Is this constant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<Constant>,
    /// Is not this constant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_equals: Option<Constant>,
    /// Is one of these constants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#in: Option<Vec<Constant>>,
    /// Is none of these constants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_in: Option<Vec<Constant>>,
    /// Is there (true) or not (false); null counts as not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exists: Option<bool>,
    /// Is a number below this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub less_than: Option<Bound>,
    /// Is a number up to this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<Bound>,
    /// Is a number above this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub greater_than: Option<Bound>,
    /// Is a number from this on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<Bound>,
    /// Is a string that starts with this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
}

/// A constant: true, false, a number or a string. Quotes make a string.
#[derive(Debug, Clone, PartialEq)]
pub struct Constant(pub super::super::plan::Scalar);

/// A number that others are compared with, exactly as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound(pub crate::model::Decimal);

/// Any JSON value, as text, so that its numbers keep their digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonText(pub String);

/// Adds fields of a Redis hash: one hash a key (`key`, `fields`), or one hash as a table (`table`, `field`).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lookup {
    /// A name in `connections.redis`.
    pub redis: String,
    /// Template of the hash's name, one hash a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// With `key`: which fields of the hash, or `all`. Default `all`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<Fields>,
    /// Name of one hash that is read as a whole at start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// With `table`: template of the field to take from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// With `table`: how often it is read again. Default 60s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Interval>,
    /// RFC 6901 pointer to where the found object (`key`) or string (`table`) goes.
    pub into: String,
    /// What happens to records whose key is not there.
    #[serde(default)]
    pub on_miss: OnMiss,
    /// What happens while Redis does not answer.
    #[serde(default)]
    pub on_error: OnError,
    /// Cache of look-ups by `key`.
    #[serde(default)]
    pub cache: Cache,
}

/// Fields of a hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fields {
    /// All of them.
    All,
    /// These.
    Named(Vec<String>),
}

/// What happens to records whose key is not there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnMiss {
    /// The record goes on without.
    #[default]
    Keep,
    /// This value is put there.
    Default(JsonText),
    /// The record is dropped.
    Drop,
    /// The record is rejected.
    Reject,
}

/// What happens while Redis does not answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// The pipeline waits and retries, with backoff.
    #[default]
    Retry,
    /// Records go on without.
    Keep,
    /// The pipeline halts.
    Stop,
}

/// Bounds of a look-up cache.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cache {
    /// Most keys held.
    pub entries: u64,
    /// Most bytes held.
    pub bytes: ByteSize,
    /// How long a found hash is used.
    pub ttl: Interval,
    /// How long a missing one is remembered.
    pub miss_ttl: Interval,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            entries: 100_000,
            bytes: ByteSize(64 << 20),
            ttl: Interval::seconds(60),
            miss_ttl: Interval::seconds(10),
        }
    }
}
