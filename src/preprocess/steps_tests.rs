//! `select`, `require` and `where`, case by case.

use super::super::tape::Parser;
use super::super::test_plans::pointer;
use super::*;

fn on<T>(text: &str, look: impl FnOnce(Document<'_>) -> T) -> T {
    Parser::default().read(text.as_bytes(), look).expect("valid")
}

fn reject_of(ending: Ending) -> (RejectReason, String) {
    match ending {
        Ending::Rejected(reject) => {
            assert_eq!(&*reject.step, "here");
            (reject.reason, reject.detail)
        }
        Ending::Dropped => panic!("dropped"),
    }
}

#[test]
fn select_needs_an_object_and_says_what_it_found() {
    use RejectReason::{Missing, Null, WrongType};
    for (text, path, reason, detail) in [
        ("{}", "/result", Missing, "/result is missing"),
        (r#"{"value":{}}"#, "/value/result", Missing, "/value/result is missing"),
        (r#"{"value":"x"}"#, "/value/result", Missing, "/value/result is missing: /value is a string"),
        (r#"{"value":null}"#, "/value/result", Missing, "/value/result is missing: /value is null"),
        ("7", "/value/result", Missing, "/value/result is missing: the record is a number"),
        (r#"{"result":null}"#, "/result", Null, "/result is null"),
        (r#"{"result":"x"}"#, "/result", WrongType, "/result is a string, not an object"),
        (r#"{"result":[{}]}"#, "/result", WrongType, "/result is an array, not an object"),
        (r#"{"result":1.5}"#, "/result", WrongType, "/result is a number, not an object"),
        (r#"{"result":false}"#, "/result", WrongType, "/result is a boolean, not an object"),
        ("[]", "", WrongType, "the record is an array, not an object"),
    ] {
        let path = Path::from(&pointer(path));
        let ending = on(text, |doc| select(&doc, doc.root(), &path, &"here".into()).map(|_| ())).expect_err(text);
        assert_eq!(reject_of(ending), (reason, detail.to_owned()), "{text}");
    }
    let path = Path::from(&pointer("/result"));
    let bytes = on(r#"{"result": {"id":7}, "x":1}"#, |doc| {
        select(&doc, doc.root(), &path, &"here".into()).map(|found| doc.bytes(found).to_vec())
    });
    assert_eq!(bytes, Ok(br#"{"id":7}"#.to_vec()));
}

#[test]
fn require_takes_null_for_missing() {
    let paths = ["/a", "/b/c"].map(|path| Path::from(&pointer(path)));
    for (text, detail) in [
        (r#"{"a":0,"b":{"c":false}}"#, None),
        (r#"{"a":0,"b":{"c":null}}"#, Some("/b/c is null")),
        (r#"{"b":{"c":1}}"#, Some("/a is missing")),
        (r#"{"a":0,"b":[]}"#, Some("/b/c is missing")),
    ] {
        let rejected = on(text, |doc| require(&doc, doc.root(), &paths, Otherwise::Reject, &"here".into()));
        let dropped = on(text, |doc| require(&doc, doc.root(), &paths, Otherwise::Drop, &"here".into()));
        match detail {
            None => assert_eq!((rejected, dropped), (Ok(()), Ok(()))),
            Some(detail) => {
                let expected = (RejectReason::Condition, detail.to_owned());
                assert_eq!(reject_of(rejected.expect_err(text)), expected);
                assert_eq!(dropped, Err(Ending::Dropped));
            }
        }
    }
}

#[test]
fn conditions_hold_as_the_contract_says() {
    let text = r#"{"s":"debug","i":7,"n":-3,"f":7.0,"h":7.5,"big":9007199254740993,"max":18446744073709551615,"wide":9007199254740992.0,"tenth":0.1,
        "ns":1763556497161513792,"far":18446744073709551617,"deep":-170141183460469231731687303715884105729,
        "t":true,"z":null,"o":{},"a":[1]}"#;
    let one_of = |scalars: &[Scalar]| Test::In(scalars.to_vec());
    let string = |text: &str| Scalar::String(text.to_owned());
    let number = |text: &str| Scalar::Number(Decimal::new(text).expect("a number"));
    let bound = |test, text: &str| Test::Number(test, Decimal::new(text).expect("a number"));
    for (path, test, expected) in [
        ("/s", one_of(&[string("info"), string("debug")]), true),
        ("/s", one_of(&[string("DEBUG")]), false),
        ("/s", one_of(&[number("7")]), false),
        ("/i", one_of(&[number("7")]), true),
        ("/i", one_of(&[number("7.0")]), true),
        ("/i", one_of(&[string("7")]), false),
        ("/f", one_of(&[number("7")]), true),
        ("/h", one_of(&[number("7")]), false),
        ("/h", one_of(&[number("7.5")]), true),
        ("/n", one_of(&[number("-3")]), true),
        ("/big", one_of(&[number("9007199254740992")]), false),
        ("/big", one_of(&[number("9007199254740993")]), true),
        ("/wide", one_of(&[number("9007199254740993")]), false),
        ("/wide", one_of(&[number("9007199254740992")]), true),
        ("/max", one_of(&[number("-1")]), false),
        ("/t", one_of(&[Scalar::Bool(true)]), true),
        ("/t", one_of(&[number("1")]), false),
        ("/z", one_of(&[Scalar::Bool(false)]), false),
        ("/o", one_of(&[string("")]), false),
        ("/none", one_of(&[string("x")]), false),
        ("/s", Test::NotIn(vec![string("debug")]), false),
        ("/s", Test::NotIn(vec![string("info")]), true),
        ("/z", Test::NotIn(vec![string("info")]), true),
        ("/none", Test::NotIn(vec![string("info")]), true),
        ("/s", Test::Exists(true), true),
        ("/z", Test::Exists(true), false),
        ("/none", Test::Exists(true), false),
        ("/s", Test::Exists(false), false),
        ("/z", Test::Exists(false), true),
        ("/none", Test::Exists(false), true),
        ("/s", Test::Prefix("de".to_owned()), true),
        ("/s", Test::Prefix("bug".to_owned()), false),
        ("/i", Test::Prefix("7".to_owned()), false),
        ("/i", bound(NumberTest::Less, "7.0"), false),
        ("/i", bound(NumberTest::Less, "7.1"), true),
        ("/i", bound(NumberTest::AtMost, "7.0"), true),
        ("/i", bound(NumberTest::Greater, "7.0"), false),
        ("/h", bound(NumberTest::Greater, "7.0"), true),
        ("/n", bound(NumberTest::AtLeast, "-3.0"), true),
        ("/n", bound(NumberTest::AtLeast, "-2.9"), false),
        ("/ns", bound(NumberTest::Greater, "1763556497161513791"), true),
        ("/ns", bound(NumberTest::AtMost, "1763556497161513791.9"), false),
        ("/ns", bound(NumberTest::Less, "1763556497161513792.0"), false),
        ("/max", bound(NumberTest::Less, "18446744073709551616"), true),
        ("/far", bound(NumberTest::AtMost, "18446744073709551616"), false),
        ("/far", one_of(&[number("18446744073709551616")]), false),
        ("/far", one_of(&[number("1844674407370955161.7e1")]), true),
        ("/deep", bound(NumberTest::Less, "-170141183460469231731687303715884105728"), true),
        ("/tenth", one_of(&[number("0.10")]), true),
        ("/tenth", bound(NumberTest::Less, "0.1000000000000000055"), true),
        ("/i", one_of(&[number("70e-1")]), true),
        ("/s", bound(NumberTest::Less, "7.0"), false),
        ("/none", bound(NumberTest::Less, "7.0"), false),
    ] {
        let check = Check { path: (&pointer(path)).into(), test: test.clone() };
        let checks = [check];
        let outcome = on(text, |doc| filter(&doc, doc.root(), &checks, Otherwise::Drop, &"here".into()));
        assert_eq!(outcome.is_ok(), expected, "{path} {test:?}");
        let outcome = on(text, |doc| filter(&doc, doc.root(), &checks, Otherwise::Reject, &"here".into()));
        if !expected {
            assert_eq!(reject_of(outcome.expect_err(path)).0, RejectReason::Condition);
        }
    }
}

#[test]
fn a_detail_keeps_its_bound() {
    let long = reject(RejectReason::Missing, &"here".into(), "é".repeat(4_000));
    assert!(long.detail.len() <= 1_024 && long.detail.starts_with('é'));
}
