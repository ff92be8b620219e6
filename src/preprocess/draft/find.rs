//! Reading a draft: through the entries of changed containers down to the input.

use super::super::constants::{LiteralShape, NameId};
use super::super::document::{Value, array_index};
use super::super::look::Look;
use super::room::{MadeScalar, Namesakes, ScalarKind};
use super::{Container, Draft, DraftValue, Entry, Slot};
use crate::leaf::Pointer;

impl Draft<'_> {
    pub(super) fn child(&self, of: DraftValue, member: &str) -> Option<DraftValue> {
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
    pub(super) fn entries(&self, id: u32) -> impl Iterator<Item = (u32, &Entry)> {
        let mut next = self.room.containers.get(id as usize).and_then(|container| container.entries).map(|ends| ends.0);
        std::iter::from_fn(move || {
            let number = next?;
            let entry = self.room.entries.get(number as usize)?;
            next = entry.next;
            Some((number, entry))
        })
    }

    /// What is under one of the program's names.
    pub(super) fn named(&self, id: u32, name: NameId) -> Slot {
        self.find_slot(id, self.constants.name(name), |entry| entry.name == name)
    }

    pub(super) fn slot(&self, id: u32, member: &str) -> Slot {
        self.find_slot(id, member, |entry| self.constants.name(entry.name) == member)
    }

    #[inline(always)]
    pub(super) fn find_slot(&self, id: u32, member: &str, is_named: impl Fn(&Entry) -> bool) -> Slot {
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
    pub(super) fn element_slot(&self, id: u32, container: Container, index: usize) -> Slot {
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

    pub(super) fn base_element(&self, container: Container, index: usize) -> Slot {
        let found = container.base.and_then(|base| self.doc.find_element(base, index));
        found.map_or(Slot::Nothing, |cursor| Slot::Base(cursor, index))
    }

    /// How many items a changed container has.
    pub(super) fn items(&self, id: u32) -> usize {
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
            match entry.namesakes {
                Namesakes::Gone(count) if !container.only => gone += count as usize,
                Namesakes::Kept(count) if container.only && entry.value.is_some() => more += count as usize,
                Namesakes::AsOthers | Namesakes::Gone(_) | Namesakes::Kept(_) => {}
            }
        }
        (old + more).saturating_sub(gone)
    }

    /// Whether something is at `pointer` that may be taken out, as far as that can be said without looking into the
    /// record's own members.
    pub(in crate::preprocess) fn has_parent(&self, parents: &[NameId], pointer: &Pointer) -> bool {
        parents.is_empty() || self.find(self.root, &pointer.members).is_some()
    }

    /// Whether other members of the input may have the name of the one at `pointer`, which is `found`.
    pub(in crate::preprocess) fn has_namesakes(&self, pointer: &[String], found: DraftValue) -> bool {
        let Some((name, parents)) = pointer.split_last() else { return false };
        match (self.find(self.root, parents), found) {
            (Some(DraftValue::Input(parent)), DraftValue::Input(cursor)) => {
                self.doc.namesake_behind(parent, cursor, name).is_some()
            }
            (Some(DraftValue::Changed(_)), _) => true,
            (Some(_) | None, _) => false,
        }
    }

    /// Whether something stands under a name of a container.
    pub(in crate::preprocess) fn has(&self, container: u32, name: NameId) -> bool {
        !matches!(self.named(container, name), Slot::Nothing)
    }

    /// Whether the value is an object or an array.
    pub(in crate::preprocess) fn is_container(&self, value: DraftValue) -> bool {
        matches!(self.value(value), Value::Object { .. } | Value::Array)
    }

    pub(super) fn text(&self, (start, end): (u32, u32)) -> &[u8] {
        self.room.texts.get(start as usize..end as usize).unwrap_or_default()
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
