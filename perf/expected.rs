//! What a record must have become: it is made again and compared, by its bytes, else by its JSON value, because not
//! everybody keeps the bytes.

use serde_json::Value;
use sluicegate::internals::testbed::generator::{Generator, GeneratorScratch, LoadShape};

use crate::source;

/// What the values of a target are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// The input's `result`.
    Result,
    /// The same of inputs of this size in bytes.
    ResultOf(usize),
    /// The input, copied.
    Whole,
}

/// The member all of this is about, as the generator writes it.
const NAME: &[u8] = b"\"result\":";

/// Makes records again.
pub struct Expected {
    generator: Generator,
    scratch: GeneratorScratch,
}

impl Expected {
    /// Makes the records such values came from.
    pub fn new(values: Values) -> Self {
        let usual = source::shape();
        let shape = match values {
            Values::Result | Values::Whole => usual,
            Values::ResultOf(value_bytes) => LoadShape { value_bytes, ..usual },
        };
        Self { generator: Generator::new(shape), scratch: GeneratorScratch::default() }
    }

    /// Whether `value` is what record `number` must have become. Numbers count as equal where they are the same double.
    pub fn is(&mut self, number: u64, values: Values, value: &[u8]) -> bool {
        let whole = self.generator.record(number, &mut self.scratch).value.unwrap_or_default();
        match values {
            Values::Whole => whole == value || parsed(whole).is_some_and(|wanted| is_spelled(&wanted, value)),
            Values::Result | Values::ResultOf(_) => {
                result(whole) == Some(value) || parsed(whole).is_some_and(|wanted| is_spelled(&wanted["result"], value))
            }
        }
    }
}

/// The number of the record a value came from: its id, which the generator writes first into `result`.
pub fn number(values: Values, value: &[u8]) -> Option<u64> {
    let object = match values {
        Values::Result | Values::ResultOf(_) => value,
        Values::Whole => value.get(memchr::memmem::find(value, NAME)? + NAME.len()..)?,
    };
    first(object).or_else(|| {
        let value = parsed(value)?;
        let object = match values {
            Values::Result | Values::ResultOf(_) => &value,
            Values::Whole => &value["result"],
        };
        from_id(object["id"].as_str()?)
    })
}

/// The same where `id` is the first member, as it is unless somebody has sorted them.
fn first(object: &[u8]) -> Option<u64> {
    let head = std::str::from_utf8(object.get(..40.min(object.len()))?).ok()?;
    let rest = head.strip_prefix('{')?.trim_start().strip_prefix("\"id\":")?.trim_start().strip_prefix('"')?;
    from_id(rest.split_once('"')?.0)
}

/// The number in an id.
pub fn from_id(id: &str) -> Option<u64> {
    id.strip_prefix("k-")?.parse().ok()
}

/// The bytes of `result`, which is the last member.
fn result(whole: &[u8]) -> Option<&[u8]> {
    whole.get(memchr::memmem::find(whole, NAME)? + NAME.len()..whole.len() - 1)
}

fn parsed(text: &[u8]) -> Option<Value> {
    serde_json::from_slice(text).ok()
}

fn is_spelled(wanted: &Value, text: &[u8]) -> bool {
    parsed(text).is_some_and(|value| is_same(wanted, &value))
}

fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| is_same(a, b)))
        }
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_all_spellings() {
        for (values, value, found) in [
            (Values::Result, r#"{"id":"k-0000000042","user":"u"}"#, Some(42)),
            (Values::Result, r#"{"id": "k-0000000007", "user": "u"}"#, Some(7)),
            (Values::Result, r#"{"amount":1,"id":"k-0000000009"}"#, Some(9)),
            (Values::Result, r#"{"user":"u"}"#, None),
            (Values::Result, r#"{"meta":{},"result":{"id":"k-0000000042"}}"#, None),
            (Values::Result, "", None),
            (Values::Whole, r#"{"meta":{},"result":{"id":"k-0000000042"}}"#, Some(42)),
            (Values::Whole, r#"{"meta":{},"result":{"a":1,"id":"k-0000000042"}}"#, Some(42)),
            (Values::Whole, r#"{"id":"k-0000000042","user":"u"}"#, None),
        ] {
            assert_eq!(number(values, value.as_bytes()), found, "{value}");
        }
    }

    #[test]
    fn other_spellings_are_the_same_and_other_values_are_not() {
        let mut expected = Expected::new(Values::Result);
        let generator = Generator::new(source::shape());
        for number in 0..200 {
            let mut scratch = GeneratorScratch::default();
            let whole = generator.record(number, &mut scratch).value.expect("a value");
            let bytes = result(whole).expect("a result");
            assert!(expected.is(number, Values::Whole, whole) && expected.is(number, Values::Result, bytes));
            assert!(!expected.is(number, Values::Result, whole) && !expected.is(number, Values::Whole, bytes));
            assert!(!expected.is(number + 1, Values::Result, bytes), "another record's value");
            assert!(!expected.is(number, Values::Result, &bytes[1..]), "no JSON");
            let mut value = parsed(bytes).expect("JSON");
            let respelled = serde_json::to_vec_pretty(&value).expect("JSON");
            assert_ne!(respelled, bytes);
            assert!(expected.is(number, Values::Result, &respelled), "{}", String::from_utf8_lossy(&respelled));
            value["ratio"] = 9_223_372_036_854_775_807_u64.into();
            assert!(!expected.is(number, Values::Result, value.to_string().as_bytes()));
        }
    }

    #[test]
    fn records_of_any_size_are_made_again() {
        for value_bytes in [128, 767, 768, 8192] {
            let values = Values::ResultOf(value_bytes);
            let generator = Generator::new(LoadShape { value_bytes, ..source::shape() });
            let mut scratch = GeneratorScratch::default();
            let whole = generator.record(7, &mut scratch).value.expect("a value");
            let text = parsed(whole).expect("JSON")["result"].to_string();
            assert_eq!(number(values, text.as_bytes()), Some(7), "{text}");
            let mut expected = Expected::new(values);
            assert!(expected.is(7, values, text.as_bytes()), "{value_bytes}");
            assert!(!expected.is(8, values, text.as_bytes()), "{value_bytes}");
        }
    }

    #[test]
    fn doubles_are_compared_as_doubles() {
        for (a, b, same) in [
            ("-0", "0", true),
            ("1.10e1", "11", true),
            ("1E-7", "0.0000001", true),
            ("0.30000000000000004", "0.3", false),
            ("12345678901234567890", "12345678901234567168", true),
            ("12345678901234567890", "9223372036854775807", false),
            ("[1,2]", "[1]", false),
            (r#"{"a":1}"#, r#"{"a":1,"b":2}"#, false),
            ("1", "\"1\"", false),
        ] {
            assert_eq!(is_spelled(&parsed(a.as_bytes()).expect("JSON"), b.as_bytes()), same, "{a} {b}");
        }
    }
}
