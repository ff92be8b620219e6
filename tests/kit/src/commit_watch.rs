//! Asks for a group's committed offsets again and again, on a thread of its own, and keeps every change with its time.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, TopicPartitionList};

use super::checker::Committed;

/// Pause between two questions.
const EVERY: Duration = Duration::from_millis(25);
/// How long one answer may take; a coordinator may be down.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// Microseconds since the epoch: the one clock of a run's logs.
#[must_use]
pub fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

struct Shared {
    stop: AtomicBool,
    positions: Vec<AtomicI64>,
    seen: Mutex<Vec<Committed>>,
}

/// A running watch. Ends when stopped or dropped.
pub struct CommitWatch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// Reads positions while the watch runs; may be handed to other threads.
#[derive(Clone)]
pub struct Positions(Arc<Shared>);

impl Positions {
    /// The position last seen committed; 0 for none.
    #[must_use]
    pub fn of(&self, partition: i32) -> i64 {
        let place = usize::try_from(partition).ok().and_then(|at| self.0.positions.get(at));
        place.map_or(0, |position| position.load(Ordering::Acquire))
    }
}

impl CommitWatch {
    /// Watches what `group` commits for `topic`, without being a member.
    ///
    /// # Errors
    /// The client or its thread cannot be made.
    pub fn start(brokers: &str, group: &str, topic: &str, partitions: i32) -> Result<Self, KafkaError> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("reconnect.backoff.max.ms", "200")
            .set_log_level(RDKafkaLogLevel::Critical)
            .create()?;
        let positions = (0..partitions).map(|_| AtomicI64::new(0)).collect();
        let shared = Arc::new(Shared { stop: AtomicBool::new(false), positions, seen: Mutex::default() });
        let (told, topic) = (shared.clone(), topic.to_owned());
        let thread = std::thread::Builder::new()
            .name("commit-watch".into())
            .spawn(move || watch(&consumer, &topic, partitions, &told))
            .map_err(|error| KafkaError::ClientCreation(format!("no thread for the commit watch: {error}")))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Positions while it runs.
    #[must_use]
    pub fn positions(&self) -> Positions {
        Positions(self.shared.clone())
    }

    /// Every change seen so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Committed> {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Every change seen since this was asked last.
    #[must_use]
    pub fn take(&self) -> Vec<Committed> {
        std::mem::take(&mut self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn end(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread watching commits panicked");
        }
    }
}

impl Drop for CommitWatch {
    fn drop(&mut self) {
        self.end();
    }
}

fn watch(consumer: &BaseConsumer, topic: &str, partitions: i32, shared: &Shared) {
    let mut asked = TopicPartitionList::new();
    asked.add_partition_range(topic, 0, partitions - 1);
    while !shared.stop.load(Ordering::Acquire) {
        if let Ok(answer) = consumer.committed_offsets(asked.clone(), ANSWER_LIMIT) {
            note(&answer, now_us(), shared);
        }
        // Serves the client's own events.
        let _ = consumer.poll(Duration::ZERO);
        std::thread::park_timeout(EVERY);
    }
}

fn note(answer: &TopicPartitionList, at_us: u64, shared: &Shared) {
    for element in answer.elements() {
        let (Some(next), partition) = (element.offset().to_raw().filter(|next| *next >= 0), element.partition()) else {
            continue;
        };
        let Some(known) = usize::try_from(partition).ok().and_then(|at| shared.positions.get(at)) else { continue };
        if known.swap(next, Ordering::AcqRel) != next {
            let seen = Committed { at_us, partition, next };
            shared.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
        }
    }
}
