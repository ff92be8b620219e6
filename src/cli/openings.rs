//! What can be seen of a connection without a server: whether its client can be made at all. `check` and `run` ask the
//! same.

use std::collections::BTreeSet;

use crate::config::plan::{Downstream, KafkaConnection, PipelinePlan, Plan, RedisConnection};
use crate::config::tree::join;
use crate::config::{Finding, Findings, Loaded};
use crate::sink::elasticsearch::Cluster;
use crate::source::probe;

/// Makes each client of a configuration once.
///
/// # Errors
/// Those that cannot be made.
pub(super) fn try_all(loaded: &Loaded) -> Result<(), Findings> {
    let mut findings = Vec::new();
    let mut fault = |kind: &str, name: &str, reason: String, remedy: &str| {
        let path = join(&join("connections", kind), name);
        findings.push(Finding::error(loaded.index.nearest(&path), path, reason).remedy(remedy));
    };
    for connection in clusters(&loaded.plan) {
        if let Err(why) = probe::can_be_made(connection) {
            let remedy = "see `tls`, `sasl` and `librdkafka` of the connection, and what this build has: \
                          `sluicegate version --verbose`";
            fault("kafka", &connection.name, format!("no client can be made: {why}"), remedy);
        }
    }
    let mut seen = BTreeSet::new();
    let downstream = loaded.plan.pipelines.iter().flat_map(PipelinePlan::downstream);
    for connection in downstream.filter_map(Downstream::search) {
        if seen.insert(connection.name.clone())
            && let Err(why) = Cluster::new(connection)
        {
            fault("elasticsearch", &connection.name, why.to_string(), "correct it; the pipeline would not start");
        }
    }
    for connection in redis(&loaded.plan) {
        if let Err(halt) = crate::enrich::can_be_made(connection) {
            fault("redis", &connection.name, halt.message, "correct it; the pipeline would not start");
        }
    }
    if findings.is_empty() { Ok(()) } else { Err(Findings::sorted(findings)) }
}

/// Every Redis server look-ups use, once.
fn redis(plan: &Plan) -> Vec<&RedisConnection> {
    let lookups = plan.pipelines.iter().flat_map(PipelinePlan::lookups);
    let mut all: Vec<&RedisConnection> = lookups.map(|lookup| &lookup.connection).collect();
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all.dedup_by(|one, other| one.name == other.name);
    all
}

/// Every Kafka cluster a pipeline uses, once.
fn clusters(plan: &Plan) -> Vec<&KafkaConnection> {
    let mut all: Vec<&KafkaConnection> = plan.pipelines.iter().flat_map(PipelinePlan::clusters).collect();
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all.dedup_by(|one, other| one.name == other.name);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Surroundings, load_text};

    fn refused(properties: &str) -> String {
        let text = format!(
            "connections:\n  kafka:\n    up:\n      brokers: [\"h:1\"]\n      librdkafka: {{ {properties} }}\npipelines:\n  p:\n    source: {{ kafka: {{ connection: up, topics: [a], group: g }} }}\n    sink: {{ kafka: {{ connection: up, topic: b }} }}\n"
        );
        let environment = |name: &str| (name == "MECHANISM").then(|| "GSSAPI".to_owned());
        let surroundings = Surroundings { environment: &environment, property: &|_, _| Ok(()), tls: true, cores: 2 };
        let loaded = load_text(&text, "t.yaml", surroundings).unwrap_or_else(|findings| panic!("{findings}"));
        try_all(&loaded).err().map(|findings| findings.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_client_that_cannot_be_made_is_a_finding_with_its_place() {
        assert_eq!(refused("client.id: x"), "");
        for properties in [
            // GSSAPI is librdkafka's default.
            "security.protocol: SASL_PLAINTEXT",
            "security.protocol: SASL_PLAINTEXT, sasl.mechanisms: { env: MECHANISM }, sasl.password: hunter2",
            "security.protocol: SASL_PLAINTEXT, sasl.mechanisms: PLAIN",
            "security.protocol: SASL_PLAINTEXT, sasl.mechanisms: NTLM, sasl.username: u, sasl.password: hunter2",
        ] {
            let shown = refused(properties);
            assert!(shown.contains("t.yaml:3:5: connections.kafka.up"), "{properties}: {shown}");
            assert!(shown.contains("no client can be made") && shown.contains("help:"), "{properties}: {shown}");
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
