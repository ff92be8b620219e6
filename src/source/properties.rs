//! The consumer's client configuration. Pure.

use secrecy::ExposeSecret;

use super::wanted;
use crate::config::plan::SourcePlan;
use crate::librdkafka::RECONNECT_BACKOFF_MAX_MS;
use crate::model::MemoryShare;

/// librdkafka's smallest allowed `fetch.max.bytes`, which is its default `message.max.bytes`.
const SMALLEST_FETCH: usize = 1_000_000;
/// More makes a fetch no cheaper, and its bytes are in memory at once.
const LARGEST_FETCH: usize = 64 << 20;

/// Properties for the consumer of a source, given its pipeline's memory.
///
/// The starting configuration was measured: `fetch.queue.backoff.ms` at its default of 1 s stalls every partition for a
/// second each time the prefetch fills (3.4 to 15 times the throughput); an end-of-partition event moves a position by
/// two in librdkafka 2.12 batches; `auto.offset.reset` at librdkafka's default loses data after a truncation.
#[must_use]
pub fn consumer(plan: &SourcePlan, memory: MemoryShare, until_end: bool) -> Vec<(String, String)> {
    let fetch = fetch_bytes(memory, plan.connection.brokers.len());
    let set = |name: &str, value: String| (name.to_owned(), value);
    // What may be tuned, then what the user says, then what the guarantee and the budget rest on.
    let mut all = vec![
        set("fetch.queue.backoff.ms", "5".into()),
        set("fetch.wait.max.ms", "50".into()),
        set("fetch.min.bytes", "1".into()),
        set("queued.min.messages", "100000".into()),
        set("check.crcs", "true".into()),
        set("partition.assignment.strategy", "cooperative-sticky".into()),
        set("socket.timeout.ms", "10000".into()),
        set("reconnect.backoff.max.ms", RECONNECT_BACKOFF_MAX_MS.to_string()),
        set("socket.nagle.disable", "true".into()),
        set("topic.metadata.refresh.interval.ms", "60000".into()),
        set("allow.auto.create.topics", "false".into()),
    ];
    all.extend(plan.connection.properties.iter().map(|(name, value)| set(name, value.expose_secret().to_owned())));
    all.extend([
        set("bootstrap.servers", plan.connection.brokers.join(",")),
        set("group.id", plan.group.clone()),
        set("enable.auto.commit", "false".into()),
        set("enable.auto.offset.store", "false".into()),
        set("auto.offset.reset", "earliest".into()),
        set("session.timeout.ms", plan.session_timeout.as_millis().to_string()),
        set("heartbeat.interval.ms", (plan.session_timeout.as_millis() / 6).clamp(500, 3000).to_string()),
        set("fetch.max.bytes", fetch.to_string()),
        set("queued.max.messages.kbytes", (fetch / 1024).to_string()),
        set("enable.partition.eof", "false".into()),
        set("isolation.level", "read_committed".into()),
        set("statistics.interval.ms", if until_end { "500".into() } else { "5000".into() }),
    ]);
    all.extend(wanted::left_out(plan).map(|patterns| set(wanted::LEFT_OUT, patterns)));
    all.extend(plan.instance_id.iter().map(|id| set("group.instance.id", id.clone())));
    all
}

/// `fetch.max.bytes` and the limit of the queue.
fn fetch_bytes(memory: MemoryShare, brokers: usize) -> usize {
    memory.fetch_bytes(brokers).clamp(SMALLEST_FETCH, LARGEST_FETCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fetch_has_its_part_of_the_memory_within_what_the_client_allows() {
        let memory = MemoryShare(128 << 20);
        assert_eq!(fetch_bytes(memory, 2), memory.fetch_bytes(2));
        assert_eq!(fetch_bytes(MemoryShare(1 << 20), 1), SMALLEST_FETCH);
        assert_eq!(fetch_bytes(MemoryShare(1 << 40), 1), LARGEST_FETCH);
    }
}
