//! The steps of a pipeline.

use std::sync::Arc;
use std::time::Duration;

use super::Checker;
use crate::config::plan::{
    CachePlan, Condition, LookupPlan, LookupSource, NumberTest, OnLookupError, OnMiss, Otherwise, StepKind, StepPlan,
    Test,
};
use crate::config::quantity::Interval;
use crate::config::written::step::{self, Bound, Cache, Constant, Fields, JsonText, Lookup, Require, Step, Where};

/// How often a table is read again when the configuration does not say.
const REFRESH: Interval = Interval::seconds(60);
/// Most steps of a pipeline.
const MAX_STEPS: usize = 100;

impl Checker<'_> {
    pub(super) fn steps(&self, path: &str, steps: &[Step]) -> Option<Vec<StepPlan>> {
        if steps.len() > MAX_STEPS {
            self.error(path, format!("more than {MAX_STEPS} steps"), "split the pipeline");
            return None;
        }
        let plans: Vec<_> = steps.iter().enumerate().map(|(number, step)| self.step(path, number, step)).collect();
        plans.into_iter().collect()
    }

    fn step(&self, path: &str, number: usize, step: &Step) -> Option<StepPlan> {
        let name = match step {
            Step::Select(_) => "select",
            Step::Require(_) => "require",
            Step::Where(_) => "where",
            Step::Lookup(_) => "lookup",
        };
        let kind = self.step_kind(&format!("{path}[{number}].{name}"), step)?;
        Some(StepPlan { place: Arc::from(format!("steps[{number}].{name}")), kind })
    }

    fn step_kind(&self, path: &str, step: &Step) -> Option<StepKind> {
        match step {
            Step::Select(pointer) => self.pointer(path, pointer).map(|pointer| StepKind::Select { pointer }),
            Step::Require(require) => self.require(path, require),
            Step::Where(conditions) => self.conditions(path, conditions),
            Step::Lookup(lookup) => self.lookup(path, lookup).map(|plan| StepKind::Lookup(Box::new(plan))),
        }
    }

    fn require(&self, path: &str, require: &Require) -> Option<StepKind> {
        if require.fields.is_empty() {
            self.error(path, "requires nothing: the list is empty", "name at least one pointer, such as `/id`");
        }
        let fields =
            if self.index.is_written(&format!("{path}.fields")) { format!("{path}.fields") } else { path.to_owned() };
        let pointers: Vec<_> = require
            .fields
            .iter()
            .enumerate()
            .map(|(number, pointer)| self.pointer(&format!("{fields}[{number}]"), pointer))
            .collect();
        Some(StepKind::Require {
            pointers: pointers.into_iter().collect::<Option<_>>()?,
            otherwise: otherwise(require.otherwise),
        })
    }

    fn conditions(&self, path: &str, written: &Where) -> Option<StepKind> {
        if written.all.is_empty() {
            self.error(path, "has no condition", "write `- { field: /status, equals: new }`");
        }
        let list = if self.index.is_written(&format!("{path}.all")) { format!("{path}.all") } else { path.to_owned() };
        let mut conditions = Vec::new();
        let mut complete = true;
        for (number, condition) in written.all.iter().enumerate() {
            match self.condition(&format!("{list}[{number}]"), condition) {
                Some(tests) => conditions.extend(tests),
                None => complete = false,
            }
        }
        complete.then_some(StepKind::Where { conditions, otherwise: otherwise(written.otherwise) })
    }

    fn condition(&self, path: &str, written: &step::Condition) -> Option<Vec<Condition>> {
        let pointer = self.pointer(&format!("{path}.field"), &written.field)?;
        for (key, list) in [("in", &written.r#in), ("not_in", &written.not_in)] {
            if list.as_ref().is_some_and(Vec::is_empty) {
                self.error(&format!("{path}.{key}"), "the list is empty", "name at least one constant");
            }
        }
        let tests = tests(written);
        if tests.is_empty() {
            self.error(
                path,
                format!("compares `{}` with nothing", written.field),
                "add `equals`, `not_equals`, `in`, `not_in`, `exists`, `less_than`, `at_most`, `greater_than`, `at_least` or `prefix`",
            );
            return None;
        }
        Some(tests.into_iter().map(|test| Condition { pointer: pointer.clone(), test }).collect())
    }

    fn lookup(&self, path: &str, written: &Lookup) -> Option<LookupPlan> {
        let connection = self.redis(&format!("{path}.redis"), &written.redis);
        let source = self.lookup_source(path, written);
        let into_path = format!("{path}.into");
        let into = self.pointer(&into_path, &written.into);
        if into.as_ref().is_some_and(|pointer| pointer.members.is_empty()) {
            self.error(&into_path, "would replace the whole record", "name a member, such as `/user_info`");
        }
        let cache = self.cache(&format!("{path}.cache"), &written.cache);
        Some(LookupPlan {
            connection: connection?,
            source: source?,
            into: into?,
            on_miss: match &written.on_miss {
                step::OnMiss::Keep => OnMiss::Keep,
                step::OnMiss::Default(JsonText(text)) => OnMiss::Default(text.clone()),
                step::OnMiss::Drop => OnMiss::Drop,
                step::OnMiss::Reject => OnMiss::Reject,
            },
            on_error: match written.on_error {
                step::OnError::Retry => OnLookupError::Retry,
                step::OnError::Keep => OnLookupError::Keep,
                step::OnError::Stop => OnLookupError::Stop,
            },
            cache,
        })
    }

    fn lookup_source(&self, path: &str, written: &Lookup) -> Option<LookupSource> {
        match (&written.key, &written.table) {
            (Some(key), None) => {
                self.stray(path, "key", &[("field", written.field.is_some()), ("refresh", written.refresh.is_some())]);
                let key = self.template(&format!("{path}.key"), key);
                let fields = match &written.fields {
                    None | Some(Fields::All) => Vec::new(),
                    Some(Fields::Named(names)) => names.clone(),
                };
                for (number, field) in fields.iter().enumerate() {
                    if fields[..number].contains(field) {
                        self.error(
                            &format!("{path}.fields[{number}]"),
                            format!("`{field}` is listed twice"),
                            "remove one",
                        );
                    }
                }
                Some(LookupSource::Keyed { key: key?, fields })
            }
            (None, Some(table)) => {
                let cached = self.index.is_written(&format!("{path}.cache"));
                self.stray(path, "table", &[("fields", written.fields.is_some()), ("cache", cached)]);
                if table.is_empty() {
                    self.error(&format!("{path}.table"), "is empty", "name the hash");
                }
                let refresh = written.refresh.unwrap_or(REFRESH);
                self.positive(&format!("{path}.refresh"), refresh, Duration::from_secs(86_400));
                let Some(field) = &written.field else {
                    self.error(
                        path,
                        "`table` needs `field`: which entry of the hash is wanted",
                        "add `field: \"{/code}\"`",
                    );
                    return None;
                };
                let field = self.template(&format!("{path}.field"), field);
                Some(LookupSource::Table { table: table.clone(), field: field?, refresh: refresh.0 })
            }
            (Some(_), Some(_)) => {
                self.error(
                    path,
                    "`key` and `table` exclude each other",
                    "keep `key` for one hash a record, or `table` for one hash as a table",
                );
                None
            }
            (None, None) => {
                self.error(
                    path,
                    "says neither `key` nor `table`",
                    "write `key: \"user:{/user}\"`, or `table: name` with `field: \"{/code}\"`",
                );
                None
            }
        }
    }

    /// Keys that belong to the other form of a look-up.
    fn stray(&self, path: &str, form: &str, keys: &[(&str, bool)]) {
        for (key, _) in keys.iter().filter(|(_, written)| *written) {
            self.error(
                &format!("{path}.{key}"),
                format!("`{key}` has no meaning in a look-up with `{form}`"),
                "remove it",
            );
        }
    }

    fn cache(&self, path: &str, cache: &Cache) -> CachePlan {
        for (key, count) in [("entries", cache.entries), ("bytes", cache.bytes.0)] {
            if count == 0 {
                self.error(
                    &format!("{path}.{key}"),
                    "must be at least 1",
                    "to look everything up afresh, write `ttl: 0` and `miss_ttl: 0`",
                );
            }
        }
        for (key, ttl) in [("ttl", cache.ttl), ("miss_ttl", cache.miss_ttl)] {
            if ttl.0 > Duration::from_secs(30 * 86_400) {
                self.error(&format!("{path}.{key}"), "is longer than 30d", "shorten it");
            }
        }
        CachePlan { entries: cache.entries, bytes: cache.bytes.0, ttl: cache.ttl.0, miss_ttl: cache.miss_ttl.0 }
    }
}

fn otherwise(written: step::Otherwise) -> Otherwise {
    match written {
        step::Otherwise::Drop => Otherwise::Drop,
        step::Otherwise::Reject => Otherwise::Reject,
    }
}

fn tests(written: &step::Condition) -> Vec<Test> {
    let scalars = |list: &[Constant]| list.iter().map(|Constant(scalar)| scalar.clone()).collect();
    let one = |Constant(scalar): &Constant| vec![scalar.clone()];
    let number =
        |kind: NumberTest, bound: &Option<Bound>| bound.as_ref().map(|Bound(bound)| Test::Number(kind, bound.clone()));
    [
        written.equals.as_ref().map(|constant| Test::In(one(constant))),
        written.not_equals.as_ref().map(|constant| Test::NotIn(one(constant))),
        written.r#in.as_ref().map(|list| Test::In(scalars(list))),
        written.not_in.as_ref().map(|list| Test::NotIn(scalars(list))),
        written.exists.map(Test::Exists),
        number(NumberTest::Less, &written.less_than),
        number(NumberTest::AtMost, &written.at_most),
        number(NumberTest::Greater, &written.greater_than),
        number(NumberTest::AtLeast, &written.at_least),
        written.prefix.clone().map(Test::Prefix),
    ]
    .into_iter()
    .flatten()
    .collect()
}
