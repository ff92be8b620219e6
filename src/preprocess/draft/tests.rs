//! Changes against plain edits of a tree, and look-ups beside changes.

use proptest::prelude::*;
use serde_json::Value as Json;

use super::model::Tree;
use crate::leaf::{JsonText, Pointer};
use crate::preprocess::program::{Program, Tombstones};
use crate::preprocess::steps::drop::DropPlan;
use crate::preprocess::steps::fixtures::{drafted, run_plans};
use crate::preprocess::steps::keep::KeepPlan;
use crate::preprocess::steps::rename::{OnExisting, RenamePlan};
use crate::preprocess::steps::set::{Parents, SetPlan, SetValue};
use crate::preprocess::steps::{Otherwise, StepKind};
use crate::preprocess::test_plans::{require, select, steps};

const LOOKUP: &str = "lookup: { redis: known, key: \"{/u}\", into: /user }";

#[test]
fn an_answer_goes_into_what_was_written() {
    for (steps, input, output) in [
        (&[LOOKUP, "drop: /x"][..], r#"{"u":1,"x":2}"#, r#"{"u":1,"user":{"tier":"gold"}}"#),
        (&["rename: { /v: /u }", LOOKUP], r#"{"v":1}"#, r#"{"u":1,"user":{"tier":"gold"}}"#),
        (&["rename: { /v: /u }", LOOKUP], r#"{"v":2}"#, r#"{"u":2}"#),
        (&[LOOKUP, "drop: /u"], r#"{"u":1}"#, r#"{"user":{"tier":"gold"}}"#),
        (&[LOOKUP, "drop: /u"], r#"{"u":2}"#, "{}"),
        (&[LOOKUP, "set: { /a: 1 }"], r#"{"u":1}"#, r#"{"u":1,"a":1,"user":{"tier":"gold"}}"#),
        (&[LOOKUP, "set: { /a: 1 }"], r#"{"u":2,"user":0}"#, r#"{"u":2,"user":0,"a":1}"#),
        (&[LOOKUP, "set: { /a: 1 }"], r#"{"u":1,"user":0}"#, r#"{"u":1,"user":{"tier":"gold"},"a":1}"#),
        (&["set: { /user: 5 }", LOOKUP], r#"{"u":2}"#, r#"{"u":2,"user":5}"#),
        (&["set: { /user: 5 }", LOOKUP], r#"{"u":1}"#, r#"{"u":1,"user":{"tier":"gold"}}"#),
        (&[LOOKUP, "rename: { /user/tier: /tier }"], r#"{"u":1}"#, r#"{"u":1,"user":{},"tier":"gold"}"#),
        (&[LOOKUP, "drop: /user"], r#"{"u":1}"#, r#"{"u":1}"#),
        (&[LOOKUP, "keep: /user/tier"], r#"{"u":1}"#, r#"{"user":{"tier":"gold"}}"#),
        (
            &[LOOKUP, "set: { /tier: \"{/user/tier}\" }"],
            r#"{"u":1}"#,
            r#"{"u":1,"user":{"tier":"gold"},"tier":"gold"}"#,
        ),
        (&["select: /o", LOOKUP, "drop: /x"], r#"{"o":{"u":1,"x":2}}"#, r#"{"u":1,"user":{"tier":"gold"}}"#),
    ] {
        assert_eq!(drafted(steps, input), Ok(output.to_owned()), "{steps:?} {input}");
    }
}

#[test]
fn only_what_reads_or_changes_an_answer_parses_again() {
    for (kinds, letters) in [
        (vec![drop(&["/a"]), keep(&["/b"]), require(&["/b"], Otherwise::Drop), select("/b")], "PPZT"),
        (vec![lookup("/user"), drop(&["/a"]), set(vec![("/b", constant("1"))])], "PPP"),
        (vec![lookup("/user"), drop(&["/user/x"])], "PD"),
        (vec![lookup("/user/x"), drop(&["/user"])], "PD"),
        (vec![lookup("/l/1/x"), drop(&["/l/0"])], "PD"),
    ] {
        let program = Program::compile(&steps(kinds), &[], Tombstones::PassOn).expect("compiles");
        assert_eq!(program.costs().iter().map(|(_, cost)| cost.letter()).collect::<String>(), letters);
    }
}

fn lookup(into: &str) -> StepKind {
    crate::preprocess::test_plans::lookup("x", into, crate::preprocess::steps::lookup::OnMiss::Keep)
}

fn pointers(list: &[&str]) -> Vec<Pointer> {
    list.iter().map(|text| crate::preprocess::test_plans::pointer(text)).collect()
}

fn drop(list: &[&str]) -> StepKind {
    StepKind::Drop(DropPlan { pointers: pointers(list) })
}

fn keep(list: &[&str]) -> StepKind {
    StepKind::Keep(KeepPlan { pointers: pointers(list) })
}

fn set(values: Vec<(&str, SetValue)>) -> StepKind {
    let values = values.into_iter().map(|(pointer, value)| (pointers(&[pointer]).remove(0), value)).collect();
    StepKind::Set(SetPlan { values, parents: Parents::Create })
}

fn constant(json: &str) -> SetValue {
    SetValue::Constant(JsonText(json.to_owned()))
}

/// Names whose spelling, length or meaning is easily mistaken.
const NAMES: [&str; 9] = ["a", "b", "c", "0", "1", "", "-", "q\"\\", "é"];

fn path() -> impl Strategy<Value = Pointer> {
    prop::collection::vec(prop::sample::select(&NAMES[..]), 1..4)
        .prop_map(|members| Pointer { members: members.into_iter().map(str::to_owned).collect() })
}

fn scalar() -> impl Strategy<Value = Tree> {
    prop::sample::select(vec![
        "null",
        "true",
        "0",
        "-1",
        "1.50",
        "12345678901234567890123",
        "1e2",
        "\"\"",
        "\"x\"",
        "\"}\\\",{\"",
        "\"\\u00e9\"",
    ])
    .prop_map(|text| Tree::Scalar(text.to_owned()))
}

fn tree() -> impl Strategy<Value = Tree> {
    let spelling = |name: &'static str, escaped: bool| {
        let plain = Json::from(name).to_string();
        if escaped { plain.replace('a', "\\u0061") } else { plain }
    };
    scalar().prop_recursive(4, 24, 4, move |inner| {
        let member = (prop::sample::select(&NAMES[..]), any::<bool>(), inner.clone())
            .prop_map(move |(name, escaped, value)| (spelling(name, escaped), name.to_owned(), value));
        prop_oneof![
            2 => prop::collection::vec(inner, 0..4).prop_map(Tree::Array),
            5 => prop::collection::vec(member, 0..5).prop_map(Tree::Object),
        ]
    })
}

/// Pointers of which none lies in another.
fn apart(pointers: Vec<Pointer>) -> Vec<Pointer> {
    let mut kept: Vec<Pointer> = Vec::new();
    for pointer in pointers {
        let overlaps = |other: &Pointer| {
            other.members.starts_with(&pointer.members) || pointer.members.starts_with(&other.members)
        };
        if !kept.iter().any(overlaps) {
            kept.push(pointer);
        }
    }
    kept
}

fn rename() -> impl Strategy<Value = StepKind> {
    let on_existing = prop::sample::select(vec![OnExisting::Reject, OnExisting::Replace, OnExisting::Keep]);
    (prop::collection::vec((path(), path(), any::<bool>()), 1..4), on_existing).prop_map(|(moves, on_existing)| {
        let mut kept: Vec<(Pointer, Pointer)> = Vec::new();
        for (from, mut to, beside) in moves {
            if beside {
                to.members = [&from.members[..from.members.len() - 1], &to.members[to.members.len() - 1..]].concat();
            }
            let lies = |one: &Pointer, other: &Pointer| {
                one.members.starts_with(&other.members) || other.members.starts_with(&one.members)
            };
            let clashes = kept.iter().any(|(other, target)| lies(other, &from) || lies(target, &to));
            if !clashes && !to.members.starts_with(&from.members) {
                kept.push((from, to));
            }
        }
        StepKind::Rename(RenamePlan { moves: kept, on_existing })
    })
}

fn setting() -> impl Strategy<Value = StepKind> {
    let value = prop_oneof![
        tree().prop_map(|tree| SetValue::Constant(JsonText(
            Tree::of(&serde_json::from_str(&tree.text()).expect("JSON")).text()
        ))),
        (path(), prop::option::of(Just("none".to_owned())))
            .prop_map(|(pointer, fallback)| SetValue::Copy { pointer, fallback }),
    ];
    let parents = prop::sample::select(vec![Parents::Create, Parents::Create, Parents::Reject]);
    (prop::collection::vec((path(), value), 1..4), parents).prop_map(|(values, parents)| {
        let chosen = apart(values.iter().map(|(pointer, _)| pointer.clone()).collect());
        let of = |pointer: Pointer| {
            let value = values.iter().find(|(other, _)| *other == pointer).expect("chosen").1.clone();
            (pointer, value)
        };
        StepKind::Set(SetPlan { values: chosen.into_iter().map(of).collect(), parents })
    })
}

fn change() -> impl Strategy<Value = StepKind> {
    let list = || prop::collection::vec(path(), 1..4);
    prop_oneof![
        3 => list().prop_map(|pointers| StepKind::Drop(DropPlan { pointers })),
        2 => list().prop_map(|pointers| StepKind::Keep(KeepPlan { pointers })),
        3 => rename(),
        3 => setting(),
    ]
}

fn step() -> impl Strategy<Value = StepKind> {
    prop_oneof![
        8 => change(),
        1 => path().prop_map(|pointer| require(&[&pointer.to_string()], Otherwise::Reject)),
        1 => path().prop_map(|pointer| select(&pointer.to_string())),
    ]
}

/// The text that comes out, or the reason and the number of the step that rejects.
fn expected(kinds: &[StepKind], input: &Tree) -> Result<String, String> {
    let mut now = input.clone();
    for (number, kind) in kinds.iter().enumerate() {
        let reject = |reason: crate::model::RejectReason| format!("{reason} at {number}");
        use crate::model::RejectReason::{Missing, Null, WrongType};
        let null = Tree::Scalar("null".to_owned());
        match kind {
            StepKind::Require(plan) => match now.get(&plan.pointers[0].members) {
                Some(value) if *value != null => {}
                Some(_) => return Err(reject(Null)),
                None => return Err(reject(Missing)),
            },
            StepKind::Select(plan) => match now.get(&plan.pointer.members) {
                Some(object @ Tree::Object(_)) => now = object.clone(),
                None => return Err(reject(Missing)),
                Some(value) if *value == null => return Err(reject(Null)),
                Some(Tree::Scalar(_) | Tree::Array(_)) => return Err(reject(WrongType)),
            },
            changing => now.change(changing).expect("changes").map_err(reject)?,
        }
    }
    Ok(now.text())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn changes_are_those_of_a_tree(kinds in prop::collection::vec(step(), 1..6), input in tree()) {
        let wanted = expected(&kinds, &input);
        let got = run_plans(&steps(kinds), &input.text()).map_err(|(reason, place, _)| {
            format!("{reason} at {}", place.trim_start_matches("steps[").split(']').next().unwrap_or_default())
        });
        prop_assert_eq!(got, wanted);
    }
}
