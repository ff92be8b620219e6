//! `require`: pointers that must find a value that is not null. The record's bytes stay untouched (class Z).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::compile::Compiler;
use super::super::document::Value;
use super::super::ending::{StepEnding, missing, refuse};
use super::super::look::Look;
use super::super::program::CostClass;
use super::{Operation, Otherwise, StepOperation};
use crate::leaf::short::ShortForms;
use crate::leaf::{CheckContext, Pointer};
use crate::model::{RejectReason, StepName};

/// Pointers that must find something.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RequireMap", description = "The long form of [`Require`].")]
pub struct Require {
    /// RFC 6901 pointers.
    #[schemars(length(min = 1))]
    pub fields: Vec<String>,
    /// What happens to records where one finds nothing.
    #[serde(default = "reject")]
    pub otherwise: Otherwise,
}

fn reject() -> Otherwise {
    Otherwise::Reject
}

impl ShortForms for Require {
    type Item = String;
    const NAME: &'static str = "Require";
    const EXPECTED: &'static str = "a pointer, a list of pointers, or a map with `fields` and `otherwise`";
    const OF_TEXT: Option<fn(&str) -> Self> =
        Some(|pointer| Self { fields: vec![pointer.to_owned()], otherwise: reject() });
    const OF_LIST: Option<fn(Vec<String>) -> Self> = Some(|fields| Self { fields, otherwise: reject() });
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
    pub(super) fn compile(&self, compiler: &mut Compiler) -> (StepOperation, CostClass) {
        self.pointers.iter().for_each(|pointer| compiler.read(pointer));
        (StepOperation::Read(Operation::Require(self.clone())), CostClass::Untouched)
    }

    pub(super) fn run<L: Look>(&self, doc: &L, window: L::At, place: &StepName) -> Result<(), StepEnding> {
        for pointer in &self.pointers {
            let found = doc.find(window, &pointer.members).map(|found| doc.value(found));
            if matches!(found, None | Some(Value::Null)) {
                return Err(refuse(self.otherwise, place, || match found {
                    None => (RejectReason::Missing, missing(doc, window, pointer)),
                    Some(_) => (RejectReason::Null, format!("{} is null", pointer.shown())),
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
                    let reason = if detail.ends_with("null") { RejectReason::Null } else { RejectReason::Missing };
                    let expected = (reason, detail.to_owned());
                    assert_eq!(reject_of(rejected.expect_err(text)), expected);
                    assert_eq!(dropped, Err(StepEnding::Dropped));
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
