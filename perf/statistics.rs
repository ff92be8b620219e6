//! Percentiles and crossings (pure).

/// A moment of a run, seen from outside.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Seconds since the subject was started.
    pub at_s: f64,
    /// Records the sink has acknowledged.
    pub delivered: u64,
    /// CPU seconds of the subject's process tree.
    pub cpu_s: f64,
    /// Busy seconds of the subject's core, whoever used it.
    pub core_s: f64,
    /// Its resident set in bytes.
    pub rss_bytes: u64,
}

/// What lies between 10 % and 100 % of the records.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    /// Records in it.
    pub records: f64,
    /// Seconds.
    pub wall_s: f64,
    /// CPU seconds of the subject.
    pub cpu_s: f64,
    /// CPU seconds others took of the subject's core.
    pub other_s: f64,
}

/// The span between 10 % and 100 % of `records`; `None` when they did not all arrive or nothing was seen in between.
pub fn steady(samples: &[Sample], records: u64) -> Option<Span> {
    let (from, to) = (crossing(samples, records as f64 * 0.1)?, crossing(samples, records as f64)?);
    let (wall_s, cpu_s) = (to.at_s - from.at_s, to.cpu_s - from.cpu_s);
    let other_s = (to.core_s - from.core_s - cpu_s).max(0.0);
    (wall_s > 0.0).then_some(Span { records: records as f64 * 0.9, wall_s, cpu_s, other_s })
}

struct Moment {
    at_s: f64,
    cpu_s: f64,
    core_s: f64,
}

/// When `target` records had arrived, between the two samples around it.
fn crossing(samples: &[Sample], target: f64) -> Option<Moment> {
    let after = samples.iter().position(|sample| sample.delivered as f64 >= target)?;
    let (a, b) = (&samples[after.saturating_sub(1)], &samples[after]);
    let gained = b.delivered as f64 - a.delivered as f64;
    let share = if gained > 0.0 { (target - a.delivered as f64) / gained } else { 1.0 };
    let between = |a: f64, b: f64| a + (b - a) * share;
    Some(Moment {
        at_s: between(a.at_s, b.at_s),
        cpu_s: between(a.cpu_s, b.cpu_s),
        core_s: between(a.core_s, b.core_s),
    })
}

/// The value at `share` (0 to 1) of the sorted values, between neighbours; `None` without values.
pub fn percentile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = share.clamp(0.0, 1.0) * (sorted.len().checked_sub(1)?) as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    Some(low + (high - low) * place.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at_s: f64, delivered: u64, cpu_s: f64) -> Sample {
        Sample { at_s, delivered, cpu_s, core_s: 100.0 + at_s, rss_bytes: 1 }
    }

    #[test]
    fn the_start_up_is_left_out_and_edges_are_interpolated() {
        // 10 % fall in the middle between 2 s and 3 s; the last record is seen at 11 s, the process lives on.
        let samples = [
            sample(0.0, 0, 0.0),
            sample(2.0, 0, 1.0),
            sample(3.0, 200, 2.0),
            sample(11.0, 1000, 6.0),
            sample(20.0, 1000, 9.0),
        ];
        let span = steady(&samples, 1000).expect("a span");
        assert_eq!((span.records, span.wall_s, span.cpu_s, span.other_s), (900.0, 8.5, 4.5, 4.0));
        assert_eq!(steady(&samples, 1001), None, "not all arrived");
        assert_eq!(steady(&[sample(0.0, 1000, 0.0)], 1000), None, "nothing was seen in between");
    }

    #[test]
    fn percentiles_lie_between_neighbours() {
        let values = [4.0, 1.0, 3.0, 2.0];
        assert_eq!(percentile(&values, 0.5), Some(2.5));
        assert_eq!(percentile(&values, 0.0), Some(1.0));
        assert_eq!(percentile(&values, 1.0), Some(4.0));
        assert_eq!(percentile(&[], 0.5), None);
    }
}
