//! Writes a draft: the input's bytes, with the entries of changed containers put in at their places.
//!
//! An item that is gone takes the comma before it along, or, where nothing stands before it any more, the one behind
//! it. New items go behind the last one. What stays keeps its bytes, the blanks around it included.

use std::mem;
use std::ops::Range;

use super::super::evaluate::LookupQuestion;
use super::super::look::Look;
use super::super::scan;
use super::super::splice::SplicePoint;
use super::room::{MAX_DEPTH, Namesakes, OldItem, Overgrown};
use super::{Container, Cursor, Draft, DraftValue, Entry};
use crate::mutants::{self, Mutant};

/// What a record is written to.
struct Sheet<'q> {
    out: Vec<u8>,
    /// Where `out` may end.
    most: usize,
    depth: usize,
    overgrown: Option<Overgrown>,
    order: Vec<OldItem>,
    questions: &'q mut [LookupQuestion],
}

impl Draft<'_> {
    /// Writes the record behind those written before and gives its range. Where answers go is noted with their
    /// questions.
    pub(in crate::preprocess) fn write(&mut self, questions: &mut [LookupQuestion]) -> Range<usize> {
        let (out, order) = (mem::take(&mut self.room.written), mem::take(&mut self.room.order));
        let start = out.len();
        let mut sheet = self.sheet(out, order, questions);
        self.write_value(self.root, &mut sheet);
        sheet.order.clear();
        self.room.overgrown = self.room.overgrown.or(sheet.overgrown);
        if self.room.overgrown.is_some() {
            sheet.out.truncate(start);
        }
        (self.room.written, self.room.order) = (sheet.out, sheet.order);
        start..self.room.written.len()
    }

    /// Makes a string of a value's JSON text.
    pub(in crate::preprocess) fn make_text_of(&mut self, value: DraftValue) -> DraftValue {
        let text = self.write_text(value);
        let made = self.make_string(std::str::from_utf8(&text).unwrap_or_default());
        self.room.inner = text;
        made
    }

    /// A value's JSON text, in the room for texts that are read, which the caller gives back.
    pub(super) fn write_text(&mut self, value: DraftValue) -> Vec<u8> {
        let (mut out, order) = (mem::take(&mut self.room.inner), mem::take(&mut self.room.order));
        out.clear();
        let mut sheet = self.sheet(out, order, &mut []);
        self.write_value(value, &mut sheet);
        self.room.overgrown = self.room.overgrown.or(sheet.overgrown);
        self.room.order = sheet.order;
        sheet.out
    }

    fn sheet<'q>(&self, out: Vec<u8>, order: Vec<OldItem>, questions: &'q mut [LookupQuestion]) -> Sheet<'q> {
        let most = out.len().saturating_add(self.room.most_bytes);
        Sheet { out, most, depth: 0, overgrown: None, order, questions }
    }

    fn write_value(&self, value: DraftValue, sheet: &mut Sheet<'_>) {
        if sheet.out.len() > sheet.most {
            sheet.overgrown = Some(Overgrown::Bytes);
            return;
        }
        match value {
            DraftValue::Input(_) | DraftValue::Literal(_) | DraftValue::Made(_) => {
                sheet.out.extend_from_slice(self.spelling(value));
            }
            DraftValue::Changed(id) => self.write_container(id, sheet),
            DraftValue::Answer(place) => {
                let Some(place) = self.room.answers.get(place as usize).copied() else { return };
                if let Some(before) = place.before {
                    let start = sheet.out.len();
                    self.write_value(before, sheet);
                    sheet.note(place.question, SplicePoint::value(start..sheet.out.len()));
                }
            }
        }
    }

    fn write_container(&self, id: u32, sheet: &mut Sheet<'_>) {
        let Some(container) = self.room.containers.get(id as usize).copied() else { return };
        if sheet.depth > MAX_DEPTH {
            sheet.overgrown = Some(Overgrown::Depth);
            return;
        }
        sheet.depth += 1;
        let first_of_ours = sheet.order.len();
        for (number, entry) in self.entries(id) {
            let Some((cursor, _)) = entry.old else { continue };
            sheet.order.push(OldItem { start: self.start_of(cursor), cursor, entry: Some(number) });
            let others_matter = match entry.namesakes {
                Namesakes::AsOthers => false,
                Namesakes::Gone(count) => count > 0 && !container.only,
                Namesakes::Kept(_) => container.only && entry.value.is_some(),
            };
            if let Some(base) = container.base.filter(|_| others_matter) {
                self.list_namesakes(base, cursor, sheet);
            }
        }
        sheet.order[first_of_ours..].sort_unstable_by_key(|item| item.start);
        let nothing_yet = match container.base {
            Some(base) if !container.only => self.write_changed(base, first_of_ours, sheet),
            Some(_) | None => self.write_only(container, first_of_ours, sheet),
        };
        sheet.order.truncate(first_of_ours);
        self.write_new(id, container, nothing_yet, sheet);
        sheet.out.push(if container.is_array { b']' } else { b'}' });
        sheet.depth -= 1;
    }

    /// Lists the members behind the one at `first` that have its name in the input.
    fn list_namesakes(&self, base: Cursor, first: Cursor, sheet: &mut Sheet<'_>) {
        let Some(name) = self.doc.name_of(first) else { return };
        let mut at = first;
        while let Some(cursor) = self.doc.namesake_behind(base, at, name) {
            sheet.order.push(OldItem { start: self.start_of(cursor), cursor, entry: None });
            at = cursor;
        }
    }

    fn start_of(&self, item: Cursor) -> usize {
        self.doc.key_of(item).unwrap_or_else(|| self.doc.start(item))
    }

    fn entry(&self, number: u32) -> &Entry {
        &self.room.entries[number as usize]
    }

    fn copy_input(&self, range: Range<usize>, sheet: &mut Sheet<'_>) {
        sheet.out.extend_from_slice(self.doc.original().get(range).unwrap_or_default());
    }

    /// Writes the container at `base` without its closing bracket. Returns whether none of its items is left.
    fn write_changed(&self, base: Cursor, first_of_ours: usize, sheet: &mut Sheet<'_>) -> bool {
        let (range, bytes) = (self.doc.range(base), self.doc.original());
        let mut from = range.start;
        // Where the first of the items starts that are left, as long as none was passed.
        let mut first_left = Some(self.doc.items_start(base));
        let mut is_emptied = self.doc.count(base) == 0;
        for at in first_of_ours..sheet.order.len() {
            let OldItem { cursor, entry, .. } = sheet.order[at];
            let entry = entry.map(|number| *self.entry(number));
            if entry.is_some_and(|entry| entry.is_as_before()) {
                first_left = None;
                continue;
            }
            let item = self.doc.item(cursor);
            match entry.and_then(|entry| Some((entry, entry.value?))) {
                Some((entry, value)) => {
                    first_left = None;
                    if entry.named_as_before {
                        self.copy_input(from..item.value.start, sheet);
                    } else {
                        self.copy_input(from..item.start, sheet);
                        sheet.out.extend_from_slice(self.constants.name_json(entry.name));
                    }
                    self.write_value(value, sheet);
                    let is_stale = mutants::on(Mutant::EditAtAStaleOffset);
                    from = if is_stale { item.value.start } else { item.value.end };
                }
                None if first_left == Some(item.start) => {
                    self.copy_input(from..item.start, sheet);
                    from = item.next.unwrap_or(item.value.end);
                    (first_left, is_emptied) = (item.next, item.next.is_none());
                }
                None => {
                    let comma = scan::trim_blanks(bytes, item.start).saturating_sub(1);
                    self.copy_input(from..scan::trim_blanks(bytes, comma), sheet);
                    from = item.value.end;
                }
            }
        }
        self.copy_input(from..range.end.saturating_sub(1), sheet);
        is_emptied
    }

    /// Writes a container of which only what has an entry is left, without its closing bracket. Returns whether nothing
    /// is.
    fn write_only(&self, container: Container, first_of_ours: usize, sheet: &mut Sheet<'_>) -> bool {
        sheet.out.push(if container.is_array { b'[' } else { b'{' });
        let mut nothing_yet = true;
        for at in first_of_ours..sheet.order.len() {
            let OldItem { cursor, entry, .. } = sheet.order[at];
            let entry = entry.map(|number| *self.entry(number));
            if entry.is_some_and(|entry| entry.value.is_none()) {
                continue;
            }
            sheet.separate(&mut nothing_yet);
            let item = self.doc.item(cursor);
            let changed = entry.filter(|entry| !entry.is_as_before()).and_then(|entry| Some((entry, entry.value?)));
            let Some((entry, value)) = changed else {
                self.copy_input(item.start..item.value.end, sheet);
                continue;
            };
            if entry.named_as_before {
                self.copy_input(item.start..item.value.start, sheet);
            } else {
                sheet.out.extend_from_slice(self.constants.name_json(entry.name));
            }
            self.write_value(value, sheet);
        }
        nothing_yet
    }

    /// Writes the new items, and notes the places of new members that wait for an answer: those come last, because
    /// there may be none.
    fn write_new(&self, id: u32, container: Container, mut nothing_yet: bool, sheet: &mut Sheet<'_>) {
        let new = || self.entries(id).filter(|(_, entry)| entry.old.is_none());
        for (_, entry) in new() {
            let Some(value) = entry.value.filter(|value| self.waits_for(*value).is_none()) else { continue };
            sheet.separate(&mut nothing_yet);
            if !container.is_array {
                sheet.out.extend_from_slice(self.constants.name_json(entry.name));
            }
            self.write_value(value, sheet);
        }
        for question in new().filter_map(|(_, entry)| self.waits_for(entry.value?)) {
            sheet.note(question, SplicePoint::member(sheet.out.len(), nothing_yet));
        }
    }

    /// The question without whose answer there is nothing to write.
    fn waits_for(&self, value: DraftValue) -> Option<usize> {
        let DraftValue::Answer(place) = value else { return None };
        self.room.answers.get(place as usize).filter(|place| place.before.is_none()).map(|place| place.question)
    }
}

impl Sheet<'_> {
    fn separate(&mut self, nothing_yet: &mut bool) {
        if !mem::take(nothing_yet) {
            self.out.push(b',');
        }
    }

    fn note(&mut self, question: usize, point: SplicePoint) {
        if let Some(question) = self.questions.get_mut(question) {
            question.point = point;
        }
    }
}

impl Entry {
    /// Whether it is the item of the input that it was, under its own name.
    fn is_as_before(&self) -> bool {
        matches!((self.value, self.old), (Some(DraftValue::Input(now)), Some((old, _))) if now.is(old))
            && self.named_as_before
    }
}
