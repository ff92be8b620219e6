//! Truth tables of the comparisons, what is refused, and the forms.

use super::super::super::test_plans::pointer;
use super::super::StepKind;
use super::super::fixtures::{allocated_by, on, planned, refuses, reject_of};
use super::*;
use crate::leaf::finding::Severity;
use crate::leaf::tree::Index;
use crate::model::RejectReason;

static EMPTY: std::sync::LazyLock<Index> = std::sync::LazyLock::new(Index::default);

#[test]
fn conditions_hold_as_the_contract_says() {
    let text = r#"{"s":"debug","i":7,"n":-3,"f":7.0,"h":7.5,"big":9007199254740993,"max":18446744073709551615,"wide":9007199254740992.0,"tenth":0.1,
        "ns":1763556497161513792,"far":18446744073709551617,"deep":-170141183460469231731687303715884105729,
        "t":true,"z":null,"o":{},"a":[1]}"#;
    let one_of = |scalars: &[Constant]| Test::In(scalars.to_vec());
    let string = |text: &str| Constant::String(text.to_owned());
    let number = |text: &str| Constant::Number(Decimal::new(text).expect("a number"));
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
        ("/t", one_of(&[Constant::Bool(true)]), true),
        ("/t", one_of(&[number("1")]), false),
        ("/z", one_of(&[Constant::Bool(false)]), false),
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
        let run = |otherwise| {
            let conditions = vec![ConditionPlan { pointer: pointer(path), test: test.clone() }];
            on(text, |doc| WherePlan { conditions, otherwise }.run(&doc, doc.root(), &"here".into()))
        };
        assert_eq!(run(Otherwise::Drop).is_ok(), expected, "{path} {test:?}");
        if !expected {
            assert_eq!(reject_of(run(Otherwise::Reject).expect_err(path)).0, RejectReason::Condition);
        }
    }
}

#[test]
fn what_is_written_wrong_is_refused_with_its_place() {
    let rows = [
        ("{where: []}", "", "no condition"),
        ("{where: [{field: /a}]}", "[0]", "with nothing"),
        ("{where: [{field: a, exists: true}]}", "[0].field", "write `/a`"),
        ("{where: [{field: /a, eq: 1}]}", "[0].eq", "known here"),
        ("{where: [{field: /a, at_least: ten}]}", "[0].at_least", "a number"),
        ("{where: [{field: /a, equals: [1]}]}", "[0].equals", "a number or a string"),
        ("{where: [{field: /a, in: []}]}", "[0].in", "empty"),
        ("{where: {all: [{field: /a, exists: true}], else: drop}}", ".else", "unknown key"),
        ("{where: [{equals: 1}]}", "[0]", "`field` is missing"),
        ("{where: [{}]}", "[0]", "compares nothing"),
        ("{where: [{any: []}]}", "[0].any", "no condition"),
        ("{where: [{all: []}]}", "[0].all", "no condition"),
        ("{where: [{any: [{field: /a}]}]}", "[0].any[0]", "with nothing"),
        ("{where: [{any: {field: /a, equals: 1}}]}", "[0].any", "a list"),
        ("{where: [{not: [{field: /a, equals: 1}]}]}", "[0].not", "a map"),
        ("{where: [{not: {field: a, equals: 1}}]}", "[0].not.field", "write `/a`"),
        ("{where: [{not: {not: {field: /a, matches: \"(\"}}}]}", "[0].not.not.matches", "unclosed group"),
        ("{where: [{field: /a, any: [{field: /a, equals: 1}]}]}", "[0]", "`- any: …`"),
        ("{where: [{equals: 1, not: {field: /a, equals: 1}}]}", "[0]", "`- not: …`"),
        ("{where: [{any: [{field: /a, equals: 1}], not: {field: /a, equals: 1}}]}", "[0]", "of its own"),
        ("{where: [{none: [{field: /a, equals: 1}]}]}", "[0].none", "`not`"),
        ("{where: [{field: /a, matches: \"a(b\"}]}", "[0].matches", "unclosed group at character 2"),
        ("{where: [{field: /a, matches: \"é[z-a]\"}]}", "[0].matches", "at character 3"),
        ("{where: [{field: /a, matches: \"a\\nb)\"}]}", "[0].matches", "at line 2, character 2"),
        ("{where: [{field: /a, matches: \"^(?!b)\"}]}", "[0].matches", "`- not: { field: …, matches: … }`"),
        ("{where: [{field: /a, matches: \"(a)\\\\1\"}]}", "[0].matches", "linear time"),
        ("{where: [{field: /a, matches: \"\\\\p{Nonsense}\"}]}", "[0].matches", "property not found at character 1"),
        ("{where: [{field: /a, matches: \"(a{999}){999}\"}]}", "[0].matches", "too large"),
        ("{where: [{field: /a, matches: \"a${2,3}\"}]}", "[0].matches", "`$${`"),
        ("{where: [{field: /a, matches: \"${NAME:-(}\"}]}", "[0].matches", "a `$` of the expression is written `$$`"),
        ("{where: [{field: /a, matches: [a]}]}", "[0].matches", "a string"),
        ("{where: [{field: /a, type: text}]}", "[0].type", "`string`"),
        ("{where: [{field: /a, type: integr}]}", "[0].type", "did you mean `integer`?"),
        ("{where: [{field: /a, type: [string, int]}]}", "[0].type[1]", "`integer`"),
        ("{where: [{field: /a, type: []}]}", "[0].type", "empty"),
        ("{where: [{field: /a, type: 1}]}", "[0].type", "a list of types"),
        ("{where: [{field: /a, length: -1}]}", "[0].length", "0 or more"),
        ("{where: [{field: /a, length: 1.5}]}", "[0].length", "whole number"),
        ("{where: [{field: /a, length: \"5\"}]}", "[0].length", "whole number"),
        ("{where: [{field: /a, length: {}}]}", "[0].length", "with nothing"),
        ("{where: [{field: /a, length: {min: 1}}]}", "[0].length.min", "unknown key"),
        ("{where: [{field: /a, length: {at_least: -1}}]}", "[0].length.at_least", "0 or more"),
        ("{where: [{field: /a, length: {at_least: 3, less_than: 3}}]}", "[0].length", "no length"),
        ("{where: [{field: /a, length: {less_than: 0}}]}", "[0].length", "no length"),
    ];
    refuses("where", &rows);
}

#[test]
fn short_and_long_forms() {
    let shown = |step: &str| format!("{:?}", planned(&format!("{{ where: {step} }}")));
    let short = shown("[{ field: /n, at_least: 1, less_than: 5.5 }, { field: /s, not_in: [a, 1, true, \"2\"] }]");
    for part in [
        "Number(AtLeast, Decimal { text: \"1\"",
        "Number(Less, Decimal { text: \"5.5\"",
        "NotIn([String(\"a\"), Number(Decimal { text: \"1\", whole: Some(1) }), Bool(true), String(\"2\")])",
        "otherwise: Drop",
    ] {
        assert!(short.contains(part), "{part}: {short}");
    }
    let long = shown("{ all: [{ field: /t, exists: false }], otherwise: reject }");
    assert!(long.contains("Exists(false)") && long.contains("otherwise: Reject"), "{long}");
}

/// Whether a record passes the conditions as people write them.
fn passes(conditions: &str, record: &str) -> bool {
    let StepKind::Where(plan) = planned(&format!("{{ where: {conditions} }}")) else { panic!("{conditions}") };
    on(record, |doc| plan.run(&doc, doc.root(), &"here".into())).is_ok()
}

#[test]
fn patterns_types_and_lengths() {
    let record = r#"{"s":"web-07","e":"a\u00e9\n\ud83d\ude00","empty":"","i":7,"neg":-7,"whole":7.0,"power":12e-1,"far":1e300,
        "long":12345678901234567890123,"half":7.5,"t":true,"z":null,"o":{"a":1,"b":{"c":2},"a":3},"none":{},"l":[1,[2,3],{}],
        "nil":[],"dollar":"a$b","lines":"x\ny"}"#;
    for (condition, expected) in [
        ("field: /s, matches: web", true),
        ("field: /s, matches: '^web-[0-9]+$$'", true),
        ("field: /s, matches: '^web-[0-9]+$'", true),
        ("field: /s, matches: '^eb'", false),
        ("field: /s, matches: '^WEB'", false),
        ("field: /s, matches: '(?i)^WEB'", true),
        ("field: /s, matches: ''", true),
        ("field: /s, matches: '${FROM:-^w}'", true),
        ("field: /dollar, matches: '^a\\$$b$$'", true),
        ("field: /e, matches: '^a\\p{L}\\n.$$'", true),
        ("field: /lines, matches: '^y'", false),
        ("field: /lines, matches: '(?m)^y$$'", true),
        ("field: /i, matches: '7'", false),
        ("field: /z, matches: ''", false),
        ("field: /missing, matches: ''", false),
        ("field: /z, type: null", true),
        ("field: /z, type: \"null\"", true),
        ("field: /z, type: ~", true),
        ("field: /missing, type: null", false),
        ("field: /z, type: [string, null]", true),
        ("field: /s, type: [null, string]", true),
        ("field: /i, type: [null, string]", false),
        ("field: /t, type: boolean", true),
        ("field: /i, type: boolean", false),
        ("field: /i, type: number", true),
        ("field: /half, type: number", true),
        ("field: /s, type: number", false),
        ("field: /i, type: integer", true),
        ("field: /neg, type: integer", true),
        ("field: /whole, type: integer", true),
        ("field: /long, type: integer", true),
        ("field: /far, type: integer", true),
        ("field: /half, type: integer", false),
        ("field: /power, type: integer", false),
        ("field: /s, type: string", true),
        ("field: /empty, type: string", true),
        ("field: /o, type: object", true),
        ("field: /none, type: object", true),
        ("field: /l, type: object", false),
        ("field: /l, type: array", true),
        ("field: /nil, type: [array]", true),
        ("field: \"\", type: object", true),
        ("field: /s, length: 6", true),
        ("field: /s, length: 7", false),
        ("field: /e, length: 4", true),
        ("field: /empty, length: 0", true),
        ("field: /empty, length: { at_least: 1 }", false),
        ("field: /s, length: { at_least: 6, at_most: 6 }", true),
        ("field: /s, length: { greater_than: 6 }", false),
        ("field: /s, length: { greater_than: 5, less_than: 7 }", true),
        ("field: /s, length: { less_than: 6 }", false),
        ("field: /s, length: { at_least: 0 }", true),
        ("field: /l, length: 3", true),
        ("field: /l/1, length: 2", true),
        ("field: /nil, length: 0", true),
        ("field: /o, length: 3", true),
        ("field: /o/b, length: 1", true),
        ("field: /none, length: { at_most: 0 }", true),
        ("field: /i, length: 1", false),
        ("field: /i, length: { at_least: 0 }", false),
        ("field: /z, length: 0", false),
        ("field: /t, length: { at_most: 9 }", false),
        ("field: /missing, length: 0", false),
        ("field: /s, length: 6, matches: w, type: string, prefix: we", true),
        ("field: /s, length: 6, matches: x, type: string, prefix: we", false),
    ] {
        assert_eq!(passes(&format!("[{{ {condition} }}]"), record), expected, "{condition}");
        assert_eq!(passes(&format!("[{{ not: {{ {condition} }} }}]"), record), !expected, "not {condition}");
    }
}

#[test]
fn conditions_nest_as_in_logic() {
    let record = r#"{"a":1,"b":2,"in":{"a":5},"l":[{"a":7}]}"#;
    let (yes, no) = ("{ field: /a, equals: 1 }", "{ field: /a, equals: 2 }");
    let missing = "{ field: /x, equals: 1 }";
    for (conditions, expected) in [
        (format!("[{{ any: [{yes}, {no}] }}]"), true),
        (format!("[{{ any: [{no}, {yes}] }}]"), true),
        (format!("[{{ any: [{no}, {missing}] }}]"), false),
        (format!("[{{ any: [{yes}] }}]"), true),
        (format!("[{{ any: [{no}] }}]"), false),
        (format!("[{{ all: [{yes}, {yes}] }}]"), true),
        (format!("[{{ all: [{yes}, {no}] }}]"), false),
        (format!("[{{ not: {yes} }}]"), false),
        (format!("[{{ not: {no} }}]"), true),
        (format!("[{{ not: {missing} }}]"), true),
        (format!("[{{ not: {{ not: {missing} }} }}]"), false),
        (format!("[{{ not: {{ any: [{no}, {missing}] }} }}]"), true),
        (format!("[{{ not: {{ any: [{no}, {yes}] }} }}]"), false),
        (format!("[{{ not: {{ all: [{yes}, {no}] }} }}]"), true),
        (format!("[{{ not: {{ all: [{yes}, {yes}] }} }}]"), false),
        (format!("[{{ any: [{{ all: [{yes}, {no}] }}, {{ all: [{yes}, {{ field: /b, equals: 2 }}] }}] }}]"), true),
        (format!("[{{ any: [{{ all: [{yes}, {no}] }}, {{ not: {yes} }}] }}]"), false),
        (format!("[{{ all: [{{ any: [{yes}, {no}] }}, {{ any: [{no}, {yes}] }}] }}]"), true),
        (format!("[{yes}, {{ any: [{no}, {no}] }}]"), false),
        (format!("[{{ any: [{no}, {yes}] }}, {no}]"), false),
        (
            "[{ any: [{ field: /b, at_least: 1, at_most: 1 }, { field: /b, at_least: 2, at_most: 2 }] }]".to_owned(),
            true,
        ),
        ("[{ not: { field: /b, at_least: 1, at_most: 1 } }]".to_owned(), true),
        ("[{ not: { field: /b, at_least: 1, at_most: 2 } }]".to_owned(), false),
        ("[{ any: [{ field: /in/a, equals: 5 }, { field: /l/0/a, equals: 8 }] }]".to_owned(), true),
        ("[{ any: [{ field: /in/a, equals: 6 }, { field: /l/0/a, equals: 7 }] }]".to_owned(), true),
        ("{ all: [{ all: [{ all: [{ field: /in/a, equals: 5 }] }] }], otherwise: reject }".to_owned(), true),
    ] {
        assert_eq!(passes(&conditions, record), expected, "{conditions}");
    }
}

#[test]
fn only_any_and_not_make_groups() {
    let tests = |conditions: &str| {
        let StepKind::Where(plan) = planned(&format!("{{ where: {conditions} }}")) else { panic!("{conditions}") };
        plan.conditions.iter().map(|condition| matches!(condition.test, Test::Group(..))).collect::<Vec<_>>()
    };
    let one = "{ field: /a, equals: 1 }";
    assert_eq!(tests(&format!("[{one}, {{ all: [{one}, {{ all: [{one}] }}] }}]")), [false; 3]);
    assert_eq!(tests(&format!("[{one}, {{ any: [{one}, {one}] }}, {{ not: {one} }}]")), [false, true, true]);
}

#[test]
fn rejects_name_what_did_not_hold() {
    for (conditions, detail) in [
        ("{ field: /a, matches: x }", "the condition on /a does not hold"),
        (
            "{ any: [{ field: /a, equals: 1 }, { field: /b, equals: 1, type: number }, { not: { field: /c, exists: false } }] }",
            "none of the conditions of `any` holds (on /a, /b, /c)",
        ),
        ("{ not: { field: /x/y, exists: false } }", "the condition under `not` holds (on /x/y)"),
    ] {
        let step = format!("{{ where: {{ all: [{conditions}], otherwise: reject }} }}");
        let StepKind::Where(plan) = planned(&step) else { panic!("{step}") };
        let ending = on("{}", |doc| plan.run(&doc, doc.root(), &"here".into())).expect_err(conditions);
        assert_eq!(reject_of(ending), (RejectReason::Condition, detail.to_owned()));
    }
}

#[test]
fn a_pattern_that_never_matches_is_warned_of() {
    let findings = |pattern: &str| {
        let context = CheckContext::new(&EMPTY);
        let compiled = pattern::check(pattern, "where[0].matches", &context);
        assert!(compiled.is_some(), "{pattern}");
        context.into_findings()
    };
    for (pattern, stranded) in [
        ("costs $100", true),
        ("(a$b|c$d)", true),
        ("(a$b|c)", false),
        ("(a$b)*", false),
        ("(a$b)+", true),
        (r"costs \$100", false),
        ("a$", false),
        ("a$(b?)", false),
        ("(?m)a$\nb", false),
        ("[$]a", false),
    ] {
        let found = findings(pattern);
        assert_eq!(found.len(), usize::from(stranded), "{pattern}: {found:?}");
        assert!(found.iter().all(|finding| finding.severity == Severity::Warning), "{found:?}");
    }
}

#[test]
fn nesting_has_a_bound() {
    let nested =
        |depth: usize| format!("{{where: [{}{{field: /a, equals: 1}}{}]}}", "{not: ".repeat(depth), "}".repeat(depth));
    let StepKind::Where(plan) = planned(&nested(16)) else { panic!("16 levels") };
    assert!(on(r#"{"a":1}"#, |doc| plan.run(&doc, doc.root(), &"here".into())).is_ok());
    let (step, path) = (nested(17), format!("[0]{}", ".not".repeat(16)));
    refuses("where", &[(&step, &path, "deeper than 16")]);
}

#[test]
fn what_is_shown_reads_as_what_was_written() {
    for (written, shown) in [
        (r#"{"field":"/a","type":null}"#, r#"{"field":"/a","type":["null"]}"#),
        (r#"{"field":"/a","type":["integer",null]}"#, r#"{"field":"/a","type":["integer","null"]}"#),
        (r#"{"field":"/a","length":3}"#, r#"{"field":"/a","length":3}"#),
        (r#"{"not":{"field":"/a","length":{"at_most":3}}}"#, r#"{"not":{"field":"/a","length":{"at_most":3}}}"#),
        (r#"{"any":[{"field":"/a","matches":"x"}]}"#, r#"{"any":[{"field":"/a","matches":"x"}]}"#),
    ] {
        let condition: Condition = serde_json::from_str(written).expect(written);
        let text = serde_json::to_string(&condition).expect("JSON");
        assert_eq!(text, shown);
        let again: Condition = serde_json::from_str(&text).expect(&text);
        assert_eq!(serde_json::to_string(&again).expect("JSON"), shown);
    }
}

#[test]
fn nothing_is_allocated_per_record() {
    let conditions = "[{ field: /s, matches: '^w.*[0-9]+$$', length: 6, type: [null, string] }, \
        { any: [{ field: /x, equals: 1 }, { not: { field: /f, type: integer } }] }]";
    let StepKind::Where(plan) = planned(&format!("{{ where: {conditions} }}")) else { panic!("a filter") };
    let place = "here".into();
    let bytes =
        on(r#"{"s":"web-07","f":7.5}"#, |doc| allocated_by(|| assert!(plan.run(&doc, doc.root(), &place).is_ok())));
    assert_eq!(bytes, 0);
}
