//! Producing a test's input: fast, in order per partition, every delivery report checked.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};

use super::error::ServiceError;
use super::kafka_client::KafkaClient;

/// How long a full local queue, the last reports or one step of a transaction may take.
const LIMIT: Duration = Duration::from_secs(120);

/// A record to produce.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewRecord {
    /// Partition; `None` leaves it to the hash of the key.
    pub partition: Option<i32>,
    /// Key, `None` for null.
    pub key: Option<Vec<u8>>,
    /// Value, `None` for a tombstone.
    pub value: Option<Vec<u8>>,
    /// Headers in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Milliseconds since the epoch; `None` is now.
    pub timestamp_ms: Option<i64>,
}

impl NewRecord {
    /// A record with key and value, its partition chosen by the key.
    pub fn keyed(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> NewRecord {
        NewRecord { key: Some(key.into()), value: Some(value.into()), ..NewRecord::default() }
    }

    /// The same record for a given partition.
    pub fn to(self, partition: i32) -> NewRecord {
        NewRecord { partition: Some(partition), ..self }
    }
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionEnd {
    /// Its records become visible.
    Commit,
    /// Its records stay invisible for `read_committed`; offsets and a marker remain.
    Abort,
}

impl KafkaClient {
    /// Produces records idempotently, in order per partition, and waits until all are acknowledged. Returns how many.
    ///
    /// # Errors
    /// A record was refused or not acknowledged within two minutes.
    pub fn produce(&self, topic: &str, records: impl IntoIterator<Item = NewRecord>) -> Result<u64, ServiceError> {
        self.send_all(&self.producer(topic, None)?, topic, records)
    }

    /// Produces records in one transaction.
    ///
    /// # Errors
    /// As [`KafkaClient::produce`], or a step of the transaction failed.
    pub fn transact(
        &self,
        transactional_id: &str,
        topic: &str,
        records: impl IntoIterator<Item = NewRecord>,
        end: TransactionEnd,
    ) -> Result<u64, ServiceError> {
        let failed = |cause: KafkaError| self.failed(&format!("run a transaction on {topic}"), cause);
        let producer = self.producer(topic, Some(transactional_id))?;
        producer.init_transactions(LIMIT).map_err(failed)?;
        producer.begin_transaction().map_err(failed)?;
        // Everything is acknowledged before the end: aborting purges what is not.
        let count = self.send_all(&producer, topic, records)?;
        match end {
            TransactionEnd::Commit => producer.commit_transaction(LIMIT),
            TransactionEnd::Abort => producer.abort_transaction(LIMIT),
        }
        .map_err(failed)?;
        Ok(count)
    }

    fn producer(&self, topic: &str, transactional_id: Option<&str>) -> Result<BaseProducer<Reports>, ServiceError> {
        let mut config: ClientConfig = self.config();
        config.set("enable.idempotence", "true").set("linger.ms", "20").set("batch.size", "1000000");
        config.set("queue.buffering.max.messages", "200000").set("queue.buffering.max.kbytes", "262144");
        config.set("partitioner", "murmur2_random").set("message.max.bytes", "100000000");
        if let Some(id) = transactional_id {
            config.set("transactional.id", id);
        }
        let producer = config.create_with_context(Reports::default());
        producer.map_err(|cause| self.failed(&format!("open a producer for {topic}"), cause))
    }

    fn send_all(
        &self,
        producer: &BaseProducer<Reports>,
        topic: &str,
        records: impl IntoIterator<Item = NewRecord>,
    ) -> Result<u64, ServiceError> {
        let action = format!("produce to {topic}");
        let mut sent = 0;
        for record in records {
            send(producer, topic, &record).map_err(|cause| self.failed(&action, cause))?;
            sent += 1;
        }
        producer.flush(LIMIT).map_err(|cause| self.failed(&action, cause))?;
        let reports = producer.context();
        let acknowledged = reports.acknowledged.load(Ordering::SeqCst);
        if acknowledged == sent {
            return Ok(sent);
        }
        let first = reports.failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let cause = format!("{acknowledged} of {sent} acknowledged; first failure: {first:?}");
        Err(self.failed(&action, cause))
    }
}

/// Queues one record; a full local queue is waited for.
fn send(producer: &BaseProducer<Reports>, topic: &str, record: &NewRecord) -> Result<(), KafkaError> {
    let started = Instant::now();
    let mut next = BaseRecord::<[u8], [u8]>::to(topic);
    next.partition = record.partition;
    next.key = record.key.as_deref();
    next.payload = record.value.as_deref();
    next.timestamp = record.timestamp_ms;
    if !record.headers.is_empty() {
        let headers = OwnedHeaders::new_with_capacity(record.headers.len());
        next.headers = Some(
            record
                .headers
                .iter()
                .fold(headers, |headers, (key, value)| headers.insert(Header { key, value: value.as_deref() })),
        );
    }
    loop {
        match producer.send(next) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) if started.elapsed() < LIMIT => {
                producer.poll(Duration::from_millis(10));
                next = back;
            }
            Err((cause, _)) => return Err(cause),
        }
    }
}

/// Counts delivery reports.
#[derive(Default)]
struct Reports {
    acknowledged: AtomicU64,
    failure: Mutex<Option<String>>,
}

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => {
                self.acknowledged.fetch_add(1, Ordering::SeqCst);
            }
            Err((cause, _)) => {
                let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
                failure.get_or_insert_with(|| cause.to_string());
            }
        }
    }
}
