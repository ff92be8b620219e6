//! What `check` says of an Elasticsearch sink whose keys are right one by one and wrong together.

use super::load;
use crate::config::plan::{Action, OnTombstone, SinkPlan};

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
    (sink.id.as_ref().map(|id| id.text.clone()), sink.action, sink.on_tombstone)
}

#[test]
fn no_default_makes_one_document_of_many_records() {
    let own = || Some("{topic}+{partition}+{offset}".to_owned());
    let of = |id: &str| Some(id.to_owned());
    assert_eq!(defaults("lanes: 4"), (own(), Action::Index, OnTombstone::Reject), "a log");
    assert_eq!(defaults("version: timestamp"), (own(), Action::Index, OnTombstone::Reject));
    assert_eq!(defaults("id: '{key}'"), (of("{key}"), Action::Upsert, OnTombstone::Delete), "a table");
    assert_eq!(defaults("id: '{/id}'"), (of("{/id}"), Action::Upsert, OnTombstone::Reject));
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
