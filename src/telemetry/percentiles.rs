//! Percentiles of a latency histogram in milliseconds, and its `.hgrm` text in the reference layout.

use std::io::{self, Write};

use hdrhistogram::Histogram;
use hdrhistogram::iterators::IterationValue;
use serde::{Deserialize, Serialize};

/// Percentiles in milliseconds; all 0 when nothing was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Records timed.
    pub count: u64,
    /// Mean.
    pub mean_ms: f64,
    /// Half were faster.
    pub p50_ms: f64,
    /// 90 %.
    pub p90_ms: f64,
    /// 99 %.
    pub p99_ms: f64,
    /// 99.9 %.
    pub p999_ms: f64,
    /// 99.99 %.
    pub p9999_ms: f64,
    /// The slowest.
    pub max_ms: f64,
}

/// Values are recorded in microseconds and shown in milliseconds.
const MICROS_PER_MILLI: f64 = 1e3;
/// Steps per halving of the distance to 100 %, as in the reference implementation.
const TICKS_PER_HALF: u32 = 5;

impl Percentiles {
    /// Of a histogram of microseconds.
    #[must_use]
    pub fn of(histogram: &Histogram<u64>) -> Self {
        if histogram.is_empty() {
            return Self::default();
        }
        let at = |quantile| histogram.value_at_quantile(quantile).min(histogram.max()) as f64 / MICROS_PER_MILLI;
        Self {
            count: histogram.len(),
            mean_ms: rounded(histogram.mean() / MICROS_PER_MILLI, 3),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            p9999_ms: at(0.9999),
            max_ms: at(1.0),
        }
    }

    /// `(name, milliseconds)` in the order people read them.
    #[must_use]
    pub fn rows(&self) -> [(&'static str, f64); 7] {
        [
            ("mean", self.mean_ms),
            ("p50", self.p50_ms),
            ("p90", self.p90_ms),
            ("p99", self.p99_ms),
            ("p99.9", self.p999_ms),
            ("p99.99", self.p9999_ms),
            ("max", self.max_ms),
        ]
    }
}

/// `value` to so many decimals: what is not known more exactly is not written so, and reads back the same.
#[must_use]
pub fn rounded(value: f64, decimals: i32) -> f64 {
    let scale = 10_f64.powi(decimals);
    (value * scale).round() / scale
}

/// The percentile curve: `(quantile, milliseconds)`, in steps that halve towards 1.
#[must_use]
pub fn curve(histogram: &Histogram<u64>) -> Vec<(f64, f64)> {
    let point = |step: IterationValue<u64>| {
        (rounded(step.quantile_iterated_to(), 12), step.value_iterated_to() as f64 / MICROS_PER_MILLI)
    };
    histogram.iter_quantiles(TICKS_PER_HALF).map(point).collect()
}

/// Writes the percentile distribution in milliseconds, in the layout of the reference implementation's
/// `outputPercentileDistribution`, which plotters read.
///
/// # Errors
/// What the writer answers.
pub fn write_hgrm(histogram: &Histogram<u64>, out: &mut impl Write) -> io::Result<()> {
    let digits = usize::from(histogram.sigfig());
    writeln!(out, "{:>12} {:>14} {:>10} {:>14}\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)")?;
    let mut total = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF) {
        total += step.count_since_last_iteration();
        let value = step.value_iterated_to() as f64 / MICROS_PER_MILLI;
        let quantile = step.quantile_iterated_to();
        if quantile < 1.0 {
            writeln!(out, "{value:12.digits$} {quantile:14.12} {total:10} {:14.2}", 1.0 / (1.0 - quantile))?;
        } else {
            writeln!(out, "{value:12.digits$} {quantile:14.12} {total:10}")?;
        }
    }
    let (mean, deviation) = (histogram.mean() / MICROS_PER_MILLI, histogram.stdev() / MICROS_PER_MILLI);
    let max = histogram.max() as f64 / MICROS_PER_MILLI;
    let (buckets, sub_buckets) = dimensions(histogram);
    writeln!(out, "#[Mean    = {mean:12.digits$}, StdDeviation   = {deviation:12.digits$}]")?;
    writeln!(out, "#[Max     = {max:12.digits$}, Total count    = {:12}]", histogram.len())?;
    writeln!(out, "#[Buckets = {buckets:12}, SubBuckets     = {sub_buckets:12}]")
}

/// Buckets and sub-buckets as the reference implementation derives them from bounds and digits.
fn dimensions(histogram: &Histogram<u64>) -> (u32, u64) {
    let sub_buckets = (2 * 10_u64.pow(u32::from(histogram.sigfig()))).next_power_of_two();
    let mut buckets = 1;
    let mut smallest_untrackable = sub_buckets;
    while smallest_untrackable <= histogram.high() {
        smallest_untrackable = smallest_untrackable.saturating_mul(2);
        buckets += 1;
    }
    (buckets, sub_buckets)
}

#[cfg(test)]
mod tests {
    use super::super::latency::empty_histogram;
    use super::*;

    fn sample() -> Histogram<u64> {
        let mut histogram = empty_histogram();
        for value in 1..=1_000_u64 {
            histogram.saturating_record_n(value * 37, 1 + 1_000 / value);
        }
        // A prime total: where a step falls on a record exactly, the implementations differ by rounding.
        histogram.saturating_record_n(2_500_000, 12);
        assert_eq!(histogram.len(), 8_081);
        histogram
    }

    /// The golden file was written by the reference implementation (HdrHistogram 2.2.2 for Java,
    /// `outputPercentileDistribution(out, 5, 1000.0)`) from the same values.
    #[test]
    fn hgrm_is_what_the_reference_writes() {
        let mut text = Vec::new();
        write_hgrm(&sample(), &mut text).expect("memory");
        assert_eq!(String::from_utf8(text).expect("text"), include_str!("golden/sample.hgrm"));
    }

    #[test]
    fn an_empty_histogram_has_a_head_and_a_foot() {
        let mut text = Vec::new();
        write_hgrm(&empty_histogram(), &mut text).expect("memory");
        let text = String::from_utf8(text).expect("text");
        assert!(text.starts_with("       Value     Percentile TotalCount 1/(1-Percentile)\n\n#[Mean"), "{text}");
        assert_eq!(Percentiles::of(&empty_histogram()), Percentiles::default());
    }

    #[test]
    fn percentiles_are_milliseconds_and_never_above_the_maximum() {
        let mut histogram = empty_histogram();
        for value in 1..=100_u64 {
            histogram.saturating_record(value * 1_000);
        }
        let found = Percentiles::of(&histogram);
        assert!((found.p50_ms - 50.0).abs() < 0.1, "{found:?}");
        assert!((found.p99_ms - 99.0).abs() < 0.1, "{found:?}");
        assert!((found.mean_ms - 50.5).abs() < 0.1, "{found:?}");
        assert!(found.rows().iter().all(|(_, value)| *value <= found.max_ms), "{found:?}");
        let curve = curve(&histogram);
        assert!(curve.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 <= pair[1].1), "{curve:?}");
    }
}
