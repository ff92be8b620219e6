//! Files of tests: which are read, what they mean, and what is said of wrong ones.

use std::path::Path;

use super::super::plan::{ExpectedEnd, ExpectedValue};
use super::super::*;
use super::SURROUNDINGS;

const TWO: &str = include_str!("../../../config/sluicegate.yaml");

/// Loads the commented configuration from a directory with these files beside it.
fn load_with(directory: &Path, files: &[(&str, &str)]) -> Result<Vec<plan::TestPlan>, Findings> {
    let main = directory.join("main.yaml");
    std::fs::write(&main, TWO).expect("written");
    for (name, text) in files {
        std::fs::write(directory.join(name), text).expect("written");
    }
    let inputs = Inputs { paths: vec![main], sets: Vec::new() };
    let loaded = load(&inputs, SURROUNDINGS).unwrap_or_else(|findings| panic!("{findings}"));
    load_tests(&inputs, &loaded, SURROUNDINGS)
}

fn read(text: &str) -> Result<Vec<plan::TestPlan>, Findings> {
    let directory = tempfile::tempdir().expect("a directory");
    load_with(directory.path(), &[("x.test.yaml", text)])
}

const RIGHT: &str = "tests: [{ name: a, pipeline: relay, input: { value: { result: {} } }, expect: { value: {} } }]";

#[test]
fn files_beside_the_configuration_are_read_unless_they_are_another_ones() {
    let directory = tempfile::tempdir().expect("a directory");
    let named = |name: &str| RIGHT.replace("name: a", &format!("name: {name}"));
    let files = [
        ("main.test.yaml", named("main")),
        ("more.test.yml", named("more")),
        ("other.yaml", "pipelines: {}".to_owned()),
        ("other.test.yaml", "not read: 1".to_owned()),
        (".hidden.test.yaml", "not read: 1".to_owned()),
        ("test.yaml", "not read: 1".to_owned()),
        ("x.test.json", "{}".to_owned()),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let tests = load_with(directory.path(), &files).unwrap_or_else(|findings| panic!("{findings}"));
    assert_eq!(tests.iter().map(|test| test.name.as_str()).collect::<Vec<_>>(), ["main", "more"]);
    for gone in ["other.yaml", "other.test.yaml", "test.yaml", "x.test.json"] {
        std::fs::remove_file(directory.path().join(gone)).expect("removed");
    }
    let inputs = Inputs { paths: vec![directory.path().to_path_buf()], sets: Vec::new() };
    let loaded = load(&inputs, SURROUNDINGS).unwrap_or_else(|findings| panic!("{findings}"));
    assert_eq!(loaded.plan.tests.len(), 3, "files of tests are no part of the configuration");
    assert_eq!(load_tests(&inputs, &loaded, SURROUNDINGS).map(|tests| tests.len()), Ok(2));
}

#[test]
fn every_form_of_a_record() {
    let text = r#"
tests:
  - name: forms
    pipeline: relay
    input:
      base64: AAH/
      key_base64: /w==
      headers: [{ name: a, value: 1 }, { name: a }, { name: b, base64: /w== }]
      topic: t
      partition: 3
      offset: 9
      timestamp: 2026-01-31T12:00:00.5Z
    expect: [{ text: x, key: null }, { outcome: dropped }, { reason: missing }]
  - name: tombstone
    pipeline: relay
    input: { key: 007, headers: { a: true, b: null }, timestamp: 1500 }
    expect: { value: null, key: "$$x", headers: {} }
  - name: nothing
    pipeline: relay
    input: { value: { "n": 12345678901234567890.10 }, timestamp: -1 }
    expect:
"#;
    let tests = read(text).unwrap_or_else(|findings| panic!("{findings}"));
    let header = |name: &str, value: Option<&[u8]>| (name.to_owned(), value.map(<[u8]>::to_vec));
    let input = &tests[0].input;
    assert_eq!((input.value.as_deref(), input.key.as_deref()), (Some(&[0, 1, 255][..]), Some(&[255][..])));
    assert_eq!(input.headers, [header("a", Some(b"1")), header("a", None), header("b", Some(&[255]))]);
    assert_eq!((input.topic.as_str(), input.partition, input.offset), ("t", 3, 9));
    assert_eq!(input.timestamp_ms, Some(1_769_860_800_500));
    let [ExpectedEnd::Delivered(output), ExpectedEnd::Dropped, ExpectedEnd::Rejected { reason, step: None }] =
        &tests[0].expected[..]
    else {
        panic!("{:?}", tests[0].expected)
    };
    assert_eq!((output.value.clone(), output.key.clone()), (Some(ExpectedValue::Bytes(b"x".to_vec())), Some(None)));
    assert_eq!(reason.map(|reason| reason.name()), Some("missing"));
    let input = &tests[1].input;
    assert_eq!((input.value.as_deref(), input.key.as_deref()), (None, Some(&b"007"[..])));
    assert_eq!((input.topic.as_str(), input.timestamp_ms), ("events", Some(1500)));
    assert_eq!(input.headers, [header("a", Some(b"true")), header("b", None)]);
    let [ExpectedEnd::Delivered(output)] = &tests[1].expected[..] else { panic!("{:?}", tests[1].expected) };
    assert_eq!(output.value, Some(ExpectedValue::Tombstone));
    assert_eq!((output.key.clone(), output.headers.clone()), (Some(Some(b"$x".to_vec())), Some(Vec::new())));
    assert_eq!(tests[2].input.value.as_deref(), Some(&b"{\"n\":12345678901234567890.10}"[..]));
    assert!(tests[2].expected.is_empty() && tests[2].origin.to_string().ends_with("x.test.yaml:18:5"));
}

/// What is wrong: the file's text, the line, the key, and a part of what is said.
const WRONG: &[(&str, u64, &str, &str)] = &[
    ("tets: []", 1, "tets", "did you mean `tests`"),
    ("tests: []", 1, "tests", "add a test, or remove the file"),
    ("tests: { name: a }", 1, "tests", "expected a list"),
    ("pipelines: {}\ntests: []", 1, "pipelines", "unknown key `pipelines`"),
    ("tests:\n  - { pipeline: relay, input: {}, expect: { value: 1 } }", 2, "tests[0]", "`name` is missing"),
    ("tests:\n  - { name: a, input: {}, expect: { value: 1 } }", 2, "tests[0]", "`pipeline` is missing"),
    ("tests:\n  - { name: a, pipeline: relay, expect: { value: 1 } }", 2, "tests[0]", "`input` is missing"),
    ("tests:\n  - { name: a, pipeline: relay, input: {} }", 2, "tests[0]", "`expect` is missing"),
    (
        "tests:\n  - name: ''\n    pipeline: relay\n    input: {}\n    expect: { value: 1 }",
        2,
        "tests[0].name",
        "in a few words",
    ),
    (
        "tests:\n  - name: a\n    pipeline: realy\n    input: {}\n    expect: {}",
        3,
        "tests[0].pipeline",
        "did you mean `relay`",
    ),
    (
        "tests:\n  - name: a\n    pipeline: relay\n    inptu: {}\n    expect: {}",
        4,
        "tests[0].inptu",
        "did you mean `input`",
    ),
    (
        "tests:\n  - name: a\n    pipeline: relay\n    input:\n      vlaue: 1\n    expect: {}",
        5,
        "tests[0].input.vlaue",
        "did you mean `value`",
    ),
    (
        "tests:\n  - name: a\n    pipeline: relay\n    input: {}\n    expect:\n      vale: 1",
        6,
        "tests[0].expect.vale",
        "did you mean `value`",
    ),
    (
        "tests:\n  - name: a\n    pipeline: relay\n    input: {}\n    expect:\n      - value: 1\n      - tpoic: x",
        7,
        "tests[0].expect[1].tpoic",
        "did you mean `topic`",
    ),
    (
        "tests:\n  - name: a\n    pipeline: relay\n    input: { value: 1, text: x }\n    expect: { value: 1 }",
        4,
        "tests[0].input.text",
        "exclude each other",
    ),
    (
        "tests:\n  - name: a\n    pipeline: relay\n    input: { base64: '!' }\n    expect: { value: 1 }",
        4,
        "tests[0].input.base64",
        "what `base64` prints",
    ),
    (
        "tests:\n  - name: a\n    pipeline: relay\n    input: { timestamp: noon }\n    expect: { value: 1 }",
        4,
        "tests[0].input.timestamp",
        "2026-01-31T12:00:00Z",
    ),
    (
        "tests:\n  - name: a\n    pipeline: relay\n    input: { offset: -1 }\n    expect: { value: 1 }",
        4,
        "tests[0].input.offset",
        "count from 0",
    ),
    (
        "tests:\n  - name: a\n    pipeline: relay\n    input: { headers: [{ nmae: x }] }\n    expect: { value: 1 }",
        4,
        "tests[0].input.headers[0].nmae",
        "did you mean `name`",
    ),
    (
        "tests:\n  - name: a\n    pipeline: relay\n    input: {}\n    lookups: { lookups: {} }\n    expect: { value: 1 }",
        5,
        "tests[0].lookups.lookups",
        "has no step `lookup`",
    ),
    (
        "tests:\n  - name: a\n    pipeline: index\n    input: {}\n    lookups: { lokups: {} }\n    expect: { outcome: dropped }",
        5,
        "tests[0].lookups.lokups",
        "did you mean `lookups`",
    ),
    (
        "tests:\n  - name: a\n    pipeline: index\n    input: {}\n    lookups: { lookups: { k: v } }\n    expect: { outcome: dropped }",
        5,
        "tests[0].lookups.lookups.k",
        "expected a map",
    ),
    (
        "tests:\n  - name: a\n    pipeline: relay\n    input: {}\n    expect: []",
        5,
        "tests[0].expect",
        "outcome: dropped",
    ),
    (
        "tests:\n  - name: a\n    pipeline: relay\n    input: {}\n    expect: [{}]",
        5,
        "tests[0].expect[0]",
        "expects nothing",
    ),
    (
        "tests:\n  - name: a\n    pipeline: relay\n    input: {}\n    expect: { value: 1, text: x }",
        5,
        "tests[0].expect.text",
        "exclude each other",
    ),
    (
        "tests:\n  - name: a\n    pipeline: relay\n    input: {}\n    expect: { document: {} }",
        5,
        "tests[0].expect.document",
        "delivered to Kafka has no `document`",
    ),
    (
        "tests:\n  - name: a\n    pipeline: index\n    input: {}\n    expect: { topic: x }",
        5,
        "tests[0].expect.topic",
        "delivered to Elasticsearch has no `topic`",
    ),
    (
        "tests:\n  - name: a\n    pipeline: index\n    input: {}\n    expect: { lines: x, action: {} }",
        5,
        "tests[0].expect.action",
        "exclude each other",
    ),
    (
        "tests:\n  - name: a\n    pipeline: relay\n    input: {}\n    expect: { outcome: dropped, value: 1 }",
        5,
        "tests[0].expect.value",
        "a dropped record has no `value`",
    ),
    (
        "tests:\n  - name: a\n    pipeline: relay\n    input: {}\n    expect: { outcome: droped }",
        5,
        "tests[0].expect.outcome",
        "did you mean `dropped`",
    ),
    (
        "tests:\n  - name: a\n    pipeline: relay\n    input: {}\n    expect: { reason: mising }",
        5,
        "tests[0].expect.reason",
        "did you mean `missing`",
    ),
    (
        "tests:\n  - name: a\n    pipeline: relay\n    input: { text: '${NONE}' }\n    expect: { value: 1 }",
        4,
        "tests[0].input.text",
        "`NONE` is not set",
    ),
    ("tests:\n  - name: a\n   pipeline: relay", 2, "", "indentation"),
    (
        "tests:\n  - &a { name: a, pipeline: relay, input: {}, expect: { value: 1 } }\n  - *a",
        3,
        "tests[1].name",
        "two tests",
    ),
];

#[test]
fn each_mistake_is_named_with_file_line_and_key() {
    for (text, line, path, part) in WRONG {
        let found = read(text).err().unwrap_or_else(|| panic!("accepted:\n{text}"));
        let hit = found.0.iter().find(|finding| finding.path == *path && finding.to_string().contains(part));
        let hit = hit.unwrap_or_else(|| panic!("{text}\nexpected `{path}` with `{part}`, found:\n{found}"));
        let tree::Origin::File { file, line: at, .. } = &hit.origin else { panic!("no place: {hit}") };
        assert!(file.ends_with("x.test.yaml") && (*at == *line || path.is_empty()), "line {line}: {hit}");
        assert!(hit.remedy.as_ref().is_some_and(|remedy| !remedy.is_empty()), "no remedy: {hit}");
    }
}

#[test]
fn a_test_that_expects_nothing_is_warned_of() {
    let text = TWO.replace("    expect: { value: { id: 7, name: \"x\" } }\n", "    expect:\n");
    let loaded = load_text(&text, "t.yaml", SURROUNDINGS).unwrap_or_else(|findings| panic!("{findings}"));
    let shown = loaded.warnings[0].to_string();
    assert!(shown.contains("tests[0].expect") && shown.contains("--update"), "{shown}");
}
