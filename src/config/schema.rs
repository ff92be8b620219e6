//! JSON Schema of the configuration, for editors, from the same structs that read it.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::written::Configuration;

/// JSON Schema, draft 2020-12.
#[must_use]
pub fn schema() -> Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Configuration>().to_value();
    allow_variables(&mut schema);
    if let Value::Object(root) = &mut schema {
        root.insert("title".to_owned(), json!("sluicegate"));
    }
    schema
}

/// A number or boolean may be written as `${VAR}`, which is a string to an editor.
fn allow_variables(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if let Some(kind) = map.get("type").and_then(Value::as_str).map(str::to_owned)
                && matches!(kind.as_str(), "integer" | "number" | "boolean")
            {
                map.insert("type".to_owned(), json!([kind, "string"]));
                map.insert("pattern".to_owned(), json!("\\$\\{.*\\}"));
            }
            map.values_mut().for_each(allow_variables);
        }
        Value::Array(items) => items.iter_mut().for_each(allow_variables),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The schema a reference points to, or the schema itself.
pub(super) fn resolved<'root>(root: &'root Value, schema: &'root Value) -> &'root Value {
    schema
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|reference| root.pointer(reference.trim_start_matches('#')))
        .unwrap_or(schema)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn keys(schema: &Value, found: &mut BTreeSet<String>) {
        match schema {
            Value::Object(map) => {
                if let Some(Value::Object(properties)) = map.get("properties") {
                    found.extend(properties.keys().cloned());
                }
                map.values().for_each(|inner| keys(inner, found));
            }
            Value::Array(items) => items.iter().for_each(|inner| keys(inner, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn described(root: &Value, schema: &Value, path: &str) {
        if let Value::Object(map) = schema {
            if let Some(Value::Object(properties)) = map.get("properties") {
                for (key, inner) in properties {
                    let described = inner.get("description").or_else(|| resolved(root, inner).get("description"));
                    assert!(described.is_some(), "{path}.{key} has no description");
                }
            }
            map.iter().for_each(|(key, inner)| described(root, inner, &format!("{path}.{key}")));
        }
    }

    #[test]
    fn every_key_is_described_and_explained_in_the_example() {
        let schema = schema();
        for (name, definition) in schema["$defs"].as_object().unwrap() {
            described(&schema, definition, name);
        }
        let mut found = BTreeSet::new();
        keys(&schema, &mut found);
        assert!(found.len() > 80, "{}", found.len());
        let example = include_str!("../../config/sluicegate.yaml");
        for key in found {
            // `env`, `file`, condition tests and the like stand in comments without a colon too.
            assert!(example.contains(&key), "`{key}` is not explained in config/sluicegate.yaml");
        }
    }

    #[test]
    fn unknown_keys_are_refused_by_editors_too() {
        let schema = schema();
        assert_eq!(schema["additionalProperties"], json!(false));
        assert_eq!(schema["$defs"]["KafkaSource"]["additionalProperties"], json!(false));
        assert_eq!(schema["$defs"]["KafkaSource"]["required"], json!(["connection", "topics", "group"]));
        assert_eq!(schema["$defs"]["Limits"]["properties"]["span"]["type"], json!(["integer", "string"]));
    }
}
