//! Several subjects on the same work: once in order, once backwards, and again. Each half round gives one pair of any
//! two of them; where a half round ends, two runs of equals meet and show what the machine does by itself.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use sluicegate_testkit::services::{ElasticsearchClient, KafkaClient, RedisClient};

use crate::expected::Values;
use crate::history::{Line, round};
use crate::lookups::Watched;
use crate::machine::Bench;
use crate::peers::{self, Peer};
use crate::raw::replay;
use crate::run::Ending;
use crate::scenario::Scenario;
use crate::sink::{PARTITIONS, Sink};
use crate::source::Filled;
use crate::stub::{Kind, Stub};
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
    /// The script's interpreter, where it takes part.
    python: Option<PathBuf>,
    source: Filled,
    /// Topics of those that get other numbers of records.
    others: Vec<(Subject, Filled)>,
    redis: Option<String>,
}

/// Runs a scenario for so many rounds, fewer when its minutes are over.
///
/// # Errors
/// A server cannot be had, or a run failed.
pub fn measure(scenario: Scenario, records: u64, rounds: u32, bench: &Bench) -> anyhow::Result<Vec<Line>> {
    let started = Instant::now();
    let paired = Paired::prepare(scenario, records, bench)?;
    let is_here = |subject: &Subject| match subject {
        Subject::Peer(peer) => bench.peers.ready.contains_key(peer),
        _ => true,
    };
    let subjects: Vec<Subject> = scenario.subjects().iter().copied().filter(is_here).collect();
    let half = subjects.len();
    // The servers are slow until their code is compiled, which only the first subject would pay for.
    let warm_up = subjects.iter().find(|subject| **subject == Subject::Engine).or(subjects.first());
    if let Some(subject) = warm_up {
        paired.one(*subject, 0).context("the run that warms the servers up")?;
    }
    let order = (0..rounds).flat_map(|_| subjects.iter().chain(subjects.iter().rev()));
    let (mut lines, mut left_out) = (Vec::new(), BTreeMap::new());
    for (place, subject) in order.enumerate() {
        let over = started.elapsed().as_secs_f64() > scenario.minutes() * 60.0;
        if over && place % (2 * half) == 0 && place > 0 {
            eprintln!("its {} minutes are over after {} rounds", scenario.minutes(), place / (2 * half));
            break;
        }
        if peer(*subject).is_some_and(|peer| left_out.contains_key(&peer)) {
            continue;
        }
        let line = match (subject, paired.one(*subject, u32::try_from(place)?)) {
            (_, Ok(line)) => line,
            (Subject::Peer(peer), Err(error)) => {
                eprintln!("run {place}: {} is left out from here: {error:#}", peer.name());
                left_out.insert(*peer, format!("its run failed: {}", error.root_cause()));
                continue;
            }
            (_, Err(error)) => return Err(error.context(format!("run {place}, {}", subject.name()))),
        };
        show(&line);
        lines.push(line);
    }
    for (_, filled) in &paired.others {
        bench.topics.forget(&paired.near, filled)?;
    }
    left_out.extend(bench.peers.left_out.iter().map(|(peer, why)| (*peer, why.clone())));
    note_left_out(scenario, &mut lines, &left_out);
    Ok(lines)
}

/// A peer without all of its runs leaves none behind, so that half rounds stay comparable, and the session says why.
fn note_left_out(scenario: Scenario, lines: &mut Vec<Line>, left_out: &BTreeMap<Peer, String>) {
    lines.retain(|line| !left_out.keys().any(|peer| peer.name() == line.subject));
    let Some(first) = lines.first_mut() else { return };
    for (peer, why) in left_out.iter().filter(|(peer, _)| peer.goal(scenario).is_some()) {
        first.notes.insert(format!("{LEFT_OUT}{}", peer.name()), why.clone());
    }
}

/// Says how a run went.
pub fn show(line: &Line) {
    eprintln!(
        "{:>3} {:<14} {:>9.0} records/s {:>8.2} CPU-s/M {:>8.2} all {:>6.0} MiB  missing {} extra {} changed {}  \
         others {:.2}  load {:.1}",
        line.place,
        line.subject,
        line.records_per_second,
        line.cpu_s_per_million,
        line.cpu_s_per_million_all,
        line.peak_mib,
        line.missing,
        line.extra,
        line.changed,
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
            Scenario::Relay | Scenario::PeersKafka | Scenario::Memory | Scenario::Curves => {
                Far::Kafka(KafkaClient::new(bench.servers.far()?))
            }
            Scenario::PeersBulk => Far::Stub(Stub::start(Kind::Comparing)?),
            Scenario::IndexStub | Scenario::Lookups => Far::Stub(Stub::start(Kind::Counting)?),
            Scenario::IndexEs => Far::Elasticsearch(ElasticsearchClient::new(bench.servers.search()?)),
        };
        let source = bench.topics.get(&near, PARTITIONS, records)?;
        let python = scenario.subjects().contains(&Subject::Script).then(script::python).transpose()?;
        let mut others = Vec::new();
        for subject in scenario.subjects() {
            let fewer = match subject {
                Subject::Script => scenario.script_records(records),
                Subject::Peer(peer) if bench.peers.ready.contains_key(peer) => peer.records(records),
                _ => records,
            };
            if fewer != records {
                others.push((*subject, bench.topics.get(&near, PARTITIONS, fewer)?));
            }
        }
        let redis = if scenario == Scenario::Lookups {
            let service = bench.servers.lookups()?;
            lookups::fill(&mut RedisClient::connect(service)?, records)?;
            Some(service.endpoint().to_owned())
        } else {
            None
        };
        Ok(Self { scenario, bench, near, far, python, source, others, redis })
    }

    /// One run of one subject.
    fn one(&self, subject: Subject, place: u32) -> anyhow::Result<Line> {
        let name = format!("perf-{}-{:08x}", self.scenario.name(), fastrand::u32(..));
        let source = self.others.iter().find(|(one, _)| *one == subject).map_or(&self.source, |(_, filled)| filled);
        let (values, topic, ending) = match subject {
            Subject::Peer(peer) => (peer.values(), peers::target_topic(peer, &name, &source.topic), Ending::WhenAsked),
            Subject::RawCopy => (Values::Whole, name.clone(), Ending::ByItself),
            _ => (Values::Result, name.clone(), Ending::ByItself),
        };
        let (sink, target) = match &self.far {
            Far::Nothing => (Sink::nothing(source.sum)?, Target::Topic("", "")),
            Far::Kafka(client) => (Sink::topic(client, &topic, values)?, Target::Topic(client.brokers(), &topic)),
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
        let observed = run::watch_so(command, source.records, every, (run::PATIENCE, ending), delivered)?;
        let after = self.server_cpu_s();
        let verdict = sink.judge(source.records)?;
        if let (Subject::Peer(peer), Far::Kafka(client)) = (subject, &self.far) {
            // Of a cluster that was given: one that was started here ends with its topics.
            peers::litter(peer, &name).iter().for_each(|topic| drop(client.delete_topic(topic)));
        }
        let named = (self.scenario, subject.name(), place);
        let mut line = Line::new(named, (source.records, verdict), &observed, self.bench)?;
        if let (Some(before), Some(after)) = (before, after) {
            line.figures.insert(SERVER_CPU.to_owned(), round((after - before) / source.records as f64 * 1e6, 2));
        }
        if let Some(ready) = peer(subject).and_then(|peer| self.bench.peers.ready.get(&peer)) {
            line.notes.insert(VERSION.to_owned(), ready.version.clone());
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
        folder: &Path,
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
        if let (Subject::Script, Some(python)) = (subject, &self.python) {
            return Ok(script::command(python, pipeline, records));
        }
        if let Some(peer) = peer(subject) {
            let ready = self.bench.peers.ready.get(&peer).context("a peer that was left out")?;
            return peers::command(peer, ready, pipeline, folder);
        }
        let mut configuration = subject::configuration(&[*pipeline]);
        if self.scenario == Scenario::PeersBulk {
            configuration = subject::as_peers_write(configuration);
        }
        if self.scenario == Scenario::IndexEs {
            // The question is about equals: finding the number by itself is another scenario's.
            configuration = subject::with_fixed_requests(configuration, replay::LANES);
        }
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

fn peer(subject: Subject) -> Option<Peer> {
    match subject {
        Subject::Peer(peer) => Some(peer),
        _ => None,
    }
}

/// The note of a program's version in a line.
pub const VERSION: &str = "version";
/// How the note of a peer that was left out begins; its name follows.
pub const LEFT_OUT: &str = "left out: ";
/// The figure of the server's CPU in a line.
pub const SERVER_CPU: &str = "server CPU-s/M";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::fixtures::line;

    #[test]
    fn a_peer_that_was_left_out_leaves_no_run_and_a_reason() {
        let mut lines = vec![
            line("peers-bulk", "bento", 0, 1.0, 1.0),
            line("peers-bulk", "engine", 1, 1.0, 1.0),
            line("peers-bulk", "rsyslog", 2, 1.0, 1.0),
        ];
        let left_out = [(Peer::Bento, "there is no Go".to_owned()), (Peer::Mirror, "no Maven".to_owned())].into();
        note_left_out(Scenario::PeersBulk, &mut lines, &left_out);
        let subjects: Vec<&str> = lines.iter().map(|line| line.subject.as_str()).collect();
        assert_eq!(subjects, ["engine", "rsyslog"]);
        assert_eq!(lines[0].notes, [("left out: bento".to_owned(), "there is no Go".to_owned())].into());
    }
}
