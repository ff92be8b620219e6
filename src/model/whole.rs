//! Numbers in any spelling, written again: `1e3`, `7.0` and `007` are whole, and every digit of
//! `12345678901234567890123` counts. Pure, and without a double in between.

use super::decimal::{Spelling, without_zeros};

/// A whole number as it was spelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholeNumber<'t> {
    negative: bool,
    /// Its digits without zeros in front, in two parts; none for 0.
    digits: [&'t [u8]; 2],
    /// Zeros behind them.
    zeros: usize,
}

/// Why a text is no whole number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotWhole {
    /// It is no number.
    NoNumber,
    /// It has a fraction.
    Fraction,
    /// It has more digits than asked for.
    TooLong,
}

impl<'t> WholeNumber<'t> {
    /// Takes JSON's numbers, and what people write besides: `+5`, `007`, `.5e1`, `5.`.
    ///
    /// # Errors
    /// What is no number, or has a fraction, or more digits than `most`.
    pub fn new(text: &'t [u8], most: usize) -> Result<Self, NotWhole> {
        let scaled = Spelling::new(text).ok_or(NotWhole::NoNumber)?.scaled();
        let (whole, fraction) = (scaled.whole, without_zeros_behind(scaled.fraction));
        if whole.is_empty() && fraction.is_empty() {
            return Ok(Self { negative: false, digits: [&[], &[]], zeros: 0 });
        }
        // Where the digits behind the point are all zeros, those in front may end in zeros that the exponent takes.
        let (whole, taken) = if fraction.is_empty() {
            let kept = without_zeros_behind(whole);
            (kept, kept.len())
        } else {
            (whole, whole.len() + fraction.len())
        };
        let Ok(length) = usize::try_from(scaled.point) else { return Err(NotWhole::Fraction) };
        if length < taken {
            Err(NotWhole::Fraction)
        } else if length > most {
            Err(NotWhole::TooLong)
        } else {
            Ok(Self { negative: scaled.negative, digits: [whole, fraction], zeros: length - taken })
        }
    }

    /// Appends it as JSON spells whole numbers: digits, with a minus in front where it is below 0.
    pub fn write(&self, out: &mut Vec<u8>) {
        if self.negative {
            out.push(b'-');
        }
        let start = out.len();
        self.digits.iter().for_each(|digits| out.extend_from_slice(digits));
        out.resize(out.len() + self.zeros, b'0');
        if out.len() == start {
            out.push(b'0');
        }
    }
}

impl WholeNumber<'_> {
    /// The number, where it is 0 or 1.
    #[must_use]
    pub fn bit(&self) -> Option<bool> {
        match (self.negative, self.zeros, self.digits) {
            (false, 0, [[], []]) => Some(false),
            (false, 0, [[b'1'], []] | [[], [b'1']]) => Some(true),
            _ => None,
        }
    }
}

fn without_zeros_behind(digits: &[u8]) -> &[u8] {
    &digits[..digits.len() - digits.iter().rev().take_while(|digit| **digit == b'0').count()]
}

/// Whether the number spelled so is whole by its value.
#[must_use]
pub fn is_whole(text: &[u8]) -> bool {
    !matches!(WholeNumber::new(text, usize::MAX), Err(NotWhole::NoNumber | NotWhole::Fraction))
}

/// Appends a number as JSON spells it, with the digits it has: `007.50` becomes `7.50`, `+.5` becomes `0.5`. Whether it
/// is a number; nothing is written where it is none.
pub fn write_number(text: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(Spelling { negative, whole, fraction, exponent }) = Spelling::new(text) else { return false };
    if negative {
        out.push(b'-');
    }
    let whole = without_zeros(whole);
    out.extend_from_slice(if whole.is_empty() { b"0" } else { whole });
    for (sign, digits) in [(b'.', fraction), (b'e', exponent)] {
        if !digits.is_empty() {
            out.push(sign);
            out.extend_from_slice(digits);
        }
    }
    true
}

/// The number times ten to `power`, down to the next whole one, and at most 10^30 either way; `None` for what is no
/// number.
#[must_use]
pub fn floor_scaled(text: &[u8], power: u8) -> Option<i128> {
    /// An `i128` holds more.
    const MOST: (i64, i128) = (30, 10_i128.pow(30));
    let scaled = Spelling::new(text)?.scaled();
    let digits = || scaled.whole.iter().chain(scaled.fraction);
    if digits().all(|digit| *digit == b'0') {
        return Some(0);
    }
    let length = scaled.point + i64::from(power);
    if length > MOST.0 {
        return Some(if scaled.negative { -MOST.1 } else { MOST.1 });
    }
    let taken = usize::try_from(length).unwrap_or(0);
    let digit_at = |place: usize| digits().nth(place).map_or(0, |digit| i128::from(digit - b'0'));
    let number = (0..taken).fold(0, |number, place| number * 10 + digit_at(place));
    if !scaled.negative {
        return Some(number);
    }
    let has_rest = digits().skip(taken).any(|digit| *digit != b'0');
    Some(-number - i128::from(has_rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_keep_every_digit() {
        let (fraction, none, long) = (Err(NotWhole::Fraction), Err(NotWhole::NoNumber), Err(NotWhole::TooLong));
        for (text, expected) in [
            ("0", Ok("0")),
            ("-0", Ok("0")),
            ("-0.0e5", Ok("0")),
            ("0e999999999999999999999", Ok("0")),
            ("7", Ok("7")),
            ("7.0", Ok("7")),
            ("7.", Ok("7")),
            ("+7", Ok("7")),
            ("00042", Ok("42")),
            ("-007.00", Ok("-7")),
            ("1e3", Ok("1000")),
            ("1E+3", Ok("1000")),
            ("1.25e2", Ok("125")),
            ("1.25e1", fraction),
            ("1.5", fraction),
            (".5", fraction),
            (".5e1", Ok("5")),
            ("0.00120e4", Ok("12")),
            ("0.00120e3", fraction),
            ("1200e-2", Ok("12")),
            ("1200.000e-2", Ok("12")),
            ("1200e-3", fraction),
            ("1e-999999999999999999999", fraction),
            ("12345678901234567890123", Ok("12345678901234567890123")),
            ("1234567890.1234567890123e13", Ok("12345678901234567890123")),
            ("1e24", Ok("1000000000000000000000000")),
            ("1e25", long),
            ("1e999999999", long),
            ("-1e999999999999999999999", long),
            ("12345678901234567890123456", long),
            ("", none),
            ("-", none),
            (".", none),
            ("1e", none),
            ("0x10", none),
            ("NaN", none),
            ("1 ", none),
        ] {
            let written = WholeNumber::new(text.as_bytes(), 25).map(|number| {
                let mut out = Vec::new();
                number.write(&mut out);
                String::from_utf8(out).expect("digits")
            });
            assert_eq!(written, expected.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn zero_and_one_are_known_in_any_spelling() {
        let spellings = [("0", Some(false)), ("-0.0", Some(false)), ("1", Some(true)), ("1.0", Some(true))];
        let more = [("0.1e1", Some(true)), ("100e-2", Some(true)), ("01", Some(true)), ("-1", None), ("10", None)];
        for (text, expected) in spellings.into_iter().chain(more).chain([("2", None), ("11", None), ("1.1e1", None)]) {
            assert_eq!(WholeNumber::new(text.as_bytes(), 9).ok().and_then(|number| number.bit()), expected, "{text}");
        }
    }

    #[test]
    fn wholeness_asks_for_no_length() {
        for (text, expected) in [("1e999", true), ("1e-999", false), ("7.0", true), ("7.5", false), ("x", false)] {
            assert_eq!(is_whole(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn numbers_are_written_as_json_with_their_digits() {
        for (text, expected) in [
            ("7", "7"),
            ("+7", "7"),
            ("-007.50", "-7.50"),
            ("+.5", "0.5"),
            ("5.", "5"),
            ("00", "0"),
            ("-0", "-0"),
            ("1E+03", "1e+03"),
            ("0.10e-7", "0.10e-7"),
            ("12345678901234567890123.00", "12345678901234567890123.00"),
            ("1,5", ""),
            ("0x10", ""),
            ("NaN", ""),
            ("", ""),
        ] {
            let mut out = Vec::new();
            assert_eq!(write_number(text.as_bytes(), &mut out), !expected.is_empty(), "{text}");
            assert_eq!(String::from_utf8_lossy(&out), expected, "{text}");
        }
    }

    #[test]
    fn scaled_numbers_are_exact_and_go_down() {
        for (text, power, expected) in [
            ("1.5", 3, Some(1_500)),
            ("1.5", 0, Some(1)),
            ("-1.5", 0, Some(-2)),
            ("-1.5", 1, Some(-15)),
            ("-1.50", 1, Some(-15)),
            ("0.1", 9, Some(100_000_000)),
            ("1730673708.123456789", 9, Some(1_730_673_708_123_456_789)),
            ("1730673708.1234567899", 9, Some(1_730_673_708_123_456_789)),
            ("-0.0000000001", 9, Some(-1)),
            ("0.0000000001", 9, Some(0)),
            ("1e-999999999", 9, Some(0)),
            ("-1e-999999999", 9, Some(-1)),
            ("1e20", 9, Some(100_000_000_000_000_000_000_000_000_000)),
            ("1e21", 9, Some(10_i128.pow(30))),
            ("1e999999999999", 0, Some(10_i128.pow(30))),
            ("-1e999999999999", 0, Some(-(10_i128.pow(30)))),
            ("0e999999999999", 0, Some(0)),
            ("-0", 9, Some(0)),
            ("0012", 2, Some(1_200)),
            ("soon", 0, None),
            ("", 0, None),
        ] {
            assert_eq!(floor_scaled(text.as_bytes(), power), expected, "{text} {power}");
        }
    }
}
