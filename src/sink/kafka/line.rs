//! The producer in use, and how one is made for the plan.

use secrecy::ExposeSecret;

use crate::config::plan::{KafkaSinkPlan, OnMissingTopic};
use crate::librdkafka::producer::Producer;

use super::constant_topic;
use super::settings::{ProducerSettings, properties};
use super::sink::Setup;

/// How long librdkafka waits for a topic of which it heard that it is missing.
const PROPAGATION_MS: &str = "10000";

/// The producer in use.
pub(super) struct CurrentProducer {
    pub(super) producer: Producer,
    pub(super) woken: flume::Receiver<()>,
    /// Whether it sends one record a request.
    pub(super) alone: bool,
}

/// Makes a producer for the plan; its hook fills a channel of one place.
pub(super) fn open_line(setup: &Setup, message_max_bytes: Option<u32>, alone: bool) -> Result<CurrentProducer, String> {
    let plan = &setup.plan;
    let settings = ProducerSettings {
        linger: plan.linger,
        compression: &plan.compression,
        partitioner: &plan.partitioner,
        message_max_bytes,
        memory_bytes: setup.memory_bytes,
        alone,
    };
    let mut properties = properties(&plan.connection, &settings);
    if calls_roll(plan) {
        // What vanishes from under its records is to be known soon; whether they wait is decided here.
        properties.insert(0, ("topic.metadata.propagation.max.ms".to_owned(), PROPAGATION_MS.to_owned().into()));
    }
    let (wake, woken) = flume::bounded(1);
    let pairs = properties.iter().map(|(name, value)| (name.as_str(), value.expose_secret()));
    let producer = Producer::open(pairs, move || {
        let _ = wake.try_send(());
    });
    producer
        .map(|producer| CurrentProducer { producer, woken, alone })
        .map_err(|error| format!("connection {}: {error}", plan.connection.name))
}

/// Whether topics are asked for before anything is produced to them: where records name them, or where what names a
/// missing one is to be rejected.
pub(super) fn calls_roll(plan: &KafkaSinkPlan) -> bool {
    constant_topic(plan).is_none() || plan.on_missing_topic == OnMissingTopic::Reject
}
