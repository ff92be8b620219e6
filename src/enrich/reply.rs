//! Replies of Redis → JSON text. Pure.

use redis::Value;

use super::fault::LookupFault;

/// Most JSON text one key may become.
pub(super) const FOUND_BYTES: usize = 1024 * 1024;

/// What Redis said of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum KeyAnswer {
    /// JSON text.
    Found(Vec<u8>),
    /// No such key, or none of the wanted fields.
    Missing,
    /// There, but it cannot become JSON text; why, without the value.
    Unusable(&'static str),
}

const NOT_UTF8: &str = "a field name or value is not UTF-8";
const TOO_LARGE: &str = "it is larger than 1 MiB";

impl KeyAnswer {
    /// A key whose answer is larger than a whole round trip may bring.
    pub(super) fn too_large() -> Self {
        Self::Unusable(TOO_LARGE)
    }
}

/// The reply to `HMGET key fields…` as an object of the fields that are there, in the order asked for.
///
/// # Errors
/// [`LookupFault::Odd`] when the reply does not have one value a field.
pub(super) fn of_fields(fields: &[String], reply: Value) -> Result<KeyAnswer, LookupFault> {
    let Value::Array(values) = reply else { return Err(unexpected("HMGET")) };
    if values.len() != fields.len() {
        return Err(unexpected("HMGET"));
    }
    let mut object = ReplyObject::default();
    for (field, value) in fields.iter().zip(&values) {
        if let Value::BulkString(value) = value {
            object.member(field.as_bytes(), value);
        } else if *value != Value::Nil {
            return Err(unexpected("HMGET"));
        }
    }
    Ok(object.close())
}

/// The reply to `HGETALL key` as an object of all fields, in the server's order.
///
/// # Errors
/// [`LookupFault::Odd`] when the reply is not a list of names and values.
pub(super) fn of_hash(reply: Value) -> Result<KeyAnswer, LookupFault> {
    let mut object = ReplyObject::default();
    for (field, value) in pairs(reply)? {
        object.member(&field, &value);
    }
    Ok(object.close())
}

/// The names and values of a reply to `HGETALL`.
///
/// # Errors
/// [`LookupFault::Odd`] when the reply is not a list of names and values.
pub(super) fn pairs(reply: Value) -> Result<impl Iterator<Item = (Vec<u8>, Vec<u8>)>, LookupFault> {
    let Value::Array(values) = reply else { return Err(unexpected("HGETALL")) };
    let mut strings = Vec::with_capacity(values.len());
    for value in values {
        let Value::BulkString(string) = value else { return Err(unexpected("HGETALL")) };
        strings.push(string);
    }
    if strings.len() % 2 != 0 {
        return Err(unexpected("HGETALL"));
    }
    let mut strings = strings.into_iter();
    Ok(std::iter::from_fn(move || Some((strings.next()?, strings.next()?))))
}

/// Appends `value` as a JSON string.
///
/// # Errors
/// Why it cannot be one; nothing is appended then.
pub(super) fn push_string(text: &mut Vec<u8>, value: &[u8]) -> Result<(), &'static str> {
    if value.len() > FOUND_BYTES {
        return Err(TOO_LARGE);
    }
    let value = std::str::from_utf8(value).map_err(|_| NOT_UTF8)?;
    let before = text.len();
    if serde_json::to_writer(&mut *text, value).is_err() || text.len() - before > FOUND_BYTES {
        text.truncate(before);
        return Err(TOO_LARGE);
    }
    Ok(())
}

#[derive(Default)]
struct ReplyObject {
    text: Vec<u8>,
    unusable: Option<&'static str>,
}

impl ReplyObject {
    fn member(&mut self, name: &[u8], value: &[u8]) {
        if self.unusable.is_none()
            && let Err(why) = self.push(name, value)
        {
            self.unusable = Some(why);
        }
    }

    fn push(&mut self, name: &[u8], value: &[u8]) -> Result<(), &'static str> {
        self.text.push(if self.text.is_empty() { b'{' } else { b',' });
        push_string(&mut self.text, name)?;
        self.text.push(b':');
        push_string(&mut self.text, value)?;
        if self.text.len() >= FOUND_BYTES { Err(TOO_LARGE) } else { Ok(()) }
    }

    fn close(mut self) -> KeyAnswer {
        if let Some(why) = self.unusable {
            return KeyAnswer::Unusable(why);
        }
        if self.text.is_empty() {
            return KeyAnswer::Missing;
        }
        self.text.push(b'}');
        KeyAnswer::Found(self.text)
    }
}

fn unexpected(command: &str) -> LookupFault {
    LookupFault::Odd(format!("a reply that {command} does not give; is this a Redis server?"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bulk(text: &[u8]) -> Value {
        Value::BulkString(text.to_vec())
    }

    fn names(fields: &[&str]) -> Vec<String> {
        fields.iter().map(|field| (*field).to_owned()).collect()
    }

    fn json(text: &str) -> KeyAnswer {
        KeyAnswer::Found(text.as_bytes().to_vec())
    }

    #[test]
    fn wanted_fields_become_an_object_without_the_missing_ones() {
        let fields = names(&["name", "tier", "city"]);
        let cases = [
            (vec![bulk(b"Ann"), Value::Nil, bulk(b"")], json(r#"{"name":"Ann","city":""}"#)),
            (vec![Value::Nil, bulk(b"1"), Value::Nil], json(r#"{"tier":"1"}"#)),
            (vec![Value::Nil, Value::Nil, Value::Nil], KeyAnswer::Missing),
            (vec![bulk(b"a\"\\\n\x01"), Value::Nil, Value::Nil], json("{\"name\":\"a\\\"\\\\\\n\\u0001\"}")),
            (vec![bulk("ä€😀\u{2028}".as_bytes()), Value::Nil, Value::Nil], json("{\"name\":\"ä€😀\u{2028}\"}")),
            (vec![bulk(b"ok"), bulk(b"\xff"), Value::Nil], KeyAnswer::Unusable(NOT_UTF8)),
        ];
        for (values, expected) in cases {
            assert_eq!(of_fields(&fields, Value::Array(values.clone())), Ok(expected), "{values:?}");
        }
    }

    #[test]
    fn replies_of_another_shape_are_odd_not_wrong_data() {
        let fields = names(&["a", "b"]);
        for reply in [
            Value::Nil,
            Value::Okay,
            Value::Array(vec![bulk(b"x")]),
            Value::Array(vec![bulk(b"x"), Value::Int(1)]),
            Value::Array(vec![bulk(b"x"), bulk(b"y"), bulk(b"z")]),
        ] {
            assert!(matches!(of_fields(&fields, reply.clone()), Err(LookupFault::Odd(_))), "{reply:?}");
        }
        for reply in [Value::Nil, Value::Array(vec![bulk(b"x")]), Value::Array(vec![bulk(b"x"), Value::Nil])] {
            assert!(matches!(of_hash(reply.clone()), Err(LookupFault::Odd(_))), "{reply:?}");
        }
    }

    #[test]
    fn a_whole_hash_becomes_an_object() {
        let reply = Value::Array(vec![bulk(b"b"), bulk(b"2"), bulk(b"a\""), bulk(b"1")]);
        assert_eq!(of_hash(reply), Ok(json(r#"{"b":"2","a\"":"1"}"#)));
        assert_eq!(of_hash(Value::Array(vec![])), Ok(KeyAnswer::Missing));
        assert_eq!(of_hash(Value::Array(vec![bulk(b"\xc0"), bulk(b"1")])), Ok(KeyAnswer::Unusable(NOT_UTF8)));
    }

    #[test]
    fn one_mebibyte_is_the_limit_for_one_value_and_for_the_object() {
        let fields = names(&["a", "b"]);
        let of =
            |a: usize, b: usize| of_fields(&fields, Value::Array(vec![bulk(&vec![b'x'; a]), bulk(&vec![b'x'; b])]));
        let frame = r#"{"a":"","b":""}"#.len();
        assert!(matches!(of(FOUND_BYTES - frame, 0), Ok(KeyAnswer::Found(text)) if text.len() == FOUND_BYTES));
        assert_eq!(of(FOUND_BYTES - frame + 1, 0), Ok(KeyAnswer::too_large()));
        assert_eq!(of(FOUND_BYTES / 2, FOUND_BYTES / 2), Ok(KeyAnswer::too_large()));
        assert_eq!(of(FOUND_BYTES, 0), Ok(KeyAnswer::too_large()));
    }

    proptest! {
        #[test]
        fn any_text_survives_the_round_trip(values in proptest::collection::vec(proptest::option::of(any::<String>()), 1..6)) {
            let fields: Vec<String> = (0..values.len()).map(|number| format!("f{number}\"")).collect();
            let reply = values.iter().map(|v| v.as_ref().map_or(Value::Nil, |v| bulk(v.as_bytes()))).collect();
            let expected: serde_json::Map<String, serde_json::Value> = fields
                .iter()
                .zip(&values)
                .filter_map(|(field, value)| Some((field.clone(), value.clone()?.into())))
                .collect();
            match of_fields(&fields, Value::Array(reply)).expect("well-formed") {
                KeyAnswer::Found(text) => {
                    prop_assert_eq!(serde_json::from_slice::<serde_json::Value>(&text).expect("JSON"), serde_json::Value::Object(expected));
                }
                other @ (KeyAnswer::Missing | KeyAnswer::Unusable(_)) => {
                    prop_assert_eq!(other, KeyAnswer::Missing);
                    prop_assert!(expected.is_empty());
                }
            }
        }
    }
}
