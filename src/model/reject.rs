//! Rejects: records that can never be delivered as they are.

use std::fmt;
use std::sync::Arc;

use enum_map::Enum;
use strum::IntoStaticStr;

/// Why a record was rejected; the label value of `rejects_total` and the dead letter's reason header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Enum, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum RejectReason {
    /// Not JSON: truncated, trailing bytes, bad escape, NaN, and the like.
    InvalidJson,
    /// Bytes that are no UTF-8.
    InvalidUtf8,
    /// Nested deeper than 1,024 levels.
    TooDeep,
    /// A number beyond a double's range, such as 1e400.
    NumberRange,
    /// The value is empty (not null).
    Empty,
    /// A pointer of a step or template found nothing.
    Missing,
    /// A pointer found JSON null where a value is needed.
    Null,
    /// A pointer found a value of another type than needed, such as a string where an object must be.
    WrongType,
    /// A value that cannot be converted to what is wanted, such as 1.5 to a whole number.
    InvalidValue,
    /// Something stands where nothing may be yet, such as at the new name of a member.
    Exists,
    /// `where` with `reject`, or no rule of `route`.
    Condition,
    /// A `jq` program failed.
    ProgramError,
    /// A look-up found nothing and `on_miss: reject`.
    LookupMiss,
    /// A rendered id is empty or longer than 512 bytes.
    InvalidId,
    /// A rendered index or topic name cannot be one.
    InvalidTarget,
    /// Larger than `limits.value`, or too large for the sink.
    TooLarge,
    /// A null value where the sink cannot delete.
    Tombstone,
    /// The sink refused this record (mapping, parsing, illegal argument, invalid record).
    Refused,
}

impl RejectReason {
    /// The name users see.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where in the pipeline something was decided: `parse`, `steps[1].select`, `sink.id`, `sink`.
pub type StepName = Arc<str>;

/// A record that can never be delivered as it is, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Why.
    pub reason: RejectReason,
    /// Which step decided it.
    pub step: StepName,
    /// For people: the pointer that was missing, the server's redacted error. Never a secret; at most 1 KiB.
    pub detail: String,
    /// The sink's status code, where it gave one.
    pub status: Option<u16>,
    /// How often the record was sent, 0 when it never left.
    pub attempts: u32,
}

impl Reject {
    /// Longest detail, in bytes; a longer one is cut. Servers may quote a whole document.
    const DETAIL_BYTES: usize = 1024;

    /// A reject decided before the sink.
    pub fn new(reason: RejectReason, step: &StepName, detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        cut(&mut detail);
        Self { reason, step: step.clone(), detail, status: None, attempts: 0 }
    }

    /// Adds what else is known to the detail.
    pub(crate) fn add(&mut self, more: &str) {
        self.detail.push_str(": ");
        self.detail.push_str(more);
        cut(&mut self.detail);
    }
}

fn cut(detail: &mut String) {
    let end = (0..=Reject::DETAIL_BYTES.min(detail.len())).rev().find(|at| detail.is_char_boundary(*at));
    detail.truncate(end.unwrap_or(0));
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}: {}", self.reason, self.step, self.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_is_cut_between_characters() {
        let step: StepName = "sink".into();
        let reject = |detail: String| Reject::new(RejectReason::Refused, &step, detail);
        assert_eq!(reject("x".repeat(1024)).detail.len(), 1024);
        let mut long = reject(format!("x{}", "ä".repeat(1024)));
        assert_eq!(long.detail.len(), 1023, "not through a character of two bytes");
        long.add("more");
        assert_eq!((long.detail.len(), long.detail.ends_with("ä:")), (1024, true));
        let mut short = reject("refused".to_owned());
        short.add("by the broker");
        assert_eq!(short.detail, "refused: by the broker");
    }
}
