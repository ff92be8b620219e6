//! One record through one phase: its steps, the keys of its look-ups, its templates.

use std::ops::Range;

use super::constants::Constants;
use super::document::{Cursor, Document};
use super::draft::{Draft, DraftRoom, Overgrown};
use super::ending::{StepEnding, rejected};
use super::keys::KeySet;
use super::look::Look;
use super::program::{Bare, ProgramPhase};
use super::splice::SplicePoint;
use super::stamp::Stamps;
use super::steps::DraftInstruction;
use super::template::{Compiled, RenderFault, Rendered, Scope};
use crate::leaf::action::Choice;
use crate::model::{Record, RejectReason, StepName};

/// What the look-ups of a phase are asked for, over one batch.
#[derive(Default)]
pub(super) struct Asked {
    /// Unique keys of each look-up of the phase.
    pub(super) keys: Vec<KeySet>,
    /// Every record's questions, one after the other.
    pub(super) questions: Vec<LookupQuestion>,
}

impl Asked {
    /// Forgets all questions; makes room for the keys of `lookups` look-ups.
    pub(super) fn begin(&mut self, lookups: usize) {
        self.questions.clear();
        self.keys.iter_mut().for_each(KeySet::clear);
        if self.keys.len() < lookups {
            self.keys.resize_with(lookups, KeySet::default);
        }
    }
}

/// One record's key for one look-up, and where the answer goes.
pub(super) struct LookupQuestion {
    pub(super) lookup: usize,
    pub(super) key: usize,
    pub(super) point: SplicePoint,
}

/// Rendered templates of the records in hand, and what was rendered of templates that wait for look-ups.
pub(super) struct Rendering {
    /// Number of templates of a record.
    pub(super) per_record: usize,
    pub(super) bytes: Vec<u8>,
    pub(super) templates: Vec<Rendered>,
    /// One for each part of a late template.
    pub(super) outcomes: Vec<Result<Range<usize>, RenderFault>>,
    pub(super) stamps: Stamps,
    pub(super) key: Vec<u8>,
}

impl Rendering {
    /// For programs with `templates` sink templates and `formats` timestamp formats.
    pub(super) fn new(templates: usize, formats: usize) -> Self {
        Self {
            per_record: templates,
            bytes: Vec::new(),
            templates: Vec::new(),
            outcomes: Vec::new(),
            stamps: Stamps::new(formats),
            key: Vec::new(),
        }
    }

    /// Forgets what was rendered, keeps the room and the timestamps.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.templates.clear();
        self.outcomes.clear();
    }

    /// Renders the sink's templates for one record. Without a document those that need it are `Null`.
    ///
    /// # Errors
    /// The reject of the first template that cannot be rendered.
    pub(super) fn sink<L: Look>(
        &mut self,
        templates: &[Compiled],
        scope: &Scope<'_, L>,
        place: &StepName,
    ) -> Result<(), StepEnding> {
        for template in templates {
            let rendered = if template.is_beyond(scope) {
                Rendered::Null
            } else if template.is_late() && scope.document.is_some() {
                self.late(template, scope)
            } else {
                template
                    .render(scope, &mut self.stamps, &mut self.bytes)
                    .map_err(|fault| template.reject(place, fault))?
            };
            self.templates.push(rendered);
        }
        Ok(())
    }

    fn late<L: Look>(&mut self, template: &Compiled, scope: &Scope<'_, L>) -> Rendered {
        let first = self.outcomes.len();
        for part in &template.parts {
            let start = self.bytes.len();
            let outcome = part.render(scope, &mut self.stamps, &mut self.bytes);
            self.outcomes.push(outcome.map(|()| start..self.bytes.len()));
        }
        Rendered::Late(first)
    }
}

/// The range of a record that has no document: it skipped the steps.
pub(super) const NOTHING: Range<usize> = usize::MAX..usize::MAX;

/// What one record is evaluated with.
pub(super) struct Evaluation<'a> {
    /// Which records skip the steps, where this is the first phase.
    pub(super) bare: Option<&'a Bare>,
    pub(super) phase: &'a ProgramPhase,
    /// The sink's templates, when this is the last phase, and the name of their step.
    pub(super) templates: &'a [Compiled],
    pub(super) sink: &'a StepName,
    pub(super) record: &'a Record<'a>,
    pub(super) document: &'a Document<'a>,
    /// The input, where the phase reads it.
    pub(super) original: Option<&'a Document<'a>>,
}

impl Evaluation<'_> {
    /// Runs the steps, asks the look-ups and renders the templates. Gives the range of the document that is the record
    /// now: all of its bytes, with the blanks around them, when no step moved the window.
    ///
    /// # Errors
    /// How the record ends. Look-ups asked before come first: their answers may end it otherwise.
    #[inline(always)]
    pub(super) fn run(&self, asked: &mut Asked, rendering: &mut Rendering) -> Result<Range<usize>, StepEnding> {
        let document = self.document;
        if let Some(bare) = self.bare
            && let Some(choice) = bare.choice(document, &mut rendering.stamps, &mut rendering.key)
        {
            return self.skip(choice, rendering);
        }
        let mut window = document.root();
        for step in &self.phase.steps {
            window = step.run(self, window, asked, rendering)?;
        }
        // Nothing is built up for nothing: this runs for every record.
        if !self.templates.is_empty() {
            rendering.sink(self.templates, &self.scope(window), self.sink)?;
        }
        Ok(if self.phase.moves { document.range(window) } else { 0..document.original().len() })
    }

    /// The same where steps change the record, which is written at the end: gives its range among what was written.
    /// Where a step makes several items of it, these are in the room's [`Split`](super::draft::DraftRoom).
    ///
    /// # Errors
    /// As [`Evaluation::run`].
    pub(super) fn run_changing(
        &self,
        constants: &Constants,
        asked: &mut Asked,
        rendering: &mut Rendering,
        room: &mut DraftRoom,
    ) -> Result<Range<usize>, StepEnding> {
        if let Some(choice) =
            self.bare.and_then(|bare| bare.choice(self.document, &mut rendering.stamps, &mut rendering.key))
        {
            return self.skip(choice, rendering);
        }
        let mut draft = Draft::new(self.document, constants, room);
        self.run_steps(&self.phase.drafting, &mut draft, asked, rendering)?;
        if !self.phase.splits.is_empty() {
            return self.run_splits(&mut draft, asked, rendering).map(|()| NOTHING);
        }
        self.finish(self.phase.drafting.last().map_or(self.sink, |step| &step.place), &mut draft, asked, rendering)
    }

    /// Runs steps that change what is in hand.
    #[inline(always)]
    pub(super) fn run_steps(
        &self,
        steps: &[DraftInstruction],
        draft: &mut Draft<'_>,
        asked: &mut Asked,
        rendering: &mut Rendering,
    ) -> Result<(), StepEnding> {
        for step in steps {
            step.run(self, draft, asked, rendering)?;
            if let Some(bound) = draft.room.overgrown {
                return Err(overgrown(bound, &step.place));
            }
        }
        Ok(())
    }

    /// Renders the templates and writes what is in hand, which step `last` was the last to change.
    #[inline(always)]
    pub(super) fn finish(
        &self,
        last: &StepName,
        draft: &mut Draft<'_>,
        asked: &mut Asked,
        rendering: &mut Rendering,
    ) -> Result<Range<usize>, StepEnding> {
        if !self.templates.is_empty() {
            rendering.sink(self.templates, &self.scope_of(draft), self.sink)?;
        }
        let range = draft.write(&mut asked.questions);
        draft.room.overgrown.map_or(Ok(range), |bound| Err(overgrown(bound, last)))
    }

    /// What becomes of a record that skips the steps.
    fn skip(&self, choice: Choice, rendering: &mut Rendering) -> Result<Range<usize>, StepEnding> {
        if choice == Choice::Drop {
            return Err(StepEnding::Dropped);
        }
        let scope: Scope<'_> = Scope { record: self.record, document: None, original: Some(self.document) };
        rendering.sink(self.templates, &scope, self.sink).map(|()| NOTHING)
    }

    pub(super) fn scope(&self, window: Cursor) -> Scope<'_> {
        Scope { record: self.record, document: Some((self.document, window)), original: self.original }
    }

    pub(super) fn scope_of<'s, 'd>(&'s self, draft: &'s Draft<'d>) -> Scope<'s, Draft<'d>> {
        Scope { record: self.record, document: Some((draft, draft.root)), original: self.original }
    }
}

/// The reject of a record that steps made too large or nested too deeply.
#[cold]
pub(super) fn overgrown(bound: Overgrown, place: &StepName) -> StepEnding {
    let (reason, detail) = match bound {
        Overgrown::Bytes => {
            (RejectReason::TooLarge, "the steps make more than four times `limits.value` of the record")
        }
        Overgrown::Depth => (RejectReason::TooDeep, "the steps nest the record deeper than 1,024 levels"),
    };
    rejected(reason, place, detail.to_owned())
}
