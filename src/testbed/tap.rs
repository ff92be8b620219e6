//! Reads an output topic from its beginning to wherever it is, on a thread of its own, and shows every record once
//! read.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

/// How often an idle tap looks whether it should stop.
const LOOK: Duration = Duration::from_millis(20);

/// A record that was read.
pub struct Tapped<'m>(&'m BorrowedMessage<'m>);

impl<'m> Tapped<'m> {
    /// Its partition.
    #[must_use]
    pub fn partition(&self) -> i32 {
        self.0.partition()
    }

    /// Its offset.
    #[must_use]
    pub fn offset(&self) -> i64 {
        self.0.offset()
    }

    /// Its timestamp in milliseconds.
    #[must_use]
    pub fn timestamp_ms(&self) -> Option<i64> {
        self.0.timestamp().to_millis()
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> Option<&'m [u8]> {
        self.0.key()
    }

    /// Its value.
    #[must_use]
    pub fn value(&self) -> Option<&'m [u8]> {
        self.0.payload()
    }

    /// Its headers, in order.
    pub fn headers(&self) -> impl Iterator<Item = (&'m str, Option<&'m [u8]>)> {
        self.0.headers().into_iter().flat_map(|headers| headers.iter()).map(|header| (header.key, header.value))
    }
}

/// A running reader. Ends when stopped or dropped.
pub struct Tap {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Tap {
    /// Reads all partitions of `topic` and calls `see` for every record, in order within a partition.
    /// Errors on the way (a broker that is down) are not the end: reading goes on when it can.
    ///
    /// # Errors
    /// When the consumer or its thread cannot be made.
    pub fn start(
        brokers: &str,
        topic: &str,
        partitions: i32,
        see: impl FnMut(&Tapped<'_>) + Send + 'static,
    ) -> Result<Self, KafkaError> {
        Self::of_some(brokers, topic, 0..partitions, see)
    }

    /// The same for some partitions.
    ///
    /// # Errors
    /// As [`Tap::start`].
    pub fn of_some(
        brokers: &str,
        topic: &str,
        partitions: Range<i32>,
        mut see: impl FnMut(&Tapped<'_>) + Send + 'static,
    ) -> Result<Self, KafkaError> {
        let consumer = consumer(brokers, topic, partitions)?;
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let read = move || {
            while !told.load(Ordering::Acquire) {
                if let Some(Ok(message)) = consumer.poll(LOOK) {
                    see(&Tapped(&message));
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("tap".into())
            .spawn(read)
            .map_err(|error| KafkaError::ClientCreation(format!("no thread for the tap: {error}")))?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Stops reading and waits for the thread.
    pub(crate) fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread reading an output topic panicked");
        }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.end();
    }
}

fn consumer(brokers: &str, topic: &str, partitions: Range<i32>) -> Result<BaseConsumer, KafkaError> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "testbed-tap")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .set("fetch.wait.max.ms", "10")
        .set("fetch.error.backoff.ms", "20")
        .set("fetch.queue.backoff.ms", "5")
        .set("queued.max.messages.kbytes", "16384")
        .set_log_level(rdkafka::config::RDKafkaLogLevel::Critical)
        .create()?;
    let mut assignment = TopicPartitionList::new();
    for partition in partitions {
        assignment.add_partition_offset(topic, partition, Offset::Offset(0))?;
    }
    consumer.assign(&assignment)?;
    Ok(consumer)
}
