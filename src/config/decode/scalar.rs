//! What a scalar's text means, and what of it a message may show.

use serde::de::{Unexpected, Visitor};

use super::fault::{DecodeFault, may_quote};
use crate::leaf::tree::{Node, ScalarText, Style, TreeValue};
use crate::model::Decimal;

/// Longest value quoted in a message, in characters.
const MAX_QUOTED: usize = 60;

pub fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// A whole number in YAML's spellings that people use.
pub fn integer(text: &str) -> Option<i64> {
    match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None if text.len() > 1
            && text.trim_start_matches(['-', '+']).starts_with('0')
            && text.bytes().all(|b| b.is_ascii_digit()) =>
        {
            None
        }
        None => text.parse().ok(),
    }
}

/// A number with a point or an exponent; not `nan` or `inf`.
pub fn float(text: &str) -> Option<f64> {
    let numeric = text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '-' | '+' | '.'))
        && text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E'))
        && text.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E'));
    numeric.then(|| text.parse().ok()).flatten().filter(|number: &f64| number.is_finite())
}

/// A number with all its digits, in the spellings that are no text elsewhere; `16e94057` is a name, not a number.
pub fn number(text: &str) -> Option<Decimal> {
    if let Some(digits) = text.strip_prefix("0x") {
        return Decimal::new(&u128::from_str_radix(digits, 16).ok()?.to_string());
    }
    let whole = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_whole = !whole.is_empty() && whole.bytes().all(|byte| byte.is_ascii_digit());
    let is_number = if is_whole { whole == "0" || !whole.starts_with('0') } else { float(text).is_some() };
    is_number.then(|| Decimal::new(text)).flatten().filter(Decimal::is_in_range)
}

/// Hands a constant to a visitor; a number comes as the bytes of its spelling.
pub fn visit_constant<'de, V: Visitor<'de>>(scalar: &ScalarText, visitor: V) -> Result<V::Value, DecodeFault> {
    match number(&scalar.text).filter(|_| scalar.style == Style::Plain) {
        Some(number) => visitor.visit_bytes(number.text().as_bytes()),
        None => visit(scalar, visitor),
    }
}

/// Hands a scalar to a visitor with the type its text has; quoted text is a string.
pub fn visit<'de, V: Visitor<'de>>(scalar: &ScalarText, visitor: V) -> Result<V::Value, DecodeFault> {
    if scalar.style == Style::Quoted {
        visitor.visit_str(&scalar.text)
    } else if scalar.is_null() {
        visitor.visit_unit()
    } else if let Some(boolean) = boolean(&scalar.text) {
        visitor.visit_bool(boolean)
    } else if let Some(integer) = integer(&scalar.text) {
        visitor.visit_i64(integer)
    } else if let Some(whole) = number(&scalar.text).and_then(|number| u64::try_from(number.whole()?).ok()) {
        visitor.visit_u64(whole)
    } else if let Some(float) = float(&scalar.text) {
        visitor.visit_f64(float)
    } else {
        visitor.visit_str(&scalar.text)
    }
}

/// The text as it stands in the file: variables not filled in, because their values may be secret.
pub fn as_written(node: &Node) -> Option<&str> {
    match &node.value {
        TreeValue::Scalar(scalar) if !scalar.is_null() => Some(scalar.written.as_deref().unwrap_or(&scalar.text)),
        TreeValue::Scalar(_) | TreeValue::List(_) | TreeValue::Map(_) => None,
    }
}

/// A node in an "expected …, found …" message.
pub fn shown(node: &Node) -> String {
    match as_written(node) {
        Some(text) if may_quote(node) && text.chars().count() <= MAX_QUOTED => format!("`{text}`"),
        Some(_) | None => node.form().to_owned(),
    }
}

/// What to write where `what` was expected.
pub fn remedy(node: &Node, what: &str) -> String {
    match (&node.value, what) {
        (TreeValue::Scalar(_), "a list") => match as_written(node).filter(|_| may_quote(node)) {
            Some(text) => format!("write `[{text}]`"),
            None => "write a list: `[…, …]`".to_owned(),
        },
        (TreeValue::Scalar(scalar), _) if scalar.style == Style::Quoted && what.contains("number") => {
            "write it without quotes".to_owned()
        }
        (TreeValue::Scalar(scalar), "a string") if scalar.is_null() && !scalar.text.is_empty() => {
            format!("`{0}` is YAML's null: write `\"{0}\"` where the text is meant", scalar.text)
        }
        (TreeValue::List(_) | TreeValue::Map(_), "a string") => "write one value; check the indentation".to_owned(),
        (TreeValue::Scalar(_) | TreeValue::List(_) | TreeValue::Map(_), _) => format!("write {what}"),
    }
}

/// A list of names for a message.
pub fn names(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// What serde found, as a form.
pub fn form(unexpected: &Unexpected<'_>) -> &'static str {
    match unexpected {
        Unexpected::Bool(_) => "boolean",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_) => "number",
        Unexpected::Char(_) | Unexpected::Str(_) | Unexpected::Bytes(_) => "string",
        Unexpected::Unit | Unexpected::Option => "nothing",
        Unexpected::Seq => "list",
        Unexpected::Map => "map",
        Unexpected::NewtypeStruct
        | Unexpected::Enum
        | Unexpected::UnitVariant
        | Unexpected::NewtypeVariant
        | Unexpected::TupleVariant
        | Unexpected::StructVariant
        | Unexpected::Other(_) => "value of another form",
    }
}
