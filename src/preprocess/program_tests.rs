//! What compiles, into how many phases, at what cost.

use super::super::compile::reads;
use super::super::template::TemplatePart;
use super::super::test_plans::{filter, lookup, pointer, require, select, steps, template};
use super::*;
use crate::config::plan::StepKind;
use crate::leaf::JsonText;
use crate::preprocess::steps::Otherwise;
use crate::preprocess::steps::filter::Test;
use crate::preprocess::steps::lookup::OnMiss;

fn compiled(kinds: Vec<StepKind>, templates: &[&str]) -> Arc<Program> {
    let templates: Vec<_> = templates.iter().map(|text| template(text)).collect();
    Program::compile(&steps(kinds), &templates, Tombstones::PassOn).expect("compiles")
}

fn letters(program: &Program) -> String {
    program.costs().iter().map(|(_, cost)| cost.letter()).collect()
}

#[test]
fn costs_follow_what_a_step_does_to_the_bytes() {
    let exists = || Test::Exists(true);
    let info = || lookup("u:{/user}", "/info", OnMiss::Keep);
    for (kinds, expected, cost, phases) in [
        (vec![], "", 'Z', 1),
        (vec![filter("/a", exists(), Otherwise::Drop)], "Z", 'Z', 1),
        (vec![select("/r"), require(&["/a"], Otherwise::Drop)], "TZ", 'T', 1),
        (vec![select("/r"), info()], "TP", 'P', 1),
        // Beside, or above, what a look-up puts in: the first parse still tells.
        (vec![info(), require(&["/user", "/information"], Otherwise::Drop)], "PZ", 'P', 1),
        (vec![info(), lookup("{/other}", "/more", OnMiss::Keep)], "PP", 'P', 1),
        (vec![lookup("k", "/r/info", OnMiss::Keep), select("/r")], "PT", 'P', 1),
        (vec![lookup("k", "/r/info", OnMiss::Keep), select("/r"), require(&["/x"], Otherwise::Drop)], "PTZ", 'P', 1),
        (vec![info(), select("/other"), require(&["/info"], Otherwise::Drop)], "PTZ", 'P', 1),
        // In it: the record is rebuilt.
        (vec![info(), require(&["/info/tier"], Otherwise::Drop)], "PD", 'D', 2),
        (vec![info(), filter("/info", exists(), Otherwise::Drop)], "PD", 'D', 2),
        (vec![info(), select("/info")], "PD", 'D', 2),
        (vec![info(), lookup("{/info/tier}", "/more", OnMiss::Keep)], "PD", 'D', 2),
        (vec![info(), lookup("k", "/info/more", OnMiss::Keep)], "PD", 'D', 2),
        (vec![lookup("k", "/info/more", OnMiss::Keep), info()], "PD", 'D', 2),
        (vec![info(), info()], "PD", 'D', 2),
        (vec![lookup("k", "/r/i", OnMiss::Keep), select("/r"), require(&["/i/x"], Otherwise::Drop)], "PTD", 'D', 2),
        (vec![info(), select("/info"), require(&["/info"], Otherwise::Drop)], "PDZ", 'D', 2),
    ] {
        let shown = format!("{kinds:?}");
        let program = compiled(kinds, &[]);
        let actual = (letters(&program), program.cost().letter(), program.phases.len());
        assert_eq!(actual, (expected.to_owned(), cost, phases), "{shown}");
    }
}

#[test]
fn templates_know_which_lookup_they_wait_for() {
    let kinds = vec![lookup("k", "/r/info", OnMiss::Keep), select("/r"), lookup("k", "/geo", OnMiss::Keep)];
    let program = compiled(kinds, &["{/info/tier}", "{/geo}", "{/id}", "{original:/r/info}", "{/geometry}"]);
    let waits = |template: &Compiled| {
        let TemplatePart::Found { lookup, below, .. } = &template.parts[0] else { return None };
        Some((*lookup, below.clone()))
    };
    let waits: Vec<_> = program.templates.iter().map(waits).collect();
    let below = |members: &[&str]| members.iter().map(|member| (*member).to_owned()).collect::<Vec<_>>();
    assert_eq!(waits, [Some((0, below(&["tier"]))), Some((1, below(&[]))), None, None, None]);
    assert!(program.phases[0].reads_original);
}

#[test]
fn lookups_are_numbered_over_all_phases() {
    let program = compiled(
        vec![lookup("a", "/a", OnMiss::Keep), lookup("{/a/x}", "/b", OnMiss::Keep), lookup("c", "/c", OnMiss::Keep)],
        &[],
    );
    let numbers: Vec<Vec<usize>> =
        program.phases.iter().map(|phase| phase.lookups.iter().map(|lookup| lookup.number).collect()).collect();
    assert_eq!((numbers, program.lookups()), (vec![vec![0], vec![1, 2]], 3));
}

#[test]
fn refuses_what_cannot_work() {
    for (kinds, templates, place, problem) in [
        (vec![lookup("k", "", OnMiss::Keep)], &[][..], "steps[0].lookup", "`into` is empty"),
        (vec![lookup("k", "/a", OnMiss::Default(JsonText("{".to_owned())))], &[], "steps[0].lookup", "no JSON"),
        (vec![lookup("k", "/a", OnMiss::Default(JsonText("{} {}".to_owned())))], &[], "steps[0].lookup", "no JSON"),
        (vec![], &["x-{timestamp:%!}"], "sink", "strftime"),
    ] {
        let templates: Vec<_> = templates.iter().map(|text| template(text)).collect();
        let fault = Program::compile(&steps(kinds), &templates, Tombstones::PassOn).expect_err(problem);
        assert_eq!(&*fault.place, place);
        assert!(fault.problem.contains(problem), "{fault}");
    }
}

#[test]
fn a_prefix_is_by_member_not_by_letter() {
    let place = pointer("/info").members;
    assert!(reads(&pointer("/info/a").members, &place) && reads(&place, &place));
    assert!(!reads(&pointer("/information").members, &place) && !reads(&[], &place));
}
