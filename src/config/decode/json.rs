//! A value of the configuration as JSON text: numbers keep their digits, which no type of serde's would hold.

use super::scalar;
use crate::leaf::tree::{Node, Style, TreeValue};

/// The text.
pub fn text(node: &Node) -> String {
    match &node.value {
        TreeValue::Scalar(scalar) if scalar.style == Style::Quoted => quoted(&scalar.text),
        TreeValue::Scalar(scalar) if scalar.is_null() => "null".to_owned(),
        TreeValue::Scalar(scalar) => match (scalar::boolean(&scalar.text), scalar::number(&scalar.text)) {
            (Some(boolean), _) => boolean.to_string(),
            (None, Some(number)) => number.text().to_owned(),
            (None, None) => quoted(&scalar.text),
        },
        TreeValue::List(items) => format!("[{}]", items.iter().map(text).collect::<Vec<_>>().join(",")),
        TreeValue::Map(entries) => {
            let member = |entry: &super::MapEntry| format!("{}:{}", quoted(&entry.key), text(&entry.node));
            format!("{{{}}}", entries.iter().map(member).collect::<Vec<_>>().join(","))
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
