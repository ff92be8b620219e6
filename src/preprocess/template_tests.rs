//! Templates, case by case.

use super::super::program::{Program, Tombstones};
use super::super::tape::Parser;
use super::super::test_plans::{record, template};
use super::*;

/// Renders `text` for a record with key `k` and value `value`, window `/result`.
fn rendered(text: &str, key: Option<&str>, value: &str) -> Result<Option<String>, (RejectReason, String)> {
    let program = Program::compile(&[], &[crate::config::parse_template(text).expect("parses")], Tombstones::PassOn)
        .expect("compiles");
    let compiled = &program.templates[0];
    let mut stamps = Stamps::new(program.formats);
    let owned = record(42, key, Some(value));
    let record = owned.view();
    let mut out = b"before".to_vec();
    let result = Parser::default().read(value.as_bytes(), |doc| {
        let window = doc.find(doc.root(), &["result".to_owned()]).unwrap_or(doc.root());
        let scope: Scope<'_> = Scope { record: &record, document: Some((&doc, window)), original: Some(&doc) };
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
    let scope: Scope<'_> = Scope { record: &owned.view(), document: None, original: None };
    let span = program.templates[0].render(&scope, &mut Stamps::new(0), &mut out);
    assert_eq!((span, out), (Ok(Rendered::Span(0..3)), vec![0xff, 0, 0xfe]));
}

#[test]
fn a_missing_timestamp_is_named() {
    let program = Program::compile(&[], &[template("{timestamp:%Y}")], Tombstones::PassOn).expect("compiles");
    for (time, fault) in [(None, RenderFault::NoTimestamp), (Some(i64::MAX), RenderFault::TimestampRange)] {
        let mut owned = record(0, None, None);
        owned.timestamp_ms = time;
        let scope: Scope<'_> = Scope { record: &owned.view(), document: None, original: None };
        let outcome = program.templates[0].render(&scope, &mut Stamps::new(1), &mut Vec::new());
        assert_eq!(outcome, Err((0, fault)));
    }
}

/// The same with the time as it was on 2023-11-14 at 22:13:20, and a key.
fn with_key(text: &str, key: Option<&str>) -> Result<Option<String>, (RejectReason, String)> {
    let value = r#"{"App":"MyShop","g":"ÄRGER İ","n":7,"nil":null,"at":"2024-11-03T23:30:00+01:00","s":1730673708,
        "ms":1730673708123,"f":1730673708.5,"bad":"soon","o":{},"t":true}"#;
    rendered(text, key, value)
}

#[test]
fn small_letters_dates_and_fields_of_the_key() {
    for (text, key, expected) in [
        ("logs-{/App:lower}", None, "logs-myshop"),
        ("{/g:lower}", None, "ärger i\u{307}"),
        ("{/n:lower}", None, "7"),
        ("{/none:lower|Kept}", None, "Kept"),
        ("{original:/App:lower}", None, "myshop"),
        ("{topic:lower}-{partition:lower}", None, "events-0"),
        ("{key:lower}", Some("ABC"), "abc"),
        ("{header:h:lower}", None, "one"),
        ("logs-{/at:%Y.%m.%d}", None, "logs-2024.11.03"),
        ("{/s:%Y-%m-%dT%H}", None, "2024-11-03T22"),
        ("{/ms:%H:%M:%S}", None, "22:41:48"),
        ("{/f:%S}", None, "48"),
        ("{/none:%Y|never}", None, "never"),
        ("{/nil:%Y|never}", None, "never"),
        ("{original:/at:%Y}", None, "2024"),
        ("{now:%Y}", None, "1970"),
        ("{key:/payload/id}", Some(r#"{"schema":{},"payload":{"id":1001}}"#), "1001"),
        ("{key:/id:lower}", Some(r#"{"id":"AB"}"#), "ab"),
        ("{key:/id|none}", Some("{}"), "none"),
        ("{key:/id|none}", None, "none"),
        ("{key:/0}", Some("[18446744073709551617]"), "18446744073709551617"),
        ("{key:/at:%Y}", Some(r#"{"at":"2024-01-01T00:00:00Z"}"#), "2024"),
    ] {
        assert_eq!(with_key(text, key), Ok(Some(expected.to_owned())), "{text}");
    }
    use RejectReason::{InvalidJson, Missing, WrongType};
    for (text, key, reason, part) in [
        ("{/bad:%Y}", None, WrongType, "/bad is no time"),
        ("{/t:%Y}", None, WrongType, "/t is no time"),
        ("{/o:%Y}", None, WrongType, "/o is no time"),
        ("{/bad:%Y|x}", None, WrongType, "/bad is no time"),
        ("{/none:%Y}", None, Missing, "/none is missing"),
        ("{/o:lower}", None, WrongType, "/o is an object"),
        ("{key:/id}", None, Missing, "no key"),
        ("{key:/id}", Some("{}"), Missing, "key:/id is missing"),
        ("{key:/id}", Some("plain"), InvalidJson, "the key is no JSON"),
        ("{key:/id}", Some(r#"{"id":{}}"#), WrongType, "key:/id is an object"),
        ("<{key:lower}>", None, RejectReason::Null, "the key is null"),
    ] {
        let (found, detail) = with_key(text, key).expect_err(text);
        assert_eq!(found, reason, "{text}: {detail}");
        assert!(detail.contains(part), "{text}: {detail}");
    }
}
