//! `keep`: only what is at these pointers stays, each in its place (class P).

use super::super::compile::Compiler;
use super::super::document::Value;
use super::super::draft::{Draft, KeepNode};
use super::super::ending::{StepEnding, rejected};
use super::super::look::Look;
use super::super::program::CostClass;
use super::pointers::Pointers;
use super::{Change, StepOperation};
use crate::leaf::{CheckContext, Pointer};
use crate::model::{RejectReason, StepName};

/// What stays. A missing value is fine; what has nothing left of what was to stay goes.
#[derive(Debug, Clone)]
pub struct KeepPlan {
    /// Where it is.
    pub pointers: Vec<Pointer>,
}

pub(super) fn check(pointers: &Pointers, path: &str, context: &CheckContext<'_>) -> Option<KeepPlan> {
    Some(KeepPlan { pointers: pointers.check(path, context)? })
}

#[derive(Debug)]
pub(in crate::preprocess) struct CompiledKeep {
    nodes: Vec<KeepNode>,
}

impl KeepPlan {
    pub(super) fn compile(&self, compiler: &mut Compiler) -> (StepOperation, CostClass) {
        // What a look-up puts in may stay or go: it must be there first.
        compiler.cut_if(|_| true);
        let mut nodes = Vec::new();
        let mut pointers: Vec<_> = self.pointers.iter().collect();
        pointers.sort_by_key(|pointer| pointer.members.len());
        for pointer in pointers {
            add(&mut nodes, &pointer.members, compiler);
        }
        (StepOperation::Change(Change::Keep(CompiledKeep { nodes })), CostClass::Splice)
    }
}

/// Adds a path; one that lies in what is kept as a whole adds nothing. Shorter paths come first.
fn add(nodes: &mut Vec<KeepNode>, members: &[String], compiler: &mut Compiler) {
    let Some((member, rest)) = members.split_first() else { return };
    let name = compiler.constants.intern(member);
    match nodes.iter_mut().find(|node| node.name == name) {
        Some(node) if node.below.is_empty() => {}
        Some(node) => add(&mut node.below, rest, compiler),
        None => {
            let mut below = Vec::new();
            add(&mut below, rest, compiler);
            nodes.push(KeepNode { name, text: member.as_str().into(), below });
        }
    }
}

impl CompiledKeep {
    pub(super) fn run(&self, draft: &mut Draft<'_>, place: &StepName) -> Result<(), StepEnding> {
        let Ok(container) = draft.container(&[], false) else {
            let kind = draft.value(draft.root);
            let reason = if kind == Value::Null { RejectReason::Null } else { RejectReason::WrongType };
            return Err(rejected(reason, place, format!("the record is {}, not an object", kind.kind())));
        };
        draft.keep(container, &self.nodes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{drafted, refuses};

    #[test]
    fn only_what_is_named_stays_in_its_place() {
        for (steps, input, output) in [
            (&["keep: [/c, /a]"][..], r#"{"a":1,"b":2,"c":3}"#, r#"{"a":1,"c":3}"#),
            (&["keep: /b/c"], r#"{"a":1,"b":{"x":1,"c": 2 },"d":4}"#, r#"{"b":{"c": 2}}"#),
            (&["keep: [/b/c, /b]"], r#"{"b":{"x":1,"c":2},"d":4}"#, r#"{"b":{"x":1,"c":2}}"#),
            (&["keep: [/b/c, /b/d, /e]"], r#"{"b":{"d":1,"x":0,"c":2},"e":null}"#, r#"{"b":{"d":1,"c":2},"e":null}"#),
            (&["keep: /none"], r#"{"a":1}"#, "{}"),
            (&["keep: [/a/b, /c]"], r#"{"a":{"x":1},"c":1}"#, r#"{"c":1}"#),
            (&["keep: [/a/b, /c]"], r#"{"a":7,"c":1}"#, r#"{"c":1}"#),
            (&["keep: /a"], r#"{"a":1,"b":2,"a" : {"x":3}}"#, r#"{"a":1,"a" : {"x":3}}"#),
            (&["keep: [/a/2, /a/0]"], r#"{"a":[1,2,3,4]}"#, r#"{"a":[1,3]}"#),
            (&["keep: [/a/2, /a/0]", "drop: /a/0"], r#"{"a":[1,2,3,4]}"#, r#"{"a":[3]}"#),
            (&["set: { /n: 1 }", "keep: [/a, /n]"], r#"{"a":1,"b":2}"#, r#"{"a":1,"n":1}"#),
            (&["set: { /b/n: 1 }", "keep: /b/n"], r#"{"a":1,"b":{"x":2}}"#, r#"{"b":{"n":1}}"#),
            (&["keep: /a", "keep: /a/0"], r#"{"a":[1],"a":2}"#, r#"{"a":[1]}"#),
            (&["keep: /a", "keep: /a"], r#"{"a":[1],"a":2}"#, r#"{"a":[1],"a":2}"#),
            (&["keep: [/a, /b]", "keep: /b"], r#"{"a":1,"b":2,"c":3}"#, r#"{"b":2}"#),
            (&["rename: { /a: /z }", "keep: /z"], r#"{"a":1,"b":2,"z0":3}"#, r#"{"z":1}"#),
            (&["keep: /a", "set: { /c: 3 }"], r#"{"a":1,"b":2,"c":9}"#, r#"{"a":1,"c":3}"#),
        ] {
            assert_eq!(drafted(steps, input), Ok(output.to_owned()), "{steps:?} {input}");
        }
        let ending = drafted(&["keep: /a"], "7").expect_err("no object");
        assert_eq!(ending, "wrong_type at steps[0].keep: the record is a number, not an object");
    }

    #[test]
    fn what_is_written_wrong_is_refused_with_its_place() {
        refuses("keep", &[("{keep: []}", "", "the list is empty"), ("{keep: [\"\"]}", "[0]", "the whole record")]);
    }
}
