//! Whether a Kafka cluster answers, asked at start.

use std::sync::OnceLock;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, ClientContext};
use secrecy::ExposeSecret;

use super::credentials;
use crate::config::plan::{KafkaConnection, SourcePlan};
use crate::librdkafka::ErrorCode;
use crate::model::TopicPartition;

/// Events of a client that did not get its answer, looked through for the reason.
const EVENTS: usize = 32;
/// Wait for each of them.
const EVENT_WITHIN: Duration = Duration::from_millis(20);

/// Why a cluster did not answer: a sentence without secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// Nobody there, or not in time.
    #[error("{0}")]
    Unreachable(String),
    /// It does not take us for who we say we are.
    #[error("{0}")]
    Refused(String),
}

/// Asks a cluster for its brokers, within `limit`.
///
/// # Errors
/// [`NoAnswer`].
pub fn answers(connection: &KafkaConnection, limit: Duration) -> Result<(), NoAnswer> {
    ask(connection, |client| client.fetch_metadata(Some("__sluicegate_probe"), limit)).map(drop)
}

/// Every partition of a source's topics, patterns included.
///
/// # Errors
/// Why the cluster did not answer, or which topic is not there.
pub fn partitions(source: &SourcePlan, limit: Duration) -> Result<Vec<TopicPartition>, String> {
    let metadata =
        ask(&source.connection, |client| client.fetch_metadata(None, limit)).map_err(|why| why.to_string())?;
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

/// Hears what librdkafka reports beside the answer to a call: only there does it say that credentials were refused. The
/// broker's own words may quote anything, so they are not passed on.
#[derive(Default)]
struct Listener {
    refusal: OnceLock<ErrorCode>,
}

impl ClientContext for Listener {
    fn error(&self, error: KafkaError, _: &str) {
        if let Some(code) = error.rdkafka_error_code().filter(|code| credentials::is_refusal(*code)) {
            // The first one says it.
            let _ = self.refusal.set(code);
        }
    }
}

impl ConsumerContext for Listener {}

fn ask<T>(
    connection: &KafkaConnection,
    question: impl FnOnce(&BaseConsumer<Listener>) -> Result<T, KafkaError>,
) -> Result<T, NoAnswer> {
    let client = client(connection).map_err(|error| NoAnswer::Unreachable(error.to_string()))?;
    question(&client).map_err(|error| {
        let refusal = &client.context().refusal;
        (0..EVENTS).take_while(|_| refusal.get().is_none()).for_each(|_| drop(client.poll(EVENT_WITHIN)));
        let brokers = connection.brokers.join(",");
        match refusal.get() {
            Some(code) => NoAnswer::Refused(format!("{brokers}: {code}")),
            None => NoAnswer::Unreachable(format!("{brokers}: {error}")),
        }
    })
}

fn client(connection: &KafkaConnection) -> Result<BaseConsumer<Listener>, KafkaError> {
    let mut config = ClientConfig::new();
    for (name, value) in &connection.properties {
        config.set(name, value.expose_secret());
    }
    config.set("bootstrap.servers", connection.brokers.join(","));
    // librdkafka's own words about every attempt would drown the one sentence that counts.
    config.set("log_level", "0");
    config.create_with_context(Listener::default())
}
