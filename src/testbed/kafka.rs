//! A Kafka cluster in this process: librdkafka's mock cluster behind a handle that any thread may hold.
//!
//! Limits to know (librdkafka 2.12): a partition keeps 5 MiB or 100,000 batches and then drops its oldest *silently*
//! (see [`crate::testbed::feeder`]); one batch a partition a fetch; an empty fetch sleeps the whole
//! `fetch.wait.max.ms`; no admin calls; aborted transactions stay visible; a produce request repeated after a lost
//! answer is written twice, also by an idempotent producer. Set `fetch.wait.max.ms` to 10 in clients.
//!
//! rdkafka's own `MockCluster::new` gives a handle that cannot leave its thread. Here the cluster belongs to a client
//! made with `test.mock.num.brokers`; that client may be shared, and hands out a handle for each call.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::mocking::{MockCluster, MockCoordinator};
use rdkafka::producer::{BaseProducer, DefaultProducerContext, Producer};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use crate::librdkafka::mock::set_initial_rebalance_delay;

const WATERMARKS_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a group waits for members here; 3 s unless set, which would be most of a test.
const JOIN_DELAY: Duration = Duration::from_millis(100);

/// Why a mock cluster could not be started or controlled.
#[derive(Debug, thiserror::Error)]
pub enum MockError {
    /// librdkafka refused.
    #[error("the in-process Kafka cluster refused to {action}: {source}")]
    Refused {
        /// What was asked for.
        action: String,
        /// librdkafka's answer.
        source: KafkaError,
    },
    /// The client has no mock cluster.
    #[error("librdkafka made no in-process cluster; was it built without its mock?")]
    Absent,
}

/// A running mock cluster. It ends, with every connection to it, when this is dropped.
pub struct MockKafka {
    owner: BaseProducer,
    brokers: String,
}

impl MockKafka {
    /// Starts one broker with these topics: name and number of partitions.
    ///
    /// # Errors
    /// [`MockError`] when librdkafka refuses, for instance a topic named twice.
    pub fn start(topics: &[(&str, i32)]) -> Result<Self, MockError> {
        Self::start_with_brokers(1, topics)
    }

    /// Starts `brokers` brokers, numbered from 1, with these topics; each partition is on all of them.
    ///
    /// # Errors
    /// [`MockError`] when librdkafka refuses.
    pub fn start_with_brokers(brokers: i32, topics: &[(&str, i32)]) -> Result<Self, MockError> {
        let owner: BaseProducer = ClientConfig::new()
            .set("test.mock.num.brokers", brokers.to_string())
            .set_log_level(RDKafkaLogLevel::Critical)
            .create()
            .map_err(|source| MockError::Refused { action: "start".into(), source })?;
        if !set_initial_rebalance_delay(owner.client(), JOIN_DELAY) {
            return Err(MockError::Absent);
        }
        let mut kafka = Self { owner, brokers: String::new() };
        kafka.brokers = kafka.with(|cluster| cluster.bootstrap_servers())?;
        for (topic, partitions) in topics {
            kafka
                .try_to(format!("create topic {topic}"), |cluster| cluster.create_topic(topic, *partitions, brokers))?;
        }
        Ok(kafka)
    }

    /// `host:port,…` of the brokers.
    #[must_use]
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// The next requests of this kind are answered with these errors, one each.
    /// `RD_KAFKA_RESP_ERR__TRANSPORT` disconnects the client instead.
    ///
    /// # Errors
    /// [`MockError::Absent`].
    pub fn fail_requests(&self, api: RDKafkaApiKey, errors: &[RDKafkaRespErr]) -> Result<(), MockError> {
        self.with(|cluster| cluster.request_errors(api, errors))
    }

    /// Forgets the errors still waiting for requests of this kind.
    ///
    /// # Errors
    /// [`MockError::Absent`].
    pub fn stop_failing(&self, api: RDKafkaApiKey) -> Result<(), MockError> {
        self.with(|cluster| cluster.clear_request_errors(api))
    }

    /// Metadata answers carry this error for the topic; `RD_KAFKA_RESP_ERR_NO_ERROR` ends it.
    ///
    /// # Errors
    /// [`MockError`] when librdkafka refuses.
    pub fn fail_topic(&self, topic: &str, error: RDKafkaRespErr) -> Result<(), MockError> {
        self.try_to(format!("fail topic {topic}"), |cluster| cluster.topic_error(topic, error))
    }

    /// Disconnects everybody from a broker (-1: all) and refuses new connections. No leader moves.
    ///
    /// # Errors
    /// [`MockError`] for an unknown broker.
    #[cfg(test)]
    pub(crate) fn take_down(&self, broker: i32) -> Result<(), MockError> {
        self.try_to(format!("take broker {broker} down"), |cluster| cluster.broker_down(broker))
    }

    /// Lets a broker (-1: all) accept connections again.
    ///
    /// # Errors
    /// [`MockError`] for an unknown broker.
    #[cfg(test)]
    pub(crate) fn bring_up(&self, broker: i32) -> Result<(), MockError> {
        self.try_to(format!("bring broker {broker} up"), |cluster| cluster.broker_up(broker))
    }

    /// Delays every answer of a broker (-1: all).
    ///
    /// # Errors
    /// [`MockError`] for an unknown broker.
    pub(crate) fn set_round_trip(&self, broker: i32, delay: Duration) -> Result<(), MockError> {
        self.try_to("delay answers".into(), |cluster| cluster.broker_round_trip_time(broker, delay))
    }

    /// Makes `broker` the leader of a partition; `None` leaves it without one.
    ///
    /// # Errors
    /// [`MockError`] for an unknown partition or broker.
    pub fn move_leader(&self, topic: &str, partition: i32, broker: Option<i32>) -> Result<(), MockError> {
        self.try_to(format!("move the leader of {topic}[{partition}]"), |cluster| {
            cluster.partition_leader(topic, partition, broker)
        })
    }

    /// Makes `broker` the coordinator of a group.
    ///
    /// # Errors
    /// [`MockError`] when librdkafka refuses.
    pub fn move_coordinator(&self, group: &str, broker: i32) -> Result<(), MockError> {
        self.try_to(format!("move the coordinator of group {group}"), |cluster| {
            cluster.coordinator(MockCoordinator::Group(group.to_owned()), broker)
        })
    }

    /// Where the partitions of a topic end, summed: the records it was ever given.
    ///
    /// # Errors
    /// [`MockError`] for an unknown topic.
    pub(crate) fn records_of(&self, topic: &str, partitions: i32) -> Result<u64, MockError> {
        let refused = |source| MockError::Refused { action: format!("tell the ends of {topic}"), source };
        let end = |partition| {
            let (_, end) =
                self.owner.client().fetch_watermarks(topic, partition, WATERMARKS_TIMEOUT).map_err(refused)?;
            Ok(u64::try_from(end).unwrap_or(0))
        };
        (0..partitions).map(end).sum()
    }

    fn with<T>(&self, control: impl FnOnce(&MockCluster<'_, DefaultProducerContext>) -> T) -> Result<T, MockError> {
        // Serves the owner's own error events, which would pile up while brokers are down.
        self.owner.poll(Duration::ZERO);
        self.owner.client().mock_cluster().map(|cluster| control(&cluster)).ok_or(MockError::Absent)
    }

    fn try_to(
        &self,
        action: String,
        control: impl FnOnce(&MockCluster<'_, DefaultProducerContext>) -> Result<(), KafkaError>,
    ) -> Result<(), MockError> {
        self.with(control)?.map_err(|source| MockError::Refused { action, source })
    }
}

impl Drop for MockKafka {
    fn drop(&mut self) {
        self.owner.poll(Duration::ZERO);
    }
}

#[cfg(test)]
mod tests;
