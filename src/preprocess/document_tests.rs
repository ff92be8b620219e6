//! Ranges against two oracles: the parser's structural positions, and serde_json's `RawValue`.

use std::fmt::Write;

use proptest::prelude::*;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::super::scan;
use super::super::tape::Parser;
use super::*;

fn members(path: &[&str]) -> Vec<String> {
    path.iter().map(|member| (*member).to_owned()).collect()
}

fn found(text: &str, path: &[&str]) -> Option<String> {
    let bytes = |doc: Document<'_>| {
        doc.find(doc.root(), &members(path)).map(|cursor| String::from_utf8_lossy(doc.bytes(cursor)).into_owned())
    };
    Parser::default().read(text.as_bytes(), bytes).expect("valid")
}

#[test]
fn finds_values_where_they_stand() {
    let pretty = "\n{ \"a\" :\n { \"b\" : [ 1 , {\"c\" : 2.50 } ] \n } , \"z\":0 }\n";
    for (text, path, bytes) in [
        (r#"{"result":{"id":7}}"#, &["result"][..], Some(r#"{"id":7}"#)),
        (r#" {"meta":{"result":1},"result":{"id":7} , "x":1} "#, &["result"], Some(r#"{"id":7}"#)),
        (r#"{"valu\u0065":{"result":{}}}"#, &["value", "result"], Some("{}")),
        (r#"{"a":1,"a":2}"#, &["a"], Some("1")),
        (r#"{"a":{"b":1},"a":{"b":2}}"#, &["a", "b"], Some("1")),
        (r#"{"a":{"x":1},"a":{"b":2}}"#, &["a", "b"], None),
        (r#"{"a\\\"":[{}],"b":1}"#, &["a\\\""], Some("[{}]")),
        (r#"{"":{"":1}}"#, &["", ""], Some("1")),
        (r#"{"\"":{"\"\"":"\"","b":"\\"}}"#, &["\"", "\"\""], Some(r#""\"""#)),
        (r#"{"\"":{"\"\"":"\"","b":"\\"}}"#, &["\"", "b"], Some(r#""\\""#)),
        (r#"{"a":["x",{"b":[true]}],"c":1}"#, &["a", "1"], Some(r#"{"b":[true]}"#)),
        (r#"{"a":["x",{"b":[true]}],"c":1}"#, &["a", "1", "b"], Some("[true]")),
        (r#"{"a":["x",{"b":[true]}],"c":1}"#, &["a", "0"], Some(r#""x""#)),
        (r#"{"a":["x"]}"#, &["a", "1"], None),
        (r#"{"a":["x"]}"#, &["a", "00"], None),
        (r#"{"a":["x"]}"#, &["a", "-"], None),
        (r#"{"a":["x"]}"#, &["a", "+0"], None),
        (r#"{"a":["x"]}"#, &["a", ""], None),
        (r#"{"0":1}"#, &["0"], Some("1")),
        (r#"{"a":"b"}"#, &["a", "b"], None),
        (r#"{"n":12345678901234567890123456,"m":-0}"#, &["n"], Some("12345678901234567890123456")),
        (r#"{"n":1.10e1 }"#, &["n"], Some("1.10e1")),
        (pretty, &["a"], Some("{ \"b\" : [ 1 , {\"c\" : 2.50 } ] \n }")),
        (pretty, &["a", "b", "1", "c"], Some("2.50")),
        (pretty, &[], Some(pretty.trim())),
        ("[[1,[2]],3]", &["0", "1"], Some("[2]")),
    ] {
        assert_eq!(found(text, path).as_deref(), bytes, "{path:?} in {text}");
    }
}

#[test]
fn tells_types_apart() {
    let text = r#"{"n":null,"b":true,"i":-1,"u":18446744073709551615,"f":1e2,"s":"\u0041","o":{},"p":{"x":1},"a":[]}"#;
    let mut parser = Parser::default();
    let values = parser.read(text.as_bytes(), |doc| {
        ["n", "b", "i", "u", "f", "s", "o", "p", "a"]
            .map(|name| doc.find(doc.root(), &members(&[name])).map(|cursor| format!("{:?}", doc.value(cursor))))
    });
    let expected = [
        format!("{:?}", Value::Null),
        format!("{:?}", Value::Bool(true)),
        format!("{:?}", Value::Negative(-1)),
        format!("{:?}", Value::Unsigned(u64::MAX)),
        format!("{:?}", Value::Float(100.0)),
        format!("{:?}", Value::String("A")),
        format!("{:?}", Value::Object { empty: true }),
        format!("{:?}", Value::Object { empty: false }),
        format!("{:?}", Value::Array),
    ];
    assert_eq!(values.expect("valid"), expected.map(Some));
}

/// A random document with what makes ranges hard: escapes, blanks, brackets and quotes in strings, decoy and equal
/// keys.
fn document(random: &mut fastrand::Rng) -> String {
    let mut out = String::new();
    blanks(random, &mut out);
    value(random, &mut out, 5);
    blanks(random, &mut out);
    out
}

fn blanks(random: &mut fastrand::Rng, out: &mut String) {
    while random.u8(0..4) == 0 {
        out.push(*random.choice(&[' ', '\n', '\t', '\r']).expect("some"));
    }
}

fn string(random: &mut fastrand::Rng, out: &mut String) {
    const PARTS: [&str; 16] = [
        "a",
        "b",
        "result",
        "value",
        r#"\""#,
        r"\\",
        r"\u0061",
        r"\ud83d\ude00",
        "é",
        "}",
        "{",
        "]",
        ",",
        ":",
        r"\n",
        "0123456789012345678901234567890123456789",
    ];
    out.push('"');
    for _ in 0..random.u8(0..4) {
        out.push_str(PARTS[random.usize(0..PARTS.len())]);
    }
    out.push('"');
}

fn value(random: &mut fastrand::Rng, out: &mut String, depth: u8) {
    const ATOMS: [&str; 9] = ["null", "true", "false", "0", "-0", "1.10e1", "-12.5", "99999999999999999999999", "7"];
    match random.u8(0..if depth == 0 { 2 } else { 6 }) {
        0 => out.push_str(ATOMS[random.usize(0..ATOMS.len())]),
        1 => string(random, out),
        2 | 3 => list(random, out, ['[', ']'], |random, out| value(random, out, depth - 1)),
        _ => list(random, out, ['{', '}'], |random, out| {
            string(random, out);
            blanks(random, out);
            out.push(':');
            blanks(random, out);
            value(random, out, depth - 1);
        }),
    }
}

fn list(
    random: &mut fastrand::Rng,
    out: &mut String,
    [open, close]: [char; 2],
    item: impl Fn(&mut fastrand::Rng, &mut String),
) {
    out.push(open);
    blanks(random, out);
    for index in 0..random.u8(0..5) {
        if index > 0 {
            out.push(',');
            blanks(random, out);
        }
        item(random, out);
        blanks(random, out);
    }
    out.push(close);
}

/// An object's members in order, values raw.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// Every pointer of a document with its raw text, by serde_json; of equal keys the first.
fn raw_values(text: &str, path: &mut Vec<String>, out: &mut Vec<(Vec<String>, String)>) {
    let text = text.trim_matches([' ', '\n', '\r', '\t']);
    out.push((path.clone(), text.to_owned()));
    let children: Vec<(String, &RawValue)> = match text.as_bytes()[0] {
        b'{' => serde_json::from_str::<Members<'_>>(text).expect("object").0,
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(text).expect("array");
            items.into_iter().enumerate().map(|(index, item)| (index.to_string(), item)).collect()
        }
        _ => Vec::new(),
    };
    let mut seen: Vec<&str> = Vec::new();
    for (name, raw) in &children {
        if !seen.contains(&name.as_str()) {
            seen.push(name);
            path.push(name.clone());
            raw_values(raw.get(), path, out);
            path.pop();
        }
    }
}

/// Algorithm A: the end of the value that starts at token `at`, and the token behind it, by structural positions alone.
fn end_by_structure(text: &[u8], tokens: &[u32], mut at: usize) -> (usize, usize) {
    let mut depth = 0;
    loop {
        let position = tokens[at] as usize;
        at += 1;
        match text[position] {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            let end = match text[position] {
                b'}' | b']' => position + 1,
                b'"' => scan::string_end(text, position + 1),
                _ => scan::trim_blanks(text, tokens.get(at).map_or(text.len(), |next| *next as usize)),
            };
            return (end, at);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn ranges_equal_both_oracles(seed in any::<u64>()) {
        let text = document(&mut fastrand::Rng::with_seed(seed));
        let mut expected = Vec::new();
        raw_values(&text, &mut Vec::new(), &mut expected);
        let mut parser = Parser::default();
        let ranges = parser.read(text.as_bytes(), |doc| {
            expected.iter().map(|(path, _)| {
                let (head, tail) = path.split_at(path.len() / 2);
                let whole = doc.find(doc.root(), path)?;
                let halves = doc.find(doc.find(doc.root(), head)?, tail)?;
                let mut beyond = path.clone();
                beyond.push("absent!".to_owned());
                assert!(doc.find(doc.root(), &beyond).is_none(), "{beyond:?} in {text}");
                assert_eq!(doc.range(whole), doc.range(halves), "{path:?} in {text}");
                if let Value::String(unescaped) = doc.value(whole) {
                    let oracle: String = serde_json::from_slice(doc.bytes(whole)).expect("string");
                    assert_eq!(unescaped, oracle);
                }
                Some(doc.range(whole))
            }).collect::<Vec<_>>()
        }).map_err(|fault| TestCaseError::fail(fault.detail))?;
        let tokens = parser.structural_indexes();
        for ((path, raw), range) in expected.iter().zip(ranges) {
            let mut context = String::new();
            write!(context, "{path:?} in {text}").expect("a string");
            let range = range.ok_or_else(|| TestCaseError::fail(context.clone()))?;
            prop_assert_eq!(&text[range.clone()], raw, "{}", context);
            let token = tokens.binary_search(&(range.start as u32));
            prop_assert!(token.is_ok(), "{} starts on no token", context);
            let (end, _) = end_by_structure(text.as_bytes(), tokens, token.unwrap_or(0));
            prop_assert_eq!(end, range.end, "{}", context);
        }
    }

    #[test]
    fn any_bytes_are_judged_without_panic(bytes in prop::collection::vec(prop_oneof![
        Just(b'{'), Just(b'}'), Just(b'['), Just(b']'), Just(b'"'), Just(b'\\'), Just(b','), Just(b':'), Just(b'1'),
        Just(b'e'), Just(b'-'), Just(b' '), Just(b'u'), Just(0xff), any::<u8>()
    ], 0..200)) {
        let judged = Parser::default().read(&bytes, |doc| doc.range(doc.root()));
        if let Ok(range) = judged {
            prop_assert!(serde_json::from_slice::<&RawValue>(&bytes).is_ok(), "accepted what is no JSON");
            prop_assert!(range.end <= bytes.len() && range.start < range.end);
        }
    }

    #[test]
    fn a_damaged_document_never_breaks_the_parser(seed in any::<u64>(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = document(&mut fastrand::Rng::with_seed(seed)).into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let mut parser = Parser::default();
        for bytes in [&bytes[..], &bytes[..at]] {
            let accepted = parser.read(bytes, |doc| doc.find(doc.root(), &members(&["a"])).map(|c| doc.range(c))).is_ok();
            if accepted {
                prop_assert!(serde_json::from_slice::<&RawValue>(bytes).is_ok(), "accepted what is no JSON");
            }
        }
    }
}
