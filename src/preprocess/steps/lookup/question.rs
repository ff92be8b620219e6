//! What a look-up does to a record: it asks for a key, and says what a miss means.

use super::super::super::document::Cursor;
use super::super::super::ending::{StepEnding, missing, rejected};
use super::super::super::evaluate::{Asked, Evaluation, LookupQuestion, Rendering};
use super::super::super::splice::{self, NoPlace};
use super::super::super::template::{Compiled, RenderFault, Rendered};
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
            .map_err(|fault| self.no_place(on, window, fault))?;
        rendering.key.clear();
        let key = match self.key.render(&on.scope(window), &mut rendering.stamps, &mut rendering.key) {
            Ok(Rendered::Span(_)) => asked.keys[index].intern(&rendering.key),
            // A template that is exactly `{key}`; a look-up has no use for a null key.
            Ok(Rendered::Null | Rendered::Late(_)) => {
                return Err(self.key.reject(&self.place, (0, RenderFault::NullKey)).into());
            }
            Err(fault) => return Err(self.key.reject(&self.place, fault).into()),
        };
        asked.questions.push(LookupQuestion { lookup: index, key, point });
        Ok(())
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
    fn no_place(&self, on: &Evaluation<'_>, window: Cursor, fault: NoPlace) -> StepEnding {
        let members = self.into.members.split_last().map_or(&[][..], |(_, parents)| parents);
        let parent = Pointer { members: members.to_vec() };
        let (reason, why) = match fault {
            NoPlace::Missing => (RejectReason::Missing, missing(on.document, window, &parent)),
            NoPlace::Null => (RejectReason::Null, format!("{} is null", parent.shown())),
            NoPlace::NotAnObject => (RejectReason::WrongType, format!("{} is no object", parent.shown())),
        };
        rejected(reason, &self.place, format!("no place for {}: {why}", self.into))
    }
}
