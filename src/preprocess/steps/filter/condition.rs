//! Conditions of a `where` as people write them, and their check: what is written → tests in a list.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use strum::{VariantArray, VariantNames};

use super::length::Length;
use super::pattern;
use super::{ConditionPlan, Nesting, NumberTest, Test};
use crate::leaf::{Bound, CheckContext, Constant, Pointer, null_name};

/// Deepest nesting of `any`, `all` and `not`.
const MAX_NESTING: usize = 16;

/// A value of the record and what it is compared with; or `any`, `all` or `not` with conditions of their own. Several
/// comparisons must all hold. A missing value satisfies only `exists: false`, `not_equals` and `not_in`. `not` is plain
/// negation: where a missing value does not satisfy the condition, it satisfies its `not`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "dependentRequired" = {
    "equals": ["field"], "not_equals": ["field"], "in": ["field"], "not_in": ["field"], "exists": ["field"],
    "less_than": ["field"], "at_most": ["field"], "greater_than": ["field"], "at_least": ["field"],
    "prefix": ["field"], "matches": ["field"], "type": ["field"], "length": ["field"],
}))]
pub struct Condition {
    /// RFC 6901 pointer to the value; every comparison needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
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
    /// Is a string in which this regular expression finds something; `^` and `$$` stand for its start and end. A `$`
    /// of the expression is written `$$`, because every value expands `${VAR}`. The search takes linear time: there is
    /// no look-around and no back reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matches: Option<String>,
    /// Is of this type, or of one of these: `null`, `boolean`, `number`, `integer`, `string`, `object`, `array`. An
    /// `integer` is a number without a fraction by its value, such as `7`, `7.0` and `7e2`; it is a `number` too.
    #[serde(default, deserialize_with = "written_types", skip_serializing_if = "Option::is_none")]
    pub r#type: Option<Types>,
    /// Is that long: characters of a string (of its value, not of its escapes), elements of an array, members of an
    /// object. One number, or a map with `at_least`, `at_most`, `less_than`, `greater_than`. Other values have no
    /// length, and do not satisfy it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<Length>,
    /// At least one of these conditions holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub any: Option<Vec<Condition>>,
    /// All of these conditions hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all: Option<Vec<Condition>>,
    /// This condition does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not: Option<Box<Condition>>,
}

/// A type of JSON, or a part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantNames, VariantArray, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum TypeName {
    /// null
    Null,
    /// true or false
    Boolean,
    /// Any number.
    Number,
    /// A number without a fraction by its value.
    Integer,
    /// A string.
    String,
    /// An object.
    Object,
    /// An array.
    Array,
}

/// One type, or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Types(pub Vec<TypeName>);

impl Condition {
    /// The tests that must all hold.
    pub(super) fn check(&self, path: &str, depth: usize, context: &CheckContext<'_>) -> Option<Vec<ConditionPlan>> {
        let (any, all, not) = (self.any.is_some(), self.all.is_some(), self.not.is_some());
        let forms = [("any", any), ("all", all), ("not", not)];
        let Some((form, _)) = forms.into_iter().find(|(_, written)| *written) else {
            return self.comparisons(path, context);
        };
        let others = usize::from(any) + usize::from(all) + usize::from(not) - 1;
        if others > 0 || self.field.is_some() || self.compares() {
            let reason = format!("`{form}` stands beside other keys of the same condition");
            context.error(
                path,
                reason,
                format!("make it a condition of its own, `- {form}: …`: all of a list must hold"),
            );
            return None;
        }
        if depth == MAX_NESTING {
            context.error(
                path,
                format!("nested deeper than {MAX_NESTING} levels"),
                "write fewer `any`, `all` and `not`",
            );
            return None;
        }
        let group = |nesting, tests| vec![ConditionPlan::group(nesting, tests)];
        match (&self.any, &self.all, &self.not) {
            (Some(any), ..) => {
                let members = checked(any, &format!("{path}.any"), depth + 1, context)?;
                let one = |tests: Vec<_>| ConditionPlan::one(tests, Nesting::All);
                Some(group(Nesting::Any, members.into_iter().map(one).collect()))
            }
            (_, Some(all), _) => {
                Some(checked(all, &format!("{path}.all"), depth + 1, context)?.into_iter().flatten().collect())
            }
            (.., not) => {
                let inner = not.as_ref()?.check(&format!("{path}.not"), depth + 1, context)?;
                Some(group(Nesting::NotAll, inner))
            }
        }
    }

    fn comparisons(&self, path: &str, context: &CheckContext<'_>) -> Option<Vec<ConditionPlan>> {
        let Some(field) = &self.field else {
            let reason = if self.compares() { "`field` is missing" } else { "compares nothing" };
            context.error(path, reason, "add `field: /pointer`, or write `any`, `all` or `not`");
            return None;
        };
        let pointer = context.pointer(&format!("{path}.field"), field)?;
        for (key, list) in [("in", &self.r#in), ("not_in", &self.not_in)] {
            if list.as_ref().is_some_and(Vec::is_empty) {
                context.error(&format!("{path}.{key}"), "the list is empty", "name at least one constant");
            }
        }
        if !self.compares() {
            context.error(
                path,
                format!("compares `{field}` with nothing"),
                "add `equals`, `not_equals`, `in`, `not_in`, `exists`, `less_than`, `at_most`, `greater_than`, \
                 `at_least`, `prefix`, `matches`, `type` or `length`",
            );
            return None;
        }
        let tests = self.simple_tests().into_iter().map(Some).chain(self.checked_tests(path, context));
        let plan = |test| ConditionPlan { pointer: pointer.clone(), test };
        tests.map(|test| test.map(plan)).collect()
    }

    fn compares(&self) -> bool {
        !self.simple_tests().is_empty() || self.matches.is_some() || self.r#type.is_some() || self.length.is_some()
    }

    /// The tests that every written form makes.
    fn simple_tests(&self) -> Vec<Test> {
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

    /// The tests that can be written wrong: `None` for each that is.
    fn checked_tests(&self, path: &str, context: &CheckContext<'_>) -> impl Iterator<Item = Option<Test>> {
        let of_text = self.matches.as_ref().map(|text| {
            pattern::check(text, &format!("{path}.matches"), context).map(|pattern| Test::Matches(Box::new(pattern)))
        });
        let types = self.r#type.as_ref().map(|Types(types)| {
            if types.is_empty() {
                context.error(&format!("{path}.type"), "the list is empty", "name at least one type, such as `string`");
            }
            Some(Test::Type(types.clone()))
        });
        let length = self.length.as_ref().map(|length| length.check(&format!("{path}.length"), context));
        [of_text, types, length.map(|length| length.map(Test::Length))].into_iter().flatten()
    }
}

/// Checks the conditions of a list, each by itself.
fn checked(
    list: &[Condition],
    path: &str,
    depth: usize,
    context: &CheckContext<'_>,
) -> Option<Vec<Vec<ConditionPlan>>> {
    if list.is_empty() {
        context.error(path, "has no condition", "write `- { field: /status, equals: new }`");
        return None;
    }
    let check =
        |(number, condition): (usize, &Condition)| condition.check(&format!("{path}[{number}]"), depth, context);
    let all: Vec<_> = list.iter().enumerate().map(check).collect();
    all.into_iter().collect()
}

impl ConditionPlan {
    /// Conditions in one, about the record itself.
    fn group(nesting: Nesting, conditions: Vec<Self>) -> Self {
        Self { pointer: Pointer { members: Vec::new() }, test: Test::Group(nesting, conditions) }
    }

    /// The only one of `conditions`, or all of them in one.
    fn one(mut conditions: Vec<Self>, nesting: Nesting) -> Self {
        match (conditions.pop(), conditions.is_empty()) {
            (Some(only), true) => only,
            (last, _) => {
                conditions.extend(last);
                Self::group(nesting, conditions)
            }
        }
    }
}

impl<'de> Deserialize<'de> for TypeName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        null_name::choice(deserializer, Self::VARIANTS_BY_NAME, <Self as VariantArray>::VARIANTS)
    }
}

impl TypeName {
    const VARIANTS_BY_NAME: &'static [&'static str] = <Self as VariantNames>::VARIANTS;
}

impl Serialize for TypeName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.into())
    }
}

/// Nothing is a type here, so an option must not take it for an absent one.
fn written_types<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Types>, D::Error> {
    struct TypesVisitor;
    impl<'de> Visitor<'de> for TypesVisitor {
        type Value = Types;

        fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            out.write_str("a type or a list of types")
        }
        fn visit_unit<E>(self) -> Result<Types, E> {
            Ok(Types(vec![TypeName::Null]))
        }
        fn visit_str<E: Error>(self, text: &str) -> Result<Types, E> {
            TypeName::deserialize(serde::de::value::StrDeserializer::new(text)).map(|name| Types(vec![name]))
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Types, A::Error> {
            let mut types = Vec::new();
            while let Some(name) = items.next_element()? {
                types.push(name);
            }
            Ok(Types(types))
        }
    }
    deserializer.deserialize_any(TypesVisitor).map(Some)
}

impl JsonSchema for Types {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Types".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut names: Vec<_> = TypeName::VARIANTS_BY_NAME.iter().map(|name| serde_json::Value::from(*name)).collect();
        // Without quotes the first of them is YAML's null.
        names.push(serde_json::Value::Null);
        json_schema!({ "oneOf": [{ "enum": names }, { "type": "array", "items": { "enum": names }, "minItems": 1 }] })
    }
}
