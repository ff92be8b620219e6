//! The examples of docs/steps.md do what the page says.
//!
//! A block `yaml` is a list of one step. Behind it stand records, each a block `json input`, and what becomes of each:
//! a block `json output` with the record, `text rejected` with the words of the reject, or `text dropped`. A block
//! `json lookups` has the hashes of Redis by name.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Deserialize;

use super::super::super::document::{Cursor, Document};
use super::super::super::ending::StepEnding;
use super::super::super::splice::{Splice, assemble, locate, member_text};
use super::super::StepKind;
use super::super::coerce::{self, Coerce};
use super::super::timestamp::TimestampStep;
use super::super::unconverted::{OnUnconverted, Unconverted};
use super::{on, planned_block, reject_of};
use crate::leaf::tree::Index;
use crate::leaf::{CheckContext, Pointer};

const PAGE: &str = include_str!("../../../docs/steps.md");

/// What becomes of a record, as the page writes it.
#[derive(Debug, PartialEq)]
enum Outcome {
    Output(String),
    Rejected(String),
    Dropped,
}

/// The fenced blocks of a page: what stands behind the fence, and the text.
fn blocks(page: &str) -> Vec<(&str, &str)> {
    let mut blocks = Vec::new();
    let mut rest = page;
    while let Some((_, behind)) = rest.split_once("```") {
        let (kind, behind) = behind.split_once('\n').expect("a line");
        let (text, behind) = behind.split_once("```").expect("closed");
        blocks.push((kind, text.trim_end()));
        rest = behind;
    }
    blocks
}

/// Values put into a record, each where its pointer says.
type Edits = Vec<(Pointer, Vec<u8>)>;

fn edited(doc: &Document<'_>, edits: &Edits) -> String {
    let points: Vec<_> =
        edits.iter().map(|(into, _)| locate(doc, doc.root(), &into.members).expect("a place")).collect();
    let members: Vec<_> = edits.iter().map(|(into, _)| member_text(into.members.last().expect("a member"))).collect();
    let parts = points.iter().zip(&members).zip(edits);
    let mut splices: Vec<_> = parts.map(|((point, member), (_, json))| Splice { point, member, json }).collect();
    let mut pieces = Vec::new();
    assemble(doc.original(), 0..doc.original().len(), &mut splices, &mut pieces);
    String::from_utf8(pieces.concat()).expect("UTF-8")
}

/// Converts what is at `from`; nothing is put where it is missing.
fn conversion(
    doc: &Document<'_>,
    (from, into): (&Pointer, &Pointer),
    otherwise: OnUnconverted,
    convert: impl FnOnce(Cursor, &mut Vec<u8>) -> Result<(), Unconverted>,
) -> Result<Edits, String> {
    let Some(cursor) = doc.find(doc.root(), &from.members) else { return Ok(Vec::new()) };
    let mut json = Vec::new();
    match (convert(cursor, &mut json), otherwise) {
        (Ok(()), _) => Ok(vec![(into.clone(), json)]),
        (Err(fault), OnUnconverted::Reject) => Err(format!("{} {fault}", from.shown())),
        (Err(_), OnUnconverted::Null) => Ok(vec![(into.clone(), b"null".to_vec())]),
        (Err(_), OnUnconverted::Keep) => Ok(Vec::new()),
    }
}

fn written<T: for<'de> Deserialize<'de>>(list: &str) -> T {
    let mut steps: Vec<BTreeMap<String, T>> =
        serde_saphyr::from_str(list).unwrap_or_else(|error| panic!("{list}: {error}"));
    steps.remove(0).pop_first().expect("a step").1
}

fn timestamp(list: &str, doc: &Document<'_>) -> Result<String, String> {
    let index = Index::default();
    let plan = written::<TimestampStep>(list).check("timestamp", &CheckContext::new(&index)).expect(list);
    let edits = conversion(doc, (&plan.from, &plan.into), plan.otherwise, |cursor, out| {
        plan.convert(doc.value(cursor), doc.bytes(cursor), out)
    });
    edits.map(|edits| edited(doc, &edits))
}

fn coerced(list: &str, doc: &Document<'_>) -> Result<String, String> {
    let index = Index::default();
    let plan = written::<Coerce>(list).check("coerce", &CheckContext::new(&index)).expect(list);
    let mut edits = Vec::new();
    for (pointer, to) in &plan.fields {
        edits.extend(conversion(doc, (pointer, pointer), plan.otherwise, |cursor, out| {
            coerce::convert(*to, doc.value(cursor), doc.bytes(cursor), out)
        })?);
    }
    Ok(edited(doc, &edits))
}

/// What the step makes of a record; nothing for look-ups, which need a server.
fn outcome(list: &str, doc: Document<'_>) -> Option<Outcome> {
    let converted = |result: Result<String, String>| Some(result.map_or_else(Outcome::Rejected, Outcome::Output));
    if list.starts_with("- timestamp:") {
        return converted(timestamp(list, &doc));
    } else if list.starts_with("- coerce:") {
        return converted(coerced(list, &doc));
    }
    let (root, place) = (doc.root(), "here".into());
    let window = match planned_block(&list.replace("redis: lookups", "redis: known")) {
        StepKind::Select(plan) => plan.run(&doc, root, &place),
        StepKind::Require(plan) => plan.run(&doc, root, &place).map(|()| root),
        StepKind::Where(plan) => plan.run(&doc, root, &place).map(|()| root),
        StepKind::Lookup(_) => return None,
    };
    Some(match window {
        Ok(window) => Outcome::Output(String::from_utf8_lossy(doc.bytes(window)).into_owned()),
        Err(StepEnding::Dropped) => Outcome::Dropped,
        Err(ending) => Outcome::Rejected(reject_of(ending).1),
    })
}

#[test]
fn every_example_does_what_the_page_says() {
    let (mut list, mut input) = ("", None);
    let mut run: BTreeMap<&str, usize> = BTreeMap::new();
    let mut faults = String::new();
    for (kind, text) in blocks(PAGE) {
        let expected = match kind {
            "yaml" => {
                assert_eq!(input, None, "an input without an outcome, before\n{text}");
                list = text;
                continue;
            }
            "json lookups" => {
                let _: serde_json::Value = serde_json::from_str(text).expect(text);
                continue;
            }
            "json input" => {
                assert_eq!(input.replace(text), None, "an input without an outcome, before\n{text}");
                continue;
            }
            "json output" => Outcome::Output(text.to_owned()),
            "text rejected" => Outcome::Rejected(text.to_owned()),
            "text dropped" => Outcome::Dropped,
            other => panic!("an unknown kind of block: {other}"),
        };
        let input = input.take().expect("an input before its outcome");
        let step = list.trim_start_matches("- ").split(':').next().unwrap_or_default();
        *run.entry(step).or_default() += 1;
        let found = on(input, |doc| outcome(list, doc));
        if found.as_ref().is_some_and(|found| *found != expected) {
            let _ = write!(faults, "{list}\n{input}\n  says {expected:?}\n  is {found:?}\n");
        }
    }
    assert!(faults.is_empty(), "{faults}");
    assert_eq!(input, None, "an input without an outcome at the end");
    for step in ["select", "require", "where", "lookup", "timestamp", "coerce"] {
        assert!(run.get(step).is_some_and(|examples| *examples >= 2), "{step}: {run:?}");
    }
}
