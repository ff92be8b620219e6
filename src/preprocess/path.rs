//! A pointer as compiled into a program: its members for the walk, its text for messages.

use crate::config::plan::Pointer;

/// A compiled RFC 6901 pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    /// Unescaped members from the record's root.
    pub(super) members: Vec<String>,
    /// As a user writes it.
    pub(super) text: String,
}

impl From<&Pointer> for Path {
    fn from(pointer: &Pointer) -> Self {
        Self { members: pointer.members.clone(), text: text(&pointer.members) }
    }
}

/// The pointer to `members` as a user writes it.
pub(super) fn text(members: &[String]) -> String {
    members.iter().map(|member| format!("/{}", member.replace('~', "~0").replace('/', "~1"))).collect()
}

/// How an empty pointer is called in messages.
pub(super) fn shown(text: &str) -> &str {
    if text.is_empty() { "the record" } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_is_written_with_its_escapes() {
        let pointer = Pointer { members: ["a/b", "m~n", "0", ""].map(str::to_owned).to_vec() };
        assert_eq!(Path::from(&pointer).text, "/a~1b/m~0n/0/");
        assert_eq!(shown(&text(&[])), "the record");
    }
}
