//! Timestamps in templates: strftime in UTC, formatted once per distinct day or second, since formatting per record is
//! dear.

use std::fmt;

use jiff::Timestamp;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;

use super::moment;
use super::tape::Parser;
use crate::model::ItemPath;

/// A checked strftime format; `slot` is its place in [`Stamps`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TimeFormat {
    text: String,
    /// Milliseconds within which the output cannot change.
    grain_ms: i64,
    slot: usize,
    zone: TimeZone,
}

impl TimeFormat {
    /// Checks `text` against a known time.
    ///
    /// # Errors
    /// The formatter's message when a directive is unknown.
    pub(super) fn new(text: &str, slot: usize, zone: TimeZone) -> Result<Self, String> {
        // Days begin elsewhere in other zones, and not always at whole hours.
        let longest = if zone == TimeZone::UTC { i64::MAX } else { 1_000 };
        let format = Self { text: text.to_owned(), grain_ms: grain_ms(text).min(longest), slot, zone };
        let mut out = String::new();
        format.write(0, &mut out)?;
        Ok(format)
    }

    /// Milliseconds since the epoch of a text; one without an offset is in this format's zone.
    pub(super) fn moment(&self, text: &str) -> Option<i64> {
        moment::of_text(text, &self.zone)
    }

    fn write(&self, timestamp_ms: i64, out: &mut String) -> Result<(), String> {
        let time = Timestamp::from_millisecond(timestamp_ms).map_err(|error| error.to_string())?;
        let time = BrokenDownTime::from(&time.to_zoned(self.zone.clone()));
        time.format(&self.text, out).map_err(|error| error.to_string())
    }
}

/// How long the output of a format stays the same. Only directives known to depend on the day, or on the second, make
/// it longer than a millisecond, so an unknown one costs time but is never wrong.
fn grain_ms(text: &str) -> i64 {
    const DAY: &str = "YymdejaAbBhCGguwUVWFDxZz%nt";
    // Not `s`: before 1970 it cuts towards zero, so it changes within a second.
    const SECOND: &str = "HIklpPMSTRrXc";
    let mut grain = 86_400_000;
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        if char != '%' {
            continue;
        }
        match chars.next() {
            Some(directive) if DAY.contains(directive) => {}
            Some(directive) if SECOND.contains(directive) => grain = grain.min(1_000),
            Some(_) | None => return 1,
        }
    }
    grain
}

/// What one worker renders with besides the record: the last output of every format, the time, and room for keys.
pub(super) struct Stamps {
    last: Vec<Last>,
    /// When the batch in hand was begun.
    pub(super) now_ms: i64,
    /// What the record in hand was named by a `route` step.
    pub(super) route: Option<usize>,
    /// Which item of its record is in hand.
    pub(super) item: ItemPath,
    /// Reads keys.
    pub(super) keys: Parser,
    small: String,
}

#[derive(Debug, Clone, Default)]
struct Last {
    grain: Option<i64>,
    text: String,
}

/// The timestamp is beyond what a calendar can show (years -9999 to 9999).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OutOfRange;

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("timestamp beyond the calendar")
    }
}

impl Stamps {
    /// A cache for `formats` formats.
    pub(super) fn new(formats: usize) -> Self {
        Self {
            last: vec![Last::default(); formats],
            now_ms: 0,
            route: None,
            item: ItemPath::WHOLE,
            keys: Parser::default(),
            small: String::new(),
        }
    }

    /// Writes what stands in `out` from `start` on in small letters; bytes that are no text stay.
    pub(super) fn lower(&mut self, out: &mut Vec<u8>, start: usize) {
        let tail = out.get_mut(start..).unwrap_or_default();
        if tail.is_ascii() {
            return tail.make_ascii_lowercase();
        }
        let Ok(text) = std::str::from_utf8(tail) else { return };
        self.small.clear();
        self.small.extend(text.chars().flat_map(char::to_lowercase));
        out.truncate(start);
        out.extend_from_slice(self.small.as_bytes());
    }

    /// The text of `timestamp_ms` (milliseconds since the epoch) in `format`.
    pub(super) fn text(&mut self, format: &TimeFormat, timestamp_ms: i64) -> Result<&str, OutOfRange> {
        let grain = timestamp_ms.div_euclid(format.grain_ms);
        let last = self.last.get_mut(format.slot).ok_or(OutOfRange)?;
        if last.grain != Some(grain) {
            last.grain = None;
            last.text.clear();
            format.write(timestamp_ms, &mut last.text).map_err(|_| OutOfRange)?;
            last.grain = Some(grain);
        }
        Ok(&last.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FORMATS: [&str; 9] = [
        "%Y.%m.%d",
        "%Y-%m-%dT%H:%M:%SZ",
        "%G-W%V",
        "%s",
        "%j %a %b",
        "%Y%m%d%H",
        "%H:%M:%S%.3f",
        "week %U 100%%",
        "%-d.%-m.%Y",
    ];

    #[test]
    fn formats_in_utc_and_refuses_unknown_directives() {
        let mut stamps = Stamps::new(1);
        let format = TimeFormat::new("%Y.%m.%d %H", 0, TimeZone::UTC).expect("known");
        assert_eq!(stamps.text(&format, 1_700_000_000_123), Ok("2023.11.14 22"));
        assert_eq!(stamps.text(&format, -1), Ok("1969.12.31 23"));
        assert_eq!(stamps.text(&format, i64::MAX), Err(OutOfRange));
        assert_eq!(stamps.text(&format, -1), Ok("1969.12.31 23"), "a fault is not cached");
        assert!(TimeFormat::new("%!", 0, TimeZone::UTC).is_err());
    }

    #[test]
    fn days_are_cached_and_milliseconds_are_not() {
        assert_eq!(grain_ms("logs-%Y.%m.%d"), 86_400_000);
        assert_eq!(grain_ms("%Y-%m-%dT%H"), 1_000);
        assert_eq!((grain_ms("%S%.3f"), grain_ms("%s")), (1, 1));
    }

    #[test]
    fn seconds_before_1970_are_not_taken_from_the_cache() {
        let (mut stamps, format) = (Stamps::new(1), TimeFormat::new("%s", 0, TimeZone::UTC).expect("known"));
        let texts = [-14_866_306_000, -14_866_305_663].map(|time| stamps.text(&format, time).map(str::to_owned));
        assert_eq!(texts, [Ok("-14866306".to_owned()), Ok("-14866305".to_owned())]);
    }

    proptest! {
        #[test]
        fn the_cache_never_shows(times in prop::collection::vec(-100_000_000_000_i64..4_000_000_000_000, 1..40), near in any::<bool>()) {
            let formats: Vec<_> = FORMATS.iter().enumerate().map(|(slot, text)| TimeFormat::new(text, slot, TimeZone::UTC).expect("known")).collect();
            let mut stamps = Stamps::new(formats.len());
            for (index, time) in times.iter().enumerate() {
                let time = if near { times[0] + index as i64 * 337 } else { *time };
                for format in &formats {
                    let mut fresh = String::new();
                    format.write(time, &mut fresh).expect("in range");
                    prop_assert_eq!(stamps.text(format, time), Ok(fresh.as_str()));
                }
            }
        }
    }
}
