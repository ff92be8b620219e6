//! What people read for a dozen typical mistakes, word for word.

use super::super::load_text;
use super::{MINIMAL, SURROUNDINGS};

fn shown(from: &str, to: &str) -> String {
    assert!(MINIMAL.contains(from), "{from}");
    load_text(&MINIMAL.replacen(from, to, 1), "t.yaml", SURROUNDINGS).expect_err(to).to_string()
}

#[test]
fn typical_mistakes() {
    let table = [
        (
            "topics: [events]",
            "topcis: [events]",
            "error: t.yaml:12:38: pipelines.index.source.kafka.topcis\n\
             \x20 unknown key `topcis`\n\
             \x20 help: did you mean `topics`? known here: `connection`, `topics`, `group`, `instance_id`, `start`, `format`, `on_damaged`, `revoke_timeout`, `session_timeout`",
        ),
        (
            "topics: [events]",
            "topics: { events: 1 }",
            "error: t.yaml:12:38: pipelines.index.source.kafka.topics\n\
             \x20 expected a list, found a map\n\
             \x20 help: write a list",
        ),
        (
            ", group: index }",
            " }",
            "error: t.yaml:12:7: pipelines.index.source.kafka\n\
             \x20 `group` is missing\n\
             \x20 help: add `group: …` here",
        ),
        (
            "connection: search",
            "connection: serach",
            "error: t.yaml:14:36: pipelines.index.sink.elasticsearch.connection\n\
             \x20 no elasticsearch connection is named `serach`\n\
             \x20 help: did you mean `search`?",
        ),
        (
            "index: items }",
            "index: Items }",
            "error: t.yaml:14:51: pipelines.index.sink.elasticsearch.index\n\
             \x20 the name of an index has no capitals\n\
             \x20 help: write `items`",
        ),
        (
            "index: items }",
            "index: items, id: \"{id}\" }",
            "error: t.yaml:14:62: pipelines.index.sink.elasticsearch.id\n\
             \x20 unknown placeholder `{id}`\n\
             \x20 help: for a field of the record write `{/id}`. There are `{key}`, `{key:/pointer}`, `{topic}`, `{partition}`, `{offset}`, `{timestamp}`, `{timestamp:%Y.%m.%d}`, `{now:%Y.%m.%d}`, `{header:name}`, `{route}`, `{item}`, `{/pointer}`, `{/pointer|fallback}`, `{/pointer:%Y.%m.%d}` and `{original:/pointer}`; `:lower` behind one writes small letters",
        ),
        (
            "index: items }",
            "index: items, batch: { linger: 100 } }",
            "error: t.yaml:14:75: pipelines.index.sink.elasticsearch.batch.linger\n\
             \x20 a unit is missing\n\
             \x20 help: write `100ms` or `100s`",
        ),
        (
            "index: items }",
            "index: items, batch: { bytes: 5M } }",
            "error: t.yaml:14:74: pipelines.index.sink.elasticsearch.batch.bytes\n\
             \x20 `M` is ambiguous\n\
             \x20 help: write `5MiB` (1024) or `5MB` (1000)",
        ),
        (
            "index: items }",
            "index: items, id: \"{key}\", version: offset }",
            "error: t.yaml:14:80: pipelines.index.sink.elasticsearch.version\n\
             \x20 `version` works with the actions `index` and `delete` only, not with `upsert`\n\
             \x20 help: write `action: index`, or remove `version`",
        ),
        (
            "index: items }",
            "index: items }\n    steps: [{ select: .result }]",
            "error: t.yaml:15:23: pipelines.index.steps[0].select\n\
             \x20 `.result` is not an RFC 6901 pointer: pointers start with `/`\n\
             \x20 help: write `/result`",
        ),
        (
            "[\"127.0.0.1:9092\"]",
            "[\"127.0.0.1:9092\"], librdkafka: { auto.offset.reset: latest }",
            "error: t.yaml:5:79: connections.kafka.upstream.librdkafka.\"auto.offset.reset\"\n\
             \x20 `auto.offset.reset` cannot be set: librdkafka's reset after a fault would jump over records unseen; sluicegate finds the place itself\n\
             \x20 help: remove it; `start: earliest` or `latest` of the source says where a new group starts",
        ),
        (
            "[\"127.0.0.1:9092\"]",
            "[${BROKERS}]",
            "error: t.yaml:5:28\n\
             \x20 not valid YAML: while parsing a flow sequence, expected ',' or ']'\n\
             \x20 help: inside `[…]` and `{…}` YAML wants quotes around a variable: `[\"${VAR}\"]`",
        ),
        (
            "[\"127.0.0.1:9092\"]",
            "[\"${BROKERS}\"]",
            "error: t.yaml:5:27: connections.kafka.upstream.brokers[0]\n\
             \x20 environment variable `BROKERS` is not set\n\
             \x20 help: set it, or write `${BROKERS:-default}`; a literal dollar sign is `$$`",
        ),
        (
            "pipelines:",
            "\tpipelines:",
            "error: t.yaml:9:2\n\
             \x20 not valid YAML: tabs disallowed within this context (block indentation)\n\
             \x20 help: indent with blanks, not with tabs",
        ),
    ];
    let mut different = String::new();
    for (from, to, expected) in table {
        let found = shown(from, to);
        if found != expected {
            different.push_str(&format!("--- {to}\n{found}\n"));
        }
    }
    assert!(different.is_empty(), "{different}");
}
