//! What a look-up does to a record: it asks for a key, and says what a miss means.

use super::super::super::constants::EditPath;
use super::super::super::document::Cursor;
use super::super::super::draft::Draft;
use super::super::super::ending::{StepEnding, missing, rejected};
use super::super::super::evaluate::{Asked, Evaluation, LookupQuestion, Rendering};
use super::super::super::look::Look;
use super::super::super::splice::{self, NoPlace, SplicePoint};
use super::super::super::template::{Compiled, RenderFault, Rendered, Scope};
use super::OnMiss;
use crate::leaf::{JsonText, Pointer};
use crate::model::{RejectReason, StepName};

/// A compiled look-up.
#[derive(Debug)]
pub(in crate::preprocess) struct CompiledLookup {
    pub(in crate::preprocess) place: StepName,
    /// Its number among all look-ups of the pipeline.
    pub(in crate::preprocess) number: usize,
    pub(super) key: Compiled,
    pub(super) into: Pointer,
    /// The same for records under change.
    pub(super) path: Option<EditPath>,
    /// `,"name":` of the member it makes.
    pub(in crate::preprocess) member: Vec<u8>,
    pub(super) on_miss: OnMiss,
}

impl CompiledLookup {
    /// Notes one record's question: the key, and the point where the answer goes. `index` is the look-up's place in its
    /// phase.
    pub(in crate::preprocess) fn ask(
        &self,
        index: usize,
        on: &Evaluation<'_>,
        window: Cursor,
        asked: &mut Asked,
        rendering: &mut Rendering,
    ) -> Result<(), StepEnding> {
        let point = splice::locate(on.document, window, &self.into.members)
            .map_err(|fault| self.no_place(on.document, window, fault))?;
        let key = self.intern(index, &on.scope(window), asked, rendering)?;
        asked.questions.push(LookupQuestion { lookup: index, key, point });
        Ok(())
    }

    /// The same of a record under change, where the point is known when the record is written.
    pub(in crate::preprocess) fn ask_of_draft(
        &self,
        index: usize,
        on: &Evaluation<'_>,
        draft: &mut Draft<'_>,
        asked: &mut Asked,
        rendering: &mut Rendering,
    ) -> Result<(), StepEnding> {
        let reserved = match &self.path {
            Some(path) => draft.reserve(&self.into.members, path, asked.questions.len()),
            None => Err(NoPlace::NotAnObject),
        };
        reserved.map_err(|fault| self.no_place(draft, draft.root, fault))?;
        let key = self.intern(index, &on.scope_of(draft), asked, rendering)?;
        asked.questions.push(LookupQuestion { lookup: index, key, point: SplicePoint::nowhere() });
        Ok(())
    }

    /// Renders the key; gives its number.
    #[inline(always)]
    fn intern<L: Look>(
        &self,
        index: usize,
        scope: &Scope<'_, L>,
        asked: &mut Asked,
        rendering: &mut Rendering,
    ) -> Result<usize, StepEnding> {
        rendering.key.clear();
        match self.key.render(scope, &mut rendering.stamps, &mut rendering.key) {
            Ok(Rendered::Span(_)) => Ok(asked.keys[index].intern(&rendering.key)),
            // A template that is exactly `{key}`; a look-up has no use for a null key.
            Ok(Rendered::Null | Rendered::Late(_)) => {
                Err(self.key.reject(&self.place, (0, RenderFault::NullKey)).into())
            }
            Err(fault) => Err(self.key.reject(&self.place, fault).into()),
        }
    }

    /// What is put in where nothing was found.
    ///
    /// # Errors
    /// How the record ends.
    pub(in crate::preprocess) fn missed(&self) -> Result<Option<&[u8]>, StepEnding> {
        match &self.on_miss {
            OnMiss::Keep => Ok(None),
            OnMiss::Default(JsonText(json)) => Ok(Some(json.as_bytes())),
            OnMiss::Drop => Err(StepEnding::Dropped),
            OnMiss::Reject => Err(self.not_found()),
        }
    }

    #[cold]
    fn not_found(&self) -> StepEnding {
        rejected(RejectReason::LookupMiss, &self.place, format!("nothing found for {}", self.into))
    }

    #[cold]
    fn no_place<L: Look>(&self, on: &L, window: L::At, fault: NoPlace) -> StepEnding {
        let members = self.into.members.split_last().map_or(&[][..], |(_, parents)| parents);
        let parent = Pointer { members: members.to_vec() };
        let (reason, why) = match fault {
            NoPlace::Missing => (RejectReason::Missing, missing(on, window, &parent)),
            NoPlace::Null => (RejectReason::Null, format!("{} is null", parent.shown())),
            NoPlace::NotAnObject => (RejectReason::WrongType, format!("{} is no object", parent.shown())),
        };
        rejected(reason, &self.place, format!("no place for {}: {why}", self.into))
    }
}
