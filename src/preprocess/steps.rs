//! The steps that look at one record: `select`, `require` and `where`. Pure; a step that lets a record pass says where the
//! record now is.

use std::cmp::Ordering;

use super::document::{Cursor, Document, Value};
use super::path::{Path, shown};
use crate::config::plan::{NumberTest, Otherwise, Scalar, Test};
use crate::model::{Decimal, Reject, RejectReason, StepName};

/// Why a record goes no further.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Ending {
    /// By a rule.
    Dropped,
    /// It can never be delivered. Boxed, because results are handed up for every record and few are rejects.
    Rejected(Box<Reject>),
}

/// A compiled condition of `where`.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) path: Path,
    pub(super) test: Test,
}

/// The object at `path` becomes the record.
#[inline(always)]
pub(super) fn select(doc: &Document<'_>, window: Cursor, path: &Path, place: &StepName) -> Result<Cursor, Ending> {
    let Some(found) = doc.find(window, &path.members) else {
        return Err(rejected(RejectReason::Missing, place, missing(doc, window, path)));
    };
    match doc.value(found) {
        Value::Object { .. } => Ok(found),
        Value::Null => Err(rejected(RejectReason::Null, place, format!("{} is null", shown(&path.text)))),
        other @ (Value::Bool(_)
        | Value::Negative(_)
        | Value::Unsigned(_)
        | Value::Float(_)
        | Value::String(_)
        | Value::Array) => {
            let detail = format!("{} is {}, not an object", shown(&path.text), other.kind());
            Err(rejected(RejectReason::WrongType, place, detail))
        }
    }
}

/// Every path must find something other than null.
pub(super) fn require(
    doc: &Document<'_>,
    window: Cursor,
    paths: &[Path],
    otherwise: Otherwise,
    place: &StepName,
) -> Result<(), Ending> {
    for path in paths {
        let found = doc.find(window, &path.members).map(|found| doc.value(found));
        if matches!(found, None | Some(Value::Null)) {
            return Err(refuse(otherwise, place, || match found {
                None => missing(doc, window, path),
                Some(_) => format!("{} is null", shown(&path.text)),
            }));
        }
    }
    Ok(())
}

/// All checks must hold.
pub(super) fn filter(
    doc: &Document<'_>,
    window: Cursor,
    checks: &[Check],
    otherwise: Otherwise,
    place: &StepName,
) -> Result<(), Ending> {
    for check in checks {
        let found = doc.find(window, &check.path.members).map(|found| (found, doc.value(found)));
        if !holds(doc, &check.test, found) {
            let detail = || format!("the condition on {} does not hold", shown(&check.path.text));
            return Err(refuse(otherwise, place, detail));
        }
    }
    Ok(())
}

/// Whether `test` holds for what was found; a missing value only satisfies the negative forms.
fn holds(doc: &Document<'_>, test: &Test, found: Option<(Cursor, Value<'_>)>) -> bool {
    let is_one =
        |constants: &[Scalar]| found.is_some_and(|found| constants.iter().any(|constant| equal(doc, found, constant)));
    match test {
        Test::Exists(wanted) => matches!(found, None | Some((_, Value::Null))) != *wanted,
        Test::In(constants) => is_one(constants),
        Test::NotIn(constants) => !is_one(constants),
        Test::Prefix(prefix) => matches!(found, Some((_, Value::String(text))) if text.starts_with(prefix.as_str())),
        Test::Number(wanted, bound) => {
            found.and_then(|found| order(doc, found, bound)).is_some_and(|order| match wanted {
                NumberTest::Less => order.is_lt(),
                NumberTest::AtMost => order.is_le(),
                NumberTest::Greater => order.is_gt(),
                NumberTest::AtLeast => order.is_ge(),
            })
        }
    }
}

fn equal(doc: &Document<'_>, found: (Cursor, Value<'_>), constant: &Scalar) -> bool {
    match constant {
        Scalar::Bool(constant) => found.1 == Value::Bool(*constant),
        Scalar::String(constant) => found.1 == Value::String(constant),
        Scalar::Number(constant) => order(doc, found, constant) == Some(Ordering::Equal),
    }
}

/// The order of a record's number to a constant. The parser gives whole numbers of 64 bits as they are; of any other number
/// only its spelling is exact.
fn order(doc: &Document<'_>, (cursor, value): (Cursor, Value<'_>), constant: &Decimal) -> Option<Ordering> {
    match value {
        Value::Negative(number) => constant.order_of_whole(number.into(), || doc.bytes(cursor)),
        Value::Unsigned(number) => constant.order_of_whole(number.into(), || doc.bytes(cursor)),
        Value::Float(_) => constant.order_of(doc.bytes(cursor)),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Object { .. } | Value::Array => None,
    }
}

fn refuse(otherwise: Otherwise, place: &StepName, detail: impl FnOnce() -> String) -> Ending {
    match otherwise {
        Otherwise::Drop => Ending::Dropped,
        Otherwise::Reject => rejected(RejectReason::Condition, place, detail()),
    }
}

#[cold]
pub(super) fn rejected(reason: RejectReason, place: &StepName, detail: String) -> Ending {
    reject(reason, place, detail).into()
}

impl From<Reject> for Ending {
    #[cold]
    fn from(reject: Reject) -> Self {
        Self::Rejected(Box::new(reject))
    }
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

/// Says where on the way to `path` the record ends.
#[cold]
pub(super) fn missing(doc: &Document<'_>, window: Cursor, path: &Path) -> String {
    let mut reached = (0..path.members.len()).rev();
    let parent = reached.find_map(|depth| Some((depth, doc.find(window, &path.members[..depth])?)));
    match parent {
        Some((depth, found)) if !matches!(doc.value(found), Value::Object { .. } | Value::Array) => {
            let parent = super::path::text(&path.members[..depth]);
            format!("{} is missing: {} is {}", shown(&path.text), shown(&parent), doc.value(found).kind())
        }
        Some(_) | None => format!("{} is missing", shown(&path.text)),
    }
}

#[cfg(test)]
#[path = "steps_tests.rs"]
mod tests;
