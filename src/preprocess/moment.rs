//! Times in records: RFC 3339 texts and numbers since the epoch → milliseconds. Pure.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Numbers below these count seconds, milliseconds and microseconds since the epoch, else nanoseconds: as seconds the
/// first is the year 5138, as milliseconds it is 1973.
const SECONDS: u64 = 100_000_000_000;
const MILLIS: u64 = 100_000_000_000_000;
const MICROS: u64 = 100_000_000_000_000_000;

/// Of a whole number.
pub(super) fn of_number(number: Option<i64>) -> Option<i64> {
    let number = number?;
    match number.unsigned_abs() {
        size if size < SECONDS => number.checked_mul(1_000),
        size if size < MILLIS => Some(number),
        size if size < MICROS => Some(number.div_euclid(1_000)),
        _ => Some(number.div_euclid(1_000_000)),
    }
}

/// Of a number with a fraction.
pub(super) fn of_float(number: f64) -> Option<i64> {
    let size = number.abs();
    let millis = if size < SECONDS as f64 { number * 1e3 } else { number };
    (size < MILLIS as f64).then(|| millis.floor() as i64)
}

/// Of a text: RFC 3339, the same without an offset (then in `zone`), a date alone, or digits.
pub(super) fn of_text(text: &str, zone: &TimeZone) -> Option<i64> {
    let text = text.trim();
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        // A year alone, or a day written as 20241103, is no number of seconds.
        return if digits.len() > 8 { of_number(text.parse().ok()) } else { None };
    }
    if digits.contains('.') && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return of_float(text.parse().ok()?);
    }
    let has_offset = text.get(10..).is_some_and(|time| time.contains(['Z', 'z', '+', '-']));
    if has_offset {
        return text.parse::<Timestamp>().ok().map(|time| time.as_millisecond());
    }
    let civil: DateTime = text.parse().ok()?;
    zone.to_timestamp(civil).ok().map(|time| time.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_numbers() {
        let utc = TimeZone::UTC;
        let at = 1_730_673_708_123;
        for (text, expected) in [
            ("2024-11-03T22:41:48.123Z", Some(at)),
            ("2024-11-03T23:41:48.123+01:00", Some(at)),
            ("2024-11-03 22:41:48.123Z", Some(at)),
            ("2024-11-03t22:41:48.123z", Some(at)),
            ("2024-11-03T22:41:48.123456789Z", Some(at)),
            ("2024-11-03T22:41:48.123", Some(at)),
            ("2024-11-03", Some(1_730_592_000_000)),
            ("1730673708123", Some(at)),
            ("1730673708", Some(1_730_673_708_000)),
            ("1730673708.123", Some(at)),
            ("2024-11-03T23:41:48.123+0100", Some(at)),
            ("1.2.3", None),
            ("20241103", None),
            ("yesterday", None),
            ("", None),
            ("2024-13-03T22:41:48Z", None),
            ("03/Nov/2024:22:41:48 +0000", None),
        ] {
            assert_eq!(of_text(text, &utc), expected, "{text}");
        }
        for (number, expected) in [
            (1_730_673_708, 1_730_673_708_000),
            (at, at),
            (1_730_673_708_123_456, at),
            (1_730_673_708_123_456_789, at),
            (-1, -1_000),
            (0, 0),
        ] {
            assert_eq!(of_number(Some(number)), Some(expected), "{number}");
        }
        assert_eq!(of_number(None), None);
        assert_eq!(of_float(1_730_673_708.123), Some(at));
        assert_eq!(of_float(1e300), None);
    }

    #[test]
    fn a_text_without_an_offset_is_in_the_zone() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        assert_eq!(of_text("2024-11-03T22:41:48", &zone), Some(1_730_673_708_000 - 7_200_000));
    }
}
