//! Templates, case by case.

use super::super::program::{Program, Tombstones};
use super::super::tape::Parser;
use super::super::test_plans::{record, template};
use super::*;

/// Renders `text` for a record with key `k` and value `value`, window `/result`.
fn rendered(text: &str, key: Option<&str>, value: &str) -> Result<Option<String>, (RejectReason, String)> {
    let program = Program::compile(&[], &[template(text)], Tombstones::PassOn).expect("compiles");
    let compiled = &program.templates[0];
    let mut stamps = Stamps::new(program.formats);
    let owned = record(42, key, Some(value));
    let record = owned.view();
    let mut out = b"before".to_vec();
    let result = Parser::default().read(value.as_bytes(), |doc| {
        let window = doc.find(doc.root(), &["result".to_owned()]).unwrap_or(doc.root());
        let scope = Scope { record: &record, document: Some((&doc, window)), original: Some(&doc) };
        compiled.render(&scope, &mut stamps, &mut out)
    });
    match result.expect("valid") {
        Ok(Rendered::Span(span)) => {
            assert_eq!(span, 6..out.len());
            Ok(Some(String::from_utf8_lossy(&out[span]).into_owned()))
        }
        Ok(Rendered::Null) => Ok(None),
        Ok(Rendered::Late(_)) => panic!("late"),
        Err(fault) => {
            let reject = compiled.reject(&"sink".into(), fault);
            Err((reject.reason, reject.detail))
        }
    }
}

#[test]
fn renders_what_the_record_carries() {
    let value = r#"{"type":"t","result":{"id":7,"name":"A\u0042","n":1.10e1,"big":123456789012345678901234567890,
        "ok":true,"nil":null,"o":{"x":"y"},"a":["z"],"e":"","":"nameless"}}"#;
    for (text, expected) in [
        ("plain", "plain"),
        ("{key}", "k"),
        ("<{key}>", "<k>"),
        ("{topic}+{partition}+{offset}", "events+0+42"),
        ("{timestamp}", "1700000000042"),
        ("logs-{timestamp:%Y.%m.%d}", "logs-2023.11.14"),
        ("{timestamp:%Y}-{timestamp:%H}", "2023-22"),
        ("{header:h}", "one"),
        ("{/id}", "7"),
        ("{/name}", "AB"),
        ("{/n}", "1.10e1"),
        ("{/big}", "123456789012345678901234567890"),
        ("{/ok}", "true"),
        ("{/o/x}{/a/0}", "yz"),
        ("{/e}", ""),
        ("{/e|fallback}", ""),
        ("{/}", "nameless"),
        ("{/nil|none}", "none"),
        ("{/absent|none}", "none"),
        ("{/absent|}", ""),
        ("{/id/deeper|none}", "none"),
        ("{original:/type}-{original:/result/id}", "t-7"),
        ("{original:/id|no}", "no"),
        ("", ""),
    ] {
        assert_eq!(rendered(text, Some("k"), value), Ok(Some(expected.to_owned())), "{text}");
    }
}

#[test]
fn says_which_part_failed() {
    use RejectReason::{Missing, Null, WrongType};
    let value = r#"{"result":{"nil":null,"o":{},"a":[]}}"#;
    for (text, reason, part) in [
        ("x-{/absent}", Missing, "/absent is missing"),
        ("{/nil}", Missing, "/nil is null"),
        ("{/o}", WrongType, "/o is an object or array"),
        ("{/a|fallback}", WrongType, "/a is an object or array"),
        ("{original:/id}", Missing, "original:/id is missing"),
        ("{header:other}", Missing, "header other is missing"),
        ("{header:none}", Null, "header none is null"),
        ("key={key}", Null, "the key is null"),
    ] {
        let (actual, detail) = rendered(text, None, value).expect_err(text);
        assert_eq!(actual, reason, "{text}");
        assert!(detail.contains(part) && detail.contains(text), "{detail:?} lacks {part:?}");
    }
}

#[test]
fn only_a_bare_key_passes_null_on() {
    assert_eq!(rendered("{key}", None, "{}"), Ok(None));
    assert_eq!(rendered("{key}", Some(""), "{}"), Ok(Some(String::new())));
}

#[test]
fn key_bytes_pass_without_loss() {
    let program = Program::compile(&[], &[template("{key}")], Tombstones::PassOn).expect("compiles");
    let mut owned = record(0, None, None);
    owned.key = Some(vec![0xff, 0, 0xfe]);
    let mut out = Vec::new();
    let scope = Scope { record: &owned.view(), document: None, original: None };
    let span = program.templates[0].render(&scope, &mut Stamps::new(0), &mut out);
    assert_eq!((span, out), (Ok(Rendered::Span(0..3)), vec![0xff, 0, 0xfe]));
}

#[test]
fn a_missing_timestamp_is_named() {
    let program = Program::compile(&[], &[template("{timestamp:%Y}")], Tombstones::PassOn).expect("compiles");
    for (time, fault) in [(None, Fault::NoTimestamp), (Some(i64::MAX), Fault::TimestampRange)] {
        let mut owned = record(0, None, None);
        owned.timestamp_ms = time;
        let scope = Scope { record: &owned.view(), document: None, original: None };
        let outcome = program.templates[0].render(&scope, &mut Stamps::new(1), &mut Vec::new());
        assert_eq!(outcome, Err((0, fault)));
    }
}
