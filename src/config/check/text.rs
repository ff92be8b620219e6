//! Texts with a grammar of their own: templates, pointers, topic and index names.

use super::Checker;
use crate::leaf::{Template, template};

/// Longest topic name in Kafka, in characters.
const MAX_TOPIC: usize = 249;
/// Longest index name in Elasticsearch, in bytes.
const MAX_INDEX: usize = 255;

impl Checker<'_> {
    /// The fixed parts of a topic's name.
    pub(super) fn topic_name(&self, path: &str, literal: &str) {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if let Some(bad) = literal.chars().find(|character| !u8::try_from(*character).is_ok_and(legal)) {
            self.error(
                path,
                format!("`{bad}` cannot be part of a topic's name"),
                "use letters, digits, `.`, `_` and `-`",
            );
        } else if literal.len() > MAX_TOPIC {
            self.error(path, format!("longer than the {MAX_TOPIC} characters of a topic's name"), "shorten it");
        } else if literal == "." || literal == ".." {
            self.error(path, format!("`{literal}` cannot be a topic's name"), "use another name");
        }
    }

    /// The fixed parts of an index's name; `first` is what the name starts with, if that is fixed.
    pub(super) fn index_name(&self, path: &str, parsed: &Template) {
        for literal in template::literals(parsed) {
            if let Some(bad) = literal.chars().find(|character| r#"\/*?"<>| ,#:"#.contains(*character)) {
                self.error(
                    path,
                    format!("`{bad}` cannot be part of an index's name"),
                    r#"leave out \ / * ? " < > | , # : and blanks"#,
                );
                return;
            }
            if literal.chars().any(char::is_uppercase) {
                self.error(path, "the name of an index has no capitals", format!("write `{}`", literal.to_lowercase()));
                return;
            }
        }
        let first =
            template::literals(parsed).next().filter(|literal| parsed.text.starts_with(literal)).unwrap_or_default();
        if first.starts_with(['-', '_', '+']) || matches!(parsed.text.as_str(), "." | "..") {
            self.error(
                path,
                "the name of an index cannot start with `-`, `_` or `+`",
                "start it with a letter or digit",
            );
        } else if template::literal_bytes(parsed) > MAX_INDEX {
            self.error(path, format!("longer than the {MAX_INDEX} bytes of an index's name"), "shorten it");
        }
    }
}
