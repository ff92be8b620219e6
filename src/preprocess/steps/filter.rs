//! `where`: conditions on values of the record, which must all hold. The record's bytes stay untouched (class Z).

use std::cmp::Ordering;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::compile::Compiler;
use super::super::document::Value;
use super::super::ending::{StepEnding, refuse};
use super::super::look::Look;
use super::super::program::CostClass;
use super::{Operation, Otherwise, StepOperation};
use crate::leaf::short::ShortForms;
use crate::leaf::{Bound, CheckContext, Constant, Pointer};
use crate::model::{Decimal, StepName};

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

    fn of_list(all: Vec<Condition>) -> Self {
        Self { all, otherwise: drop_record() }
    }
}

/// A value of the record and what it is compared with. Several comparisons must all hold. A missing value satisfies
/// only `exists: false`, `not_equals` and `not_in`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// RFC 6901 pointer to the value.
    pub field: String,
    /// Is this constant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<Constant>,
    /// Is not this constant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_equals: Option<Constant>,
    /// Is one of these constants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#in: Option<Vec<Constant>>,
    /// Is none of these constants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_in: Option<Vec<Constant>>,
    /// Is there (true) or not (false); null counts as not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exists: Option<bool>,
    /// Is a number below this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub less_than: Option<Bound>,
    /// Is a number up to this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<Bound>,
    /// Is a number above this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub greater_than: Option<Bound>,
    /// Is a number from this on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<Bound>,
    /// Is a string that starts with this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
}

/// The record goes on only when all conditions hold.
#[derive(Debug, Clone)]
pub struct WherePlan {
    /// The conditions.
    pub conditions: Vec<ConditionPlan>,
    /// What happens otherwise (default drop).
    pub otherwise: Otherwise,
}

/// One comparison of a value with constants. A missing value satisfies only `exists: false` and `Not*` forms.
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
        if self.all.is_empty() {
            context.error(path, "has no condition", "write `- { field: /status, equals: new }`");
        }
        let long = format!("{path}.all");
        let list = if context.index.is_written(&long) { &long } else { path };
        let mut conditions = Vec::new();
        let mut complete = true;
        for (number, condition) in self.all.iter().enumerate() {
            match condition.check(&format!("{list}[{number}]"), context) {
                Some(tests) => conditions.extend(tests),
                None => complete = false,
            }
        }
        complete.then_some(WherePlan { conditions, otherwise: self.otherwise })
    }
}

impl Condition {
    fn check(&self, path: &str, context: &CheckContext<'_>) -> Option<Vec<ConditionPlan>> {
        let pointer = context.pointer(&format!("{path}.field"), &self.field)?;
        for (key, list) in [("in", &self.r#in), ("not_in", &self.not_in)] {
            if list.as_ref().is_some_and(Vec::is_empty) {
                context.error(&format!("{path}.{key}"), "the list is empty", "name at least one constant");
            }
        }
        let tests = self.tests();
        if tests.is_empty() {
            context.error(
                path,
                format!("compares `{}` with nothing", self.field),
                "add `equals`, `not_equals`, `in`, `not_in`, `exists`, `less_than`, `at_most`, `greater_than`, `at_least` or `prefix`",
            );
            return None;
        }
        Some(tests.into_iter().map(|test| ConditionPlan { pointer: pointer.clone(), test }).collect())
    }

    fn tests(&self) -> Vec<Test> {
        let one = |constant: &Constant| vec![constant.clone()];
        let number = |kind: NumberTest, bound: &Option<Bound>| {
            bound.as_ref().map(|Bound(bound)| Test::Number(kind, bound.clone()))
        };
        [
            self.equals.as_ref().map(|constant| Test::In(one(constant))),
            self.not_equals.as_ref().map(|constant| Test::NotIn(one(constant))),
            self.r#in.clone().map(Test::In),
            self.not_in.clone().map(Test::NotIn),
            self.exists.map(Test::Exists),
            number(NumberTest::Less, &self.less_than),
            number(NumberTest::AtMost, &self.at_most),
            number(NumberTest::Greater, &self.greater_than),
            number(NumberTest::AtLeast, &self.at_least),
            self.prefix.clone().map(Test::Prefix),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl WherePlan {
    pub(super) fn compile(&self, compiler: &mut Compiler) -> (StepOperation, CostClass) {
        self.conditions.iter().for_each(|condition| compiler.read(&condition.pointer));
        (StepOperation::Read(Operation::Where(self.clone())), CostClass::Untouched)
    }

    pub(super) fn run<L: Look>(&self, doc: &L, window: L::At, place: &StepName) -> Result<(), StepEnding> {
        for ConditionPlan { pointer, test } in &self.conditions {
            let found = doc.find(window, &pointer.members).map(|found| (found, doc.value(found)));
            if !holds(doc, test, found) {
                let detail = || format!("the condition on {} does not hold", pointer.shown());
                return Err(refuse(self.otherwise, place, detail));
            }
        }
        Ok(())
    }
}

/// Whether `test` holds for what was found; a missing value only satisfies the negative forms.
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
mod tests {
    use super::super::super::test_plans::pointer;
    use super::super::fixtures::{on, planned, refuses, reject_of};
    use super::*;
    use crate::model::RejectReason;

    #[test]
    fn conditions_hold_as_the_contract_says() {
        let text = r#"{"s":"debug","i":7,"n":-3,"f":7.0,"h":7.5,"big":9007199254740993,"max":18446744073709551615,"wide":9007199254740992.0,"tenth":0.1,
            "ns":1763556497161513792,"far":18446744073709551617,"deep":-170141183460469231731687303715884105729,
            "t":true,"z":null,"o":{},"a":[1]}"#;
        let one_of = |scalars: &[Constant]| Test::In(scalars.to_vec());
        let string = |text: &str| Constant::String(text.to_owned());
        let number = |text: &str| Constant::Number(Decimal::new(text).expect("a number"));
        let bound = |test, text: &str| Test::Number(test, Decimal::new(text).expect("a number"));
        for (path, test, expected) in [
            ("/s", one_of(&[string("info"), string("debug")]), true),
            ("/s", one_of(&[string("DEBUG")]), false),
            ("/s", one_of(&[number("7")]), false),
            ("/i", one_of(&[number("7")]), true),
            ("/i", one_of(&[number("7.0")]), true),
            ("/i", one_of(&[string("7")]), false),
            ("/f", one_of(&[number("7")]), true),
            ("/h", one_of(&[number("7")]), false),
            ("/h", one_of(&[number("7.5")]), true),
            ("/n", one_of(&[number("-3")]), true),
            ("/big", one_of(&[number("9007199254740992")]), false),
            ("/big", one_of(&[number("9007199254740993")]), true),
            ("/wide", one_of(&[number("9007199254740993")]), false),
            ("/wide", one_of(&[number("9007199254740992")]), true),
            ("/max", one_of(&[number("-1")]), false),
            ("/t", one_of(&[Constant::Bool(true)]), true),
            ("/t", one_of(&[number("1")]), false),
            ("/z", one_of(&[Constant::Bool(false)]), false),
            ("/o", one_of(&[string("")]), false),
            ("/none", one_of(&[string("x")]), false),
            ("/s", Test::NotIn(vec![string("debug")]), false),
            ("/s", Test::NotIn(vec![string("info")]), true),
            ("/z", Test::NotIn(vec![string("info")]), true),
            ("/none", Test::NotIn(vec![string("info")]), true),
            ("/s", Test::Exists(true), true),
            ("/z", Test::Exists(true), false),
            ("/none", Test::Exists(true), false),
            ("/s", Test::Exists(false), false),
            ("/z", Test::Exists(false), true),
            ("/none", Test::Exists(false), true),
            ("/s", Test::Prefix("de".to_owned()), true),
            ("/s", Test::Prefix("bug".to_owned()), false),
            ("/i", Test::Prefix("7".to_owned()), false),
            ("/i", bound(NumberTest::Less, "7.0"), false),
            ("/i", bound(NumberTest::Less, "7.1"), true),
            ("/i", bound(NumberTest::AtMost, "7.0"), true),
            ("/i", bound(NumberTest::Greater, "7.0"), false),
            ("/h", bound(NumberTest::Greater, "7.0"), true),
            ("/n", bound(NumberTest::AtLeast, "-3.0"), true),
            ("/n", bound(NumberTest::AtLeast, "-2.9"), false),
            ("/ns", bound(NumberTest::Greater, "1763556497161513791"), true),
            ("/ns", bound(NumberTest::AtMost, "1763556497161513791.9"), false),
            ("/ns", bound(NumberTest::Less, "1763556497161513792.0"), false),
            ("/max", bound(NumberTest::Less, "18446744073709551616"), true),
            ("/far", bound(NumberTest::AtMost, "18446744073709551616"), false),
            ("/far", one_of(&[number("18446744073709551616")]), false),
            ("/far", one_of(&[number("1844674407370955161.7e1")]), true),
            ("/deep", bound(NumberTest::Less, "-170141183460469231731687303715884105728"), true),
            ("/tenth", one_of(&[number("0.10")]), true),
            ("/tenth", bound(NumberTest::Less, "0.1000000000000000055"), true),
            ("/i", one_of(&[number("70e-1")]), true),
            ("/s", bound(NumberTest::Less, "7.0"), false),
            ("/none", bound(NumberTest::Less, "7.0"), false),
        ] {
            let run = |otherwise| {
                let conditions = vec![ConditionPlan { pointer: pointer(path), test: test.clone() }];
                on(text, |doc| WherePlan { conditions, otherwise }.run(&doc, doc.root(), &"here".into()))
            };
            assert_eq!(run(Otherwise::Drop).is_ok(), expected, "{path} {test:?}");
            if !expected {
                assert_eq!(reject_of(run(Otherwise::Reject).expect_err(path)).0, RejectReason::Condition);
            }
        }
    }

    #[test]
    fn what_is_written_wrong_is_refused_with_its_place() {
        let rows = [
            ("{where: []}", "", "no condition"),
            ("{where: [{field: /a}]}", "[0]", "with nothing"),
            ("{where: [{field: a, exists: true}]}", "[0].field", "write `/a`"),
            ("{where: [{field: /a, eq: 1}]}", "[0].eq", "known here"),
            ("{where: [{field: /a, at_least: ten}]}", "[0].at_least", "a number"),
            ("{where: [{field: /a, equals: [1]}]}", "[0].equals", "a number or a string"),
            ("{where: [{field: /a, in: []}]}", "[0].in", "empty"),
            ("{where: {all: [{field: /a, exists: true}], else: drop}}", ".else", "unknown key"),
        ];
        refuses("where", &rows);
    }

    #[test]
    fn short_and_long_forms() {
        let shown = |step: &str| format!("{:?}", planned(&format!("{{ where: {step} }}")));
        let short = shown("[{ field: /n, at_least: 1, less_than: 5.5 }, { field: /s, not_in: [a, 1, true, \"2\"] }]");
        for part in [
            "Number(AtLeast, Decimal { text: \"1\"",
            "Number(Less, Decimal { text: \"5.5\"",
            "NotIn([String(\"a\"), Number(Decimal { text: \"1\", whole: Some(1) }), Bool(true), String(\"2\")])",
            "otherwise: Drop",
        ] {
            assert!(short.contains(part), "{part}: {short}");
        }
        let long = shown("{ all: [{ field: /t, exists: false }], otherwise: reject }");
        assert!(long.contains("Exists(false)") && long.contains("otherwise: Reject"), "{long}");
    }
}
