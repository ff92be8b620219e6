//! Schemas of values of several forms.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// A list of texts, or one text that is taken apart at commas and blanks.
pub fn texts(generator: &mut SchemaGenerator) -> Schema {
    one_or_many::<String>(generator)
}

/// The same of members with a schema of their own.
pub fn one_or_many<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let inner = generator.subschema_for::<T>();
    json_schema!({ "oneOf": [{ "type": "array", "items": inner, "minItems": 1 }, inner] })
}
