//! The elements of an array under change, and drafts of one element after the other.

use super::super::constants::LiteralShape;
use super::super::document::{Cursor, Value};
use super::{Draft, DraftValue, Entry};

/// How much of the room is taken. What one element took is given back before the next one.
#[derive(Debug, Clone, Copy)]
pub(in crate::preprocess) struct RoomMark {
    containers: usize,
    entries: usize,
    scalars: usize,
    answers: usize,
    texts: usize,
}

impl Draft<'_> {
    /// Appends the elements of an array, in order; whether it is one.
    pub(in crate::preprocess) fn list_elements(&self, value: DraftValue, out: &mut Vec<DraftValue>) -> bool {
        match value {
            DraftValue::Input(cursor) if self.doc.value(cursor) == Value::Array => {
                self.doc.each_element(cursor, |element| out.push(DraftValue::Input(element)));
                true
            }
            DraftValue::Literal(id) => match &self.constants.literal(id).shape {
                LiteralShape::Array(elements) => {
                    out.extend(elements.iter().copied().map(DraftValue::Literal));
                    true
                }
                LiteralShape::Null
                | LiteralShape::Bool(_)
                | LiteralShape::Negative(_)
                | LiteralShape::Unsigned(_)
                | LiteralShape::Float(_)
                | LiteralShape::String(_)
                | LiteralShape::Object(_) => false,
            },
            DraftValue::Changed(id) if self.room.containers.get(id as usize).is_some_and(|one| one.is_array) => {
                self.list_changed(id, out);
                true
            }
            DraftValue::Answer(place) => {
                let before = self.room.answers.get(place as usize).and_then(|place| place.before);
                before.is_some_and(|before| self.list_elements(before, out))
            }
            DraftValue::Input(_) | DraftValue::Made(_) | DraftValue::Changed(_) => false,
        }
    }

    fn list_changed(&self, id: u32, out: &mut Vec<DraftValue>) {
        let Some(container) = self.room.containers.get(id as usize) else { return };
        let mut old: Vec<(usize, &Entry)> =
            self.entries(id).filter_map(|(_, entry)| Some((entry.old?.1, entry))).collect();
        old.sort_unstable_by_key(|(at, _)| *at);
        let mut changed = old.into_iter().peekable();
        let mut index = 0;
        let mut each = |element: Cursor| {
            match changed.next_if(|(at, _)| *at == index) {
                Some((_, entry)) => out.extend(entry.value),
                None if container.only => {}
                None => out.push(DraftValue::Input(element)),
            }
            index += 1;
        };
        if let Some(base) = container.base {
            self.doc.each_element(base, &mut each);
        }
        out.extend(self.entries(id).filter(|(_, entry)| entry.old.is_none()).filter_map(|(_, entry)| entry.value));
    }

    /// What is taken of the room now.
    pub(in crate::preprocess) fn mark(&self) -> RoomMark {
        RoomMark {
            containers: self.room.containers.len(),
            entries: self.room.entries.len(),
            scalars: self.room.scalars.len(),
            answers: self.room.answers.len(),
            texts: self.room.texts.len(),
        }
    }

    /// Gives back what was taken since; nothing from before may have been changed since either.
    pub(in crate::preprocess) fn back_to(&mut self, mark: RoomMark) {
        self.room.containers.truncate(mark.containers);
        self.room.entries.truncate(mark.entries);
        self.room.scalars.truncate(mark.scalars);
        self.room.answers.truncate(mark.answers);
        self.room.texts.truncate(mark.texts);
    }
}
