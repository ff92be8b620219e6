//! What each type makes of each value, what is written wrong, and the forms.

use super::super::fixtures::{allocated_by, on};
use super::*;
use crate::leaf::tree::Index;

/// The JSON text of a value as `to`.
fn converted(to: CoerceTo, json: &str) -> Result<String, Unconverted> {
    on(json, |doc| {
        let mut out = b"before:".to_vec();
        let result = convert(to, doc.value(doc.root()), doc.bytes(doc.root()), &mut out);
        let text = String::from_utf8(out).expect("UTF-8");
        let written = text.strip_prefix("before:").expect("what was there before").to_owned();
        assert!(result.is_ok() || written.is_empty(), "{json}: a refused value leaves nothing: {written}");
        if result.is_ok() {
            on(&written, |again| assert_eq!(again.bytes(again.root()), written.as_bytes(), "{json}: one JSON value"));
        }
        result.map(|()| written)
    })
}

fn holds(to: CoerceTo, rows: &[(&str, Result<&str, Unconverted>)]) {
    for (json, expected) in rows {
        assert_eq!(converted(to, json), expected.map(str::to_owned), "{to:?} of {json}");
    }
}

#[test]
fn integers_keep_every_digit() {
    let digits = |count: usize| format!("1{}", "0".repeat(count - 1));
    let (far, longest) = (format!("\"{}\"", digits(310)), format!("\"{}\"", digits(309)));
    holds(
        CoerceTo::Integer,
        &[
            ("7", Ok("7")),
            ("-7", Ok("-7")),
            ("0", Ok("0")),
            ("-0", Ok("0")),
            ("-0.0", Ok("0")),
            ("7.0", Ok("7")),
            ("7.00e2", Ok("700")),
            ("1e3", Ok("1000")),
            ("1.5e1", Ok("15")),
            ("1200e-2", Ok("12")),
            ("18446744073709551615", Ok("18446744073709551615")),
            ("18446744073709551616", Ok("18446744073709551616")),
            ("12345678901234567890123", Ok("12345678901234567890123")),
            ("-9223372036854775809", Ok("-9223372036854775809")),
            ("9007199254740993.0", Ok("9007199254740993")),
            ("1.5", Err(Unconverted::Fraction)),
            ("-0.1", Err(Unconverted::Fraction)),
            ("1e-400", Err(Unconverted::Fraction)),
            (r#""42""#, Ok("42")),
            (r#""00042""#, Ok("42")),
            (r#""-007""#, Ok("-7")),
            (r#""+5""#, Ok("5")),
            (r#""-0""#, Ok("0")),
            (r#""7.0""#, Ok("7")),
            (r#""7.""#, Ok("7")),
            (r#""1e3""#, Ok("1000")),
            (r#""1E+3""#, Ok("1000")),
            (r#"" 42\t\n""#, Ok("42")),
            (r#""\u0034\u0032""#, Ok("42")),
            (r#""12345678901234567890123""#, Ok("12345678901234567890123")),
            (r#""1.5""#, Err(Unconverted::Fraction)),
            (r#"".5""#, Err(Unconverted::Fraction)),
            (r#""""#, Err(Unconverted::NoNumber)),
            (r#""  ""#, Err(Unconverted::NoNumber)),
            (r#""0x10""#, Err(Unconverted::NoNumber)),
            (r#""1_000""#, Err(Unconverted::NoNumber)),
            (r#""1,000""#, Err(Unconverted::NoNumber)),
            (r#""4 2""#, Err(Unconverted::NoNumber)),
            ("\"\u{a0}42\"", Err(Unconverted::NoNumber)),
            ("\"\u{664}\u{662}\"", Err(Unconverted::NoNumber)),
            (r#""NaN""#, Err(Unconverted::NoNumber)),
            (r#""nan""#, Err(Unconverted::NoNumber)),
            (r#""Infinity""#, Err(Unconverted::NoNumber)),
            (r#""-inf""#, Err(Unconverted::NoNumber)),
            (r#""true""#, Err(Unconverted::NoNumber)),
            (r#""1e308""#, Ok(&digits(309))),
            (&longest, Ok(&digits(309))),
            (&far, Err(Unconverted::TooLarge)),
            (r#""1e309""#, Err(Unconverted::TooLarge)),
            (r#""-1e999999999""#, Err(Unconverted::TooLarge)),
            (r#""1e99999999999999999999999""#, Err(Unconverted::TooLarge)),
            (r#""0e999999999""#, Ok("0")),
            (r#""1e-999999999""#, Err(Unconverted::Fraction)),
            ("true", Ok("1")),
            ("false", Ok("0")),
            ("null", Ok("null")),
            ("{}", Err(Unconverted::Kind("an object"))),
            ("[1]", Err(Unconverted::Kind("an array"))),
        ],
    );
}

#[test]
fn numbers_keep_their_spelling() {
    holds(
        CoerceTo::Number,
        &[
            ("1.50", Ok("1.50")),
            ("-0.0", Ok("-0.0")),
            ("1E+3", Ok("1E+3")),
            ("7", Ok("7")),
            ("12345678901234567890123", Ok("12345678901234567890123")),
            (r#""1.50""#, Ok("1.50")),
            (r#"" -1.50 ""#, Ok("-1.50")),
            (r#""007.5""#, Ok("7.5")),
            (r#""+.5""#, Ok("0.5")),
            (r#""5.""#, Ok("5")),
            (r#""1e3""#, Ok("1e3")),
            (r#""1E+03""#, Ok("1e+03")),
            (r#""0.1000000000000000000000000001""#, Ok("0.1000000000000000000000000001")),
            (r#""1e-300""#, Ok("1e-300")),
            (r#""1e400""#, Err(Unconverted::TooLarge)),
            (r#""one""#, Err(Unconverted::NoNumber)),
            (r#""""#, Err(Unconverted::NoNumber)),
            (r#""-""#, Err(Unconverted::NoNumber)),
            (r#""1.2.3""#, Err(Unconverted::NoNumber)),
            (r#""1e""#, Err(Unconverted::NoNumber)),
            ("true", Ok("1")),
            ("false", Ok("0")),
            ("null", Ok("null")),
            ("{}", Err(Unconverted::Kind("an object"))),
            ("[]", Err(Unconverted::Kind("an array"))),
        ],
    );
}

#[test]
fn strings_show_what_was_there() {
    holds(
        CoerceTo::String,
        &[
            (r#""a\u00e9\n""#, Ok(r#""a\u00e9\n""#)),
            (r#""""#, Ok(r#""""#)),
            ("7", Ok(r#""7""#)),
            ("-1.50", Ok(r#""-1.50""#)),
            ("1E+3", Ok(r#""1E+3""#)),
            ("12345678901234567890123", Ok(r#""12345678901234567890123""#)),
            ("true", Ok(r#""true""#)),
            ("false", Ok(r#""false""#)),
            ("null", Ok("null")),
        ],
    );
}

#[test]
fn booleans_are_read_from_words_and_from_0_and_1() {
    let no = Err(Unconverted::NoBoolean);
    holds(
        CoerceTo::Boolean,
        &[
            ("true", Ok("true")),
            ("false", Ok("false")),
            (r#""true""#, Ok("true")),
            (r#""True""#, Ok("true")),
            (r#""TRUE ""#, Ok("true")),
            (r#""t""#, Ok("true")),
            (r#""yes""#, Ok("true")),
            (r#""Y""#, Ok("true")),
            (r#""1""#, Ok("true")),
            (r#""1.0""#, Ok("true")),
            (r#""false""#, Ok("false")),
            (r#""F""#, Ok("false")),
            (r#""no""#, Ok("false")),
            (r#""n""#, Ok("false")),
            (r#""0""#, Ok("false")),
            (r#""0.0""#, Ok("false")),
            ("1", Ok("true")),
            ("0", Ok("false")),
            ("1.0", Ok("true")),
            ("1e0", Ok("true")),
            ("-0.0", Ok("false")),
            ("2", no),
            ("-1", no),
            ("0.5", no),
            ("12345678901234567890123", no),
            (r#""2""#, no),
            (r#""on""#, no),
            (r#""""#, no),
            (r#""truely""#, no),
            ("null", Ok("null")),
            ("{}", Err(Unconverted::Kind("an object"))),
            ("[true]", Err(Unconverted::Kind("an array"))),
        ],
    );
}

/// The plan, or what a reader sees of the findings.
fn checked(written: &str) -> Result<CoercePlan, String> {
    let coerce: Coerce = serde_json::from_str(written).map_err(|error| error.to_string())?;
    let index = Index::default();
    let context = CheckContext::new(&index);
    let plan = coerce.check("steps[0].coerce", &context);
    let findings: Vec<_> = context.into_findings().iter().map(ToString::to_string).collect();
    assert_eq!(plan.is_none(), !findings.is_empty(), "{written}: {findings:?}");
    plan.ok_or_else(|| findings.join("\n"))
}

#[test]
fn what_is_written_wrong_is_refused() {
    for (written, parts) in [
        ("{}", &["steps[0].coerce", "names no pointer", "/count: integer"][..]),
        (r#"{"fields":{}}"#, &["names no pointer"]),
        (r#"{"n":"integer"}"#, &["`n` is not an RFC 6901 pointer", "write `/n`"]),
        (r#"{"feilds":{"/n":"integer"}}"#, &["unknown key `feilds`", "`fields`, or pointers"]),
        (r#"{"/a~2":"integer"}"#, &[r#"steps[0].coerce."/a~2""#, "`~0`"]),
        (r#"{"":"integer"}"#, &["whole record", "/user"]),
        (r#"{"/n":"int"}"#, &["unknown variant `int`", "`integer`", "`boolean`"]),
        (r#"{"/n":null}"#, &["expected value"]),
        (r#"{"otherwise":"keep"}"#, &["names no pointer"]),
        (r#"{"/n":"integer","fields":{"/m":"string"}}"#, &["write them as `fields:"]),
        (r#"{"fields":{"/n":"integer"},"otherwise":"drop"}"#, &["unknown variant `drop`", "`keep`"]),
        (r#"{"fields":{"n":"integer"}}"#, &["write `/n`"]),
        (
            r#"{"/a":"string","/a/b":"integer"}"#,
            &[r#"coerce."/a/b""#, "`/a` and `/a/b`", "one lies in the other", "two steps"],
        ),
        (r#"["/n"]"#, &["a map with pointers as its keys"]),
        (r#""/n""#, &["a map with pointers as its keys"]),
    ] {
        let found = checked(written).err().unwrap_or_else(|| panic!("accepted: {written}"));
        assert!(parts.iter().all(|part| found.contains(part)), "{written}: {parts:?}\n{found}");
    }
}

#[test]
fn containers_become_their_text_with_what_steps_made_of_them() {
    use super::super::fixtures::drafted;
    for (steps, input, output) in [
        (&["coerce: { /v: string }"][..], r#"{"v":{}}"#, r#"{"v":"{}"}"#),
        (
            &["coerce: { /v: string }"],
            r#"{"v":{"a":"x\"y\\","b":[1, 2.0]}}"#,
            r#"{"v":"{\"a\":\"x\\\"y\\\\\",\"b\":[1, 2.0]}"}"#,
        ),
        (&["coerce: { /v: string }"], "{\"v\":[\n\t1]}", r#"{"v":"[\n\t1]"}"#),
        (&["coerce: { /v: string }"], r#"{"v":["é"]}"#, r#"{"v":"[\"é\"]"}"#),
        (
            &["drop: /v/a", "set: { /v/c: 1 }", "coerce: { /v: string }"],
            r#"{"v":{"a":0,"b":2}}"#,
            r#"{"v":"{\"b\":2,\"c\":1}"}"#,
        ),
        (
            &["set: { /v: [1] }", "coerce: { /v: string }", "where: [{ field: /v, equals: \"[1]\" }]"],
            "{}",
            r#"{"v":"[1]"}"#,
        ),
    ] {
        assert_eq!(drafted(steps, input), Ok(output.to_owned()), "{steps:?} {input}");
    }
}

#[test]
fn of_equal_names_none_keeps_another_type() {
    use super::super::fixtures::drafted;
    for (input, output) in [
        (r#"{"v":"1","v":"2","w":0}"#, r#"{"v":1,"w":0}"#),
        (r#"{"v":1,"v":"2","w":0}"#, r#"{"v":1,"w":0}"#),
        (r#"{ "v" : 1 , "w" : 0 }"#, r#"{ "v" : 1 , "w" : 0 }"#),
    ] {
        assert_eq!(drafted(&["coerce: { /v: integer }"], input), Ok(output.to_owned()));
    }
}

#[test]
fn short_and_long_forms() {
    for (written, fields, otherwise) in [
        (r#"{"/n":"integer","/f":"boolean"}"#, "/n Integer, /f Boolean", OnUnconverted::Reject),
        (r#"{"fields":{"/a/b":"string","/a/c":"number"}}"#, "/a/b String, /a/c Number", OnUnconverted::Reject),
        (r#"{"fields":{"/n":"integer"},"otherwise":"keep"}"#, "/n Integer", OnUnconverted::Keep),
        (r#"{"otherwise":null,"fields":{"/n":"integer"}}"#, "/n Integer", OnUnconverted::Null),
        (r#"{"otherwise":"null","fields":{"/n":"integer"}}"#, "/n Integer", OnUnconverted::Null),
        (r#"{"/n":"integer","otherwise":"keep"}"#, "/n Integer", OnUnconverted::Keep),
        (r#"{"/fields":"integer"}"#, "/fields Integer", OnUnconverted::Reject),
        (r#"{"/ab":"integer","/a":"string"}"#, "/ab Integer, /a String", OnUnconverted::Reject),
    ] {
        let plan = checked(written).unwrap_or_else(|found| panic!("{written}: {found}"));
        let shown: Vec<_> = plan.fields.iter().map(|(pointer, to)| format!("{pointer} {to:?}")).collect();
        assert_eq!((shown.join(", ").as_str(), plan.otherwise), (fields, otherwise), "{written}");
        let coerce: Coerce = serde_json::from_str(written).expect(written);
        let again = serde_json::to_string(&coerce).expect("JSON");
        assert_eq!(checked(&again).map(|plan| plan.fields.len()), Ok(plan.fields.len()), "{again}");
    }
}

#[test]
fn nothing_is_allocated_per_value() {
    let mut out = Vec::new();
    for (to, json) in [
        (CoerceTo::Integer, r#""00012345678901234567890123""#),
        (CoerceTo::Integer, "1e300"),
        (CoerceTo::Number, r#"" +1.50e3 ""#),
        (CoerceTo::String, "-1.50"),
        (CoerceTo::Boolean, r#""YES""#),
    ] {
        let bytes = on(json, |doc| {
            allocated_by(|| {
                out.clear();
                assert_eq!(convert(to, doc.value(doc.root()), doc.bytes(doc.root()), &mut out), Ok(()));
            })
        });
        assert_eq!(bytes, 0, "{json}");
    }
}
