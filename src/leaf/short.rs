//! Values with short forms: a list, or one text, in place of the map.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{DeserializeOwned, Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A map that may be written shorter.
pub trait ShortForms: DeserializeOwned + JsonSchema {
    /// A member of the list.
    type Item: DeserializeOwned + JsonSchema;
    /// The name of all forms together in the schema.
    const NAME: &'static str;
    /// What may be written, for messages.
    const EXPECTED: &'static str;
    /// Makes the value of one text, where one text is a short form.
    const OF_TEXT: Option<fn(&str) -> Self>;
    /// Makes the value of a list, where a list is a short form.
    const OF_LIST: Option<Make<Vec<Self::Item>, Self>>;
}

/// Makes a value of one of its forms.
pub type Make<Form, T> = fn(Form) -> T;

/// A value in any of its forms; written out again as the map.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct Short<T>(pub T);

impl<'de, T: ShortForms> Deserialize<'de> for Short<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Forms(PhantomData)).map(Self)
    }
}

impl<T: ShortForms> JsonSchema for Short<T> {
    fn schema_name() -> Cow<'static, str> {
        T::NAME.into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (map, items) = (generator.subschema_for::<T>(), generator.subschema_for::<T::Item>());
        let text = T::OF_TEXT.map(|_| json_schema!({ "type": "string" }));
        let list = T::OF_LIST.map(|_| json_schema!({ "type": "array", "items": items, "minItems": 1 }));
        let forms: Vec<Value> = text.into_iter().chain(list).chain([map]).map(Schema::to_value).collect();
        json_schema!({ "oneOf": forms })
    }
}

struct Forms<T>(PhantomData<T>);

impl<'de, T: ShortForms> Visitor<'de> for Forms<T> {
    type Value = T;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(T::EXPECTED)
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        let make = T::OF_TEXT.ok_or_else(|| E::invalid_type(Unexpected::Str(text), &self))?;
        Ok(make(text))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<T, A::Error> {
        let make = T::OF_LIST.ok_or_else(|| A::Error::invalid_type(Unexpected::Seq, &self))?;
        Deserialize::deserialize(SeqAccessDeserializer::new(items)).map(make)
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}
