//! Whether a Kafka cluster answers, asked at start.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use secrecy::ExposeSecret;

use crate::config::plan::{KafkaConnection, SourcePlan};
use crate::model::TopicPartition;

/// Asks a cluster for its brokers, within `limit`.
///
/// # Errors
/// Why it did not answer: a sentence without secrets.
pub fn answers(connection: &KafkaConnection, limit: Duration) -> Result<(), String> {
    client(connection)?
        .fetch_metadata(Some("__sluicegate_probe"), limit)
        .map(drop)
        .map_err(|error| format!("{}: {error}", connection.brokers.join(",")))
}

/// Every partition of a source's topics, patterns included.
///
/// # Errors
/// Why the cluster did not answer, or which topic is not there.
pub fn partitions(source: &SourcePlan, limit: Duration) -> Result<Vec<TopicPartition>, String> {
    let metadata = client(&source.connection)?.fetch_metadata(None, limit).map_err(|error| error.to_string())?;
    let mut found = Vec::new();
    for wanted in &source.topics {
        let before = found.len();
        for topic in metadata.topics().iter().filter(|topic| is_wanted(wanted, topic.name())) {
            let name: std::sync::Arc<str> = topic.name().into();
            found.extend(topic.partitions().iter().map(|p| TopicPartition { topic: name.clone(), partition: p.id() }));
        }
        if found.len() == before && !wanted.starts_with('^') {
            return Err(format!("topic {wanted} does not exist"));
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

fn is_wanted(wanted: &str, name: &str) -> bool {
    if wanted.starts_with('^') {
        regex_lite::Regex::new(wanted).is_ok_and(|pattern| pattern.is_match(name)) && !name.starts_with("__")
    } else {
        wanted == name
    }
}

fn client(connection: &KafkaConnection) -> Result<BaseConsumer, String> {
    let mut config = ClientConfig::new();
    for (name, value) in &connection.properties {
        config.set(name, value.expose_secret());
    }
    config.set("bootstrap.servers", connection.brokers.join(","));
    // librdkafka's own words about every attempt would drown the one sentence that counts.
    config.set("log_level", "0");
    config.create().map_err(|error: rdkafka::error::KafkaError| error.to_string())
}
