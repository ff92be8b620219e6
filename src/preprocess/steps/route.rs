//! `route`: gives the record a name by conditions, for `{route}` in the templates behind it (class Z).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::compile::Compiler;
use super::super::ending::{StepEnding, rejected};
use super::super::evaluate::Rendering;
use super::super::look::Look;
use super::super::program::CostClass;
use super::filter::condition::Condition;
use super::filter::{ConditionPlan, check_all, do_hold};
use super::{Operation, StepOperation};
use crate::leaf::CheckContext;
use crate::leaf::short::ShortForms;
use crate::model::{RejectReason, StepName};

/// Names for records.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RouteMap", description = "The long form of [`Route`].")]
pub struct Route {
    /// Rules in order: the first whose conditions all hold names the record.
    #[schemars(length(min = 1))]
    pub rules: Vec<RouteRule>,
    /// What happens to records that no rule names.
    #[serde(default)]
    pub otherwise: Unrouted,
}

/// Conditions that must all hold, and the name.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteRule {
    /// The conditions, as in `where`.
    #[schemars(length(min = 1))]
    pub when: Vec<Condition>,
    /// What `{route}` is then.
    pub r#as: String,
}

/// What happens to records that no rule names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unrouted {
    /// They are rejected.
    #[default]
    Reject,
    /// They are counted as dropped.
    Drop,
    /// They get this name.
    As(String),
}

impl ShortForms for Route {
    type Item = RouteRule;
    const NAME: &'static str = "Route";
    const EXPECTED: &'static str = "a list of rules, or a map with `rules` and `otherwise`";
    const OF_TEXT: Option<fn(&str) -> Self> = None;
    const OF_LIST: Option<fn(Vec<RouteRule>) -> Self> = Some(|rules| Self { rules, otherwise: Unrouted::Reject });
}

/// Rules, and what happens to records that none names.
#[derive(Debug, Clone)]
pub struct RoutePlan {
    /// Conditions and names, in order.
    pub rules: Vec<(Vec<ConditionPlan>, String)>,
    /// What happens to the other records.
    pub otherwise: Unrouted,
}

impl Route {
    pub(super) fn check(&self, path: &str, context: &CheckContext<'_>) -> Option<RoutePlan> {
        context.has_routes.set(true);
        if self.rules.is_empty() {
            context.error(path, "has no rule", "write `- { when: [{ field: /kind, equals: order }], as: orders }`");
            return None;
        }
        let long = format!("{path}.rules");
        let list = if context.index.is_written(&long) { &long } else { path };
        let name = |name: &str, path: &str| {
            if name.is_empty() {
                context.error(path, "is empty", "name the route");
            } else if name.contains(['{', '}']) {
                context.error(path, "a route is a name, not a template", "put the rest of the text beside `{route}`");
            }
        };
        let rules = self.rules.iter().enumerate().map(|(number, rule)| {
            name(&rule.r#as, &format!("{list}[{number}].as"));
            let conditions = check_all(&rule.when, &format!("{list}[{number}].when"), context)?;
            Some((conditions, rule.r#as.clone()))
        });
        let rules: Vec<_> = rules.collect();
        if let Unrouted::As(route) = &self.otherwise {
            name(route, &format!("{path}.otherwise.as"));
        }
        Some(RoutePlan { rules: rules.into_iter().collect::<Option<_>>()?, otherwise: self.otherwise.clone() })
    }
}

/// The same with names as numbers among the program's routes.
#[derive(Debug, Clone)]
pub(in crate::preprocess) struct CompiledRoute {
    rules: Vec<(Vec<ConditionPlan>, usize)>,
    otherwise: CompiledUnrouted,
}

#[derive(Debug, Clone)]
enum CompiledUnrouted {
    Reject,
    Drop,
    As(usize),
}

impl RoutePlan {
    pub(super) fn compile(&self, compiler: &mut Compiler) -> (StepOperation, CostClass) {
        let mut rules = Vec::new();
        for (conditions, name) in &self.rules {
            conditions.iter().for_each(|condition| condition.read(compiler));
            rules.push((conditions.clone(), compiler.route(name)));
        }
        let otherwise = match &self.otherwise {
            Unrouted::Reject => CompiledUnrouted::Reject,
            Unrouted::Drop => CompiledUnrouted::Drop,
            Unrouted::As(name) => CompiledUnrouted::As(compiler.route(name)),
        };
        (StepOperation::Read(Operation::Route(CompiledRoute { rules, otherwise })), CostClass::Untouched)
    }
}

impl CompiledRoute {
    #[inline(never)]
    pub(super) fn run<L: Look>(
        &self,
        doc: &L,
        window: L::At,
        place: &StepName,
        rendering: &mut Rendering,
    ) -> Result<(), StepEnding> {
        let named = self.rules.iter().find(|(conditions, _)| do_hold(conditions, doc, window));
        let route = match (named, &self.otherwise) {
            (Some((_, route)), _) | (None, CompiledUnrouted::As(route)) => *route,
            (None, CompiledUnrouted::Drop) => return Err(StepEnding::Dropped),
            (None, CompiledUnrouted::Reject) => {
                return Err(rejected(RejectReason::Condition, place, "no rule names the record".to_owned()));
            }
        };
        rendering.stamps.route = Some(route);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{drafted, refuses};

    const RULES: &str = "[{ when: [{ field: /k, equals: a }], as: one }, { when: [{ field: /k, prefix: a }, \
                         { field: /n, at_least: 2 }], as: two }]";

    #[test]
    fn the_first_rule_that_holds_names_the_record() {
        let set = "set: { /r: \"<{route}>\" }";
        let otherwise = |what: &str| format!("route: {{ rules: {RULES}, otherwise: {what} }}");
        for (route, input, output) in [
            (format!("route: {RULES}"), r#"{"k":"a","n":9}"#, Ok(r#"{"k":"a","n":9,"r":"<one>"}"#)),
            (format!("route: {RULES}"), r#"{"k":"ab","n":2}"#, Ok(r#"{"k":"ab","n":2,"r":"<two>"}"#)),
            (
                format!("route: {RULES}"),
                r#"{"k":"ab","n":1}"#,
                Err("condition at steps[0].route: no rule names the record"),
            ),
            (otherwise("drop"), "{}", Err("dropped")),
            (otherwise("{ as: rest }"), "{}", Ok(r#"{"r":"<rest>"}"#)),
        ] {
            let expected = output.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(drafted(&[&route, set], input), expected, "{route} {input}");
        }
    }

    /// Each record keeps its name while others of its batch are looked at, also when it is parsed again.
    #[test]
    fn a_name_lasts_through_look_ups_and_further_phases() {
        let steps = [
            &format!("route: {{ rules: {RULES}, otherwise: {{ as: rest }} }}")[..],
            "lookup: { redis: known, key: \"{/u}\", into: /user }",
            "require: /user/tier",
            "set: { /r: \"{route}\" }",
        ];
        let output = r#"{"k":"a","u":1,"user":{"tier":"gold"},"r":"one"}"#;
        assert_eq!(drafted(&steps, r#"{"k":"a","u":1}"#), Ok(output.to_owned()));
    }

    #[test]
    fn what_is_written_wrong_is_refused_with_its_place() {
        let rows = [
            ("{route: []}", "", "no rule"),
            ("{route: [{when: [], as: a}]}", "[0].when", "no condition"),
            ("{route: [{when: [{field: /a, exists: true}], as: \"\"}]}", "[0].as", "empty"),
            ("{route: [{when: [{field: /a, exists: true}], as: \"{/a}\"}]}", "[0].as", "not a template"),
            ("{route: [{when: [{field: a, exists: true}], as: a}]}", "[0].when[0].field", "write `/a`"),
            ("{route: [{as: a}]}", "[0]", "`when` is missing"),
            (
                "{route: {rules: [{when: [{field: /a, exists: true}], as: a}], otherwise: keep}}",
                ".otherwise",
                "`reject`",
            ),
        ];
        refuses("route", &rows);
        refuses("set", &[("{set: {/a: \"{route}\"}}", ".\"/a\"", "no `route` step")]);
    }
}
