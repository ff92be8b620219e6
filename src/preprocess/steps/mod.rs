//! The kinds of steps. Each has a file of its own: what people write, its check (written → plan), its compilation
//! (plan → program), what it does to a record, and its tests.
//!
//! This file names the kinds: as written ([`Step`]), as true ([`StepKind`]) and as a program runs them ([`Operation`]).
//! A new kind is its file and one line in each enum and each `match` here; ARCHITECTURE.md has the walk-through.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::compile::Compiler;
use super::document::Cursor;
use super::ending::StepEnding;
use super::evaluate::{Asked, Evaluation, Rendering};
use super::program::{CompileError, CostClass};
use crate::leaf::CheckContext;
use crate::leaf::server::RedisConnection;
use crate::leaf::short::Short;
use crate::model::StepName;

#[cfg_attr(not(test), expect(dead_code, reason = "the machinery that runs it is being built"))]
pub mod coerce;
pub mod filter;
pub mod lookup;
pub mod require;
pub mod select;
#[cfg_attr(not(test), expect(dead_code, reason = "the machinery that runs it is being built"))]
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
}

/// A step of a program.
#[derive(Debug)]
pub(super) struct Instruction {
    pub(super) place: StepName,
    pub(super) operation: Operation,
}

/// What an instruction does.
#[derive(Debug)]
pub(super) enum Operation {
    Select(select::SelectPlan),
    Require(require::RequirePlan),
    Where(filter::WherePlan),
    /// Index of a look-up of the same phase.
    Lookup(usize),
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
        };
        Some(StepPlan { place: Arc::from(format!("steps[{number}].{name}")), kind: kind? })
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Select(_) => "select",
            Self::Require(_) => "require",
            Self::Where(_) => "where",
            Self::Lookup(_) => "lookup",
        }
    }
}

impl StepKind {
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
    ) -> Result<(Operation, CostClass), CompileError> {
        match self {
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
            Operation::Lookup(index) => {
                on.phase.lookups[*index].ask(*index, on, window, asked, rendering).map(|()| window)
            }
        }
    }
}

#[cfg(test)]
mod fixtures;

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
