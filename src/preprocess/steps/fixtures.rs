//! What the tests of all kinds of steps use.

use super::super::document::Document;
use super::super::ending::StepEnding;
use super::super::tape::Parser;
use super::{StepKind, StepPlan};
use crate::config::{Findings, Surroundings, load_text};
use crate::model::RejectReason;

/// A configuration to put steps into, and the line they stand at.
const MINIMAL: &str = include_str!("../../../config/minimal.yaml");
const LINE: u64 = 14;

fn load(step: &str) -> Result<Vec<StepPlan>, Findings> {
    load_block(&format!("    steps: [{step}]\n"))
}

/// The plans of a list of steps, with its key, as lines below a pipeline.
fn load_block(steps: &str) -> Result<Vec<StepPlan>, Findings> {
    let surroundings = Surroundings { environment: &|_| None, property: &|_, _| Ok(()), tls: false, cores: 2 };
    let redis = "  redis: { known: { url: \"redis://h\" } }\n\npipelines:";
    let text = MINIMAL.replacen("    sink:", &format!("{steps}    sink:"), 1).replacen("\npipelines:", redis, 1);
    load_text(&text, "t.yaml", surroundings).map(|mut loaded| loaded.plan.pipelines.remove(0).steps)
}

/// The plan of one step as people write it; there is a Redis connection `known`.
pub(super) fn planned(step: &str) -> StepKind {
    load(step).unwrap_or_else(|findings| panic!("{step}: {findings}")).remove(0).kind
}

/// The plan of the only step of a list in lines.
pub(super) fn planned_block(list: &str) -> StepKind {
    let lines: String = list.lines().map(|line| format!("      {line}\n")).collect();
    let mut plans = load_block(&format!("    steps:\n{lines}")).unwrap_or_else(|findings| panic!("{list}\n{findings}"));
    assert_eq!(plans.len(), 1, "{list}");
    plans.remove(0).kind
}

/// Checks wrong steps: each is refused with the path below `steps[0].<kind>` and a part of what is said, at its place.
pub(super) fn refuses(kind: &str, rows: &[(&str, &str, &str)]) {
    for (step, path, part) in rows {
        let whole = format!("pipelines.index.steps[0]{}{kind}{path}", if kind.is_empty() { "" } else { "." });
        let found = load(step).err().unwrap_or_else(|| panic!("accepted: {step}"));
        let hit = found.0.iter().find(|finding| finding.path == whole && finding.to_string().contains(part));
        let hit = hit.unwrap_or_else(|| panic!("{step}\nexpected `{whole}` with `{part}`, found:\n{found}"));
        assert!(hit.origin.to_string().starts_with(&format!("t.yaml:{LINE}:")) && hit.remedy.is_some(), "{hit}");
    }
}

/// Parses `text` and looks at it.
pub(super) fn on<T>(text: &str, look: impl FnOnce(Document<'_>) -> T) -> T {
    Parser::default().read(text.as_bytes(), look).expect("valid")
}

/// Bytes that `work` allocates once its buffers have grown, by jemalloc's count for this thread.
pub(super) fn allocated_by(mut work: impl FnMut()) -> u64 {
    let allocated = || jemalloc_ctl::thread::allocatedp::read().expect("jemalloc counts").get();
    work();
    work();
    let before = allocated();
    work();
    allocated() - before
}

/// Reason and detail of a reject by the step `here`.
pub(super) fn reject_of(ending: StepEnding) -> (RejectReason, String) {
    match ending {
        StepEnding::Rejected(reject) => {
            assert_eq!(&*reject.step, "here");
            (reject.reason, reject.detail)
        }
        StepEnding::Dropped => panic!("dropped"),
    }
}

#[path = "page_tests.rs"]
mod page_tests;
