//! One record, many items: a step makes several of it, and the steps behind it are done to each.
//!
//! Items share the record's parse. What is done to one of them is not done to another: an item that steps have changed
//! before is copied first, and what it takes of the room is given back when it is written.

use std::ops::Range;

use super::draft::{Draft, DraftValue, Overgrown, Split, SplitItem};
use super::ending::{StepEnding, rejected};
use super::evaluate::{Asked, Evaluation, Rendering, overgrown};
use super::steps::{SplitInstruction, SplitOperation};
use crate::model::{ItemPath, RejectReason};

impl Evaluation<'_> {
    /// Runs the phase's steps that make several items, and those behind them.
    ///
    /// # Errors
    /// How the whole record ends.
    #[inline(never)]
    pub(super) fn run_splits(
        &self,
        draft: &mut Draft<'_>,
        asked: &mut Asked,
        rendering: &mut Rendering,
    ) -> Result<(), StepEnding> {
        let whole = rendering.stamps.item;
        let start = draft.room.written.len();
        let ending = self.split(&self.phase.splits, whole, draft, asked, rendering);
        rendering.stamps.item = whole;
        let ending = ending.and_then(|()| draft.room.split.refused.take().map_or(Ok(()), Err));
        match ending {
            Ok(()) => draft.room.split.is_split = true,
            Err(_) => {
                draft.room.written.truncate(start);
                draft.room.split.clear();
            }
        }
        ending
    }

    /// Makes items of what is in hand.
    ///
    /// # Errors
    /// None can be made: how what is in hand ends.
    fn split(
        &self,
        splits: &[SplitInstruction],
        parent: ItemPath,
        draft: &mut Draft<'_>,
        asked: &mut Asked,
        rendering: &mut Rendering,
    ) -> Result<(), StepEnding> {
        let Some((split, deeper)) = splits.split_first() else { return Ok(()) };
        let (root, route, first) = (draft.root, rendering.stamps.route, draft.room.split.elements.len());
        let count = match &split.operation {
            SplitOperation::Explode(explode) => explode.list(draft, &split.place)?,
            SplitOperation::Jq(jq) => jq.list(draft, &split.place)?,
        };
        if let Some(bound) = draft.room.overgrown {
            return Err(overgrown(bound, &split.place));
        }
        if count == 0 {
            return Err(StepEnding::Dropped);
        }
        let Split { items, siblings, most_items, .. } = &draft.room.split;
        let (items, most) = (siblings + items.len() + count, *most_items as usize);
        if items > most {
            draft.room.split.refused = Some(too_many(split, items, most));
        }
        let paths = (0..count).map_while(|number| Some((number, parent.below(number as u32)?)));
        for (number, path) in paths.take_while(|_| items <= most) {
            (rendering.stamps.item, rendering.stamps.route) = (path, route);
            let element = draft.room.split.elements[first + number];
            let (questions, templates, mark) = (asked.questions.len(), rendering.templates.len(), draft.mark());
            let window = self.item(split, deeper, (root, element, path), draft, asked, rendering);
            draft.room.overgrown = None;
            draft.back_to(mark);
            if let Some(window) = window.transpose() {
                let (questions, route) = (questions..asked.questions.len(), rendering.stamps.route);
                draft.room.split.items.push(SplitItem { path, window, questions, templates, route });
                Self::bound(split, draft);
            }
            if draft.room.split.refused.is_some() {
                break;
            }
        }
        draft.room.split.elements.truncate(first);
        Ok(())
    }

    /// Does to one item what is behind its step: its range among what was written, or nothing where a deeper step made
    /// items of it.
    fn item(
        &self,
        split: &SplitInstruction,
        deeper: &[SplitInstruction],
        (root, element, path): (DraftValue, DraftValue, ItemPath),
        draft: &mut Draft<'_>,
        asked: &mut Asked,
        rendering: &mut Rendering,
    ) -> Result<Option<Range<usize>>, StepEnding> {
        match &split.operation {
            SplitOperation::Explode(explode) => explode.enter(draft, (root, element, path), &split.place)?,
            SplitOperation::Jq(_) => draft.root = element,
        }
        if let Some(bound) = draft.room.overgrown {
            return Err(overgrown(bound, &split.place));
        }
        self.run_steps(&split.behind, draft, asked, rendering)?;
        if deeper.is_empty() {
            let last = split.behind.last().map_or(&split.place, |step| &step.place);
            return self.finish(last, draft, asked, rendering).map(Some);
        }
        self.split(deeper, path, draft, asked, rendering).map(|()| None)
    }

    /// Ends the whole record where its items are too large together.
    fn bound(split: &SplitInstruction, draft: &mut Draft<'_>) {
        let room = &mut draft.room;
        let start = room.split.items.iter().find_map(|item| item.window.as_ref().ok()).map_or(0, |window| window.start);
        if room.written.len().saturating_sub(start) > room.most_bytes {
            let last = split.behind.last().map_or(&split.place, |step| &step.place);
            room.split.refused = Some(overgrown(Overgrown::Bytes, last));
        }
    }
}

/// The reject of a record with too many items.
#[cold]
fn too_many(split: &SplitInstruction, items: usize, most: usize) -> StepEnding {
    let detail = format!("the record becomes {items} records or more, `limits.items` is {most}");
    rejected(RejectReason::TooLarge, &split.place, detail)
}
