//! The feeding thread: paces, waits for room, produces, and waits for the last delivery report.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::{ClientConfig, ClientContext};
use secrecy::{ExposeSecret, SecretString};

use crate::librdkafka::{Bootstrap, name_again_to};
use crate::testbed::generator::{Generated, Generator, GeneratorScratch};

use super::window::FeedWindow;
use super::{Fed, FeedError, FeedHooks, FeedPlan, FeederShared};

/// Shortest pause of an open loop: a system call a record would be most of its cost. Records that are late by it carry
/// the moment they were meant for all the same.
const SHORTEST_PAUSE: Duration = Duration::from_micros(500);
/// Longest pause before reports are served and the end of the feeding is looked for.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);
const PAUSE: Duration = Duration::from_millis(1);
/// Records between two looks at delivery reports.
const REPORTS_EVERY: u64 = 256;
const WATERMARKS_TIMEOUT: Duration = Duration::from_secs(10);
const WATERMARKS_PAUSE: Duration = Duration::from_millis(50);

/// The feeding thread's own.
pub(super) struct Feeding {
    producer: BaseProducer<Reports>,
    brokers: Brokers,
    plan: FeedPlan,
    hooks: FeedHooks,
    windows: Vec<FeedWindow>,
    shared: Arc<FeederShared>,
    fed: Fed,
}

impl Feeding {
    /// Makes the producer and asks where each partition ends.
    pub(super) fn open(
        brokers: &str,
        plan: FeedPlan,
        hooks: FeedHooks,
        shared: Arc<FeederShared>,
    ) -> Result<Self, FeedError> {
        let refused = |source| FeedError::Kafka { topic: plan.topic.clone(), source };
        let producer = producer(brokers, &plan.properties, shared.clone()).map_err(refused)?;
        let mut windows = Vec::new();
        for partition in 0..plan.partitions {
            let end = end_of(&producer, &plan.topic, partition).map_err(refused)?;
            windows.push(FeedWindow::new(plan.window_bytes, end));
        }
        Ok(Self {
            producer,
            brokers: Brokers { servers: brokers.to_owned(), bootstrap: Bootstrap::default(), heard: 0 },
            plan,
            hooks,
            windows,
            shared,
            fed: Fed::default(),
        })
    }

    pub(super) fn run(mut self, generator: &Generator) -> Result<Fed, FeedError> {
        let mut scratch = GeneratorScratch::default();
        let started = (Instant::now(), SystemTime::now());
        self.fed.by_partition = vec![0; self.windows.len()];
        while self.fed.records < self.plan.records && !self.shared.finish.load(Ordering::Acquire) {
            let due = self.pace(started);
            let record = generator.record(self.plan.first + self.fed.records, &mut scratch);
            let partition = Generator::partition(&record, self.plan.partitions);
            self.wait_for_room(partition, record.len())?;
            (self.hooks.announce)(&record, partition);
            self.produce(&record, partition, due)?;
            self.count(&record, partition);
            if self.fed.records.is_multiple_of(REPORTS_EVERY) {
                self.serve_reports()?;
            }
        }
        self.drain()?;
        for partition in 0..self.plan.partitions {
            let end = end_of(&self.producer, &self.plan.topic, partition);
            let end = end.map_err(|source| FeedError::Kafka { topic: self.plan.topic.clone(), source })?;
            self.fed.ends.push(end);
        }
        Ok(self.fed)
    }

    /// In an open loop: waits for the intended moment of the next record and returns it.
    fn pace(&self, (started, started_wall): (Instant, SystemTime)) -> Option<SystemTime> {
        let rate = self.plan.rate.filter(|rate| *rate > 0.0)?;
        let after = Duration::from_secs_f64(self.fed.records as f64 / rate);
        while !self.shared.finish.load(Ordering::Acquire) {
            let wait = (started + after).saturating_duration_since(Instant::now());
            if wait.is_zero() {
                break;
            }
            self.producer.poll(Duration::ZERO);
            std::thread::park_timeout(wait.clamp(SHORTEST_PAUSE, LONGEST_PAUSE));
        }
        Some(started_wall + after)
    }

    fn wait_for_room(&mut self, partition: i32, bytes: usize) -> Result<(), FeedError> {
        let Some(window) = self.windows.get_mut(partition.unsigned_abs() as usize) else { return Ok(()) };
        if window.has_room(bytes) {
            return Ok(());
        }
        let mut since = Instant::now();
        loop {
            if let Some(position) = (self.hooks.consumed)(partition)
                && window.consumed(position)
            {
                since = Instant::now();
            }
            if window.has_room(bytes) || self.shared.finish.load(Ordering::Acquire) {
                return Ok(());
            }
            if since.elapsed() > self.plan.patience {
                return Err(FeedError::Stalled {
                    topic: self.plan.topic.clone(),
                    partition,
                    unconsumed: window.unconsumed(),
                    position: window.position(),
                    patience: self.plan.patience,
                });
            }
            self.producer.poll(Duration::ZERO);
            std::thread::park_timeout(PAUSE);
        }
    }

    fn produce(&mut self, record: &Generated<'_>, partition: i32, due: Option<SystemTime>) -> Result<(), FeedError> {
        let Self { producer, plan, shared, brokers, .. } = self;
        let mut message: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&plan.topic).partition(partition);
        message.key = record.key;
        message.payload = record.value;
        // The intended moment, not the actual one: else a stall would leave out the very records that waited.
        message.timestamp = due
            .and_then(|due| due.duration_since(UNIX_EPOCH).ok())
            .and_then(|since| i64::try_from(since.as_millis()).ok());
        message.headers = record.trace.map(|trace| {
            OwnedHeaders::new()
                .insert(Header { key: "trace", value: Some(trace) })
                .insert(Header { key: "origin", value: Some("generator") })
        });
        loop {
            match producer.send(message) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), returned)) => {
                    message = returned;
                    brokers.serve_reports(producer, shared, &plan.topic)?;
                    std::thread::park_timeout(PAUSE);
                }
                Err((source, _)) => return Err(FeedError::Kafka { topic: plan.topic.clone(), source }),
            }
        }
    }

    fn count(&mut self, record: &Generated<'_>, partition: i32) {
        let place = partition.unsigned_abs() as usize;
        self.windows[place].produced(record.len());
        self.fed.by_partition[place] += 1;
        self.fed.records += 1;
        self.fed.bytes += record.len() as u64;
        self.shared.fed.store(self.fed.records, Ordering::Release);
    }

    fn serve_reports(&mut self) -> Result<(), FeedError> {
        self.brokers.serve_reports(&self.producer, &self.shared, &self.plan.topic)
    }

    /// Waits for all delivery reports; `message.timeout.ms` bounds it.
    fn drain(&mut self) -> Result<(), FeedError> {
        while self.producer.in_flight_count() > 0 {
            self.serve_reports()?;
            std::thread::park_timeout(PAUSE);
        }
        self.serve_reports()
    }
}

/// The servers the producer was given, and how long they have been silent.
struct Brokers {
    servers: String,
    bootstrap: Bootstrap,
    /// Delivery reports heard so far.
    heard: u64,
}

impl Brokers {
    /// Serves delivery reports. Names the servers again when records wait and nothing has been reported for long: the
    /// client may have forgotten all brokers.
    fn serve_reports(
        &mut self,
        producer: &BaseProducer<Reports>,
        shared: &FeederShared,
        topic: &str,
    ) -> Result<(), FeedError> {
        producer.poll(Duration::ZERO);
        let heard = shared.reported.load(Ordering::Relaxed);
        if self.heard != heard || producer.in_flight_count() == 0 {
            self.heard = heard;
            self.bootstrap.answered();
        } else if self.bootstrap.is_due(Instant::now()) {
            name_again_to(producer.client(), &self.servers);
        }
        match shared.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            None => Ok(()),
            Some(message) => Err(FeedError::Delivery { topic: topic.to_owned(), message }),
        }
    }
}

/// Where a partition ends. Asks again for a while: a broker may name a topic's leaders before these know of it.
fn end_of(producer: &BaseProducer<Reports>, topic: &str, partition: i32) -> Result<i64, KafkaError> {
    let deadline = Instant::now() + WATERMARKS_TIMEOUT;
    loop {
        match producer.client().fetch_watermarks(topic, partition, WATERMARKS_TIMEOUT) {
            Ok((_, end)) => return Ok(end),
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_) => std::thread::park_timeout(WATERMARKS_PAUSE),
        }
    }
}

/// Keeps the first failed delivery report.
struct Reports(Arc<FeederShared>);

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        self.0.reported.fetch_add(1, Ordering::Relaxed);
        if let Err((error, _)) = result {
            self.0.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| error.to_string());
        }
    }
}

/// See [`super::partitions_of`].
pub(super) fn partitions_of(
    brokers: &str,
    topic: &str,
    properties: &BTreeMap<String, SecretString>,
) -> Result<i32, KafkaError> {
    let producer = producer(brokers, properties, Arc::default())?;
    let metadata = producer.client().fetch_metadata(Some(topic), WATERMARKS_TIMEOUT)?;
    let found = metadata.topics().iter().find(|one| one.name() == topic);
    let partitions = found.map_or(0, |one| one.partitions().len());
    match i32::try_from(partitions) {
        Ok(partitions) if partitions > 0 => Ok(partitions),
        Ok(_) | Err(_) => Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition)),
    }
}

fn producer(
    brokers: &str,
    properties: &BTreeMap<String, SecretString>,
    shared: Arc<FeederShared>,
) -> Result<BaseProducer<Reports>, KafkaError> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers)
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", "5")
        .set("batch.size", "262144")
        .set("message.max.bytes", "16000000")
        .set("message.timeout.ms", "120000")
        .set("queue.buffering.max.messages", "100000")
        .set("retry.backoff.ms", "20")
        .set("reconnect.backoff.ms", "20")
        .set_log_level(RDKafkaLogLevel::Critical);
    for (name, value) in properties {
        config.set(name, value.expose_secret());
    }
    BaseProducer::from_config_and_context(&config, Reports(shared))
}
