//! Several files → one tree. Pipelines and connections join by name, one name in two files is an error; tests are put
//! together; of any other setting the later file's counts.

use crate::leaf::finding::Finding;
use crate::leaf::tree::{MapEntry, Node, TreeValue, join};

/// Adds `later` to `root`.
pub fn merge(root: &mut Node, later: Node, findings: &mut Vec<Finding>) {
    into_map(root, later, "", findings);
}

/// How the entries of a section join.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// Maps join key by key; of scalars the later one counts.
    Settings,
    /// Each name once.
    Names,
    /// Lists are put together.
    Lists,
}

fn rule(path: &str) -> Rule {
    match path {
        "pipelines" | "connections.kafka" | "connections.elasticsearch" | "connections.redis" => Rule::Names,
        "tests" => Rule::Lists,
        _ => Rule::Settings,
    }
}

fn into_map(root: &mut Node, later: Node, path: &str, findings: &mut Vec<Finding>) {
    let Node { value, origin, .. } = later;
    match (&mut root.value, value) {
        (TreeValue::Map(entries), TreeValue::Map(new)) => {
            for entry in new {
                add(entries, entry, path, findings);
            }
        }
        (TreeValue::List(items), TreeValue::List(more)) if rule(path) == Rule::Lists => items.extend(more),
        (_, value) if value_is_null(&value) => {}
        (old, value) => {
            *old = value;
            root.origin = origin;
        }
    }
}

fn value_is_null(value: &TreeValue) -> bool {
    matches!(value, TreeValue::Scalar(scalar) if scalar.is_null())
}

fn add(entries: &mut Vec<MapEntry>, new: MapEntry, path: &str, findings: &mut Vec<Finding>) {
    let name = join(path, &new.key);
    let Some(old) = entries.iter_mut().find(|entry| entry.key == new.key) else {
        entries.push(new);
        return;
    };
    if rule(path) == Rule::Names {
        let reason = format!("`{}` is defined twice; the first is at {}", new.key, old.key_origin);
        findings.push(
            Finding::error(new.key_origin, name, reason)
                .remedy("rename one of them; to change single values of the first, use `--set`"),
        );
    } else {
        into_map(&mut old.node, new.node, &name, findings);
    }
}

#[cfg(test)]
mod tests {
    use super::super::read::{FileFormat, read};
    use super::*;
    use std::sync::Arc;

    fn merged(first: &str, second: &str) -> (Node, Vec<Finding>) {
        let mut root = read(first, FileFormat::Yaml, &Arc::from("a.yaml")).unwrap();
        let mut findings = Vec::new();
        merge(&mut root, read(second, FileFormat::Yaml, &Arc::from("b.yaml")).unwrap(), &mut findings);
        root.name_paths("");
        (root, findings)
    }

    #[test]
    fn names_join_and_settings_give_way() {
        let (root, findings) = merged(
            "pipelines: {a: {x: 1}}\nlimits: {memory: 1MiB, span: 5}\ntests: [{n: 1}]\nconnections: {kafka: {u: {}}}\n",
            "pipelines: {b: {x: 2}}\nlimits: {memory: 2MiB}\ntests: [{n: 2}]\nconnections: {kafka: {d: {}}}\nshutdown:\n",
        );
        assert!(findings.is_empty(), "{findings:?}");
        let TreeValue::Map(pipelines) = &root.get("pipelines").unwrap().value else { panic!() };
        assert_eq!(pipelines.len(), 2);
        let memory = root.get("limits").unwrap().get("memory").unwrap();
        assert_eq!(memory.origin.to_string(), "b.yaml:2:18");
        assert!(root.get("limits").unwrap().get("span").is_some());
        let TreeValue::List(tests) = &root.get("tests").unwrap().value else { panic!() };
        assert_eq!(tests.len(), 2);
    }

    #[test]
    fn one_name_twice_names_both_files() {
        let (_, findings) = merged("pipelines:\n  a: {x: 1}\n", "\n\npipelines:\n  a: {x: 1}\n");
        let shown = findings[0].to_string();
        assert!(
            shown.contains("b.yaml:4:3") && shown.contains("a.yaml:2:3") && shown.contains("pipelines.a"),
            "{shown}"
        );
    }
}
