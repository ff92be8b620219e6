//! What `check` says of an Elasticsearch sink whose keys are right one by one and wrong together.

use super::load;

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
