//! A record under change: the parsed input and what steps have done to it so far.
//!
//! Nothing is rebuilt and nothing is parsed again while steps run. A container that a step changes gets a list of
//! *entries*: which of its items are gone, which have another value or name, which are new. Later steps read through
//! them, and [`Draft::write`] writes the record once, at the end: the input's bytes with the entries put in at their
//! places. Bytes that no step touched are copied as they stand.
//!
//! All lists are the worker's and are used again for the next record.

mod keep;
mod write;

pub(super) use keep::KeepNode;

use super::constants::{Constants, EditPath, LiteralId, LiteralShape, NameId};
use super::document::{Cursor, Document, Value, array_index};
use super::look::Look;
use super::splice::NoPlace;
use super::tape::{Malformed, Parser};
use crate::leaf::Pointer;

/// A value of a draft.
#[derive(Debug, Clone, Copy)]
pub(super) enum DraftValue {
    /// As it is in the input.
    Input(Cursor),
    /// As it is in the configuration.
    Literal(LiteralId),
    /// A scalar that a step made; a place in [`DraftRoom::scalars`].
    Made(u32),
    /// A container with changes; a place in [`DraftRoom::containers`].
    Changed(u32),
    /// Where a look-up's answer goes; a place in [`DraftRoom::answers`].
    Answer(u32),
}

/// What a worker keeps drafts in.
#[derive(Default)]
pub(super) struct DraftRoom {
    containers: Vec<Container>,
    entries: Vec<Entry>,
    scalars: Vec<MadeScalar>,
    answers: Vec<AnswerPlace>,
    /// JSON text, and the characters of strings, of the scalars that steps made.
    texts: Vec<u8>,
    /// Old items of the containers being written, by position; the innermost container's are the last.
    order: Vec<(usize, u32)>,
    /// Values taken out of a draft or made for it, before they get their places.
    pub(super) hand: Vec<InHand>,
    /// The records written so far.
    pub(super) written: Vec<u8>,
    /// Reads text inside strings.
    parser: Parser,
}

/// A value a step has in hand.
#[derive(Debug, Clone, Copy)]
pub(super) struct InHand {
    /// Which of the step's assignments or moves it is for.
    pub(super) number: usize,
    pub(super) value: DraftValue,
    /// Where it was taken from.
    pub(super) from: Option<Taken>,
}

/// The place of something that was taken out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken {
    container: u32,
    entry: u32,
}

#[derive(Debug, Clone, Copy)]
struct Container {
    /// The container of the input that it was; `None` for a new one.
    base: Option<Cursor>,
    is_array: bool,
    /// Whether items of the input without an entry are gone.
    only: bool,
    /// Its first and its last entry.
    entries: Option<(u32, u32)>,
}

/// One item of a changed container.
#[derive(Debug, Clone, Copy)]
struct Entry {
    next: Option<u32>,
    /// The item of the input that it was, and, in an array, its index there; `None` for a new one.
    old: Option<(Cursor, usize)>,
    /// Its name in an object.
    name: NameId,
    /// `None`: it is gone.
    value: Option<DraftValue>,
    /// Whether it has its old name.
    named_as_before: bool,
    /// Whether the step under way keeps it.
    kept: bool,
}

#[derive(Debug, Clone, Copy)]
struct MadeScalar {
    json: (u32, u32),
    kind: ScalarKind,
}

#[derive(Debug, Clone, Copy)]
enum ScalarKind {
    Null,
    Bool(bool),
    Number,
    /// With the range of its characters.
    String((u32, u32)),
    /// Any value, which nobody reads before the record is parsed again.
    Json,
}

#[derive(Debug, Clone, Copy)]
struct AnswerPlace {
    question: usize,
    /// What stays there when nothing is found.
    before: Option<DraftValue>,
}

/// What stands under a name or index of a changed container.
#[derive(Debug, Clone, Copy)]
enum Slot {
    Nothing,
    Entry(u32, DraftValue),
    /// An item of the input without an entry, and its index in an array.
    Base(Cursor, usize),
}

/// See the module.
pub(super) struct Draft<'a> {
    pub(super) doc: &'a Document<'a>,
    pub(super) constants: &'a Constants,
    pub(super) room: &'a mut DraftRoom,
    /// The record.
    pub(super) root: DraftValue,
}

impl DraftRoom {
    /// Gives back what unusually large records needed beyond `keep_bytes`.
    pub(super) fn trim(&mut self, keep_bytes: usize) {
        self.written.clear();
        if self.written.capacity() > keep_bytes || self.entries.capacity() * size_of::<Entry>() > keep_bytes {
            *self = Self::default();
        }
    }
}

impl<'a> Draft<'a> {
    /// The input without changes.
    pub(super) fn new(doc: &'a Document<'a>, constants: &'a Constants, room: &'a mut DraftRoom) -> Self {
        room.containers.clear();
        room.entries.clear();
        room.scalars.clear();
        room.answers.clear();
        room.texts.clear();
        Self { doc, constants, room, root: DraftValue::Input(doc.root()) }
    }

    fn child(&self, of: DraftValue, member: &str) -> Option<DraftValue> {
        match of {
            DraftValue::Input(cursor) => self.doc.child(cursor, member).map(DraftValue::Input),
            DraftValue::Literal(id) => match &self.constants.literal(id).shape {
                LiteralShape::Object(members) => {
                    let mut found = members.iter().filter(|(name, _)| self.constants.name(*name) == member);
                    found.next().map(|(_, value)| DraftValue::Literal(*value))
                }
                LiteralShape::Array(elements) => elements.get(array_index(member)?).copied().map(DraftValue::Literal),
                LiteralShape::Null
                | LiteralShape::Bool(_)
                | LiteralShape::Negative(_)
                | LiteralShape::Unsigned(_)
                | LiteralShape::Float(_)
                | LiteralShape::String(_) => None,
            },
            DraftValue::Made(_) => None,
            DraftValue::Changed(id) => match self.slot(id, member) {
                Slot::Nothing => None,
                Slot::Entry(_, value) => Some(value),
                Slot::Base(cursor, _) => Some(DraftValue::Input(cursor)),
            },
            DraftValue::Answer(place) => self.child(self.room.answers.get(place as usize)?.before?, member),
        }
    }

    /// The entries of a container, in the order in which they came.
    fn entries(&self, id: u32) -> impl Iterator<Item = (u32, &Entry)> {
        let mut next = self.room.containers.get(id as usize).and_then(|container| container.entries).map(|ends| ends.0);
        std::iter::from_fn(move || {
            let number = next?;
            let entry = self.room.entries.get(number as usize)?;
            next = entry.next;
            Some((number, entry))
        })
    }

    /// What is under one of the program's names.
    fn named(&self, id: u32, name: NameId) -> Slot {
        self.find_slot(id, self.constants.name(name), |entry| entry.name == name)
    }

    fn slot(&self, id: u32, member: &str) -> Slot {
        self.find_slot(id, member, |entry| self.constants.name(entry.name) == member)
    }

    #[inline(always)]
    fn find_slot(&self, id: u32, member: &str, is_named: impl Fn(&Entry) -> bool) -> Slot {
        let Some(container) = self.room.containers.get(id as usize) else { return Slot::Nothing };
        if container.is_array {
            return array_index(member).map_or(Slot::Nothing, |index| self.element_slot(id, *container, index));
        }
        for (number, entry) in self.entries(id) {
            if let Some(value) = entry.value
                && is_named(entry)
            {
                return Slot::Entry(number, value);
            }
        }
        let base = container.base.filter(|_| !container.only).and_then(|base| self.doc.child(base, member));
        match base {
            Some(cursor) if !self.entries(id).any(|(_, entry)| entry.was(cursor)) => Slot::Base(cursor, 0),
            Some(_) | None => Slot::Nothing,
        }
    }

    /// The element that is number `index` now.
    fn element_slot(&self, id: u32, container: Container, index: usize) -> Slot {
        let old = container.base.map_or(0, |base| self.doc.count(base));
        let mut left = index;
        if container.only {
            // Few are left, and each has an entry: they stand in the order of the input.
            let mut last = None;
            loop {
                let next = self
                    .entries(id)
                    .filter_map(|(number, entry)| Some((entry.old?.1, number, entry.value?)))
                    .filter(|(at, ..)| last.is_none_or(|last| *at > last))
                    .min_by_key(|(at, ..)| *at);
                match next {
                    Some((_, number, value)) if left == 0 => return Slot::Entry(number, value),
                    Some((at, ..)) => (last, left) = (Some(at), left - 1),
                    None => break,
                }
            }
        } else {
            let gone = |below: usize| {
                self.entries(id)
                    .filter(|(_, entry)| entry.value.is_none() && entry.old.is_some_and(|(_, at)| at <= below))
                    .count()
            };
            let mut at = index;
            while at != index + gone(at) {
                at = index + gone(at);
            }
            if at < old {
                let changed = self.entries(id).find(|(_, entry)| entry.old.is_some_and(|(_, old)| old == at));
                return match changed {
                    Some((number, Entry { value: Some(value), .. })) => Slot::Entry(number, *value),
                    Some(_) => Slot::Nothing,
                    None => self.base_element(container, at),
                };
            }
            left = at - old;
        }
        let mut new = self.entries(id).filter(|(_, entry)| entry.old.is_none() && entry.value.is_some());
        match new.nth(left) {
            Some((number, Entry { value: Some(value), .. })) => Slot::Entry(number, *value),
            Some(_) | None => Slot::Nothing,
        }
    }

    fn base_element(&self, container: Container, index: usize) -> Slot {
        let found = container.base.and_then(|base| self.doc.find_element(base, index));
        found.map_or(Slot::Nothing, |cursor| Slot::Base(cursor, index))
    }

    /// How many items a changed container has.
    fn items(&self, id: u32) -> usize {
        let Some(container) = self.room.containers.get(id as usize) else { return 0 };
        let old = container.base.filter(|_| !container.only).map_or(0, |base| self.doc.count(base));
        let (mut more, mut gone) = (0, 0);
        for (_, entry) in self.entries(id) {
            match (entry.old, entry.value) {
                (Some(_), None) if !container.only => gone += 1,
                (None, Some(_)) => more += 1,
                (Some(_), Some(_)) if container.only => more += 1,
                (Some(_) | None, _) => {}
            }
        }
        (old + more).saturating_sub(gone)
    }

    fn push(&mut self, id: u32, entry: Entry) -> u32 {
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
    fn hide_namesakes(&mut self, id: u32, first: u32) {
        let Container { base, is_array, only, .. } = self.room.containers[id as usize];
        let Entry { name, old, named_as_before, .. } = self.room.entries[first as usize];
        let (Some(base), Some((cursor, _)), true, false) = (base, old, named_as_before, is_array) else { return };
        let (mut at, constants) = (cursor, self.constants);
        while let Some(next) = self.doc.namesake_behind(base, at, constants.name(name)) {
            at = next;
            let known = self.entries(id).find(|(_, entry)| entry.was(next)).map(|(number, _)| number);
            match known {
                Some(number) => self.room.entries[number as usize].value = None,
                None if only => {}
                None => {
                    self.push(id, Entry::old(name, (next, 0), None));
                }
            }
        }
    }

    /// The changed container that `value` is, or is made into.
    ///
    /// # Errors
    /// It is no container.
    fn changed(&mut self, value: DraftValue) -> Result<u32, NoPlace> {
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

    fn add_container(&mut self, base: Option<Cursor>, is_array: bool) -> u32 {
        self.room.containers.push(Container { base, is_array, only: false, entries: None });
        self.room.containers.len() as u32 - 1
    }

    /// A container of the configuration as one that can be changed.
    fn thaw(&mut self, id: LiteralId) -> u32 {
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
    pub(super) fn container(&mut self, path: &[NameId], create: bool) -> Result<u32, NoPlace> {
        let mut id = self.changed(self.root)?;
        self.root = DraftValue::Changed(id);
        for name in path {
            id = self.child_container(id, *name, create)?;
        }
        Ok(id)
    }

    fn child_container(&mut self, id: u32, name: NameId, create: bool) -> Result<u32, NoPlace> {
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

    /// Whether something is at `pointer` that may be taken out, as far as that can be said without looking into the
    /// record's own members.
    pub(super) fn has_parent(&self, parents: &[NameId], pointer: &Pointer) -> bool {
        parents.is_empty() || self.find(self.root, &pointer.members).is_some()
    }

    /// Whether something stands under a name of a container.
    pub(super) fn has(&self, container: u32, name: NameId) -> bool {
        !matches!(self.named(container, name), Slot::Nothing)
    }

    /// Takes an item out, with every other of its name.
    pub(super) fn take(&mut self, container: u32, name: NameId) -> Option<(DraftValue, Taken)> {
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
    pub(super) fn put(&mut self, container: u32, name: NameId, value: DraftValue) -> Result<(), NoPlace> {
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
    pub(super) fn put_back(&mut self, place: Taken, name: NameId, value: DraftValue) {
        let entry = &mut self.room.entries[place.entry as usize];
        entry.named_as_before &= entry.name == name;
        (entry.name, entry.value) = (name, Some(value));
    }

    /// Whether a place is in this container, and that is an object.
    pub(super) fn is_member_of(&self, place: Taken, container: u32) -> bool {
        place.container == container && !self.room.containers[container as usize].is_array
    }

    /// The same value once more: what is done to one afterwards is not done to the other.
    pub(super) fn copy(&mut self, value: DraftValue) -> DraftValue {
        let DraftValue::Changed(id) = value else { return value };
        let Container { base, is_array, only, .. } = self.room.containers[id as usize];
        let copy = self.add_container(base, is_array);
        self.room.containers[copy as usize].only = only;
        let mut at = self.room.containers[id as usize].entries.map(|(first, _)| first);
        while let Some(number) = at {
            let entry = self.room.entries[number as usize];
            let value = entry.value.map(|value| self.copy(value));
            self.push(copy, Entry { next: None, value, ..entry });
            at = entry.next;
        }
        DraftValue::Changed(copy)
    }

    /// Makes a scalar of its JSON text; a string must have no escapes.
    pub(super) fn make(&mut self, json: &[u8]) -> DraftValue {
        let start = self.room.texts.len();
        self.room.texts.extend_from_slice(json);
        let end = self.room.texts.len();
        let kind = match json.first() {
            Some(b'n') | None => ScalarKind::Null,
            Some(b't') => ScalarKind::Bool(true),
            Some(b'f') => ScalarKind::Bool(false),
            Some(b'"') => ScalarKind::String((start as u32 + 1, end as u32 - 1)),
            Some(_) => ScalarKind::Number,
        };
        self.add_scalar(MadeScalar { json: (start as u32, end as u32), kind })
    }

    /// Makes a string of a value's JSON text.
    pub(super) fn make_text_of(&mut self, value: DraftValue) -> DraftValue {
        let text = self.text_of(value);
        self.make_string(&text)
    }

    /// Whether the value is an object or an array.
    pub(super) fn is_container(&self, value: DraftValue) -> bool {
        matches!(self.value(value), Value::Object { .. } | Value::Array)
    }

    /// Puts a value at a path; missing parents are made.
    ///
    /// # Errors
    /// See [`Draft::container`] and [`Draft::put`].
    pub(super) fn put_at(&mut self, EditPath { parents, name }: &EditPath, value: DraftValue) -> Result<(), NoPlace> {
        let container = self.container(parents, true)?;
        self.put(container, *name, value)
    }

    /// Makes a string.
    pub(super) fn make_string(&mut self, text: &str) -> DraftValue {
        let texts = &mut self.room.texts;
        let start = texts.len();
        texts.extend_from_slice(text.as_bytes());
        let end = texts.len();
        write_string(texts, start, end);
        let json = (end as u32, texts.len() as u32);
        let kind = ScalarKind::String((start as u32, end as u32));
        self.add_scalar(MadeScalar { json, kind })
    }

    fn add_scalar(&mut self, scalar: MadeScalar) -> DraftValue {
        self.room.scalars.push(scalar);
        DraftValue::Made(self.room.scalars.len() as u32 - 1)
    }

    /// What the text of a string is as JSON; `None` where the value is no string.
    ///
    /// # Errors
    /// The text is no JSON.
    pub(super) fn parse_text(&mut self, value: DraftValue) -> Result<Option<DraftValue>, Malformed> {
        let mut parser = std::mem::take(&mut self.room.parser);
        let read = match self.value(value) {
            Value::String(text) => parser.read(text.as_bytes(), |doc| Some(doc.bytes(doc.root()).to_vec())),
            Value::Null
            | Value::Bool(_)
            | Value::Negative(_)
            | Value::Unsigned(_)
            | Value::Float(_)
            | Value::Object { .. }
            | Value::Array => Ok(None),
        };
        self.room.parser = parser;
        Ok(read?.map(|json| {
            let start = self.room.texts.len();
            self.room.texts.extend_from_slice(&json);
            let json = (start as u32, self.room.texts.len() as u32);
            self.add_scalar(MadeScalar { json, kind: ScalarKind::Json })
        }))
    }

    /// Reserves the place for the answer to a question; what stands there stays when there is none.
    ///
    /// # Errors
    /// See [`Draft::container`] and [`Draft::put`].
    pub(super) fn reserve(&mut self, into: &[String], path: &EditPath, question: usize) -> Result<(), NoPlace> {
        let (_, parents) = into.split_last().ok_or(NoPlace::NotAnObject)?;
        let parent = self.find(self.root, parents).ok_or(NoPlace::Missing)?;
        match self.value(parent) {
            Value::Object { .. } => {}
            Value::Null => return Err(NoPlace::Null),
            Value::Bool(_)
            | Value::Negative(_)
            | Value::Unsigned(_)
            | Value::Float(_)
            | Value::String(_)
            | Value::Array => return Err(NoPlace::NotAnObject),
        }
        let EditPath { parents, name } = path;
        let (container, name) = (self.container(parents, false)?, *name);
        let before = match self.named(container, name) {
            Slot::Nothing => None,
            Slot::Entry(_, value) => Some(value),
            Slot::Base(cursor, _) => Some(DraftValue::Input(cursor)),
        };
        self.room.answers.push(AnswerPlace { question, before });
        let answer = DraftValue::Answer(self.room.answers.len() as u32 - 1);
        self.put(container, name, answer)
    }

    fn text(&self, (start, end): (u32, u32)) -> &[u8] {
        self.room.texts.get(start as usize..end as usize).unwrap_or_default()
    }
}

/// Appends the characters `texts[start..end]`, which are UTF-8, as a JSON string (RFC 8259 section 7).
fn write_string(texts: &mut Vec<u8>, start: usize, end: usize) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    texts.push(b'"');
    let mut plain = start;
    for at in start..end {
        let byte = texts[at];
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        texts.extend_from_within(plain..at);
        plain = at + 1;
        match byte {
            b'"' => texts.extend_from_slice(b"\\\""),
            b'\\' => texts.extend_from_slice(b"\\\\"),
            b'\n' => texts.extend_from_slice(b"\\n"),
            b'\r' => texts.extend_from_slice(b"\\r"),
            b'\t' => texts.extend_from_slice(b"\\t"),
            control => {
                texts.extend_from_slice(b"\\u00");
                texts.extend([HEX[usize::from(control >> 4)], HEX[usize::from(control & 15)]]);
            }
        }
    }
    texts.extend_from_within(plain..end);
    texts.push(b'"');
}

impl Entry {
    fn new(name: NameId, value: DraftValue) -> Self {
        Self { next: None, old: None, name, value: Some(value), named_as_before: false, kept: false }
    }

    fn old(name: NameId, old: (Cursor, usize), value: Option<DraftValue>) -> Self {
        Self { next: None, old: Some(old), name, value, named_as_before: true, kept: false }
    }

    /// Whether it was this item of the input.
    fn was(&self, cursor: Cursor) -> bool {
        self.old.is_some_and(|(old, _)| old.is(cursor))
    }
}

impl Look for Draft<'_> {
    type At = DraftValue;

    fn find(&self, from: DraftValue, members: &[String]) -> Option<DraftValue> {
        let mut at = from;
        for (depth, member) in members.iter().enumerate() {
            if let DraftValue::Input(cursor) = at {
                return self.doc.find(cursor, &members[depth..]).map(DraftValue::Input);
            }
            at = self.child(at, member)?;
        }
        Some(at)
    }

    fn value(&self, at: DraftValue) -> Value<'_> {
        match at {
            DraftValue::Input(cursor) => self.doc.value(cursor),
            DraftValue::Literal(id) => self.constants.literal(id).shape.value(),
            DraftValue::Changed(id) => match self.room.containers.get(id as usize) {
                Some(Container { is_array: true, .. }) => Value::Array,
                Some(_) | None => Value::Object { empty: self.items(id) == 0 },
            },
            DraftValue::Answer(place) => match self.room.answers.get(place as usize).and_then(|place| place.before) {
                Some(before) => self.value(before),
                None => Value::Null,
            },
            DraftValue::Made(place) => match self.room.scalars.get(place as usize) {
                None | Some(MadeScalar { kind: ScalarKind::Null | ScalarKind::Json, .. }) => Value::Null,
                Some(MadeScalar { kind: ScalarKind::Bool(value), .. }) => Value::Bool(*value),
                Some(MadeScalar { kind: ScalarKind::String(text), .. }) => {
                    Value::String(std::str::from_utf8(self.text(*text)).unwrap_or_default())
                }
                Some(MadeScalar { kind: ScalarKind::Number, json }) => number(self.text(*json)),
            },
        }
    }

    fn spelling(&self, at: DraftValue) -> &[u8] {
        match at {
            DraftValue::Input(cursor) => self.doc.bytes(cursor),
            DraftValue::Literal(id) => &self.constants.literal(id).json,
            DraftValue::Made(place) => self.room.scalars.get(place as usize).map_or(&[][..], |one| self.text(one.json)),
            DraftValue::Changed(_) => &[],
            DraftValue::Answer(place) => {
                let before = self.room.answers.get(place as usize).and_then(|place| place.before);
                before.map_or(&[][..], |before| self.spelling(before))
            }
        }
    }

    fn count(&self, at: DraftValue) -> usize {
        match at {
            DraftValue::Input(cursor) => self.doc.count(cursor),
            DraftValue::Changed(id) => self.items(id),
            DraftValue::Literal(id) => match &self.constants.literal(id).shape {
                LiteralShape::Object(members) => members.len(),
                LiteralShape::Array(elements) => elements.len(),
                LiteralShape::Null
                | LiteralShape::Bool(_)
                | LiteralShape::Negative(_)
                | LiteralShape::Unsigned(_)
                | LiteralShape::Float(_)
                | LiteralShape::String(_) => 0,
            },
            DraftValue::Made(_) | DraftValue::Answer(_) => 0,
        }
    }
}

/// A number by its spelling.
fn number(text: &[u8]) -> Value<'static> {
    let text = std::str::from_utf8(text).unwrap_or_default();
    match (text.parse::<u64>(), text.parse::<i64>()) {
        (Ok(number), _) => Value::Unsigned(number),
        (Err(_), Ok(number)) => Value::Negative(number),
        (Err(_), Err(_)) => Value::Float(text.parse().unwrap_or_default()),
    }
}

#[cfg(test)]
pub(super) mod model;
#[cfg(test)]
mod tests;
