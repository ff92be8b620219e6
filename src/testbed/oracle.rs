//! Knows what must come out of the two pipelines of the replaced script, and says where reality differs.
//!
//! Everything here is computed from the generated input by a slow path that shares no code with the engine: serde_json
//! finds `result`, maps of parsed values stand for documents. [`output`] judges an output topic while it is read,
//! [`documents`] the documents of an index at the end.

pub mod documents;
mod key_line;
pub mod output;

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

pub use documents::{DocumentVerdict, Enrichment, Write, check_documents};
pub use output::{OutputOracle, OutputVerdict};

/// Most differences described in a verdict.
const SAMPLES: usize = 20;

/// The bytes of the member `result` of a JSON object, as they stand there; the first of several. `None` when the value
/// is no object or has no such member. Judges no more than it must to find it.
#[must_use]
pub fn select_result(value: &[u8]) -> Option<&[u8]> {
    let mut reader = serde_json::Deserializer::from_slice(value);
    let raw = reader.deserialize_map(FirstResult).ok()??;
    Some(raw.get().as_bytes())
}

struct FirstResult;

impl<'de> Visitor<'de> for FirstResult {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = map.next_key::<KeyName<'de>>()? {
            let value: &'de RawValue = map.next_value()?;
            if found.is_none() && name.0 == "result" {
                found = Some(value);
            }
        }
        Ok(found)
    }
}

#[derive(serde::Deserialize)]
struct KeyName<'a>(#[serde(borrow)] Cow<'a, str>);

/// A bounded list of differences, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Samples(Vec<String>);

impl Samples {
    fn add(&mut self, describe: impl FnOnce() -> String) {
        if self.0.len() < SAMPLES {
            self.0.push(describe());
        }
    }
}

fn shorten(bytes: &[u8]) -> String {
    const SHOWN: usize = 120;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]);
    if bytes.len() > SHOWN { format!("{text}… ({} bytes)", bytes.len()) } else { text.into_owned() }
}

#[cfg(test)]
mod tests;
