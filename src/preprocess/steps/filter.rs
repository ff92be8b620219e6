//! `where`: conditions on values of the record, which must all hold. The record's bytes stay untouched (class Z).
//!
//! A list of conditions is a flat loop over tests. What nests (`any`, `not`) is one test about the whole record, with
//! tests of its own; `all` is taken apart wherever its conditions can stand in the list around it.

use std::cmp::Ordering;
use std::ops::RangeInclusive;

use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::compile::Compiler;
use super::super::document::Value;
use super::super::ending::{StepEnding, refuse};
use super::super::look::Look;
use super::super::program::CostClass;
use super::{Operation, Otherwise, StepOperation};
use crate::leaf::short::ShortForms;
use crate::leaf::{CheckContext, Constant, Pointer};
use crate::model::{Decimal, RejectReason, StepName, is_whole};

pub mod condition;
pub mod length;
mod pattern;

use condition::{Condition, TypeName};

/// Conditions that must all hold.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "WhereMap", description = "The long form of [`Where`].")]
pub struct Where {
    /// The conditions.
    #[schemars(length(min = 1))]
    pub all: Vec<Condition>,
    /// What happens to records where one does not hold.
    #[serde(default = "drop_record")]
    pub otherwise: Otherwise,
}

fn drop_record() -> Otherwise {
    Otherwise::Drop
}

impl ShortForms for Where {
    type Item = Condition;
    const NAME: &'static str = "Where";
    const EXPECTED: &'static str = "a list of conditions, or a map with `all` and `otherwise`";
    const OF_TEXT: Option<fn(&str) -> Self> = None;
    const OF_LIST: Option<fn(Vec<Condition>) -> Self> = Some(|all| Self { all, otherwise: drop_record() });
}

/// The record goes on only when all conditions hold.
#[derive(Debug, Clone)]
pub struct WherePlan {
    /// The conditions.
    pub conditions: Vec<ConditionPlan>,
    /// What happens otherwise (default drop).
    pub otherwise: Otherwise,
}

/// One comparison of a value. A missing value satisfies only `exists: false` and `Not*` forms.
#[derive(Debug, Clone)]
pub struct ConditionPlan {
    /// Which value.
    pub pointer: Pointer,
    /// The comparison.
    pub test: Test,
}

/// A comparison.
#[derive(Debug, Clone)]
pub enum Test {
    /// Equal to one of these constants.
    In(Vec<Constant>),
    /// Equal to none of these constants.
    NotIn(Vec<Constant>),
    /// Present (true) or absent (false); null counts as absent.
    Exists(bool),
    /// A number less than, at most, greater than, at least.
    Number(NumberTest, Decimal),
    /// A string that starts with this.
    Prefix(String),
    /// A string in which this finds something.
    Matches(Box<Regex>),
    /// Of one of these types.
    Type(Vec<TypeName>),
    /// Characters of a string, elements of an array, members of an object.
    Length(RangeInclusive<u64>),
    /// Conditions whose pointers start at the value: it is the whole record wherever people can write one.
    Group(Nesting, Vec<ConditionPlan>),
}

/// How many conditions of a group must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nesting {
    /// At least one.
    Any,
    /// All.
    All,
    /// Not all.
    NotAll,
}

/// Order of a number and a constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberTest {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

impl Where {
    pub(super) fn check(&self, path: &str, context: &CheckContext<'_>) -> Option<WherePlan> {
        let long = format!("{path}.all");
        let list = if context.index.is_written(&long) { &long } else { path };
        Some(WherePlan { conditions: check_all(&self.all, list, context)?, otherwise: self.otherwise })
    }
}

/// Checks conditions that must all hold.
pub(super) fn check_all(all: &[Condition], list: &str, context: &CheckContext<'_>) -> Option<Vec<ConditionPlan>> {
    if all.is_empty() {
        context.error(list, "has no condition", "write `- { field: /status, equals: new }`");
        return None;
    }
    let mut conditions = Vec::new();
    let mut complete = true;
    for (number, condition) in all.iter().enumerate() {
        match condition.check(&format!("{list}[{number}]"), 0, context) {
            Some(tests) => conditions.extend(tests),
            None => complete = false,
        }
    }
    complete.then_some(conditions)
}

/// Whether all conditions hold.
pub(super) fn do_hold<L: Look>(conditions: &[ConditionPlan], doc: &L, window: L::At) -> bool {
    conditions.iter().all(|ConditionPlan { pointer, test }| {
        let found = doc.find(window, &pointer.members).map(|found| (found, doc.value(found)));
        holds(doc, test, found)
    })
}

impl WherePlan {
    pub(super) fn compile(&self, compiler: &mut Compiler) -> (StepOperation, CostClass) {
        self.conditions.iter().for_each(|condition| condition.read(compiler));
        (StepOperation::Read(Operation::Where(self.clone())), CostClass::Untouched)
    }

    pub(super) fn run<L: Look>(&self, doc: &L, window: L::At, place: &StepName) -> Result<(), StepEnding> {
        for ConditionPlan { pointer, test } in &self.conditions {
            let found = doc.find(window, &pointer.members).map(|found| (found, doc.value(found)));
            if !holds(doc, test, found) {
                return Err(refuse(self.otherwise, place, || (RejectReason::Condition, failure(pointer, test))));
            }
        }
        Ok(())
    }
}

impl ConditionPlan {
    pub(super) fn read(&self, compiler: &mut Compiler) {
        match &self.test {
            Test::Group(_, conditions) => conditions.iter().for_each(|condition| condition.read(compiler)),
            Test::In(_)
            | Test::NotIn(_)
            | Test::Exists(_)
            | Test::Number(..)
            | Test::Prefix(_)
            | Test::Matches(_)
            | Test::Type(_) => compiler.read(&self.pointer),
            // What is put into a container changes its length.
            Test::Length(_) => compiler.change(&self.pointer),
        }
    }

    /// The pointers it reads, for messages.
    fn shown(&self) -> String {
        match &self.test {
            Test::Group(_, conditions) => {
                let mut shown: Vec<_> = conditions.iter().map(Self::shown).collect();
                shown.dedup();
                shown.join(", ")
            }
            Test::In(_)
            | Test::NotIn(_)
            | Test::Exists(_)
            | Test::Number(..)
            | Test::Prefix(_)
            | Test::Matches(_)
            | Test::Type(_)
            | Test::Length(_) => self.pointer.shown(),
        }
    }
}

/// What a reject says of the test that does not hold.
#[cold]
fn failure(pointer: &Pointer, test: &Test) -> String {
    let Test::Group(nesting, conditions) = test else {
        return format!("the condition on {} does not hold", pointer.shown());
    };
    let mut shown: Vec<_> = conditions.iter().map(ConditionPlan::shown).collect();
    shown.dedup();
    let shown = shown.join(", ");
    match nesting {
        Nesting::Any => format!("none of the conditions of `any` holds (on {shown})"),
        Nesting::All => format!("the conditions of `all` do not all hold (on {shown})"),
        Nesting::NotAll => format!("the condition under `not` holds (on {shown})"),
    }
}

/// Whether `test` holds for what was found; a missing value only satisfies the negative forms. It is inlined into the
/// loop over a list, and what only newer tests need is called.
#[inline(always)]
fn holds<L: Look>(doc: &L, test: &Test, found: Option<(L::At, Value<'_>)>) -> bool {
    let is_one = |constants: &[Constant]| {
        found.is_some_and(|found| constants.iter().any(|constant| equal(doc, found, constant)))
    };
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
        Test::Matches(pattern) => matches(pattern, found),
        Test::Type(types) => has_type(doc, types, found),
        Test::Length(range) => has_length(doc, range, found),
        Test::Group(nesting, conditions) => group_holds(doc, *nesting, conditions, found),
    }
}

#[inline(never)]
fn matches<A>(pattern: &Regex, found: Option<(A, Value<'_>)>) -> bool {
    matches!(found, Some((_, Value::String(text))) if pattern.is_match(text))
}

#[inline(never)]
fn has_type<L: Look>(doc: &L, types: &[TypeName], found: Option<(L::At, Value<'_>)>) -> bool {
    let Some((cursor, value)) = found else { return false };
    types.iter().any(|name| match (name, value) {
        (TypeName::Null, Value::Null)
        | (TypeName::Boolean, Value::Bool(_))
        | (TypeName::Number | TypeName::Integer, Value::Negative(_) | Value::Unsigned(_))
        | (TypeName::Number, Value::Float(_))
        | (TypeName::String, Value::String(_))
        | (TypeName::Object, Value::Object { .. })
        | (TypeName::Array, Value::Array) => true,
        (TypeName::Integer, Value::Float(_)) => is_whole(doc.spelling(cursor)),
        (
            TypeName::Null
            | TypeName::Boolean
            | TypeName::Number
            | TypeName::Integer
            | TypeName::String
            | TypeName::Object
            | TypeName::Array,
            _,
        ) => false,
    })
}

#[inline(never)]
fn has_length<L: Look>(doc: &L, range: &RangeInclusive<u64>, found: Option<(L::At, Value<'_>)>) -> bool {
    let Some((cursor, value)) = found else { return false };
    let length = match value {
        Value::String(text) => text.chars().count(),
        Value::Object { .. } | Value::Array => doc.count(cursor),
        Value::Null | Value::Bool(_) | Value::Negative(_) | Value::Unsigned(_) | Value::Float(_) => return false,
    };
    range.contains(&(length as u64))
}

#[inline(never)]
fn group_holds<L: Look>(
    doc: &L,
    nesting: Nesting,
    conditions: &[ConditionPlan],
    from: Option<(L::At, Value<'_>)>,
) -> bool {
    let one = |ConditionPlan { pointer, test }: &ConditionPlan| {
        let found = from.and_then(|(from, _)| doc.find(from, &pointer.members));
        holds(doc, test, found.map(|found| (found, doc.value(found))))
    };
    match nesting {
        Nesting::Any => conditions.iter().any(one),
        Nesting::All => conditions.iter().all(one),
        Nesting::NotAll => !conditions.iter().all(one),
    }
}

fn equal<L: Look>(doc: &L, found: (L::At, Value<'_>), constant: &Constant) -> bool {
    match constant {
        Constant::Bool(constant) => found.1 == Value::Bool(*constant),
        Constant::String(constant) => found.1 == Value::String(constant),
        Constant::Number(constant) => order(doc, found, constant) == Some(Ordering::Equal),
    }
}

/// The order of a record's number to a constant. The parser gives whole numbers of 64 bits as they are; of any other
/// number only its spelling is exact.
fn order<L: Look>(doc: &L, (cursor, value): (L::At, Value<'_>), constant: &Decimal) -> Option<Ordering> {
    match value {
        Value::Negative(number) => constant.order_of_whole(number.into(), || doc.spelling(cursor)),
        Value::Unsigned(number) => constant.order_of_whole(number.into(), || doc.spelling(cursor)),
        Value::Float(_) => constant.order_of(doc.spelling(cursor)),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Object { .. } | Value::Array => None,
    }
}

#[cfg(test)]
mod tests;
