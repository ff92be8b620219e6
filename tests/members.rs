//! Members of a group that come and go, as processes on a real broker: a member that ends leaves its group, whatever it
//! has and whatever it waits for, and no end of one holds the others up.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use sluicegate_testkit::services::kafka::{self, KafkaOptions};
use sluicegate_testkit::services::{KafkaClient, NewRecord, Service, ServiceError};

use crate::support::bench::{let_pass, seed, until};
use crate::support::own;
use crate::support::process::Process;

const LIMIT: Duration = Duration::from_secs(60);
/// `session_timeout` of the members: one that does not leave is waited for this long.
const SESSION: Duration = Duration::from_secs(15);
/// A stop may hold the others up for this long.
const HELD_UP: Duration = Duration::from_secs(10);

struct Group {
    kafka: Service,
    name: String,
    topic: String,
}

impl Group {
    fn start(name: &str, partitions: u16) -> Result<Group, ServiceError> {
        let kafka = kafka::start(&KafkaOptions::default())?;
        let client = KafkaClient::new(&kafka);
        for topic in ["in", "out"] {
            client.create_topic(topic, partitions, &[])?;
        }
        Ok(Group { kafka, name: name.to_owned(), topic: "in".to_owned() })
    }

    fn member(&self, name: &str) -> Process {
        let yaml = format!(
            "version: 1\nconnections:\n  kafka:\n    k: {{ brokers: [\"{}\"] }}\npipelines:\n  copy:\n    source:\n      \
             kafka: {{ connection: k, topics: [{}], group: {}, session_timeout: {}s }}\n    sink:\n      \
             kafka: {{ connection: k, topic: out }}\ntelemetry: {{ listen: \"127.0.0.1:0\" }}\n",
            self.kafka.endpoint(),
            self.topic,
            self.name,
            SESSION.as_secs()
        );
        Process::run(name, &yaml, &[])
    }

    /// Members the coordinator knows of; those that are joining count.
    fn members(&self) -> usize {
        let client: BaseConsumer = KafkaClient::new(&self.kafka).config().create().unwrap();
        let list = client.fetch_group_list(Some(&self.name), Duration::from_secs(30)).unwrap();
        list.groups().iter().map(|group| group.members().len()).sum()
    }

    /// Whether every record there is was committed.
    fn lag(&self) -> i64 {
        let client = KafkaClient::new(&self.kafka);
        let ends = client.offsets(&self.topic).unwrap();
        let committed = client.committed(&self.name, &self.topic).unwrap();
        ends.iter().zip(committed).map(|((_, end), committed)| end - committed.unwrap_or(0)).sum()
    }

    fn produce(&self, partition: i32) {
        let record = NewRecord::keyed("k", "{}").to(partition);
        KafkaClient::new(&self.kafka).produce(&self.topic, [record]).unwrap();
    }
}

fn page(process: &Process, path: &str) -> String {
    String::from_utf8(process.get(path).body).unwrap()
}

fn assigned(process: &Process) -> Option<u64> {
    let metrics = page(process, "/metrics");
    let line = metrics.lines().find(|line| line.starts_with("sluicegate_assigned_partitions{"))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// A group with one partition: the second member has none. It leaves when it stops, at once; so does one that is
/// stopped while it joins, however early; and the first goes on committing within the bound.
#[test]
fn a_member_without_partitions_and_one_that_joins_leave_their_group_when_they_stop() {
    let Some(group) = own("members that leave", || Group::start("leave", 1)) else { return };
    let first = group.member("first");
    until("the first has the partition", LIMIT, || assigned(&first) == Some(1), || first.tail());
    let standby = group.member("standby");
    until("two members", LIMIT, || group.members() == 2, || standby.tail());
    let_pass(Duration::from_secs(4));
    standby.terminate();
    let stopped = Instant::now();
    standby.wait(LIMIT).assert_code(0);
    until("one member", Duration::from_secs(2), || group.members() == 1, || first.tail());
    assert!(stopped.elapsed() < HELD_UP, "{:?}", stopped.elapsed());

    for wait_ms in [0, 100, 300, 600, 1_000, 1_500, 2_500] {
        let joining = group.member(&format!("joining for {wait_ms} ms"));
        let_pass(Duration::from_millis(wait_ms));
        joining.terminate();
        let ended = joining.wait(LIMIT);
        // A signal before the handlers are there ends it as signals do.
        assert!(ended.status.code().is_none_or(|code| code == 0), "{:?}\n{}", ended.status, ended.tail());
        let stopped = Instant::now();
        group.produce(0);
        until("the first commits", HELD_UP, || group.lag() == 0, || first.tail());
        until("one member", HELD_UP, || group.members() == 1, || first.tail());
        assert!(stopped.elapsed() < HELD_UP, "{wait_ms} ms: {:?}", stopped.elapsed());
    }
    first.terminate();
    first.wait(LIMIT).assert_code(0);
    assert_eq!(group.members(), 0);
}

/// A member that is killed has to be waited for: the one that joins meanwhile says so, and for how long.
#[test]
fn a_member_that_waits_for_a_vanished_one_says_so() {
    let Some(group) = own("a member that waits", || Group::start("wait", 2)) else { return };
    let first = group.member("first");
    until("the first has both", LIMIT, || assigned(&first) == Some(2), || first.tail());
    first.kill9();
    let second = group.member("second");
    let says = || page(&second, "/status").contains("waits for a member that vanished");
    until("the second says for what it waits", Duration::from_secs(20), says, || second.tail());
    assert!(page(&second, "/status").contains("at most 15s (`session_timeout`)"), "{}", page(&second, "/status"));
    until("it gets both", SESSION + HELD_UP, || assigned(&second) == Some(2), || second.tail());
    let running = || page(&second, "/status").contains("\"state\":\"running\"");
    until("nothing is said any more", HELD_UP, running, || page(&second, "/status"));
    second.terminate();
    let ended = second.wait(LIMIT).assert_code(0);
    assert!(ended.log.contains("waits for a member that vanished"), "{}", ended.tail());
}

/// Members started and stopped at random, by SIGTERM only. Records keep coming, and one that is committed for longer
/// than [`HELD_UP`] after it came is one that a stop has held up. `SLUICEGATE_MEMBERS_SECONDS` is for how long.
#[test]
fn members_that_come_and_go_never_hold_the_others_up() {
    let Some(group) = own("members that come and go", || Group::start("churn", 4)) else { return };
    let seconds = std::env::var("SLUICEGATE_MEMBERS_SECONDS").map_or(40, |text| text.parse().unwrap());
    let mut dice = fastrand::Rng::with_seed(seed());
    let mut members = vec![group.member("0")];
    until("the first has all", LIMIT, || assigned(&members[0]) == Some(4), || members[0].tail());
    let (end, mut number, mut longest) = (Instant::now() + Duration::from_secs(seconds), 0, Duration::ZERO);
    while Instant::now() < end {
        // One always stays, and it may be any.
        if members.len() > 1 && (members.len() > 5 || dice.bool()) {
            let gone = members.swap_remove(dice.usize(0..members.len()));
            gone.terminate();
            let stopped = Instant::now();
            gone.wait(LIMIT).assert_code(0);
            (0..4).for_each(|partition| group.produce(partition));
            until(
                "the others commit",
                HELD_UP,
                || group.lag() == 0,
                || members.iter().map(Process::tail).collect::<Vec<_>>().join("\n"),
            );
            longest = longest.max(stopped.elapsed());
        } else {
            number += 1;
            members.push(group.member(&number.to_string()));
        }
        let_pass(Duration::from_millis(dice.u64(0..3_000)));
    }
    println!("{number} members came and went; the longest stop held the others up for {longest:?}");
    for member in members {
        member.terminate();
        member.wait(LIMIT).assert_code(0);
    }
    assert_eq!((group.members(), group.lag()), (0, 0));
    assert!(longest < HELD_UP, "{longest:?}");
}
