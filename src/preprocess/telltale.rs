//! What a value is that is not the JSON it should be, told by its first and last bytes. Pure; looked at only for
//! rejects.

use serde::de::IgnoredAny;

/// What people find in their topics instead of JSON: the bytes it begins with, and its name.
const STARTS: [(&[u8], &str); 13] = [
    (b"\xef\xbb\xbf", "a UTF-8 byte-order mark at byte 0, which JSON does not have: the producer must leave it out"),
    (b"\xff\xfe", "UTF-16 (little endian, with its byte-order mark), not UTF-8"),
    (b"\xfe\xff", "UTF-16 (big endian, with its byte-order mark), not UTF-8"),
    (b"\x1f\x8b", "compressed with gzip by the producer itself: it must leave that to Kafka (`compression.type`)"),
    (
        b"\x28\xb5\x2f\xfd",
        "compressed with zstd by the producer itself: it must leave that to Kafka (`compression.type`)",
    ),
    (
        b"\x04\x22\x4d\x18",
        "compressed with lz4 by the producer itself: it must leave that to Kafka (`compression.type`)",
    ),
    (b"\x82SNAPPY", "compressed with snappy by the producer itself: it must leave that to Kafka (`compression.type`)"),
    (b"Obj\x01", "an Avro file, not JSON"),
    (b"\xac\xed\x00\x05", "a serialized Java object, not JSON"),
    (b"PAR1", "a Parquet file, not JSON"),
    (b"PK\x03\x04", "a ZIP archive, not JSON"),
    (b"<", "XML or HTML, not JSON"),
    (b"%PDF", "a PDF file, not JSON"),
];

/// Bytes of a schema registry's frame: a zero and the schema's number.
pub(super) const FRAME: usize = 5;

/// What the value is, where its bytes say so.
#[must_use]
pub(super) fn told(value: &[u8]) -> Option<String> {
    if let Some((_, name)) = STARTS.iter().find(|(start, _)| value.starts_with(start)) {
        return Some((*name).to_owned());
    }
    wide(value).map(str::to_owned).or_else(|| framed(value)).or_else(|| padded(value)).or_else(|| binary(value))
}

/// UTF-16 without a mark: every other byte of ASCII text is zero.
fn wide(value: &[u8]) -> Option<&'static str> {
    let text = |byte: u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    match value {
        [0, a, 0, b, ..] if text(*a) && text(*b) => Some("UTF-16 (big endian), not UTF-8"),
        [a, 0, b, 0, ..] if text(*a) && text(*b) => Some("UTF-16 (little endian), not UTF-8"),
        _ => None,
    }
}

/// The frame of a schema registry's serializers.
fn framed(value: &[u8]) -> Option<String> {
    let [0, a, b, c, d, rest @ ..] = value else { return None };
    let schema = u32::from_be_bytes([*a, *b, *c, *d]);
    let inside = match rest.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{' | b'[') => "JSON follows it",
        Some(_) => "Avro or Protobuf follows it",
        None => "nothing follows it",
    };
    Some(format!(
        "the {FRAME}-byte frame of a schema registry (schema {schema}) at byte 0, and {inside}: produce plain JSON, without \
         the registry's serializer"
    ))
}

/// Zeros behind the value, as of a text in C or of a fixed width.
fn padded(value: &[u8]) -> Option<String> {
    let end = value.iter().rposition(|byte| *byte != 0)? + 1;
    let zeros = value.len() - end;
    (zeros > 0).then(|| match zeros {
        1 => format!("a NUL at byte {end}, behind the value: the producer sends the end of a C string with it"),
        _ => format!("{zeros} NULs from byte {end} on, behind the value: the producer pads it"),
    })
}

fn binary(value: &[u8]) -> Option<String> {
    let first = *value.first()?;
    let odd = first < 0x20 && !first.is_ascii_whitespace();
    let map = matches!(first, 0x80..=0x8f | 0xa0..=0xbf | 0xde | 0xdf) && std::str::from_utf8(value).is_err();
    (odd || map)
        .then(|| format!("binary from byte 0 on (0x{first:02x}), such as Avro, Protobuf or MessagePack, not JSON"))
}

/// The first byte that does not belong there: a second parser looks, because the fast one stops some bytes off.
#[must_use]
pub(super) fn first_bad(value: &[u8]) -> Option<usize> {
    let error = serde_json::from_slice::<IgnoredAny>(value).err()?;
    let message = error.to_string();
    if error.is_io() || message.starts_with("recursion limit") {
        return None;
    }
    if error.is_eof() {
        return Some(value.len());
    }
    let start = match error.line().checked_sub(1)? {
        0 => 0,
        line => memchr::memchr_iter(b'\n', value).nth(line - 1)? + 1,
    };
    // Columns count what was read; a control character inside a string was only looked at.
    let read = usize::from(!message.starts_with("control character"));
    Some((start + error.column()).saturating_sub(read).min(value.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_instead_of_json() {
        for (value, part) in [
            (&b"\x00\x00\x00\x00\x07{\"id\":1}"[..], "frame of a schema registry (schema 7)"),
            (b"\x00\x00\x01\x00\x02 {\"id\":1}", "(schema 65538) at byte 0, and JSON follows it"),
            (b"\x00\x00\x00\x00\x07\x02\x06abc", "Avro or Protobuf follows it"),
            (b"\xef\xbb\xbf{\"id\":2}", "byte-order mark at byte 0"),
            (b"{\"id\":3}\x00", "a NUL at byte 8"),
            (b"{\"id\":3}\x00\x00\x00", "3 NULs from byte 8"),
            (b"\xff\xfe{\x00\"\x00", "UTF-16 (little endian, with"),
            (b"\xfe\xff\x00{\x00\"", "UTF-16 (big endian, with"),
            (b"{\x00\"\x00i\x00", "UTF-16 (little endian)"),
            (b"\x00{\x00\"\x00i", "UTF-16 (big endian)"),
            (b"\x1f\x8b\x08\x00", "gzip"),
            (b"\x28\xb5\x2f\xfd\x00", "zstd"),
            (b"\x82SNAPPY\x00", "snappy"),
            (b"Obj\x01\x04", "Avro file"),
            (b"<?xml version='1.0'?>", "XML"),
            (b"\x0a\x05hello", ""),
            (b"\x02\x06abc", "binary from byte 0 on (0x02)"),
            (b"\x82\xa2id\x01", "MessagePack"),
        ] {
            match told(value) {
                Some(told) => assert!(!part.is_empty() && told.contains(part), "{value:?}: {told}"),
                None => assert!(part.is_empty(), "{value:?} is not told"),
            }
        }
        for value in [&b"{\"id\":1}"[..], b" [1]", b"hello", b"\xc3\xa9", b"", b"{'a':1}"] {
            assert_eq!(told(value), None, "{value:?}");
        }
    }

    #[test]
    fn the_bad_byte_and_not_the_last_good_one() {
        for (value, at) in [
            (&b"{\"id\":3} x"[..], Some(9)),
            (b"{\"a\":x}", Some(5)),
            (b"{\"a\":\n\n  x}", Some(9)),
            (b"{\"a\":1", Some(6)),
            (b"[1 2]", Some(3)),
            (b"{}{}", Some(2)),
            (b"{'a':1}", Some(1)),
            (b"{\"a\" 1}", Some(5)),
            (b"{\"a\":\"b\nc\"}", Some(7)),
            (b"{}", None),
        ] {
            assert_eq!(first_bad(value), at, "{}", String::from_utf8_lossy(value));
        }
        assert_eq!(first_bad("[".repeat(400).as_bytes()), Some(400));
    }
}
