//! Filling and reading a test's Kafka: topics, records in bulk, whole topics back, committed offsets.
//!
//! It takes any broker list, so it serves an in-process mock cluster as well.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication, TopicResult};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::error::ServiceError;
use super::service::Service;
use super::wait;

/// How long one administrative request may take.
const ADMIN_LIMIT: Duration = Duration::from_secs(30);
/// How long a topic's partitions may take to show up, or to vanish, in the broker's metadata.
const METADATA_LIMIT: Duration = Duration::from_secs(60);
/// How often metadata are asked for.
const METADATA_POLL: Duration = Duration::from_millis(20);
/// How long reading may go on without a record or an end of partition.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);

/// A record as read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// Partition.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
    /// Milliseconds since the epoch; -1 when the broker has none.
    pub timestamp_ms: i64,
    /// Key, `None` for null.
    pub key: Option<Vec<u8>>,
    /// Value, `None` for a tombstone.
    pub value: Option<Vec<u8>>,
    /// Headers in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// Plain requests to one cluster.
#[derive(Clone, Debug)]
pub struct KafkaClient {
    brokers: String,
}

impl KafkaClient {
    /// A client for a service.
    pub fn new(service: &Service) -> KafkaClient {
        KafkaClient::at(service.endpoint())
    }

    /// A client for a broker list.
    pub fn at(brokers: &str) -> KafkaClient {
        KafkaClient { brokers: brokers.to_owned() }
    }

    /// The broker list.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// Client configuration with the broker list, to build on.
    pub fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config
    }

    /// Makes a topic with one replica and waits until every partition has a leader. `settings` are topic settings such
    /// as `("cleanup.policy", "compact")`.
    ///
    /// # Errors
    /// The cluster refuses, or the leaders did not show up within a minute.
    pub fn create_topic(&self, topic: &str, partitions: u16, settings: &[(&str, &str)]) -> Result<(), ServiceError> {
        let action = format!("create topic {topic}");
        let mut wanted = NewTopic::new(topic, i32::from(partitions), TopicReplication::Fixed(1));
        for (name, value) in settings {
            wanted = wanted.set(name, value);
        }
        let wanted = [wanted];
        let results = self.administer(&action, |admin, options| admin.create_topics(&wanted, options))?;
        self.each(&action, &results)?;
        self.wait_for_partitions(&action, topic, i32::from(partitions))
    }

    /// Removes a topic and waits until it is gone from the metadata. The broker removes its committed offsets as well.
    ///
    /// # Errors
    /// The cluster refuses, or the topic was still there after a minute.
    pub fn delete_topic(&self, topic: &str) -> Result<(), ServiceError> {
        let action = format!("delete topic {topic}");
        let results = self.administer(&action, |admin, options| admin.delete_topics(&[topic], options))?;
        self.each(&action, &results)?;
        self.wait_for_partitions(&action, topic, 0)
    }

    /// Gives a topic more partitions and waits until they have leaders. `partitions` is how many it has then.
    ///
    /// # Errors
    /// The cluster refuses, or the leaders did not show up within a minute.
    pub fn add_partitions(&self, topic: &str, partitions: u16) -> Result<(), ServiceError> {
        let action = format!("add partitions to {topic}");
        let wanted = [NewPartitions::new(topic, usize::from(partitions))];
        let results = self.administer(&action, |admin, options| admin.create_partitions(&wanted, options))?;
        self.each(&action, &results)?;
        self.wait_for_partitions(&action, topic, i32::from(partitions))
    }

    /// Removes the records of a partition below `before`, as retention does.
    ///
    /// # Errors
    /// The cluster refuses.
    pub fn delete_records(&self, topic: &str, partition: i32, before: i64) -> Result<(), ServiceError> {
        let action = format!("delete records of {topic}");
        let mut offsets = TopicPartitionList::new();
        let added = offsets.add_partition_offset(topic, partition, Offset::Offset(before));
        added.map_err(|cause| self.failed(&action, cause))?;
        let result = self.administer(&action, |admin, options| admin.delete_records(&offsets, options))?;
        result.elements().iter().try_for_each(|element| element.error().map_err(|cause| self.failed(&action, cause)))
    }

    /// First offset and end (one past the last) of every partition, in order. The end includes transaction markers.
    ///
    /// # Errors
    /// The topic is missing or the broker does not answer.
    pub fn offsets(&self, topic: &str) -> Result<Vec<(i64, i64)>, ServiceError> {
        let action = format!("read the offsets of {topic}");
        let consumer = self.consumer(&action, "sluicegate-testbed")?;
        let count = self.existing_partitions(&action, &consumer, topic)?;
        (0..count)
            .map(|partition| self.patient(&action, || consumer.fetch_watermarks(topic, partition, ADMIN_LIMIT)))
            .collect()
    }

    /// Every record a `read_committed` consumer sees, from the first offset to the end of each partition: partition by
    /// partition, in offset order.
    ///
    /// # Errors
    /// The topic is missing, or nothing came for a minute.
    pub fn read_all(&self, topic: &str) -> Result<Vec<StoredRecord>, ServiceError> {
        let action = format!("read topic {topic}");
        let ends = self.offsets(topic)?;
        let consumer = self.consumer(&action, "sluicegate-testbed")?;
        let mut assignment = TopicPartitionList::new();
        for partition in 0..ends.len() {
            let added = assignment.add_partition_offset(topic, partition as i32, Offset::Beginning);
            added.map_err(|cause| self.failed(&action, cause))?;
        }
        consumer.assign(&assignment).map_err(|cause| self.failed(&action, cause))?;
        let mut records = Vec::new();
        // A set: the end of a partition is told again after a reconnect.
        let mut open: BTreeSet<i32> = (0..ends.len() as i32).collect();
        let mut heard = Instant::now();
        while !open.is_empty() {
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => records.push(StoredRecord::of(&message)),
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    open.remove(&partition);
                }
                Some(Err(cause)) if is_final(&cause) => return Err(self.failed(&action, cause)),
                None | Some(Err(_)) if heard.elapsed() > SILENCE_LIMIT => {
                    return Err(
                        self.failed(&action, format!("silence, and these partitions are not at their end: {open:?}"))
                    );
                }
                None | Some(Err(_)) => continue,
            }
            heard = Instant::now();
        }
        records.sort_by_key(|record| (record.partition, record.offset));
        Ok(records)
    }

    /// Committed offset of every partition, in order; `None` where the group has none.
    ///
    /// # Errors
    /// The topic is missing or the broker does not answer.
    pub fn committed(&self, group: &str, topic: &str) -> Result<Vec<Option<i64>>, ServiceError> {
        let action = format!("read the committed offsets of {group}");
        let consumer = self.consumer(&action, group)?;
        let count = self.existing_partitions(&action, &consumer, topic)?;
        let mut asked = TopicPartitionList::new();
        asked.add_partition_range(topic, 0, count - 1);
        let committed = self.patient(&action, || consumer.committed_offsets(asked.clone(), ADMIN_LIMIT))?;
        let mut elements = committed.elements();
        elements.sort_by_key(|element| element.partition());
        Ok(elements.iter().map(|element| element.offset().to_raw().filter(|offset| *offset >= 0)).collect())
    }

    /// Commits offsets for a group without members: the state a test starts from.
    ///
    /// # Errors
    /// The broker refuses, for example because the group has members.
    pub fn commit(&self, group: &str, topic: &str, offsets: &[(i32, i64)]) -> Result<(), ServiceError> {
        let action = format!("commit offsets of {group}");
        let consumer = self.consumer(&action, group)?;
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            let added = list.add_partition_offset(topic, *partition, Offset::Offset(*offset));
            added.map_err(|cause| self.failed(&action, cause))?;
        }
        consumer.commit(&list, CommitMode::Sync).map_err(|cause| self.failed(&action, cause))
    }

    fn consumer(&self, action: &str, group: &str) -> Result<BaseConsumer, ServiceError> {
        let mut config = self.config();
        config.set("group.id", group).set("enable.auto.commit", "false").set("isolation.level", "read_committed");
        config.set("enable.partition.eof", "true").set("auto.offset.reset", "error");
        config.set("allow.auto.create.topics", "false");
        config.create().map_err(|cause| self.failed(action, cause))
    }

    /// Number of partitions, 0 for a topic the broker does not know; `None` when the broker does not answer or a
    /// partition has no leader, as just after a restart, or when a starved broker missed its heartbeats: a topic must
    /// never be taken for shorter than it is.
    fn partitions(&self, consumer: &BaseConsumer, topic: &str) -> Option<i32> {
        let metadata = consumer.fetch_metadata(Some(topic), ADMIN_LIMIT).ok()?;
        let known = metadata.topics().iter().find(|known| known.name() == topic)?;
        match known.error().map(RDKafkaErrorCode::from) {
            None if known.partitions().iter().all(|partition| partition.leader() >= 0) => {
                i32::try_from(known.partitions().len()).ok()
            }
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => Some(0),
            None | Some(_) => None,
        }
    }

    /// Number of partitions of a topic that must exist, waiting for leaders for at most a minute.
    fn existing_partitions(&self, action: &str, consumer: &BaseConsumer, topic: &str) -> Result<i32, ServiceError> {
        let count = wait::until(METADATA_LIMIT, METADATA_POLL, || Ok(self.partitions(consumer, topic)))?;
        match count {
            Some(0) => Err(self.failed(action, "the topic is missing")),
            Some(count) => Ok(count),
            None => Err(self.failed(action, "no leader for some partition within a minute")),
        }
    }

    fn wait_for_partitions(&self, action: &str, topic: &str, count: i32) -> Result<(), ServiceError> {
        let consumer = self.consumer(action, "sluicegate-testbed")?;
        let seen = wait::until(METADATA_LIMIT, METADATA_POLL, || {
            Ok::<_, ServiceError>((self.partitions(&consumer, topic) == Some(count)).then_some(()))
        })?;
        seen.ok_or_else(|| self.failed(action, format!("the metadata did not show {count} partitions within a minute")))
    }

    /// Asks again for at most a minute: the answer may come from a broker or coordinator that is still coming back.
    fn patient<T>(&self, action: &str, mut ask: impl FnMut() -> KafkaResult<T>) -> Result<T, ServiceError> {
        let mut last = None;
        let answer = wait::until(METADATA_LIMIT, METADATA_POLL, || match ask() {
            Ok(answer) => Ok::<_, ServiceError>(Some(answer)),
            Err(cause) => {
                last = Some(cause);
                Ok(None)
            }
        })?;
        answer.ok_or_else(|| self.failed(action, last.map_or_else(String::new, |cause| cause.to_string())))
    }

    /// Runs one administrative request to its end.
    fn administer<T, F: Future<Output = KafkaResult<T>>>(
        &self,
        action: &str,
        request: impl FnOnce(&AdminClient<DefaultClientContext>, &AdminOptions) -> F,
    ) -> Result<T, ServiceError> {
        let admin: AdminClient<DefaultClientContext> =
            self.config().create().map_err(|cause| self.failed(action, cause))?;
        let options = AdminOptions::new().request_timeout(Some(ADMIN_LIMIT)).operation_timeout(Some(ADMIN_LIMIT));
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.map_err(|cause| self.failed(action, cause))?;
        runtime.block_on(request(&admin, &options)).map_err(|cause| self.failed(action, cause))
    }

    fn each(&self, action: &str, results: &[TopicResult]) -> Result<(), ServiceError> {
        let failed = results.iter().find_map(|result| result.as_ref().err());
        failed.map_or(Ok(()), |(_, code)| Err(self.failed(action, code)))
    }

    /// A failed request to this cluster.
    pub(super) fn failed(&self, action: &str, cause: impl ToString) -> ServiceError {
        ServiceError::request(action, &self.brokers, cause)
    }
}

/// Errors of a read that time does not heal.
fn is_final(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::AutoOffsetReset
        )
    )
}

impl StoredRecord {
    fn of(message: &BorrowedMessage<'_>) -> StoredRecord {
        let headers = message.headers().map(|headers| {
            headers.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect()
        });
        StoredRecord {
            partition: message.partition(),
            offset: message.offset(),
            timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: headers.unwrap_or_default(),
        }
    }
}
