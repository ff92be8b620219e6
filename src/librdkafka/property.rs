//! Names and values of configuration properties, judged by the C library itself: offline, before anything runs.

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;

/// Whether the library knows the property and takes the value.
///
/// # Errors
/// Its own words where it has any. They may quote the value: not for secrets.
pub fn accepted(name: &str, value: &str) -> Result<(), Option<String>> {
    match ClientConfig::new().set(name, value).create_native_config() {
        Ok(_) => Ok(()),
        Err(KafkaError::ClientConfig(_, words, _, _)) => Err(Some(words)),
        Err(_) => Err(None),
    }
}
