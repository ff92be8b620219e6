//! Both pipelines in one process, many records, and its resident memory all the way.

use std::time::Duration;

use sluicegate_testkit::services::KafkaClient;

use crate::check::Verdict;
use crate::expected::Values;
use crate::history::Line;
use crate::machine::Bench;
use crate::run::{self, Observed};
use crate::scenario::Scenario;
use crate::sink::{PARTITIONS, Sink};
use crate::stub::{Kind, Stub};
use crate::subject::{self, Pipeline, Subject, Target};

/// Steps of the curve.
const STEPS: u64 = 20;
const MIB: f64 = 1_048_576.0;

/// Sends `records` records, half of them through each pipeline.
///
/// # Errors
/// A server cannot be had, or the run failed.
pub fn measure(records: u64, bench: &Bench) -> anyhow::Result<Vec<Line>> {
    let (near, far) = (KafkaClient::new(bench.servers.near()?), KafkaClient::new(bench.servers.far()?));
    let stub = Stub::start(Kind::Counting)?;
    let half = records / 2;
    let output = format!("perf-memory-{:08x}", fastrand::u32(..));
    let filled = bench.topics.get(&near, PARTITIONS, half)?;
    let source = filled.topic.as_str();
    let (topic, index) = (Sink::topic(&far, &output, Values::Result)?, Sink::stub(&stub));
    let (relay, into_index) = (format!("{output}-relay"), format!("{output}-index"));
    let pipelines = [
        Pipeline {
            brokers: near.brokers(),
            topic: source,
            group: &relay,
            target: Target::Topic(far.brokers(), &output),
        },
        Pipeline {
            brokers: near.brokers(),
            topic: source,
            group: &into_index,
            target: Target::Index(stub.url(), "items"),
        },
    ];
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("sluicegate.json");
    std::fs::write(&file, subject::configuration(&pipelines).to_string())?;
    let delivered = || Ok(topic.delivered()? + index.delivered()?);
    let observed = run::watch(subject::command(&file)?, half * 2, Duration::from_millis(100), delivered)?;
    let (by_topic, by_index) = (topic.judge(half)?, index.judge(half)?);
    bench.topics.forget(&near, &filled)?;
    let verdict = Verdict {
        missing: by_topic.missing + by_index.missing,
        extra: by_topic.extra + by_index.extra,
        changed: by_topic.changed + by_index.changed,
    };
    let mut line = Line::new((Scenario::Memory, Subject::Engine.name(), 0), (half * 2, verdict), &observed, bench)?;
    line.resident_mib = curve(&observed, half * 2);
    Ok(vec![line])
}

/// The largest resident set within each twentieth of the records.
fn curve(observed: &Observed, records: u64) -> Vec<f64> {
    let step = |sample: &crate::statistics::Sample| sample.delivered * STEPS / records.max(1);
    let largest = |at: u64| {
        let inside = observed.samples.iter().filter(|sample| step(sample).min(STEPS - 1) == at && sample.rss_bytes > 0);
        inside.map(|sample| sample.rss_bytes).max()
    };
    (0..STEPS).filter_map(largest).map(|bytes| (bytes as f64 / MIB).round()).collect()
}
