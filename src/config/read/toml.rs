//! TOML → tree.

use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::leaf::finding::Finding;
use crate::leaf::tree::{Node, ScalarText, Style, TreeValue};

/// Reads a TOML document.
///
/// # Errors
/// One finding when it is not TOML.
pub fn read(text: &str, file: &Arc<str>) -> Result<Node, Finding> {
    let table = DeTable::parse(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        Finding::error(super::origin_at(text, file, offset), "", format!("not valid TOML: {}", error.message()))
            .remedy("check quotes, brackets and `=` at this line")
    })?;
    let origin = super::origin_at(text, file, 0);
    Ok(Node::new(map(table.into_inner(), text, file), origin))
}

/// A table; TOML's own table is sorted by name, so the order written is restored from the positions.
fn map(table: DeTable<'_>, text: &str, file: &Arc<str>) -> TreeValue {
    let mut pairs: Vec<_> = table.into_iter().collect();
    pairs.sort_by_key(|(key, _)| key.span().start);
    let entries = pairs
        .into_iter()
        .map(|(key, value)| {
            let origin = super::origin_at(text, file, key.span().start);
            super::entry(key.into_inner().into_owned(), origin, node(value, text, file))
        })
        .collect();
    TreeValue::Map(entries)
}

fn node(value: Spanned<DeValue<'_>>, text: &str, file: &Arc<str>) -> Node {
    let origin = super::origin_at(text, file, value.span().start);
    let plain = |shown: String| TreeValue::Scalar(ScalarText::new(shown, Style::Plain));
    let value = match value.into_inner() {
        DeValue::String(string) => TreeValue::Scalar(ScalarText::new(string, Style::Quoted)),
        DeValue::Integer(integer) => plain(
            i128::from_str_radix(integer.as_str(), integer.radix())
                .map_or_else(|_| integer.as_str().to_owned(), |number| number.to_string()),
        ),
        DeValue::Float(float) => plain(float.as_str().to_owned()),
        DeValue::Boolean(boolean) => plain(boolean.to_string()),
        DeValue::Datetime(datetime) => TreeValue::Scalar(ScalarText::new(datetime.to_string(), Style::Quoted)),
        DeValue::Array(items) => TreeValue::List(items.into_iter().map(|item| node(item, text, file)).collect()),
        DeValue::Table(table) => map(table, text, file),
    };
    Node::new(value, origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_types_and_positions() {
        let text = "version = 1\n[pipelines.z]\nb = \"x\"\na = [1_000, 0x10]\n[pipelines.a]\nc = 1.5\n";
        let root = read(text, &Arc::from("t.toml")).unwrap();
        let TreeValue::Map(pipelines) = &root.get("pipelines").unwrap().value else { panic!() };
        assert_eq!(pipelines.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>(), ["z", "a"]);
        let TreeValue::List(items) = &pipelines[0].node.get("a").unwrap().value else { panic!() };
        let texts: Vec<_> = items
            .iter()
            .map(|item| match &item.value {
                TreeValue::Scalar(scalar) => scalar.text.as_str(),
                TreeValue::List(_) | TreeValue::Map(_) => panic!(),
            })
            .collect();
        assert_eq!(texts, ["1000", "16"]);
        assert_eq!(pipelines[0].node.get("b").unwrap().origin.to_string(), "t.toml:3:5");
    }

    #[test]
    fn bad_toml_names_the_line_and_never_the_text() {
        let finding = read("a = 1\npassword = \"hunter2\n", &Arc::from("t.toml")).unwrap_err();
        assert!(finding.to_string().contains("t.toml:2:"), "{finding}");
        assert!(!finding.to_string().contains("hunter2"));
    }
}
