//! `drop`: what is at these pointers goes. The other bytes stay as they are (class P).

use super::super::compile::Compiler;
use super::super::constants::EditPath;
use super::super::draft::Draft;
use super::super::program::CostClass;
use super::pointers::{Pointers, from_the_end};
use super::{Change, StepOperation};
use crate::leaf::{CheckContext, Pointer};

/// What goes. A missing value is fine.
#[derive(Debug, Clone)]
pub struct DropPlan {
    /// Where it is, as the record was before the step.
    pub pointers: Vec<Pointer>,
}

pub(super) fn check(pointers: &Pointers, path: &str, context: &CheckContext<'_>) -> Option<DropPlan> {
    Some(DropPlan { pointers: pointers.check(path, context)? })
}

#[derive(Debug)]
pub(in crate::preprocess) struct CompiledDrop {
    /// From the end of arrays to their beginning.
    items: Vec<(Pointer, EditPath)>,
}

impl DropPlan {
    pub(super) fn compile(&self, compiler: &mut Compiler) -> (StepOperation, CostClass) {
        let mut pointers = self.pointers.clone();
        pointers.sort_by(from_the_end);
        pointers.dedup();
        pointers.iter().for_each(|pointer| compiler.change(pointer));
        let paths =
            pointers.into_iter().filter_map(|pointer| Some((pointer.clone(), compiler.constants.path(&pointer)?)));
        (StepOperation::Change(Change::Drop(CompiledDrop { items: paths.collect() })), CostClass::Splice)
    }
}

impl CompiledDrop {
    pub(super) fn run(&self, draft: &mut Draft<'_>) {
        for (pointer, EditPath { parents, name }) in &self.items {
            if draft.has_parent(parents, pointer)
                && let Ok(container) = draft.container(parents, false)
            {
                draft.take(container, *name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{drafted, refuses};

    #[test]
    fn what_is_named_goes_and_the_rest_keeps_its_bytes() {
        for (step, input, output) in [
            ("/a", r#"{"a":1,"b":2}"#, r#"{"b":2}"#),
            ("/b", r#"{"a":1,"b":2}"#, r#"{"a":1}"#),
            ("[/a, /b]", r#"{"a":1,"b":2}"#, "{}"),
            ("[/b, /c]", r#"{"a":1,"b":2,"c":3}"#, r#"{"a":1}"#),
            ("[/a, /c]", r#"{"a":1,"b":2,"c":3}"#, r#"{"b":2}"#),
            ("[/b, /d]", r#"{ "a" : 1 , "b" : 2 , "c" : 3 , "d" : 4 }"#, r#"{ "a" : 1 , "c" : 3 }"#),
            ("/none", r#"{ "a":1 }"#, r#"{ "a":1 }"#),
            ("/a/b/c", r#"{"a":7}"#, r#"{"a":7}"#),
            ("/a", r#"{"a":1,"b":2,"a":{"x":[3]},"c":4,"a":5}"#, r#"{"b":2,"c":4}"#),
            ("/a/b", r#"{"a":{"b":1},"c":{"b":2}}"#, r#"{"a":{},"c":{"b":2}}"#),
            ("[/a, /a/b]", r#"{"a":{"b":1},"c":1}"#, r#"{"c":1}"#),
            ("[/a/b, /a/c]", r#"{"a":{"b":1,"d":2,"c":3}}"#, r#"{"a":{"d":2}}"#),
            ("[/a/0, /a/1]", r#"{"a":[1,2,3]}"#, r#"{"a":[3]}"#),
            ("[/a/0, /a/1/x]", r#"{"a":[1,{"x":2,"y":3}]}"#, r#"{"a":[{"y":3}]}"#),
            ("[/a/2]", r#"{"a":[1, 2 , 3 ]}"#, r#"{"a":[1, 2 ]}"#),
            ("[/a/0, /a/1, /a/2]", r#"{"a":[1,2,3]}"#, r#"{"a":[]}"#),
            ("/a~1b~0c", r#"{"a/b~c":1,"x":2}"#, r#"{"x":2}"#),
            ("/", r#"{"":1,"x":2}"#, r#"{"x":2}"#),
            ("/k", r#"{"\u006b":1,"x":"}\",{"}"#, r#"{"x":"}\",{"}"#),
        ] {
            assert_eq!(drafted(&[&format!("drop: {step}")], input), Ok(output.to_owned()), "{step} {input}");
        }
    }

    #[test]
    fn the_next_step_sees_what_is_left() {
        let steps = ["drop: /a/0", "drop: /a/0", "require: /a/0"];
        assert_eq!(drafted(&steps, r#"{"a":[1,2,3]}"#), Ok(r#"{"a":[3]}"#.to_owned()));
        let ending = drafted(&["drop: /a", "require: /a"], r#"{"a":1}"#).expect_err("gone");
        assert_eq!(ending, "missing at steps[1].require: /a is missing");
    }

    #[test]
    fn what_is_written_wrong_is_refused_with_its_place() {
        let rows = [
            ("{drop: []}", "", "the list is empty"),
            ("{drop: \"\"}", "", "the whole record"),
            ("{drop: [/a, b]}", "[1]", "write `/b`"),
            ("{drop: .a.b}", "", "write `/a/b`"),
            ("{drop: {a: 1}}", "", "a pointer or a list of pointers"),
        ];
        refuses("drop", &rows);
    }
}
