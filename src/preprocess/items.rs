//! The members and elements of a document's containers: how many, which, and which bytes are theirs.

use std::ops::Range;

use super::document::{Cursor, Document};
use super::scan;

/// Where a member or element stands in the original.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ItemSpan {
    /// A member's opening quote, or the first byte of an element.
    pub(super) start: usize,
    /// Its value, without blanks around it.
    pub(super) value: Range<usize>,
    /// Where the next item starts; `None` for the last one.
    pub(super) next: Option<usize>,
}

impl<'d> Document<'d> {
    /// Where the first item of a container starts, or its closing bracket stands.
    pub(super) fn items_start(&self, container: Cursor) -> usize {
        scan::skip_blanks(self.original(), self.start(container) + 1)
    }

    /// Where the item stands whose value is at `value`, found by name or by index.
    pub(super) fn item(&self, value: Cursor) -> ItemSpan {
        let range = self.range(value);
        let Some(key) = self.key_of(value) else {
            let behind = scan::skip_blanks(self.original(), range.end);
            let more = self.original().get(behind) == Some(&b',');
            let next = more.then(|| scan::skip_blanks(self.original(), behind + 1));
            return ItemSpan { start: range.start, value: range, next };
        };
        ItemSpan { start: key, next: self.next_key(value), value: range }
    }

    /// Calls `visit` with each member of an object, in order; nothing for any other value.
    pub(super) fn each_member(&self, object: Cursor, mut visit: impl FnMut(&'d str, Cursor)) {
        let mut at = self.first_member(object);
        while let Some((name, value)) = at {
            visit(name, value);
            at = self.member_behind(object, value);
        }
    }

    /// Calls `visit` with each element of an array, in order; nothing for any other value.
    pub(super) fn each_element(&self, array: Cursor, mut visit: impl FnMut(Cursor)) {
        let mut at = self.find_element(array, 0);
        while let Some(value) = at {
            visit(value);
            at = self.item(value).next.and_then(|start| self.element_behind(value, start));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocess::tape::Parser;

    #[test]
    fn items_are_found_in_order_with_their_bytes() {
        let text = r#"{ "a" : [ 1 , {"x":[2]} ,"s" ] ,"":{}, "a":null }"#;
        Parser::default()
            .read(text.as_bytes(), |doc| {
                let shown = |range: Range<usize>| text[range].to_owned();
                let mut seen = Vec::new();
                doc.each_member(doc.root(), |name, value| {
                    let ItemSpan { start, value: bytes, next } = doc.item(value);
                    seen.push((name.to_owned(), shown(start..bytes.end), next.map(|next| shown(next..next + 2))));
                });
                let expected = [
                    ("a", r#""a" : [ 1 , {"x":[2]} ,"s" ]"#, Some(r#""""#)),
                    ("", r#""":{}"#, Some(r#""a"#)),
                    ("a", r#""a":null"#, None),
                ];
                let expected =
                    expected.map(|(name, item, next)| (name.to_owned(), item.to_owned(), next.map(str::to_owned)));
                assert_eq!(seen, expected);
                let list = doc.find(doc.root(), &["a".to_owned()]).expect("there");
                let mut elements = Vec::new();
                doc.each_element(list, |value| {
                    let ItemSpan { start, value: bytes, next } = doc.item(value);
                    assert_eq!(start, bytes.start);
                    elements.push((shown(bytes), next.is_some()));
                });
                let expected = [("1", true), (r#"{"x":[2]}"#, true), (r#""s""#, false)];
                assert_eq!(elements, expected.map(|(bytes, more)| (bytes.to_owned(), more)));
                assert_eq!((doc.count(doc.root()), doc.count(list), doc.items_start(list)), (3, 3, 10));
            })
            .expect("valid");
    }
}
