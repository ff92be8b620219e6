//! `select`: the object at a pointer becomes the record, byte for byte. A slice of the input's bytes travels (class T).

use super::super::compile::Compiler;
use super::super::document::Value;
use super::super::ending::{StepEnding, missing, rejected};
use super::super::look::Look;
use super::super::program::CostClass;
use super::{Operation, StepOperation};
use crate::leaf::{CheckContext, Pointer};
use crate::model::{RejectReason, StepName};

/// The object at this pointer becomes the record.
#[derive(Debug, Clone)]
pub struct SelectPlan {
    /// Where it is.
    pub pointer: Pointer,
}

pub(super) fn check(pointer: &str, path: &str, context: &CheckContext<'_>) -> Option<SelectPlan> {
    context.pointer(path, pointer).map(|pointer| SelectPlan { pointer })
}

impl SelectPlan {
    pub(super) fn compile(&self, compiler: &mut Compiler) -> (StepOperation, CostClass) {
        compiler.read(&self.pointer);
        compiler.enter(&self.pointer);
        (StepOperation::Read(Operation::Select(self.clone())), CostClass::Slice)
    }

    #[inline(always)]
    pub(super) fn run<L: Look>(&self, doc: &L, window: L::At, place: &StepName) -> Result<L::At, StepEnding> {
        let Some(found) = doc.find(window, &self.pointer.members) else {
            return Err(rejected(RejectReason::Missing, place, missing(doc, window, &self.pointer)));
        };
        match doc.value(found) {
            Value::Object { .. } => Ok(found),
            Value::Null => Err(rejected(RejectReason::Null, place, format!("{} is null", self.pointer.shown()))),
            other @ (Value::Bool(_)
            | Value::Negative(_)
            | Value::Unsigned(_)
            | Value::Float(_)
            | Value::String(_)
            | Value::Array) => {
                let detail = format!("{} is {}, not an object", self.pointer.shown(), other.kind());
                Err(rejected(RejectReason::WrongType, place, detail))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::test_plans::pointer;
    use super::super::fixtures::{on, refuses, reject_of};
    use super::*;

    fn selected(text: &str, path: &str) -> Result<Vec<u8>, StepEnding> {
        let plan = SelectPlan { pointer: pointer(path) };
        on(text, |doc| plan.run(&doc, doc.root(), &"here".into()).map(|found| doc.bytes(found).to_vec()))
    }

    #[test]
    fn needs_an_object_and_says_what_it_found() {
        use RejectReason::{Missing, Null, WrongType};
        for (text, path, reason, detail) in [
            ("{}", "/result", Missing, "/result is missing"),
            (r#"{"value":{}}"#, "/value/result", Missing, "/value/result is missing"),
            (r#"{"value":"x"}"#, "/value/result", Missing, "/value/result is missing: /value is a string"),
            (r#"{"value":null}"#, "/value/result", Missing, "/value/result is missing: /value is null"),
            ("7", "/value/result", Missing, "/value/result is missing: the record is a number"),
            (r#"{"result":null}"#, "/result", Null, "/result is null"),
            (r#"{"result":"x"}"#, "/result", WrongType, "/result is a string, not an object"),
            (r#"{"result":[{}]}"#, "/result", WrongType, "/result is an array, not an object"),
            (r#"{"result":1.5}"#, "/result", WrongType, "/result is a number, not an object"),
            (r#"{"result":false}"#, "/result", WrongType, "/result is a boolean, not an object"),
            ("[]", "", WrongType, "the record is an array, not an object"),
        ] {
            let ending = selected(text, path).expect_err(text);
            assert_eq!(reject_of(ending), (reason, detail.to_owned()), "{text}");
        }
        assert_eq!(selected(r#"{"result": {"id":7}, "x":1}"#, "/result"), Ok(br#"{"id":7}"#.to_vec()));
    }

    #[test]
    fn what_is_written_wrong_is_refused_with_its_place() {
        let rows = [
            ("{select: .a.b}", "", "write `/a/b`"),
            ("{select: $.a.b}", "", "write `/a/b`"),
            ("{select: result}", "", "write `/result`"),
            ("{select: /a~2}", "", "`~0`"),
            ("{select: [/a]}", "", "a string"),
        ];
        refuses("select", &rows);
    }
}
