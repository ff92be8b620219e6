//! Whether a Kafka cluster answers, asked at start.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use secrecy::ExposeSecret;

use crate::config::plan::KafkaConnection;

/// Asks a cluster for its brokers, within `limit`.
///
/// # Errors
/// Why it did not answer: a sentence without secrets.
pub fn answers(connection: &KafkaConnection, limit: Duration) -> Result<(), String> {
    let mut config = ClientConfig::new();
    for (name, value) in &connection.properties {
        config.set(name, value.expose_secret());
    }
    config.set("bootstrap.servers", connection.brokers.join(","));
    // librdkafka's own words about every attempt would drown the one sentence that counts.
    config.set("log_level", "0");
    let refused = |error: rdkafka::error::KafkaError| format!("{}: {error}", connection.brokers.join(","));
    let client: BaseConsumer = config.create().map_err(refused)?;
    client.fetch_metadata(Some("__sluicegate_probe"), limit).map(drop).map_err(refused)
}
