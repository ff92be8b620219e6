//! The consumer's client configuration. Pure.

use secrecy::ExposeSecret;

use super::wanted;
use crate::config::plan::SourcePlan;
use crate::librdkafka::RECONNECT_BACKOFF_MAX_MS;

/// Share of a pipeline's memory that librdkafka's prefetch may take: a quarter.
const PREFETCH_PART: usize = 4;

/// librdkafka's smallest allowed `fetch.max.bytes`, which is its default `message.max.bytes`.
const SMALLEST_FETCH: usize = 1_000_000;

/// Properties for the consumer of a source, given its pipeline's memory share.
///
/// The starting configuration was measured: `fetch.queue.backoff.ms` at its default of 1 s stalls every partition for a
/// second each time the prefetch fills (3.4 to 15 times the throughput); an end-of-partition event moves a position by two
/// in librdkafka 2.12 batches; `auto.offset.reset` at librdkafka's default loses data after a truncation.
#[must_use]
pub fn consumer(plan: &SourcePlan, memory_bytes: usize, until_end: bool) -> Vec<(String, String)> {
    let prefetch = prefetch_bytes(memory_bytes, plan.connection.brokers.len());
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
        set("fetch.max.bytes", prefetch.to_string()),
        set("queued.max.messages.kbytes", (prefetch / 1024).to_string()),
        set("enable.partition.eof", "false".into()),
        set("isolation.level", "read_committed".into()),
        set("statistics.interval.ms", if until_end { "500".into() } else { "5000".into() }),
    ]);
    all.extend(wanted::left_out(plan).map(|patterns| set(wanted::LEFT_OUT, patterns)));
    all.extend(plan.instance_id.iter().map(|id| set("group.instance.id", id.clone())));
    all
}

/// `fetch.max.bytes` and the queue limit: the consumer may overshoot by one response of each broker, and a queued message
/// costs about 1.4 times its bytes (measured).
fn prefetch_bytes(memory_bytes: usize, brokers: usize) -> usize {
    let per_response = memory_bytes / PREFETCH_PART * 10 / 14 / (1 + brokers.max(1));
    per_response.clamp(SMALLEST_FETCH, 64 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefetch_fits_a_quarter_of_the_share() {
        let bytes = prefetch_bytes(128 << 20, 2);
        assert!(bytes * 3 * 14 / 10 <= (128 << 20) / 4);
        assert_eq!(prefetch_bytes(1 << 20, 1), SMALLEST_FETCH);
    }
}
