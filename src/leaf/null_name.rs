//! Choices one of whose names is `null`. YAML and JSON take it for nothing where it stands without quotes.

use std::fmt;

use serde::de::{Deserializer, Error, Visitor};

/// Reads one of `choices` by its name; nothing is the one whose name is `null`.
///
/// # Errors
/// Another name, with the nearest, and what is no name.
pub fn choice<'de, D: Deserializer<'de>, T: Copy>(
    deserializer: D,
    names: &'static [&'static str],
    choices: &'static [T],
) -> Result<T, D::Error> {
    deserializer.deserialize_any(NamesWithNull { names, choices })
}

struct NamesWithNull<T: 'static> {
    names: &'static [&'static str],
    choices: &'static [T],
}

impl<T: Copy> Visitor<'_> for NamesWithNull<T> {
    type Value = T;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.names.iter().map(|name| format!("`{name}`")).collect();
        write!(out, "one of {}", names.join(", "))
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        let known = self.names.iter().zip(self.choices).find(|(name, _)| **name == text);
        known.map(|(_, choice)| *choice).ok_or_else(|| E::unknown_variant(text, self.names))
    }
    fn visit_unit<E: Error>(self) -> Result<T, E> {
        self.visit_str("null")
    }
}
