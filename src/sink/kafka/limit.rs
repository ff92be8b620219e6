//! Reads the largest record the output topic takes, where that is permitted.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use secrecy::ExposeSecret;

use crate::config::plan::KafkaConnection;

/// `max.message.bytes` of a topic. Blocks for at most `limit`.
///
/// # Errors
/// Nobody answered, the right is missing, or the answer lacks the entry: why, for a warning.
pub(super) fn max_message_bytes(connection: &KafkaConnection, topic: &str, limit: Duration) -> Result<u32, String> {
    let mut config = ClientConfig::new();
    for (name, value) in &connection.properties {
        config.set(name, value.expose_secret());
    }
    config.set("bootstrap.servers", connection.brokers.join(","));
    config.set_log_level(rdkafka::config::RDKafkaLogLevel::Emerg);
    let client: AdminClient<DefaultClientContext> = config.create().map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|error| format!("no runtime: {error}"))?;
    let resource = ResourceSpecifier::Topic(topic);
    let options = AdminOptions::new().request_timeout(Some(limit));
    let answer = runtime.block_on(async {
        tokio::time::timeout(limit + Duration::from_secs(1), client.describe_configs([&resource], &options)).await
    });
    let results = answer.map_err(|_| "no answer in time".to_owned())?.map_err(|error| error.to_string())?;
    let resource = results.into_iter().next().ok_or("an empty answer")?.map_err(|error| error.to_string())?;
    let entry = resource.get("max.message.bytes").ok_or("the answer has no max.message.bytes")?;
    entry
        .value
        .as_deref()
        .and_then(|value| value.parse().ok())
        .ok_or_else(|| "max.message.bytes is not a number".to_owned())
}
