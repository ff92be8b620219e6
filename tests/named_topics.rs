//! Topics that records name, on a real broker that makes none by itself: one that is missing stops nobody else.

use std::time::Duration;

use sluicegate_testkit::services::shared::Need;
use sluicegate_testkit::services::{NewRecord, Service};

use crate::support::bench::{let_pass, until};
use crate::support::process::{Ended, Process};
use crate::support::relay::Relay;
use crate::support::servers;

/// For one run of a few records on a machine that other work shares.
const LIMIT: Duration = Duration::from_secs(90);
const RECORDS: usize = 41;

/// An input whose records name their topics, and a place for what is rejected.
struct Case<'server> {
    relay: Relay<'server>,
    records: usize,
}

impl<'server> Case<'server> {
    /// Topics `a` and `b` are there. Record n goes to the topic that `types` says, or to `a` and `b` in turn.
    fn new(kafka: &'server Service, types: &[(usize, &str)]) -> Self {
        let kind = |n: usize| types.iter().find(|(at, _)| *at == n).map_or(["a", "b"][n % 2], |(_, kind)| *kind);
        Self::of(kafka, RECORDS, |n| kind(n).to_owned())
    }

    /// So many records; `kind` says where each goes.
    fn of(kafka: &'server Service, records: usize, kind: impl Fn(usize) -> String) -> Self {
        let record = |n| NewRecord::keyed(format!("k{n}"), format!("{{\"n\": {n}, \"type\":\"{}\"}}", kind(n)));
        let relay = Relay::new(kafka, (0..records).map(record));
        ["a", "b"].iter().for_each(|kind| relay.create(kind, &[]));
        Self { relay, records }
    }

    fn run(&self, keys: &str) -> Process {
        self.relay.run("{/type}", keys, "")
    }

    /// Everything is resolved: these records are dead letters, all others went to `a` and `b`, once and in their order.
    fn assert_whole(&self, ended: Ended, dead: &[usize], elsewhere: &[usize]) {
        let ended = ended.assert_code(0);
        let kept = |n: &usize| !dead.contains(n) && !elsewhere.contains(n);
        for (odd, topic) in ["a", "b"].into_iter().enumerate() {
            let wanted: Vec<usize> = (0..self.records).filter(|n| n % 2 == odd).filter(kept).collect();
            assert_eq!(self.relay.numbers(topic), wanted, "{topic}\n{}", ended.tail());
        }
        assert_eq!(self.relay.dead(), dead, "{}", ended.tail());
        assert_eq!(ended.count("p", "delivered"), (self.records - dead.len()) as u64);
        assert_eq!(ended.count("p", "dead_lettered"), dead.len() as u64);
        assert_eq!(ended.count("p", "rewound"), 0, "{}", ended.tail());
        self.relay.assert_committed(self.records);
    }

    /// What the dead letter of a record says of its reason.
    fn reason(&self, n: usize) -> String {
        let letters = self.relay.client().read_all(&self.relay.topic("dead")).unwrap();
        let key = format!("k{n}").into_bytes();
        let letter = letters.into_iter().find(|letter| letter.key.as_ref() == Some(&key)).unwrap();
        let texts = letter.headers.iter().filter(|(name, _)| name.starts_with("sluicegate-"));
        texts
            .map(|(name, value)| format!("{name}={} ", String::from_utf8_lossy(value.as_deref().unwrap_or(b""))))
            .collect()
    }
}

#[test]
fn a_record_that_names_a_missing_topic_is_rejected_alone() {
    let Some([kafka]) = servers("a_record_that_names_a_missing_topic_is_rejected_alone", [Need::KafkaIn]) else {
        return;
    };
    // Beside each other: each waits for most of its time.
    let one = Case::new(kafka, &[(20, "unknwn")]);
    let first = Case::new(kafka, &[(0, "frist")]);
    let two = Case::new(kafka, &[(3, "left"), (4, "right"), (30, "left"), (40, "right")]);
    let invalid = Case::new(kafka, &[(7, "no name"), (8, "unknwn"), (9, "")]);
    let cases = [(&one, vec![20]), (&first, vec![0]), (&two, vec![3, 4, 30, 40]), (&invalid, vec![7, 8])];
    let runs: Vec<_> = cases.into_iter().map(|(case, dead)| (case, dead, case.run(""))).collect();
    for (case, mut dead, process) in runs {
        let ended = process.wait(LIMIT);
        if case.relay.name == invalid.relay.name {
            // `PREFIX-` is a name, of no topic.
            dead.push(9);
        }
        case.assert_whole(ended, &dead, &[]);
    }
    for (case, n, kind) in [(&one, 20, "unknwn"), (&two, 40, "right"), (&invalid, 8, "unknwn"), (&first, 0, "frist")] {
        let reason = case.reason(n);
        assert!(reason.contains("invalid_target") && reason.contains(&case.relay.topic(kind)), "{reason}");
    }
}

/// Hundreds of names that nobody has: each is asked for, rejected by name, and nothing else is read twice.
#[test]
fn hundreds_of_missing_topics_hold_up_nobody_else() {
    let Some([kafka]) = servers("hundreds_of_missing_topics_hold_up_nobody_else", [Need::KafkaIn]) else { return };
    let is_missing = |n: &usize| !n.is_multiple_of(3);
    let case =
        Case::of(kafka, 600, |n| if is_missing(&n) { format!("none-{n}") } else { ["a", "b"][n % 2].to_owned() });
    let process = case.relay.run("{/type}", "", "\n    breaker: { ratio: 1.0, window: 1000000, in_a_row: 1000000 }");
    let dead: Vec<usize> = (0..case.records).filter(is_missing).collect();
    case.assert_whole(process.wait(LIMIT), &dead, &[]);
}

#[test]
fn a_topic_that_appears_within_the_wait_gets_its_records() {
    let Some([kafka]) = servers("a_topic_that_appears_within_the_wait_gets_its_records", [Need::KafkaIn]) else {
        return;
    };
    let case = Case::new(kafka, &[(20, "late"), (21, "late"), (33, "late")]);
    let process = case.run("");
    let missing = case.relay.topic("late");
    let told = || process.log().contains(&format!("topic {missing} of connection k does not exist"));
    until("the topic's name in the log", LIMIT, told, || process.tail());
    case.relay.create("late", &[]);
    case.assert_whole(process.wait(LIMIT), &[], &[20, 21, 33]);
    assert_eq!(case.relay.numbers("late"), [20, 21, 33]);
}

#[test]
fn with_hold_only_the_missing_topics_records_wait_and_the_alert_names_it() {
    let Some([kafka]) = servers("with_hold_only_the_missing_topics_records_wait", [Need::KafkaIn]) else { return };
    let missing = [(20, "late"), (21, "later"), (22, "latest"), (25, "last")];
    let case = Case::new(kafka, &missing);
    let process = case.run(", on_missing_topic: hold");
    let others = || case.relay.numbers("a").len() + case.relay.numbers("b").len() == RECORDS - missing.len();
    until("all others are there", LIMIT, others, || process.tail());
    let page = |path: &str| String::from_utf8(process.get(path).body).unwrap();
    let all = || page("/metrics").contains("sluicegate_missing_topics{pipeline=\"p\"} 4");
    until("all are counted", LIMIT, all, || process.tail());
    // Longer than a reject would take.
    let_pass(Duration::from_secs(12));
    let (status, log) = (page("/status"), process.log());
    assert!(status.contains("missing_topic") && status.contains("does not exist"), "{status}");
    for (_, kind) in missing {
        assert!(
            log.contains(&format!("topic {} of connection k does not exist", case.relay.topic(kind))),
            "{}",
            process.tail()
        );
    }
    missing.iter().rev().for_each(|(_, kind)| case.relay.create(kind, &[]));
    case.assert_whole(process.wait(LIMIT), &[], &missing.map(|(n, _)| n));
    for (n, kind) in missing {
        assert_eq!(case.relay.numbers(kind), [n]);
    }
}
