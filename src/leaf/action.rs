//! What is done with a document, and the choice of it by a field of the input: the sink sends by it, and the steps are
//! skipped for records that have no document to send.

use std::collections::BTreeMap;

use super::pointer::Pointer;

/// Bulk action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// `update` with `doc_as_upsert`.
    Upsert,
    /// Replace the whole document.
    Index,
    /// Insert or 409.
    Create,
    /// Merge into an existing document.
    Update,
    /// Delete.
    Delete,
}

/// What is done with a record of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// This.
    Do(Action),
    /// Nothing; it is counted as dropped.
    Drop,
    /// It is rejected.
    Reject,
}

impl Choice {
    /// Whether such a record's document is sent.
    #[must_use]
    pub fn has_document(self) -> bool {
        match self {
            Self::Do(Action::Upsert | Action::Index | Action::Create | Action::Update) => true,
            Self::Do(Action::Delete) | Self::Drop | Self::Reject => false,
        }
    }
}

/// An action for each value of a field of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionBy {
    /// The field.
    pub pointer: Pointer,
    /// By value.
    pub map: BTreeMap<String, Choice>,
    /// For any other value, and where there is none.
    pub otherwise: Choice,
}

impl ActionBy {
    /// What is done with a record whose field reads so.
    #[must_use]
    pub fn choice(&self, text: &[u8]) -> Choice {
        let known = std::str::from_utf8(text).ok().and_then(|text| self.map.get(text));
        known.copied().unwrap_or(self.otherwise)
    }

    /// The actions it may choose.
    pub fn actions(&self) -> impl Iterator<Item = Action> + '_ {
        self.map.values().chain([&self.otherwise]).filter_map(|choice| match choice {
            Choice::Do(action) => Some(*action),
            Choice::Drop | Choice::Reject => None,
        })
    }
}
