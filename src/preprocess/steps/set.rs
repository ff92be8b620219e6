//! `set`: values are put in: constants of any JSON type, texts with fields of the record in them, other values of the
//! record (class P).

use schemars::{JsonSchema, SchemaGenerator};
use serde::de::MapAccess;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize};

use super::super::compile::{Compiler, error};
use super::super::constants::{EditPath, LiteralId};
use super::super::draft::{Draft, DraftValue, InHand};
use super::super::ending::{StepEnding, missing, rejected};
use super::super::evaluate::{Evaluation, Rendering};
use super::super::look::Look;
use super::super::program::{CompileError, CostClass};
use super::super::template::Compiled;
use super::pointers::{PointerMap, StepOptions, no_place, overlap};
use super::{Change, StepOperation};
use crate::leaf::{CheckContext, JsonText, Pointer, Template, TemplateSegment};
use crate::model::{RejectReason, StepName};

/// From pointers to values.
pub type Set = PointerMap<SetOptions>;

/// What happens where a parent is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Parents {
    /// It is made.
    #[default]
    Create,
    /// The record is rejected.
    Reject,
}

/// Options of `set`.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct SetOptions {
    parents: Parents,
}

impl StepOptions for SetOptions {
    type Value = JsonText;
    const NAME: &'static str = "Set";
    const KEYS: &'static [&'static str] = &["parents"];

    fn read<'de, A: MapAccess<'de>>(&mut self, _: &str, map: &mut A) -> Result<(), A::Error> {
        self.parents = map.next_value()?;
        Ok(())
    }
    fn properties(generator: &mut SchemaGenerator) -> serde_json::Value {
        serde_json::json!({ "parents": generator.subschema_for::<Parents>() })
    }
    fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("parents", &self.parents)
    }
}

/// What is put where.
#[derive(Debug, Clone)]
pub struct SetPlan {
    /// Pointers and what is put there.
    pub values: Vec<(Pointer, SetValue)>,
    /// What happens where a parent is missing.
    pub parents: Parents,
}

/// What is put in.
#[derive(Debug, Clone)]
pub enum SetValue {
    /// The same for every record.
    Constant(JsonText),
    /// A text.
    Text(Template),
    /// Another value of the record, with its type.
    Copy {
        /// Where it is.
        pointer: Pointer,
        /// The text that is put in where it is missing.
        fallback: Option<String>,
    },
}

impl Set {
    pub(super) fn check(&self, path: &str, context: &CheckContext<'_>) -> Option<SetPlan> {
        let items = self.pointers(path, context, "/path: value")?;
        let values: Vec<_> = items.iter().map(|(place, _, value)| value_of(value, place, context)).collect();
        let values = values.into_iter().collect::<Option<Vec<_>>>()?;
        if overlap(context, items.iter().map(|(place, pointer, _)| (place, pointer))) {
            return None;
        }
        let values = items.into_iter().map(|(_, pointer, _)| pointer).zip(values).collect();
        Some(SetPlan { values, parents: self.options.parents })
    }
}

fn value_of(JsonText(json): &JsonText, path: &str, context: &CheckContext<'_>) -> Option<SetValue> {
    let Ok(text) = serde_json::from_str::<String>(json) else {
        return Some(SetValue::Constant(JsonText(json.clone())));
    };
    if text.is_empty() {
        return Some(SetValue::Constant(JsonText(json.clone())));
    }
    let template = context.template(path, &text)?;
    Some(match (template.fixed_text(), &template.segments[..]) {
        (Some(text), _) => SetValue::Constant(JsonText(serde_json::Value::from(text).to_string())),
        (None, [TemplateSegment::Field { pointer, fallback }]) => {
            SetValue::Copy { pointer: pointer.clone(), fallback: fallback.clone() }
        }
        (None, _) => SetValue::Text(template),
    })
}

#[derive(Debug)]
pub(in crate::preprocess) struct CompiledSet {
    values: Vec<(Pointer, EditPath, CompiledValue)>,
    create: bool,
}

#[derive(Debug)]
enum CompiledValue {
    Constant(LiteralId),
    Text(Compiled),
    Copy(Pointer, Option<LiteralId>),
}

impl SetPlan {
    pub(super) fn compile(
        &self,
        place: &StepName,
        compiler: &mut Compiler,
    ) -> Result<(StepOperation, CostClass), CompileError> {
        for (pointer, value) in &self.values {
            match value {
                SetValue::Constant(_) => {}
                SetValue::Copy { pointer, .. } => compiler.change(pointer),
                SetValue::Text(template) => template.segments.iter().for_each(|segment| {
                    if let TemplateSegment::Field { pointer, .. } = segment.inner() {
                        compiler.read(pointer);
                    }
                }),
            }
            compiler.change(pointer);
        }
        let mut values = Vec::new();
        for (pointer, value) in &self.values {
            let value = match value {
                SetValue::Constant(JsonText(json)) => {
                    CompiledValue::Constant(compiler.constants.take(json).map_err(|fault| error(place, fault))?)
                }
                SetValue::Text(template) => CompiledValue::Text(compiler.step_template(template, place)?),
                SetValue::Copy { pointer, fallback } => {
                    let fallback = fallback.as_ref().map(|text| compiler.constants.take_string(text));
                    CompiledValue::Copy(pointer.clone(), fallback)
                }
            };
            let path =
                compiler.constants.path(pointer).ok_or_else(|| error(place, "the whole record cannot be set"))?;
            values.push((pointer.clone(), path, value));
        }
        let set = CompiledSet { values, create: self.parents == Parents::Create };
        Ok((StepOperation::Change(Change::Set(set)), CostClass::Splice))
    }
}

impl CompiledSet {
    pub(super) fn run(
        &self,
        on: &Evaluation<'_>,
        draft: &mut Draft<'_>,
        place: &StepName,
        rendering: &mut Rendering,
    ) -> Result<(), StepEnding> {
        draft.room.hand.clear();
        for (number, (.., value)) in self.values.iter().enumerate() {
            let value = value.of(on, draft, place, rendering)?;
            draft.room.hand.push(InHand { number, value, from: None });
        }
        for at in 0..draft.room.hand.len() {
            let InHand { number, value, .. } = draft.room.hand[at];
            let (pointer, EditPath { parents, name }, _) = &self.values[number];
            let container = draft.container(parents, self.create);
            let put = container.and_then(|container| draft.put(container, *name, value));
            put.map_err(|fault| no_place(draft, place, pointer, fault))?;
        }
        Ok(())
    }
}

impl CompiledValue {
    /// The value, read before anything is put in.
    fn of(
        &self,
        on: &Evaluation<'_>,
        draft: &mut Draft<'_>,
        place: &StepName,
        rendering: &mut Rendering,
    ) -> Result<DraftValue, StepEnding> {
        match self {
            Self::Constant(literal) => Ok(DraftValue::Literal(*literal)),
            Self::Copy(pointer, fallback) => match (draft.find(draft.root, &pointer.members), fallback) {
                (Some(found), Some(fallback)) if draft.value(found) == super::super::document::Value::Null => {
                    Ok(DraftValue::Literal(*fallback))
                }
                (Some(found), _) => Ok(draft.copy(found)),
                (None, Some(fallback)) => Ok(DraftValue::Literal(*fallback)),
                (None, None) => Err(rejected(RejectReason::Missing, place, missing(draft, draft.root, pointer))),
            },
            Self::Text(template) => {
                rendering.key.clear();
                let (stamps, room, most) = (&mut rendering.stamps, &mut rendering.key, draft.room.most_bytes);
                if let Err(fault) = template.render_within(&on.scope_of(draft), stamps, room, most) {
                    return Err(template.reject(place, fault).into());
                }
                let Ok(text) = std::str::from_utf8(room) else {
                    let detail = format!("template `{}` renders to bytes that are no UTF-8", template.text());
                    return Err(rejected(RejectReason::InvalidUtf8, place, detail));
                };
                Ok(draft.make_string(text))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{drafted, refuses};

    #[test]
    fn values_are_put_in_their_place_or_behind_the_last() {
        for (step, input, output) in [
            ("{ /a: 1 }", "{}", r#"{"a":1}"#),
            ("{ /a: 1 }", r#"{"b":2}"#, r#"{"b":2,"a":1}"#),
            (
                "{ /b: [true, null, {x: 12345678901234567890123}] }",
                r#"{"b": 2 }"#,
                r#"{"b": [true,null,{"x":12345678901234567890123}] }"#,
            ),
            ("{ /a: 1, /c: two }", r#"{"a":0,"b":0}"#, r#"{"a":1,"b":0,"c":"two"}"#),
            ("{ /x/y/a: 1, /x/y/b: 2 }", r#"{"c":0}"#, r#"{"c":0,"x":{"y":{"a":1,"b":2}}}"#),
            ("{ /x/a: 1 }", r#"{"x":{}}"#, r#"{"x":{"a":1}}"#),
            ("{ /a: \"{/b}\", /b: \"{/a}\" }", r#"{"a":1,"b":{"x":[2]}}"#, r#"{"a":{"x":[2]},"b":1}"#),
            ("{ /c: \"{/a}\" }", r#"{"a":null}"#, r#"{"a":null,"c":null}"#),
            ("{ /c: \"{/a|none}\" }", r#"{"a":null}"#, r#"{"a":null,"c":"none"}"#),
            ("{ /c: \"{/none|7}\" }", "{}", r#"{"c":"7"}"#),
            (
                "{ /c: \"<{/a}>{topic}-{partition}\" }",
                r#"{"a":"q\"\u0001\\é\n"}"#,
                r#"{"a":"q\"\u0001\\é\n","c":"<q\"\u0001\\é\n>events-0"}"#,
            ),
            ("{ /c: \"{{{/n}}}\" }", r#"{"n":1.50}"#, r#"{"n":1.50,"c":"{1.50}"}"#),
            ("{ /a: 3 }", r#"{"a":1,"a":2,"b":0}"#, r#"{"a":3,"b":0}"#),
            ("{ /l/0: 9 }", r#"{"l":[1,2]}"#, r#"{"l":[9,2]}"#),
            ("{ /l/2: 9, /m/-: 8 }", r#"{"l":[1,2],"m":[]}"#, r#"{"l":[1,2,9],"m":[8]}"#),
            ("{ /a: \"\" }", "{}", r#"{"a":""}"#),
        ] {
            assert_eq!(drafted(&[&format!("set: {step}")], input), Ok(output.to_owned()), "{step} {input}");
        }
    }

    #[test]
    fn the_next_step_reads_and_changes_what_was_put_in() {
        for (steps, input, output) in [
            (
                &["set: { /o: { a: 1, b: [2, 3] } }", "drop: /o/b/0", "set: { /o/c: \"{/o/a}\" }"][..],
                "{}",
                r#"{"o":{"a":1,"b":[3],"c":1}}"#,
            ),
            (&["set: { /o: { a: 1 } }", "set: { /p: \"{/o}\" }", "drop: /o/a"], "{}", r#"{"o":{},"p":{"a":1}}"#),
            (
                &["drop: /o/b", "set: { /p: \"{/o}\" }", "set: { /p/x: 1 }"],
                r#"{"o":{"a":1,"b":2}}"#,
                r#"{"o":{"a":1},"p":{"a":1,"x":1}}"#,
            ),
            (
                &["set: { /n: 7 }", "where: [{ field: /n, at_least: 7 }]", "set: { /t: \"n={/n}\" }"],
                "{}",
                r#"{"n":7,"t":"n=7"}"#,
            ),
            (&["set: { /t: \"x{/a}\" }", "where: [{ field: /t, equals: x1 }]"], r#"{"a":1}"#, r#"{"a":1,"t":"x1"}"#),
            (&["set: { /o/a: 1 }", "select: /o"], r#"{"o":{"b":2},"c":3}"#, r#"{"b":2,"a":1}"#),
            (&["select: /o", "set: { /a: 1 }"], r#"{"o":{"b":2},"c":3}"#, r#"{"b":2,"a":1}"#),
        ] {
            assert_eq!(drafted(steps, input), Ok(output.to_owned()), "{steps:?} {input}");
        }
    }

    #[test]
    fn what_cannot_be_put_in_rejects() {
        for (step, input, said) in [
            ("{ /a: \"{/b}\" }", "{}", "missing at steps[0].set: /b is missing"),
            ("{ /a: \"x{/b}\" }", "{}", "missing at steps[0].set: template `x{/b}`: /b is missing"),
            (
                "{ /a: \"x{/b}\" }",
                r#"{"b":{}}"#,
                "wrong_type at steps[0].set: template `x{/b}`: /b is an object or array, which does not render",
            ),
            ("{ /a/b: 1 }", r#"{"a":7}"#, "wrong_type at steps[0].set: no place for /a/b: /a is a number"),
            ("{ /a/b: 1, parents: reject }", "{}", "missing at steps[0].set: no place for /a/b: /a is missing"),
            ("{ /l/3: 1 }", r#"{"l":[1]}"#, "missing at steps[0].set: no place for /l/3: /l has 1 element"),
            ("{ /l/x: 1 }", r#"{"l":[1]}"#, "wrong_type at steps[0].set: no place for /l/x: /l is an array"),
            ("{ /a: 1 }", "[1]", "wrong_type at steps[0].set: no place for /a: the record is an array"),
            ("{ /a: \"{key}\" }", "{}", "null at steps[0].set: template `{key}`: the key is null inside other text"),
        ] {
            assert_eq!(drafted(&[&format!("set: {step}")], input), Err(said.to_owned()), "{step} {input}");
        }
    }

    #[test]
    fn what_is_written_wrong_is_refused_with_its_place() {
        let rows = [
            ("{set: {}}", "", "no pointer"),
            ("{set: {a: 1}}", ".a", "write `/a`"),
            ("{set: {/a: \"{b}\"}}", ".\"/a\"", "`{/b}`"),
            ("{set: {/a: \"{/b\"}}", ".\"/a\"", "close the placeholder"),
            ("{set: {/a: 1, /a/b: 2}}", ".\"/a/b\"", "one lies in the other"),
            ("{set: {/a: 1, parent: reject}}", "", "`parents`"),
            ("{set: {/a: 1, parents: make}}", ".parents", "`create`"),
            ("{set: /a}", "", "a map"),
        ];
        refuses("set", &rows);
    }
}
