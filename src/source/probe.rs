//! Whether a Kafka cluster answers, asked at start.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};
use secrecy::ExposeSecret;

use super::credentials;
use super::start::History;
use super::wanted::TopicChoice;
use crate::config::pattern::SourceTopic;
use crate::config::plan::{KafkaConnection, SourcePlan};
use crate::config::secret::is_sensitive;
use crate::librdkafka::{ErrorCode, words};
use crate::model::{Position, TopicPartition};

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
    /// No client can be made with these properties: asking again changes nothing.
    #[error("no client can be made: {0}")]
    Impossible(String),
    /// It does not take us for who we say we are.
    #[error("{0}")]
    Refused(String),
}

/// Asks a cluster for its brokers, within `limit`.
///
/// # Errors
/// [`NoAnswer`].
pub fn answers(connection: &KafkaConnection, limit: Duration) -> Result<(), NoAnswer> {
    ask(connection, None, |client| client.fetch_metadata(Some("__sluicegate_probe"), limit)).map(drop)
}

/// What a cluster has of a source's topics.
#[derive(Debug, Default)]
pub struct Found {
    /// Every partition, each once.
    pub partitions: Vec<TopicPartition>,
    /// How many topics they are of.
    pub topics: usize,
    /// Patterns that match no topic, as written.
    pub unmatched: Vec<String>,
    missing: Vec<String>,
}

/// Looks for a source's topics.
///
/// # Errors
/// Why the cluster did not answer, or which topic is not there.
pub fn find(source: &SourcePlan, limit: Duration) -> Result<Found, String> {
    let found = find_all(source, limit)?;
    match found.missing.first() {
        Some(name) => Err(format!("topic {name} does not exist")),
        None => Ok(found),
    }
}

fn find_all(source: &SourcePlan, limit: Duration) -> Result<Found, String> {
    let metadata =
        ask(&source.connection, None, |client| client.fetch_metadata(None, limit)).map_err(|why| why.to_string())?;
    let choice = TopicChoice::new(source);
    let mut found = Found::default();
    for wanted in &source.topics {
        let before = found.partitions.len();
        let is_wanted = |name: &str| wanted.matches(name) && choice.takes(name);
        for topic in metadata.topics().iter().filter(|topic| is_wanted(topic.name())) {
            let name: std::sync::Arc<str> = topic.name().into();
            let partition = |partition: i32| TopicPartition { topic: name.clone(), partition };
            found.partitions.extend(topic.partitions().iter().map(|one| partition(one.id())));
        }
        match wanted {
            SourceTopic::Name(name) if found.partitions.len() == before => {
                found.missing.push(name.clone());
            }
            SourceTopic::Pattern(pattern) if found.partitions.len() == before => {
                found.unmatched.push(pattern.to_string())
            }
            SourceTopic::Name(_) | SourceTopic::Pattern(_) => {}
        }
    }
    found.partitions.sort();
    found.partitions.dedup();
    let topics: std::collections::BTreeSet<_> = found.partitions.iter().map(|one| &one.topic).collect();
    found.topics = topics.len();
    Ok(found)
}

/// Every partition of a source's topics, patterns included.
///
/// # Errors
/// Why the cluster did not answer, which topic is not there, or that no topic matches.
pub fn partitions(source: &SourcePlan, limit: Duration) -> Result<Vec<TopicPartition>, String> {
    let found = find(source, limit)?;
    if found.partitions.is_empty() {
        return Err(format!("no topic matches `{}`", found.unmatched.join("`, `")));
    }
    Ok(found.partitions)
}

/// What lies in a source's topics now, and whether its group has read before: asked before the group is joined.
///
/// # Errors
/// Why the cluster did not answer.
pub fn history(source: &SourcePlan, limit: Duration) -> Result<History, String> {
    let found = find_all(source, limit)?;
    if found.partitions.is_empty() {
        return Ok(History::default());
    }
    let list = |at| {
        let mut list = TopicPartitionList::new();
        found.partitions.iter().for_each(|one| {
            // Only a topic name with a NUL byte is refused, and there is none in a cluster.
            let _ = list.add_partition_offset(&one.topic, one.partition, at);
        });
        list
    };
    ask(&source.connection, Some(&source.group), |client| {
        let mut history = History::default();
        for element in client.committed_offsets(list(Offset::Invalid), limit)?.elements() {
            element.error()?;
            history.group_has_read |= element.offset().to_raw().is_some_and(|offset| offset >= 0);
        }
        // Then nothing is history, and a partition without a leader is no reason to wait.
        if history.group_has_read {
            return Ok(history);
        }
        for element in client.offsets_for_times(list(Offset::End), limit)?.elements() {
            element.error()?;
            let name = TopicPartition { topic: element.topic().into(), partition: element.partition() };
            history.ends.insert(name, Position(element.offset().to_raw().unwrap_or(0).max(0)));
        }
        Ok(history)
    })
    .map_err(|why| why.to_string())
}

/// Hears what librdkafka reports beside the answer to a call: only there does it say that credentials were refused, or
/// what a listener is. A broker's own words about credentials may quote anything, so they are not passed on.
#[derive(Default)]
struct Listener {
    refusal: OnceLock<ErrorCode>,
    words: Mutex<String>,
}

impl Listener {
    /// Keeps the last that was said; what says what to do outlives the rest.
    fn hear(&self, text: &str) {
        let mut words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        if words.is_empty() || words::remedy(text).is_some() {
            *words = words::told(text);
        }
    }
}

impl ClientContext for Listener {
    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code().and_then(|code| ErrorCode::of(code as i32)) {
            // The first one says it.
            Some(code) if credentials::is_refusal(code) => drop(self.refusal.set(code)),
            Some(_) | None => self.hear(reason),
        }
    }

    fn log(&self, _: RDKafkaLogLevel, facility: &str, text: &str) {
        if facility == "FAIL" && words::remedy(text).is_some() {
            self.hear(text);
        }
    }
}

impl ConsumerContext for Listener {}

fn ask<T>(
    connection: &KafkaConnection,
    group: Option<&str>,
    question: impl FnOnce(&BaseConsumer<Listener>) -> Result<T, KafkaError>,
) -> Result<T, NoAnswer> {
    let brokers = connection.brokers.join(",");
    let client = client(connection, Some(&brokers), group).map_err(NoAnswer::Impossible)?;
    question(&client).map_err(|error| {
        let heard = client.context();
        (0..EVENTS).take_while(|_| heard.refusal.get().is_none()).for_each(|_| drop(client.poll(EVENT_WITHIN)));
        let words = heard.words.lock().unwrap_or_else(PoisonError::into_inner);
        match heard.refusal.get() {
            Some(code) => NoAnswer::Refused(format!("{brokers}: {code}")),
            None if words.is_empty() => NoAnswer::Unreachable(format!("{brokers}: {error}")),
            None => NoAnswer::Unreachable(format!("{brokers}: {words}")),
        }
    })
}

/// Whether a client with the properties of a connection can be made. Reaches no server.
///
/// # Errors
/// Why not, in librdkafka's words, without secrets.
pub fn can_be_made(connection: &KafkaConnection) -> Result<(), String> {
    client(connection, None, None).map(drop)
}

fn client(
    connection: &KafkaConnection,
    brokers: Option<&str>,
    group: Option<&str>,
) -> Result<BaseConsumer<Listener>, String> {
    let mut config = ClientConfig::new();
    for (name, value) in &connection.properties {
        config.set(name, value.expose_secret());
    }
    if let Some(brokers) = brokers {
        config.set("bootstrap.servers", brokers);
    }
    if let Some(group) = group {
        config.set("group.id", group);
    }
    // Why a connection broke is a line of information; it goes to the listener only, whatever the process logs.
    config.set_log_level(RDKafkaLogLevel::Info);
    config.create_with_context(Listener::default()).map_err(|error| {
        let words = match &error {
            KafkaError::ClientCreation(words) => words.clone(),
            other => other.to_string(),
        };
        let secrets = connection.properties.iter().filter(|(name, _)| is_sensitive(name));
        secrets.fold(words, |words, (_, secret)| match secret.expose_secret() {
            secret if secret.len() > 3 => words.replace(secret, "…"),
            _ => words,
        })
    })
}
