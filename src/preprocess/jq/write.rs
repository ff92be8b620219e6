//! Values as JSON text.

use std::io::Write as _;

use jaq_json::{Num, Val};

use super::super::decode::write_json;
use super::super::scan;
use super::JqEnd;

/// Deepest nesting of an output: as deep as a record may come.
pub(super) const MOST_LEVELS: usize = 1_024;

/// Appends a value; `out` may not grow beyond `most` bytes.
///
/// # Errors
/// It is larger or deeper than it may be, or JSON has no such value.
pub(super) fn write_value(value: &Val, out: &mut Vec<u8>, most: usize) -> Result<(), JqEnd> {
    write_below(value, out, most, 0)
}

fn write_below(value: &Val, out: &mut Vec<u8>, most: usize, level: usize) -> Result<(), JqEnd> {
    match value {
        Val::Arr(_) | Val::Obj(_) if level >= MOST_LEVELS => return Err(JqEnd::TooDeep),
        Val::Null => out.extend_from_slice(b"null"),
        Val::Bool(true) => out.extend_from_slice(b"true"),
        Val::Bool(false) => out.extend_from_slice(b"false"),
        Val::Num(number) => write_number(number, out)?,
        Val::TStr(text) => write_json(&String::from_utf8_lossy(text), out),
        Val::BStr(_) => return Err(no_json("bytes that are no text")),
        Val::Arr(elements) => {
            out.push(b'[');
            for (number, element) in elements.iter().enumerate() {
                if number > 0 {
                    out.push(b',');
                }
                write_below(element, out, most, level + 1)?;
            }
            out.push(b']');
        }
        Val::Obj(members) => {
            out.push(b'{');
            for (number, (name, value)) in members.iter().enumerate() {
                if number > 0 {
                    out.push(b',');
                }
                let Val::TStr(name) = name else { return Err(no_json("a member whose name is no text")) };
                write_json(&String::from_utf8_lossy(name), out);
                out.push(b':');
                write_below(value, out, most, level + 1)?;
            }
            out.push(b'}');
        }
    }
    if out.len() > most { Err(JqEnd::TooManyBytes) } else { Ok(()) }
}

/// NaN becomes null, as in jq; what is infinite is refused, because another number would take its place.
fn write_number(number: &Num, out: &mut Vec<u8>) -> Result<(), JqEnd> {
    let start = out.len();
    match number {
        Num::Float(float) if float.is_nan() => {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        Num::Float(float) if float.is_infinite() => return Err(no_json("an infinite number")),
        Num::Int(_) | Num::BigInt(_) | Num::Float(_) | Num::Dec(_) => {
            // Writing to a vector cannot fail.
            let _infallible = write!(out, "{number}");
        }
    }
    if scan::is_number(&out[start..]) { Ok(()) } else { Err(no_json("a number in a spelling of its own")) }
}

fn no_json(what: &str) -> JqEnd {
    JqEnd::Failed(format!("the output has {what}, which JSON has not"))
}
