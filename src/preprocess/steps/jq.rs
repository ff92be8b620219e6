//! `jq`: a program makes any number of records of one (class D).

use super::super::compile::Compiler;
use super::super::draft::Draft;
use super::super::ending::{StepEnding, rejected};
use super::super::jq::{JqBounds, JqEnd, JqProgram};
use super::super::program::{CompileError, CostClass};
use super::{SplitOperation, StepOperation};
use crate::leaf::CheckContext;
use crate::model::{ItemPath, RejectReason, StepName};

/// The program.
#[derive(Debug, Clone)]
pub struct JqPlan {
    /// Compiled.
    pub program: JqProgram,
}

pub(super) fn check(text: &str, path: &str, context: &CheckContext<'_>) -> Option<JqPlan> {
    context.splits(path, ItemPath::LEVELS);
    match JqProgram::compile(text) {
        Ok(program) => Some(JqPlan { program }),
        Err(fault) => {
            let place = format!("line {}, column {} of the program", fault.line, fault.column);
            context.error(
                path,
                format!("{place}: {}", fault.message),
                "the language is jq's (https://jqlang.org/manual), without the environment, other inputs and modules",
            );
            None
        }
    }
}

impl JqPlan {
    pub(super) fn compile(
        &self,
        place: &StepName,
        compiler: &mut Compiler,
    ) -> Result<(StepOperation, CostClass), CompileError> {
        compiler.split(place)?;
        Ok((StepOperation::Split(SplitOperation::Jq(self.clone())), CostClass::Rebuilt))
    }

    /// Lists the outputs; how many there are.
    ///
    /// # Errors
    /// The program fails, or makes too much.
    pub(in crate::preprocess) fn list(&self, draft: &mut Draft<'_>, place: &StepName) -> Result<usize, StepEnding> {
        let most = draft.room.split.most_items as usize;
        let bounds = JqBounds { outputs: most, bytes: draft.room.most_bytes };
        let made = draft.list_made(|input, out, ends| self.program.run(input, out, ends, bounds));
        made.map_err(|end| {
            let (reason, detail) = match end {
                JqEnd::TooManyOutputs => {
                    let detail = format!("the record becomes more than {most} records, which is `limits.items`");
                    (RejectReason::TooLarge, detail)
                }
                JqEnd::TooManyBytes => {
                    let detail = "the program makes more than four times `limits.value` of the record";
                    (RejectReason::TooLarge, detail.to_owned())
                }
                JqEnd::TooDeep => {
                    (RejectReason::TooDeep, "the program goes deeper than it may, or its output does".to_owned())
                }
                JqEnd::TooManySteps => {
                    let detail = "the program takes too many turns of its loops for the record".to_owned();
                    (RejectReason::ProgramError, detail)
                }
                JqEnd::Failed(message) => (RejectReason::ProgramError, message),
            };
            rejected(reason, place, detail)
        })
    }
}

#[cfg(test)]
#[path = "jq_tests.rs"]
mod tests;
