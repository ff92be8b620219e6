//! The examples of docs/steps.md do what the page says.
//!
//! A block `yaml` is a list of one step. Behind it stand records, each a block `json input`, and what becomes of each:
//! a block `json output` with the record, `json outputs` with a line for each of several, `text rejected` with the
//! words of the reject, or `text dropped`. A block `json lookups` has the hashes of Redis by name.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::super::lookup::LookupSource;
use super::super::{StepKind, StepPlan};
use super::{planned_block, prepared_with, run_plans_with};

/// Every kind of step.
const STEPS: [&str; 14] = [
    "select",
    "require",
    "where",
    "lookup",
    "drop",
    "keep",
    "rename",
    "set",
    "parse",
    "coerce",
    "timestamp",
    "explode",
    "jq",
    "route",
];

const PAGE: &str = include_str!("../../../docs/steps.md");

/// What becomes of a record, as the page writes it.
#[derive(Debug, PartialEq)]
enum Outcome {
    Output(String),
    Outputs(Vec<String>),
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

/// What each look-up of the step finds by its key, out of the hashes of the page.
fn found(kind: &StepKind, hashes: &BTreeMap<String, serde_json::Value>) -> Vec<(String, String)> {
    let StepKind::Lookup(plan) = kind else { return Vec::new() };
    match &plan.source {
        LookupSource::Table { table, .. } => {
            let fields = hashes[table].as_object().expect("a hash");
            fields.iter().map(|(field, value)| (field.clone(), value.to_string())).collect()
        }
        LookupSource::Keyed { fields, .. } => {
            let wanted = |hash: &serde_json::Value| {
                let mut hash = hash.clone();
                let members = hash.as_object_mut().expect("a hash");
                members.retain(|field, _| fields.is_empty() || fields.contains(field));
                hash.to_string()
            };
            hashes.iter().map(|(key, hash)| (key.clone(), wanted(hash))).collect()
        }
    }
}

/// What the step makes of a record.
fn outcome(list: &str, hashes: &BTreeMap<String, serde_json::Value>, input: &str) -> Outcome {
    let plans = planned_block(&list.replace("redis: lookups", "redis: known"));
    let answers = found(&plans[0].kind, hashes);
    let answers: Vec<_> = answers.iter().map(|(key, json)| (key.as_str(), json.as_str())).collect();
    match run_plans_with(&plans, input, &answers) {
        Ok(_) if plans.iter().any(StepPlan::splits) => {
            let items = prepared_with(&plans, input, &answers).items;
            Outcome::Outputs(items.into_iter().map(|(_, text)| text).collect())
        }
        Ok(output) => Outcome::Output(output),
        Err(("dropped", ..)) => Outcome::Dropped,
        Err((_, _, detail)) => Outcome::Rejected(detail),
    }
}

#[test]
fn every_example_does_what_the_page_says() {
    let (mut list, mut input) = ("", None);
    let mut run: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut faults, mut hashes) = (String::new(), BTreeMap::new());
    for (kind, text) in blocks(PAGE) {
        let expected = match kind {
            "yaml" => {
                assert_eq!(input, None, "an input without an outcome, before\n{text}");
                list = text;
                continue;
            }
            "json lookups" => {
                hashes = serde_json::from_str(text).expect(text);
                continue;
            }
            "json input" => {
                assert_eq!(input.replace(text), None, "an input without an outcome, before\n{text}");
                continue;
            }
            "json output" => Outcome::Output(text.to_owned()),
            "json outputs" => Outcome::Outputs(text.lines().map(str::to_owned).collect()),
            "text rejected" => Outcome::Rejected(text.to_owned()),
            "text dropped" => Outcome::Dropped,
            other => panic!("an unknown kind of block: {other}"),
        };
        let input = input.take().expect("an input before its outcome");
        let step = list.trim_start_matches("- ").split(':').next().unwrap_or_default();
        *run.entry(step).or_default() += 1;
        let found = outcome(list, &hashes, input);
        if found != expected {
            let _ = write!(faults, "{list}\n{input}\n  says {expected:?}\n  is {found:?}\n");
        }
    }
    assert!(faults.is_empty(), "{faults}");
    assert_eq!(input, None, "an input without an outcome at the end");
    for step in STEPS {
        assert!(run.get(step).is_some_and(|examples| *examples >= 2), "{step}: {run:?}");
    }
}
