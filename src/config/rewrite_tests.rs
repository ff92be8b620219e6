//! Every way in which an expectation stands in a file; what is around it stays byte for byte.

use super::*;

fn one(keys: &[(&'static str, &str)]) -> NewExpectation {
    NewExpectation { ends: vec![keys.iter().map(|(key, value)| (*key, (*value).to_owned())).collect()] }
}

/// Rewrites the test that begins with `name: this` in the text.
fn rewritten(text: &str, format: FileFormat, new: &NewExpectation) -> Result<String, String> {
    let root = read::read(text, format, &Arc::from("")).expect("valid");
    let TreeValue::Map(entries) = &root.value else { panic!("{text}") };
    let TreeValue::List(items) = &entries.iter().find(|entry| entry.key == "tests").expect("tests").node.value else {
        panic!("{text}")
    };
    let is_this = |item: &&Node| {
        item.get("name").is_some_and(|name| matches!(&name.value, TreeValue::Scalar(text) if text.text == "this"))
    };
    let origin = items.iter().find(is_this).expect("this").origin.clone();
    rewrite(text, format, &origin, new).map(|(text, _)| text)
}

#[test]
fn values_in_blocks() {
    let new = one(&[("key", "\"k\""), ("value", "{ a: 1 }")]);
    for (before, after) in [
        // A block, with comments around it and a test behind it.
        (
            "# head\ntests:\n  - name: this # that\n    expect: # what comes\n      # old\n      value: 1\n      # tail\n\n  - name: other\n    expect: { value: 1 }\n",
            "# head\ntests:\n  - name: this # that\n    expect: # what comes\n      # old\n      key: \"k\"\n      value: { a: 1 }\n      # tail\n\n  - name: other\n    expect: { value: 1 }\n",
        ),
        // A text in a block, the key not the last one.
        (
            "tests:\n- name: this\n  expect:\n    text: |\n      a\n\n      # no comment\n      b\n  pipeline: p\n",
            "tests:\n- name: this\n  expect:\n    key: \"k\"\n    value: { a: 1 }\n  pipeline: p\n",
        ),
        // A list at the key's own indent.
        (
            "tests:\n- name: this\n  expect:\n  - value: 1\n  - value: 2\n  pipeline: p\n",
            "tests:\n- name: this\n  expect:\n    key: \"k\"\n    value: { a: 1 }\n  pipeline: p\n",
        ),
        // Braces stay braces, over several lines too.
        (
            "tests:\n  - name: this\n    expect: { value: \"}\", # }\n              text: ']' } # why\n    pipeline: p\n",
            "tests:\n  - name: this\n    expect: { key: \"k\", value: { a: 1 } } # why\n    pipeline: p\n",
        ),
        // Nothing yet, at the end of the file, without a line end.
        (
            "tests:\n  - name: this\n    expect:",
            "tests:\n  - name: this\n    expect:\n      key: \"k\"\n      value: { a: 1 }\n",
        ),
        (
            "tests:\n  - name: this\n    expect: ~ # later\n",
            "tests:\n  - name: this\n    expect: { key: \"k\", value: { a: 1 } } # later\n",
        ),
        (
            "tests:\n  - expect:\n    name: this\n",
            "tests:\n  - expect:\n      key: \"k\"\n      value: { a: 1 }\n    name: this\n",
        ),
        // The file's own line ends.
        (
            "tests:\r\n  - name: this\r\n    expect:\r\n      value: 1\r\n    pipeline: p\r\n",
            "tests:\r\n  - name: this\r\n    expect:\r\n      key: \"k\"\r\n      value: { a: 1 }\r\n    pipeline: p\r\n",
        ),
    ] {
        assert_eq!(rewritten(before, FileFormat::Yaml, &new).as_deref(), Ok(after), "{before}");
    }
}

#[test]
fn values_in_braces() {
    let new = one(&[("value", "1")]);
    for (before, after) in [
        ("tests: [{ name: this, expect: { value: 2 } }]\n", "tests: [{ name: this, expect: { value: 1 } }]\n"),
        ("tests: [{ expect: , name: this }]\n", "tests: [{ expect: { value: 1 }, name: this }]\n"),
        ("tests: [{ name: this, expect: null}]\n", "tests: [{ name: this, expect: { value: 1 }}]\n"),
        (
            "tests:\n  - { name: this, # x\n      expect:\n        [ 'it''s', \"\\\"]\", a'b ] }\n",
            "tests:\n  - { name: this, # x\n      expect:\n        { value: 1 } }\n",
        ),
    ] {
        assert_eq!(rewritten(before, FileFormat::Yaml, &new).as_deref(), Ok(after), "{before}");
    }
    let json = "{\"tests\": [{\"name\": \"this\", \"expect\": {\"value\": \"}\"}}]}";
    let after = "{\"tests\": [{\"name\": \"this\", \"expect\": { \"value\": 1 }}]}";
    assert_eq!(rewritten(json, FileFormat::Json, &new).as_deref(), Ok(after));
}

#[test]
fn several_ends_are_a_list_and_long_lines_a_block() {
    let mut two = one(&[("key", "\"a\""), ("value", "1")]);
    two.ends.push(vec![("outcome", "dropped".to_owned())]);
    let block = "tests:\n  - name: this\n    expect:\n      value: 1\n";
    let listed =
        "tests:\n  - name: this\n    expect:\n      - key: \"a\"\n        value: 1\n      - outcome: dropped\n";
    assert_eq!(rewritten(block, FileFormat::Yaml, &two).as_deref(), Ok(listed));
    let braces = "tests:\n  - name: this\n    expect: { value: 1 } # x\n    pipeline: p\n";
    let listed =
        "tests:\n  - name: this\n    expect: [{ key: \"a\", value: 1 }, { outcome: dropped }] # x\n    pipeline: p\n";
    assert_eq!(rewritten(braces, FileFormat::Yaml, &two).as_deref(), Ok(listed));
    let long = format!("\"{}\"", "x".repeat(WIDEST));
    let block = format!("tests:\n  - name: this\n    expect: # x\n      text: {long}\n    pipeline: p\n");
    assert_eq!(rewritten(braces, FileFormat::Yaml, &one(&[("text", &long)])), Ok(block));
}

#[test]
fn what_is_not_understood_is_left_alone() {
    let new = one(&[("value", "1")]);
    for (text, part) in [
        ("tests:\n  - name: this\n    expect: &a { value: 1 }\n", "an anchor"),
        ("x: &a { value: 1 }\ntests:\n  - name: this\n    expect: *a\n", "an alias"),
        ("tests: [{ name: this, expect: !!map { value: 1 } }]\n", "a tag"),
    ] {
        assert!(rewritten(text, FileFormat::Yaml, &new).is_err_and(|why| why.contains(part)), "{text}");
    }
    let toml = "[[tests]]\nname = \"this\"\nexpect = { value = 1 }\n";
    assert_eq!(rewritten(toml, FileFormat::Toml, &new), Err("TOML is not rewritten".to_owned()));
    let nowhere = Origin::File { file: Arc::from("f"), line: 9, column: 9 };
    assert!(rewrite("tests: []", FileFormat::Yaml, &nowhere, &new).is_err());
}
