//! What `check` says of an Elasticsearch sink whose keys are right one by one and wrong together.

use super::{SURROUNDINGS, load, load_text};
use crate::config::plan::{Action, Choice, DocumentId, OnTombstone, SinkPlan};

/// The warnings of a pipeline that reads `topics` into a sink with these keys: key and reason.
fn warned(topics: &str, keys: &str) -> Vec<(String, String)> {
    let text = super::MINIMAL
        .replace("topics: [events]", &format!("topics: {topics}"))
        .replace("index: items", &format!("index: items, {keys}"));
    assert!(text.contains(topics) && text.contains(keys), "the minimal example was changed: {text}");
    let warnings = load(&text).warnings;
    warnings.iter().map(|one| (one.path.rsplit('.').next().unwrap_or_default().to_owned(), one.to_string())).collect()
}

#[test]
fn versions_of_one_id_come_from_one_line_of_numbers() {
    let version = |topics: &str, keys: &str, parts: &[&str]| {
        let found = warned(topics, &format!("action: index, {keys}"));
        assert_eq!(found.len(), parts.len(), "{topics} {keys}: {found:?}");
        for ((key, text), part) in found.iter().zip(parts) {
            assert!(key == "version" && text.contains(part) && text.contains("version: timestamp"), "{text}");
        }
    };
    let (topics, partitions) = ("offsets of several topics", "offsets of several partitions");
    version("[events]", "id: '{key}', version: offset", &[]);
    version("[events]", "id: '{topic}+{partition}+{offset}', version: offset", &[]);
    version("[events]", "id: '{/id}', version: offset", &[partitions]);
    version("[events]", "id: '{header:id}', version: offset", &[partitions]);
    version("[events]", "id: '{partition}-{/id}', version: offset", &[]);
    version("[events, others]", "id: '{key}', version: offset", &[topics]);
    version("['^events.*']", "id: '{key}', version: offset", &[topics]);
    version("['^events.*']", "id: '{topic}-{key}', version: offset", &[]);
    version("[events, others]", "id: '{/id}', version: offset", &[topics, partitions]);
    for other in ["timestamp", "{ header: v }", "{ pointer: /v }"] {
        version("[events, others]", &format!("id: '{{/id}}', version: {other}"), &[]);
    }
}

/// Id, action and what a tombstone does, in a sink with these keys.
fn defaults(keys: &str) -> (Option<String>, Action, OnTombstone) {
    let loaded = load(&super::MINIMAL.replace("index: items", &format!("index: items, {keys}")));
    let SinkPlan::Elasticsearch(sink) = &loaded.plan.pipelines[0].sink else { panic!("{keys}") };
    (sink.id.template().map(|id| id.text.clone()), sink.action, sink.on_tombstone)
}

#[test]
fn no_default_makes_one_document_of_many_records() {
    let own = || Some("{topic}+{partition}+{offset}".to_owned());
    let of = |id: &str| Some(id.to_owned());
    assert_eq!(defaults("lanes: 4"), (own(), Action::Index, OnTombstone::Reject), "a log");
    assert_eq!(defaults("version: timestamp"), (own(), Action::Index, OnTombstone::Reject));
    assert_eq!(defaults("id: '{key}'"), (of("{key}"), Action::Upsert, OnTombstone::Delete), "a table");
    assert_eq!(defaults("id: '{/id}'"), (of("{/id}"), Action::Upsert, OnTombstone::Reject));
    let explode = |keys: &str| {
        let aside = "on_reject: { dead_letter: { file: { path: d.ndjson } }";
        defaults(&format!("{keys} }}\n    steps: [{{ explode: /items }}]\n    {aside}"))
    };
    let of_item = || of("{topic}+{partition}+{offset}+{item}");
    assert_eq!(explode("lanes: 4"), (of_item(), Action::Index, OnTombstone::Reject));
    assert_eq!(explode("action: create"), (of_item(), Action::Create, OnTombstone::Reject), "not the key of all");
    assert_eq!(defaults("action: index"), (None, Action::Index, OnTombstone::Delete), "the key");
    for (keys, warns) in [
        ("lanes: 4", false),
        ("id: '{key}'", false),
        ("action: index", true),
        ("action: create", true),
        ("action: upsert", true),
        ("action: update", false),
        ("action: delete", false),
        ("action: index, version: timestamp", false),
        ("action: upsert, id: '{key}'", false),
    ] {
        let found = warned("[events]", keys);
        assert_eq!(found.len(), usize::from(warns), "{keys}: {found:?}");
        let shows = |text: &str| text.contains("{key}") && text.contains("{topic}+{partition}+{offset}");
        assert!(found.iter().all(|(key, text)| key == "action" && shows(text)), "{found:?}");
    }
    let found = warned("[events]", "on_tombstone: delete");
    assert!(matches!(&found[..], [(key, _)] if key == "on_tombstone"), "{found:?}");
}

#[test]
fn no_id_is_a_choice_and_null_is_none() {
    let sink = |keys: &str| super::MINIMAL.replace("index: items", &format!("index: items, {keys}"));
    for (keys, action) in [("id: none", Action::Index), ("id: none, action: create", Action::Create)] {
        let loaded = load(&sink(keys));
        assert_eq!(loaded.warnings, [], "{keys}");
        let SinkPlan::Elasticsearch(plan) = &loaded.plan.pipelines[0].sink else { panic!() };
        assert_eq!((&plan.id, plan.action, plan.on_tombstone), (&DocumentId::Server, action, OnTombstone::Reject));
    }
    for (keys, key, part) in [
        ("id: null", "id", "`id: none`"),
        ("id: ~, action: create", "id", "`id: none`"),
        ("id:", "id", "`id: none`"),
        ("id: none, action: upsert", "action", "needs an id"),
        ("id: none, action: delete", "action", "needs an id"),
        ("id: none, action: index, version: offset", "version", "needs an id"),
        ("id: none, on_tombstone: delete", "on_tombstone", "nothing to delete by"),
    ] {
        let Err(findings) = load_text(&sink(keys), "t.yaml", SURROUNDINGS) else { panic!("{keys} is taken") };
        let said = |finding: &crate::config::Finding| finding.path.ends_with(key) && finding.to_string().contains(part);
        assert!(findings.0.iter().any(said), "{keys}: {findings}");
    }
}

#[test]
fn an_action_is_chosen_by_a_field() {
    let sink = |keys: &str| super::MINIMAL.replace("index: items", &format!("index: items, {keys}"));
    let by = |more: &str| format!("action: {{ by: {{ field: /payload/op, map: {{ c: index, d: delete }} }} }}{more}");
    let loaded = load(&sink(&by("")));
    assert_eq!(loaded.warnings, []);
    let SinkPlan::Elasticsearch(plan) = &loaded.plan.pipelines[0].sink else { panic!() };
    let chosen = plan.by.as_ref().expect("chooses");
    assert_eq!((chosen.choice(b"c"), chosen.choice(b"d")), (Choice::Do(Action::Index), Choice::Do(Action::Delete)));
    assert_eq!((chosen.choice(b"x"), chosen.choice(b"")), (Choice::Reject, Choice::Reject));
    assert_eq!((&plan.id, plan.on_tombstone), (&DocumentId::KeyOrCoordinates, OnTombstone::Delete));
    let loaded = load(&sink(&by(", id: '{original:/payload/id}', version: timestamp")));
    let SinkPlan::Elasticsearch(plan) = &loaded.plan.pipelines[0].sink else { panic!() };
    assert_eq!(plan.on_tombstone, OnTombstone::Drop, "what it would delete is deleted");
    for (keys, key, part) in [
        ("action: { by: { field: /op, map: {} } }".to_owned(), "map", "is empty"),
        ("action: { by: { field: op, map: { c: index } } }".to_owned(), "field", "`/op`"),
        ("action: { by: { map: { c: index } } }".to_owned(), "by", "field"),
        ("action: { by: { field: /op, map: { c: indx } } }".to_owned(), "c", "did you mean `index`"),
        (by(", id: '{/id}'"), "id", "skips the steps"),
        (by(", version: { pointer: /v }"), "version", "skips the steps"),
        (by(", id: none"), "action", "`delete` needs an id"),
        (
            "action: { by: { field: /op, map: { c: upsert } } }, version: offset".to_owned(),
            "version",
            "not with `upsert`",
        ),
    ] {
        let Err(findings) = load_text(&sink(&keys), "t.yaml", SURROUNDINGS) else { panic!("{keys} is taken") };
        let said = |finding: &crate::config::Finding| finding.path.ends_with(key) && finding.to_string().contains(part);
        assert!(findings.0.iter().any(said), "{keys}: {findings}");
    }
}
