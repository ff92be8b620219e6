//! A pipeline's steps and its sink's templates, compiled: what every worker of the pipeline executes.
//!
//! A program is a list of *phases*. Within a phase a record is parsed once; every step, also one behind a look-up, is
//! evaluated on that parse, and what look-ups find is spliced in at the end. Only a step that reads or reshapes what an
//! earlier look-up put in, and whatever follows a `parse`, starts a new phase: the record is then rebuilt and parsed
//! again (cost class D). Most programs have one phase.

use std::sync::Arc;

use super::compile::Compiler;
use super::constants::Constants;
use super::decode::decode;
use super::document::Document;
use super::stamp::Stamps;
use super::steps::lookup::CompiledLookup;
use super::steps::{DraftInstruction, DraftOperation, Instruction, SplitInstruction, StepOperation, StepPlan};
use super::tape::Malformed;
use super::template::{Compiled, Field, FieldShape};
use crate::leaf::Template;
use crate::leaf::action::{ActionBy, Choice};
use crate::leaf::format::ValueFormat;
use crate::model::StepName;

/// What a step, or a whole pipeline, costs a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CostClass {
    /// Z: the bytes are read but untouched.
    Untouched,
    /// T: a slice of them travels.
    Slice,
    /// P: something is spliced in, the other bytes are untouched.
    Splice,
    /// D: the record is rebuilt and parsed again.
    Rebuilt,
}

impl CostClass {
    /// The letter `check --explain` shows.
    #[must_use]
    pub fn letter(self) -> char {
        match self {
            Self::Untouched => 'Z',
            Self::Slice => 'T',
            Self::Splice => 'P',
            Self::Rebuilt => 'D',
        }
    }
}

/// What happens to null values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tombstones {
    /// They reach the encoder without a value; templates that need the document are rendered as `None`.
    PassOn,
    /// They end as dropped (`on_tombstone: drop`).
    Drop,
}

/// A step or template that cannot be compiled; found by `check`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct CompileError {
    /// Which step or template.
    pub place: StepName,
    /// What is wrong and what to write.
    pub problem: String,
}

/// See the module.
#[derive(Debug)]
pub struct Program {
    pub(super) phases: Vec<ProgramPhase>,
    pub(super) templates: Vec<Compiled>,
    pub(super) tombstones: Tombstones,
    /// The name of what is done to every record before the first step.
    pub(super) parse: StepName,
    /// The name of what renders the sink's templates.
    pub(super) sink: StepName,
    /// Which records skip the steps.
    pub(super) bare: Option<Bare>,
    /// How many timestamp formats there are.
    pub(super) formats: usize,
    /// What values are.
    format: ValueFormat,
    /// What steps that change records write.
    pub(super) constants: Constants,
    costs: Vec<(StepName, CostClass)>,
}

/// Records that have no document to send, by a field of the input: their steps would only find fault with what is not
/// there.
#[derive(Debug)]
pub(super) struct Bare {
    field: Field,
    by: ActionBy,
}

impl Bare {
    fn new(by: &ActionBy) -> Self {
        let field = Field { pointer: by.pointer.clone(), fallback: Some(String::new()), shape: FieldShape::Plain };
        Self { field, by: by.clone() }
    }

    /// What is done with this record, when it is one; `room` is written over.
    pub(super) fn choice(&self, input: &Document<'_>, stamps: &mut Stamps, room: &mut Vec<u8>) -> Option<Choice> {
        room.clear();
        let found = input.find(input.root(), &self.field.pointer.members).map(|cursor| (input, cursor));
        if self.field.render(found, stamps, room).is_err() {
            // An object or array: no value of the map.
            room.clear();
        }
        let choice = self.by.choice(room);
        (!choice.has_document()).then_some(choice)
    }
}

/// Steps evaluated on one parse.
#[derive(Debug, Default)]
pub(super) struct ProgramPhase {
    pub(super) steps: Vec<Instruction>,
    /// The same where records are written anew at the end: then `steps` is empty.
    pub(super) drafting: Vec<DraftInstruction>,
    /// The steps that make several items of a record, with what is done to each of those; they come behind `drafting`.
    pub(super) splits: Vec<SplitInstruction>,
    /// Whether records are written anew at the end, because a step changes them or what was parsed is not the input.
    pub(super) is_written: bool,
    pub(super) lookups: Vec<CompiledLookup>,
    /// Whether a step makes a part of the record the record.
    pub(super) moves: bool,
    /// Whether a template rendered in this phase reads the input.
    pub(super) reads_original: bool,
}

impl ProgramPhase {
    /// Takes in what its steps do.
    pub(super) fn take_steps(&mut self, steps: Vec<(StepName, StepOperation)>) {
        for (place, operation) in steps {
            let operation = match operation {
                StepOperation::Read(operation) => DraftOperation::Read(operation),
                StepOperation::Change(change) => DraftOperation::Change(change),
                StepOperation::Split(operation) => {
                    self.splits.push(SplitInstruction { place, operation, behind: Vec::new() });
                    continue;
                }
            };
            let list = self.splits.last_mut().map_or(&mut self.drafting, |split| &mut split.behind);
            list.push(DraftInstruction { place, operation });
        }
        let reading = self.drafting.iter().map(DraftInstruction::reading).collect();
        match reading {
            Some(reading) if !self.is_written && self.splits.is_empty() => {
                (self.steps, self.drafting) = (reading, Vec::new());
            }
            Some(_) | None => self.is_written = true,
        }
    }

    /// The name of its last step.
    fn last_step(&self) -> Option<&StepName> {
        let split = self.splits.last().map(|split| split.behind.last().map_or(&split.place, |step| &step.place));
        let drafting = || self.drafting.last().map(|step| &step.place);
        split.or_else(drafting).or_else(|| self.steps.last().map(|step| &step.place))
    }
}

impl Program {
    /// Compiles the steps of a pipeline and the templates its sink declared. The encoder gets the templates rendered in
    /// the same order, in [`Kept::rendered`](crate::model::Kept::rendered).
    ///
    /// # Errors
    /// The first step or template that cannot be compiled.
    pub fn compile(
        steps: &[StepPlan],
        templates: &[Template],
        tombstones: Tombstones,
    ) -> Result<Arc<Self>, CompileError> {
        Self::compile_for(steps, templates, tombstones, None, ValueFormat::Json)
    }

    /// The same, where the sink chooses each record's action (`by`): what is deleted, dropped or rejected by it skips
    /// the steps. What is parsed of a `format` other than JSON are not the input's own bytes.
    ///
    /// # Errors
    /// As [`Program::compile`].
    pub(crate) fn compile_for(
        steps: &[StepPlan],
        templates: &[Template],
        tombstones: Tombstones,
        by: Option<&ActionBy>,
        format: ValueFormat,
    ) -> Result<Arc<Self>, CompileError> {
        let mut compiler = Compiler::default();
        compiler.phase.is_written = format != ValueFormat::Json;
        for step in steps {
            compiler.step(step)?;
        }
        let sink: StepName = "sink".into();
        let templates = templates
            .iter()
            .map(|template| compiler.template(template, &sink))
            .collect::<Result<Vec<_>, CompileError>>()?;
        compiler.phase.reads_original |= templates.iter().any(Compiled::reads_original);
        compiler.end_phase();
        Ok(Arc::new(Self {
            phases: compiler.phases,
            templates,
            tombstones,
            parse: "parse".into(),
            sink,
            bare: by.map(Bare::new),
            formats: compiler.formats,
            constants: compiler.constants,
            format,
            costs: compiler.costs,
        }))
    }

    /// Whether values are JSON as they come.
    pub(super) fn reads_json(&self) -> bool {
        self.format == ValueFormat::Json
    }

    /// The JSON of a value; `room` is written over.
    ///
    /// # Errors
    /// The value is not what it should be.
    pub(super) fn json_of<'a>(&self, value: &'a [u8], room: &'a mut Vec<u8>) -> Result<&'a [u8], Malformed> {
        decode(&self.format, value, room)
    }

    /// Each step's cost class, in order, for `check --explain`.
    #[must_use]
    pub(crate) fn costs(&self) -> &[(StepName, CostClass)] {
        &self.costs
    }

    /// The cost class of the pipeline: that of its dearest step.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn cost(&self) -> CostClass {
        self.costs.iter().map(|(_, cost)| *cost).max().unwrap_or(CostClass::Untouched)
    }

    /// Number of look-ups, in step order.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn lookups(&self) -> usize {
        self.phases.iter().map(|phase| phase.lookups.len()).sum()
    }

    /// The name of the step that made what phase number `phase` reads: the last one of the phase before.
    pub(super) fn maker_of(&self, phase: usize) -> &StepName {
        let before = phase.checked_sub(1).and_then(|before| self.phases.get(before));
        before.and_then(ProgramPhase::last_step).unwrap_or(&self.parse)
    }

    /// The templates rendered in phase number `phase`: all of them, in the last.
    pub(super) fn templates_of(&self, phase: usize) -> &[Compiled] {
        if phase + 1 == self.phases.len() { &self.templates } else { &[] }
    }

    /// The only phase of a program without look-ups, which needs one pass.
    pub(super) fn single_pass(&self) -> Option<&ProgramPhase> {
        match &self.phases[..] {
            [phase] if phase.lookups.is_empty() => Some(phase),
            _ => None,
        }
    }
}

#[cfg(test)]
#[path = "program_tests.rs"]
mod tests;
