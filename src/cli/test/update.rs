//! `--update`: what came out becomes what is expected, in the file the test stands in.
//!
//! A change is written only when the file, read again, differs in nothing but that expectation, and the test passes
//! with it.

use std::collections::BTreeMap;
use std::path::Path;

use super::compare;
use super::{TestResult, TestVerdict};
use crate::config::tree::Origin;
use crate::config::{self, FileFormat, Loaded, Surroundings};

mod render;

/// Rewrites the files of the tests that failed, and marks these as updated; what to tell of it.
pub fn write(results: &mut [TestResult<'_>], loaded: &Loaded, surroundings: Surroundings<'_>) -> Vec<String> {
    let mut files: BTreeMap<String, Vec<&mut TestResult<'_>>> = BTreeMap::new();
    let mut notes = Vec::new();
    for result in results.iter_mut() {
        match (&result.verdict, &result.test.origin) {
            (TestVerdict::Differs(_) | TestVerdict::Aimless, Origin::File { file, .. }) => {
                files.entry(file.to_string()).or_default().push(result);
            }
            (TestVerdict::Differs(_) | TestVerdict::Aimless, Origin::Set(_) | Origin::Default) => {
                notes.push(format!("{}: not updated: it stands in no file", result.test.name));
            }
            (TestVerdict::Passed | TestVerdict::Broken(_) | TestVerdict::Updated, _) => {}
        }
    }
    for (file, mut of_file) in files {
        // From the last to the first: what stands above a change keeps its place.
        of_file.sort_by_key(|result| std::cmp::Reverse(place(&result.test.origin)));
        if let Err(why) = write_file(&file, &mut of_file, &mut notes, loaded, surroundings) {
            of_file.iter_mut().for_each(|result| result.verdict = TestVerdict::Broken(format!("not updated: {why}")));
        }
    }
    notes
}

fn place(origin: &Origin) -> Option<(u64, u64)> {
    match origin {
        Origin::File { line, column, .. } => Some((*line, *column)),
        Origin::Set(_) | Origin::Default => None,
    }
}

fn write_file(
    file: &str,
    results: &mut [&mut TestResult<'_>],
    notes: &mut Vec<String>,
    loaded: &Loaded,
    surroundings: Surroundings<'_>,
) -> Result<(), String> {
    let path = Path::new(file);
    let extension = path.extension().map(|extension| extension.to_string_lossy().into_owned());
    let format = extension.and_then(|extension| FileFormat::of_extension(&extension));
    let format = format.ok_or_else(|| format!("{file} is no file that can be rewritten"))?;
    let read = std::fs::read_to_string(path);
    let before = read.map_err(|error| format!("{file} cannot be read: {}", error.kind()))?;
    let mut text = before.clone();
    let mut updated = Vec::new();
    for (number, result) in results.iter().enumerate() {
        match changed(&text, format, result, loaded, surroundings) {
            Ok(after) => {
                text = after;
                updated.push(number);
            }
            Err(why) => notes.push(format!("{}: {}: not updated: {why}", result.test.origin, result.test.name)),
        }
    }
    if text != before {
        std::fs::write(path, &text).map_err(|error| format!("{file} cannot be written: {}", error.kind()))?;
        let count = updated.len();
        notes.push(format!("{file}: {count} expectation{} written", if count == 1 { "" } else { "s" }));
    }
    updated.into_iter().for_each(|number| results[number].verdict = TestVerdict::Updated);
    Ok(())
}

/// The text with this test's expectation written anew.
fn changed(
    text: &str,
    format: FileFormat,
    result: &TestResult<'_>,
    loaded: &Loaded,
    surroundings: Surroundings<'_>,
) -> Result<String, String> {
    let new = render::expectation(&result.test.expected, &result.ends, format == FileFormat::Json);
    let (after, number) = config::rewrite(text, format, &result.test.origin, &new)?;
    config::same_but_for_expectations(text, &after, format)?;
    let tests = config::tests_in(&after, format, loaded, surroundings)
        .map_err(|findings| findings.0.first().map_or_else(String::new, |finding| finding.reason.clone()))?;
    let test = tests.iter().find(|test| test.number == number).ok_or("the test would not be read again")?;
    let differences = compare::compare(&test.expected, &result.ends);
    if test.expected.is_empty() || !differences.is_empty() {
        return Err(format!("it would not pass: {}", super::text::summary(&differences)));
    }
    Ok(after)
}
