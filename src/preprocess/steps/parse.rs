//! `parse`: JSON text inside a string becomes JSON (class D: what reads it afterwards reads a record parsed anew).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::compile::Compiler;
use super::super::constants::EditPath;
use super::super::document::Value;
use super::super::draft::Draft;
use super::super::ending::{StepEnding, missing, rejected};
use super::super::look::Look;
use super::super::program::CostClass;
use super::pointers::{below, goes_below, no_place};
use super::{Change, StepOperation};
use crate::leaf::short::ShortForms;
use crate::leaf::{CheckContext, Pointer};
use crate::model::{RejectReason, StepName};

/// JSON text inside a string becomes JSON.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ParseMap", description = "The long form of [`Parse`].")]
pub struct Parse {
    /// RFC 6901 pointer to the string.
    pub from: String,
    /// RFC 6901 pointer to where the JSON goes: by default in the place of the string. Missing parents are made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into: Option<String>,
    /// What happens to records without a string there, or with one that is no JSON.
    #[serde(default)]
    pub otherwise: OnNoJson,
}

/// What happens to records whose text is no JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnNoJson {
    /// They are rejected.
    #[default]
    Reject,
    /// They go on as they are.
    Keep,
}

impl ShortForms for Parse {
    type Item = String;
    const NAME: &'static str = "Parse";
    const EXPECTED: &'static str = "a pointer, or a map with `from`, `into` and `otherwise`";
    const OF_TEXT: Option<fn(&str) -> Self> =
        Some(|pointer| Self { from: pointer.to_owned(), into: None, otherwise: OnNoJson::Reject });
    const OF_LIST: Option<fn(Vec<String>) -> Self> = None;
}

impl Parse {
    pub(super) fn check(&self, path: &str, context: &CheckContext<'_>) -> Option<ParsePlan> {
        let at = |key: &str| {
            let long = format!("{path}.{key}");
            if context.index.is_written(&long) { long } else { path.to_owned() }
        };
        let from = below(context, &at("from"), &self.from);
        let into = self.into.as_ref().map(|into| below(context, &at("into"), into));
        let from = from?;
        let into = into.unwrap_or_else(|| Some(from.clone()))?;
        if goes_below(context, &at("into"), &from, &into) {
            return None;
        }
        Some(ParsePlan { from, into, otherwise: self.otherwise })
    }
}

/// What is parsed.
#[derive(Debug, Clone)]
pub struct ParsePlan {
    /// Where the string is.
    pub from: Pointer,
    /// Where the JSON goes.
    pub into: Pointer,
    /// What happens to records without JSON there.
    pub otherwise: OnNoJson,
}

#[derive(Debug)]
pub(in crate::preprocess) struct CompiledParse {
    plan: ParsePlan,
    path: EditPath,
}

impl ParsePlan {
    pub(super) fn compile(&self, compiler: &mut Compiler) -> Option<(StepOperation, CostClass)> {
        compiler.read(&self.from);
        compiler.change(&self.into);
        let path = compiler.constants.path(&self.into)?;
        let parse = CompiledParse { plan: self.clone(), path };
        Some((StepOperation::Change(Change::Parse(parse)), CostClass::Rebuilt))
    }
}

impl CompiledParse {
    pub(super) fn run(&self, draft: &mut Draft<'_>, place: &StepName) -> Result<(), StepEnding> {
        let ParsePlan { from, into, otherwise } = &self.plan;
        let parsed = match draft.find(draft.root, &from.members) {
            None => Err((RejectReason::Missing, missing(draft, draft.root, from))),
            Some(found) => match draft.parse_text(found) {
                Ok(Some(value)) => Ok(value),
                Ok(None) => {
                    let kind = draft.value(found);
                    let reason = if kind == Value::Null { RejectReason::Null } else { RejectReason::WrongType };
                    Err((reason, format!("{} is {}, not a string", from.shown(), kind.kind())))
                }
                Err(fault) => Err((fault.reason, format!("the text in {}: {}", from.shown(), fault.detail))),
            },
        };
        match (parsed, otherwise) {
            (Ok(value), _) => draft.put_at(&self.path, value).map_err(|fault| no_place(draft, place, into, fault)),
            (Err(_), OnNoJson::Keep) => Ok(()),
            (Err((reason, detail)), OnNoJson::Reject) => Err(rejected(reason, place, detail)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{drafted, refuses};

    #[test]
    fn text_becomes_json_and_later_steps_read_it() {
        for (steps, input, output) in [
            (
                &["parse: /p"][..],
                r#"{"a":1,"p":"{\"x\":[1, 2],\"y\":\"\\\"\\n\"}"}"#,
                r#"{"a":1,"p":{"x":[1, 2],"y":"\"\n"}}"#,
            ),
            (&["parse: /p", "require: /p/x", "drop: /a"], r#"{"a":1,"p":"{\"x\":1.50}"}"#, r#"{"p":{"x":1.50}}"#),
            (&["parse: /p", "select: /p"], r#"{"p":" {\"x\":1}\n"}"#, r#"{"x":1}"#),
            (
                &["parse: { from: /p, into: /q/r }"],
                r#"{"p":"12345678901234567890123"}"#,
                r#"{"p":"12345678901234567890123","q":{"r":12345678901234567890123}}"#,
            ),
            (&["rename: { /p: /q }", "parse: /q"], r#"{"p":"[]"}"#, r#"{"q":[]}"#),
            (&["parse: /p", "parse: /p/x"], r#"{"p":"{\"x\":\"{\\\"y\\\":1}\"}"}"#, r#"{"p":{"x":{"y":1}}}"#),
            (&["parse: { from: /p, otherwise: keep }"], r#"{"p":"{"}"#, r#"{"p":"{"}"#),
            (&["parse: { from: /p, otherwise: keep }"], r#"{"p":{"x":1}}"#, r#"{"p":{"x":1}}"#),
            (&["parse: { from: /p, otherwise: keep }"], "{}", "{}"),
        ] {
            assert_eq!(drafted(steps, input), Ok(output.to_owned()), "{steps:?} {input}");
        }
    }

    #[test]
    fn what_is_no_json_rejects() {
        for (input, said) in [
            ("{}", "missing at steps[0].parse: /p is missing"),
            (r#"{"p":null}"#, "null at steps[0].parse: /p is null, not a string"),
            (r#"{"p":7}"#, "wrong_type at steps[0].parse: /p is a number, not a string"),
            (r#"{"p":"{\"x\":}"}"#, "invalid_json at steps[0].parse: the text in /p: unexpected bytes at byte 5"),
            (r#"{"p":""}"#, "empty at steps[0].parse: the text in /p: the value has no bytes"),
            (
                r#"{"p":"1e999"}"#,
                "number_range at steps[0].parse: the text in /p: number beyond the range of a double at byte 0",
            ),
        ] {
            assert_eq!(drafted(&["parse: /p"], input), Err(said.to_owned()), "{input}");
        }
    }

    /// What cannot be parsed again was made by the step before, not by the producer.
    #[test]
    fn a_record_that_steps_made_too_deep_names_the_step() {
        let (deep, path) = (format!("{}{}", "[".repeat(900), "]".repeat(900)), "/x".repeat(300));
        let steps = [&format!("set: {{ {path}: \"{{/a}}\" }}")[..], "parse: /t"];
        let ending = drafted(&steps, &format!(r#"{{"a":{deep},"t":"1"}}"#)).expect_err("too deep");
        assert!(ending.starts_with("too_deep at steps[1].parse: nested deeper than 1024 levels"), "{ending}");
    }

    #[test]
    fn what_is_written_wrong_is_refused_with_its_place() {
        let rows = [
            ("{parse: p}", "", "write `/p`"),
            ("{parse: \"\"}", "", "the whole record"),
            ("{parse: [/a, /b]}", "", "a pointer, or a map"),
            ("{parse: {from: /a, into: /a/b}}", ".into", "lies below"),
            ("{parse: {into: /a}}", "", "`from` is missing"),
            ("{parse: {from: /a, into: b}}", ".into", "write `/b`"),
            ("{parse: {from: /a, otherwise: drop}}", ".otherwise", "`keep`"),
        ];
        refuses("parse", &rows);
    }
}
