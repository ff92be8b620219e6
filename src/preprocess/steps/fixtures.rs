//! What the tests of all kinds of steps use.

use std::time::Instant;

use super::super::document::Document;
use super::super::ending::StepEnding;
use super::super::program::{Program, Tombstones};
use super::super::tape::Parser;
use super::super::test_plans::{enricher, record};
use super::super::worker::Preprocessor;
use super::{StepKind, StepPlan};
use crate::config::{Findings, Surroundings, load_text};
use crate::model::{
    Charge, Encode, Epoch, ItemPath, Kept, Offset, PartitionTable, Place, Position, Prepared, Record, Reject,
    RejectReason, Run, Ticket, TicketId, TopicPartition,
};

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

/// The plans of a list of steps in lines.
pub(super) fn planned_block(list: &str) -> Vec<StepPlan> {
    let lines: String = list.lines().map(|line| format!("      {line}\n")).collect();
    load_block(&format!("    steps:\n{lines}")).unwrap_or_else(|findings| panic!("{list}\n{findings}"))
}

/// What is found wrong with a list of steps.
pub(super) fn refused(steps: &str) -> String {
    load(steps).err().unwrap_or_else(|| panic!("accepted: {steps}")).to_string()
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

/// Takes values as they come.
struct Text;

impl Encode for Text {
    type Item = (ItemPath, String);
    fn encode(
        &mut self,
        place: Place,
        _: &Record<'_>,
        kept: &Kept<'_>,
        _: &mut Vec<u8>,
    ) -> Result<(ItemPath, String), Reject> {
        Ok((place.item, String::from_utf8(kept.value.unwrap_or_default().concat()).expect("UTF-8")))
    }
}

/// The plans of steps, each as people write it.
pub(in crate::preprocess) fn plans_of(steps: &[&str]) -> Vec<StepPlan> {
    let list = steps.iter().map(|step| format!("{{ {step} }}")).collect::<Vec<_>>().join(", ");
    load(&list).unwrap_or_else(|findings| panic!("{steps:?}: {findings}"))
}

/// What steps make of a value, or how the record ends: `reason at step: detail`, or `dropped`.
pub(in crate::preprocess) fn drafted(steps: &[&str], value: &str) -> Result<String, String> {
    run_plans(&plans_of(steps), value).map_err(|(reason, step, detail)| match reason {
        "dropped" => reason.to_owned(),
        reason => format!("{reason} at {step}: {detail}"),
    })
}

/// The same of plans; the end as reason, step and detail.
pub(in crate::preprocess) fn run_plans(
    plans: &[StepPlan],
    value: &str,
) -> Result<String, (&'static str, String, String)> {
    run_plans_with(plans, value, &[("1", r#"{"tier":"gold"}"#)])
}

/// The same with other answers to look-ups.
pub(super) fn run_plans_with(
    plans: &[StepPlan],
    value: &str,
    answers: &[(&str, &str)],
) -> Result<String, (&'static str, String, String)> {
    let mut prepared = prepared_with(plans, value, answers);
    if let Some(rejected) = prepared.rejects.pop() {
        let Reject { reason, step, detail, .. } = rejected.reject;
        return Err((reason.name(), step.to_string(), detail));
    }
    prepared.items.pop().map(|(_, text)| text).ok_or_else(|| ("dropped", String::new(), String::new()))
}

/// What steps make of a value, item by item: `path value`, or `path reason at step: detail`; `-` is the whole record.
/// How many of them were dropped comes last. All are held to what is told of them to the ledger.
pub(super) fn items_of(steps: &[&str], value: &str) -> Vec<String> {
    let prepared = prepared_with(&plans_of(steps), value, &[("1", r#"{"tier":"gold"}"#)]);
    let path = |item: ItemPath| if item.is_whole() { "-".to_owned() } else { item.to_string() };
    let mut ends: Vec<(ItemPath, String)> = prepared.items;
    ends.extend(prepared.rejects.into_iter().map(|rejected| (rejected.place.item, rejected.reject.to_string())));
    ends.sort();
    let dropped: u32 = prepared.ended.iter().map(|part| part.records).sum();
    let items = ends.iter().filter(|(item, _)| !item.is_whole()).count() as u32
        + prepared.ended.iter().filter(|part| part.items_of.is_some()).map(|part| part.records).sum::<u32>();
    let told: Vec<u32> = prepared.splits.iter().map(|(_, split)| split.items).collect();
    assert_eq!(told, if items == 0 { vec![] } else { vec![items] }, "{steps:?} {value}");
    let shown = ends.into_iter().map(|(item, text)| format!("{} {text}", path(item)));
    shown.chain((dropped > 0).then(|| format!("dropped {dropped}"))).collect()
}

fn prepared_with(plans: &[StepPlan], value: &str, answers: &[(&str, &str)]) -> Prepared<(ItemPath, String)> {
    let program = Program::compile(plans, &[], Tombstones::PassOn).expect("compiles");
    let mut preprocessor =
        Preprocessor::new(program, enricher(&[answers; 3]), Text).with_value_limit(4 << 20).with_item_limit(20);
    let table = PartitionTable::default();
    let slot = table.slot(&TopicPartition { topic: "events".into(), partition: 0 }).expect("room");
    let ticket = Ticket { id: TicketId(1), slot, epoch: Epoch::fresh() };
    table.set_current(slot, ticket.epoch);
    let run = Run { ticket, first: Offset(0), next: Position(1), start: 0, end: 1 };
    let mut prepared = Prepared::empty(0, Charge::none(), Instant::now());
    let records = [record(0, None, Some(value))];
    preprocessor.prepare(&[run], &records[..], &table, &|| true, &mut prepared).expect("answers");
    prepared
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
