//! Values that are no JSON, made into JSON before they are parsed (`source.kafka.format`). Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::tape::Malformed;
use super::telltale::FRAME;
use crate::leaf::format::{FieldOfValue, ValueFormat};
use crate::model::RejectReason;

/// The JSON of a value; `room` is written over.
///
/// # Errors
/// The value is not what it should be.
pub(super) fn decode<'a>(format: &ValueFormat, value: &'a [u8], room: &'a mut Vec<u8>) -> Result<&'a [u8], Malformed> {
    room.clear();
    match format {
        ValueFormat::Json => return Ok(value),
        ValueFormat::JsonSchemaRegistry => {
            return match value {
                [0, _, _, _, _, json @ ..] => Ok(json),
                _ => Err(unframed(value)),
            };
        }
        ValueFormat::Text(FieldOfValue { field }) => {
            let text = std::str::from_utf8(value).map_err(|error| Malformed {
                reason: RejectReason::InvalidUtf8,
                detail: format!("no text in UTF-8: invalid at byte {}", error.valid_up_to()),
            })?;
            open(field, room);
            write_json(text, room);
        }
        ValueFormat::Bytes(FieldOfValue { field }) => {
            open(field, room);
            room.push(b'"');
            let start = room.len();
            room.resize(start + value.len().div_ceil(3) * 4, 0);
            let written = STANDARD.encode_slice(value, &mut room[start..]).unwrap_or(0);
            room.truncate(start + written);
            room.push(b'"');
        }
    }
    room.push(b'}');
    Ok(room)
}

fn open(field: &str, room: &mut Vec<u8>) {
    room.push(b'{');
    write_json(field, room);
    room.push(b':');
}

/// Appends a text as a JSON string.
pub(super) fn write_json(text: &str, room: &mut Vec<u8>) {
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        room.push(b'"');
        room.extend_from_slice(text.as_bytes());
        room.push(b'"');
        return;
    }
    // Writing to a vector cannot fail.
    let _infallible = serde_json::to_writer(room, text);
}

#[cold]
fn unframed(value: &[u8]) -> Malformed {
    let what = if value.len() < FRAME {
        format!("{} bytes, a schema registry's frame has {FRAME}", value.len())
    } else {
        "no schema registry's frame: the first byte is not 0. Write `format: json` where producers write plain JSON"
            .to_owned()
    };
    Malformed { reason: RejectReason::InvalidJson, detail: what }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_json_or_say_why_not() {
        let field = || FieldOfValue { field: "a\"b".to_owned() };
        let (text, bytes) = (ValueFormat::Text(FieldOfValue::default()), ValueFormat::Bytes(field()));
        let registry = ValueFormat::JsonSchemaRegistry;
        for (format, value, expected) in [
            (&ValueFormat::Json, &b"x"[..], Ok("x")),
            (&text, b"", Ok(r#"{"message":""}"#)),
            (&text, b"line \"one\"\n\x01\\\xc3\xa9", Ok(r#"{"message":"line \"one\"\n\u0001\\é"}"#)),
            (&text, b"a\xff", Err("invalid at byte 1")),
            (&bytes, b"", Ok(r#"{"a\"b":""}"#)),
            (&bytes, b"\x00\xff\x10\x80", Ok(r#"{"a\"b":"AP8QgA=="}"#)),
            (&registry, b"\0\0\0\0\x07{\"id\":1}", Ok(r#"{"id":1}"#)),
            (&registry, b"{\"id\":12345}", Err("the first byte is not 0")),
            (&registry, b"\0\0", Err("2 bytes")),
        ] {
            let mut room = vec![1, 2, 3];
            let decoded = decode(format, value, &mut room).map(|json| String::from_utf8_lossy(json).into_owned());
            match expected {
                Ok(json) => assert_eq!(decoded, Ok(json.to_owned()), "{format:?}"),
                Err(part) => assert!(decoded.expect_err("no").detail.contains(part), "{format:?} {value:?}"),
            }
        }
    }
}
