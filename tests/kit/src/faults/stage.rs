//! What a scenario plays on: input, engine, far side, and the handles to break them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::checker::{Cause, Committed, Logs, Owed};
use crate::commit_watch::{CommitWatch, now_us};
use crate::fault_proxy::{FaultProxy, Line};
use crate::services::{ElasticsearchClient, KafkaClient, RedisClient, Service, ServiceError, redis};
use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use sluicegate::internals::testbed::bulk_endpoint::{BulkEndpoint, EndpointOptions, ScriptedFault};
use sluicegate::internals::testbed::feeder::{FeedHooks, FeedPlan, Feeder};
use sluicegate::internals::testbed::generator::{Generator, LoadShape, Poison};
use sluicegate::internals::testbed::kafka::MockKafka;
use sluicegate::internals::testbed::tap::Tap;

use super::engine::{Engine, Program, let_pass, until};
use super::journal::{Journal, requested, stored};

/// The input topic of scenarios with an in-process cluster.
pub const TOPIC: &str = "events";
/// The topic of dead letters.
pub const LETTERS: &str = "dead";
/// The consumer group.
pub const GROUP: &str = "faults";
/// The index.
pub const INDEX: &str = "items";
/// Of the input topic, and of the output topic.
pub const PARTITIONS: i32 = 4;
/// Longest wait for anything in a scenario.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Offsets of an input topic that was made again are counted from here.
const ANEW: i64 = 1_000_000_000_000;
/// Number of the first record that is fed beside the others.
const EXTRA: u64 = 1_000_000_000;
/// Brokers of the in-process cluster.
const BROKERS: i32 = 3;

/// What a scenario needs beside the defaults.
#[derive(Debug, Clone, Default)]
pub struct Wants {
    /// A look-up in a real Redis.
    pub redis: bool,
    /// Dead letters of a pipeline between real servers, without poison.
    pub letters: bool,
    /// Poison among the records: every n-th.
    pub poison_every: u64,
    /// External versions, so that older writes are refused.
    pub versioned: bool,
    /// The far side decides over ordinary records too.
    pub either: bool,
    /// How many items the steps make of a record, and with `jq`; 0: none.
    pub items: u64,
    /// Static membership.
    pub instance: bool,
    /// Letters go to this file in the run's folder.
    pub letter_file: Option<&'static str>,
    /// The input and the far side are real servers.
    pub real: Option<Far>,
}

impl Wants {
    fn has_letters(&self) -> bool {
        self.letters || self.poison_every > 0
    }
}

/// The far side on real servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Far {
    /// A topic of another Kafka cluster.
    Topic,
    /// An index of Elasticsearch 6.8.2.
    Index,
    /// A topic for each key, of the input's cluster; the last one is not made.
    Named,
    /// The bulk endpoint in this process: only the source is real.
    Stub,
}

/// Keys where each has a topic.
pub const NAMES: u64 = 8;

/// The topic of a key.
pub fn named(target: &str, key: u64) -> String {
    format!("{target}-k-{key:010}")
}

/// Real servers, shared by the scenarios of one process. Those that break them play one at a time.
pub struct Real {
    /// The cluster of the input.
    pub upstream: Service,
    /// The cluster of the output and Elasticsearch 6.8.2, where scenarios want them.
    pub far: Option<FarServers>,
}

/// Servers of the far side.
pub struct FarServers {
    /// The cluster of the output.
    pub downstream: Service,
    /// Elasticsearch 6.8.2.
    pub search: Service,
}

impl Real {
    /// The servers of the far side.
    ///
    /// # Errors
    /// They were not started.
    pub fn far(&self) -> anyhow::Result<&FarServers> {
        self.far.as_ref().context("servers of the far side")
    }

    /// What each server has logged since it was first started, by its place.
    pub fn logs(&self) -> Vec<(&'static str, String)> {
        let far = self.far.iter().flat_map(|far| [("downstream", far.downstream.log()), ("search", far.search.log())]);
        std::iter::once(("upstream", self.upstream.log())).chain(far).collect()
    }
}

/// A Redis and the line to it.
pub struct Lookups {
    /// The server.
    pub server: Service,
    /// The line.
    pub line: FaultProxy,
}

/// Everything of one run.
pub struct Stage {
    /// Every random moment follows from it.
    pub random: fastrand::Rng,
    /// The engine's configuration; changes count from the next start.
    pub plan: Value,
    /// The in-process cluster, unless the source is real.
    pub mock: Option<MockKafka>,
    /// Real servers, where wanted.
    pub real: Option<Arc<Real>>,
    /// The bulk endpoint.
    pub endpoint: BulkEndpoint,
    /// The line to it.
    pub line: FaultProxy,
    /// Redis, where wanted.
    pub lookups: Option<Lookups>,
    /// Engines now running.
    pub engines: Vec<Engine>,
    /// What is written down.
    pub journal: Journal,
    /// The input topic.
    pub topic: String,
    /// The consumer group.
    pub group: String,
    /// The output topic or index on real servers.
    pub target: String,
    /// Moments a fault ended.
    pub ends: Vec<u64>,
    /// Partitions whose end is not reached by committing: the engine halts on purpose.
    pub halts: bool,
    /// Kills of a scenario that kills.
    pub kills_wanted: u64,
    /// Kills so far.
    pub kills: u64,
    /// What every engine logged so far.
    pub logs: String,
    /// Largest resident memory of any engine, in bytes.
    pub peak_bytes: u64,
    /// Files of this run; removed with it.
    pub folder: tempfile::TempDir,
    wants: Wants,
    program: Program,
    started: u32,
    feeder: Option<Feeder>,
    generator: Arc<Generator>,
    extra: u64,
    commits: CommitWatch,
    /// What the input topic was before it was made again: its commits, and what is added to the offsets of the new one.
    before: Vec<Committed>,
    base: i64,
    /// The commits of partitions that came later, with the first of these.
    added: Option<(CommitWatch, i32)>,
    taps: Vec<Tap>,
}

impl Stage {
    /// Servers, topics, feeder and taps; no engine yet.
    ///
    /// # Errors
    /// Something cannot be started.
    pub fn build(program: &Program, wants: &Wants, real: Option<Arc<Real>>, seed: u64) -> anyhow::Result<Self> {
        let real = if wants.real.is_some() { Some(real.context("real servers")?) } else { None };
        let suffix = format!("{seed}-{:06x}", fastrand::u32(..0x0100_0000));
        let (topic, group, target) = match &real {
            Some(_) => (format!("{TOPIC}-{suffix}"), format!("{GROUP}-{suffix}"), format!("{INDEX}-{suffix}")),
            None => (TOPIC.to_owned(), GROUP.to_owned(), INDEX.to_owned()),
        };
        let (mock, brokers) = match &real {
            None => {
                let mock = MockKafka::start_with_brokers(BROKERS, &[(TOPIC, PARTITIONS), (LETTERS, 1)])?;
                let brokers = mock.brokers().to_owned();
                (Some(mock), brokers)
            }
            Some(real) => {
                make_targets(real, wants.real, &topic, &target)?;
                (None, real.upstream.endpoint().to_owned())
            }
        };
        let endpoint = BulkEndpoint::start(EndpointOptions { log: true, ..EndpointOptions::default() })?;
        let line = FaultProxy::start(SocketAddr::from(([127, 0, 0, 1], endpoint.port())))?;
        let generator = Arc::new(Generator::new(shape(seed, wants)));
        let lookups = if wants.redis { Some(Lookups::start(&generator)?) } else { None };
        let journal = Journal::of_items(wants.items);
        let letters = if real.is_some() { format!("{target}-{LETTERS}") } else { LETTERS.to_owned() };
        let mut taps = vec![{
            let journal = journal.clone();
            Tap::start(&brokers, &topic, PARTITIONS, move |read| journal.input(read))?
        }];
        if wants.letter_file.is_none() && (real.is_none() || wants.has_letters()) {
            let journal = journal.clone();
            taps.push(Tap::start(&brokers, &letters, 1, move |read| journal.letter(read))?);
        }
        let commits = CommitWatch::start(&brokers, &group, &topic, PARTITIONS)?;
        let feeder = feed((&brokers, &topic), (program.rate, 0), &generator, &journal, &commits, wants)?;
        let folder = tempfile::Builder::new().prefix("sluicegate-faults-").tempdir()?;
        let mut stage = Self {
            random: fastrand::Rng::with_seed(seed),
            plan: Value::Null,
            mock,
            real,
            endpoint,
            line,
            lookups,
            engines: Vec::new(),
            journal,
            topic,
            group,
            target,
            ends: Vec::new(),
            halts: false,
            kills_wanted: super::kills::KILLS_A_RUN,
            kills: 0,
            logs: String::new(),
            peak_bytes: 0,
            folder,
            wants: wants.clone(),
            program: program.clone(),
            started: 0,
            feeder: Some(feeder),
            generator,
            extra: 0,
            commits,
            before: Vec::new(),
            base: 0,
            added: None,
            taps,
        };
        stage.plan = stage.configuration(&brokers, &letters)?;
        Ok(stage)
    }

    /// The configuration as a user would write it, with short times.
    fn configuration(&self, brokers: &str, letters: &str) -> anyhow::Result<Value> {
        let list: Vec<&str> = brokers.split(',').collect();
        let mut source = json!({ "connection": "upstream", "topics": [self.topic], "group": self.group,
                                 "session_timeout": "6s" });
        if self.wants.instance {
            source["instance_id"] = json!("one");
        }
        let mut root = json!({
            "version": 1,
            "connections": {
                "kafka": { "upstream": { "brokers": list, "librdkafka": {
                    "fetch.wait.max.ms": "20", "reconnect.backoff.max.ms": "1000" } } },
            },
            "telemetry": { "listen": "127.0.0.1:0" },
            "limits": { "memory": "64MiB" },
            "startup": { "timeout": "60s" },
            "shutdown": { "timeout": "30s" },
        });
        let mut pipeline = json!({
            "source": { "kafka": source },
            "steps": [{ "select": "/result" }],
            "retry": { "first": "100ms", "max": "2s", "in_place": "20s" },
            "commit": { "interval": "100ms" },
            "on_reject": { "dead_letter": match self.wants.letter_file {
                Some(file) => json!({ "file": { "path": file } }),
                None => json!({ "kafka": { "connection": "upstream", "topic": letters } }),
            } },
        });
        if let Some(lookups) = &self.lookups {
            let url = format!("redis://{}", lookups.line.address());
            root["connections"]["redis"] = json!({ "lookups": { "url": url, "timeout": "500ms" } });
            let step = json!({ "lookup": { "redis": "lookups", "key": "user:{/user}", "fields": ["name", "tier"],
                "into": "/user_info", "cache": { "ttl": "200ms", "miss_ttl": "200ms" } } });
            pipeline["steps"] = json!([{ "select": "/result" }, step]);
        }
        if self.wants.items > 0 {
            pipeline["steps"] = item_steps(self.wants.items);
            pipeline["breaker"] = json!({ "ratio": 0.9, "window": 1000, "in_a_row": 100 });
        }
        match (self.wants.real, &self.real) {
            (Some(Far::Topic), Some(real)) => {
                let list: Vec<&str> = real.far()?.downstream.endpoint().split(',').collect();
                root["connections"]["kafka"]["downstream"] = json!({ "brokers": list });
                pipeline["sink"] = json!({ "kafka": { "connection": "downstream", "topic": self.target } });
                if !self.wants.has_letters() {
                    pipeline["on_reject"] = json!("stop");
                }
            }
            (Some(Far::Named), Some(_)) => {
                // One that is there, until the scenario lets records name theirs.
                let topic = named(&self.target, 0);
                pipeline["sink"] = json!({ "kafka": { "connection": "upstream", "topic": topic } });
                if !self.wants.has_letters() {
                    pipeline["on_reject"] = json!("stop");
                }
            }
            (Some(Far::Index), Some(real)) => {
                root["connections"]["elasticsearch"] = nodes(real.far()?.search.endpoint());
                pipeline["sink"] = self.search_sink();
                pipeline["on_reject"] = json!("stop");
            }
            (Some(Far::Stub) | None, _) | (_, None) => {
                root["connections"]["elasticsearch"] = nodes(&format!("http://{}", self.line.address()));
                pipeline["sink"] = self.search_sink();
                if self.wants.real.is_some() && !self.wants.has_letters() {
                    pipeline["on_reject"] = json!("stop");
                }
            }
        }
        root["pipelines"] = json!({ "index": pipeline });
        Ok(root)
    }

    fn search_sink(&self) -> Value {
        let id = if self.wants.items > 0 { "{/id}-{/part}" } else { "{/id}" };
        let mut sink = json!({ "connection": "search", "index": self.target, "type": "itmes", "id": id,
            "action": "upsert", "batch": { "records": 500, "linger": "20ms" }, "lanes": 4 });
        if self.wants.versioned {
            sink["action"] = json!("index");
            sink["version"] = json!("offset");
        }
        json!({ "elasticsearch": sink })
    }

    /// The pipeline's part of the configuration.
    pub fn pipeline(&mut self) -> &mut Value {
        &mut self.plan["pipelines"]["index"]
    }

    /// Engines started from now on find this in their environment.
    pub fn environment(&mut self, given: &[(&str, &std::path::Path)]) {
        let given = given.iter().map(|(name, value)| ((*name).into(), value.as_os_str().to_owned()));
        self.program.environment.extend(given);
    }

    /// Starts an engine with the configuration as it is now.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&mut self) -> anyhow::Result<()> {
        let name = format!("engine-{}", self.started);
        self.started += 1;
        self.engines.push(Engine::start(&self.program, self.folder.path(), &name, &self.plan)?);
        Ok(())
    }

    /// The engine, where there is one.
    ///
    /// # Errors
    /// None runs.
    pub fn engine(&mut self) -> anyhow::Result<&mut Engine> {
        self.engines.last_mut().context("no engine runs")
    }

    /// Sum of all committed positions.
    pub fn committed(&self) -> i64 {
        (0..self.partitions()).map(|partition| self.position(partition)).sum()
    }

    /// Partitions of the input topic.
    fn partitions(&self) -> i32 {
        self.added.as_ref().map_or(PARTITIONS, |(_, first)| 2 * *first)
    }

    /// The committed position of a partition.
    pub fn position(&self, partition: i32) -> i64 {
        let watch =
            self.added.as_ref().filter(|(_, first)| partition >= *first).map_or(&self.commits, |(watch, _)| watch);
        self.base + watch.positions().of(partition)
    }

    /// Waits until something more is committed than now.
    ///
    /// # Errors
    /// Nothing was, for [`PATIENCE`]; or an engine has ended.
    pub fn await_progress(&mut self) -> anyhow::Result<()> {
        let before = self.committed();
        self.until("something is committed", |stage| Ok(stage.committed() > before))
    }

    /// Waits until `done`.
    ///
    /// # Errors
    /// Not within [`PATIENCE`], with what the engines said last; or an engine has ended.
    pub fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> anyhow::Result<bool>) -> anyhow::Result<()> {
        let waited = until(what, PATIENCE, || {
            let is_done = done(self)?;
            if !is_done {
                for engine in &mut self.engines {
                    if let Some(code) = engine.ended()? {
                        bail!("an engine ended with {code} while waiting: {what}");
                    }
                }
            }
            Ok(is_done)
        });
        waited.with_context(|| self.engines.iter().map(Engine::tail).collect::<Vec<_>>().join("\n--\n"))
    }

    /// Lets between `least` and `most` milliseconds pass, as the seed says.
    pub fn linger(&mut self, least: u64, most: u64) {
        let time = self.random.u64(least..=most);
        let_pass(Duration::from_millis(time));
    }

    /// Kills the last engine with signal 9.
    ///
    /// # Errors
    /// There is none.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        let from = now_us();
        let mut engine = self.engines.pop().context("no engine to kill")?;
        self.peak_bytes = self.peak_bytes.max(engine.peak_bytes());
        engine.kill9()?;
        self.logs.push_str(&engine.log());
        self.journal.incident(Cause::Kill, from, now_us(), None);
        self.kills += 1;
        Ok(())
    }

    /// Asks the first engine to drain and waits for its end; returns its exit code. Anything but 0 may repeat records.
    ///
    /// # Errors
    /// There is none, or it did not end.
    pub fn terminate(&mut self) -> anyhow::Result<i32> {
        if self.engines.is_empty() {
            bail!("no engine to stop");
        }
        let from = now_us();
        let mut engine = self.engines.remove(0);
        self.peak_bytes = self.peak_bytes.max(engine.peak_bytes());
        engine.signal("TERM")?;
        let code = engine.wait(PATIENCE)?;
        self.logs.push_str(&engine.log());
        if code != 0 {
            self.journal.incident(Cause::Kill, from, now_us(), None);
        }
        Ok(code)
    }

    /// Asks the engine that was started last to drain, and waits for its end. A signal that comes before it listens to
    /// any ends it too.
    ///
    /// # Errors
    /// There is none, or it did not end.
    pub fn terminate_last(&mut self) -> anyhow::Result<()> {
        let mut engine = self.engines.pop().context("no engine to stop")?;
        self.peak_bytes = self.peak_bytes.max(engine.peak_bytes());
        engine.signal("TERM")?;
        engine.wait(PATIENCE)?;
        self.logs.push_str(&engine.log());
        Ok(())
    }

    /// Waits until the first engine has ended of its own accord; returns its exit code.
    ///
    /// # Errors
    /// There is none, or it goes on.
    pub fn ended_by_itself(&mut self) -> anyhow::Result<i32> {
        let from = now_us();
        if self.engines.is_empty() {
            bail!("no engine runs");
        }
        let mut engine = self.engines.remove(0);
        let end = std::time::Instant::now() + PATIENCE;
        let code = loop {
            // Its memory is gone once it has ended.
            self.peak_bytes = self.peak_bytes.max(engine.peak_bytes());
            if let Some(code) = engine.ended()? {
                break code;
            }
            if std::time::Instant::now() >= end {
                bail!("the engine did not end by itself\n{}", engine.tail());
            }
            let_pass(Duration::from_millis(5));
        };
        self.logs.push_str(&engine.log());
        self.journal.incident(Cause::Kill, from, now_us(), None);
        Ok(code)
    }

    /// The line to the endpoint behaves so while `during` goes on, then passes again.
    ///
    /// # Errors
    /// Those of `during`.
    pub fn broken_line(
        &mut self,
        line: Line,
        during: impl FnOnce(&mut Self) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let from = now_us();
        self.line.set(line);
        let done = during(self);
        self.line.set(Line::Pass);
        self.journal.incident(Cause::Line, from, now_us(), None);
        done
    }

    /// Every bulk request meets this fault while `during` goes on.
    ///
    /// # Errors
    /// Those of `during`.
    pub fn faulty_search(
        &mut self,
        fault: ScriptedFault,
        during: impl FnOnce(&mut Self) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.endpoint.always(Some(fault));
        let done = during(self);
        self.endpoint.always(None);
        done
    }

    /// A fault is over as of now: recovery is measured from here.
    pub fn healed(&mut self) {
        self.ends.push(now_us());
    }

    /// Feeds `records` more, numbered from `first`, each with a value of `value_bytes`, all owed a dead letter.
    ///
    /// # Errors
    /// They cannot be fed.
    pub fn feed_oversized(&mut self, first: u64, records: u64, value_bytes: usize) -> anyhow::Result<()> {
        let brokers = self.real.as_ref().context("a real source")?.upstream.endpoint().to_owned();
        let shape = LoadShape { value_bytes, ..shape(1, &self.wants) };
        let plan = FeedPlan { first, window_bytes: usize::MAX, ..FeedPlan::new(&self.topic, PARTITIONS, records) };
        let journal = self.journal.clone();
        let hooks = FeedHooks {
            consumed: Box::new(|_| None),
            announce: Box::new(move |record, _| journal.feed(record, Some(Owed::Letter))),
        };
        self.extra += Feeder::start(&brokers, Arc::new(Generator::new(shape)), plan, hooks)?.join()?.records;
        Ok(())
    }

    /// Everything fed is committed; then the input topic is deleted and made again, and fed on.
    ///
    /// # Errors
    /// It is not committed in time, or the cluster refuses.
    pub fn make_topic_again(&mut self) -> anyhow::Result<()> {
        self.stop_feeding()?;
        self.drain()?;
        let brokers = self.real.as_ref().context("a real source")?.upstream.endpoint().to_owned();
        let client = KafkaClient::at(&brokers);
        self.before.extend(self.commits.seen());
        self.taps.remove(0);
        self.base = ANEW;
        client.delete_topic(&self.topic)?;
        self.journal.begin_anew(self.base);
        client.create_topic(&self.topic, PARTITIONS as u16, &[])?;
        self.commits = CommitWatch::start(&brokers, &self.group, &self.topic, PARTITIONS)?;
        let journal = self.journal.clone();
        self.taps.insert(0, Tap::start(&brokers, &self.topic, PARTITIONS, move |read| journal.input(read))?);
        let (rate, first) = (self.program.rate, self.extra);
        let place = (brokers.as_str(), self.topic.as_str());
        self.feeder = Some(feed(place, (rate, first), &self.generator, &self.journal, &self.commits, &self.wants)?);
        Ok(())
    }

    /// The input topic gets twice its partitions, and `records` more records with keys of their own over all of them.
    ///
    /// # Errors
    /// The cluster refuses, or they cannot be fed.
    pub fn add_partitions(&mut self, records: u64) -> anyhow::Result<()> {
        let brokers = self.real.as_ref().context("a real source")?.upstream.endpoint().to_owned();
        let all = 2 * PARTITIONS;
        KafkaClient::at(&brokers).add_partitions(&self.topic, all as u16)?;
        self.added = Some((CommitWatch::start(&brokers, &self.group, &self.topic, all)?, PARTITIONS));
        let journal = self.journal.clone();
        self.taps.push(Tap::of_some(&brokers, &self.topic, PARTITIONS..all, move |read| journal.input(read))?);
        let shape = LoadShape { keys: 0, ..shape(1, &self.wants) };
        let plan = FeedPlan { first: EXTRA, window_bytes: usize::MAX, ..FeedPlan::new(&self.topic, all, records) };
        let journal = self.journal.clone();
        let hooks =
            FeedHooks { consumed: Box::new(|_| None), announce: Box::new(move |record, _| journal.feed(record, None)) };
        self.extra += Feeder::start(&brokers, Arc::new(Generator::new(shape)), plan, hooks)?.join()?.records;
        Ok(())
    }

    /// Stops feeding and waits until all of it lies in the input topic and was read back.
    ///
    /// # Errors
    /// The feeder failed, or reading back takes too long.
    pub fn stop_feeding(&mut self) -> anyhow::Result<()> {
        let feeder = self.feeder.take().context("fed to the end already")?;
        feeder.finish();
        let fed = feeder.join()?.records + self.extra;
        self.extra = fed;
        let journal = self.journal.clone();
        let read = || Ok(journal.records() >= fed);
        until("the input is read back", PATIENCE, read).with_context(|| format!("{} of {fed}", journal.records()))
    }

    /// Waits until everything is committed.
    ///
    /// # Errors
    /// It was not, for [`PATIENCE`].
    pub fn drain(&mut self) -> anyhow::Result<()> {
        let state = |stage: &Self| -> Vec<(i64, i64)> {
            (0..stage.partitions()).map(|p| (stage.position(p), stage.journal.end(p))).collect()
        };
        let all = |stage: &mut Self| Ok(state(stage).iter().all(|(committed, end)| committed >= end));
        let drained = self.until("everything is committed", all);
        drained.with_context(|| format!("committed, end: {:?}", state(self)))
    }

    /// All logs of the run, for the checker.
    ///
    /// # Errors
    /// The far side cannot be read.
    pub fn collect(&mut self) -> anyhow::Result<Logs> {
        for engine in &self.engines {
            self.logs.push_str(&engine.log());
        }
        let knows_answers = !matches!(self.wants.real, Some(Far::Topic | Far::Named));
        self.journal.engine_log(&self.logs, knows_answers);
        if let Some(file) = self.wants.letter_file {
            let lines = std::fs::read_to_string(self.folder.path().join(file)).unwrap_or_default();
            self.journal.letter_lines(&lines);
        }
        let (mut input, letters, incidents) = self.journal.take();
        let mut sightings = match (self.wants.real, &self.real) {
            (Some(Far::Topic), Some(real)) => {
                KafkaClient::new(&real.far()?.downstream).read_all(&self.target)?.iter().map(stored).collect()
            }
            (Some(Far::Named), Some(real)) => {
                let client = KafkaClient::new(&real.upstream);
                let topics = (0..NAMES).map(|key| client.read_all(&named(&self.target, key)));
                let records = topics.collect::<Result<Vec<_>, _>>()?.concat();
                records.iter().map(stored).collect()
            }
            (Some(Far::Index), Some(real)) => super::real_faults::documents(real, &self.target)?,
            (Some(Far::Stub) | None, _) | (_, None) => {
                let log = self.endpoint.log();
                log.iter().map(|entry| requested(entry, self.wants.versioned, self.wants.items)).collect::<Vec<_>>()
            }
        };
        sightings.extend(letters);
        if self.halts {
            // What was never committed is owed to nobody yet.
            let open: Vec<u64> =
                input.iter().filter(|one| one.offset >= self.position(one.partition)).map(|one| one.record).collect();
            let open: std::collections::HashSet<u64> = open.into_iter().collect();
            input.retain(|one| !open.contains(&one.record));
            sightings.retain(|one| !open.contains(&one.record));
        }
        let versioned = self.wants.versioned;
        let base = self.base;
        let mut committed = self.before.clone();
        committed.extend(self.commits.seen().into_iter().map(|one| Committed { next: one.next + base, ..one }));
        if let Some((watch, first)) = &self.added {
            committed.extend(watch.seen().into_iter().filter(|one| one.partition >= *first));
        }
        Ok(Logs { input, sightings, committed, incidents, versioned })
    }
}

impl Lookups {
    fn start(generator: &Generator) -> anyhow::Result<Self> {
        let server = redis::start()?;
        let users: Vec<_> = generator.users().collect();
        let mut client = RedisClient::connect(&server)?;
        for some in users.chunks(500) {
            client.pipeline(some.iter().map(|user| vec!["HSET", &user.key, "name", &user.name, "tier", user.tier]))?;
        }
        client.command(&["SAVE"])?;
        let address = server.endpoint().trim_start_matches("redis://").parse()?;
        Ok(Self { server, line: FaultProxy::start(address)? })
    }
}

/// Makes items that show their number, and rejects the second of some records.
fn item_steps(items: u64) -> Value {
    let parts: Vec<Value> = (0..items).map(|_| json!({})).collect();
    json!([
        { "select": "/result" },
        { "set": { "/parts": parts } },
        { "explode": { "from": "/parts", "with": ["/id", "/seq"], "index_into": "/part" } },
        { "jq": "select(.part >= 0) | .twice = .part * 2" },
        { "where": { "otherwise": "reject",
            "all": [{ "any": [{ "field": "/part", "not_equals": 1 }, { "field": "/id", "matches": "[0-7]$$" }] }] } },
    ])
}

fn nodes(url: &str) -> Value {
    json!({ "search": { "nodes": [url], "request_timeout": "5s" } })
}

fn shape(seed: u64, wants: &Wants) -> LoadShape {
    // On the real server a document is all that is left of its writes: each record has its own.
    let keys = match wants.real {
        Some(Far::Index) => 0,
        Some(Far::Named) => NAMES,
        Some(Far::Topic | Far::Stub) | None => 400,
    };
    let poison = match wants.poison_every {
        0 => Vec::new(),
        // One kind alone: everything is bad in the same way.
        1 => vec![Poison::ResultMissing],
        _ => Poison::for_mock(),
    };
    LoadShape {
        seed,
        value_bytes: 300,
        keys,
        users: 300,
        headers: true,
        poison_every: wants.poison_every,
        poison,
        ..LoadShape::default()
    }
}

fn make_targets(real: &Real, far: Option<Far>, topic: &str, target: &str) -> anyhow::Result<()> {
    let upstream = KafkaClient::new(&real.upstream);
    upstream.create_topic(topic, PARTITIONS as u16, &[])?;
    upstream.create_topic(&format!("{target}-{LETTERS}"), 1, &[])?;
    match far {
        Some(Far::Topic) => {
            // The broker's own time: a record has one when it is written, never before.
            let settings = [("message.timestamp.type", "LogAppendTime"), ("max.message.bytes", "20000")];
            KafkaClient::new(&real.far()?.downstream).create_topic(target, PARTITIONS as u16, &settings)?;
        }
        Some(Far::Named) => (0..NAMES - 1).try_for_each(|key| make_named(&upstream, target, key))?,
        Some(Far::Index) => {
            let body =
                r#"{"settings":{"number_of_shards":1,"number_of_replicas":0},"mappings":{"itmes":{"dynamic":false}}}"#;
            ElasticsearchClient::new(&real.far()?.search).create_index(target, body)?;
        }
        Some(Far::Stub) | None => {}
    }
    Ok(())
}

/// Makes the topic of a key.
///
/// # Errors
/// The cluster refuses.
pub fn make_named(client: &KafkaClient, target: &str, key: u64) -> Result<(), ServiceError> {
    client.create_topic(&named(target, key), 1, &[("message.timestamp.type", "LogAppendTime")])
}

fn feed(
    (brokers, topic): (&str, &str),
    (rate, first): (f64, u64),
    generator: &Arc<Generator>,
    journal: &Journal,
    commits: &CommitWatch,
    wants: &Wants,
) -> anyhow::Result<Feeder> {
    // The usual window, also where the broker keeps everything: a backlog of minutes would be a test of something else.
    let plan = FeedPlan {
        first,
        rate: Some(rate),
        patience: Duration::from_secs(300),
        ..FeedPlan::new(topic, PARTITIONS, u64::MAX)
    };
    let (positions, journal) = (commits.positions(), journal.clone());
    let owed = wants.either.then_some(Owed::Either);
    let hooks = FeedHooks {
        consumed: Box::new(move |partition| Some(positions.of(partition))),
        announce: Box::new(move |record, _| journal.feed(record, owed)),
    };
    Ok(Feeder::start(brokers, generator.clone(), plan, hooks)?)
}
