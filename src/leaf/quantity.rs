//! Durations (`20ms 60s 5m 1h`) and sizes (`256KiB 5MiB 10MB`) as people write them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};

/// A duration with its unit: `20ms`, `60s`, `5m`, `1h30m`, `2d`; `0` needs none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interval(pub Duration);

impl Interval {
    /// Milliseconds.
    #[must_use]
    pub const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// Seconds.
    #[must_use]
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

const DURATION_HELP: &str = "a duration such as `20ms`, `60s`, `5m` or `1h30m`";

impl FromStr for Interval {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "0" {
            return Ok(Self(Duration::ZERO));
        }
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return Err(format!("a unit is missing: write `{text}ms` or `{text}s`"));
        }
        let mut rest = text;
        let mut total = Duration::ZERO;
        while !rest.is_empty() {
            let (number, unit, after) = number_and_unit(rest).ok_or_else(|| format!("expected {DURATION_HELP}"))?;
            let micros = match unit {
                "us" => 1.0,
                "ms" => 1e3,
                "s" => 1e6,
                "m" => 6e7,
                "h" => 3.6e9,
                "d" => 8.64e10,
                _ => return Err(format!("expected {DURATION_HELP}; units are us, ms, s, m, h and d")),
            } * number;
            // Whole microseconds are exact in a double up to here: 285 years.
            if micros > 9e15 {
                return Err("too long for a duration".to_owned());
            }
            let part = Duration::from_micros(micros.round() as u64);
            total = total.checked_add(part).ok_or("too long for a duration")?;
            rest = after;
        }
        if text.is_empty() { Err(format!("expected {DURATION_HELP}")) } else { Ok(Self(total)) }
    }
}

/// The leading number and the letters after it.
fn number_and_unit(text: &str) -> Option<(f64, &str, &str)> {
    let digits = text.find(|character: char| !(character.is_ascii_digit() || character == '.'))?;
    let letters =
        text[digits..].find(|character: char| !character.is_ascii_alphabetic()).unwrap_or(text.len() - digits);
    let number: f64 = text[..digits].parse().ok()?;
    Some((number, &text[digits..digits + letters], &text[digits + letters..]))
}

impl fmt::Display for Interval {
    /// In the largest unit that gives a whole number above 1, hours also 1: `60s`, `10m`, `1h`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        let units =
            [(3_600_000_000, 1, "h"), (60_000_000, 2, "m"), (1_000_000, 1, "s"), (1_000, 1, "ms"), (1, 1, "us")];
        match units.iter().find(|(size, least, _)| micros.is_multiple_of(*size) && micros / size >= *least) {
            Some((size, _, unit)) => write!(out, "{}{unit}", micros / size),
            None => out.write_str("0s"),
        }
    }
}

/// A number of bytes: `256KiB`, `5MiB`, `10MB`; a bare number counts bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

const SIZE_HELP: &str = "a size such as `256KiB`, `5MiB` or `10MB`";

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(bytes) = text.parse() {
            return Ok(Self(bytes));
        }
        let (number, unit, rest) = number_and_unit(text).ok_or_else(|| format!("expected {SIZE_HELP}"))?;
        let scale: u64 = match unit.to_ascii_lowercase().as_str() {
            "b" => 1,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "k" | "m" | "g" => {
                let unit = unit.to_ascii_uppercase();
                return Err(format!(
                    "`{unit}` is ambiguous: write `{number}{unit}iB` (1024) or `{number}{unit}B` (1000)"
                ));
            }
            _ => return Err(format!("expected {SIZE_HELP}; units are B, KB, MB, GB, KiB, MiB and GiB")),
        };
        let bytes = number * scale as f64;
        if !rest.is_empty() || !(0.0..9e15).contains(&bytes) {
            return Err(format!("expected {SIZE_HELP}"));
        }
        Ok(Self(bytes.round() as u64))
    }
}

impl fmt::Display for ByteSize {
    /// In the largest binary unit that gives a whole number, else in bytes.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        match units.iter().find(|(size, _)| self.0 > 0 && self.0.is_multiple_of(*size)) {
            Some((size, unit)) => write!(out, "{}{unit}", self.0 / size),
            None => write!(out, "{}B", self.0),
        }
    }
}

macro_rules! written_as_text {
    ($type:ty, $name:literal, $pattern:literal, $help:expr) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.trim().parse().map_err(D::Error::custom)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": ["string", "integer"], "pattern": $pattern, "description": $help })
            }
        }
    };
}

written_as_text!(Interval, "Duration", r"^(0|([0-9.]+(us|ms|s|m|h|d))+|.*\$\{.*)$", DURATION_HELP);
written_as_text!(ByteSize, "Size", r"^([0-9]+|[0-9.]+([KkMmGg][Ii]?)?[Bb]|.*\$\{.*)$", SIZE_HELP);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations() {
        let table = [
            ("20ms", 20),
            ("60s", 60_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1.5s", 1_500),
            ("0", 0),
            ("2d", 172_800_000),
        ];
        for (text, millis) in table {
            assert_eq!(text.parse(), Ok(Interval::millis(millis)), "{text}");
        }
        for text in ["", "5", "5 s", "s", "-5s", "5x", "1..5s", "99999999999999999999h", "5s!", "5sm"] {
            assert!(text.parse::<Interval>().is_err(), "{text}");
        }
        assert_eq!("30".parse::<Interval>().unwrap_err(), "a unit is missing: write `30ms` or `30s`");
    }

    #[test]
    fn sizes() {
        let table = [
            ("256KiB", 262_144),
            ("5MiB", 5 << 20),
            ("10MB", 10_000_000),
            ("1.5kb", 1_500),
            ("77", 77),
            ("1GiB", 1 << 30),
            ("5mib", 5 << 20),
        ];
        for (text, bytes) in table {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        for text in ["", "5M", "MiB", "5 MiB", "-1", "5TiBs", "5MiB2", "1e9", "99999999999GiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
        assert!("5M".parse::<ByteSize>().unwrap_err().contains("`5MiB` (1024) or `5MB` (1000)"));
    }

    proptest! {
        #[test]
        fn shown_forms_read_back(micros in 0u64..1 << 45, bytes in 0u64..1 << 50) {
            let interval = Interval(Duration::from_micros(micros));
            prop_assert_eq!(interval.to_string().parse::<Interval>(), Ok(interval));
            prop_assert_eq!(ByteSize(bytes).to_string().parse::<ByteSize>(), Ok(ByteSize(bytes)));
        }
    }
}
