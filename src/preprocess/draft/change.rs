//! Changing a draft: containers get entries, and entries values.

use super::super::constants::{EditPath, LiteralId, LiteralShape, NameId};
use super::super::document::{Value, array_index};
use super::super::look::Look;
use super::super::splice::{NoPlace, is_empty_object};
use super::room::{AnswerPlace, MAX_DEPTH, MAX_ENTRIES, Namesakes, Overgrown, Taken};
use super::{Container, Cursor, Draft, DraftValue, Entry, Slot};
use crate::mutants::{self, Mutant};

impl Draft<'_> {
    pub(super) fn push(&mut self, id: u32, entry: Entry) -> u32 {
        let number = self.room.entries.len() as u32;
        self.room.entries.push(entry);
        if let Some(container) = self.room.containers.get_mut(id as usize) {
            let first = match container.entries {
                Some((first, last)) => {
                    self.room.entries[last as usize].next = Some(number);
                    first
                }
                None => number,
            };
            container.entries = Some((first, number));
        }
        number
    }

    /// Takes out whatever else has the name of the entry `first`: of equal names only the first is read.
    pub(super) fn hide_namesakes(&mut self, id: u32, first: u32) {
        if mutants::on(Mutant::NamesakesLeftBehind) {
            return;
        }
        let namesakes = match self.room.entries[first as usize].namesakes {
            Namesakes::AsOthers => Namesakes::Gone(self.count_namesakes(id, first)),
            Namesakes::Kept(count) | Namesakes::Gone(count) => Namesakes::Gone(count),
        };
        self.room.entries[first as usize].namesakes = namesakes;
    }

    /// How many members without an entry have the old name of an entry and stand behind it.
    pub(super) fn count_namesakes(&self, id: u32, first: u32) -> u32 {
        let Container { base, is_array, only, .. } = self.room.containers[id as usize];
        let Entry { name, old, named_as_before, .. } = self.room.entries[first as usize];
        let (Some(base), Some((cursor, _)), true) = (base, old, named_as_before && !is_array && !only) else {
            return 0;
        };
        let (mut at, mut count) = (cursor, 0);
        while let Some(next) = self.doc.namesake_behind(base, at, self.constants.name(name)) {
            (at, count) = (next, count + 1);
        }
        count
    }

    /// The changed container that `value` is, or is made into.
    ///
    /// # Errors
    /// It is no container.
    pub(super) fn changed(&mut self, value: DraftValue) -> Result<u32, NoPlace> {
        if let DraftValue::Changed(id) = value {
            return Ok(id);
        }
        let (base, is_array) = match (value, self.value(value)) {
            (DraftValue::Literal(id), Value::Object { .. } | Value::Array) => return Ok(self.thaw(id)),
            (DraftValue::Input(cursor), Value::Object { .. }) => (cursor, false),
            (DraftValue::Input(cursor), Value::Array) => (cursor, true),
            (_, Value::Null) => return Err(NoPlace::Null),
            (
                DraftValue::Input(_)
                | DraftValue::Literal(_)
                | DraftValue::Made(_)
                | DraftValue::Changed(_)
                | DraftValue::Answer(_),
                Value::Bool(_)
                | Value::Negative(_)
                | Value::Unsigned(_)
                | Value::Float(_)
                | Value::String(_)
                | Value::Object { .. }
                | Value::Array,
            ) => return Err(NoPlace::NotAnObject),
        };
        Ok(self.add_container(Some(base), is_array))
    }

    pub(super) fn add_container(&mut self, base: Option<Cursor>, is_array: bool) -> u32 {
        self.room.containers.push(Container { base, is_array, only: false, entries: None });
        self.room.containers.len() as u32 - 1
    }

    /// A container of the configuration as one that can be changed.
    pub(super) fn thaw(&mut self, id: LiteralId) -> u32 {
        let constants = self.constants;
        match &constants.literal(id).shape {
            LiteralShape::Array(elements) => {
                let container = self.add_container(None, true);
                for element in elements {
                    self.push(container, Entry::new(NameId::default(), DraftValue::Literal(*element)));
                }
                container
            }
            LiteralShape::Object(members) => {
                let container = self.add_container(None, false);
                for (name, value) in members {
                    self.push(container, Entry::new(*name, DraftValue::Literal(*value)));
                }
                container
            }
            LiteralShape::Null
            | LiteralShape::Bool(_)
            | LiteralShape::Negative(_)
            | LiteralShape::Unsigned(_)
            | LiteralShape::Float(_)
            | LiteralShape::String(_) => self.add_container(None, false),
        }
    }

    /// The container at `path`, ready to be changed. With `create` missing parents are made.
    ///
    /// # Errors
    /// A parent is missing, null, or no container.
    pub(in crate::preprocess) fn container(&mut self, path: &[NameId], create: bool) -> Result<u32, NoPlace> {
        let mut id = self.changed(self.root)?;
        self.root = DraftValue::Changed(id);
        for name in path {
            id = self.child_container(id, *name, create)?;
        }
        Ok(id)
    }

    pub(super) fn child_container(&mut self, id: u32, name: NameId, create: bool) -> Result<u32, NoPlace> {
        match self.named(id, name) {
            Slot::Nothing if create && !self.room.containers[id as usize].is_array => {
                let child = self.add_container(None, false);
                self.push(id, Entry::new(name, DraftValue::Changed(child)));
                Ok(child)
            }
            Slot::Nothing => Err(NoPlace::Missing),
            Slot::Entry(number, value) => {
                let child = self.changed(value)?;
                self.room.entries[number as usize].value = Some(DraftValue::Changed(child));
                Ok(child)
            }
            Slot::Base(cursor, index) => {
                let child = self.changed(DraftValue::Input(cursor))?;
                self.push(id, Entry::old(name, (cursor, index), Some(DraftValue::Changed(child))));
                Ok(child)
            }
        }
    }

    /// Takes an item out, with every other of its name.
    pub(in crate::preprocess) fn take(&mut self, container: u32, name: NameId) -> Option<(DraftValue, Taken)> {
        match self.named(container, name) {
            Slot::Nothing => None,
            Slot::Entry(entry, value) => {
                self.room.entries[entry as usize].value = None;
                self.hide_namesakes(container, entry);
                Some((value, Taken { container, entry }))
            }
            Slot::Base(cursor, index) => {
                let entry = self.push(container, Entry::old(name, (cursor, index), None));
                self.hide_namesakes(container, entry);
                Some((DraftValue::Input(cursor), Taken { container, entry }))
            }
        }
    }

    /// Puts a value under a name: in the place of what stands there, else behind the last.
    ///
    /// # Errors
    /// The container is an array, and the name is not the index of an element nor of the place behind the last one.
    pub(in crate::preprocess) fn put(
        &mut self,
        container: u32,
        name: NameId,
        value: DraftValue,
    ) -> Result<(), NoPlace> {
        let member = self.constants.name(name);
        match self.named(container, name) {
            Slot::Entry(entry, _) => {
                self.room.entries[entry as usize].value = Some(value);
                self.hide_namesakes(container, entry);
            }
            Slot::Base(cursor, index) => {
                let entry = self.push(container, Entry::old(name, (cursor, index), Some(value)));
                self.hide_namesakes(container, entry);
            }
            Slot::Nothing => {
                if self.room.containers[container as usize].is_array
                    && member != "-"
                    && array_index(member) != Some(self.items(container))
                {
                    return Err(if array_index(member).is_some() { NoPlace::Missing } else { NoPlace::NotAnObject });
                }
                self.push(container, Entry::new(name, value));
            }
        }
        Ok(())
    }

    /// Puts what was taken back to its place, under another name. Only for members of objects.
    pub(in crate::preprocess) fn put_back(&mut self, place: Taken, name: NameId, value: DraftValue) {
        let entry = &mut self.room.entries[place.entry as usize];
        entry.named_as_before &= entry.name == name;
        (entry.name, entry.value) = (name, Some(value));
    }

    /// Whether a place is in this container, and that is an object.
    pub(in crate::preprocess) fn is_member_of(&self, place: Taken, container: u32) -> bool {
        place.container == container && !self.room.containers[container as usize].is_array
    }

    /// The same value once more: what is done to one afterwards is not done to the other.
    pub(in crate::preprocess) fn copy(&mut self, value: DraftValue) -> DraftValue {
        self.copy_below(value, 0)
    }

    fn copy_below(&mut self, value: DraftValue, depth: usize) -> DraftValue {
        let DraftValue::Changed(id) = value else { return value };
        if depth > MAX_DEPTH || self.room.entries.len() > MAX_ENTRIES {
            let bound = if depth > MAX_DEPTH { Overgrown::Depth } else { Overgrown::Bytes };
            self.room.overgrown.get_or_insert(bound);
            return value;
        }
        let Container { base, is_array, only, .. } = self.room.containers[id as usize];
        let copy = self.add_container(base, is_array);
        self.room.containers[copy as usize].only = only;
        let mut at = self.room.containers[id as usize].entries.map(|(first, _)| first);
        while let Some(number) = at {
            let entry = self.room.entries[number as usize];
            let value = entry.value.map(|value| self.copy_below(value, depth + 1));
            self.push(copy, Entry { next: None, value, ..entry });
            at = entry.next;
        }
        DraftValue::Changed(copy)
    }

    /// Puts a value at a path; missing parents are made.
    ///
    /// # Errors
    /// See [`Draft::container`] and [`Draft::put`].
    pub(in crate::preprocess) fn put_at(
        &mut self,
        EditPath { parents, name }: &EditPath,
        value: DraftValue,
    ) -> Result<(), NoPlace> {
        let container = self.container(parents, true)?;
        self.put(container, *name, value)
    }

    /// Reserves the place for the answer to a question; what stands there stays when there is none.
    ///
    /// # Errors
    /// See [`Draft::container`] and [`Draft::put`].
    pub(in crate::preprocess) fn reserve(
        &mut self,
        into: &[String],
        path: &EditPath,
        question: usize,
    ) -> Result<(), NoPlace> {
        let (_, parents) = into.split_last().ok_or(NoPlace::NotAnObject)?;
        let parent = self.find(self.root, parents).ok_or(NoPlace::Missing)?;
        is_empty_object(self.value(parent))?;
        let EditPath { parents, name } = path;
        let (container, name) = (self.container(parents, false)?, *name);
        let before = match self.named(container, name) {
            Slot::Nothing => None,
            Slot::Entry(_, value) => Some(value),
            Slot::Base(cursor, _) => Some(DraftValue::Input(cursor)),
        };
        self.room.answers.push(AnswerPlace { question, before });
        let answer = DraftValue::Answer(self.room.answers.len() as u32 - 1);
        // Unlike a step's value it leaves others of its name alone: there may be no answer.
        match self.named(container, name) {
            Slot::Entry(entry, _) => self.room.entries[entry as usize].value = Some(answer),
            Slot::Base(cursor, index) => {
                self.push(container, Entry::old(name, (cursor, index), Some(answer)));
            }
            Slot::Nothing => {
                self.push(container, Entry::new(name, answer));
            }
        }
        Ok(())
    }
}
