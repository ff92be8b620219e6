//! What is wrong with a configuration: file, line, key path, reason, remedy. Never a value that may be secret.

use std::fmt;
use std::io::ErrorKind;

use strum::IntoStaticStr;

use super::secret::shown_path;
use super::tree::Origin;

/// Whether a finding forbids running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Severity {
    /// The configuration cannot be run.
    Error,
    /// It can, but probably not as meant.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whether it forbids running.
    pub severity: Severity,
    /// Where.
    pub origin: Origin,
    /// Key path; empty for the whole file.
    pub path: String,
    /// What is wrong and why it matters.
    pub reason: String,
    /// What to write instead.
    pub remedy: Option<String>,
}

impl Finding {
    /// An error without a remedy yet.
    #[must_use]
    pub fn error(origin: Origin, path: impl Into<String>, reason: impl Into<String>) -> Self {
        let path = shown_path(&path.into());
        Self { severity: Severity::Error, origin, path, reason: reason.into(), remedy: None }
    }

    /// A warning without a remedy yet.
    #[must_use]
    pub fn warning(origin: Origin, path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(origin, path, reason) }
    }

    /// The same with a remedy.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// As JSON: `severity`, `file`, `line`, `column` (null when set by a flag or nowhere), `set`, `path`, `reason`,
    /// `remedy`.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let (file, line, column, set) = match &self.origin {
            Origin::File { file, line, column } => (Some(file.to_string()), Some(*line), Some(*column), None),
            Origin::Set(path) => (None, None, None, Some(path.to_string())),
            Origin::Default => (None, None, None, None),
        };
        serde_json::json!({
            "severity": self.severity.name(), "file": file, "line": line, "column": column, "set": set,
            "path": self.path, "reason": self.reason, "remedy": self.remedy,
        })
    }
}

impl fmt::Display for Finding {
    /// `error: FILE:LINE:COLUMN: key.path`, the reason on its own line, then the remedy.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: ", self.severity.name())?;
        match (&self.origin, self.path.is_empty()) {
            (Origin::Default, true) => out.write_str("configuration")?,
            (Origin::Default, false) => out.write_str(&self.path)?,
            (origin @ (Origin::File { .. } | Origin::Set(_)), true) => write!(out, "{origin}")?,
            (origin @ (Origin::File { .. } | Origin::Set(_)), false) => write!(out, "{origin}: {}", self.path)?,
        }
        write!(out, "\n  {}", self.reason)?;
        match &self.remedy {
            Some(remedy) => write!(out, "\n  help: {remedy}"),
            None => Ok(()),
        }
    }
}

/// Why a configuration was refused: at least one error, and the warnings found with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Findings(pub Vec<Finding>);

impl Findings {
    /// Errors first, then warnings, each in the order found.
    #[must_use]
    pub fn sorted(mut findings: Vec<Finding>) -> Self {
        findings.sort_by_key(|finding| finding.severity);
        Self(findings)
    }

    /// How many errors.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.0.iter().filter(|finding| finding.severity == Severity::Error).count()
    }
}

impl From<Finding> for Findings {
    fn from(finding: Finding) -> Self {
        Self(vec![finding])
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, finding) in self.0.iter().enumerate() {
            if index > 0 {
                out.write_str("\n\n")?;
            }
            write!(out, "{finding}")?;
        }
        Ok(())
    }
}

/// An I/O error in words, without what it was about.
#[must_use]
pub fn why(error: &std::io::Error) -> String {
    if error.kind() == ErrorKind::NotFound {
        "there is no such file".to_owned()
    } else if error.kind() == ErrorKind::InvalidData {
        "it is not UTF-8 text".to_owned()
    } else {
        error.kind().to_string()
    }
}
