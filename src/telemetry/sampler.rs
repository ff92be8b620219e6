//! A time series of a pipeline while it runs: four points a second at first, never more than 1,200 points. When the
//! series is full, neighbours are merged and the step doubles; latencies are merged as histograms, never as
//! percentiles.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use serde::{Deserialize, Serialize};

use super::latency::empty_histogram;
use super::percentiles::{Percentiles, rounded};

/// Points kept: enough for a chart as wide as a screen.
const MOST_POINTS: usize = 1_200;
/// First step; short runs get a smooth curve.
pub const FIRST_STEP: Duration = Duration::from_millis(250);

/// Counters and levels at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Levels {
    /// Records drained so far.
    pub consumed: u64,
    /// Records resolved so far.
    pub resolved: u64,
    /// Bytes drained so far.
    pub bytes: u64,
    /// Records open.
    pub open: u64,
    /// Records behind, when known.
    pub lag: Option<u64>,
    /// Bytes of the budget in use.
    pub budget_bytes: u64,
}

/// One point of the finished series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct SeriesPoint {
    /// Seconds since the start, at the end of the step.
    pub seconds: f64,
    /// Records drained per second in the step.
    pub consumed_per_second: f64,
    /// Records resolved per second in the step.
    pub resolved_per_second: f64,
    /// Bytes drained per second in the step.
    pub bytes_per_second: f64,
    /// Records open at its end.
    pub open_records: u64,
    /// Records behind at its end, when known.
    pub lag_records: Option<u64>,
    /// Bytes of the budget in use at its end.
    pub budget_bytes: u64,
    /// Median of polled → acknowledged in the step; `None` when nothing was acknowledged.
    pub p50_ms: Option<f64>,
    /// 99 %.
    pub p99_ms: Option<f64>,
    /// 99.9 %.
    pub p999_ms: Option<f64>,
}

struct SamplePoint {
    at: Duration,
    levels: Levels,
    /// End-to-end histogram, serialized; a plain one would take 180 KiB a point. Empty: nothing recorded.
    latency: Vec<u8>,
}

/// Collects the series.
pub struct Sampler {
    started: Instant,
    step: Duration,
    points: Vec<SamplePoint>,
    running: Histogram<u64>,
    before: Levels,
    serializer: V2DeflateSerializer,
}

impl Sampler {
    /// A series that starts now, at these levels.
    #[must_use]
    pub fn new(now: Instant, before: Levels) -> Self {
        Self {
            started: now,
            step: FIRST_STEP,
            points: Vec::new(),
            running: empty_histogram(),
            before,
            serializer: V2DeflateSerializer::new(),
        }
    }

    /// Adds a reading and what was recorded of polled → acknowledged since the last one.
    pub fn push(&mut self, now: Instant, levels: Levels, end_to_end: &Histogram<u64>) {
        add(&mut self.running, end_to_end);
        let at = now.saturating_duration_since(self.started);
        let last = self.points.last().map_or(Duration::ZERO, |point| point.at);
        // A tick that comes a little early still closes its step.
        if at.saturating_sub(last) + self.step / 10 >= self.step {
            self.close(at, levels);
        }
    }

    /// The series up to now, its last step possibly shorter.
    #[must_use]
    pub fn finish(mut self, now: Instant, levels: Levels) -> Vec<SeriesPoint> {
        let at = now.saturating_duration_since(self.started);
        let last = self.points.last().map(|point| (point.at, point.levels));
        if last != Some((at, levels)) && at > last.map_or(Duration::ZERO, |(at, _)| at) {
            self.close(at, levels);
        }
        let mut before = (Duration::ZERO, self.before);
        let mut series = Vec::with_capacity(self.points.len());
        for point in &self.points {
            series.push(finished(before, point));
            before = (point.at, point.levels);
        }
        series
    }

    fn close(&mut self, at: Duration, levels: Levels) {
        let latency = pack(&mut self.serializer, &self.running);
        if !self.running.is_empty() {
            self.running.reset();
        }
        self.points.push(SamplePoint { at, levels, latency });
        if self.points.len() >= MOST_POINTS {
            self.halve();
        }
    }

    fn halve(&mut self) {
        let mut halved: Vec<SamplePoint> = Vec::with_capacity(MOST_POINTS);
        let mut pairs = std::mem::take(&mut self.points).into_iter();
        while let Some(first) = pairs.next() {
            let Some(second) = pairs.next() else {
                halved.push(first);
                break;
            };
            let mut merged = unpack(&first.latency);
            add(&mut merged, &unpack(&second.latency));
            let latency = pack(&mut self.serializer, &merged);
            // Counters are cumulative and levels are of the end: the later point's stand for both.
            halved.push(SamplePoint { latency, ..second });
        }
        self.points = halved;
        self.step *= 2;
    }
}

fn pack(serializer: &mut V2DeflateSerializer, histogram: &Histogram<u64>) -> Vec<u8> {
    let mut packed = Vec::new();
    if !histogram.is_empty() && serializer.serialize(histogram, &mut packed).is_err() {
        packed.clear();
    }
    packed
}

fn unpack(packed: &[u8]) -> Histogram<u64> {
    let read = if packed.is_empty() { None } else { Deserializer::new().deserialize(&mut &*packed).ok() };
    read.unwrap_or_else(empty_histogram)
}

fn add(into: &mut Histogram<u64>, from: &Histogram<u64>) {
    if !from.is_empty()
        && let Err(error) = into.add(from)
    {
        tracing::error!("failed to merge latency histograms: {error}");
    }
}

fn finished((begin, before): (Duration, Levels), point: &SamplePoint) -> SeriesPoint {
    let seconds = point.at.saturating_sub(begin).as_secs_f64();
    let rate = |before: u64, after: u64| rounded(after.saturating_sub(before) as f64 / seconds.max(1e-9), 1);
    let histogram = unpack(&point.latency);
    let percentiles = (!histogram.is_empty()).then(|| Percentiles::of(&histogram));
    let levels = point.levels;
    SeriesPoint {
        seconds: rounded(point.at.as_secs_f64(), 3),
        consumed_per_second: rate(before.consumed, levels.consumed),
        resolved_per_second: rate(before.resolved, levels.resolved),
        bytes_per_second: rate(before.bytes, levels.bytes),
        open_records: levels.open,
        lag_records: levels.lag,
        budget_bytes: levels.budget_bytes,
        p50_ms: percentiles.map(|all| all.p50_ms),
        p99_ms: percentiles.map(|all| all.p99_ms),
        p999_ms: percentiles.map(|all| all.p999_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(micros: u64) -> Histogram<u64> {
        let mut histogram = empty_histogram();
        histogram.saturating_record(micros);
        histogram
    }

    fn levels(resolved: u64) -> Levels {
        Levels { consumed: resolved + 1, resolved, bytes: resolved * 10, open: 1, ..Levels::default() }
    }

    #[test]
    fn rates_are_of_the_step_and_latencies_of_what_was_acknowledged_in_it() {
        let start = Instant::now();
        let mut sampler = Sampler::new(start, Levels::default());
        sampler.push(start + Duration::from_millis(100), levels(10), &recorded(1_000));
        sampler.push(start + Duration::from_millis(250), levels(100), &recorded(3_000));
        sampler.push(start + Duration::from_millis(500), levels(100), &empty_histogram());
        let series = sampler.finish(start + Duration::from_millis(600), levels(300));
        assert_eq!(series.iter().map(|point| point.seconds).collect::<Vec<_>>(), [0.25, 0.5, 0.6]);
        assert_eq!(
            series.iter().map(|point| point.resolved_per_second.round()).collect::<Vec<_>>(),
            [400.0, 0.0, 2_000.0]
        );
        assert_eq!((series[0].p50_ms.map(f64::round), series[0].p99_ms.map(f64::round)), (Some(1.0), Some(3.0)));
        assert_eq!((series[1].p50_ms, series[2].p999_ms), (None, None));
    }

    #[test]
    fn a_long_run_keeps_its_totals_in_a_bounded_series() {
        let start = Instant::now();
        let mut sampler = Sampler::new(start, Levels::default());
        let ticks = 6_000_u64;
        for tick in 1..=ticks {
            sampler.push(start + FIRST_STEP * tick as u32, levels(tick * 5), &recorded(tick));
        }
        let recorded_values: u64 = sampler.points.iter().map(|point| unpack(&point.latency).len()).sum();
        assert_eq!(recorded_values + sampler.running.len(), ticks, "no latency is lost by halving");
        let series = sampler.finish(start + FIRST_STEP * ticks as u32, levels(ticks * 5));
        assert!((MOST_POINTS / 4..MOST_POINTS).contains(&series.len()), "{}", series.len());
        assert!(series.windows(2).all(|pair| pair[0].seconds < pair[1].seconds));
        assert!(series.iter().all(|point| (point.resolved_per_second - 20.0).abs() < 0.01), "steady stays steady");
    }
}
