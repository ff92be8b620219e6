//! Produces generated records into a topic while a pipeline consumes it, never too far ahead.
//!
//! The mock cluster drops a partition's oldest batches beyond 5 MiB without an error. So the feeder asks how far each
//! partition was consumed and keeps what is produced and not consumed below a window. The records of a partition are
//! produced in the order of their numbers.

mod feeding;
mod window;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::error::KafkaError;
use secrecy::SecretString;

use super::generator::{Generated, Generator};

use feeding::Feeding;

/// Bytes produced and not consumed per partition: 2 MiB below what the mock cluster keeps, for batches and their
/// overhead.
pub const WINDOW_BYTES: usize = 3 * 1024 * 1024;

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
    /// Records per second of an open loop: records carry the moment they were *meant* to be produced as their
    /// timestamp. `None` is as fast as it goes.
    pub rate: Option<f64>,
    /// Nothing consumed for this long while there is no room ends the feeding.
    pub patience: Duration,
    /// Properties of the client, after our own: what a broker asks for of its clients.
    pub properties: BTreeMap<String, SecretString>,
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
            properties: BTreeMap::new(),
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
    /// Where each partition ended when everything was acknowledged.
    pub ends: Vec<i64>,
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

/// See [`FeedHooks::announce`].
pub type Announce = Box<dyn FnMut(&Generated<'_>, i32) + Send>;

/// How a feeder sees consumption, and who hears of each record before it is produced.
pub struct FeedHooks {
    /// The position up to which a partition was consumed for good (nothing below is ever read again); `None`: unknown.
    pub consumed: Box<dyn Fn(i32) -> Option<i64> + Send>,
    /// Called with each record and its partition just before it is produced.
    pub announce: Announce,
}

/// A running feeder.
pub struct Feeder {
    shared: Arc<FeederShared>,
    thread: JoinHandle<Result<Fed, FeedError>>,
}

#[derive(Default)]
struct FeederShared {
    fed: AtomicU64,
    /// Delivery reports, good or bad.
    reported: AtomicU64,
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
        let shared = Arc::new(FeederShared::default());
        let feeding = Feeding::open(brokers, plan, hooks, shared.clone())?;
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

/// How many partitions a topic has, by its name and the brokers' own properties.
///
/// # Errors
/// [`FeedError::Kafka`] when no broker answers within 10 s or the topic is not there.
pub fn partitions_of(
    brokers: &str,
    topic: &str,
    properties: &BTreeMap<String, SecretString>,
) -> Result<i32, FeedError> {
    feeding::partitions_of(brokers, topic, properties)
        .map_err(|source| FeedError::Kafka { topic: topic.to_owned(), source })
}

#[cfg(test)]
mod tests;
