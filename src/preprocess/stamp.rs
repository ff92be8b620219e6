//! Timestamps in templates: strftime in UTC, formatted once per distinct day or second, since formatting per record is dear.

use std::fmt;

use jiff::Timestamp;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;

/// A checked strftime format; `slot` is its place in [`Stamps`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Format {
    text: String,
    /// Milliseconds within which the output cannot change.
    grain_ms: i64,
    slot: usize,
}

impl Format {
    /// Checks `text` against a known time.
    ///
    /// # Errors
    /// The formatter's message when a directive is unknown.
    pub(super) fn new(text: &str, slot: usize) -> Result<Self, String> {
        let format = Self { text: text.to_owned(), grain_ms: grain_ms(text), slot };
        let mut out = String::new();
        format.write(0, &mut out)?;
        Ok(format)
    }

    fn write(&self, timestamp_ms: i64, out: &mut String) -> Result<(), String> {
        let time = Timestamp::from_millisecond(timestamp_ms).map_err(|error| error.to_string())?;
        let time = BrokenDownTime::from(&time.to_zoned(TimeZone::UTC));
        time.format(&self.text, out).map_err(|error| error.to_string())
    }
}

/// How long the output of a format stays the same. Only directives known to depend on the day, or on the second, make it
/// longer than a millisecond, so an unknown one costs time but is never wrong.
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

/// One worker's last output of every format.
#[derive(Debug)]
pub(super) struct Stamps {
    last: Vec<Last>,
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
        Self { last: vec![Last::default(); formats] }
    }

    /// The text of `timestamp_ms` (milliseconds since the epoch) in `format`.
    pub(super) fn text(&mut self, format: &Format, timestamp_ms: i64) -> Result<&str, OutOfRange> {
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
        let format = Format::new("%Y.%m.%d %H", 0).expect("known");
        assert_eq!(stamps.text(&format, 1_700_000_000_123), Ok("2023.11.14 22"));
        assert_eq!(stamps.text(&format, -1), Ok("1969.12.31 23"));
        assert_eq!(stamps.text(&format, i64::MAX), Err(OutOfRange));
        assert_eq!(stamps.text(&format, -1), Ok("1969.12.31 23"), "a fault is not cached");
        assert!(Format::new("%!", 0).is_err());
    }

    #[test]
    fn days_are_cached_and_milliseconds_are_not() {
        assert_eq!(grain_ms("logs-%Y.%m.%d"), 86_400_000);
        assert_eq!(grain_ms("%Y-%m-%dT%H"), 1_000);
        assert_eq!((grain_ms("%S%.3f"), grain_ms("%s")), (1, 1));
    }

    #[test]
    fn seconds_before_1970_are_not_taken_from_the_cache() {
        let (mut stamps, format) = (Stamps::new(1), Format::new("%s", 0).expect("known"));
        let texts = [-14_866_306_000, -14_866_305_663].map(|time| stamps.text(&format, time).map(str::to_owned));
        assert_eq!(texts, [Ok("-14866306".to_owned()), Ok("-14866305".to_owned())]);
    }

    proptest! {
        #[test]
        fn the_cache_never_shows(times in prop::collection::vec(-100_000_000_000_i64..4_000_000_000_000, 1..40), near in any::<bool>()) {
            let formats: Vec<_> = FORMATS.iter().enumerate().map(|(slot, text)| Format::new(text, slot).expect("known")).collect();
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
