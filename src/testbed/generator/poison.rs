//! Poison: records that break naive pipelines, each with a name and the fate the engine owes it.

use strum::{IntoStaticStr, VariantArray};

use crate::model::RejectReason;

use super::template::ValueTemplate;

/// Levels of [`Poison::DeepNesting`]; with its closing brackets well below the default of `message.max.bytes`.
const DEEP_LEVELS: usize = 400_000;
/// Size of [`Poison::Oversized`].
const OVERSIZED_BYTES: usize = 10_000_000;

/// A kind of poison (the corpus of fault F19, and its harmless look-alikes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Poison {
    /// A byte that is no UTF-8 inside a string.
    InvalidUtf8,
    /// The last third is missing.
    Truncated,
    /// An array nested 400,000 levels deep inside `result`.
    DeepNesting,
    /// The bare word `NaN`.
    NotANumber,
    /// `1e400`.
    NumberRange,
    /// An escape that is half of a surrogate pair.
    LoneSurrogate,
    /// No bytes, and not null either.
    Empty,
    /// Text behind the end of the object.
    TrailingBytes,
    /// No member `result`.
    ResultMissing,
    /// `result` is null.
    ResultNull,
    /// `result` is a string.
    ResultNotObject,
    /// 10 MB. Above what the mock cluster and the defaults of clients accept.
    Oversized,
    /// A null value.
    Tombstone,
    /// An integer of 25 digits; legal.
    HugeInteger,
    /// A member twice inside `result`; travels to Kafka as it is, a search server may refuse it.
    DuplicateMember,
    /// Two members `result`: the first counts; legal.
    DuplicateResult,
    /// Blanks, tabs and newlines inside `result`; legal.
    PrettyPrinted,
    /// The name `result` written with an escape; legal.
    EscapedName,
}

/// What must become of a record that selects `/result`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordFate {
    /// Delivered, the selected bytes unchanged.
    Delivered,
    /// Rejected for this reason.
    Rejected(RejectReason),
    /// Passed on as a null value to Kafka; deletes, or is dropped or rejected, in Elasticsearch.
    Tombstone,
    /// Delivered to Kafka; a search server may refuse it.
    ServerDecides,
    /// Delivered where the sink takes this size, else rejected as too large.
    SinkLimit,
}

impl Poison {
    /// The name used in messages and options.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        self.into()
    }

    /// What must become of such a record.
    #[must_use]
    pub(crate) fn fate(self) -> RecordFate {
        match self {
            Self::InvalidUtf8 => RecordFate::Rejected(RejectReason::InvalidUtf8),
            Self::Truncated | Self::NotANumber | Self::LoneSurrogate | Self::TrailingBytes => {
                RecordFate::Rejected(RejectReason::InvalidJson)
            }
            Self::DeepNesting => RecordFate::Rejected(RejectReason::TooDeep),
            Self::NumberRange => RecordFate::Rejected(RejectReason::NumberRange),
            Self::Empty => RecordFate::Rejected(RejectReason::Empty),
            Self::ResultMissing => RecordFate::Rejected(RejectReason::Missing),
            Self::ResultNull => RecordFate::Rejected(RejectReason::Null),
            Self::ResultNotObject => RecordFate::Rejected(RejectReason::WrongType),
            Self::Oversized => RecordFate::SinkLimit,
            Self::Tombstone => RecordFate::Tombstone,
            Self::HugeInteger | Self::DuplicateResult | Self::PrettyPrinted | Self::EscapedName => {
                RecordFate::Delivered
            }
            Self::DuplicateMember => RecordFate::ServerDecides,
        }
    }

    /// The kinds that fit through the mock cluster.
    #[must_use]
    pub fn for_mock() -> Vec<Self> {
        Self::VARIANTS.iter().copied().filter(|poison| *poison != Self::Oversized).collect()
    }

    /// Poisons a value just written from `template`. False: the record has no value.
    pub(super) fn apply(self, template: &ValueTemplate, value: &mut Vec<u8>) -> bool {
        let end = value.len();
        match self {
            Self::InvalidUtf8 => value[template.inside_text] = 0xff,
            Self::Truncated => value.truncate(end / 3 * 2),
            Self::DeepNesting => insert_member(value, &deep_member()),
            Self::NotANumber => insert_member(value, br#","odd":NaN"#),
            Self::NumberRange => insert_member(value, br#","odd":1e400"#),
            Self::LoneSurrogate => insert_member(value, br#","odd":"\ud800""#),
            Self::Empty => value.clear(),
            Self::TrailingBytes => value.extend_from_slice(b" {}"),
            Self::ResultMissing => value[template.result_name + 1] = b'R',
            Self::ResultNull => replace_result(template, value, b"null"),
            Self::ResultNotObject => replace_result(template, value, br#""{}""#),
            Self::Oversized => {
                let at = template.inside_text;
                value.splice(at..at, std::iter::repeat_n(b'x', OVERSIZED_BYTES.saturating_sub(end)));
            }
            Self::Tombstone => {
                value.clear();
                return false;
            }
            Self::HugeInteger => insert_member(value, br#","odd":1234567890123456789012345"#),
            Self::DuplicateMember => insert_member(value, br#","seq":0"#),
            Self::DuplicateResult => {
                value.splice(end - 1..end - 1, *br#","result":{"id":"second"}"#);
            }
            Self::PrettyPrinted => {
                value.splice(template.result + 1..template.result + 1, *b"\r\n\t  ");
                let end = value.len();
                value.splice(end - 2..end - 2, *b"\n");
            }
            Self::EscapedName => {
                let at = template.result_name;
                value.splice(at..at + 8, *br#""resul\u0074""#);
            }
        }
        true
    }
}

/// Inserts ready JSON text, comma first, as the last member of `result`.
fn insert_member(value: &mut Vec<u8>, member: &[u8]) {
    let at = value.len() - 2;
    value.splice(at..at, member.iter().copied());
}

fn replace_result(template: &ValueTemplate, value: &mut Vec<u8>, text: &[u8]) {
    value.truncate(template.result);
    value.extend_from_slice(text);
    value.push(b'}');
}

fn deep_member() -> Vec<u8> {
    let mut member = br#","odd":"#.to_vec();
    member.resize(member.len() + DEEP_LEVELS, b'[');
    member.resize(member.len() + DEEP_LEVELS, b']');
    member
}
