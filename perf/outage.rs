//! The sink goes away while a backlog waits, and comes back.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::json;
use sluicegate_testkit::services::KafkaClient;

use crate::history::{Line, round};
use crate::machine::Bench;
use crate::run::{self, Ending, Observed};
use crate::scenario::Scenario;
use crate::sink::{PARTITIONS, Sink};
use crate::statistics::Sample;
use crate::stub::{Kind, Stub};
use crate::subject::{self, Pipeline, Subject, Target};

/// Outages from here on run with the defaults of every setting.
const LONG: Duration = Duration::from_secs(300);
/// How often the endpoint is looked at.
const EVERY: Duration = Duration::from_millis(50);

/// Seconds from the sink's return to the first delivery.
pub const FIRST: &str = "first delivery, s";
/// The rate after the return against the rate before the outage.
pub const CATCH_UP: &str = "catch-up";

/// Runs the engine on `records` records with a sink that is away for `outage` after a quarter of them.
///
/// # Errors
/// A server cannot be had, or the run failed.
pub fn measure(records: u64, outage: Duration, bench: &Bench) -> anyhow::Result<Vec<Line>> {
    let near = KafkaClient::new(bench.servers.near()?);
    let source = bench.topics.get(&near, PARTITIONS, records)?;
    let stub = Stub::start(Kind::Counting)?;
    let sink = Sink::stub(&stub);
    let group = format!("perf-outage-{:08x}", fastrand::u32(..));
    let target = Target::Index(stub.url(), "items");
    let pipeline = Pipeline { brokers: near.brokers(), topic: &source.topic, group: &group, target };
    let mut configuration = subject::configuration(&[pipeline]);
    if outage < LONG {
        configuration["connections"]["elasticsearch"]["search"]["request_timeout"] = json!("4s");
        configuration["pipelines"]["index"]["retry"] = json!({ "in_place": "10s" });
    }
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("sluicegate.json");
    std::fs::write(&file, configuration.to_string())?;
    let (started, away) = (Instant::now(), Cell::new(Away::default()));
    let delivered = || {
        let items = sink.delivered()?;
        let at = started.elapsed();
        let mut now = away.get();
        if now.from.is_none() && items >= records / 4 {
            stub.set_down(true)?;
            now.from = Some(at);
        } else if now.until.is_none() && now.from.is_some_and(|from| at - from >= outage) {
            now.items = items;
            now.until = Some(at);
            stub.set_down(false)?;
        }
        away.set(now);
        Ok(items)
    };
    let patience = outage + Duration::from_secs(120);
    let so = (patience, Ending::ByItself);
    let observed = run::watch_so(subject::command(&file)?, records, EVERY, so, delivered)?;
    let mut verdict = sink.judge(records)?;
    // What was acknowledged behind an unresolved record is sent again after a rewind, so ids cannot be summed up; that
    // nothing is missing shows in what the group has committed.
    let ends = near.offsets(&source.topic)?;
    let committed = near.committed(&group, &source.topic)?;
    let open = ends.iter().zip(&committed).map(|((_, end), committed)| end - committed.unwrap_or(0).min(*end));
    verdict.missing = verdict.missing.max(open.sum::<i64>().unsigned_abs());
    let mut line = Line::new((Scenario::Outage, Subject::Engine.name(), 0), (records, verdict), &observed, bench)?;
    let figures = figures(&observed, away.get(), records).context("the sink was not away")?;
    line.figures.insert("outage, s".to_owned(), outage.as_secs_f64());
    // Too few records for two samples before the outage leave no rate to compare with.
    let known = figures.into_iter().filter(|(_, value)| value.is_finite());
    line.figures.extend(known.map(|(name, value)| (name.to_owned(), round(value, 2))));
    Ok(vec![line])
}

/// When the sink was away, since the start, and what it had taken when it came back.
#[derive(Debug, Clone, Copy, Default)]
struct Away {
    from: Option<Duration>,
    until: Option<Duration>,
    items: u64,
}

/// What the samples tell. The rate before is that between a tenth of the records and the outage; the rate after is that
/// from the first delivery to the last.
fn figures(observed: &Observed, away: Away, records: u64) -> Option<[(&'static str, f64); 3]> {
    let (from, until) = (away.from?.as_secs_f64(), away.until?.as_secs_f64());
    let samples = &observed.samples;
    let reached = |items: u64| samples.iter().find(move |sample| sample.delivered >= items);
    let (tenth, down) = (reached(records / 10)?, samples.iter().rfind(|sample| sample.at_s <= from)?);
    let first = samples.iter().find(|sample| sample.at_s > until && sample.delivered > away.items)?;
    let last = reached(records)?;
    let rate = |a: &Sample, b: &Sample| (b.delivered - a.delivered) as f64 / (b.at_s - a.at_s).max(f64::MIN_POSITIVE);
    let largest =
        samples.iter().filter(|sample| sample.at_s >= from && sample.at_s <= until).map(|s| s.rss_bytes).max()?;
    let catch_up = rate(first, last) / rate(tenth, down);
    Some([
        (FIRST, first.at_s - until),
        (CATCH_UP, catch_up),
        ("resident while away, MiB", largest as f64 / 1_048_576.0),
    ])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_return_is_measured_from_when_the_sink_was_back() {
        let sample = |at_s: f64, delivered| Sample { at_s, delivered, cpu_s: 0.0, core_s: 0.0, rss_bytes: 10 << 20 };
        let samples = vec![
            sample(0.0, 0),
            sample(1.0, 100),
            sample(2.0, 250),
            sample(9.0, 260),
            sample(12.0, 260),
            sample(13.0, 300),
            sample(20.0, 1_000),
        ];
        let observed = Observed { samples, peak_bytes: 0, threads: BTreeMap::new(), allocations: None };
        let away = Away { from: Some(Duration::from_secs(2)), until: Some(Duration::from_secs(12)), items: 260 };
        let [first, catch_up, resident] = figures(&observed, away, 1_000).expect("figures");
        assert_eq!((first.1, resident.1), (1.0, 10.0));
        // 100 a second after, 150 before.
        assert!((catch_up.1 - 100.0 / 150.0).abs() < 1e-9);
        assert!(figures(&observed, Away::default(), 1_000).is_none());
    }
}
