//! Two JSON texts, compared as values: the order of members and blanks are free, numbers are compared by their digits.
//! Pure.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::model::Decimal;

/// Most differences told of one pair of texts.
const MOST: usize = 20;
/// Most characters shown of a value.
const SHOWN: usize = 200;

/// Where two JSON texts differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonDifference {
    /// RFC 6901 pointer; empty for the whole.
    pub pointer: String,
    /// What was expected there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

/// All differences, at most [`MOST`], in the order of the expected text.
///
/// # Errors
/// What is wrong with `found`, when it is no JSON.
pub fn differences(expected: &str, found: &str) -> Result<Vec<JsonDifference>, String> {
    let found: &RawValue = serde_json::from_str(found).map_err(|error| error.to_string())?;
    let mut differ = Differ { pointer: String::new(), all: Vec::new() };
    match serde_json::from_str::<&RawValue>(expected) {
        Ok(expected) => differ.values(expected, found),
        Err(_) => differ.note(shown(expected), shown(found.get())),
    }
    Ok(differ.all)
}

/// One level of a JSON text.
pub enum JsonLevel<'t> {
    /// null, true, false, or a string that is no Unicode (half of a surrogate pair).
    Word(&'t str),
    /// A number, as it is spelled.
    Number(&'t str),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<&'t RawValue>),
    /// An object, in order; a name may come twice.
    Members(Vec<(String, &'t RawValue)>),
}

/// Reads one level.
#[must_use]
pub fn level(raw: &RawValue) -> JsonLevel<'_> {
    let text = raw.get();
    let parsed = match text.as_bytes().first() {
        Some(b'{') => serde_json::from_str::<MemberList<'_>>(text).ok().map(|members| JsonLevel::Members(members.0)),
        Some(b'[') => serde_json::from_str(text).ok().map(JsonLevel::List),
        Some(b'"') => serde_json::from_str(text).ok().map(JsonLevel::Text),
        Some(b'-' | b'0'..=b'9') => Some(JsonLevel::Number(text)),
        Some(_) | None => None,
    };
    parsed.unwrap_or(JsonLevel::Word(text))
}

/// Members in order; a name may come twice.
struct MemberList<'t>(Vec<(String, &'t RawValue)>);

impl<'de: 't, 't> Deserialize<'de> for MemberList<'t> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(MembersVisitor).map(MemberList)
    }
}

struct Differ {
    pointer: String,
    all: Vec<JsonDifference>,
}

impl Differ {
    fn values(&mut self, expected: &RawValue, found: &RawValue) {
        if self.all.len() >= MOST {
            return;
        }
        let same = match (level(expected), level(found)) {
            (JsonLevel::Members(expected), JsonLevel::Members(found)) => return self.members(&expected, &found),
            (JsonLevel::List(expected), JsonLevel::List(found)) => return self.elements(&expected, &found),
            (JsonLevel::Number(expected), JsonLevel::Number(found)) => same_number(expected, found),
            (JsonLevel::Text(expected), JsonLevel::Text(found)) => expected == found,
            (JsonLevel::Word(expected), JsonLevel::Word(found)) => expected == found,
            _ => false,
        };
        if !same {
            self.note(shown(expected.get()), shown(found.get()));
        }
    }

    fn members(&mut self, expected: &[(String, &RawValue)], found: &[(String, &RawValue)]) {
        for (name, value) in expected {
            let there: Vec<&RawValue> =
                found.iter().filter(|(other, _)| other == name).map(|(_, value)| *value).collect();
            self.below(&escaped(name), |differ| match there[..] {
                [] => differ.note(shown(value.get()), "nothing".to_owned()),
                [one] => differ.values(value, one),
                [..] => differ.note(shown(value.get()), format!("{} members of that name", there.len())),
            });
        }
        for (name, value) in found.iter().filter(|(name, _)| !expected.iter().any(|(other, _)| other == name)) {
            self.below(&escaped(name), |differ| differ.note("nothing".to_owned(), shown(value.get())));
        }
    }

    fn elements(&mut self, expected: &[&RawValue], found: &[&RawValue]) {
        for index in 0..expected.len().max(found.len()) {
            self.below(&index.to_string(), |differ| match (expected.get(index), found.get(index)) {
                (Some(expected), Some(found)) => differ.values(expected, found),
                (Some(expected), None) => differ.note(shown(expected.get()), "nothing".to_owned()),
                (None, Some(found)) => differ.note("nothing".to_owned(), shown(found.get())),
                (None, None) => {}
            });
        }
    }

    fn below(&mut self, token: &str, look: impl FnOnce(&mut Self)) {
        let length = self.pointer.len();
        self.pointer.push('/');
        self.pointer.push_str(token);
        look(self);
        self.pointer.truncate(length);
    }

    fn note(&mut self, expected: String, found: String) {
        if self.all.len() < MOST {
            self.all.push(JsonDifference { pointer: self.pointer.clone(), expected, found });
        }
    }
}

fn same_number(expected: &str, found: &str) -> bool {
    let order = Decimal::new(expected).and_then(|number| number.order_of(found.as_bytes()));
    order == Some(std::cmp::Ordering::Equal)
}

/// A member's name within a pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn shown(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}… ({} bytes)", &line[..end], text.len()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(expected: &str, found: &str) -> Vec<String> {
        let told = |one: JsonDifference| format!("{}: {} | {}", one.pointer, one.expected, one.found);
        differences(expected, found).expect("JSON").into_iter().map(told).collect()
    }

    #[test]
    fn values_that_are_the_same() {
        for (expected, found) in [
            (r#"{"a":1,"b":[true,null,"x"]}"#, r#" { "b" : [true, null, "\u0078"], "a": 1 } "#),
            ("1.50", "1.5"),
            ("100", "1e2"),
            ("-0", "0"),
            ("12345678901234567890123456789", "12345678901234567890123456789"),
            (r#"{"":{"~/":1}}"#, r#"{"":{"~/":1}}"#),
            (r#""\ud800""#, r#""\ud800""#),
            ("[]", "[ ]"),
        ] {
            assert_eq!(told(expected, found), [""; 0], "{expected} {found}");
        }
    }

    #[test]
    fn each_difference_has_its_pointer() {
        for (expected, found, rows) in [
            (r#"{"id":7}"#, r#"{"id":8}"#, vec!["/id: 7 | 8"]),
            (
                "12345678901234567890123456789",
                "12345678901234567890123456780",
                vec![": 12345678901234567890123456789 | 12345678901234567890123456780"],
            ),
            ("9007199254740993", "9007199254740992", vec![": 9007199254740993 | 9007199254740992"]),
            ("1", "\"1\"", vec![": 1 | \"1\""]),
            ("null", "false", vec![": null | false"]),
            (r#"{"a":{"b/c":[1,2]}}"#, r#"{"a":{"b/c":[1,3,4]}}"#, vec!["/a/b~1c/1: 2 | 3", "/a/b~1c/2: nothing | 4"]),
            (r#"{"a~":1}"#, "{}", vec!["/a~0: 1 | nothing"]),
            ("{}", r#"{"x":{"y":1}}"#, vec![r#"/x: nothing | {"y":1}"#]),
            (r#"{"a":1}"#, r#"{"a":1,"a":1}"#, vec!["/a: 1 | 2 members of that name"]),
            ("[1]", "[]", vec!["/0: 1 | nothing"]),
            (r#"{"a":[]}"#, r#"{"a":{}}"#, vec!["/a: [] | {}"]),
        ] {
            assert_eq!(told(expected, found), rows, "{expected} {found}");
        }
    }

    #[test]
    fn deep_and_wide_values_are_compared_and_told_in_part() {
        let deep = |inner: &str| format!("{}{inner}{}", "[".repeat(1_000), "]".repeat(1_000));
        assert_eq!(told(&deep("1"), &deep("1")), [""; 0]);
        assert_eq!(told(&deep("1"), &deep("2")), [format!("{}: 1 | 2", "/0".repeat(1_000))]);
        let wide = |value: u8| format!("[{}]", vec![value.to_string(); 50].join(","));
        assert_eq!(told(&wide(1), &wide(2)).len(), MOST);
        let long = format!("\"{}\"", "ä".repeat(400));
        assert!(told("1", &long)[0].ends_with("… (802 bytes)"), "{:?}", told("1", &long));
        assert!(differences("1", "{").is_err());
    }
}
