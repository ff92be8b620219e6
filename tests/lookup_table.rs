//! A look-up in a table, as a process on real servers: what changes in Redis while it runs reaches later records.

use std::time::{Duration, Instant};

use sluicegate_testkit::services::shared::Need;
use sluicegate_testkit::services::{NewRecord, RedisClient};

use crate::support::bench::until;
use crate::support::process::Process;
use crate::support::relay::Relay;
use crate::support::servers;

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn what_changes_in_a_table_reaches_later_records() {
    let needs = [Need::KafkaIn, Need::Redis];
    let Some([kafka, redis]) = servers("what_changes_in_a_table_reaches_later_records", needs) else { return };
    let relay = Relay::new(kafka, [record(0)]);
    let (name, table) = (&relay.name, format!("{}-labels", relay.name));
    relay.create("out", &[]);
    let mut client = RedisClient::connect(redis).unwrap();
    client.command(&["HSET", &table, "a", "old"]).unwrap();
    let yaml = format!(
        "version: 1\nconnections:\n  kafka:\n    k: {{ brokers: [\"{}\"] }}\n  redis:\n    r: {{ url: \"redis://{}\" }}\n\
         pipelines:\n  p:\n    source:\n      kafka: {{ connection: k, topics: [{name}-in], group: {name} }}\n    steps:\n      \
         - lookup: {{ redis: r, table: {table}, field: \"{{/code}}\", into: /label, refresh: 1s }}\n    sink:\n      \
         kafka: {{ connection: k, topic: {name}-out }}\n    on_reject: stop\ntelemetry: {{ listen: \"127.0.0.1:0\" }}\n",
        kafka.endpoint(),
        redis.endpoint().trim_start_matches("redis://"),
    );
    let process = Process::run(name, &yaml, &[]);
    process.await_delivered("p", 1, LIMIT);
    client.command(&["HSET", &table, "a", "new"]).unwrap();
    let changed = Instant::now();
    let mut sent = 1;
    let is_new = || relay.values("out").last().is_some_and(|value| value["label"] == "new");
    until(
        "a record with the new label",
        LIMIT,
        || {
            relay.client().produce(&relay.topic("in"), [record(sent)]).unwrap();
            sent += 1;
            process.await_delivered("p", sent as u64, LIMIT);
            is_new()
        },
        || process.tail(),
    );
    assert!(
        changed.elapsed() < Duration::from_secs(30),
        "{:?} for a table that is read every second",
        changed.elapsed()
    );
    process.terminate();
    process.wait(LIMIT).assert_code(0);
    let labels: Vec<String> = relay.values("out").iter().map(|value| value["label"].to_string()).collect();
    assert_eq!(labels.first().map(String::as_str), Some("\"old\""));
    assert!(labels.is_sorted_by(|a, b| a >= b), "old, then new: {labels:?}");
}

fn record(n: usize) -> NewRecord {
    NewRecord::keyed("k", format!("{{\"n\":{n},\"code\":\"a\"}}"))
}
