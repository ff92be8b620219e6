//! `start: latest` on a real broker: what lay there before the group first started is left out, and nothing else.

use std::collections::BTreeSet;
use std::time::Duration;

use sluicegate_testkit::services::kafka::{self, KafkaOptions};
use sluicegate_testkit::services::{KafkaClient, NewRecord};

use crate::support::bench::until;
use crate::support::own;
use crate::support::process::Process;

const LIMIT: Duration = Duration::from_secs(60);

fn yaml(brokers: &str) -> String {
    format!(
        "version: 1\nconnections:\n  kafka:\n    k: {{ brokers: [\"{brokers}\"], \
         librdkafka: {{ topic.metadata.refresh.interval.ms: 1000 }} }}\npipelines:\n  copy:\n    source:\n      \
         kafka: {{ connection: k, topics: [\"^in-.*\"], group: g, start: latest }}\n    sink:\n      \
         kafka: {{ connection: k, topic: out, key: \"{{key}}\" }}\ntelemetry: {{ listen: \"127.0.0.1:0\" }}\n"
    )
}

struct Ground {
    client: KafkaClient,
}

impl Ground {
    fn produce(&self, topic: &str, partition: i32, name: &str, count: usize) {
        let records = (0..count).map(|number| NewRecord::keyed(format!("{name}{number}"), "{}").to(partition));
        self.client.produce(topic, records.collect::<Vec<_>>()).unwrap();
    }

    fn out(&self) -> BTreeSet<String> {
        let key = |key: Option<Vec<u8>>| String::from_utf8(key.unwrap_or_default()).unwrap();
        self.client.read_all("out").unwrap().into_iter().map(|record| key(record.key)).collect()
    }

    fn await_out(&self, process: &Process, wanted: &[&str]) {
        let wanted: BTreeSet<String> = wanted.iter().map(ToString::to_string).collect();
        until(
            "what is owed",
            LIMIT,
            || self.out().is_superset(&wanted),
            || format!("{:?}\n{}", self.out(), process.tail()),
        );
    }
}

#[test]
fn what_appears_later_is_read_from_its_beginning_also_after_a_restart() {
    let Some(kafka) = own("start: latest", || kafka::start(&KafkaOptions::default())) else { return };
    let ground = Ground { client: KafkaClient::new(&kafka) };
    for topic in ["in-a", "out"] {
        ground.client.create_topic(topic, 1, &[]).unwrap();
    }
    ground.produce("in-a", 0, "history", 5);
    let first = Process::run("first", &yaml(kafka.endpoint()), &[]);
    // Where it starts is committed, though nothing was read.
    let started = || ground.client.committed("g", "in-a").unwrap() == [Some(5)];
    until("it has started", LIMIT, started, || first.tail());
    ground.produce("in-a", 0, "new", 1);
    ground.client.add_partitions("in-a", 2).unwrap();
    ground.produce("in-a", 1, "added", 3);
    ground.client.create_topic("in-b", 1, &[]).unwrap();
    ground.produce("in-b", 0, "matches", 3);
    ground.await_out(&first, &["new0", "added0", "added1", "added2", "matches0", "matches1", "matches2"]);
    first.terminate();
    first.wait(LIMIT).assert_code(0);

    ground.produce("in-a", 0, "away", 1);
    ground.client.add_partitions("in-a", 3).unwrap();
    ground.produce("in-a", 2, "added-away", 2);
    ground.client.create_topic("in-c", 1, &[]).unwrap();
    ground.produce("in-c", 0, "matches-away", 2);
    let second = Process::run("second", &yaml(kafka.endpoint()), &[]);
    ground.await_out(&second, &["away0", "added-away0", "added-away1", "matches-away0", "matches-away1"]);
    second.terminate();
    second.wait(LIMIT).assert_code(0);
    let out = ground.out();
    assert!(out.iter().all(|key| !key.starts_with("history")), "{out:?}");
    assert_eq!(out.len(), 12, "{out:?}");
}
