//! Results for programs: one JSON object.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::compare::{ActionMembers, Difference, DifferencePlace, two_lines};
use super::text::{AIMLESS, summary};
use super::{TestResult, TestVerdict};
use crate::config::tree::Origin;
use crate::pipeline::{OfflineEnd, SinkForm};

/// `passed`, `failed`, `updated`, and `tests`.
#[must_use]
pub fn report(results: &[TestResult<'_>]) -> Value {
    let failed = results.iter().filter(|result| result.failed()).count();
    let updated = results.iter().filter(|result| result.verdict == TestVerdict::Updated).count();
    json!({
        "passed": results.len() - failed - updated,
        "failed": failed,
        "updated": updated,
        "tests": results.iter().map(test).collect::<Vec<_>>(),
    })
}

fn test(result: &TestResult<'_>) -> Value {
    let (file, line) = place(&result.test.origin);
    let (verdict, message) = match &result.verdict {
        TestVerdict::Passed => ("passed", None),
        TestVerdict::Updated => ("updated", None),
        TestVerdict::Differs(differences) => ("failed", Some(summary(differences))),
        TestVerdict::Aimless => ("failed", Some(AIMLESS.to_owned())),
        TestVerdict::Broken(why) => ("failed", Some(why.clone())),
    };
    let differences = match &result.verdict {
        TestVerdict::Differs(differences) => differences.iter().map(difference).collect(),
        TestVerdict::Passed | TestVerdict::Updated | TestVerdict::Aimless | TestVerdict::Broken(_) => Vec::new(),
    };
    json!({
        "name": result.test.name, "pipeline": &*result.test.pipeline, "file": file, "line": line, "result": verdict,
        "message": message, "seconds": result.took.as_secs_f64(), "differences": differences,
        "outputs": result.ends.iter().map(end).collect::<Vec<_>>(),
    })
}

/// File and line; `None` for a test that stands in no file.
#[must_use]
pub fn place(origin: &Origin) -> (Option<String>, Option<u64>) {
    match origin {
        Origin::File { file, line, .. } => (Some(file.to_string()), Some(*line)),
        Origin::Set(_) | Origin::Default => (None, None),
    }
}

fn difference(one: &Difference) -> Value {
    let (pointer, offset) = match &one.place {
        DifferencePlace::Whole => (None, None),
        DifferencePlace::Pointer(pointer) => (Some(pointer), None),
        DifferencePlace::Byte { offset, .. } => (None, Some(offset)),
    };
    json!({
        "output": one.output, "what": one.what, "pointer": pointer, "byte": offset, "expected": one.expected,
        "found": one.found,
    })
}

/// What became of a record, or of one item of it.
#[must_use]
pub fn end(end: &OfflineEnd) -> Value {
    match end {
        OfflineEnd::Dropped => json!({ "outcome": "dropped" }),
        OfflineEnd::Rejected { item, reject } => {
            let mut members = json!({
                "outcome": "rejected", "reason": reject.reason.name(), "step": &*reject.step, "detail": reject.detail,
            });
            if !item.is_whole() {
                members["item"] = item.to_string().into();
            }
            members
        }
        OfflineEnd::Sent(output) => {
            let mut members = json!({ "outcome": "delivered" });
            put(&mut members, "value", output.value.as_deref());
            match &output.form {
                SinkForm::Kafka { topic, key, headers } => {
                    members["topic"] = json!(topic);
                    put(&mut members, "key", key.as_deref());
                    let header = |(name, value): &(String, Option<Vec<u8>>)| {
                        let mut header = json!({ "name": name });
                        put(&mut header, "value", value.as_deref());
                        header
                    };
                    members["headers"] = headers.iter().map(header).collect();
                }
                SinkForm::Elasticsearch { lines, index } => {
                    let (action, document) = two_lines(lines);
                    let of_line = ActionMembers::of(action);
                    members["index"] = json!(of_line.index.as_ref().or(index.as_ref()));
                    members["id"] = json!(of_line.id);
                    put(&mut members, "action", Some(action));
                    put(&mut members, "document", document);
                }
            }
            members
        }
    }
}

/// Bytes as text, or, where they are none, as Base64 under `<name>_base64`.
fn put(members: &mut Value, name: &str, bytes: Option<&[u8]>) {
    match bytes.map(|bytes| std::str::from_utf8(bytes).map_err(|_| bytes)) {
        None => members[name] = Value::Null,
        Some(Ok(text)) => members[name] = json!(text),
        Some(Err(bytes)) => members[format!("{name}_base64")] = json!(STANDARD.encode(bytes)),
    }
}
