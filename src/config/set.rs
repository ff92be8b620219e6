//! `--set path.to.key=value`: applied last, the value typed as YAML. No message quotes the value, which may be a
//! secret.

use std::sync::Arc;

use super::read::yaml;
use crate::leaf::finding::Finding;
use crate::leaf::tree::{MapEntry, Node, Origin, TreeValue};

/// One part of a path.
#[derive(Debug, PartialEq, Eq)]
enum PathPart {
    Key(String),
    Index(usize),
}

/// Applies one flag to the tree.
///
/// # Errors
/// When it is not `path=value`, the value is not YAML, or the path leads through a scalar or past the end of a list.
pub fn apply(root: &mut Node, flag: &str) -> Result<(), Finding> {
    let Some((path, text)) = split(flag) else {
        let origin = Origin::Set(Arc::from("…"));
        return Err(Finding::error(origin, "", "not of the form path.to.key=value")
            .remedy("for example `--set limits.memory=512MiB`"));
    };
    let origin = Origin::Set(Arc::from(path));
    let parts = parts(path).ok_or_else(|| {
        Finding::error(origin.clone(), "", "the path cannot be read")
            .remedy("write `a.b[0].c`; quote a key that has dots: `librdkafka.\"fetch.wait.max.ms\"`")
    })?;
    let value = yaml::read(text, &Arc::from("--set")).map_err(|_| {
        Finding::error(origin.clone(), path, "the value is not valid YAML")
            .remedy("quote it for the shell and for YAML: `--set 'a.b=\"text\"'`")
    })?;
    let value = if text.trim().is_empty() { empty() } else { value.value };
    place(root, &parts, value, &origin)
}

fn empty() -> TreeValue {
    TreeValue::Scalar(crate::leaf::tree::ScalarText::new("", super::tree::Style::Plain))
}

/// At the first `=` outside quotes.
fn split(flag: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    let at = flag.char_indices().find_map(|(at, character)| {
        quoted ^= character == '"';
        (character == '=' && !quoted).then_some(at)
    })?;
    (at > 0).then(|| (&flag[..at], &flag[at + 1..]))
}

/// `a.b[0]."c.d"` and `a.b.0` → parts. What follows `librdkafka` is one key, dots and all.
fn parts(path: &str) -> Option<Vec<PathPart>> {
    let mut parts = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('[') {
            let (index, after) = after.split_once(']')?;
            parts.push(PathPart::Index(index.parse().ok()?));
            rest = after;
        } else if let Some(after) = rest.strip_prefix('"') {
            let (key, after) = after.split_once('"')?;
            parts.push(PathPart::Key(key.to_owned()));
            rest = after;
        } else if parts.last() == Some(&PathPart::Key("librdkafka".to_owned())) {
            parts.push(PathPart::Key(rest.to_owned()));
            rest = "";
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            parts.push(PathPart::Key(rest.get(..end).filter(|key| !key.is_empty())?.to_owned()));
            rest = &rest[end..];
        }
        rest = match rest.strip_prefix('.') {
            Some("") => return None,
            Some(after) => after,
            None if rest.is_empty() || rest.starts_with('[') => rest,
            None => return None,
        };
    }
    (!parts.is_empty()).then_some(parts)
}

fn place(node: &mut Node, parts: &[PathPart], value: TreeValue, origin: &Origin) -> Result<(), Finding> {
    let Some((first, rest)) = parts.split_first() else {
        *node = Node::new(value, origin.clone());
        give_origin(node, origin);
        return Ok(());
    };
    if node.is_null() {
        *node = Node::empty_map(origin.clone());
    }
    let stuck = |reason: String| Finding::error(origin.clone(), "", reason);
    match (&mut node.value, first) {
        (TreeValue::Map(entries), PathPart::Key(key)) => {
            let at = entries.iter().position(|entry| entry.key == *key).unwrap_or_else(|| {
                entries.push(MapEntry {
                    key: key.clone(),
                    key_origin: origin.clone(),
                    node: Node::empty_map(origin.clone()),
                });
                entries.len() - 1
            });
            place(&mut entries[at].node, rest, value, origin)
        }
        (TreeValue::List(items), part @ (PathPart::Key(_) | PathPart::Index(_))) => {
            let index = match part {
                PathPart::Index(index) => Some(*index),
                PathPart::Key(key) => key.parse().ok(),
            };
            let length = items.len();
            match index {
                Some(index) if index < length => place(&mut items[index], rest, value, origin),
                Some(index) if index == length => {
                    items.push(Node::empty_map(origin.clone()));
                    place(&mut items[index], rest, value, origin)
                }
                Some(index) => Err(stuck(format!("index {index} is past the end of a list of {length}"))
                    .remedy(format!("use 0 to {length}; {length} appends"))),
                None => Err(stuck("the path names a key inside a list".to_owned()).remedy("use an index: `steps[0]`")),
            }
        }
        (TreeValue::Map(_), PathPart::Index(index)) => {
            Err(stuck(format!("[{index}] is an index, but the value there is a map")).remedy("use the key's name"))
        }
        (TreeValue::Scalar(_), PathPart::Key(_) | PathPart::Index(_)) => {
            Err(stuck("the path goes on below a single value".to_owned())
                .remedy("shorten the path, or set the whole section as YAML: `a={b: c}`"))
        }
    }
}

fn give_origin(node: &mut Node, origin: &Origin) {
    node.origin = origin.clone();
    match &mut node.value {
        TreeValue::Scalar(_) => {}
        TreeValue::List(items) => items.iter_mut().for_each(|item| give_origin(item, origin)),
        TreeValue::Map(entries) => {
            for entry in entries {
                entry.key_origin = origin.clone();
                give_origin(&mut entry.node, origin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::read::{FileFormat, read};
    use super::*;

    fn set(flag: &str) -> Result<Node, Finding> {
        let mut root = read("a: {b: 1, l: [x, {y: 2}]}\nn:\n", FileFormat::Yaml, &Arc::from("t.yaml")).unwrap();
        apply(&mut root, flag)?;
        root.name_paths("");
        Ok(root)
    }

    fn shown(root: &Node, path: &str) -> String {
        let mut found = String::new();
        root.walk(&mut |node| {
            if node.path == path
                && let TreeValue::Scalar(scalar) = &node.value
            {
                found = format!("{} {}", scalar.text, node.origin);
            }
        });
        found
    }

    #[test]
    fn places() {
        let table = [
            ("a.b=2", "a.b", "2 --set a.b"),
            ("a.l[1].y=3", "a.l[1].y", "3 --set a.l[1].y"),
            ("a.l.0=z", "a.l[0]", "z --set a.l.0"),
            ("a.l[2]=w", "a.l[2]", "w --set a.l[2]"),
            ("a.\"p.q\"=w", "a.\"p.q\"", "w --set a.\"p.q\""),
            (
                "a.librdkafka.fetch.min.bytes=5",
                "a.librdkafka.\"fetch.min.bytes\"",
                "5 --set a.librdkafka.fetch.min.bytes",
            ),
            ("n.new.deep={k: [1, \"2\"]}", "n.new.deep.k[1]", "2 --set n.new.deep"),
            ("a.b=x=y", "a.b", "x=y --set a.b"),
            ("a.b=", "a.b", " --set a.b"),
        ];
        for (flag, path, expected) in table {
            assert_eq!(shown(&set(flag).unwrap(), path), expected, "{flag}");
        }
    }

    #[test]
    fn refusals_never_quote_the_value() {
        for flag in [
            "hunter2",
            "=hunter2",
            "a..b=hunter2",
            "a.b.c=hunter2",
            "a.l[9]=hunter2",
            "a.l.x=hunter2",
            "a[0]=hunter2",
            "a.b=[hunter2",
            "a.=hunter2",
        ] {
            let shown = set(flag).unwrap_err().to_string();
            assert!(
                shown.contains("--set") && shown.contains("help:") && !shown.contains("hunter2"),
                "{flag}: {shown}"
            );
        }
    }
}
