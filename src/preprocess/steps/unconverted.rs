//! Values that cannot be converted: why, and what then happens to their record.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Deserializer;
use serde::{Deserialize, Serialize, Serializer};
use strum::{VariantArray, VariantNames};

use super::super::draft::{Draft, DraftValue};
use super::super::ending::{StepEnding, rejected};
use crate::leaf::{Pointer, null_name};
use crate::model::{RejectReason, StepName};

/// Why a value cannot be converted, to follow its pointer in a message. It never holds the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unconverted {
    /// Values of this type never are.
    #[error("is {0}")]
    Kind(&'static str),
    /// A text that is no number.
    #[error("is a string that is no number")]
    NoNumber,
    /// A number that is not whole.
    #[error("has a fraction")]
    Fraction,
    /// A number that no double reaches, which no JSON reader takes.
    #[error("is beyond the range of a double")]
    TooLarge,
    /// Neither one of the words nor 0 or 1.
    #[error("is neither true nor false")]
    NoBoolean,
    /// No format reads it.
    #[error("fits none of the formats")]
    NoFormat,
    /// A time that RFC 3339 cannot write.
    #[error("lies outside the years 0000 to 9999")]
    OutOfYears,
    /// A time whose nanoseconds since the epoch are too many.
    #[error("does not fit into 64 bits as nanoseconds: these are the years 1678 to 2261")]
    TooManyNanos,
}

/// What happens to a record with a value that cannot be converted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, VariantNames, VariantArray, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum OnUnconverted {
    /// It is rejected.
    #[default]
    Reject,
    /// The value becomes null.
    Null,
    /// The value stays as it is.
    Keep,
}

/// What is put in the place of a value at `pointer` after its conversion: nothing, where it stays as it is.
///
/// # Errors
/// The reject of the record.
pub(super) fn put_or_reject(
    converted: Result<Option<DraftValue>, Unconverted>,
    otherwise: OnUnconverted,
    draft: &mut Draft<'_>,
    place: &StepName,
    pointer: &Pointer,
) -> Result<Option<DraftValue>, StepEnding> {
    match (converted, otherwise) {
        (Ok(value), _) => Ok(value),
        (Err(fault), OnUnconverted::Reject) => {
            let detail = format!("{} {fault}", pointer.shown());
            Err(rejected(RejectReason::InvalidValue, place, detail))
        }
        (Err(_), OnUnconverted::Null) => Ok(Some(draft.make(b"null"))),
        (Err(_), OnUnconverted::Keep) => Ok(None),
    }
}

const NAMES: &[&str] = <OnUnconverted as VariantNames>::VARIANTS;

impl<'de> Deserialize<'de> for OnUnconverted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        null_name::choice(deserializer, NAMES, <Self as VariantArray>::VARIANTS)
    }
}

impl Serialize for OnUnconverted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.into())
    }
}

impl JsonSchema for OnUnconverted {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OnUnconverted".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut names: Vec<_> = NAMES.iter().map(|name| serde_json::Value::from(*name)).collect();
        // Without quotes `null` is YAML's null.
        names.push(serde_json::Value::Null);
        json_schema!({
            "description": "What happens to a record with a value that cannot be converted: it is rejected, or the \
                            value becomes null, or stays as it is.",
            "oneOf": [{ "enum": names }],
        })
    }
}
