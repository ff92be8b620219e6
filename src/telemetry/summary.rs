//! What the log says of a pipeline that runs: one line an interval, one line when its state changes. Nothing per
//! record.

use super::board::PipelineView;
use super::health::State;
use super::latency::Stage;
use super::watch::Judgement;

/// Logs the interval's line.
pub fn log_interval(view: &PipelineView, judged: &Judgement) {
    tracing::info!(
        pipeline = &*view.pipeline.name,
        state = judged.state.name(),
        records_per_second = judged.rates.resolved.round(),
        bytes_per_second = judged.rates.bytes.round(),
        lag_records = judged.lag_records,
        open_records = judged.sum.open,
        repeats_per_second = judged.rates.repeats,
        p99_ms = judged.latency[Stage::EndToEnd].p99_ms,
        "{}",
        line(judged)
    );
}

/// Logs a change of state: a warning when the pipeline has trouble, once a change.
pub fn log_change(pipeline: &str, from: State, judged: &Judgement) {
    let (from, to) = (from.name(), judged.state.name());
    let why = judged.why.join("; ");
    match judged.state {
        State::Blocked | State::Failed => tracing::warn!(pipeline, from, to, "{to}: {why}"),
        State::Starting | State::Running | State::CatchingUp | State::Retrying | State::Draining | State::Done => {
            tracing::info!(pipeline, from, to, why, "{to}");
        }
    }
}

/// The interval's line for people.
#[must_use]
pub fn line(judged: &Judgement) -> String {
    let lag = judged.lag_records.map_or_else(|| "unknown".to_owned(), si);
    let p99 = judged.latency[Stage::EndToEnd];
    let p99 = if p99.count == 0 { "-".to_owned() } else { milliseconds(p99.p99_ms) };
    let mut line = format!(
        "{} | {}/s, {}B/s | lag {lag} | open {} | p99 {p99}",
        judged.state.name(),
        si(judged.rates.resolved.round() as u64),
        si(judged.rates.bytes.round() as u64),
        si(judged.sum.open),
    );
    if judged.rates.repeats > 0.0 {
        line.push_str(&format!(" | {:.1} retries/s", judged.rates.repeats));
    }
    if let Some(why) = judged.why.first() {
        line.push_str(&format!(" | {why}"));
    }
    line
}

/// A count with at most three significant digits: `950`, `12.3k`, `4.56M`.
#[must_use]
pub fn si(value: u64) -> String {
    const UNITS: [(f64, &str); 4] = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    let value = value as f64;
    // 999,500 would print as 1000k, so a unit takes over at the value that rounds up to it.
    let unit = UNITS.iter().find(|(size, _)| value >= size * 0.9995);
    unit.map_or_else(|| format!("{value}"), |(size, name)| format!("{}{name}", three_digits(value / size)))
}

/// A duration given in milliseconds with at most three significant digits: `0.25 ms`, `12.3 ms`, `1.5 s`.
#[must_use]
pub fn milliseconds(value: f64) -> String {
    if value >= 999.5 {
        return format!("{} s", three_digits(value / 1e3));
    }
    format!("{} ms", three_digits(value))
}

/// At most three significant digits, without trailing zeros behind the point.
#[must_use]
pub fn three_digits(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        size if size >= 0.9995 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::watch::{Observation, Watch, WatchLimits};
    use std::time::Instant;

    #[test]
    fn numbers_keep_three_digits() {
        let table = [
            (0, "0"),
            (999, "999"),
            (1_000, "1k"),
            (12_345, "12.3k"),
            (999_499, "999k"),
            (999_600, "1M"),
            (4_560_000, "4.56M"),
        ];
        for (value, text) in table {
            assert_eq!(si(value), text);
        }
        for (value, text) in [
            (0.0, "0 ms"),
            (0.25, "0.25 ms"),
            (0.037, "0.037 ms"),
            (12.34, "12.3 ms"),
            (100.0, "100 ms"),
            (1_500.0, "1.5 s"),
            (999.6, "1 s"),
        ] {
            assert_eq!(milliseconds(value), text);
        }
    }

    #[test]
    fn the_line_says_what_is_known_and_why() {
        let mut watch = Watch::new(WatchLimits::default(), 1, 1);
        let seen = Observation { faults: vec!["503 from node a".into()], joined: true, ..Observation::default() };
        let judged = watch.observe(Instant::now(), State::Running, &seen);
        assert_eq!(line(&judged), "blocked | 0/s, 0B/s | lag unknown | open 0 | p99 - | 503 from node a");
    }
}
