//! Engine and script on the same work: engine, script, script, engine, and again. Each round holds two pairs in both
//! orders; a round's last run and the next one's first are a pair of equals, which shows what the machine does by itself.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use sluicegate::testbed::generator::{Generator, Scratch, Shape};
use sluicegate::testbed::services::{ElasticsearchClient, KafkaClient, NewRecord};

use crate::history::Line;
use crate::machine::Bench;
use crate::scenario::Scenario;
use crate::sink::{PARTITIONS, Sink};
use crate::stub::Stub;
use crate::subject::{Pipeline, Target};
use crate::{run, script, subject};

/// Who runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// sluicegate.
    Engine,
    /// What it replaces.
    Script,
}

impl Subject {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::Script => "script",
        }
    }
}

/// One round.
const ROUND: [Subject; 4] = [Subject::Engine, Subject::Script, Subject::Script, Subject::Engine];

/// The far side of a scenario.
enum Far {
    Kafka(KafkaClient),
    Stub(Stub),
    Elasticsearch(ElasticsearchClient),
}

/// Runs a scenario for so many rounds.
///
/// # Errors
/// A server cannot be had, or a run failed.
pub fn measure(scenario: Scenario, records: u64, rounds: u32, bench: &Bench) -> anyhow::Result<Vec<Line>> {
    let python = script::python()?;
    let near = KafkaClient::new(bench.servers.near()?);
    let far = match scenario {
        Scenario::Relay | Scenario::Memory => Far::Kafka(KafkaClient::new(bench.servers.far()?)),
        Scenario::IndexStub => Far::Stub(Stub::start()?),
        Scenario::IndexEs => Far::Elasticsearch(ElasticsearchClient::new(bench.servers.search()?)),
    };
    let amount = |subject| match subject {
        Subject::Engine => records,
        Subject::Script => scenario.script_records(records),
    };
    let topic = |subject: Subject| format!("perf-{}-{}", scenario.name(), subject.name());
    for subject in [Subject::Engine, Subject::Script] {
        fill(&near, &topic(subject), amount(subject))?;
    }
    let mut lines = Vec::new();
    for (place, subject) in (0..rounds).flat_map(|_| ROUND).enumerate() {
        let place = u32::try_from(place)?;
        let (records, source) = (amount(subject), topic(subject));
        let name = format!("perf-{}-{:08x}", scenario.name(), fastrand::u32(..));
        let (sink, target) = match &far {
            Far::Kafka(client) => (Sink::topic(client, &name)?, Target::Topic(client.brokers(), &name)),
            Far::Stub(stub) => (Sink::stub(stub), Target::Index(stub.url(), &name)),
            Far::Elasticsearch(client) => {
                (Sink::index(client, &name)?, Target::Index(bench.servers.search()?.endpoint(), &name))
            }
        };
        let pipeline = Pipeline { brokers: near.brokers(), topic: &source, group: &name, target };
        let folder = tempfile::tempdir()?;
        let command = match subject {
            Subject::Engine => {
                let file = folder.path().join("sluicegate.json");
                std::fs::write(&file, subject::configuration(&[pipeline]).to_string())?;
                subject::command(&file)?
            }
            Subject::Script => script::command(&python, &pipeline, records),
        };
        let every = Duration::from_millis(if scenario == Scenario::IndexEs { 250 } else { 50 });
        let observed = run::watch(command, records, every, || sink.delivered())
            .with_context(|| format!("run {place} of the {}", subject.name()))?;
        let verdict = sink.judge(records)?;
        let line = Line::new((scenario, subject.name(), place), (records, verdict), &observed, bench)?;
        eprintln!(
            "{place:>3} {:<7} {:>9.0} records/s {:>8.2} CPU-s/M {:>6.0} MiB  missing {} extra {}  others {:.2}  load {:.1}",
            line.subject,
            line.records_per_second,
            line.cpu_s_per_million,
            line.peak_mib,
            line.missing,
            line.extra,
            line.others,
            line.load
        );
        lines.push(line);
    }
    for subject in [Subject::Engine, Subject::Script] {
        near.delete_topic(&topic(subject))?;
    }
    Ok(lines)
}

/// Makes a topic and fills it with records that each have a key of their own.
///
/// # Errors
/// The cluster refuses.
pub fn fill(client: &KafkaClient, topic: &str, records: u64) -> anyhow::Result<()> {
    let generator = Generator::new(Shape { keys: 0, ..Shape::default() });
    let mut scratch = Scratch::default();
    let started = Instant::now();
    client.create_topic(topic, PARTITIONS, &[])?;
    let produced = (0..records).map(|number| {
        let record = generator.record(number, &mut scratch);
        NewRecord {
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            ..NewRecord::default()
        }
    });
    client.produce(topic, produced)?;
    eprintln!("{records} records in {topic} after {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}
