//! JSON → tree. serde_json gives no positions; slices of the source do.

use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::leaf::finding::Finding;
use crate::leaf::tree::{Node, Scalar, Style, Value};

/// Reads a JSON document.
///
/// # Errors
/// One finding when it is not JSON or nests too deep.
pub fn read(text: &str, file: &Arc<str>) -> Result<Node, Finding> {
    let raw: &RawValue = serde_json::from_str(text).map_err(|error| refused(&error, text, file, 0))?;
    node(raw, text, file, 0)
}

fn refused(error: &serde_json::Error, text: &str, file: &Arc<str>, start: usize) -> Finding {
    let (line, column) = super::position(text, start);
    let inner_line = error.line() as u64;
    let place = if inner_line <= 1 { column + error.column() as u64 } else { error.column() as u64 };
    let origin = super::Origin::File {
        file: file.clone(),
        line: line + inner_line.saturating_sub(1),
        column: if start == 0 { error.column() as u64 } else { place }.max(1),
    };
    let message = error.to_string();
    let reason = message.split(" at line ").next().unwrap_or_default();
    Finding::error(origin, "", format!("not valid JSON: {reason}")).remedy("check quotes, commas and brackets")
}

/// Where a slice of the source starts.
fn offset(slice: &str, text: &str) -> usize {
    (slice.as_ptr() as usize).saturating_sub(text.as_ptr() as usize)
}

fn node(raw: &RawValue, text: &str, file: &Arc<str>, depth: usize) -> Result<Node, Finding> {
    let source = raw.get();
    let start = offset(source, text);
    let origin = super::origin_at(text, file, start);
    if depth > super::MAX_DEPTH {
        return Err(Finding::error(origin, "", format!("nested deeper than {} levels", super::MAX_DEPTH)));
    }
    let bad = |error: serde_json::Error| refused(&error, text, file, start);
    let value = match source.as_bytes().first() {
        Some(b'"') => Value::Scalar(Scalar::new(serde_json::from_str::<String>(source).map_err(bad)?, Style::Quoted)),
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(source).map_err(bad)?;
            let nodes: Result<_, _> = items.into_iter().map(|item| node(item, text, file, depth + 1)).collect();
            Value::List(nodes?)
        }
        Some(b'{') => {
            let Pairs(pairs) = serde_json::from_str(source).map_err(bad)?;
            let mut entries = Vec::with_capacity(pairs.len());
            for (key, item) in pairs {
                let key_offset = offset(key.get(), text);
                let name = serde_json::from_str::<String>(key.get()).map_err(bad)?;
                let child = node(item, text, file, depth + 1)?;
                entries.push(super::entry(name, super::origin_at(text, file, key_offset), child));
            }
            Value::Map(entries)
        }
        Some(_) | None => Value::Scalar(Scalar::new(source, Style::Plain)),
    };
    Ok(Node::new(value, origin))
}

/// A map in the order written, duplicates included.
struct Pairs<'text>(Vec<(&'text RawValue, &'text RawValue)>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<'de>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_and_escapes() {
        let text = "{\n\t\"a\": {\"b\": [1, \"\\ud83d\\ude00\\/\"]},\n\t\"c\": null}";
        let root = read(text, &Arc::from("t.json")).unwrap();
        let Value::List(items) = &root.get("a").unwrap().get("b").unwrap().value else { panic!() };
        let Value::Scalar(smile) = &items[1].value else { panic!() };
        assert_eq!((smile.text.as_str(), smile.style), ("😀/", Style::Quoted));
        assert_eq!(items[1].origin.to_string(), "t.json:2:17");
        assert_eq!(root.get("a").unwrap().origin.to_string(), "t.json:2:2");
        assert!(root.get("c").unwrap().is_null());
    }

    #[test]
    fn bad_json_names_the_line_and_never_the_text() {
        for text in
            ["{\n\"password\": \"hunter2\n}", "{\n\"password\": hunter2}", "{\"a\": 1} x", "{\"a\": \n\"\\ud800\"}"]
        {
            let finding = read(text, &Arc::from("t.json")).unwrap_err();
            assert!(finding.to_string().contains("t.json:"), "{finding}");
            assert!(!finding.to_string().contains("hunter2"), "{finding}");
        }
    }
}
