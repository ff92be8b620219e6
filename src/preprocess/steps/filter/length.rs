//! `length` of a condition: as people write it, and its check.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::leaf::CheckContext;

/// How many characters, elements or members a value has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Length {
    /// So many.
    Exactly(u64),
    /// So many as its bounds allow.
    Within(LengthBounds),
}

/// Bounds of a length, which must all hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LengthBounds {
    /// Is that long or longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<u64>,
    /// Is that long or shorter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<u64>,
    /// Is shorter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub less_than: Option<u64>,
    /// Is longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub greater_than: Option<u64>,
}

impl Length {
    pub(super) fn check(&self, path: &str, context: &CheckContext<'_>) -> Option<RangeInclusive<u64>> {
        let bounds = match self {
            Self::Exactly(length) => return Some(*length..=*length),
            Self::Within(bounds) => bounds,
        };
        if *bounds == LengthBounds::default() {
            let remedy = "add `at_least`, `at_most`, `less_than` or `greater_than`, or write one number";
            context.error(path, "compares the length with nothing", remedy);
            return None;
        }
        let lowest = [bounds.at_least, bounds.greater_than.map(|bound| bound.saturating_add(1))];
        let lowest = lowest.into_iter().flatten().max().unwrap_or(0);
        let highest = [bounds.at_most, bounds.less_than.and_then(|bound| bound.checked_sub(1))];
        let highest = highest.into_iter().flatten().min().unwrap_or(u64::MAX);
        if bounds.less_than == Some(0) || lowest > highest {
            context.error(path, "no length is within these bounds", "raise the upper one or lower the lower one");
            return None;
        }
        Some(lowest..=highest)
    }
}

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LengthVisitor;
        impl<'de> Visitor<'de> for LengthVisitor {
            type Value = Length;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a whole number, 0 or more, or a map with bounds such as `at_least`")
            }
            fn visit_i64<E: Error>(self, length: i64) -> Result<Length, E> {
                let exact = u64::try_from(length).map(Length::Exactly);
                exact.map_err(|_| E::invalid_value(Unexpected::Signed(length), &self))
            }
            fn visit_u64<E>(self, length: u64) -> Result<Length, E> {
                Ok(Length::Exactly(length))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Length, A::Error> {
                LengthBounds::deserialize(MapAccessDeserializer::new(map)).map(Length::Within)
            }
        }
        deserializer.deserialize_any(LengthVisitor)
    }
}

impl Serialize for Length {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Exactly(length) => serializer.serialize_u64(*length),
            Self::Within(bounds) => bounds.serialize(serializer),
        }
    }
}

impl JsonSchema for Length {
    fn schema_name() -> Cow<'static, str> {
        "Length".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let bounds = generator.subschema_for::<LengthBounds>();
        json_schema!({ "oneOf": [{ "type": "integer", "minimum": 0 }, bounds] })
    }
}
