//! The effective configuration: defaults filled in, secrets masked, each value with where it comes from.

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::load::Loaded;
use super::read::{FileFormat, read};
use crate::leaf::tree::{Index, MapEntry, Node, ScalarText, Style, TreeValue};

/// Column of the origins.
const COLUMN: usize = 56;

/// As YAML; each value's origin in a comment.
#[must_use]
pub fn text(loaded: &Loaded) -> String {
    let mut out = format!("# Effective configuration, hash {}. Secrets are masked.\n", loaded.plan.hash);
    match effective(loaded) {
        Some(Node { value: TreeValue::Map(entries), .. }) => map(&mut out, &entries, 0, &loaded.index),
        Some(_) | None => out.push_str("# It could not be shown; please report this.\n"),
    }
    out
}

/// As JSON: `hash`, `variables` (environment variables read), `configuration`, and `origins` by key path.
#[must_use]
pub fn json(loaded: &Loaded) -> Json {
    let mut origins = serde_json::Map::new();
    if let Some(root) = effective(loaded) {
        root.walk(&mut |node| {
            if matches!(node.value, TreeValue::Scalar(_)) {
                origins.insert(node.path.clone(), origin(&loaded.index, &node.path).into());
            }
        });
    }
    json!({
        "hash": loaded.plan.hash,
        "variables": loaded.index.all_variables(),
        "configuration": serde_json::to_value(&loaded.written).unwrap_or_default(),
        "origins": origins,
    })
}

/// What was written, with defaults, as a tree in the order of the structs.
fn effective(loaded: &Loaded) -> Option<Node> {
    let text = serde_saphyr::to_string(&loaded.written).ok()?;
    let mut root = read(&text, FileFormat::Yaml, &Arc::from("effective")).ok()?;
    root.name_paths("");
    Some(root)
}

fn origin(index: &Index, path: &str) -> String {
    let place = index.origin(path).to_string();
    match index.variables(path) {
        [] => place,
        names => format!("{place} (${{{}}})", names.join("}, ${")),
    }
}

fn map(out: &mut String, entries: &[MapEntry], depth: usize, index: &Index) {
    for entry in entries {
        let line = format!("{:indent$}{}:", "", key(&entry.key), indent = depth * 2);
        value(out, line, &entry.node, depth, index);
    }
}

/// Writes `line` and the value behind it.
fn value(out: &mut String, line: String, node: &Node, depth: usize, index: &Index) {
    match &node.value {
        TreeValue::Map(entries) if !entries.is_empty() => {
            let _ = writeln!(out, "{line}");
            map(out, entries, depth + 1, index);
        }
        TreeValue::List(items) if items.iter().any(|item| !matches!(item.value, TreeValue::Scalar(_))) => {
            let _ = writeln!(out, "{line}");
            for item in items {
                list_item(out, item, depth + 1, index);
            }
        }
        TreeValue::Scalar(_) | TreeValue::List(_) | TreeValue::Map(_) => {
            let shown = format!("{line} {}", inline(&node.value));
            let _ = writeln!(out, "{shown:<COLUMN$} # {}", origin(index, &node.path));
        }
    }
}

/// A list's map starts behind the dash.
fn list_item(out: &mut String, item: &Node, depth: usize, index: &Index) {
    let dash = format!("{:indent$}-", "", indent = depth * 2);
    match &item.value {
        TreeValue::Map(entries) if !entries.is_empty() => {
            let mut inner = String::new();
            map(&mut inner, entries, depth + 1, index);
            let _ = write!(out, "{dash} {}", inner.trim_start());
        }
        TreeValue::Scalar(_) | TreeValue::List(_) | TreeValue::Map(_) => value(out, dash, item, depth, index),
    }
}

fn inline(value: &TreeValue) -> String {
    match value {
        TreeValue::Scalar(scalar) => shown(scalar),
        TreeValue::Map(_) => "{}".to_owned(),
        TreeValue::List(items) => {
            format!("[{}]", items.iter().map(|item| inline(&item.value)).collect::<Vec<_>>().join(", "))
        }
    }
}

/// JSON's quotes are YAML's.
fn shown(scalar: &ScalarText) -> String {
    let risky = scalar.style == Style::Quoted || scalar.text.contains([',', '[', ']', '{', '}', '#']);
    if risky { Json::from(scalar.text.as_str()).to_string() } else { scalar.text.clone() }
}

fn key(key: &str) -> String {
    let plain = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/'));
    if plain { key.to_owned() } else { Json::from(key).to_string() }
}

#[cfg(test)]
mod tests {
    use super::super::tests::SURROUNDINGS;
    use super::super::{load_text, written::Configuration};
    use super::*;

    const TEXT: &str = "connections:
  kafka: { up: { brokers: [\"h:1\", \"${TOPIC}:2\"], librdkafka: { client.id: \"a, b\" } } }
  redis: { l: { url: { env: REDIS } } }
pipelines:
  p:
    source: { kafka: { connection: up, topics: [\"^a.*\"], group: '007' } }
    steps:
      - require: [/id]
      - where: [{ field: /n, equals: \"1\" }]
      - select: /x
    sink: { kafka: { connection: up, topic: \"o-{key}\", linger: 5ms } }
";

    #[test]
    fn every_value_has_its_origin() {
        let loaded = load_text(TEXT, "t.yaml", SURROUNDINGS).unwrap_or_else(|findings| panic!("{findings}"));
        let shown = text(&loaded);
        let line =
            |part: &str| shown.lines().find(|line| line.contains(part)).unwrap_or_else(|| panic!("{part}:\n{shown}"));
        for (part, origin) in [
            ("linger: 5ms", "# t.yaml:11:"),
            ("headers: keep", "# default"),
            ("group: \"007\"", "# t.yaml:6:"),
            ("client.id: \"a, b\"", "# t.yaml:2:"),
            ("fields: [/id]", "# t.yaml:8:"),
            ("otherwise: reject", "# t.yaml:8:"),
            ("equals: \"1\"", "# t.yaml:9:"),
            ("select: /x", "# t.yaml:10:"),
            ("memory: 256MiB", "# default"),
            ("workers: 3", "# default"),
            ("env: REDIS", "# t.yaml:3:"),
        ] {
            assert!(line(part).contains(origin), "{}", line(part));
        }
        assert!(json(&loaded)["origins"]["connections.kafka.up.brokers[1]"].as_str().unwrap().ends_with("(${TOPIC})"));
        assert_eq!(json(&loaded)["variables"], serde_json::json!(["TOPIC"]));
    }

    #[test]
    fn what_is_shown_loads_again() {
        let loaded = load_text(TEXT, "t.yaml", SURROUNDINGS).unwrap();
        let again = load_text(&text(&loaded), "shown.yaml", SURROUNDINGS)
            .unwrap_or_else(|findings| panic!("{findings}\n{}", text(&loaded)));
        let json = |written: &Configuration| serde_json::to_value(written).unwrap();
        assert_eq!(json(&loaded.written), json(&again.written));
    }
}
