//! Which librdkafka properties a connection may pass through, and why the others may not.

/// Why a property is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protected {
    /// The reason.
    pub why: &'static str,
    /// What to do instead.
    pub instead: &'static str,
}

const OFFSETS: Protected = Protected {
    why: "sluicegate commits an offset only after its record is resolved; with this property records could be skipped or lost",
    instead: "remove it; `commit.interval` of the pipeline says how often offsets are committed",
};
const RESET: Protected = Protected {
    why: "librdkafka's reset after a fault would jump over records unseen; sluicegate finds the place itself",
    instead: "remove it; `start: earliest` or `latest` of the source says where a new group starts",
};
const END: Protected = Protected {
    why: "end-of-partition events are counted as messages by the batch call and move the position",
    instead: "remove it; `run --until end` stops at the end",
};
const DELIVERY: Protected = Protected {
    why: "the Kafka sink needs acks=all, idempotence and no expiry: otherwise records are lost, doubled or overtaken",
    instead: "remove it; `retry.in_place` of the pipeline bounds retries",
};
const TRANSACTIONS: Protected = Protected {
    why: "sluicegate does not use transactions, and isolation decides which records count as read",
    instead: "remove it",
};
const OWN_KEY: Protected = Protected {
    why: "it has a key of its own in this configuration, which would be overruled unseen",
    instead: "use `brokers`, `tls` and `sasl` of the connection, or `group`, `instance_id` and `session_timeout` of the source",
};
const SINK_KEY: Protected = Protected {
    why: "it has a key of its own in the Kafka sink, which would be overruled unseen",
    instead: "use `linger`, `compression` and `partitioner` of the sink",
};
const BUDGET: Protected = Protected {
    why: "it is derived from `limits.memory`; another value would break the memory bound",
    instead: "remove it and change `limits.memory`",
};
const ASSIGNMENT: Protected = Protected {
    why: "only the cooperative-sticky assignor of the classic protocol keeps what is in flight while partitions move",
    instead: "remove it, or write `cooperative-sticky`",
};
const PROTOCOL: Protected =
    Protected { why: "only the classic group protocol is supported", instead: "remove it, or write `classic`" };
const CALLBACK: Protected = Protected {
    why: "callbacks, queues and plug-ins belong to the program and cannot be configured",
    instead: "remove it",
};
const STATISTICS: Protected = Protected {
    why: "sluicegate reads librdkafka's statistics for lag and for `--until`, at its own interval",
    instead: "remove it; metrics are at /metrics",
};

/// Why this property with this value may not be passed through; `None` when it may.
#[must_use]
pub fn protected(name: &str, value: Option<&str>) -> Option<Protected> {
    let name = name.trim().to_ascii_lowercase();
    match name.as_str() {
        "partition.assignment.strategy" if value == Some("cooperative-sticky") => None,
        "group.protocol" if value.is_some_and(|value| value.eq_ignore_ascii_case("classic")) => None,
        name if name.ends_with("_cb") || name.starts_with("interceptor") => Some(CALLBACK),
        name => TABLE.iter().find(|(known, _)| *known == name).map(|(_, protected)| *protected),
    }
}

const TABLE: [(&str, Protected); 58] = [
    ("enable.auto.commit", OFFSETS),
    ("auto.commit.enable", OFFSETS),
    ("auto.commit.interval.ms", OFFSETS),
    ("enable.auto.offset.store", OFFSETS),
    ("offset.store.method", OFFSETS),
    ("offset.store.path", OFFSETS),
    ("offset.store.sync.interval.ms", OFFSETS),
    ("auto.offset.reset", RESET),
    ("enable.partition.eof", END),
    ("acks", DELIVERY),
    ("request.required.acks", DELIVERY),
    ("message.timeout.ms", DELIVERY),
    ("delivery.timeout.ms", DELIVERY),
    ("enable.idempotence", DELIVERY),
    ("enable.gapless.guarantee", DELIVERY),
    ("max.in.flight", DELIVERY),
    ("max.in.flight.requests.per.connection", DELIVERY),
    ("retries", DELIVERY),
    ("message.send.max.retries", DELIVERY),
    ("delivery.report.only.error", DELIVERY),
    ("queuing.strategy", DELIVERY),
    ("transactional.id", TRANSACTIONS),
    ("transaction.timeout.ms", TRANSACTIONS),
    ("isolation.level", TRANSACTIONS),
    ("bootstrap.servers", OWN_KEY),
    ("metadata.broker.list", OWN_KEY),
    ("group.id", OWN_KEY),
    ("group.instance.id", OWN_KEY),
    ("session.timeout.ms", OWN_KEY),
    // Derived from the session timeout.
    ("heartbeat.interval.ms", OWN_KEY),
    ("linger.ms", SINK_KEY),
    ("queue.buffering.max.ms", SINK_KEY),
    ("compression.codec", SINK_KEY),
    ("compression.type", SINK_KEY),
    ("partitioner", SINK_KEY),
    ("queued.max.messages.kbytes", BUDGET),
    ("queued.min.messages", BUDGET),
    ("fetch.max.bytes", BUDGET),
    ("max.partition.fetch.bytes", BUDGET),
    ("fetch.message.max.bytes", BUDGET),
    ("queue.buffering.max.messages", BUDGET),
    ("queue.buffering.max.kbytes", BUDGET),
    ("batch.size", BUDGET),
    ("batch.num.messages", BUDGET),
    ("partition.assignment.strategy", ASSIGNMENT),
    ("group.protocol", PROTOCOL),
    ("group.remote.assignor", PROTOCOL),
    ("group.protocol.type", PROTOCOL),
    ("statistics.interval.ms", STATISTICS),
    ("stats.interval.ms", STATISTICS),
    ("consume.callback.max.messages", CALLBACK),
    ("enabled_events", CALLBACK),
    ("opaque", CALLBACK),
    ("default_topic_conf", CALLBACK),
    ("msg_order_cmp", CALLBACK),
    ("log.queue", CALLBACK),
    ("plugin.library.paths", CALLBACK),
    ("interceptors", CALLBACK),
];

/// Properties that the blocks `tls` and `sasl` set.
pub const TLS_AND_SASL: [&str; 10] = [
    "security.protocol",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.key.password",
    "enable.ssl.certificate.verification",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.username",
    "sasl.password",
];

/// Whether a property only works in a build with OpenSSL.
#[must_use]
pub fn needs_tls_build(name: &str, value: Option<&str>) -> bool {
    let name = name.to_ascii_lowercase();
    let value = value.unwrap_or_default().to_ascii_uppercase();
    match name.as_str() {
        "security.protocol" => value.contains("SSL"),
        "sasl.mechanism" | "sasl.mechanisms" => value.starts_with("SCRAM") || value == "OAUTHBEARER",
        name => name.starts_with("ssl.") || name.starts_with("sasl.oauthbearer"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guarantee_cannot_be_configured_away() {
        let mut seen = std::collections::BTreeSet::new();
        for (name, _) in TABLE {
            assert!(seen.insert(name), "{name} twice");
            assert!(protected(name, Some("x")).is_some(), "{name}");
            assert!(protected(&name.to_uppercase(), None).is_some(), "{name}");
        }
        for name in ["rebalance_cb", "dr_msg_cb", "socket_cb", "interceptor.classes"] {
            assert!(protected(name, None).is_some(), "{name}");
        }
    }

    #[test]
    fn harmless_properties_pass() {
        for name in [
            "fetch.wait.max.ms",
            "client.id",
            "client.rack",
            "message.max.bytes",
            "socket.keepalive.enable",
            "max.poll.interval.ms",
            "debug",
        ] {
            assert_eq!(protected(name, Some("1")), None, "{name}");
        }
        assert_eq!(protected("partition.assignment.strategy", Some("cooperative-sticky")), None);
        assert!(protected("partition.assignment.strategy", Some("range")).is_some());
        assert!(protected("partition.assignment.strategy", Some("cooperative-sticky,range")).is_some());
        assert_eq!(protected("group.protocol", Some("classic")), None);
        assert!(protected("group.protocol", Some("consumer")).is_some());
    }

    #[test]
    fn what_needs_openssl() {
        assert!(needs_tls_build("security.protocol", Some("sasl_ssl")));
        assert!(!needs_tls_build("security.protocol", Some("SASL_PLAINTEXT")));
        assert!(needs_tls_build("sasl.mechanisms", Some("SCRAM-SHA-512")));
        assert!(!needs_tls_build("sasl.mechanisms", Some("PLAIN")));
        assert!(needs_tls_build("ssl.ca.location", None));
    }
}
