//! The axes of a drawing: where a value lies, and which values are named.

use crate::telemetry::summary::{self, three_digits};

/// How an axis maps values to places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    /// Even steps from 0.
    Linear,
    /// Even steps per decade.
    Log,
    /// Quantiles: 0, 90 %, 99 %, 99.9 % are evenly spaced.
    Nines,
    /// Seconds since the start.
    Time,
}

/// What the numbers of the vertical axis are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Milliseconds.
    Milliseconds,
    /// A count or a rate.
    Count,
}

/// The range of an axis, in its own mapping.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    axis: Axis,
    low: f64,
    high: f64,
}

impl Unit {
    /// A value with at most three digits and its unit.
    #[must_use]
    pub fn label(self, value: f64) -> String {
        match self {
            Self::Milliseconds => summary::milliseconds(value),
            Self::Count if value < 999.5 => three_digits(value),
            Self::Count => summary::si(value.round() as u64),
        }
    }
}

/// No quantile is drawn beyond 99.9999 %: so many records nobody has.
const MOST_NINES: f64 = 6.0;

fn nines(quantile: f64) -> f64 {
    if quantile >= 1.0 { MOST_NINES } else { -(1.0 - quantile).log10() }
}

impl Range {
    /// The range of these values, with round ends.
    #[must_use]
    pub fn over(axis: Axis, values: impl Iterator<Item = f64> + Clone) -> Self {
        let most = values.clone().fold(0.0, f64::max);
        match axis {
            Axis::Linear => {
                let step = step(most.max(1e-9), 5.0);
                Self { axis, low: 0.0, high: (most / step).ceil().max(1.0) * step }
            }
            Axis::Time => Self { axis, low: 0.0, high: most.max(1e-3) },
            Axis::Log => {
                let least = values.filter(|value| *value > 0.0).fold(f64::INFINITY, f64::min);
                let (least, most) = if least.is_finite() { (least, most) } else { (1.0, 10.0) };
                let low = least.log10().floor();
                Self { axis, low, high: most.log10().ceil().max(low + 1.0) }
            }
            // The last point of a curve is the maximum, at quantile 1: it is drawn at the right edge.
            Axis::Nines => {
                let high = values.filter(|quantile| *quantile < 1.0).map(nines).fold(1.0, f64::max);
                Self { axis, low: 0.0, high: (high - 0.01).ceil().clamp(1.0, MOST_NINES) }
            }
        }
    }

    /// The place of a value, from 0 to 1.
    #[must_use]
    pub fn share(&self, value: f64) -> f64 {
        let place = match self.axis {
            Axis::Linear | Axis::Time => value,
            Axis::Log => value.max(1e-9).log10(),
            Axis::Nines => nines(value),
        };
        ((place - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    /// The values that get a label, about five, each with its own.
    #[must_use]
    pub fn ticks(&self, label: impl Fn(f64) -> String) -> Vec<(f64, String)> {
        match self.axis {
            Axis::Linear => {
                let step = step(self.high, 5.0);
                let count = (self.high / step).round() as u32;
                (0..=count).map(|index| f64::from(index) * step).map(|value| (value, label(value))).collect()
            }
            Axis::Log => (self.low as i32..=self.high as i32)
                .map(|power| 10_f64.powi(power))
                .map(|value| (value, label(value)))
                .collect(),
            Axis::Nines => {
                const NAMED: [(f64, &str); 7] = [
                    (0.0, "0 %"),
                    (0.9, "90 %"),
                    (0.99, "99 %"),
                    (0.999, "99.9 %"),
                    (0.9999, "99.99 %"),
                    (0.99999, "99.999 %"),
                    (0.999999, "99.9999 %"),
                ];
                let inside = NAMED.iter().filter(|(quantile, _)| nines(*quantile) <= self.high + 1e-6);
                inside.map(|(quantile, name)| (*quantile, (*name).to_owned())).collect()
            }
            Axis::Time => {
                let (unit, name) = time_unit(self.high);
                let step = step(self.high / unit, 6.0) * unit;
                let count = (self.high / step + 1e-9).floor() as u32;
                let named = |seconds: f64| (seconds, format!("{} {name}", three_digits(seconds / unit)));
                (0..=count).map(|index| named(f64::from(index) * step)).collect()
            }
        }
    }
}

fn time_unit(seconds: f64) -> (f64, &'static str) {
    match seconds {
        long if long >= 3.0 * 3_600.0 => (3_600.0, "h"),
        long if long >= 180.0 => (60.0, "min"),
        _ => (1.0, "s"),
    }
}

/// A step of 1, 2 or 5 times a power of ten that divides `high` into at most `parts`, about.
fn step(high: f64, parts: f64) -> f64 {
    let rough = high / parts;
    let power = 10_f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= rough * 0.999);
    factor.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(axis: Axis, values: &[f64]) -> Range {
        Range::over(axis, values.iter().copied())
    }

    fn labels(range: Range) -> Vec<String> {
        range.ticks(|value| Unit::Count.label(value)).into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn axes_have_round_steps_and_hold_every_value() {
        assert_eq!(labels(range(Axis::Linear, &[0.0, 87_000.0])), ["0", "20k", "40k", "60k", "80k", "100k"]);
        assert_eq!(labels(range(Axis::Linear, &[3.0])), ["0", "1", "2", "3"]);
        assert_eq!(labels(range(Axis::Log, &[0.03, 250.0])), ["0.01", "0.1", "1", "10", "100", "1k"]);
        assert_eq!(labels(range(Axis::Time, &[12.5])), ["0 s", "5 s", "10 s"]);
        assert_eq!(labels(range(Axis::Time, &[600.0])), ["0 min", "2 min", "4 min", "6 min", "8 min", "10 min"]);
        assert_eq!(labels(range(Axis::Nines, &[0.0, 0.5, 0.9995, 1.0])), ["0 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
        for values in [[0.0, 0.0], [0.2, 0.3], [1.0, 1e9]] {
            for axis in [Axis::Linear, Axis::Log, Axis::Time] {
                let range = range(axis, &values);
                assert!(range.high > range.low, "{axis:?} {values:?}");
                assert!(range.share(values[0]) <= range.share(values[1]), "{axis:?} {values:?}");
            }
        }
    }

    #[test]
    fn nines_are_evenly_spaced() {
        let range = range(Axis::Nines, &[0.9999]);
        let places: Vec<f64> = [0.0, 0.9, 0.99, 0.999, 0.9999].map(|quantile| range.share(quantile)).to_vec();
        for (index, place) in places.iter().enumerate() {
            assert!((place - index as f64 / 4.0).abs() < 1e-6, "{places:?}");
        }
    }
}
