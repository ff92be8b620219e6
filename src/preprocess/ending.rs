//! How a record ends on its way through the steps, and the words for it.

use super::document::Value;
use super::look::Look;
use super::steps::Otherwise;
use crate::leaf::Pointer;
use crate::model::{Reject, RejectReason, StepName};

/// Why a record goes no further.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum StepEnding {
    /// By a rule.
    Dropped,
    /// It can never be delivered. Boxed, because results are handed up for every record and few are rejects.
    Rejected(Box<Reject>),
}

impl From<Reject> for StepEnding {
    #[cold]
    fn from(reject: Reject) -> Self {
        Self::Rejected(Box::new(reject))
    }
}

/// The end of a record that a step does not let pass: dropped, or rejected for the reason and with the words of `why`.
pub(super) fn refuse(
    otherwise: Otherwise,
    place: &StepName,
    why: impl FnOnce() -> (RejectReason, String),
) -> StepEnding {
    match otherwise {
        Otherwise::Drop => StepEnding::Dropped,
        Otherwise::Reject => {
            let (reason, detail) = why();
            rejected(reason, place, detail)
        }
    }
}

#[cold]
pub(super) fn rejected(reason: RejectReason, place: &StepName, detail: String) -> StepEnding {
    reject(reason, place, detail).into()
}

/// A reject whose detail keeps the bound of [`Reject::detail`].
#[cold]
pub(super) fn reject(reason: RejectReason, place: &StepName, mut detail: String) -> Reject {
    const LIMIT: usize = 1024;
    if detail.len() > LIMIT {
        let end = (0..=LIMIT).rev().find(|end| detail.is_char_boundary(*end)).unwrap_or(0);
        detail.truncate(end);
    }
    Reject::new(reason, place, detail)
}

/// Says where on the way to `pointer` the record ends.
#[cold]
pub(super) fn missing<L: Look>(doc: &L, window: L::At, pointer: &Pointer) -> String {
    let members = &pointer.members;
    let mut reached = (0..members.len()).rev();
    let parent = reached.find_map(|depth| Some((depth, doc.find(window, &members[..depth])?)));
    match parent {
        Some((depth, found)) if !matches!(doc.value(found), Value::Object { .. } | Value::Array) => {
            let parent = Pointer { members: members[..depth].to_vec() };
            format!("{} is missing: {} is {}", pointer.shown(), parent.shown(), doc.value(found).kind())
        }
        Some(_) | None => format!("{} is missing", pointer.shown()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_keeps_its_bound() {
        let long = reject(RejectReason::Missing, &"here".into(), "é".repeat(4_000));
        assert!(long.detail.len() <= 1_024 && long.detail.starts_with('é'));
    }
}
