//! What the engine is soaked on: two real Kafka clusters, real Redis, the bulk endpoint, one feed, and a checker at the
//! end of each pipeline.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use sluicegate::internals::testbed::bulk_endpoint::{
    BulkEndpoint, EndpointEvent, EndpointOptions, EndpointVersion, EndpointWatch,
};
use sluicegate::internals::testbed::feeder::{FeedHooks, FeedPlan, Feeder};
use sluicegate::internals::testbed::generator::{Generator, LoadShape};
use sluicegate::internals::testbed::tap::Tap;
use sluicegate_testkit::checker::stream::StreamChecker;
use sluicegate_testkit::checker::{Incident, Taken, Verdict};
use sluicegate_testkit::commit_watch::{CommitWatch, now_us};
use sluicegate_testkit::services::kafka::{self, KafkaOptions};
use sluicegate_testkit::services::{KafkaClient, RedisClient, Service, redis};

use sluicegate_testkit::faults::journal::record_in;

/// The input topic, which both pipelines read, and the output topic.
const TOPIC: &str = "events";
const CLEAN: &str = "events-clean";
/// Of both topics.
const PARTITIONS: i32 = 4;
/// Size of a value, distinct keys, users of the look-up.
const VALUE_BYTES: usize = 300;
const KEYS: u64 = 50_000;
const USERS: u64 = 10_000;
/// What a partition keeps: far more than may be undelivered. (A feeder that is this far ahead waits.)
const INPUT_KEPT: &str = "1073741824";
const OUTPUT_KEPT: &str = "536870912";
const WINDOW_BYTES: usize = 256 << 20;
/// Parts in which a broker removes what is too much, and how often.
const SEGMENT: &str = "67108864";
const BROKER: [(&str, &str); 2] =
    [("log.retention.check.interval.ms", "15000"), ("log.segment.delete.delay.ms", "5000")];
/// What was committed this long ago is forgotten by the checkers.
const KEEP_US: u64 = 30_000_000;

/// The end of one pipeline.
pub struct Side {
    /// The pipeline's name, and its group's.
    pub name: &'static str,
    /// What it commits.
    pub commits: CommitWatch,
    /// Records acknowledged, as counted by the book.
    pub acknowledged: AtomicU64,
    checker: Mutex<StreamChecker>,
}

impl Side {
    /// An incident as it counts here: of a topic nobody knows whether an answer arrived.
    pub fn judged(&self, incident: Incident) -> Incident {
        if self.name == "relay" { incident } else { incident.with_known_answers() }
    }

    fn start(name: &'static str, brokers: &str) -> anyhow::Result<Arc<Self>> {
        let commits = CommitWatch::start(brokers, name, TOPIC, PARTITIONS)?;
        let checker = Mutex::new(StreamChecker::new(PARTITIONS as usize, KEYS as usize, KEEP_US));
        Ok(Arc::new(Self { name, commits, acknowledged: AtomicU64::new(0), checker }))
    }

    /// Its checker.
    pub fn checker(&self) -> MutexGuard<'_, StreamChecker> {
        self.checker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn committed(&self) -> i64 {
        let positions = self.commits.positions();
        (0..PARTITIONS).map(|partition| positions.of(partition)).sum()
    }
}

/// When each record was meant to be produced.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    first: u64,
    begin_us: u64,
    rate: f64,
}

impl Pace {
    /// The moment of this record, where it is one of these.
    pub fn due_us(&self, record: u64) -> Option<u64> {
        let after = record.checked_sub(self.first)? as f64 / self.rate * 1e6;
        Some(self.begin_us + after as u64)
    }
}

/// What no checker counts.
#[derive(Default)]
struct Odd {
    /// Documents without what the look-up knows, or with what it does not.
    lookups: AtomicU64,
    /// Records of the output nobody could read any more.
    unread: AtomicU64,
}

/// Servers, feed and checkers.
pub struct Ground {
    /// The source's cluster.
    pub upstream: Service,
    /// The output's cluster.
    pub downstream: Service,
    /// Redis.
    pub redis: Service,
    /// The bulk endpoint.
    pub endpoint: BulkEndpoint,
    /// Both pipelines' ends: relay, index.
    pub sides: Vec<Arc<Side>>,
    /// Of the feed that is running.
    pub pace: Option<Pace>,
    generator: Arc<Generator>,
    feeder: Option<Feeder>,
    fed: u64,
    odd: Arc<Odd>,
    tap: Option<Tap>,
}

impl Ground {
    /// Starts all of it; nothing is fed yet.
    ///
    /// # Errors
    /// Something cannot be started.
    pub fn start(seed: u64) -> anyhow::Result<Self> {
        let properties = BROKER.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let options = KafkaOptions { properties, ..KafkaOptions::default() };
        let (upstream, downstream) = (kafka::start(&options)?, kafka::start(&options)?);
        let kept = [("segment.bytes", SEGMENT), ("retention.bytes", INPUT_KEPT)];
        KafkaClient::new(&upstream).create_topic(TOPIC, PARTITIONS as u16, &kept)?;
        let kept = [
            ("segment.bytes", SEGMENT),
            ("retention.bytes", OUTPUT_KEPT),
            // The broker's own time: a record has one when it is written, never before.
            ("message.timestamp.type", "LogAppendTime"),
        ];
        KafkaClient::new(&downstream).create_topic(CLEAN, PARTITIONS as u16, &kept)?;
        let shape = LoadShape { seed, value_bytes: VALUE_BYTES, keys: KEYS, users: USERS, ..LoadShape::default() };
        let generator = Arc::new(Generator::new(shape));
        let redis = filled(&generator)?;
        let relay = Side::start("relay", upstream.endpoint())?;
        let index = Side::start("index", upstream.endpoint())?;
        let odd = Arc::new(Odd::default());
        let tap = tap(downstream.endpoint(), relay.clone(), odd.clone())?;
        let endpoint = endpoint(index.clone(), odd.clone())?;
        Ok(Self {
            upstream,
            downstream,
            redis,
            endpoint,
            sides: vec![relay, index],
            pace: None,
            generator,
            feeder: None,
            fed: 0,
            odd,
            tap: Some(tap),
        })
    }

    /// The engine's configuration, as a user would write it.
    pub fn configuration(&self) -> Value {
        let source = |group: &str| json!({ "kafka": { "connection": "upstream", "topics": [TOPIC], "group": group, "session_timeout": "10s" } });
        let retry = json!({ "first": "100ms", "max": "2s", "in_place": "60s" });
        let lookup = json!({ "lookup": { "redis": "lookups", "key": "user:{/user}", "fields": ["name", "tier"],
            "into": "/user_info", "cache": { "ttl": "5s", "miss_ttl": "5s" } } });
        json!({
            "version": 1,
            "connections": {
                "kafka": { "upstream": { "brokers": [self.upstream.endpoint()] },
                           "downstream": { "brokers": [self.downstream.endpoint()] } },
                "elasticsearch": { "search": { "nodes": [self.endpoint.url()], "request_timeout": "5s" } },
                "redis": { "lookups": { "url": self.redis.endpoint(), "timeout": "500ms" } },
            },
            "telemetry": { "listen": "127.0.0.1:0" },
            "pipelines": {
                "relay": {
                    "source": source("relay"), "steps": [{ "select": "/result" }], "on_reject": "stop", "retry": retry,
                    "sink": { "kafka": { "connection": "downstream", "topic": CLEAN } },
                },
                "index": {
                    "source": source("index"), "steps": [{ "select": "/result" }, lookup], "on_reject": "stop",
                    "retry": retry,
                    "sink": { "elasticsearch": { "connection": "search", "index": "items", "type": "itmes", "id": "{/id}",
                        "action": "upsert" } },
                },
            },
        })
    }

    /// Feeds on from where the last feed ended: an open loop at this rate, or flat out.
    ///
    /// # Errors
    /// The feeder cannot be started.
    pub fn feed(&mut self, rate: Option<f64>) -> anyhow::Result<()> {
        ensure!(self.feeder.is_none(), "fed already");
        // A broker that is killed may take its time on a busy machine.
        let properties = [("message.timeout.ms".to_owned(), "600000".into())].into();
        let plan = FeedPlan {
            first: self.fed,
            window_bytes: if rate.is_some() { WINDOW_BYTES } else { 8 << 20 },
            rate,
            patience: Duration::from_secs(300),
            properties,
            ..FeedPlan::new(TOPIC, PARTITIONS, u64::MAX)
        };
        let positions = self.sides.iter().map(|side| side.commits.positions()).collect::<Vec<_>>();
        let (sides, generator) = (self.sides.clone(), self.generator.clone());
        let hooks = FeedHooks {
            consumed: Box::new(move |partition| positions.iter().map(|one| one.of(partition)).min()),
            announce: Box::new(move |record, partition| {
                let key = generator.key_number(record.index) as u32;
                sides.iter().for_each(|side| side.checker().fed(key, partition as u32));
            }),
        };
        self.feeder = Some(Feeder::start(self.upstream.endpoint(), self.generator.clone(), plan, hooks)?);
        self.pace = rate.map(|rate| Pace { first: self.fed, begin_us: now_us(), rate });
        Ok(())
    }

    /// Stops feeding and waits until everything is in the topic: as many records as were fed, in their places.
    ///
    /// # Errors
    /// The feeder failed, or the topic holds something else.
    pub fn stop_feeding(&mut self) -> anyhow::Result<()> {
        let Some(feeder) = self.feeder.take() else { return Ok(()) };
        feeder.finish();
        let fed = feeder.join()?;
        self.fed += fed.records;
        for side in &self.sides {
            let ends = side.checker().ends();
            ensure!(ends == fed.ends, "the input ends at {:?}, and {ends:?} were fed", fed.ends);
        }
        Ok(())
    }

    /// # Errors
    /// The feeder has ended by itself.
    pub fn check_feeder(&mut self) -> anyhow::Result<()> {
        if self.feeder.as_ref().is_some_and(Feeder::is_finished) {
            self.stop_feeding().context("the feeder")?;
            bail!("the feeder ended by itself");
        }
        Ok(())
    }

    /// Records acknowledged by each pipeline.
    pub fn acknowledged(&self) -> Vec<u64> {
        self.sides.iter().map(|side| side.acknowledged.load(Ordering::Acquire)).collect()
    }

    /// Sum of positions committed by each pipeline.
    pub fn committed(&self) -> Vec<i64> {
        self.sides.iter().map(|side| side.committed()).collect()
    }

    /// Everything fed is committed.
    pub fn is_drained(&self) -> bool {
        self.committed().iter().all(|committed| *committed >= self.fed as i64)
    }

    /// Everything fed was seen by the checkers.
    pub fn is_read_back(&self) -> bool {
        self.sides.iter().all(|side| side.checker().unresolved() == 0)
    }

    /// How far everybody is, for a message.
    pub fn positions(&self) -> String {
        let unresolved: Vec<u64> = self.sides.iter().map(|side| side.checker().unresolved()).collect();
        format!("fed {}, committed {:?}, not acknowledged {unresolved:?}", self.fed, self.committed())
    }

    /// Something that may repeat records of both pipelines has happened.
    pub fn incident(&self, incident: Incident) {
        self.sides.iter().for_each(|side| side.checker().incident(incident));
    }

    /// Stops everything and judges both pipelines.
    pub fn finish(mut self) -> Vec<(&'static str, Verdict)> {
        self.feeder = None;
        drop(self.tap.take());
        let odd = [
            (0, &self.odd.unread, "records of the output were removed before they were read"),
            (1, &self.odd.lookups, "documents were not as the look-up says"),
        ];
        let mut verdicts: Vec<(&'static str, Verdict)> = Vec::new();
        for side in &self.sides {
            let checker = std::mem::replace(&mut *side.checker(), StreamChecker::new(0, 0, 0));
            verdicts.push((side.name, checker.finish()));
        }
        for (at, count, what) in odd {
            let count = count.load(Ordering::Acquire);
            if count > 0 {
                verdicts[at].1.foreign += count;
                verdicts[at].1.samples.push(format!("{count} {what}"));
            }
        }
        verdicts
    }
}

fn filled(generator: &Generator) -> anyhow::Result<Service> {
    let server = redis::start()?;
    let users: Vec<_> = generator.users().collect();
    let mut client = RedisClient::connect(&server)?;
    for some in users.chunks(500) {
        client.pipeline(some.iter().map(|user| vec!["HSET", &user.key, "name", &user.name, "tier", user.tier]))?;
    }
    Ok(server)
}

fn tap(brokers: &str, relay: Arc<Side>, odd: Arc<Odd>) -> anyhow::Result<Tap> {
    let next: Vec<AtomicI64> = (0..PARTITIONS).map(|_| AtomicI64::new(0)).collect();
    let see = move |read: &sluicegate::internals::testbed::tap::Tapped<'_>| {
        let expected = next[read.partition() as usize].swap(read.offset() + 1, Ordering::AcqRel);
        if read.offset() != expected {
            odd.unread.fetch_add(read.offset().abs_diff(expected), Ordering::AcqRel);
        }
        let at_us = u64::try_from(read.timestamp_ms().unwrap_or(0)).unwrap_or(0) * 1_000;
        let number = read.value().and_then(record_in).unwrap_or(u64::MAX);
        relay.checker().stored(number, at_us);
    };
    Ok(Tap::start(brokers, CLEAN, PARTITIONS, see)?)
}

fn endpoint(index: Arc<Side>, odd: Arc<Odd>) -> anyhow::Result<BulkEndpoint> {
    let watch = EndpointWatch::new(move |heard| match heard {
        EndpointEvent::Worked(request, items) => {
            let wrong = items.iter().filter(|item| !is_looked_up(item.body)).count();
            odd.lookups.fetch_add(wrong as u64, Ordering::AcqRel);
            let mut checker = index.checker();
            let at_us = now_us();
            for item in *items {
                let taken = if (200..300).contains(&item.status) { Taken::Applied } else { Taken::Refused };
                checker.seen(record_in(item.body).unwrap_or(u64::MAX), taken, at_us, *request);
            }
        }
        EndpointEvent::Telling(request) => index.checker().told(*request, now_us()),
    });
    let options = EndpointOptions {
        version: EndpointVersion::Elasticsearch(6),
        store: false,
        watch: Some(watch),
        ..EndpointOptions::default()
    };
    Ok(BulkEndpoint::start(options)?)
}

/// Whether a document says of its user what Redis knows: every tenth user is unknown there.
fn is_looked_up(body: &[u8]) -> bool {
    const USER: &[u8] = br#""user":"u-"#;
    let Some(at) = memchr::memmem::find(body, USER) else { return false };
    let last = body.get(at + USER.len() + 5);
    let has_more = memchr::memmem::find(body, br#""user_info":{"#).is_some();
    last.is_some_and(|digit| (*digit == b'9') != has_more)
}
