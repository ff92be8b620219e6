//! Keeping only some of a record: everything else goes.

use super::super::constants::NameId;
use super::super::document::Cursor;
use super::room::Namesakes;
use super::{Container, Draft, DraftValue, Entry, Slot};

/// What is kept of a container.
#[derive(Debug, Clone)]
pub(in crate::preprocess) struct KeepNode {
    /// An item of it.
    pub(in crate::preprocess) name: NameId,
    /// The same as text: every member of every record is compared with it.
    pub(in crate::preprocess) text: Box<str>,
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
        let (doc, ours) = (self.doc, self.room.met.len());
        self.room.met.resize(ours + nodes.len(), None);
        let wanted = |name: &str| nodes.iter().position(|node| *node.text == *name);
        doc.each_wanted(base, wanted, |number, cursor| {
            let node = &nodes[number];
            match self.room.met[ours + number] {
                None => {
                    let value = self.kept_of(DraftValue::Input(cursor), node);
                    let entry = Entry { kept: value.is_some(), ..Entry::old(node.name, (cursor, 0), value) };
                    self.room.met[ours + number] = Some(self.push(container, entry));
                }
                Some(first) if node.below.is_empty() => {
                    let first = &mut self.room.entries[first as usize];
                    first.namesakes = match first.namesakes {
                        Namesakes::Kept(count) => Namesakes::Kept(count + 1),
                        Namesakes::AsOthers | Namesakes::Gone(_) => Namesakes::Kept(1),
                    };
                }
                // Of equal names only the first is read.
                Some(_) => {}
            }
        });
        self.room.met.truncate(ours);
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
    /// their bytes travel. Where a part of it is kept they go, also those that an earlier step kept.
    fn keep_namesakes(&mut self, container: u32, node: &KeepNode, first: u32) {
        let namesakes = match self.room.entries[first as usize].namesakes {
            Namesakes::AsOthers if node.below.is_empty() => match self.count_namesakes(container, first) {
                0 => Namesakes::AsOthers,
                count => Namesakes::Kept(count),
            },
            Namesakes::Kept(_) if !node.below.is_empty() => Namesakes::AsOthers,
            as_before @ (Namesakes::AsOthers | Namesakes::Kept(_) | Namesakes::Gone(_)) => as_before,
        };
        self.room.entries[first as usize].namesakes = namesakes;
    }
}
