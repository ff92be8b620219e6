//! Offline tests: written → true. A test that is aimed at nothing is a finding.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::plan::{ExpectedEnd, ExpectedOutput, ExpectedValue, PipelinePlan, SinkPlan, TestPlan};
use super::super::written::{Expectation, ExpectedOutcome, TestHeader, TestHeaders, TestInput, TestKeys};
use crate::leaf::tree::join;
use crate::leaf::{CheckContext, JsonText, nearest};
use crate::model::{OwnedRecord, RejectReason};

/// Headers as a record holds them.
type RecordHeaders = Vec<(String, Option<Vec<u8>>)>;

/// Checks the tests of one file, whose list is at `tests`, against the names of all pipelines and the plans of those
/// in which nothing is wrong. The tests in which nothing is wrong are returned.
pub fn check(
    tests: &[TestKeys],
    names: &[&str],
    pipelines: &[&PipelinePlan],
    context: &CheckContext<'_>,
) -> Vec<TestPlan> {
    let mut plans = Vec::new();
    for (number, test) in tests.iter().enumerate() {
        let path = format!("tests[{number}]");
        if tests[..number].iter().any(|earlier| earlier.name == test.name) {
            let reason = format!("two tests are named `{}`", test.name);
            context.error(&format!("{path}.name"), reason, "rename one of them");
        }
        if test.name.trim().is_empty() {
            context.error(&format!("{path}.name"), "is empty", "say in a few words what the test shows");
        }
        if !names.contains(&test.pipeline.as_str()) {
            let remedy = nearest::remedy(&test.pipeline, names, "pipelines");
            context.error(&format!("{path}.pipeline"), format!("no pipeline is named `{}`", test.pipeline), remedy);
        }
        let Some(pipeline) = pipelines.iter().find(|pipeline| *pipeline.name == *test.pipeline) else { continue };
        lookups(test, &path, pipeline, context);
        let input = input(&test.input, &format!("{path}.input"), pipeline, context);
        let Some((input, expected)) = input.zip(expectations(test, &path, pipeline, context)) else { continue };
        plans.push(TestPlan {
            name: test.name.clone(),
            pipeline: pipeline.name.clone(),
            origin: context.index.nearest(&path),
            number,
            input,
            lookups: test.lookups.clone(),
            expected,
        });
    }
    plans
}

/// What Redis holds must be what the pipeline may ask for.
fn lookups(test: &TestKeys, path: &str, pipeline: &PipelinePlan, context: &CheckContext<'_>) {
    let mut known: Vec<&str> = pipeline.lookups().map(|lookup| &*lookup.connection.name).collect();
    known.sort_unstable();
    known.dedup();
    for name in test.lookups.names().into_iter().filter(|name| !known.contains(name)) {
        let path = join(&format!("{path}.lookups"), name);
        let reason = format!("pipeline `{}` looks nothing up in a connection `{name}`", pipeline.name);
        let remedy = match known.is_empty() {
            true => "remove it: the pipeline has no step `lookup`".to_owned(),
            false => nearest::remedy(name, &known, "connections it looks up in"),
        };
        context.error(&path, reason, remedy);
    }
}

fn input(input: &TestInput, path: &str, pipeline: &PipelinePlan, context: &CheckContext<'_>) -> Option<OwnedRecord> {
    let values = [("value", input.value.is_some()), ("text", input.text.is_some()), ("base64", input.base64.is_some())];
    let keys = [("key", input.key.is_some()), ("key_base64", input.key_base64.is_some())];
    let fine = at_most_one(path, &values, context) & at_most_one(path, &keys, context);
    let value = match (&input.value, &input.text) {
        (Some(JsonText(json)), _) => Some((json != "null").then(|| json.clone().into_bytes())),
        (None, Some(text)) => Some(Some(text.clone().into_bytes())),
        (None, None) => optional(&input.base64, &format!("{path}.base64"), context),
    };
    let key = match &input.key {
        Some(key) => Some(Some(key.clone().into_bytes())),
        None => optional(&input.key_base64, &format!("{path}.key_base64"), context),
    };
    let headers = input.headers.as_ref().map_or(Some(Vec::new()), |all| headers(all, path, context));
    let timestamp_ms = match &input.timestamp {
        Some(text) => timestamp(text, &format!("{path}.timestamp"), context).map(Some),
        None => Some(None),
    };
    for (name, number) in [("partition", input.partition.map(i64::from)), ("offset", input.offset)] {
        if number.is_some_and(|number| number < 0) {
            context.error(&format!("{path}.{name}"), "is below 0", "count from 0");
        }
    }
    let record = OwnedRecord {
        topic: input.topic.clone().unwrap_or_else(|| pipeline.source.sample_topic().to_owned()),
        partition: input.partition.unwrap_or(0),
        offset: input.offset.unwrap_or(0),
        timestamp_ms: timestamp_ms?,
        key: key?,
        value: value?,
        headers: headers?,
    };
    fine.then_some(record)
}

/// Of several spellings of one thing at most one is written.
fn at_most_one(path: &str, keys: &[(&str, bool)], context: &CheckContext<'_>) -> bool {
    let written: Vec<&str> = keys.iter().filter(|(_, written)| *written).map(|(key, _)| *key).collect();
    let [first, second, ..] = &written[..] else { return true };
    context.error(&format!("{path}.{second}"), format!("`{first}` and `{second}` exclude each other"), "keep one");
    false
}

fn optional(text: &Option<String>, path: &str, context: &CheckContext<'_>) -> Option<Option<Vec<u8>>> {
    text.as_ref().map_or(Some(None), |text| bytes(text, path, context).map(Some))
}

fn bytes(text: &str, path: &str, context: &CheckContext<'_>) -> Option<Vec<u8>> {
    let joined: String = text.split_whitespace().collect();
    let decoded = STANDARD.decode(joined);
    if let Err(fault) = &decoded {
        context.error(path, format!("is no Base64: {fault}"), "write what `base64` prints, with its padding");
    }
    decoded.ok()
}

fn headers(headers: &TestHeaders, path: &str, context: &CheckContext<'_>) -> Option<RecordHeaders> {
    match headers {
        TestHeaders::ByName(named) => {
            let header = |(name, text): &(String, Option<String>)| (name.clone(), text.clone().map(String::into_bytes));
            Some(named.0.iter().map(header).collect())
        }
        TestHeaders::Listed(list) => {
            let header = |(number, header): (usize, &TestHeader)| {
                let path = format!("{path}.headers[{number}]");
                let written = [("value", header.value.is_some()), ("base64", header.base64.is_some())];
                let fine = at_most_one(&path, &written, context);
                let value = match &header.value {
                    Some(text) => Some(Some(text.clone().into_bytes())),
                    None => optional(&header.base64, &format!("{path}.base64"), context),
                };
                fine.then_some((header.name.clone(), value?))
            };
            list.iter().enumerate().map(header).collect()
        }
    }
}

fn timestamp(text: &str, path: &str, context: &CheckContext<'_>) -> Option<i64> {
    let parsed = text.parse().ok().or_else(|| text.parse::<jiff::Timestamp>().ok().map(|time| time.as_millisecond()));
    if parsed.is_none() {
        let remedy = "write RFC 3339, such as `2026-01-31T12:00:00Z`, or milliseconds since 1970";
        context.error(path, format!("`{text}` is not a time"), remedy);
    }
    parsed
}

fn expectations(
    test: &TestKeys,
    path: &str,
    pipeline: &PipelinePlan,
    context: &CheckContext<'_>,
) -> Option<Vec<ExpectedEnd>> {
    let (all, is_list) = (&test.expect.all, test.expect.is_list);
    let path = format!("{path}.expect");
    if is_list && all.is_empty() {
        context.error(&path, "the list is empty", "write `{ outcome: dropped }` where nothing is to come out");
        return None;
    }
    let mut ends = Vec::new();
    for (number, one) in all.iter().enumerate() {
        let path = if is_list { format!("{path}[{number}]") } else { path.clone() };
        match one.written_keys().is_empty() {
            false => ends.push(expectation(one, &path, pipeline, context)),
            true if is_list => {
                context.error(&path, "expects nothing", "write `value: …`, or `outcome: …`");
                ends.push(None);
            }
            true => {}
        }
    }
    if ends.is_empty() {
        let remedy = "write `expect: { value: … }` or `{ outcome: … }`, or let `sluicegate test --update` fill it in";
        context.warn(&path, "this test expects nothing, so it fails", remedy);
    }
    ends.into_iter().collect()
}

impl Expectation {
    /// The keys that are written.
    fn written_keys(&self) -> Vec<&'static str> {
        let keys = [
            ("outcome", self.outcome.is_some()),
            ("reason", self.reason.is_some()),
            ("step", self.step.is_some()),
            ("value", self.value.is_some()),
            ("text", self.text.is_some()),
            ("base64", self.base64.is_some()),
            ("key", self.key.is_some()),
            ("key_base64", self.key_base64.is_some()),
            ("headers", self.headers.is_some()),
            ("topic", self.topic.is_some()),
            ("action", self.action.is_some()),
            ("document", self.document.is_some()),
            ("lines", self.lines.is_some()),
            ("index", self.index.is_some()),
            ("id", self.id.is_some()),
        ];
        keys.into_iter().filter(|(_, written)| *written).map(|(key, _)| key).collect()
    }
}

/// Keys that say something of a rejected record.
const OF_REJECTS: [&str; 2] = ["reason", "step"];
/// Keys that say something of every output.
const OF_VALUES: [&str; 3] = ["value", "text", "base64"];
/// Keys that say something of an output to Kafka.
const OF_KAFKA: [&str; 4] = ["key", "key_base64", "headers", "topic"];
/// Keys that say something of an output to Elasticsearch.
const OF_SEARCH: [&str; 5] = ["action", "document", "lines", "index", "id"];

fn expectation(
    written: &Expectation,
    path: &str,
    pipeline: &PipelinePlan,
    context: &CheckContext<'_>,
) -> Option<ExpectedEnd> {
    let keys = written.written_keys();
    let of_reject = keys.iter().any(|key| OF_REJECTS.contains(key));
    let usual = if of_reject { ExpectedOutcome::Rejected } else { ExpectedOutcome::Delivered };
    let outcome = written.outcome.unwrap_or(usual);
    let (sink, of_sink): (&str, &[&str]) = match &pipeline.sink {
        SinkPlan::Kafka(_) => ("Kafka", &OF_KAFKA),
        SinkPlan::Elasticsearch(_) => ("Elasticsearch", &OF_SEARCH),
    };
    let (what, allowed): (String, Vec<&str>) = match outcome {
        ExpectedOutcome::Delivered => {
            (format!("a record delivered to {sink}"), OF_VALUES.iter().chain(of_sink).copied().collect())
        }
        ExpectedOutcome::Dropped => ("a dropped record".to_owned(), Vec::new()),
        ExpectedOutcome::Rejected => ("a rejected record".to_owned(), OF_REJECTS.to_vec()),
    };
    let mut fine = true;
    for key in keys.iter().filter(|key| **key != "outcome" && !allowed.contains(*key)) {
        let known: Vec<String> = allowed.iter().map(|key| format!("`{key}`")).collect();
        let remedy = match known.is_empty() {
            true => "remove it, or the key `outcome`".to_owned(),
            false => format!("remove it; there are {}", known.join(", ")),
        };
        context.error(&format!("{path}.{key}"), format!("{what} has no `{key}`"), remedy);
        fine = false;
    }
    let end = match outcome {
        ExpectedOutcome::Delivered => output(written, path, context).map(Box::new).map(ExpectedEnd::Delivered),
        ExpectedOutcome::Dropped => Some(ExpectedEnd::Dropped),
        ExpectedOutcome::Rejected => {
            let reason = written.reason.as_ref().map(|name| reason(name, &format!("{path}.reason"), context));
            let is_known = !matches!(reason, Some(None));
            is_known.then(|| ExpectedEnd::Rejected { reason: reason.flatten(), step: written.step.clone() })
        }
    };
    end.filter(|_| fine)
}

fn reason(name: &str, path: &str, context: &CheckContext<'_>) -> Option<RejectReason> {
    let all = || enum_map::EnumMap::<RejectReason, ()>::default().into_iter().map(|(reason, ())| reason);
    let found = all().find(|reason| reason.name() == name);
    if found.is_none() {
        let names: Vec<&str> = all().map(RejectReason::name).collect();
        let remedy = nearest::remedy(name, &names, "reasons");
        context.error(path, format!("no reject has the reason `{name}`"), remedy);
    }
    found
}

fn output(written: &Expectation, path: &str, context: &CheckContext<'_>) -> Option<ExpectedOutput> {
    let values =
        [("value", written.value.is_some()), ("text", written.text.is_some()), ("base64", written.base64.is_some())];
    let keys = [("key", written.key.is_some()), ("key_base64", written.key_base64.is_some())];
    let lines = [("lines", written.lines.is_some()), ("action", written.action.is_some())];
    let document = [("lines", written.lines.is_some()), ("document", written.document.is_some())];
    let mut fine = true;
    for choice in [&values[..], &keys, &lines, &document] {
        fine &= at_most_one(path, choice, context);
    }
    let value = match (&written.value, &written.text) {
        (Some(JsonText(json)), _) if json == "null" => Some(Some(ExpectedValue::Tombstone)),
        (Some(JsonText(json)), _) => Some(Some(ExpectedValue::Json(json.clone()))),
        (None, Some(text)) => Some(Some(ExpectedValue::Bytes(text.clone().into_bytes()))),
        (None, None) => {
            optional(&written.base64, &format!("{path}.base64"), context).map(|bytes| bytes.map(ExpectedValue::Bytes))
        }
    };
    let key = match &written.key {
        Some(key) => Some(Some(key.clone().map(String::into_bytes))),
        None => optional(&written.key_base64, &format!("{path}.key_base64"), context).map(|key| key.map(Some)),
    };
    let headers = match &written.headers {
        Some(all) => headers(all, path, context).map(Some),
        None => Some(None),
    };
    let lines = written.lines.as_ref().map(|text| {
        let end = if text.ends_with('\n') { "" } else { "\n" };
        format!("{text}{end}").into_bytes()
    });
    let json = |text: &Option<JsonText>| text.as_ref().map(|JsonText(json)| json.clone());
    let output = ExpectedOutput {
        value: value?,
        key: key?,
        headers: headers?,
        topic: written.topic.clone(),
        action: json(&written.action),
        document: json(&written.document),
        lines,
        index: written.index.clone(),
        id: written.id.clone(),
    };
    fine.then_some(output)
}
