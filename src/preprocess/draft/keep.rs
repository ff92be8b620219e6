//! Keeping only some of a record: everything else goes.

use super::super::constants::NameId;
use super::super::document::Cursor;
use super::{Container, Draft, DraftValue, Entry, Slot};

/// What is kept of a container.
#[derive(Debug, Clone)]
pub(in crate::preprocess) struct KeepNode {
    /// An item of it.
    pub(in crate::preprocess) name: NameId,
    /// What is kept of the item; nothing named: all of it.
    pub(in crate::preprocess) below: Vec<KeepNode>,
}

impl Draft<'_> {
    /// Keeps of a changed container what `nodes` name. Returns whether anything of it is left.
    pub(in crate::preprocess) fn keep(&mut self, container: u32, nodes: &[KeepNode]) -> bool {
        match self.room.containers[container as usize] {
            Container { base: Some(base), is_array: false, only: false, entries: None } => {
                self.keep_of_input(container, base, nodes);
            }
            Container { .. } => nodes.iter().for_each(|node| self.keep_one(container, node)),
        }
        let mut next = self.room.containers[container as usize].entries.map(|(first, _)| first);
        let mut is_left = false;
        while let Some(number) = next {
            let entry = &mut self.room.entries[number as usize];
            if !std::mem::take(&mut entry.kept) {
                entry.value = None;
            }
            is_left |= entry.value.is_some();
            next = entry.next;
        }
        self.room.containers[container as usize].only = true;
        is_left
    }

    /// The same of an object as it was in the input, in one pass over its members.
    fn keep_of_input(&mut self, container: u32, base: Cursor, nodes: &[KeepNode]) {
        let (doc, constants) = (self.doc, self.constants);
        doc.each_member(base, |name, cursor| {
            let Some(node) = nodes.iter().find(|node| constants.name(node.name) == name) else { return };
            let is_read = node.below.is_empty() || doc.child(base, name).is_some_and(|first| first.is(cursor));
            if is_read && let Some(value) = self.kept_of(DraftValue::Input(cursor), node) {
                self.push(container, Entry { kept: true, ..Entry::old(node.name, (cursor, 0), Some(value)) });
            }
        });
    }

    fn keep_one(&mut self, container: u32, node: &KeepNode) {
        match self.named(container, node.name) {
            Slot::Nothing => {}
            Slot::Entry(number, value) => {
                if let Some(value) = self.kept_of(value, node) {
                    let entry = &mut self.room.entries[number as usize];
                    (entry.value, entry.kept) = (Some(value), true);
                }
                self.keep_namesakes(container, node, number);
            }
            Slot::Base(cursor, index) => {
                if let Some(value) = self.kept_of(DraftValue::Input(cursor), node) {
                    let entry = Entry { kept: true, ..Entry::old(node.name, (cursor, index), Some(value)) };
                    let number = self.push(container, entry);
                    self.keep_namesakes(container, node, number);
                }
            }
        }
    }

    /// The value with only what is kept of it; `None` where that is nothing.
    fn kept_of(&mut self, value: DraftValue, node: &KeepNode) -> Option<DraftValue> {
        if node.below.is_empty() {
            return Some(value);
        }
        let below = self.changed(value).ok()?;
        self.keep(below, &node.below).then_some(DraftValue::Changed(below))
    }

    /// Keeps the other members of the name of the entry `first`, where all of it is kept: nobody reads them here, but
    /// their bytes travel.
    fn keep_namesakes(&mut self, container: u32, node: &KeepNode, first: u32) {
        let Container { base, is_array, only, .. } = self.room.containers[container as usize];
        let Entry { old, named_as_before, .. } = self.room.entries[first as usize];
        let (Some(base), Some((cursor, _)), true) = (base, old, named_as_before && !is_array && node.below.is_empty())
        else {
            return;
        };
        let (mut at, constants) = (cursor, self.constants);
        while let Some(next) = self.doc.namesake_behind(base, at, constants.name(node.name)) {
            at = next;
            let known = self.entries(container).find(|(_, entry)| entry.was(next)).map(|(number, _)| number);
            match known {
                Some(number) => self.room.entries[number as usize].kept = true,
                None if only => {}
                None => {
                    let entry = Entry::old(node.name, (next, 0), Some(DraftValue::Input(next)));
                    self.push(container, Entry { kept: true, ..entry });
                }
            }
        }
    }
}
