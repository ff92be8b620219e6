//! `explode`: each element of an array becomes a record of its own (class P).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::compile::Compiler;
use super::super::constants::EditPath;
use super::super::document::Value;
use super::super::draft::{Draft, DraftValue};
use super::super::ending::{StepEnding, missing, refuse, rejected};
use super::super::look::Look;
use super::super::program::{CompileError, CostClass};
use super::pointers::{Pointers, below, no_place, overlap};
use super::rename::OnExisting;
use super::{Otherwise, SplitOperation, StepOperation};
use crate::leaf::short::ShortForms;
use crate::leaf::{CheckContext, Pointer};
use crate::model::{ItemPath, RejectReason, StepName};

/// Each element of an array becomes a record.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ExplodeMap", description = "The long form of [`Explode`].")]
pub struct Explode {
    /// RFC 6901 pointer to the array; the empty text where the record is one.
    pub from: String,
    /// Pointers to what of the record is copied into each element, at the same pointer: one or a list. What is missing
    /// is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with: Option<Pointers>,
    /// RFC 6901 pointer to where each element gets its number, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index_into: Option<String>,
    /// What happens where an element has something at such a pointer already.
    #[serde(default)]
    pub on_existing: OnExisting,
    /// What happens to records without an array there.
    #[serde(default = "reject")]
    pub otherwise: Otherwise,
}

fn reject() -> Otherwise {
    Otherwise::Reject
}

impl ShortForms for Explode {
    type Item = String;
    const NAME: &'static str = "Explode";
    const EXPECTED: &'static str =
        "a pointer, or a map with `from`, `with`, `index_into`, `on_existing` and `otherwise`";
    const OF_TEXT: Option<fn(&str) -> Self> = Some(|pointer| Self {
        from: pointer.to_owned(),
        with: None,
        index_into: None,
        on_existing: OnExisting::Reject,
        otherwise: Otherwise::Reject,
    });
    const OF_LIST: Option<fn(Vec<String>) -> Self> = None;
}

/// What becomes records.
#[derive(Debug, Clone)]
pub struct ExplodePlan {
    /// Where the array is.
    pub from: Pointer,
    /// What is copied into each element.
    pub with: Vec<Pointer>,
    /// Where its number goes.
    pub index_into: Option<Pointer>,
    /// What happens where something is there already.
    pub on_existing: OnExisting,
    /// What happens to records without an array.
    pub otherwise: Otherwise,
}

impl Explode {
    pub(super) fn check(&self, path: &str, context: &CheckContext<'_>) -> Option<ExplodePlan> {
        context.splits(path, ItemPath::LEVELS);
        context.explodes.set(true);
        let at = |key: &str| {
            let long = format!("{path}.{key}");
            if context.index.is_written(&long) { long } else { path.to_owned() }
        };
        let from = context.pointer(&at("from"), &self.from);
        let with = self.with.as_ref().map(|with| with.check(&at("with"), context));
        let index_into = self.index_into.as_ref().map(|into| below(context, &at("index_into"), into));
        let (from, with) = (from?, with.unwrap_or_else(|| Some(Vec::new()))?);
        let index_into = match index_into {
            Some(into) => Some(into?),
            None => None,
        };
        let (place_of_with, place_of_index) = (at("with"), at("index_into"));
        let placed = with.iter().map(|pointer| (&place_of_with, pointer));
        if overlap(context, placed.chain(index_into.as_ref().map(|pointer| (&place_of_index, pointer)))) {
            return None;
        }
        if let Some(whole) = with.iter().find(|pointer| from.members.starts_with(&pointer.members)) {
            context.warn(
                &place_of_with,
                format!("`{whole}` holds the whole array: every element gets a copy of all"),
                "name what of the record the elements need",
            );
        }
        Some(ExplodePlan { from, with, index_into, on_existing: self.on_existing, otherwise: self.otherwise })
    }
}

#[derive(Debug)]
pub(in crate::preprocess) struct CompiledExplode {
    plan: ExplodePlan,
    /// Where what is copied goes.
    with: Vec<EditPath>,
    index_into: Option<EditPath>,
}

impl ExplodePlan {
    pub(super) fn compile(
        &self,
        place: &StepName,
        compiler: &mut Compiler,
    ) -> Result<(StepOperation, CostClass), CompileError> {
        compiler.split(place)?;
        let with = self.with.iter().filter_map(|pointer| compiler.constants.path(pointer)).collect();
        let index_into = self.index_into.as_ref().and_then(|pointer| compiler.constants.path(pointer));
        let explode = CompiledExplode { plan: self.clone(), with, index_into };
        Ok((StepOperation::Split(SplitOperation::Explode(explode)), CostClass::Splice))
    }
}

impl CompiledExplode {
    /// Lists the elements; how many there are.
    ///
    /// # Errors
    /// There is no array.
    pub(in crate::preprocess) fn list(&self, draft: &mut Draft<'_>, place: &StepName) -> Result<usize, StepEnding> {
        let ExplodePlan { from, otherwise, .. } = &self.plan;
        let Some(found) = draft.find(draft.root, &from.members) else {
            return Err(refuse(*otherwise, place, || (RejectReason::Missing, missing(draft, draft.root, from))));
        };
        let mut elements = std::mem::take(&mut draft.room.split.elements);
        let before = elements.len();
        let is_array = draft.list_elements(found, &mut elements);
        let count = elements.len() - before;
        draft.room.split.elements = elements;
        if is_array {
            return Ok(count);
        }
        let value = draft.value(found);
        let reason = if value == Value::Null { RejectReason::Null } else { RejectReason::WrongType };
        let shown = if from.members.is_empty() { "the record".to_owned() } else { from.shown() };
        Err(refuse(*otherwise, place, || (reason, format!("{shown} is {}, not an array", value.kind()))))
    }

    /// Makes an element the record, with what is copied of the record `root` and its number, the last of `path`.
    ///
    /// # Errors
    /// There is no place for that.
    pub(in crate::preprocess) fn enter(
        &self,
        draft: &mut Draft<'_>,
        (root, element, path): (DraftValue, DraftValue, ItemPath),
        place: &StepName,
    ) -> Result<(), StepEnding> {
        draft.root = draft.copy(element);
        for (pointer, into) in self.plan.with.iter().zip(&self.with) {
            if let Some(found) = draft.find(root, &pointer.members) {
                let copy = draft.copy(found);
                self.put(draft, (pointer, into), copy, place)?;
            }
        }
        if let (Some(pointer), Some(into)) = (&self.plan.index_into, &self.index_into) {
            let number = draft.make(path.last_number().to_string().as_bytes());
            self.put(draft, (pointer, into), number, place)?;
        }
        Ok(())
    }

    fn put(
        &self,
        draft: &mut Draft<'_>,
        (pointer, into): (&Pointer, &EditPath),
        value: DraftValue,
        place: &StepName,
    ) -> Result<(), StepEnding> {
        if draft.find(draft.root, &pointer.members).is_some() {
            match self.plan.on_existing {
                OnExisting::Keep => return Ok(()),
                OnExisting::Replace => {}
                OnExisting::Reject => {
                    let detail = format!("the element has something at {pointer} already");
                    return Err(rejected(RejectReason::Exists, place, detail));
                }
            }
        }
        draft.put_at(into, value).map_err(|fault| no_place(draft, place, pointer, fault))
    }
}

#[cfg(test)]
#[path = "explode_tests.rs"]
mod tests;
