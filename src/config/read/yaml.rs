//! YAML → tree, through serde-saphyr: the only file that knows that crate's reader.
//!
//! Scalars keep their source text, so that `group: 007` stays `007` and `topic: yes` stays `yes`: who asks decides the
//! type.

use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Location, Spanned};

use crate::leaf::finding::Finding;
use crate::leaf::secret::is_name;
use crate::leaf::tree::{Node, Origin, ScalarText, Style, TreeValue};

/// Reads one YAML document.
///
/// # Errors
/// One finding when it is not YAML, has several documents or exceeds the parser's budget.
pub fn read(text: &str, file: &Arc<str>) -> Result<Node, Finding> {
    document(text, file, "YAML", DuplicateKeyPolicy::Error)
}

/// Reads one document of YAML, or of what is called `language` and is YAML as well.
pub(super) fn document(
    text: &str,
    file: &Arc<str>,
    language: &str,
    duplicates: DuplicateKeyPolicy,
) -> Result<Node, Finding> {
    // A number beyond a double is handed over like any other: its source text is what is taken, and `16e94057` is a
    // name.
    let options = serde_saphyr::options! {
        with_snippet: false,
        emit_comments: false,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        duplicate_keys: duplicates,
    };
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(Node::new(TreeValue::Map(Vec::new()), Origin::File { file: file.clone(), line: 1, column: 1 }));
    }
    let raw: Spanned<Raw> =
        serde_saphyr::from_str_with_options(text, options).map_err(|error| refused(&error, text, file, language))?;
    node(raw, text, file, 0)
}

fn refused(error: &serde_saphyr::Error, text: &str, file: &Arc<str>, language: &str) -> Finding {
    let location = error.location();
    let origin = location.map_or(Origin::File { file: file.clone(), line: 1, column: 1 }, |at| at_location(at, file));
    let message = first_line(&error.to_string());
    if let Some(key) = message.strip_prefix("duplicate mapping key: ") {
        let key = key.split(", ").next().filter(|key| is_name(key)).unwrap_or("…");
        return Finding::error(origin, key, format!("`{key}` is written twice in the same map"))
            .remedy("remove one of them, or give it another name");
    }
    if message.contains("from_str_multiple") {
        return Finding::error(origin, "", "several YAML documents in one file")
            .remedy("keep one and remove the lines `---`; several files are read with several `-c`");
    }
    let line =
        location.and_then(|at| text.lines().nth(usize::try_from(at.line()).ok()?.checked_sub(1)?)).unwrap_or_default();
    let remedy = if line.contains("${") && line.contains(['[', '{']) {
        "inside `[…]` and `{…}` YAML wants quotes around a variable: `[\"${VAR}\"]`"
    } else if line.contains('\t') {
        "indent with blanks, not with tabs"
    } else {
        "check indentation, quotes and brackets at and above this line"
    };
    Finding::error(origin, "", format!("not valid {language}: {message}")).remedy(remedy)
}

/// The message without its own position, which the finding already carries.
fn first_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default().trim_start_matches("error: ");
    line.split(" at line ").next().unwrap_or(line).trim_end_matches(',').to_owned()
}

fn at_location(location: Location, file: &Arc<str>) -> Origin {
    Origin::File { file: file.clone(), line: location.line().max(1), column: location.column().max(1) }
}

/// A value as the parser types it; the source text replaces that type.
enum Raw {
    Text(String),
    /// Resolved by YAML to something else than a string.
    Resolved,
    List(Vec<Spanned<Self>>),
    Map(Vec<(Spanned<String>, Spanned<Self>)>),
}

fn node(raw: Spanned<Raw>, text: &str, file: &Arc<str>, depth: usize) -> Result<Node, Finding> {
    let origin = at_location(raw.referenced, file);
    if depth > super::MAX_DEPTH {
        return Err(Finding::error(origin, "", format!("nested deeper than {} levels", super::MAX_DEPTH)));
    }
    let source = slice(raw.defined, text);
    let value = match raw.value {
        Raw::Text(parsed) => TreeValue::Scalar(ScalarText::new(parsed, style(raw.defined, source, text))),
        Raw::Resolved => TreeValue::Scalar(ScalarText::new(source.trim(), Style::Plain)),
        Raw::List(items) => {
            let nodes: Result<_, _> = items.into_iter().map(|item| node(item, text, file, depth + 1)).collect();
            TreeValue::List(nodes?)
        }
        Raw::Map(pairs) => {
            let mut entries = Vec::with_capacity(pairs.len());
            for (key, item) in pairs {
                let child = node(item, text, file, depth + 1)?;
                entries.push(super::entry(key.value, at_location(key.referenced, file), child));
            }
            TreeValue::Map(entries)
        }
    };
    Ok(Node::new(value, origin))
}

fn slice(location: Location, text: &str) -> &str {
    let span = location.span();
    let (Some(start), Some(length)) = (span.byte_offset(), span.byte_len()) else { return "" };
    let (Ok(start), Ok(length)) = (usize::try_from(start), usize::try_from(length)) else { return "" };
    text.get(start..start + length).unwrap_or_default()
}

/// The span of a block starts at its text, so its `|` or `>` is looked for before it.
fn style(location: Location, source: &str, text: &str) -> Style {
    let start = location.span().byte_offset().and_then(|start| usize::try_from(start).ok()).unwrap_or(0);
    let before = text.get(..start).unwrap_or_default().trim_end();
    let header = before.rsplit(char::is_whitespace).next().unwrap_or_default();
    let block =
        header.starts_with(['|', '>']) && header[1..].bytes().all(|byte| matches!(byte, b'+' | b'-' | b'0'..=b'9'));
    if block || source.trim_start().starts_with(['"', '\'', '|', '>']) { Style::Quoted } else { Style::Plain }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RawVisitor;
        impl<'de> Visitor<'de> for RawVisitor {
            type Value = Raw;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("any value")
            }
            fn visit_bool<E>(self, _: bool) -> Result<Raw, E> {
                Ok(Raw::Resolved)
            }
            fn visit_i64<E>(self, _: i64) -> Result<Raw, E> {
                Ok(Raw::Resolved)
            }
            fn visit_u64<E>(self, _: u64) -> Result<Raw, E> {
                Ok(Raw::Resolved)
            }
            fn visit_i128<E>(self, _: i128) -> Result<Raw, E> {
                Ok(Raw::Resolved)
            }
            fn visit_u128<E>(self, _: u128) -> Result<Raw, E> {
                Ok(Raw::Resolved)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Raw, E> {
                Ok(Raw::Resolved)
            }
            fn visit_unit<E>(self) -> Result<Raw, E> {
                Ok(Raw::Resolved)
            }
            fn visit_none<E>(self) -> Result<Raw, E> {
                Ok(Raw::Resolved)
            }
            fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
                Ok(Raw::Text(text.to_owned()))
            }
            fn visit_string<E>(self, text: String) -> Result<Raw, E> {
                Ok(Raw::Text(text))
            }
            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
                Raw::deserialize(deserializer)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Raw::List(list))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Raw, A::Error> {
                let mut map = Vec::new();
                while let Some(pair) = pairs.next_entry()? {
                    map.push(pair);
                }
                Ok(Raw::Map(map))
            }
        }
        deserializer.deserialize_any(RawVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Node {
        read(text, &Arc::from("t.yaml")).unwrap()
    }

    #[test]
    fn scalars_keep_their_source_text() {
        let table = [
            ("a: 007", "007", Style::Plain),
            ("a: yes", "yes", Style::Plain),
            ("a: 1.50", "1.50", Style::Plain),
            ("a: 0x1F # c", "0x1F", Style::Plain),
            ("a: ~", "~", Style::Plain),
            ("a: 16e94057", "16e94057", Style::Plain),
            ("a: [1e999]", "1e999", Style::Plain),
            ("a: -1E+999 # c", "-1E+999", Style::Plain),
            ("a: {b: 12e4567}", "12e4567", Style::Plain),
            ("a: .inf", ".inf", Style::Plain),
            ("a: -.INF", "-.INF", Style::Plain),
            ("a: .nan", ".nan", Style::Plain),
            ("a: 0o17", "0o17", Style::Plain),
            ("a: 0b101", "0b101", Style::Plain),
            ("a: 1_000", "1_000", Style::Plain),
            ("a: 1:20", "1:20", Style::Plain),
            ("a: 190:20:30", "190:20:30", Style::Plain),
            ("a: 2024-11-03", "2024-11-03", Style::Plain),
            ("a: off", "off", Style::Plain),
            ("a: Null", "Null", Style::Plain),
            ("a: 99999999999999999999999999", "99999999999999999999999999", Style::Plain),
            ("a: +12", "+12", Style::Plain),
            ("a: 1.", "1.", Style::Plain),
            ("a:", "", Style::Plain),
            ("a: \"12\"", "12", Style::Quoted),
            ("a: 'it''s'", "it's", Style::Quoted),
            ("a: |\n  x\n  y\n", "x\ny\n", Style::Quoted),
            ("a: |-\n  12\n", "12", Style::Quoted),
            ("a: >2-\n  12\n", "12", Style::Quoted),
            ("a: \"${X}\"", "${X}", Style::Quoted),
            ("a: ${X:-4}", "${X:-4}", Style::Plain),
            ("a: ü{/id}", "ü{/id}", Style::Plain),
            ("é: 1\na: 12", "12", Style::Plain),
            ("x: &n 12\na: *n", "12", Style::Plain),
            ("a: {b: 1, c: 2}\n", "", Style::Plain),
        ];
        for (text, expected, style) in table {
            let root = tree(text);
            match &root.get("a").unwrap().value {
                TreeValue::Scalar(scalar) => {
                    assert_eq!((scalar.text.as_str(), scalar.style), (expected, style), "{text}");
                }
                TreeValue::Map(entries) if entries.len() == 2 => {}
                TreeValue::Map(_) | TreeValue::List(_) => {
                    let mut inner = Vec::new();
                    root.walk(&mut |node| match &node.value {
                        TreeValue::Scalar(scalar) => inner.push((scalar.text.clone(), scalar.style)),
                        TreeValue::List(_) | TreeValue::Map(_) => {}
                    });
                    assert_eq!(inner, [(expected.to_owned(), style)], "{text}");
                }
            }
        }
    }

    #[test]
    fn positions_count_from_one() {
        let root = tree("a: 1\nb:\n  c: [x,  y]\n");
        let b = root.get("b").unwrap();
        assert_eq!(b.origin.to_string(), "t.yaml:2:1");
        let TreeValue::List(items) = &b.get("c").unwrap().value else { panic!() };
        assert_eq!(items[1].origin.to_string(), "t.yaml:3:11");
    }

    #[test]
    fn bad_yaml_names_the_line_and_never_the_text() {
        for text in
            ["a: \"hunter2\nb: 1\n", "a: [hunter2\nb: 1\n", "a: 1\na: 2\n", "a: *hunter2\n", "a: 1\n---\nb: 1\n"]
        {
            let finding =
                read(text, &Arc::from("t.yaml")).and_then(|root| super::super::refuse_duplicates(&root)).unwrap_err();
            let shown = finding.to_string();
            assert!(shown.contains("t.yaml:"), "{shown}");
            assert!(!shown.contains("\"hunter2") && !shown.contains("[hunter2"), "{shown}");
        }
    }
}
