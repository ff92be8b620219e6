//! Results for people: a line a test with what came out, and of each failed one its place and its differences.

use std::time::Duration;

use super::compare::{ActionMembers, Difference, DifferencePlace, shown, shown_headers, two_lines};
use super::{TestResult, TestVerdict};
use crate::pipeline::{OfflineEnd, SinkForm, SinkOutput};

/// Most characters shown of one line that came out.
const WIDEST: usize = 2_000;

/// All results and their sum; only the failed ones when `quiet`.
#[must_use]
pub fn report(results: &[TestResult<'_>], quiet: bool, color: bool, took: Duration) -> String {
    let mut out = String::new();
    for result in results.iter().filter(|result| !quiet || result.failed()) {
        out.push_str(&head(result, color));
        out.push('\n');
        match &result.verdict {
            TestVerdict::Differs(differences) => differences.iter().for_each(|one| out.push_str(&lines_of(one))),
            TestVerdict::Passed | TestVerdict::Aimless | TestVerdict::Broken(_) | TestVerdict::Updated => {}
        }
        for (number, end) in result.ends.iter().enumerate() {
            let number = (result.ends.len() > 1).then_some(number);
            out.push_str(&outcome(end, number));
        }
    }
    out + &sum(results, took)
}

fn head(result: &TestResult<'_>, color: bool) -> String {
    let painted = |word: &str, code: &str| match color {
        true => format!("\u{1b}[{code}m{word}\u{1b}[0m"),
        false => word.to_owned(),
    };
    let test = result.test;
    let name = format!("{}: {}", test.pipeline, test.name);
    let failed = |why: String| format!("{}  {}: {name}: {why}", painted("FAIL", "1;31"), test.origin);
    match &result.verdict {
        TestVerdict::Passed => format!("{}    {name}", painted("ok", "32")),
        TestVerdict::Updated => format!("{}   {}: {name}: expectation written", painted("new", "33"), test.origin),
        TestVerdict::Differs(differences) => failed(summary(differences)),
        TestVerdict::Aimless => failed(AIMLESS.to_owned()),
        TestVerdict::Broken(why) => failed(why.clone()),
    }
}

/// What is said of a test that expects nothing.
pub const AIMLESS: &str =
    "it expects nothing: write `expect: { value: … }` or `expect: { outcome: … }`, or let `--update` fill it in";

/// All differences on one line: the first, and how many more there are.
#[must_use]
pub fn summary(differences: &[Difference]) -> String {
    let first = differences.first().map(|one| match &one.place {
        DifferencePlace::Byte { .. } => format!("{} differs", named(one)),
        DifferencePlace::Whole | DifferencePlace::Pointer(_) => {
            format!("{}: expected {}, found {}", named(one), one.expected, one.found)
        }
    });
    let more = match differences.len() {
        0 | 1 => String::new(),
        count => format!(" (and {} more)", count - 1),
    };
    first.unwrap_or_default() + &more
}

/// What differs, and where in it.
#[must_use]
pub fn named(difference: &Difference) -> String {
    let output = difference.output.map_or(String::new(), |number| format!("output {number}: "));
    let place = match &difference.place {
        DifferencePlace::Whole => String::new(),
        DifferencePlace::Pointer(pointer) if pointer.is_empty() => String::new(),
        DifferencePlace::Pointer(pointer) => format!(" at {pointer}"),
        DifferencePlace::Byte { offset, .. } => format!(" at byte {offset}"),
    };
    format!("{output}{}{place}", difference.what)
}

fn lines_of(difference: &Difference) -> String {
    let mut out = format!("      {}\n", named(difference));
    out.push_str(&format!("        expected  {}\n        found     {}\n", difference.expected, difference.found));
    if let DifferencePlace::Byte { column, .. } = difference.place {
        out.push_str(&format!("{}^\n", " ".repeat(18 + column)));
    }
    out
}

/// What came out, in whole lines.
fn outcome(end: &OfflineEnd, number: Option<usize>) -> String {
    let number = number.map_or(String::new(), |number| format!("{number}: "));
    match end {
        OfflineEnd::Dropped => format!("      {number}dropped\n"),
        OfflineEnd::Rejected { reject, .. } => format!("      {number}rejected: {reject}\n"),
        OfflineEnd::Sent(output) => {
            let (target, lines) = sent(output);
            let lines: String = lines.iter().map(|line| format!("        {line}\n")).collect();
            format!("      {number}delivered to {target}\n{lines}")
        }
    }
}

/// Where an output goes, and its lines.
fn sent(output: &SinkOutput) -> (String, Vec<String>) {
    match &output.form {
        SinkForm::Kafka { topic, key, headers } => {
            let key = key.as_ref().map_or("no key".to_owned(), |key| format!("key {}", shown(key)));
            let headers = match headers.is_empty() {
                true => String::new(),
                false => format!(", headers {}", shown_headers(headers)),
            };
            let value = output.value.as_ref().map_or("(tombstone)".to_owned(), cut);
            (format!("topic {topic}, {key}{headers}"), vec![value])
        }
        SinkForm::Elasticsearch { lines, index } => {
            let (action, document) = two_lines(lines);
            let members = ActionMembers::of(action);
            let index = members.index.as_ref().or(index.as_ref()).cloned().unwrap_or_default();
            let id = members.id.map_or("an id the server makes".to_owned(), |id| format!("id {id}"));
            (format!("index {index}, {id}"), std::iter::once(action).chain(document).map(cut).collect())
        }
    }
}

fn cut(line: impl AsRef<[u8]>) -> String {
    let line = line.as_ref();
    let text = shown(line);
    match text.char_indices().nth(WIDEST) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], line.len()),
        None => text,
    }
}

fn sum(results: &[TestResult<'_>], took: Duration) -> String {
    let failed = results.iter().filter(|result| result.failed()).count();
    let updated = results.iter().filter(|result| result.verdict == TestVerdict::Updated).count();
    let passed = results.len() - failed - updated;
    let updated = if updated > 0 { format!(", {updated} updated") } else { String::new() };
    let tests = if results.len() == 1 { "1 test".to_owned() } else { format!("{} tests", results.len()) };
    format!("{tests}: {passed} passed, {failed} failed{updated} in {:.3} s\n", took.as_secs_f64())
}
