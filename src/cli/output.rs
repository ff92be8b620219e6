//! Printing data, and when to colour it.

use std::io::{IsTerminal, Write};

use super::{ColorWhen, Failure};
use crate::config::{Finding, Severity};

/// Prints data to stdout.
///
/// # Errors
/// [`Failure::Closed`] when the reader is gone.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(())
}

/// Prints a JSON value, indented, with a newline.
///
/// # Errors
/// As [`print`].
pub fn print_json(value: &serde_json::Value) -> Result<(), Failure> {
    print(&format!("{value:#}\n"))
}

/// Whether to colour what goes to a stream.
#[must_use]
pub fn colors(when: ColorWhen, stream: &impl IsTerminal) -> bool {
    match when {
        ColorWhen::Always => true,
        ColorWhen::Never => false,
        ColorWhen::Auto => {
            let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            !refused && stream.is_terminal()
        }
    }
}

/// A finding as text, its severity coloured if asked for.
#[must_use]
pub fn finding(finding: &Finding, color: bool) -> String {
    let text = finding.to_string();
    let (name, code) = match finding.severity {
        Severity::Error => ("error", "1;31"),
        Severity::Warning => ("warning", "1;33"),
    };
    match text.strip_prefix(name) {
        Some(rest) if color => format!("\u{1b}[{code}m{name}\u{1b}[0m{rest}"),
        Some(_) | None => text,
    }
}
