//! Produces generated records into a topic while a pipeline consumes it, never too far ahead.
//!
//! The mock cluster drops a partition's oldest batches beyond 5 MiB without an error. So the feeder asks how far each
//! partition was consumed and keeps what is produced and not consumed below a window. The records of a partition are
//! produced in the order of their numbers.

mod window;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::{ClientConfig, ClientContext};

use super::generator::{Generated, Generator, Scratch};

use window::Window;

/// Bytes produced and not consumed per partition: 2 MiB below what the mock cluster keeps, for batches and their overhead.
pub const WINDOW_BYTES: usize = 3 * 1024 * 1024;
const PAUSE: Duration = Duration::from_millis(1);
/// Records between two looks at delivery reports.
const REPORTS_EVERY: u64 = 256;
const WATERMARKS_TIMEOUT: Duration = Duration::from_secs(10);

/// What to feed.
#[derive(Debug, Clone)]
pub struct FeedPlan {
    /// Into which topic.
    pub topic: String,
    /// Its number of partitions.
    pub partitions: i32,
    /// Number of the first record.
    pub first: u64,
    /// How many records; `u64::MAX` feeds until [`Feeder::finish`].
    pub records: u64,
    /// Bytes produced and not consumed per partition; `usize::MAX` where the broker keeps everything.
    pub window_bytes: usize,
    /// Records per second of an open loop; `None` is as fast as it goes.
    pub rate: Option<f64>,
    /// Nothing consumed for this long while there is no room ends the feeding.
    pub patience: Duration,
}

impl FeedPlan {
    /// The first `records` records into `topic`, as fast as they are consumed.
    #[must_use]
    pub fn new(topic: &str, partitions: i32, records: u64) -> Self {
        Self {
            topic: topic.to_owned(),
            partitions,
            first: 0,
            records,
            window_bytes: WINDOW_BYTES,
            rate: None,
            patience: Duration::from_secs(60),
        }
    }
}

/// What was fed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fed {
    /// Records, all acknowledged.
    pub records: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// Records per partition.
    pub by_partition: Vec<u64>,
}

/// Why feeding ended early.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The client could not be made, or refused a record.
    #[error("cannot produce into {topic}: {source}")]
    Kafka {
        /// The topic.
        topic: String,
        /// The client's error.
        source: KafkaError,
    },
    /// The broker refused a record.
    #[error("{topic} did not take a record: {message}")]
    Delivery {
        /// The topic.
        topic: String,
        /// The first failed delivery report.
        message: String,
    },
    /// Nobody consumes.
    #[error(
        "nothing of {topic}[{partition}] was consumed for {patience:?} while {unconsumed} bytes were waiting \
         (position {position})"
    )]
    Stalled {
        /// The topic.
        topic: String,
        /// The partition without room.
        partition: i32,
        /// Bytes produced and not consumed.
        unconsumed: usize,
        /// How far it was consumed.
        position: i64,
        /// How long it was waited for.
        patience: Duration,
    },
    /// The feeding thread is gone.
    #[error("the feeding thread could not run: {0}")]
    Thread(String),
}

/// How a feeder sees consumption, and who hears of each record before it is produced.
pub struct FeedHooks {
    /// The position up to which a partition was consumed for good (nothing below is ever read again); `None`: unknown.
    pub consumed: Box<dyn Fn(i32) -> Option<i64> + Send>,
    /// Called with each record and its partition just before it is produced.
    pub announce: Box<dyn FnMut(&Generated<'_>, i32) + Send>,
}

/// A running feeder.
pub struct Feeder {
    shared: Arc<Shared>,
    thread: JoinHandle<Result<Fed, FeedError>>,
}

#[derive(Default)]
struct Shared {
    fed: AtomicU64,
    finish: AtomicBool,
    failure: Mutex<Option<String>>,
}

impl Feeder {
    /// Starts producing on a thread of its own.
    ///
    /// # Errors
    /// [`FeedError`] when the producer or its thread cannot be made, or the topic's ends are not known within 10 s.
    pub fn start(
        brokers: &str,
        generator: Arc<Generator>,
        plan: FeedPlan,
        hooks: FeedHooks,
    ) -> Result<Self, FeedError> {
        let shared = Arc::new(Shared::default());
        let refused = |source| FeedError::Kafka { topic: plan.topic.clone(), source };
        let producer = producer(brokers, shared.clone()).map_err(refused)?;
        let mut windows = Vec::new();
        for partition in 0..plan.partitions {
            let ends = producer.client().fetch_watermarks(&plan.topic, partition, WATERMARKS_TIMEOUT);
            windows.push(Window::new(plan.window_bytes, ends.map_err(refused)?.1));
        }
        let feeding = Feeding { producer, plan, hooks, windows, shared: shared.clone(), fed: Fed::default() };
        let thread = std::thread::Builder::new()
            .name("feeder".into())
            .spawn(move || feeding.run(&generator))
            .map_err(|error| FeedError::Thread(error.to_string()))?;
        Ok(Self { shared, thread })
    }

    /// Records handed to the producer so far.
    #[must_use]
    pub fn fed(&self) -> u64 {
        self.shared.fed.load(Ordering::Acquire)
    }

    /// Ends the feeding after the current record.
    pub fn finish(&self) {
        self.shared.finish.store(true, Ordering::Release);
    }

    /// Whether the thread has ended: [`Feeder::join`] will not wait.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits until everything is produced and acknowledged.
    ///
    /// # Errors
    /// [`FeedError`] when feeding ended early.
    pub fn join(self) -> Result<Fed, FeedError> {
        self.thread.join().unwrap_or_else(|_| Err(FeedError::Thread("it panicked".into())))
    }
}

struct Feeding {
    producer: BaseProducer<Reports>,
    plan: FeedPlan,
    hooks: FeedHooks,
    windows: Vec<Window>,
    shared: Arc<Shared>,
    fed: Fed,
}

impl Feeding {
    fn run(mut self, generator: &Generator) -> Result<Fed, FeedError> {
        let mut scratch = Scratch::default();
        let started = Instant::now();
        self.fed.by_partition = vec![0; self.windows.len()];
        while self.fed.records < self.plan.records && !self.shared.finish.load(Ordering::Acquire) {
            self.pace(started);
            let record = generator.record(self.plan.first + self.fed.records, &mut scratch);
            let partition = Generator::partition(&record, self.plan.partitions);
            self.wait_for_room(partition, record.len())?;
            (self.hooks.announce)(&record, partition);
            self.produce(&record, partition)?;
            self.count(&record, partition);
            if self.fed.records.is_multiple_of(REPORTS_EVERY) {
                self.serve_reports()?;
            }
        }
        self.drain()?;
        Ok(self.fed)
    }

    /// Waits for the intended moment of the next record.
    fn pace(&self, started: Instant) {
        let Some(rate) = self.plan.rate.filter(|rate| *rate > 0.0) else { return };
        let due = started + Duration::from_secs_f64(self.fed.records as f64 / rate);
        while !self.shared.finish.load(Ordering::Acquire) {
            let wait = due.saturating_duration_since(Instant::now());
            if wait.is_zero() {
                return;
            }
            self.producer.poll(Duration::ZERO);
            std::thread::park_timeout(wait.min(Duration::from_millis(20)));
        }
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

    fn produce(&self, record: &Generated<'_>, partition: i32) -> Result<(), FeedError> {
        let mut message: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&self.plan.topic).partition(partition);
        message.key = record.key;
        message.payload = record.value;
        message.headers = record.trace.map(|trace| {
            OwnedHeaders::new()
                .insert(Header { key: "trace", value: Some(trace) })
                .insert(Header { key: "origin", value: Some("generator") })
        });
        loop {
            match self.producer.send(message) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), returned)) => {
                    message = returned;
                    self.serve_reports()?;
                    std::thread::park_timeout(PAUSE);
                }
                Err((source, _)) => return Err(FeedError::Kafka { topic: self.plan.topic.clone(), source }),
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

    fn serve_reports(&self) -> Result<(), FeedError> {
        self.producer.poll(Duration::ZERO);
        match self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            None => Ok(()),
            Some(message) => Err(FeedError::Delivery { topic: self.plan.topic.clone(), message }),
        }
    }

    /// Waits for all delivery reports; `message.timeout.ms` bounds it.
    fn drain(&self) -> Result<(), FeedError> {
        while self.producer.in_flight_count() > 0 {
            self.serve_reports()?;
            std::thread::park_timeout(PAUSE);
        }
        self.serve_reports()
    }
}

/// Keeps the first failed delivery report.
struct Reports(Arc<Shared>);

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.0.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| error.to_string());
        }
    }
}

fn producer(brokers: &str, shared: Arc<Shared>) -> Result<BaseProducer<Reports>, KafkaError> {
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
    BaseProducer::from_config_and_context(&config, Reports(shared))
}

#[cfg(test)]
mod tests;
