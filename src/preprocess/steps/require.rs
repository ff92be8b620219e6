//! `require`: pointers that must find a value that is not null. The record's bytes stay untouched (class Z).

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::super::compile::Compiler;
use super::super::document::{Cursor, Document, Value};
use super::super::ending::{Ending, missing, refuse};
use super::super::program::CostClass;
use super::{Operation, Otherwise};
use crate::leaf::{CheckContext, Pointer};
use crate::model::StepName;

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

/// Every pointer must find a value that is not null.
#[derive(Debug, Clone)]
pub struct RequirePlan {
    /// What must be there.
    pub pointers: Vec<Pointer>,
    /// What happens otherwise.
    pub otherwise: Otherwise,
}

impl Require {
    pub(super) fn check(&self, path: &str, context: &CheckContext<'_>) -> Option<RequirePlan> {
        if self.fields.is_empty() {
            context.error(path, "requires nothing: the list is empty", "name at least one pointer, such as `/id`");
        }
        let long = format!("{path}.fields");
        let list = if context.index.is_written(&long) { &long } else { path };
        let pointers: Vec<_> = self
            .fields
            .iter()
            .enumerate()
            .map(|(number, pointer)| context.pointer(&format!("{list}[{number}]"), pointer))
            .collect();
        Some(RequirePlan { pointers: pointers.into_iter().collect::<Option<_>>()?, otherwise: self.otherwise })
    }
}

impl RequirePlan {
    pub(super) fn compile(&self, compiler: &mut Compiler) -> (Operation, CostClass) {
        self.pointers.iter().for_each(|pointer| compiler.read(pointer));
        (Operation::Require(self.clone()), CostClass::Untouched)
    }

    pub(super) fn run(&self, doc: &Document<'_>, window: Cursor, place: &StepName) -> Result<(), Ending> {
        for pointer in &self.pointers {
            let found = doc.find(window, &pointer.members).map(|found| doc.value(found));
            if matches!(found, None | Some(Value::Null)) {
                return Err(refuse(self.otherwise, place, || match found {
                    None => missing(doc, window, pointer),
                    Some(_) => format!("{} is null", pointer.shown()),
                }));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::test_plans::pointer;
    use super::super::StepKind;
    use super::super::fixtures::{on, planned, refuses, reject_of};
    use super::*;
    use crate::model::RejectReason;

    #[test]
    fn takes_null_for_missing() {
        let pointers: Vec<_> = ["/a", "/b/c"].into_iter().map(pointer).collect();
        let run = |text: &str, otherwise| {
            let plan = RequirePlan { pointers: pointers.clone(), otherwise };
            on(text, |doc| plan.run(&doc, doc.root(), &"here".into()))
        };
        for (text, detail) in [
            (r#"{"a":0,"b":{"c":false}}"#, None),
            (r#"{"a":0,"b":{"c":null}}"#, Some("/b/c is null")),
            (r#"{"b":{"c":1}}"#, Some("/a is missing")),
            (r#"{"a":0,"b":[]}"#, Some("/b/c is missing")),
        ] {
            let (rejected, dropped) = (run(text, Otherwise::Reject), run(text, Otherwise::Drop));
            match detail {
                None => assert_eq!((rejected, dropped), (Ok(()), Ok(()))),
                Some(detail) => {
                    let expected = (RejectReason::Condition, detail.to_owned());
                    assert_eq!(reject_of(rejected.expect_err(text)), expected);
                    assert_eq!(dropped, Err(Ending::Dropped));
                }
            }
        }
    }

    #[test]
    fn what_is_written_wrong_is_refused_with_its_place() {
        let rows = [
            ("{require: []}", "", "requires nothing"),
            ("{require: [/a, b]}", "[1]", "write `/b`"),
            ("{require: {fields: [b]}}", ".fields[0]", "write `/b`"),
            ("{require: {otherwise: drop}}", "", "`fields` is missing"),
            ("{require: {fields: [/a], otherwise: skip}}", ".otherwise", "`drop`, `reject`"),
        ];
        refuses("require", &rows);
    }

    #[test]
    fn short_and_long_forms() {
        for (step, expected) in [
            ("require: /id", (&["id"][..], Otherwise::Reject)),
            ("require: [/id, /user]", (&["id", "user"], Otherwise::Reject)),
            ("require: { fields: [/a], otherwise: drop }", (&["a"], Otherwise::Drop)),
        ] {
            let StepKind::Require(plan) = planned(&format!("{{ {step} }}")) else { panic!("{step}") };
            let members: Vec<_> = plan.pointers.iter().map(|pointer| pointer.members[0].as_str()).collect();
            assert_eq!((&members[..], plan.otherwise), expected, "{step}");
        }
    }
}
