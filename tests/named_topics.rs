//! Topics that records name, on a real broker that makes none by itself: one that is missing stops nobody else.

use std::time::Duration;

use sluicegate_testkit::services::shared::Need;
use sluicegate_testkit::services::{KafkaClient, NewRecord, Service};

use crate::support::bench::{let_pass, until};
use crate::support::process::{Ended, Process};
use crate::support::{servers, unique};

/// For one run of a few records on a machine that other work shares.
const LIMIT: Duration = Duration::from_secs(90);
const RECORDS: usize = 41;

/// An input whose records name their topics, and a place for what is rejected.
struct Case<'server> {
    kafka: &'server Service,
    name: String,
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
        let case = Self { kafka, name: unique("named"), records };
        let client = case.client();
        ["in", "dead", "a", "b"].iter().for_each(|topic| client.create_topic(&case.topic(topic), 1, &[]).unwrap());
        let records = (0..case.records)
            .map(|n| NewRecord::keyed(format!("k{n}"), format!("{{\"n\": {n}, \"type\":\"{}\"}}", kind(n))));
        assert_eq!(client.produce(&case.topic("in"), records).unwrap(), case.records as u64);
        case
    }

    fn client(&self) -> KafkaClient {
        KafkaClient::new(self.kafka)
    }

    fn topic(&self, kind: &str) -> String {
        format!("{}-{kind}", self.name)
    }

    fn run(&self, keys: &str) -> Process {
        self.run_with(keys, "")
    }

    /// `keys` of the sink, and `more` of the pipeline.
    fn run_with(&self, keys: &str, more: &str) -> Process {
        let Self { kafka, name, .. } = self;
        let yaml = format!(
            "version: 1\nconnections:\n  kafka:\n    k: {{ brokers: [\"{}\"] }}\npipelines:\n  p:\n    source:\n      \
             kafka: {{ connection: k, topics: [{name}-in], group: {name} }}\n    sink:\n      \
             kafka: {{ connection: k, topic: \"{name}-{{/type}}\"{keys} }}{more}\n    on_reject: {{ dead_letter: {{ kafka: {{ \
             connection: k, topic: {name}-dead }} }} }}\ntelemetry: {{ listen: \"127.0.0.1:0\" }}\n",
            kafka.endpoint(),
        );
        Process::run(name, &yaml, &["--until", "end", "--report", "report"])
    }

    /// The numbers of the records in a topic, in its order.
    fn numbers(&self, kind: &str) -> Vec<usize> {
        let number = |value: &[u8]| {
            let value: serde_json::Value = serde_json::from_slice(value).unwrap();
            value["n"].as_u64().unwrap() as usize
        };
        let records = self.client().read_all(&self.topic(kind)).unwrap();
        records.iter().map(|record| number(record.value.as_deref().unwrap())).collect()
    }

    /// Everything is resolved: these records are dead letters, all others went to `a` and `b`, once and in their order.
    fn assert_whole(&self, ended: Ended, dead: &[usize], elsewhere: &[usize]) {
        let ended = ended.assert_code(0);
        let kept = |n: &usize| !dead.contains(n) && !elsewhere.contains(n);
        for (odd, topic) in ["a", "b"].into_iter().enumerate() {
            let wanted: Vec<usize> = (0..self.records).filter(|n| n % 2 == odd).filter(kept).collect();
            assert_eq!(self.numbers(topic), wanted, "{topic}\n{}", ended.tail());
        }
        let mut letters = self.numbers("dead");
        letters.sort_unstable();
        assert_eq!(letters, dead, "{}", ended.tail());
        assert_eq!(ended.count("p", "delivered"), (self.records - dead.len()) as u64);
        assert_eq!(ended.count("p", "dead_lettered"), dead.len() as u64);
        assert_eq!(ended.count("p", "rewound"), 0, "{}", ended.tail());
        let committed = self.client().committed(&self.name, &self.topic("in")).unwrap();
        assert_eq!(committed, [Some(self.records as i64)]);
    }

    /// What the dead letter of a record says of its reason.
    fn reason(&self, n: usize) -> String {
        let letters = self.client().read_all(&self.topic("dead")).unwrap();
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
        if case.name == invalid.name {
            // `PREFIX-` is a name, of no topic.
            dead.push(9);
        }
        case.assert_whole(ended, &dead, &[]);
    }
    for (case, n, kind) in [(&one, 20, "unknwn"), (&two, 40, "right"), (&invalid, 8, "unknwn"), (&first, 0, "frist")] {
        let reason = case.reason(n);
        assert!(reason.contains("invalid_target") && reason.contains(&case.topic(kind)), "{reason}");
    }
}

/// Hundreds of names that nobody has: each is asked for, rejected by name, and nothing else is read twice.
#[test]
fn hundreds_of_missing_topics_hold_up_nobody_else() {
    let Some([kafka]) = servers("hundreds_of_missing_topics_hold_up_nobody_else", [Need::KafkaIn]) else { return };
    let is_missing = |n: &usize| !n.is_multiple_of(3);
    let case =
        Case::of(kafka, 600, |n| if is_missing(&n) { format!("none-{n}") } else { ["a", "b"][n % 2].to_owned() });
    let process = case.run_with("", "\n    breaker: { ratio: 1.0, window: 1000000, in_a_row: 1000000 }");
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
    let missing = case.topic("late");
    let told = || process.log().contains(&format!("topic {missing} of connection k does not exist"));
    until("the topic's name in the log", LIMIT, told, || process.tail());
    case.client().create_topic(&missing, 1, &[]).unwrap();
    case.assert_whole(process.wait(LIMIT), &[], &[20, 21, 33]);
    assert_eq!(case.numbers("late"), [20, 21, 33]);
}

#[test]
fn with_hold_only_the_missing_topics_records_wait_and_the_alert_names_it() {
    let Some([kafka]) = servers("with_hold_only_the_missing_topics_records_wait", [Need::KafkaIn]) else { return };
    let case = Case::new(kafka, &[(20, "late"), (21, "later")]);
    let process = case.run(", on_missing_topic: hold");
    let others = || case.numbers("a").len() + case.numbers("b").len() == RECORDS - 2;
    until("all others are there", LIMIT, others, || process.tail());
    let page = |path: &str| String::from_utf8(process.get(path).body).unwrap();
    let both = || page("/metrics").contains("sluicegate_missing_topics{pipeline=\"p\"} 2");
    until("both are counted", LIMIT, both, || process.tail());
    // Longer than a reject would take.
    let_pass(Duration::from_secs(12));
    let (status, log) = (page("/status"), process.log());
    assert!(status.contains("missing_topic") && status.contains("does not exist"), "{status}");
    for kind in ["late", "later"] {
        assert!(
            log.contains(&format!("topic {} of connection k does not exist", case.topic(kind))),
            "{}",
            process.tail()
        );
    }
    for kind in ["later", "late"] {
        case.client().create_topic(&case.topic(kind), 1, &[]).unwrap();
    }
    case.assert_whole(process.wait(LIMIT), &[], &[20, 21]);
    assert_eq!((case.numbers("late"), case.numbers("later")), (vec![20], vec![21]));
}
