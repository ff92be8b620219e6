//! A record under change: the parsed input and what steps have done to it so far.
//!
//! Nothing is rebuilt and nothing is parsed again while steps run. A container that a step changes gets a list of
//! *entries*: which of its items are gone, which have another value or name, which are new. Later steps read through
//! them, and [`Draft::write`] writes the record once, at the end: the input's bytes with the entries put in at their
//! places. Bytes that no step touched are copied as they stand.
//!
//! All lists are the worker's and are used again for the next record.

mod change;
mod elements;
mod find;
mod keep;
mod make;
mod room;
mod write;

pub(super) use keep::KeepNode;
pub(super) use room::{DraftRoom, DraftValue, InHand, Overgrown, Split, SplitItem};

use super::constants::Constants;
use super::document::{Cursor, Document};
use room::{Container, Entry, Slot};

/// See the module.
pub(super) struct Draft<'a> {
    pub(super) doc: &'a Document<'a>,
    pub(super) constants: &'a Constants,
    pub(super) room: &'a mut DraftRoom,
    /// The record.
    pub(super) root: DraftValue,
}

impl<'a> Draft<'a> {
    /// The input without changes.
    pub(super) fn new(doc: &'a Document<'a>, constants: &'a Constants, room: &'a mut DraftRoom) -> Self {
        room.containers.clear();
        room.entries.clear();
        room.scalars.clear();
        room.answers.clear();
        room.texts.clear();
        room.overgrown = None;
        Self { doc, constants, room, root: DraftValue::Input(doc.root()) }
    }
}

#[cfg(test)]
pub(super) mod model;
#[cfg(test)]
mod tests;
