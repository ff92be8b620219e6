//! Results as JUnit's XML, in the form that Jenkins and GitLab read: a suite a file, a case a test.

use std::fmt::Write as _;

use super::machine::place;
use super::text::{AIMLESS, named, summary};
use super::{TestResult, TestVerdict};

/// The whole document.
#[must_use]
pub fn report(results: &[TestResult<'_>]) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(out, "<testsuites {}>", sums("sluicegate", results.iter()));
    let mut files: Vec<String> = Vec::new();
    for result in results {
        let file = file(result);
        if !files.contains(&file) {
            files.push(file);
        }
    }
    for name in files {
        let of_file = || results.iter().filter(|result| file(result) == name);
        let _ = writeln!(out, "  <testsuite {}>", sums(&name, of_file()));
        of_file().for_each(|result| case(&mut out, result, &name));
        out.push_str("  </testsuite>\n");
    }
    out + "</testsuites>\n"
}

fn file(result: &TestResult<'_>) -> String {
    place(&result.test.origin).0.unwrap_or_else(|| "--set".to_owned())
}

fn sums<'a>(name: &str, results: impl Iterator<Item = &'a TestResult<'a>>) -> String {
    let (mut tests, mut failures, mut seconds) = (0, 0, 0.0);
    for result in results {
        tests += 1;
        failures += usize::from(result.failed());
        seconds += result.took.as_secs_f64();
    }
    let name = escaped(name);
    format!(
        "name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"0\" skipped=\"0\" time=\"{seconds:.6}\""
    )
}

fn case(out: &mut String, result: &TestResult<'_>, file: &str) {
    let line = place(&result.test.origin).1.unwrap_or(0);
    let _ = write!(
        out,
        "    <testcase name=\"{}\" classname=\"{}\" file=\"{}\" line=\"{line}\" time=\"{:.6}\"",
        escaped(&result.test.name),
        escaped(&result.test.pipeline),
        escaped(file),
        result.took.as_secs_f64()
    );
    let (kind, message, details) = match &result.verdict {
        TestVerdict::Passed | TestVerdict::Updated => {
            out.push_str("/>\n");
            return;
        }
        TestVerdict::Differs(differences) => {
            let told = |one| format!("{}\n  expected  {}\n  found     {}\n", named(one), one.expected, one.found);
            ("differs", summary(differences), differences.iter().map(told).collect())
        }
        TestVerdict::Aimless => ("aimless", AIMLESS.to_owned(), String::new()),
        TestVerdict::Broken(why) => ("broken", why.clone(), String::new()),
    };
    let (message, text) = (escaped(&message), escaped(&format!("{}\n{details}", result.test.origin)));
    let _ = writeln!(out, ">\n      <failure type=\"{kind}\" message=\"{message}\">{text}</failure>\n    </testcase>");
}

/// Text for elements and attributes. What XML 1.0 cannot hold is shown as U+FFFD; a line end in an attribute must be a
/// reference, or readers make a blank of it.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' | '\r' => {
                let _ = write!(out, "&#{};", u32::from(character));
            }
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_can_stand_in_a_document() {
        assert_eq!(escaped("a<b>&\"c\"\n\t\u{1}\u{ffff}ä"), "a&lt;b&gt;&amp;&quot;c&quot;&#10;&#9;\u{fffd}\u{fffd}ä");
    }
}
