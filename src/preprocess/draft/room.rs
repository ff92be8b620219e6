//! What drafts consist of, and the lists that a worker keeps them in.

use std::ops::Range;

use super::super::constants::{LiteralId, NameId};
use super::super::document::Cursor;
use super::super::ending::StepEnding;
use super::super::tape::Parser;
use crate::model::ItemPath;

/// A value of a draft.
#[derive(Debug, Clone, Copy)]
pub(in crate::preprocess) enum DraftValue {
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
pub(in crate::preprocess) struct DraftRoom {
    pub(super) containers: Vec<Container>,
    pub(super) entries: Vec<Entry>,
    pub(super) scalars: Vec<MadeScalar>,
    pub(super) answers: Vec<AnswerPlace>,
    /// JSON text, and the characters of strings, of the scalars that steps made.
    pub(super) texts: Vec<u8>,
    /// Old items of the containers being written, by position; the innermost container's are the last.
    pub(super) order: Vec<OldItem>,
    /// Which of the names that are kept were met, and their entries; the innermost object's are the last.
    pub(super) met: Vec<Option<u32>>,
    /// Values taken out of a draft or made for it, before they get their places.
    pub(in crate::preprocess) hand: Vec<InHand>,
    /// The records written so far.
    pub(in crate::preprocess) written: Vec<u8>,
    /// Reads text inside strings; away while it does.
    pub(super) parser: Option<Parser>,
    /// The text it reads, and text that becomes a string.
    pub(super) inner: Vec<u8>,
    /// What became of the record in hand where a step made several items of it.
    pub(in crate::preprocess) split: Split,
    /// What the record in hand grew beyond.
    pub(in crate::preprocess) overgrown: Option<Overgrown>,
    /// Most bytes that steps may make of one record.
    pub(in crate::preprocess) most_bytes: usize,
}

/// A record of which steps made several items.
#[derive(Debug, Default)]
pub(in crate::preprocess) struct Split {
    /// Whether they did.
    pub(in crate::preprocess) is_split: bool,
    /// Its items, in order.
    pub(in crate::preprocess) items: Vec<SplitItem>,
    /// How the whole record ends because of one of its items.
    pub(in crate::preprocess) refused: Option<StepEnding>,
    /// Elements to be made items; the innermost step's are the last.
    pub(in crate::preprocess) elements: Vec<DraftValue>,
    /// Items of the same record that the phase has seen already, where an earlier phase made several.
    pub(in crate::preprocess) siblings: usize,
    /// Most items of a record.
    pub(in crate::preprocess) most_items: u32,
}

/// One item after the steps of its phase.
#[derive(Debug)]
pub(in crate::preprocess) struct SplitItem {
    /// Which one.
    pub(in crate::preprocess) path: ItemPath,
    /// Its range among what was written, or how it ends.
    pub(in crate::preprocess) window: Result<Range<usize>, StepEnding>,
    /// Its questions to look-ups.
    pub(in crate::preprocess) questions: Range<usize>,
    /// Index of its first rendered template.
    pub(in crate::preprocess) templates: usize,
    /// What it was named by a `route` step.
    pub(in crate::preprocess) route: Option<usize>,
}

impl Split {
    /// Forgets the record before.
    pub(in crate::preprocess) fn clear(&mut self) {
        self.is_split = false;
        self.siblings = 0;
        self.items.clear();
        self.refused = None;
        self.elements.clear();
    }
}

/// A bound that a record under change is beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::preprocess) enum Overgrown {
    /// Its bytes, or the containers it consists of.
    Bytes,
    /// Its nesting.
    Depth,
}

/// Deepest nesting of what steps make: as deep as a record may come.
pub(super) const MAX_DEPTH: usize = 1_024;
/// Most entries of a record under change. A step makes some for each of its pointers; only copies of copies make many.
pub(super) const MAX_ENTRIES: usize = 1 << 20;

/// An item of the input in a container that is being written.
#[derive(Debug, Clone, Copy)]
pub(super) struct OldItem {
    pub(super) start: usize,
    pub(super) cursor: Cursor,
    /// Its entry; `None` for one that goes or stays with another of its name.
    pub(super) entry: Option<u32>,
}

/// What becomes of the other members of an entry's old name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Namesakes {
    /// What becomes of members without an entry.
    AsOthers,
    /// So many are gone.
    Gone(u32),
    /// So many stay.
    Kept(u32),
}

/// A value a step has in hand.
#[derive(Debug, Clone, Copy)]
pub(in crate::preprocess) struct InHand {
    /// Which of the step's assignments or moves it is for.
    pub(in crate::preprocess) number: usize,
    pub(in crate::preprocess) value: DraftValue,
    /// Where it was taken from.
    pub(in crate::preprocess) from: Option<Taken>,
}

/// The place of something that was taken out.
#[derive(Debug, Clone, Copy)]
pub(in crate::preprocess) struct Taken {
    pub(super) container: u32,
    pub(super) entry: u32,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Container {
    /// The container of the input that it was; `None` for a new one.
    pub(super) base: Option<Cursor>,
    pub(super) is_array: bool,
    /// Whether items of the input without an entry are gone.
    pub(super) only: bool,
    /// Its first and its last entry.
    pub(super) entries: Option<(u32, u32)>,
}

/// One item of a changed container.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) next: Option<u32>,
    /// The item of the input that it was, and, in an array, its index there; `None` for a new one.
    pub(super) old: Option<(Cursor, usize)>,
    /// Its name in an object.
    pub(super) name: NameId,
    /// `None`: it is gone.
    pub(in crate::preprocess) value: Option<DraftValue>,
    /// Whether it has its old name.
    pub(super) named_as_before: bool,
    /// Whether the step under way keeps it.
    pub(super) kept: bool,
    pub(super) namesakes: Namesakes,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct MadeScalar {
    pub(super) json: (u32, u32),
    pub(super) kind: ScalarKind,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum ScalarKind {
    Null,
    Bool(bool),
    Number,
    /// With the range of its characters.
    String((u32, u32)),
    /// Any value, which nobody reads before the record is parsed again.
    Json,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct AnswerPlace {
    pub(super) question: usize,
    /// What stays there when nothing is found.
    pub(super) before: Option<DraftValue>,
}

/// What stands under a name or index of a changed container.
#[derive(Debug, Clone, Copy)]
pub(super) enum Slot {
    Nothing,
    Entry(u32, DraftValue),
    /// An item of the input without an entry, and its index in an array.
    Base(Cursor, usize),
}

impl DraftRoom {
    /// Room for records of which steps may make so many bytes.
    pub(in crate::preprocess) fn bounded(most_bytes: usize) -> Self {
        let split = Split { most_items: ItemPath::MOST, ..Split::default() };
        Self { most_bytes, split, ..Self::default() }
    }

    /// Gives back what unusually large records needed beyond `keep_bytes`.
    pub(in crate::preprocess) fn trim(&mut self, keep_bytes: usize) {
        self.written.clear();
        let held = self.written.capacity()
            + self.texts.capacity()
            + self.inner.capacity()
            + self.entries.capacity() * size_of::<Entry>()
            + self.containers.capacity() * size_of::<Container>()
            + self.scalars.capacity() * size_of::<MadeScalar>()
            + self.order.capacity() * size_of::<OldItem>()
            + self.split.items.capacity() * size_of::<SplitItem>()
            + self.split.elements.capacity() * size_of::<DraftValue>();
        if held > keep_bytes {
            let most_items = self.split.most_items;
            *self = Self::bounded(self.most_bytes);
            self.split.most_items = most_items;
        }
    }
}

impl Entry {
    pub(super) fn new(name: NameId, value: DraftValue) -> Self {
        Self {
            next: None,
            old: None,
            name,
            value: Some(value),
            named_as_before: false,
            kept: false,
            namesakes: Namesakes::AsOthers,
        }
    }

    pub(super) fn old(name: NameId, old: (Cursor, usize), value: Option<DraftValue>) -> Self {
        Self {
            next: None,
            old: Some(old),
            name,
            value,
            named_as_before: true,
            kept: false,
            namesakes: Namesakes::AsOthers,
        }
    }

    /// Whether it was this item of the input.
    pub(super) fn was(&self, cursor: Cursor) -> bool {
        self.old.is_some_and(|(old, _)| old.is(cursor))
    }
}
