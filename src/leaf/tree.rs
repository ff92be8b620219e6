//! A configuration as a tree of values that know where they were written. All formats are read into it; `${VAR}`,
//! merging and `--set` work on it; the typed structs are decoded from it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In a file, at a line and column counted from 1.
    File {
        /// As given on the command line; `<stdin>` for `-`.
        file: Arc<str>,
        /// Line, from 1.
        line: u64,
        /// Column in characters, from 1.
        column: u64,
    },
    /// By a `--set` flag; holds the path only, because the value may be a secret.
    Set(Arc<str>),
    /// Nowhere: it is a default.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line, column } => write!(out, "{file}:{line}:{column}"),
            Self::Set(path) => write!(out, "--set {path}"),
            Self::Default => out.write_str("default"),
        }
    }
}

/// How a scalar was written. Plain text has the type its text looks like; quoted text is a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Without quotes.
    Plain,
    /// Quoted, or a block.
    Quoted,
}

/// A scalar as text; its type is decided by who asks.
#[derive(Clone, PartialEq, Eq)]
pub struct ScalarText {
    /// The text, with variables filled in.
    pub text: String,
    /// How it was written.
    pub style: Style,
    /// The environment variables in it; empty when there are none.
    pub variables: Vec<String>,
    /// The text as written, when variables were filled in.
    pub written: Option<String>,
}

impl ScalarText {
    /// Text of a style, without variables.
    #[must_use]
    pub fn new(text: impl Into<String>, style: Style) -> Self {
        Self { text: text.into(), style, variables: Vec::new(), written: None }
    }

    /// Whether this is YAML's null: nothing, `~` or `null` without quotes.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.style == Style::Plain
            && self.variables.is_empty()
            && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }
}

impl fmt::Debug for ScalarText {
    /// Values may be secrets, so only the shape is shown.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ScalarText").field("style", &self.style).field("variables", &self.variables).finish()
    }
}

/// One entry of a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapEntry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub key_origin: Origin,
    /// Its value.
    pub node: Node,
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TreeValue {
    /// Text.
    Scalar(ScalarText),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order written, each key once.
    Map(Vec<MapEntry>),
}

/// A value, where it was written and what it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The value.
    pub value: TreeValue,
    /// Where it was written; for a map or list in a map: where its key stands.
    pub origin: Origin,
    /// Key path from the root, for messages; set by [`Node::name_paths`].
    pub path: String,
}

impl Node {
    /// A node without a path yet.
    #[must_use]
    pub fn new(value: TreeValue, origin: Origin) -> Self {
        Self { value, origin, path: String::new() }
    }

    /// An empty map.
    #[must_use]
    pub fn empty_map(origin: Origin) -> Self {
        Self::new(TreeValue::Map(Vec::new()), origin)
    }

    /// Whether this is a null scalar.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(&self.value, TreeValue::Scalar(scalar) if scalar.is_null())
    }

    /// The value of a key of a map.
    #[cfg(test)]
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            TreeValue::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node),
            TreeValue::Scalar(_) | TreeValue::List(_) => None,
        }
    }

    /// What a message calls this value's form.
    #[must_use]
    pub fn form(&self) -> &'static str {
        match &self.value {
            TreeValue::Scalar(scalar) if scalar.is_null() => "nothing",
            TreeValue::Scalar(_) => "a single value",
            TreeValue::List(_) => "a list",
            TreeValue::Map(_) => "a map",
        }
    }

    /// Gives every node its path, starting from `path`.
    pub fn name_paths(&mut self, path: &str) {
        path.clone_into(&mut self.path);
        match &mut self.value {
            TreeValue::Scalar(_) => {}
            TreeValue::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    item.name_paths(&format!("{path}[{index}]"));
                }
            }
            TreeValue::Map(entries) => {
                for entry in entries {
                    entry.node.name_paths(&join(path, &entry.key));
                }
            }
        }
    }

    /// Calls `visit` for this node and all below it, parents first.
    pub fn walk<'node>(&'node self, visit: &mut impl FnMut(&'node Self)) {
        visit(self);
        match &self.value {
            TreeValue::Scalar(_) => {}
            TreeValue::List(items) => items.iter().for_each(|item| item.walk(visit)),
            TreeValue::Map(entries) => entries.iter().for_each(|entry| entry.node.walk(visit)),
        }
    }

    /// Calls `change` for every scalar below this node.
    ///
    /// # Errors
    /// The first error of `change` ends the walk of that scalar only; all are collected in order.
    pub fn each_scalar<E>(
        &mut self,
        errors: &mut Vec<E>,
        change: &mut impl FnMut(&str, &Origin, &mut ScalarText) -> Option<E>,
    ) {
        match &mut self.value {
            TreeValue::Scalar(scalar) => errors.extend(change(&self.path, &self.origin, scalar)),
            TreeValue::List(items) => items.iter_mut().for_each(|item| item.each_scalar(errors, change)),
            TreeValue::Map(entries) => entries.iter_mut().for_each(|entry| entry.node.each_scalar(errors, change)),
        }
    }
}

/// Appends a key to a path; a key with other characters than letters, digits, `_` and `-` is quoted.
#[must_use]
pub fn join(path: &str, key: &str) -> String {
    let plain = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    match (path.is_empty(), plain) {
        (true, true) => key.to_owned(),
        (true, false) => format!("{key:?}"),
        (false, true) => format!("{path}.{key}"),
        (false, false) => format!("{path}.{key:?}"),
    }
}

/// The parent of a path; `None` for the root.
#[must_use]
pub fn parent(path: &str) -> Option<&str> {
    if path.is_empty() {
        return None;
    }
    let (mut quoted, mut escaped, mut cut) = (false, false, 0);
    for (at, character) in path.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '.' | '[' if !quoted => cut = at,
            _ => {}
        }
    }
    Some(&path[..cut])
}

/// Origins and variables by path, for messages about values that are already decoded.
#[derive(Debug, Clone, Default)]
pub struct Index {
    nodes: BTreeMap<String, KnownKey>,
}

#[derive(Debug, Clone)]
struct KnownKey {
    origin: Origin,
    variables: Vec<String>,
    /// A map: what it does not hold is a default.
    section: bool,
}

impl Index {
    /// Indexes a tree whose paths are named.
    #[must_use]
    pub fn new(root: &Node) -> Self {
        let mut nodes = BTreeMap::new();
        root.walk(&mut |node| {
            let variables = match &node.value {
                TreeValue::Scalar(scalar) => scalar.variables.clone(),
                TreeValue::List(_) | TreeValue::Map(_) => Vec::new(),
            };
            let section = matches!(node.value, TreeValue::Map(_));
            nodes.insert(node.path.clone(), KnownKey { origin: node.origin.clone(), variables, section });
        });
        Self { nodes }
    }

    /// Whether the value was written, not defaulted.
    #[must_use]
    pub fn is_written(&self, path: &str) -> bool {
        self.nodes.contains_key(path)
    }

    fn known(&self, path: &str) -> Option<(&KnownKey, bool)> {
        let mut shorter = path;
        loop {
            if let Some(known) = self.nodes.get(shorter) {
                return Some((known, shorter.len() == path.len()));
            }
            shorter = parent(shorter)?;
        }
    }

    /// Where the value was written, be it in a short form; `Default` when it was not.
    #[must_use]
    pub fn origin(&self, path: &str) -> Origin {
        match self.known(path) {
            Some((known, exact)) if exact || !known.section => known.origin.clone(),
            Some(_) | None => Origin::Default,
        }
    }

    /// Where the value, or else the nearest section around it, was written.
    #[must_use]
    pub fn nearest(&self, path: &str) -> Origin {
        self.known(path).map_or(Origin::Default, |(known, _)| known.origin.clone())
    }

    /// Environment variables in the value.
    #[must_use]
    pub fn variables(&self, path: &str) -> &[String] {
        self.nodes.get(path).map_or(&[], |known| &known.variables)
    }

    /// All environment variables the configuration reads by `${VAR}`, each once, sorted.
    #[must_use]
    pub fn all_variables(&self) -> Vec<String> {
        let mut all: Vec<String> = self.nodes.values().flat_map(|known| known.variables.iter().cloned()).collect();
        all.sort();
        all.dedup();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_quote_what_would_be_misread() {
        assert_eq!(join("a", "b-c_1"), "a.b-c_1");
        assert_eq!(join("librdkafka", "fetch.wait.max.ms"), "librdkafka.\"fetch.wait.max.ms\"");
        assert_eq!(join("", "x"), "x");
    }

    #[test]
    fn parent_of_a_path() {
        let table = [
            ("a", Some("")),
            ("", None),
            ("a.b", Some("a")),
            ("a.b[3]", Some("a.b")),
            ("a.b[3].c", Some("a.b[3]")),
            ("a.\"x.y\"", Some("a")),
            ("a.\"x\\\"[.y\".z", Some("a.\"x\\\"[.y\"")),
        ];
        for (path, expected) in table {
            assert_eq!(parent(path), expected, "{path}");
        }
    }
}
