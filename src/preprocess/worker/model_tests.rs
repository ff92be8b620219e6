//! Random programs over random documents, against a plain interpreter that edits a serde_json tree step by step.

use std::collections::HashMap;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::Value as Json;

use super::*;
use crate::config::plan::{LookupSource, Pointer, SelectPlan, StepPlan, Template, TemplateSegment};
use crate::enrich::Lookups;
use crate::leaf::JsonText;
use crate::model::Kept;
use crate::preprocess::draft::model::Tree;
use crate::preprocess::steps::drop::DropPlan;
use crate::preprocess::steps::filter::WherePlan;
use crate::preprocess::steps::keep::KeepPlan;
use crate::preprocess::steps::rename::{OnExisting, RenamePlan};
use crate::preprocess::steps::require::RequirePlan;

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "c", "0"]), 1..3)
        .prop_map(|path| format!("/{}", path.join("/")))
}

fn tree() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        prop::sample::select(vec![Json::Null, Json::Bool(true), Json::from(1), Json::from(2)]),
        prop::sample::select(vec!["x", "y", "q\"\\}"]).prop_map(Json::from),
    ];
    let inner = leaf.prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..3).prop_map(Json::from),
            4 => members(inner),
        ]
    });
    members(inner)
}

fn members(value: impl Strategy<Value = Json>) -> impl Strategy<Value = Json> {
    prop::collection::btree_map("[a-c]", value, 0..4).prop_map(|map| Json::Object(map.into_iter().collect()))
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => path().prop_map(|path| format!("{{{path}}}")),
        2 => path().prop_map(|path| format!("{{{path}|x}}")),
        1 => path().prop_map(|path| format!("{{original:{path}|x}}")),
        1 => (path(), path()).prop_map(|(a, b)| format!("{{{a}|1}}-{{{b}|2}}")),
        1 => Just("x".to_owned()),
    ]
}

fn step() -> impl Strategy<Value = StepKind> {
    let otherwise = || prop::sample::select(vec![Otherwise::Drop, Otherwise::Reject]);
    let on_miss = prop::sample::select(vec![
        OnMiss::Keep,
        OnMiss::Default(JsonText(r#"{"a":{"b":"x"}}"#.to_owned())),
        OnMiss::Drop,
        OnMiss::Reject,
    ]);
    prop_oneof![
        1 => path().prop_map(|path| select(&path)),
        1 => (path(), otherwise()).prop_map(|(path, otherwise)| require(&[&path], otherwise)),
        1 => (path(), any::<bool>(), otherwise())
            .prop_map(|(path, wanted, otherwise)| filter(&path, Test::Exists(wanted), otherwise)),
        1 => path().prop_map(|path| StepKind::Drop(DropPlan { pointers: vec![pointer(&path)] })),
        1 => (path(), path()).prop_map(|(one, other)| {
            StepKind::Keep(KeepPlan { pointers: vec![pointer(&one), pointer(&other)] })
        }),
        1 => (path(), path()).prop_filter("moves", |(from, to)| !to.starts_with(from.as_str())).prop_map(|(from, to)| {
            let moves = vec![(pointer(&from), pointer(&to))];
            StepKind::Rename(RenamePlan { moves, on_existing: OnExisting::Replace })
        }),
        4 => (text(), path(), on_miss).prop_map(|(key, into, on_miss)| lookup(&key, &into, on_miss)),
    ]
}

type Table = HashMap<Vec<u8>, Bytes>;

fn table() -> impl Strategy<Value = Table> {
    prop::collection::hash_map(
        prop::sample::select(vec!["x", "y", "1", "true"]),
        prop_oneof![tree(), Just(Json::from("x"))],
        2..5,
    )
    .prop_map(|map| map.into_iter().map(|(key, json)| (key.into(), json.to_string().into())).collect())
}

/// How the interpreter says a record ends: the reject's reason and step, or `None` for dropped.
type End = Option<(RejectReason, String)>;

fn get<'a>(json: &'a Json, path: &Pointer) -> Option<&'a Json> {
    path.members.iter().try_fold(json, |at, member| match at {
        Json::Object(map) => map.get(member),
        Json::Array(list) => list.get(member.parse::<usize>().ok()?),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => None,
    })
}

fn render(template: &Template, now: &Json, input: &Json) -> Result<String, RejectReason> {
    let part = |segment: &TemplateSegment| match segment {
        TemplateSegment::Literal(text) => Ok(text.clone()),
        TemplateSegment::Field { pointer, fallback } => scalar(get(now, pointer), fallback.as_ref()),
        TemplateSegment::Original { pointer, fallback } => scalar(get(input, pointer), fallback.as_ref()),
        TemplateSegment::Key
        | TemplateSegment::KeyField { .. }
        | TemplateSegment::Topic
        | TemplateSegment::Partition
        | TemplateSegment::Item
        | TemplateSegment::Route
        | TemplateSegment::Offset
        | TemplateSegment::Timestamp(_)
        | TemplateSegment::Now
        | TemplateSegment::Header(_)
        | TemplateSegment::Formed { .. } => unreachable!("not generated"),
    };
    template.segments.iter().map(part).collect()
}

fn scalar(value: Option<&Json>, fallback: Option<&String>) -> Result<String, RejectReason> {
    match value {
        None | Some(Json::Null) => fallback.cloned().ok_or(RejectReason::Missing),
        Some(Json::String(text)) => Ok(text.clone()),
        Some(Json::Object(_) | Json::Array(_)) => Err(RejectReason::WrongType),
        Some(other) => Ok(other.to_string()),
    }
}

fn apply(step: &StepPlan, now: &mut Json, input: &Json, tables: &mut std::slice::Iter<'_, Table>) -> Result<(), End> {
    let reject = |reason| Some((reason, step.place.to_string()));
    let refuse = |otherwise: &Otherwise| match otherwise {
        Otherwise::Drop => None,
        Otherwise::Reject => reject(RejectReason::Condition),
    };
    match &step.kind {
        StepKind::Select(SelectPlan { pointer }) => match get(now, pointer) {
            None => Err(reject(RejectReason::Missing)),
            Some(Json::Null) => Err(reject(RejectReason::Null)),
            Some(object @ Json::Object(_)) => {
                *now = object.clone();
                Ok(())
            }
            Some(_) => Err(reject(RejectReason::WrongType)),
        },
        StepKind::Require(RequirePlan { pointers, otherwise }) => {
            match (
                pointers.iter().map(|pointer| get(now, pointer)).find(|found| found.is_none_or(Json::is_null)),
                otherwise,
            ) {
                (None, _) => Ok(()),
                (Some(_), Otherwise::Drop) => Err(None),
                (Some(None), Otherwise::Reject) => Err(reject(RejectReason::Missing)),
                (Some(Some(_)), Otherwise::Reject) => Err(reject(RejectReason::Null)),
            }
        }
        StepKind::Where(WherePlan { conditions, otherwise }) => {
            let holds = conditions.iter().all(|condition| {
                let there = get(now, &condition.pointer).is_some_and(|value| !value.is_null());
                matches!(condition.test, Test::Exists(wanted) if wanted == there)
            });
            if holds { Ok(()) } else { Err(refuse(otherwise)) }
        }
        StepKind::Drop(_) | StepKind::Keep(_) | StepKind::Rename(_) | StepKind::Set(_) => {
            let mut tree = Tree::of(now);
            tree.change(&step.kind).expect("changes").map_err(reject)?;
            *now = serde_json::from_str(&tree.text()).expect("JSON");
            Ok(())
        }
        StepKind::Parse(_)
        | StepKind::Coerce(_)
        | StepKind::Timestamp(_)
        | StepKind::Explode(_)
        | StepKind::Jq(_)
        | StepKind::Route(_) => unreachable!("not generated"),
        StepKind::Lookup(plan) => {
            let table = tables.next().expect("a table for each look-up");
            let (name, parents) = plan.into.members.split_last().expect("not empty");
            let parents = Pointer { members: parents.to_vec() };
            match get(now, &parents) {
                None => return Err(reject(RejectReason::Missing)),
                Some(Json::Null) => return Err(reject(RejectReason::Null)),
                Some(Json::Object(_)) => {}
                Some(_) => return Err(reject(RejectReason::WrongType)),
            }
            let LookupSource::Keyed { key, .. } = &plan.source else { unreachable!("keyed") };
            let key = render(key, now, input).map_err(reject)?;
            let found = table.get(key.as_bytes()).map(|json| serde_json::from_slice(json).expect("JSON"));
            let found = match (found, &plan.on_miss) {
                (Some(found), _) => found,
                (None, OnMiss::Keep) => return Ok(()),
                (None, OnMiss::Default(JsonText(json))) => serde_json::from_str(json).expect("JSON"),
                (None, OnMiss::Drop) => return Err(None),
                (None, OnMiss::Reject) => return Err(reject(RejectReason::LookupMiss)),
            };
            let parent = parents.members.iter().fold(&mut *now, |at, member| match member.parse::<usize>() {
                Ok(index) if at.is_array() => &mut at[index],
                Ok(_) | Err(_) => &mut at[member.as_str()],
            });
            parent[name.as_str()] = found;
            Ok(())
        }
    }
}

fn interpret(
    steps: &[StepPlan],
    templates: &[Template],
    tables: &[Table],
    input: &Json,
) -> Result<(Json, Vec<String>), End> {
    let mut now = input.clone();
    let mut tables = tables.iter();
    for step in steps {
        // Look-ups are numbered in step order, so every one takes its table, and none is skipped before an end.
        apply(step, &mut now, input, &mut tables)?;
    }
    let rendered: Result<Vec<String>, RejectReason> =
        templates.iter().map(|template| render(template, &now, input)).collect();
    Ok((now, rendered.map_err(|reason| Some((reason, "sink".to_owned())))?))
}

/// Keeps values and templates as they come.
struct Keep;

impl Encode for Keep {
    type Item = (usize, Json, Vec<String>);
    fn encode(&mut self, place: Place, _: &Record<'_>, kept: &Kept<'_>, _: &mut Vec<u8>) -> Result<Self::Item, Reject> {
        let json = serde_json::from_slice(&kept.value.expect("no tombstones").concat()).expect("JSON");
        let text = |bytes: &Option<&[u8]>| String::from_utf8(bytes.expect("rendered").to_vec()).expect("UTF-8");
        Ok((place.index as usize, json, kept.rendered.iter().map(text).collect()))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn programs_do_what_their_steps_say(
        kinds in prop::collection::vec(step(), 0..5),
        templates in prop::collection::vec(text(), 0..3),
        tables in prop::collection::vec(table(), 5),
        inputs in prop::collection::vec(tree(), 1..6),
        pretty in any::<bool>(),
    ) {
        let steps = steps(kinds);
        let templates: Vec<Template> = templates.iter().map(|text| template(text)).collect();
        let write = if pretty { serde_json::to_string_pretty } else { serde_json::to_string };
        let records: Vec<OwnedRecord> =
            inputs.iter().enumerate().map(|(at, input)| record(at as i64, None, Some(&write(input).expect("JSON")))).collect();
        let program = Program::compile(&steps, &templates, Tombstones::PassOn).expect("compiles");
        let enricher = Enricher::new(Lookups::in_memory(tables.clone()));
        let mut preprocessor = Preprocessor::new(program, enricher, Keep);
        let fences = Fences::new(1);
        let mut prepared = prepared();
        let runs = fences.runs(&[records.len() as u32]);
        preprocessor.prepare(&runs, &records[..], &fences.table, &|| true, &mut prepared).expect("answers");

        let mut dropped = 0;
        for (index, input) in inputs.iter().enumerate() {
            let item = prepared.items.iter().find(|(at, ..)| *at == index);
            let rejected = prepared.rejects.iter().find(|rejected| rejected.place.index as usize == index);
            match interpret(&steps, &templates, &tables, input) {
                Ok((json, texts)) => prop_assert_eq!(item, Some(&(index, json, texts))),
                Err(None) => {
                    dropped += 1;
                    prop_assert!(item.is_none() && rejected.is_none(), "{:?} instead of dropped", rejected);
                }
                Err(Some((reason, place))) => {
                    prop_assert!(item.is_none(), "{:?} instead of {} at {}", item, reason, place);
                    let reject = &rejected.expect("rejected").reject;
                    prop_assert_eq!(&*reject.step, place.as_str());
                    // Which of several failing templates is named is not promised.
                    if place != "sink" {
                        prop_assert_eq!(reject.reason, reason);
                    }
                }
            }
        }
        prop_assert_eq!(prepared.ended.iter().map(|part| part.records).sum::<u32>(), dropped);
        prop_assert!(prepared.items.is_sorted_by_key(|(index, ..)| *index));
    }
}
