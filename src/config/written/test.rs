//! Offline tests as people write them.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::Named;
use crate::leaf::JsonText;

/// What Redis holds in a test: by connection the hashes by name, and of each its fields.
pub type RedisContent = Named<Named<Named<String>>>;

/// A file of tests, `*.test.yaml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestFile {
    /// As in a configuration.
    pub tests: Vec<TestKeys>,
}

/// An offline test: one record in, and exactly what comes out.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Test")]
pub struct TestKeys {
    /// Shown with its result.
    pub name: String,
    /// The pipeline under test.
    pub pipeline: String,
    /// The record.
    pub input: TestInput,
    /// What Redis holds, in the place of the servers: by connection the hashes by name (the key of a look-up by `key`,
    /// or its `table`), and of each its fields. What is not here is not there.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub lookups: RedisContent,
    /// What comes out: one output or ending, or a list of them in order. What is not written is not compared. Left
    /// empty, the test fails until `sluicegate test --update` has filled it in.
    pub expect: Expectations,
}

fn is_empty(content: &RedisContent) -> bool {
    content.0.is_empty()
}

/// A record to test with. Without `value`, `text` and `base64`, or with `value: null`, it is a tombstone.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestInput {
    /// The value, as any YAML value; the record's bytes are its compact JSON.
    #[serde(default, deserialize_with = "written", skip_serializing_if = "Option::is_none")]
    pub value: Option<JsonText>,
    /// The value, as it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The value, as Base64: bytes that are no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
    /// The key. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The key, as Base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_base64: Option<String>,
    /// Headers: a map of names and texts (null for a header without a value), or a list of `name` and `value`, for
    /// names that come twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<TestHeaders>,
    /// The topic it came from. Default: the first that the pipeline names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// The partition it came from. Default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<i32>,
    /// Its offset. Default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    /// Its timestamp: RFC 3339, or milliseconds since 1970. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
}

/// One header of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestHeader {
    /// Its name.
    pub name: String,
    /// Its value, as text. Without it and without `base64` the header has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Its value, as Base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
}

/// Headers, in order.
#[derive(Debug, Clone)]
pub enum TestHeaders {
    /// Texts by name.
    ByName(Named<Option<String>>),
    /// One by one: a name may come twice.
    Listed(Vec<TestHeader>),
}

impl<'de> Deserialize<'de> for TestHeaders {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HeadersVisitor;
        impl<'de> Visitor<'de> for HeadersVisitor {
            type Value = TestHeaders;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a map of header names and texts, or a list of `{ name: …, value: … }`")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TestHeaders, A::Error> {
                Deserialize::deserialize(MapAccessDeserializer::new(map)).map(TestHeaders::ByName)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<TestHeaders, A::Error> {
                Deserialize::deserialize(SeqAccessDeserializer::new(items)).map(TestHeaders::Listed)
            }
        }
        deserializer.deserialize_any(HeadersVisitor)
    }
}

impl Serialize for TestHeaders {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::ByName(headers) => headers.serialize(serializer),
            Self::Listed(headers) => headers.serialize(serializer),
        }
    }
}

impl JsonSchema for TestHeaders {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TestHeaders".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let item = generator.subschema_for::<TestHeader>();
        json_schema!({ "oneOf": [
            { "type": "object", "additionalProperties": { "type": ["string", "number", "boolean", "null"] } },
            { "type": "array", "items": item },
        ] })
    }
}

/// How a record is expected to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExpectedOutcome {
    /// It is sent.
    Delivered,
    /// A rule drops it.
    Dropped,
    /// It can never be sent; `on_reject` says what becomes of it.
    Rejected,
}

/// One output, or one ending without any.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// How it ends. Default: `delivered`, or `rejected` where `reason` or `step` is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<ExpectedOutcome>,
    /// Of a rejected record: why, as in `rejects_total` and dead letters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Of a rejected record: where, such as `steps[0].select`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The value after all steps, compared as JSON: order of members and blanks are free, numbers are exact. null is a
    /// tombstone.
    #[serde(default, deserialize_with = "written", skip_serializing_if = "Option::is_none")]
    pub value: Option<JsonText>,
    /// The value after all steps, byte for byte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The value after all steps, byte for byte, as Base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
    /// Kafka: the key; null for none.
    #[serde(default, deserialize_with = "written", skip_serializing_if = "Option::is_none")]
    pub key: Option<Option<String>>,
    /// Kafka: the key, as Base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_base64: Option<String>,
    /// Kafka: all headers, in order, in the forms of the input's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<TestHeaders>,
    /// Kafka: the topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// Elasticsearch: the action line, compared as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<JsonText>,
    /// Elasticsearch: the line behind it, compared as JSON; null where there is none (`delete`).
    #[serde(default, deserialize_with = "written", skip_serializing_if = "Option::is_none")]
    pub document: Option<JsonText>,
    /// Elasticsearch: the action line and the line behind it, byte for byte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<String>,
    /// Elasticsearch: the index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
    /// Elasticsearch: the document's id; null where the server makes it.
    #[serde(default, deserialize_with = "written", skip_serializing_if = "Option::is_none")]
    pub id: Option<Option<String>>,
}

/// A key that is there, be it null.
fn written<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// What comes out of one record.
#[derive(Debug, Clone, Default)]
pub struct Expectations {
    /// In order.
    pub all: Vec<Expectation>,
    /// Written as a list.
    pub is_list: bool,
}

impl<'de> Deserialize<'de> for Expectations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ExpectationsVisitor;
        impl<'de> Visitor<'de> for ExpectationsVisitor {
            type Value = Expectations;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a map such as `{ value: … }` or `{ outcome: dropped }`, or a list of them")
            }
            fn visit_unit<E>(self) -> Result<Expectations, E> {
                Ok(Expectations::default())
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Expectations, A::Error> {
                let one = Deserialize::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Expectations { all: vec![one], is_list: false })
            }
            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Expectations, A::Error> {
                let all = Deserialize::deserialize(SeqAccessDeserializer::new(items))?;
                Ok(Expectations { all, is_list: true })
            }
        }
        deserializer.deserialize_any(ExpectationsVisitor)
    }
}

impl Serialize for Expectations {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (&self.all[..], self.is_list) {
            ([one], false) => one.serialize(serializer),
            ([], false) => serializer.serialize_none(),
            (all, _) => all.serialize(serializer),
        }
    }
}

impl JsonSchema for Expectations {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Expectations".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<Expectation>();
        json_schema!({ "oneOf": [one.clone(), { "type": "array", "items": one, "minItems": 1 }, { "type": "null" }] })
    }
}
