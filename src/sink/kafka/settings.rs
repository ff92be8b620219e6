//! The properties of a producer that keeps the promise: nothing expires, nothing overtakes, everything is acknowledged.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::config::plan::KafkaConnection;
use crate::librdkafka::RECONNECT_BACKOFF_MAX_MS;

/// librdkafka's default of `message.max.bytes`, below Kafka's own default of 1,048,588.
const DEFAULT_MESSAGE_BYTES: u32 = 1_000_000;
/// librdkafka's default of `batch.size`.
const BATCH_BYTES: u32 = 1_000_000;

/// The most the producer holds unacknowledged. With idempotence librdkafka has at most five requests of `batch.size`
/// out to a broker, so this keeps six brokers busy at any distance; more only waits here, and has left the processor's
/// caches when it is sent.
const QUEUE_KBYTES: usize = 32 << 10;

/// What differs between producers.
#[derive(Debug, Clone)]
pub struct ProducerSettings<'a> {
    /// `linger.ms`.
    pub linger: Duration,
    /// Codec name.
    pub compression: &'a str,
    /// Partitioner name.
    pub partitioner: &'a str,
    /// Largest message; `None` when the topic's limit is not known.
    pub message_max_bytes: Option<u32>,
    /// The pipeline's byte budget: the producer's queue holds no more.
    pub memory_bytes: usize,
    /// One record a request, to find out which of several the broker refuses.
    pub alone: bool,
}

/// Properties in the order they are applied; later ones win. What the connection says wins over defaults, what the
/// guarantee needs wins over everything.
#[must_use]
pub fn properties(connection: &KafkaConnection, settings: &ProducerSettings<'_>) -> Vec<(String, SecretString)> {
    let largest = settings.message_max_bytes.unwrap_or(DEFAULT_MESSAGE_BYTES).clamp(1_000, 1_000_000_000);
    // One message of the largest size must fit the queue, however small the budget is.
    let kbytes = (settings.memory_bytes / 1024).min(QUEUE_KBYTES).max(largest as usize / 1024 + 1).max(1_024);
    let messages = (settings.memory_bytes / 256).clamp(10_000, 10_000_000);
    let mut properties: Vec<(String, SecretString)> = Vec::new();
    let mut set = |name: &str, value: String| properties.push((name.to_owned(), value.into()));
    set("client.id", "sluicegate".to_owned());
    set("linger.ms", millis(settings.linger));
    set("compression.type", settings.compression.to_owned());
    set("partitioner", settings.partitioner.to_owned());
    set("message.max.bytes", largest.to_string());
    set("batch.size", largest.min(BATCH_BYTES).to_string());
    set("queue.buffering.max.kbytes", kbytes.to_string());
    set("queue.buffering.max.messages", messages.to_string());
    set("socket.nagle.disable", "true".to_owned());
    set("reconnect.backoff.max.ms", RECONNECT_BACKOFF_MAX_MS.to_string());
    for (name, value) in &connection.properties {
        set(name, value.expose_secret().to_owned());
    }
    set("bootstrap.servers", connection.brokers.join(","));
    set("enable.idempotence", "true".to_owned());
    set("acks", "all".to_owned());
    // An expired record would be overtaken by its successors; giving up is the sink's decision.
    set("message.timeout.ms", "0".to_owned());
    set("retries", i32::MAX.to_string());
    set("delivery.report.only.error", "false".to_owned());
    if settings.alone {
        set("batch.num.messages", "1".to_owned());
        set("linger.ms", "0".to_owned());
    }
    properties
}

/// Milliseconds with a fraction: librdkafka's `linger.ms` takes one.
fn millis(duration: Duration) -> String {
    (duration.as_secs_f64() * 1e3).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::librdkafka::producer::Producer;
    use std::collections::BTreeMap;

    fn settings() -> ProducerSettings<'static> {
        ProducerSettings {
            linger: Duration::from_micros(2_500),
            compression: "zstd",
            partitioner: "murmur2_random",
            message_max_bytes: Some(5_000_000),
            memory_bytes: 64 << 20,
            alone: false,
        }
    }

    fn connection(more: &[(&str, &str)]) -> KafkaConnection {
        KafkaConnection {
            name: "downstream".into(),
            brokers: vec!["127.0.0.1:1".into(), "127.0.0.2:1".into()],
            properties: more
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).into()))
                .collect::<BTreeMap<_, _>>(),
        }
    }

    fn last(properties: &[(String, SecretString)], name: &str) -> Option<String> {
        properties.iter().rev().find(|(of, _)| of == name).map(|(_, value)| value.expose_secret().to_owned())
    }

    #[test]
    fn the_connection_overrides_defaults_but_not_the_guarantee() {
        let connection = connection(&[("linger.ms", "7"), ("acks", "0"), ("message.timeout.ms", "10")]);
        let properties = properties(&connection, &settings());
        assert_eq!(last(&properties, "linger.ms").as_deref(), Some("7"));
        assert_eq!(last(&properties, "acks").as_deref(), Some("all"));
        assert_eq!(last(&properties, "message.timeout.ms").as_deref(), Some("0"));
        assert_eq!(last(&properties, "bootstrap.servers").as_deref(), Some("127.0.0.1:1,127.0.0.2:1"));
    }

    #[test]
    fn librdkafka_takes_every_property_at_the_edges_of_the_budget() {
        for (memory_bytes, message_max_bytes, alone) in
            [(0, None, false), (usize::MAX, Some(u32::MAX), true), (64 << 20, Some(1), false)]
        {
            let settings = ProducerSettings { memory_bytes, message_max_bytes, alone, ..settings() };
            let properties = properties(&connection(&[]), &settings);
            let pairs = properties.iter().map(|(name, value)| (name.as_str(), value.expose_secret()));
            let producer = Producer::open(pairs, || ());
            assert!(producer.is_ok(), "{:?}", producer.err());
        }
    }
}
