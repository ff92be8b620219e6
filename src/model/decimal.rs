//! Numbers as people and records write them, compared exactly. Pure.
//!
//! A double would make neighbours of 2^53 and beyond equal (nanosecond times, snowflake ids) and `0.1` another number
//! than the one written, so none is used: two spellings are compared digit by digit, without allocating.

use std::cmp::Ordering;
use std::fmt;

/// A constant of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal {
    /// In JSON's spelling; every digit that was written.
    text: Box<str>,
    /// The same, where it is whole and fits: most constants, compared without looking at a spelling.
    whole: Option<i128>,
}

impl Decimal {
    /// Takes JSON's numbers, and what people write besides: `+5`, `007`, `.5`, `5.`.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let Spelling { negative, whole, fraction, exponent } = Spelling::new(text.as_bytes())?;
        let digits = |digits: &[u8]| digits.iter().map(|digit| char::from(*digit)).collect::<String>();
        let mut json = String::from(if negative { "-" } else { "" });
        json.push_str(&digits(without_zeros(whole)));
        if json.len() == usize::from(negative) {
            json.push('0');
        }
        if !fraction.is_empty() {
            json.push('.');
            json.push_str(&digits(fraction));
        }
        if !exponent.is_empty() {
            json.push('e');
            json.push_str(&digits(exponent));
        }
        let whole = json.parse().ok();
        Some(Self { text: json.into(), whole })
    }

    /// Whether a double reaches that far: no number of a record goes further, because the parser rejects it.
    #[must_use]
    pub(crate) fn is_in_range(&self) -> bool {
        self.text.parse::<f64>().is_ok_and(f64::is_finite)
    }

    /// As JSON spells it.
    #[must_use]
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The number, where it is whole and fits.
    #[must_use]
    pub(crate) fn whole(&self) -> Option<i128> {
        self.whole
    }

    /// The order of `number` to this constant; `spelling` is asked for only where the constant is no usual whole
    /// number.
    #[must_use]
    #[inline]
    pub(crate) fn order_of_whole<'s>(&self, number: i128, spelling: impl FnOnce() -> &'s [u8]) -> Option<Ordering> {
        match self.whole {
            Some(whole) => Some(number.cmp(&whole)),
            None => self.order_of(spelling()),
        }
    }

    /// The order of the number spelled so to this constant; `None` when it is no number.
    #[must_use]
    pub(crate) fn order_of(&self, spelling: &[u8]) -> Option<Ordering> {
        compare(spelling, self.text.as_bytes())
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

/// The order of two numbers by their spellings; `None` when one is no number. Exponents beyond 10^18 count as that.
#[must_use]
pub fn compare(left: &[u8], right: &[u8]) -> Option<Ordering> {
    let (left, right) = (Spelling::new(left)?.scaled(), Spelling::new(right)?.scaled());
    Some(match (left.sign(), right.sign()) {
        (a, b) if a != b => a.cmp(&b),
        (-1, _) => right.magnitude(&left),
        _ => left.magnitude(&right),
    })
}

/// The parts of a number as written.
pub(super) struct Spelling<'t> {
    pub(super) negative: bool,
    pub(super) whole: &'t [u8],
    pub(super) fraction: &'t [u8],
    /// With its sign, without the `e`; empty where there is none.
    pub(super) exponent: &'t [u8],
}

impl<'t> Spelling<'t> {
    pub(super) fn new(text: &'t [u8]) -> Option<Self> {
        let (negative, rest) = sign(text);
        let (whole, rest) = digits(rest);
        let (fraction, rest) = match rest.split_first() {
            Some((b'.', rest)) => digits(rest),
            Some(_) | None => (&[][..], rest),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let exponent = match rest.split_first() {
            None => rest,
            Some((b'e' | b'E', exponent)) => {
                let (power, rest) = digits(sign(exponent).1);
                (rest.is_empty() && !power.is_empty()).then_some(exponent)?
            }
            Some(_) => return None,
        };
        Some(Self { negative, whole, fraction, exponent })
    }

    /// Without the zeros in front: `0.d1d2d3… × 10^point`.
    pub(super) fn scaled(self) -> Scaled<'t> {
        let (negative, power) = sign(self.exponent);
        let power = without_zeros(power).iter().fold(0_i64, |sum, digit| (sum * 10 + i64::from(digit - b'0')).min(FAR));
        let power = if negative { -power } else { power };
        let whole = without_zeros(self.whole);
        let (fraction, point) = if whole.is_empty() {
            let fraction = without_zeros(self.fraction);
            (fraction, power - (self.fraction.len() - fraction.len()) as i64)
        } else {
            (self.fraction, power + whole.len() as i64)
        };
        Scaled { negative: self.negative, whole, fraction, point }
    }
}

/// Where exponents end, so that adding lengths cannot overflow.
const FAR: i64 = 100_000_000_000_000_000;

/// A number without zeros in front.
pub(super) struct Scaled<'t> {
    pub(super) negative: bool,
    pub(super) whole: &'t [u8],
    pub(super) fraction: &'t [u8],
    /// Power of ten in front of the first digit.
    pub(super) point: i64,
}

impl Scaled<'_> {
    fn sign(&self) -> i8 {
        if self.whole.is_empty() && self.fraction.iter().all(|digit| *digit == b'0') {
            0
        } else if self.negative {
            -1
        } else {
            1
        }
    }

    /// The order of the absolute values of two numbers that are not 0, or both are.
    fn magnitude(&self, other: &Self) -> Ordering {
        if self.sign() == 0 {
            return Ordering::Equal;
        }
        self.point.cmp(&other.point).then_with(|| {
            let mut left = self.whole.iter().chain(self.fraction);
            let mut right = other.whole.iter().chain(other.fraction);
            loop {
                let order = match (left.next(), right.next()) {
                    (None, None) => return Ordering::Equal,
                    (left, right) => left.unwrap_or(&b'0').cmp(right.unwrap_or(&b'0')),
                };
                if order != Ordering::Equal {
                    return order;
                }
            }
        })
    }
}

fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        Some(_) | None => (false, text),
    }
}

fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().take_while(|byte| byte.is_ascii_digit()).count())
}

pub(super) fn without_zeros(digits: &[u8]) -> &[u8] {
    &digits[digits.iter().take_while(|digit| **digit == b'0').count()..]
}

#[cfg(test)]
#[path = "decimal_tests.rs"]
mod tests;
