//! Text of a configuration file → tree. One format a file; errors never quote source lines, which may hold secrets.

use std::sync::Arc;

use crate::leaf::finding::Finding;
use crate::leaf::secret::is_name;
use crate::leaf::tree::{MapEntry, Node, Origin, TreeValue};

mod json;
mod toml;
pub mod yaml;

/// Most levels of nesting in a configuration.
const MAX_DEPTH: usize = 64;
/// Most bytes of one configuration file.
pub const MAX_BYTES: u64 = 8 << 20;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// YAML 1.2.
    Yaml,
    /// TOML 1.
    Toml,
    /// JSON.
    Json,
}

impl FileFormat {
    /// By file extension; `None` for one we do not know.
    #[must_use]
    pub fn of_extension(extension: &str) -> Option<Self> {
        match extension {
            "yaml" | "yml" => Some(Self::Yaml),
            "toml" => Some(Self::Toml),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// Reads `text`. `file` is its name in messages.
///
/// # Errors
/// One finding when the text is not of that format, or its root is not a map.
pub fn read(text: &str, format: FileFormat, file: &Arc<str>) -> Result<Node, Finding> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut root = match format {
        FileFormat::Yaml => yaml::read(text, file),
        FileFormat::Toml => toml::read(text, file),
        FileFormat::Json => json::read(text, file),
    }?;
    if root.is_null() {
        root.value = TreeValue::Map(Vec::new());
    }
    root.origin = Origin::File { file: file.clone(), line: 1, column: 1 };
    if !matches!(root.value, TreeValue::Map(_)) {
        return Err(Finding::error(
            root.origin.clone(),
            "",
            format!("a configuration is a map, this is {}", root.form()),
        )
        .remedy("start with `version: 1`, then `connections:` and `pipelines:`"));
    }
    refuse_duplicates(&root)?;
    Ok(root)
}

/// A key twice in one map: the second would silently win.
fn refuse_duplicates(root: &Node) -> Result<(), Finding> {
    let mut found = None;
    root.walk(&mut |node| {
        let TreeValue::Map(entries) = &node.value else { return };
        for (index, entry) in entries.iter().enumerate() {
            if let Some(first) = entries[..index].iter().find(|earlier| earlier.key == entry.key) {
                found.get_or_insert_with(|| duplicate(first, entry));
            }
        }
    });
    found.map_or(Ok(()), Err)
}

fn duplicate(first: &MapEntry, second: &MapEntry) -> Finding {
    let name = if is_name(&second.key) { second.key.as_str() } else { "…" };
    let reason = format!("`{name}` is written twice in the same map; the first is at {}", first.key_origin);
    Finding::error(second.key_origin.clone(), name, reason).remedy("remove one of them, or give it another name")
}

/// Line and column, both from 1, of a byte offset.
fn position(text: &str, offset: usize) -> (u64, u64) {
    let before = text.get(..offset.min(text.len())).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = memchr::memchr_iter(b'\n', before.as_bytes()).count() + 1;
    (line as u64, before[line_start..].chars().count() as u64 + 1)
}

fn origin_at(text: &str, file: &Arc<str>, offset: usize) -> Origin {
    let (line, column) = position(text, offset);
    Origin::File { file: file.clone(), line, column }
}

/// An entry; a map or list takes its key's place, where a reader looks for it.
fn entry(key: String, key_origin: Origin, mut node: Node) -> MapEntry {
    if !matches!(node.value, TreeValue::Scalar(_)) {
        node.origin = key_origin.clone();
    }
    MapEntry { key, key_origin, node }
}
