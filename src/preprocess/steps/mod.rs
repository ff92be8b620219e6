//! The kinds of steps. Each has a file of its own: what people write, its check (written → plan), its compilation
//! (plan → program), what it does to a record, and its tests.
//!
//! This file names the kinds: as written ([`Step`]), as true ([`StepKind`]) and as a program runs them ([`Operation`]).
//! A new kind is its file and one line in each enum and each `match` here; ARCHITECTURE.md has the walk-through.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::compile::{Compiler, error};
use super::document::Cursor;
use super::draft::Draft;
use super::ending::StepEnding;
use super::evaluate::{Asked, Evaluation, Rendering};
use super::program::{CompileError, CostClass};
use crate::leaf::CheckContext;
use crate::leaf::server::RedisConnection;
use crate::leaf::short::Short;
use crate::model::StepName;
use pointers::Pointers;

pub(crate) use super::jq::STACK_BYTES;

pub mod coerce;
pub mod drop;
pub mod explode;
pub mod filter;
pub mod jq;
pub mod keep;
pub mod lookup;
pub mod parse;
pub(super) mod pointers;
pub mod rename;
pub mod require;
pub mod route;
pub mod select;
pub mod set;
pub mod timestamp;
pub mod unconverted;

/// Most steps of a pipeline.
const MAX_STEPS: usize = 100;

/// One step: a map with one key.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The object at this RFC 6901 pointer becomes the record, byte for byte. A missing, null or other value rejects
    /// it.
    Select(String),
    /// These pointers must find a value that is not null: one, a list, or a map with `fields` and `otherwise`.
    Require(Short<require::Require>),
    /// The record goes on only when all conditions hold: a list, or a map with `all` and `otherwise`.
    Where(Short<filter::Where>),
    /// Adds fields of a Redis hash.
    Lookup(Box<lookup::Lookup>),
    /// Removes what is at these RFC 6901 pointers: one or a list. A missing one is fine.
    Drop(Pointers),
    /// Removes everything but what is at these pointers: one or a list.
    Keep(Pointers),
    /// Gives members other names, or moves them: `{ /old: /new }`.
    Rename(rename::Rename),
    /// Puts values at pointers: `{ /path: value }`. A text is a template.
    Set(set::Set),
    /// JSON text inside a string becomes JSON: a pointer, or a map with `from`, `into` and `otherwise`.
    Parse(Short<parse::Parse>),
    /// Gives values a type: `{ /n: integer }`, or a map with `fields` and `otherwise`.
    Coerce(coerce::Coerce),
    /// Reads a date in several formats and writes it in one.
    Timestamp(timestamp::TimestampStep),
    /// Makes a record of each element of an array: its pointer, or a map with `from`, `with` and `index_into`.
    Explode(Short<explode::Explode>),
    /// Runs a program in the language of jq: each of its outputs becomes a record.
    Jq(String),
    /// Gives the record a name for `{route}` in templates: a list of rules, or a map with `rules` and `otherwise`.
    Route(Short<route::Route>),
}

/// A step as true. `place` is its name in messages: `steps[0].select`.
#[derive(Debug, Clone)]
pub struct StepPlan {
    /// Name in messages, metrics and dead letters.
    pub place: Arc<str>,
    /// What it does.
    pub kind: StepKind,
}

/// What a step does. Pointers are RFC 6901, checked to start with `/` (or be empty: the whole record).
#[derive(Debug, Clone)]
pub enum StepKind {
    /// The object at a pointer becomes the record.
    Select(select::SelectPlan),
    /// Every pointer must find a non-null value, else the record is rejected or dropped.
    Require(require::RequirePlan),
    /// The record goes on only when all conditions hold.
    Where(filter::WherePlan),
    /// Fields of a Redis hash are added.
    Lookup(Box<lookup::LookupPlan>),
    /// Members or elements are removed.
    Drop(drop::DropPlan),
    /// Everything else is removed.
    Keep(keep::KeepPlan),
    /// Members get other names or places.
    Rename(rename::RenamePlan),
    /// Values are put in.
    Set(set::SetPlan),
    /// Text becomes JSON.
    Parse(parse::ParsePlan),
    /// Values get a type.
    Coerce(coerce::CoercePlan),
    /// A date is read and written.
    Timestamp(timestamp::TimestampPlan),
    /// Each element of an array becomes a record.
    Explode(explode::ExplodePlan),
    /// Each output of a program becomes a record.
    Jq(jq::JqPlan),
    /// The record gets a name.
    Route(route::RoutePlan),
}

/// A step of a program that only reads what was parsed.
#[derive(Debug)]
pub(super) struct Instruction {
    pub(super) place: StepName,
    pub(super) operation: Operation,
}

/// A step of a phase in which records are changed.
#[derive(Debug)]
pub(super) struct DraftInstruction {
    pub(super) place: StepName,
    pub(super) operation: DraftOperation,
}

/// What such a step does.
#[derive(Debug)]
pub(super) enum DraftOperation {
    Read(Operation),
    Change(Change),
}

/// A step that makes several items of a record, and the steps that are done to each of them.
#[derive(Debug)]
pub(super) struct SplitInstruction {
    pub(super) place: StepName,
    pub(super) operation: SplitOperation,
    /// Those up to the next step of this kind.
    pub(super) behind: Vec<DraftInstruction>,
}

/// How items are made.
#[derive(Debug)]
pub(super) enum SplitOperation {
    Explode(explode::CompiledExplode),
    Jq(jq::JqPlan),
}

/// What a kind of step compiles to.
#[derive(Debug)]
pub(super) enum StepOperation {
    Read(Operation),
    Change(Change),
    Split(SplitOperation),
}

/// What is done to a record under change.
#[derive(Debug)]
pub(super) enum Change {
    Drop(drop::CompiledDrop),
    Keep(keep::CompiledKeep),
    Rename(rename::CompiledRename),
    Set(set::CompiledSet),
    Parse(parse::CompiledParse),
    Coerce(coerce::CompiledCoerce),
    Timestamp(timestamp::CompiledTimestamp),
}

/// What an instruction does that changes nothing.
#[derive(Debug, Clone)]
pub(super) enum Operation {
    Select(select::SelectPlan),
    Require(require::RequirePlan),
    Where(filter::WherePlan),
    /// Index of a look-up of the same phase.
    Lookup(usize),
    Route(route::CompiledRoute),
}

/// What happens to a record that a condition does not let pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Otherwise {
    /// It is counted as dropped.
    Drop,
    /// It is rejected.
    Reject,
}

/// Finds a Redis connection by the path of the key that names it, and its name; notes a finding when there is none.
pub type FindRedis<'run> = &'run dyn Fn(&str, &str) -> Option<RedisConnection>;

/// Checks the steps of a pipeline. `None` when there is an error among the findings.
pub fn check(steps: &[Step], path: &str, context: &CheckContext<'_>, redis: FindRedis<'_>) -> Option<Vec<StepPlan>> {
    if steps.len() > MAX_STEPS {
        context.error(path, format!("more than {MAX_STEPS} steps"), "split the pipeline");
        return None;
    }
    let plans: Vec<_> =
        steps.iter().enumerate().map(|(number, step)| step.check(path, number, context, redis)).collect();
    plans.into_iter().collect()
}

impl Step {
    fn check(&self, path: &str, number: usize, context: &CheckContext<'_>, redis: FindRedis<'_>) -> Option<StepPlan> {
        let name = self.name();
        let path = &format!("{path}[{number}].{name}");
        let kind = match self {
            Self::Select(pointer) => select::check(pointer, path, context).map(StepKind::Select),
            Self::Require(Short(require)) => require.check(path, context).map(StepKind::Require),
            Self::Where(Short(conditions)) => conditions.check(path, context).map(StepKind::Where),
            Self::Lookup(lookup) => lookup.check(path, context, redis).map(|plan| StepKind::Lookup(Box::new(plan))),
            Self::Drop(pointers) => drop::check(pointers, path, context).map(StepKind::Drop),
            Self::Keep(pointers) => keep::check(pointers, path, context).map(StepKind::Keep),
            Self::Rename(rename) => rename.check(path, context).map(StepKind::Rename),
            Self::Set(set) => set.check(path, context).map(StepKind::Set),
            Self::Parse(Short(parse)) => parse.check(path, context).map(StepKind::Parse),
            Self::Coerce(coerce) => coerce.check(path, context).map(StepKind::Coerce),
            Self::Timestamp(timestamp) => timestamp.check(path, context).map(StepKind::Timestamp),
            Self::Explode(Short(explode)) => explode.check(path, context).map(StepKind::Explode),
            Self::Jq(program) => jq::check(program, path, context).map(StepKind::Jq),
            Self::Route(Short(route)) => route.check(path, context).map(StepKind::Route),
        };
        Some(StepPlan { place: Arc::from(format!("steps[{number}].{name}")), kind: kind? })
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Select(_) => "select",
            Self::Require(_) => "require",
            Self::Where(_) => "where",
            Self::Lookup(_) => "lookup",
            Self::Drop(_) => "drop",
            Self::Keep(_) => "keep",
            Self::Rename(_) => "rename",
            Self::Set(_) => "set",
            Self::Parse(_) => "parse",
            Self::Coerce(_) => "coerce",
            Self::Timestamp(_) => "timestamp",
            Self::Explode(_) => "explode",
            Self::Jq(_) => "jq",
            Self::Route(_) => "route",
        }
    }
}

#[cfg(test)]
impl StepPlan {
    /// Whether it makes several records of one.
    fn splits(&self) -> bool {
        matches!(self.kind, StepKind::Explode(_) | StepKind::Jq(_))
    }
}

impl StepKind {
    /// Whether it runs a program, for which a thread needs a stack of [`STACK_BYTES`].
    #[must_use]
    pub(crate) fn runs_a_program(&self) -> bool {
        matches!(self, Self::Jq(_))
    }

    /// What it looks up, where it is a look-up.
    #[must_use]
    pub(crate) fn lookup(&self) -> Option<&lookup::LookupPlan> {
        if let Self::Lookup(plan) = self { Some(plan) } else { None }
    }

    /// The operation, and what it costs unless it needs a phase of its own.
    pub(super) fn compile(
        &self,
        place: &StepName,
        compiler: &mut Compiler,
    ) -> Result<(StepOperation, CostClass), CompileError> {
        match self {
            Self::Drop(plan) => Ok(plan.compile(compiler)),
            Self::Keep(plan) => Ok(plan.compile(compiler)),
            Self::Rename(plan) => Ok(plan.compile(compiler)),
            Self::Set(plan) => plan.compile(place, compiler),
            Self::Coerce(plan) => Ok(plan.compile(compiler)),
            Self::Timestamp(plan) => plan.compile(compiler).ok_or_else(|| error(place, "the whole record is no date")),
            Self::Explode(plan) => plan.compile(place, compiler),
            Self::Jq(plan) => plan.compile(place, compiler),
            Self::Route(plan) => Ok(plan.compile(compiler)),
            Self::Parse(plan) => plan.compile(compiler).ok_or_else(|| error(place, "the whole record is no string")),
            Self::Select(plan) => Ok(plan.compile(compiler)),
            Self::Require(plan) => Ok(plan.compile(compiler)),
            Self::Where(plan) => Ok(plan.compile(compiler)),
            Self::Lookup(plan) => plan.compile(place, compiler),
        }
    }
}

impl Instruction {
    /// Runs over the record in `window`; gives the window that is the record then.
    ///
    /// # Errors
    /// How the record ends.
    #[inline(always)]
    pub(super) fn run(
        &self,
        on: &Evaluation<'_>,
        window: Cursor,
        asked: &mut Asked,
        rendering: &mut Rendering,
    ) -> Result<Cursor, StepEnding> {
        match &self.operation {
            Operation::Select(select) => select.run(on.document, window, &self.place),
            Operation::Require(require) => require.run(on.document, window, &self.place).map(|()| window),
            Operation::Where(filter) => filter.run(on.document, window, &self.place).map(|()| window),
            Operation::Route(route) => route.run(on.document, window, &self.place, rendering).map(|()| window),
            Operation::Lookup(index) => {
                on.phase.lookups[*index].ask(*index, on, window, asked, rendering).map(|()| window)
            }
        }
    }
}

impl StepOperation {
    /// Whether it puts JSON in that can only be read when the record is parsed again.
    pub(super) fn makes_json(&self) -> bool {
        matches!(self, Self::Change(Change::Parse(_)) | Self::Split(SplitOperation::Jq(_)))
    }
}

impl DraftInstruction {
    /// The same as an instruction that only reads; `None` for one that changes records.
    pub(super) fn reading(&self) -> Option<Instruction> {
        match &self.operation {
            DraftOperation::Read(operation) => {
                Some(Instruction { place: self.place.clone(), operation: operation.clone() })
            }
            DraftOperation::Change(_) => None,
        }
    }

    /// Runs over a record under change.
    ///
    /// # Errors
    /// How the record ends.
    pub(super) fn run(
        &self,
        on: &Evaluation<'_>,
        draft: &mut Draft<'_>,
        asked: &mut Asked,
        rendering: &mut Rendering,
    ) -> Result<(), StepEnding> {
        match &self.operation {
            DraftOperation::Read(Operation::Select(select)) => {
                draft.root = select.run(draft, draft.root, &self.place)?;
                Ok(())
            }
            DraftOperation::Read(Operation::Require(require)) => require.run(draft, draft.root, &self.place),
            DraftOperation::Read(Operation::Where(filter)) => filter.run(draft, draft.root, &self.place),
            DraftOperation::Read(Operation::Route(route)) => route.run(draft, draft.root, &self.place, rendering),
            DraftOperation::Read(Operation::Lookup(index)) => {
                on.phase.lookups[*index].ask_of_draft(*index, on, draft, asked, rendering)
            }
            DraftOperation::Change(Change::Drop(drop)) => {
                drop.run(draft);
                Ok(())
            }
            DraftOperation::Change(Change::Keep(keep)) => keep.run(draft, &self.place),
            DraftOperation::Change(Change::Rename(rename)) => rename.run(draft, &self.place),
            DraftOperation::Change(Change::Set(set)) => set.run(on, draft, &self.place, rendering),
            DraftOperation::Change(Change::Parse(parse)) => parse.run(draft, &self.place),
            DraftOperation::Change(Change::Coerce(coerce)) => coerce.run(draft, &self.place, &mut rendering.key),
            DraftOperation::Change(Change::Timestamp(timestamp)) => {
                timestamp.run(draft, &self.place, &mut rendering.key)
            }
        }
    }
}

#[cfg(test)]
pub(super) mod fixtures;

#[cfg(test)]
mod tests {
    use super::fixtures::refuses;

    #[test]
    fn a_step_is_a_map_with_one_known_key() {
        let rows = [
            ("{selct: /a}", ".selct", "did you mean `select`"),
            ("select", "", "needs a value"),
            ("{select: /a, require: /b}", "", "exactly one of"),
        ];
        refuses("", &rows);
    }
}
