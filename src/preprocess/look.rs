//! How steps and templates read a record: as it was parsed, or with the changes of earlier steps.

use super::document::{Cursor, Document, Value};

/// A record that can be read.
pub(super) trait Look {
    /// A value in it.
    type At: Copy;

    /// Follows `members` from `from`. `None` when nothing is there.
    fn find(&self, from: Self::At, members: &[String]) -> Option<Self::At>;
    /// What is there.
    fn value(&self, at: Self::At) -> Value<'_>;
    /// A scalar's bytes as they are written.
    fn spelling(&self, at: Self::At) -> &[u8];
    /// How many members or elements a container has; 0 for any other value.
    fn count(&self, at: Self::At) -> usize;
}

impl Look for Document<'_> {
    type At = Cursor;

    #[inline(always)]
    fn find(&self, from: Cursor, members: &[String]) -> Option<Cursor> {
        Document::find(self, from, members)
    }
    #[inline(always)]
    fn value(&self, at: Cursor) -> Value<'_> {
        Document::value(self, at)
    }
    #[inline(always)]
    fn spelling(&self, at: Cursor) -> &[u8] {
        self.bytes(at)
    }
    #[inline(always)]
    fn count(&self, at: Cursor) -> usize {
        Document::count(self, at)
    }
}
