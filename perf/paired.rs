//! Several subjects on the same work: once in order, once backwards, and again. Each half round gives one pair of any two
//! of them; where a half round ends, two runs of equals meet and show what the machine does by itself.

use std::cell::RefCell;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use sluicegate::testbed::services::{ElasticsearchClient, KafkaClient, RedisClient};

use crate::check::Values;
use crate::history::{Line, round};
use crate::lookups::Watched;
use crate::machine::Bench;
use crate::scenario::Scenario;
use crate::sink::{PARTITIONS, Sink};
use crate::source::Filled;
use crate::stub::Stub;
use crate::subject::{Pipeline, Subject, Target};
use crate::{lookups, process, raw, run, script, subject};

/// The far side of a scenario.
enum Far {
    Nothing,
    Kafka(KafkaClient),
    Stub(Stub),
    Elasticsearch(ElasticsearchClient),
}

/// A scenario under way.
struct Paired<'b> {
    scenario: Scenario,
    bench: &'b Bench,
    near: KafkaClient,
    far: Far,
    /// The script's interpreter and topic, where it takes part.
    script: Option<(std::path::PathBuf, Filled)>,
    source: Filled,
    redis: Option<String>,
}

/// Runs a scenario for so many rounds, fewer when its minutes are over.
///
/// # Errors
/// A server cannot be had, or a run failed.
pub fn measure(scenario: Scenario, records: u64, rounds: u32, bench: &Bench) -> anyhow::Result<Vec<Line>> {
    let started = Instant::now();
    let paired = Paired::prepare(scenario, records, bench)?;
    let subjects = scenario.subjects();
    let half = subjects.len();
    let order = (0..rounds).flat_map(|_| subjects.iter().chain(subjects.iter().rev()));
    let mut lines = Vec::new();
    for (place, subject) in order.enumerate() {
        let over = started.elapsed().as_secs_f64() > scenario.minutes() * 60.0;
        if over && place % (2 * half) == 0 && place > 0 {
            eprintln!("its {} minutes are over after {} rounds", scenario.minutes(), place / (2 * half));
            break;
        }
        let line =
            paired.one(*subject, u32::try_from(place)?).with_context(|| format!("run {place}, {}", subject.name()))?;
        show(&line);
        lines.push(line);
    }
    if let Some((_, filled)) = &paired.script {
        bench.topics.forget(&paired.near, filled)?;
    }
    Ok(lines)
}

/// Says how a run went.
pub fn show(line: &Line) {
    eprintln!(
        "{:>3} {:<14} {:>9.0} records/s {:>8.2} CPU-s/M {:>8.2} all {:>6.0} MiB  missing {} extra {}  others {:.2}  load {:.1}",
        line.place,
        line.subject,
        line.records_per_second,
        line.cpu_s_per_million,
        line.cpu_s_per_million_all,
        line.peak_mib,
        line.missing,
        line.extra,
        line.others,
        line.load
    );
}

impl<'b> Paired<'b> {
    fn prepare(scenario: Scenario, records: u64, bench: &'b Bench) -> anyhow::Result<Self> {
        let near = KafkaClient::new(bench.servers.near()?);
        let far = match scenario {
            Scenario::Consume | Scenario::Outage | Scenario::Scale | Scenario::Latency | Scenario::Concurrency => {
                Far::Nothing
            }
            Scenario::Relay | Scenario::Memory | Scenario::Curves => Far::Kafka(KafkaClient::new(bench.servers.far()?)),
            Scenario::IndexStub | Scenario::Lookups => Far::Stub(Stub::start()?),
            Scenario::IndexEs => Far::Elasticsearch(ElasticsearchClient::new(bench.servers.search()?)),
        };
        let source = bench.topics.get(&near, PARTITIONS, records)?;
        let script = if scenario.subjects().contains(&Subject::Script) {
            Some((script::python()?, bench.topics.get(&near, PARTITIONS, scenario.script_records(records))?))
        } else {
            None
        };
        let redis = if scenario == Scenario::Lookups {
            let service = bench.servers.lookups()?;
            lookups::fill(&mut RedisClient::connect(service)?, records)?;
            Some(service.endpoint().to_owned())
        } else {
            None
        };
        Ok(Self { scenario, bench, near, far, script, source, redis })
    }

    /// One run of one subject.
    fn one(&self, subject: Subject, place: u32) -> anyhow::Result<Line> {
        let name = format!("perf-{}-{:08x}", self.scenario.name(), fastrand::u32(..));
        let source = match (&self.script, subject) {
            (Some((_, filled)), Subject::Script) => filled,
            _ => &self.source,
        };
        let values = if subject == Subject::RawCopy { Values::Whole } else { Values::Result };
        let (sink, target) = match &self.far {
            Far::Nothing => (Sink::nothing(source.sum)?, Target::Topic("", "")),
            Far::Kafka(client) => (Sink::topic(client, &name, values)?, Target::Topic(client.brokers(), &name)),
            Far::Stub(stub) => (Sink::stub(stub), Target::Index(stub.url(), &name)),
            Far::Elasticsearch(client) => {
                (Sink::index(client, &name)?, Target::Index(self.bench.servers.search()?.endpoint(), &name))
            }
        };
        let pipeline = Pipeline { brokers: self.near.brokers(), topic: &source.topic, group: &name, target };
        let folder = tempfile::tempdir()?;
        let watched = self.redis.is_some().then(Watched::new).transpose()?;
        let command = self.command(subject, &pipeline, source.records, folder.path(), &sink, watched.as_ref())?;
        let before = self.server_cpu_s();
        let every = Duration::from_millis(if self.scenario == Scenario::IndexEs { 250 } else { 50 });
        let watched = RefCell::new(watched);
        let delivered = || {
            if let Some(watched) = watched.borrow_mut().as_mut() {
                watched.look();
            }
            sink.delivered()
        };
        let observed = run::watch(command, source.records, every, delivered)?;
        let after = self.server_cpu_s();
        let verdict = sink.judge(source.records)?;
        let named = (self.scenario, subject.name(), place);
        let mut line = Line::new(named, (source.records, verdict), &observed, self.bench)?;
        if let (Some(before), Some(after)) = (before, after) {
            line.figures.insert(SERVER_CPU.to_owned(), round((after - before) / source.records as f64 * 1e6, 2));
        }
        if let Some(watched) = watched.into_inner() {
            line.figures.extend(watched.figures());
        }
        Ok(line)
    }

    fn command(
        &self,
        subject: Subject,
        pipeline: &Pipeline<'_>,
        records: u64,
        folder: &std::path::Path,
        sink: &Sink<'_>,
        watched: Option<&Watched>,
    ) -> anyhow::Result<Command> {
        if let Some(kind) = subject.raw() {
            let mut command = raw::command(kind, &[("records", &records.to_string())])?;
            command.args(["--brokers", pipeline.brokers, "--topic", pipeline.topic, "--group", pipeline.group]);
            match pipeline.target {
                Target::Topic(brokers, topic) => command.args(["--to-brokers", brokers, "--to-topic", topic]),
                Target::Index(url, index) => command.args(["--url", url, "--index", index]),
            };
            if let Sink::Nothing { file, .. } = sink {
                command.arg("--progress").arg(file.path());
            }
            return Ok(command);
        }
        if let (Subject::Script, Some((python, _))) = (subject, &self.script) {
            return Ok(script::command(python, pipeline, records));
        }
        let mut configuration = subject::configuration(&[*pipeline]);
        if let (Some(redis), Some(watched)) = (&self.redis, watched) {
            let key = match subject {
                Subject::WarmLookups => Some("user:{/user}"),
                Subject::ColdLookups => Some("user:{/id}"),
                _ => None,
            };
            if let Some(key) = key {
                configuration = subject::with_lookup(configuration, redis, key, watched.port());
            }
        }
        let file = folder.join("sluicegate.json");
        std::fs::write(&file, configuration.to_string())?;
        subject::command(&file)
    }

    /// CPU seconds of the search server so far, where there is one that was started here.
    fn server_cpu_s(&self) -> Option<f64> {
        let Far::Elasticsearch(_) = &self.far else { return None };
        Some(process::usage(self.bench.servers.search().ok()?.process_id()?)?.cpu_s)
    }
}

/// The figure of the server's CPU in a line.
pub const SERVER_CPU: &str = "server CPU-s/M";
