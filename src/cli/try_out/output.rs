//! One output → one line. Pure.

use super::super::test::compare::{ActionMembers, shown, two_lines};
use crate::pipeline::{SinkForm, SinkOutput};

/// The line, with its end. A raw line end, which JSON allows only as a blank, becomes a space; a tombstone is `null`.
#[must_use]
pub fn line(output: &SinkOutput, with_key: bool) -> Vec<u8> {
    let mut line = Vec::new();
    if with_key {
        line.extend_from_slice(key(&output.form).as_bytes());
        line.push(b'\t');
    }
    let start = line.len();
    line.extend_from_slice(output.value.as_deref().unwrap_or(b"null"));
    line[start..].iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
    line.push(b'\n');
    line
}

/// The key; empty where there is none. What would break the line is escaped.
fn key(form: &SinkForm) -> String {
    match form {
        SinkForm::Kafka { key, .. } => shown(key.as_deref().unwrap_or_default()),
        SinkForm::Elasticsearch { lines, .. } => {
            shown(ActionMembers::of(two_lines(lines).0).id.unwrap_or_default().as_bytes())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_output_is_one_line() {
        let kafka = |key: Option<&[u8]>| SinkForm::Kafka {
            topic: "t".into(),
            key: key.map(<[u8]>::to_vec),
            headers: Vec::new(),
        };
        let lines = b"{\"delete\":{\"_id\":\"7\"}}\n".to_vec();
        let bulk = SinkForm::Elasticsearch { lines, index: None };
        let rows = [
            (Some(&b"{\"a\":1}"[..]), kafka(Some(b"k")), &b"k\t{\"a\":1}\n"[..]),
            (Some(b"{\r\n\"a\":\n1}"), kafka(None), b"\t{  \"a\": 1}\n"),
            (None, kafka(Some(b"a\tb\xff")), b"a\\tb\\xff\tnull\n"),
            (Some(b""), kafka(Some(b"")), b"\t\n"),
            (None, bulk, b"7\tnull\n"),
        ];
        for (value, form, expected) in rows {
            let output = SinkOutput { value: value.map(<[u8]>::to_vec), form };
            assert_eq!(line(&output, true), expected);
            let alone = line(&output, false);
            assert!(expected.ends_with(&alone) && !alone.contains(&b'\t'), "{alone:?}");
        }
    }
}
