//! What only a real broker refuses, and how the Kafka sink finds the records that are to blame.

use std::time::Duration;

use sluicegate_testkit::services::NewRecord;
use sluicegate_testkit::services::shared::Need;

use crate::support::bench::until;
use crate::support::process::Ended;
use crate::support::relay::Relay;
use crate::support::servers;

/// For one run of a few records on a machine that other work shares.
const LIMIT: Duration = Duration::from_secs(90);

/// The records of `guilty` are dead letters, each once and for this reason; all others are in topic `out`, at its end
/// in order.
fn assert_only_these_are_dead(
    relay: &Relay<'_>,
    ended: Ended,
    records: usize,
    guilty: &[usize],
    reason: &str,
) -> Ended {
    let ended = ended.assert_code(0);
    let good: Vec<usize> = (0..records).filter(|n| !guilty.contains(n)).collect();
    let out = relay.numbers("out");
    assert!(out.ends_with(&good) && out.iter().all(|n| good.contains(n)), "{out:?}\n{}", ended.tail());
    assert_eq!(relay.dead(), guilty, "{}", ended.tail());
    for letter in relay.client().read_all(&relay.topic("dead")).unwrap() {
        let says = |header: &(String, Option<Vec<u8>>)| header.1.as_deref() == Some(reason.as_bytes());
        assert!(letter.headers.iter().any(says), "{:?}", letter.headers);
    }
    assert_eq!(ended.count("p", "delivered"), good.len() as u64);
    relay.assert_committed(records);
    ended
}

/// A record of about so many bytes that no compression makes much smaller.
fn record(n: usize, bytes: usize) -> String {
    let text: String = (0..bytes).map(|_| fastrand::alphanumeric()).collect();
    format!("{{\"n\":{n},\"type\":\"out\",\"text\":\"{text}\"}}")
}

#[test]
fn the_topic_s_limit_is_read_and_larger_records_are_rejected_unsent() {
    let Some([kafka]) = servers("the_topic_s_limit_is_read", [Need::KafkaIn]) else { return };
    let bytes = |n| if n == 4 { 40_000 } else { 20_000 };
    let relay = Relay::new(kafka, (0..10).map(|n| NewRecord::keyed("k", record(n, bytes(n)))));
    relay.create("out", &[("max.message.bytes", "30000")]);
    let ended = relay.run("out", "", "").wait(LIMIT);
    let ended = assert_only_these_are_dead(&relay, ended, 10, &[4], "too_large");
    assert_eq!(ended.count("p", "rewound"), 0, "{}", ended.tail());
}

/// Of topics that records name the limit is not known: the broker refuses a batch, and the record is found.
#[test]
fn of_a_batch_above_the_broker_s_limit_only_the_guilty_record_is_rejected() {
    let Some([kafka]) = servers("of_a_batch_above_the_broker_s_limit", [Need::KafkaIn]) else { return };
    let bytes = |n| if n == 17 { 30_000 } else { 5_000 };
    let relay = Relay::new(kafka, (0..30).map(|n| NewRecord::keyed("k", record(n, bytes(n)))));
    relay.create("out", &[("max.message.bytes", "20000")]);
    let ended = relay.run("{/type}", "", "").wait(LIMIT);
    assert_only_these_are_dead(&relay, ended, 30, &[17], "too_large");
}

#[test]
fn null_keys_in_a_compacted_topic_are_named_by_the_broker_and_rejected() {
    let Some([kafka]) = servers("null_keys_in_a_compacted_topic", [Need::KafkaIn]) else { return };
    let guilty: Vec<usize> = (0..50).filter(|n| n % 10 == 3).collect();
    let records = (0..50).map(|n| {
        let keyed = NewRecord::keyed("k", record(n, 20));
        if guilty.contains(&n) { NewRecord { key: None, ..keyed } } else { keyed }
    });
    let relay = Relay::new(kafka, records);
    relay.create("out", &[("cleanup.policy", "compact")]);
    let ended = relay.run("out", "", "").wait(LIMIT);
    assert_only_these_are_dead(&relay, ended, 50, &guilty, "refused");
}

#[test]
fn a_topic_that_is_made_later_ends_the_wait() {
    let Some([kafka]) = servers("a_topic_that_is_made_later", [Need::KafkaIn]) else { return };
    let relay = Relay::new(kafka, (0..5).map(|n| NewRecord::keyed("k", record(n, 20))));
    let process = relay.run("out", "", "");
    let told = || process.log().contains(&format!("topic {}", relay.topic("out")));
    until("the topic's name in the log", LIMIT, told, || process.tail());
    assert_eq!(process.delivered("p"), 0);
    relay.create("out", &[]);
    assert_only_these_are_dead(&relay, process.wait(LIMIT), 5, &[], "");
}
