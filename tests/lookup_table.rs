//! A look-up in a table, as a process on real servers: what changes in Redis while it runs reaches later records.

use std::time::Duration;

use serde_json::{Value, json};
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
    let relay = Relay::new(kafka, records());
    let (name, table) = (&relay.name, format!("{}-labels", relay.name));
    relay.create("out", &[]);
    let mut client = RedisClient::connect(redis).unwrap();
    client.command(&["HSET", &table, "changed", "old", "removed", "there"]).unwrap();
    let yaml = format!(
        "version: 1\nconnections:\n  kafka:\n    k: {{ brokers: [\"{}\"] }}\n  redis:\n    r: {{ url: \"redis://{}\" }}\n\
         pipelines:\n  p:\n    source:\n      kafka: {{ connection: k, topics: [{name}-in], group: {name} }}\n    steps:\n      \
         - lookup: {{ redis: r, table: {table}, field: \"{{/code}}\", into: /label, refresh: 1s }}\n    sink:\n      \
         kafka: {{ connection: k, topic: {name}-out }}\n    on_reject: stop\ntelemetry: {{ listen: \"127.0.0.1:0\" }}\n",
        kafka.endpoint(),
        redis.endpoint().trim_start_matches("redis://"),
    );
    let process = Process::run(name, &yaml, &[]);
    let mut sent = CODES.len();
    process.await_delivered("p", sent as u64, LIMIT);
    // One command after the other: the table may be read between them, but not for long.
    client.command(&["HSET", &table, "changed", "new", "added", "there"]).unwrap();
    client.command(&["HDEL", &table, "removed"]).unwrap();
    let now = [json!("new"), json!("there"), Value::Null];
    let is_read_again = || {
        relay.client().produce(&relay.topic("in"), records()).unwrap();
        sent += CODES.len();
        process.await_delivered("p", sent as u64, LIMIT);
        labels(&relay).last() == Some(&now)
    };
    until("records with what is in the table now", LIMIT, is_read_again, || process.tail());
    process.terminate();
    process.wait(LIMIT).assert_code(0);
    let labels = labels(&relay);
    assert_eq!(labels[0], [json!("old"), Value::Null, json!("there")]);
    for of_one in 0..CODES.len() {
        let changes = labels.windows(2).filter(|two| two[0][of_one] != two[1][of_one]).count();
        assert_eq!(changes, 1, "{}: {labels:?}", CODES[of_one]);
    }
}

/// Fields of the table: one whose value changes, one that is added, one that is removed.
const CODES: [&str; 3] = ["changed", "added", "removed"];

/// One record for each code, of one key: they stay in order.
fn records() -> impl Iterator<Item = NewRecord> {
    CODES.into_iter().map(|code| NewRecord::keyed("k", json!({ "code": code }).to_string()))
}

/// What was looked up for each round of records.
fn labels(relay: &Relay<'_>) -> Vec<[Value; 3]> {
    let labels: Vec<Value> = relay.values("out").into_iter().map(|mut value| value["label"].take()).collect();
    labels.chunks_exact(CODES.len()).map(|round| round.to_vec().try_into().unwrap()).collect()
}
