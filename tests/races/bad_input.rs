//! Every kind of bad record, between good ones, through pipelines with dead letters: one dead letter each with the
//! original bytes, and the partition goes on.

use std::collections::BTreeMap;

use sluicegate::internals::config::plan::{OnReject, OnTooLarge, PipelinePlan};
use sluicegate::internals::model::{Exit, Outcome, RejectReason};
use sluicegate::internals::testbed::kafka::MockKafka;
use sluicegate_testkit::services::shared::Need;
use sluicegate_testkit::services::{KafkaClient, NewRecord, StoredRecord};

use super::engine_rig::{EngineRig, count, endpoint};
use super::plans::{self, INDEX, cluster};
use super::source_rig::{GROUP, TOPIC};
use super::waiting::wait_until;
use crate::support::{servers, unique};

/// What becomes of a record, at the relay and at the index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// A dead letter with this reason, from both.
    Rejected(RejectReason),
    /// Delivered by both.
    Delivered,
    /// Delivered to Kafka as it is; the search server refuses it.
    RefusedByIndex,
    /// Passed on as null; deletes at the index.
    Tombstone,
}

struct Row {
    name: &'static str,
    value: Option<Vec<u8>>,
    fate: Fate,
}

fn row(name: &'static str, value: impl AsRef<[u8]>, fate: Fate) -> Row {
    Row { name, value: Some(value.as_ref().to_vec()), fate }
}

fn nested(levels: usize) -> Vec<u8> {
    let mut value = br#"{"result":{"a":"#.to_vec();
    value.resize(value.len() + levels, b'[');
    value.resize(value.len() + levels, b']');
    value.extend_from_slice(b"}}");
    value
}

fn rows() -> Vec<Row> {
    use Fate::{Delivered, RefusedByIndex, Rejected, Tombstone};
    vec![
        row("invalid_utf8", b"{\"result\":{\"a\":\"\xff\"}}", Rejected(RejectReason::InvalidUtf8)),
        row("truncated", br#"{"result":{"a":1"#, Rejected(RejectReason::InvalidJson)),
        row("deep", nested(400_000), Rejected(RejectReason::TooDeep)),
        row("not_a_number", br#"{"result":{"a":NaN}}"#, Rejected(RejectReason::InvalidJson)),
        row("infinity", br#"{"result":{"a":-Infinity}}"#, Rejected(RejectReason::InvalidJson)),
        row("number_range", br#"{"result":{"a":1e400}}"#, Rejected(RejectReason::NumberRange)),
        row("lone_surrogate", br#"{"result":{"a":"\ud800"}}"#, Rejected(RejectReason::InvalidJson)),
        row("empty", b"", Rejected(RejectReason::Empty)),
        row("blank", b" \n", Rejected(RejectReason::InvalidJson)),
        row("trailing", br#"{"result":{"a":1}} {}"#, Rejected(RejectReason::InvalidJson)),
        row("binary", [0, 159, 146, 150], Rejected(RejectReason::InvalidUtf8)),
        row("missing", br#"{"other":{}}"#, Rejected(RejectReason::Missing)),
        row("null", br#"{"result":null}"#, Rejected(RejectReason::Null)),
        row("no_object", br#"{"result":"{}"}"#, Rejected(RejectReason::WrongType)),
        row("huge_integer", br#"{"result":{"a":1234567890123456789012345}}"#, Delivered),
        row("duplicate_result", br#"{"result":{"a":1},"result":{"a":2}}"#, Delivered),
        row("pretty", b"{\n  \"result\": {\r\n\t\"a\": 1\n}\n}", Delivered),
        row("escaped_name", br#"{"resul\u0074":{"a":1}}"#, Delivered),
        row("duplicate_member", br#"{"result":{"a":1,"a":2}}"#, RefusedByIndex),
        Row { name: "tombstone", value: None, fate: Tombstone },
    ]
}

/// Each row between two good records, all on one partition, with a header and a timestamp of its own.
fn input(rows: &[Row]) -> Vec<NewRecord> {
    let good = |n: usize| NewRecord::keyed(format!("good-{n}"), r#"{"result":{"good":true}}"#).to(0);
    let mut records = Vec::new();
    for (n, row) in rows.iter().enumerate() {
        records.push(good(n));
        records.push(NewRecord {
            partition: Some(0),
            key: Some(row.name.into()),
            value: row.value.clone(),
            headers: vec![("own".into(), Some(b"kept".to_vec()))],
            timestamp_ms: Some(1_700_000_000_000 + n as i64),
        });
    }
    records.push(good(rows.len()));
    records
}

/// Dead letters by key. Every one says where it came from and holds what came.
fn check_letters(letters: Vec<StoredRecord>, rows: &[Row], topic: &str) -> BTreeMap<String, String> {
    let mut reasons = BTreeMap::new();
    for letter in letters {
        let key = String::from_utf8(letter.key.unwrap()).unwrap();
        let at = rows.iter().position(|row| row.name == key).unwrap_or_else(|| panic!("{key} was no bad record"));
        assert!(letter.value == rows[at].value, "{key}: not the original bytes");
        let header = |name: &str| {
            let found =
                letter.headers.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("{key}: {name}"));
            String::from_utf8(found.1.clone().unwrap()).unwrap()
        };
        assert_eq!((header("sluicegate-topic"), header("own")), (topic.to_owned(), "kept".into()), "{key}");
        assert_eq!(
            (header("sluicegate-partition"), header("sluicegate-offset")),
            ("0".into(), (2 * at + 1).to_string())
        );
        assert_eq!(header("sluicegate-timestamp"), (1_700_000_000_000 + at as i64).to_string());
        assert!(!header("sluicegate-error").is_empty() && !header("sluicegate-step").is_empty(), "{key}");
        assert_eq!(reasons.insert(key.clone(), header("sluicegate-reason")), None, "{key}: two dead letters");
    }
    reasons
}

fn expected_letters(rows: &[Row], at_index: bool) -> BTreeMap<String, String> {
    let reason = |fate| match fate {
        Fate::Rejected(reason) => Some(reason),
        Fate::RefusedByIndex if at_index => Some(RejectReason::Refused),
        Fate::Delivered | Fate::RefusedByIndex | Fate::Tombstone => None,
    };
    rows.iter().filter_map(|row| Some((row.name.to_owned(), reason(row.fate)?.name().to_owned()))).collect()
}

/// Runs until everything is committed. Returns how many records were delivered.
fn run(plan: PipelinePlan, records: i64, letters: usize) -> u64 {
    let rig = EngineRig::start(plan);
    wait_until("the partition goes on to its end", || rig.committed() == [Some(records)]);
    let ending = rig.drain();
    assert_eq!((ending.exit, count(&ending, Outcome::DeadLettered)), (Exit::Done, letters as u64));
    count(&ending, Outcome::Delivered)
}

#[test]
fn bad_records_leave_a_relay_as_dead_letters() {
    let (kafka, rows) = (MockKafka::start(&[(TOPIC, 1)]).unwrap(), rows());
    let out = MockKafka::start(&[("out", 1), ("dead", 1)]).unwrap();
    let records = input(&rows);
    let count = records.len() as i64;
    KafkaClient::at(kafka.brokers()).produce(TOPIC, records).unwrap();
    let mut plan = plans::pipeline(kafka.brokers(), TOPIC, GROUP, plans::relay(out.brokers(), "out"));
    plan.on_reject = plans::dead_letters(out.brokers(), "dead");
    let expected = expected_letters(&rows, false);
    let delivered = run(plan, count, expected.len());
    let client = KafkaClient::at(out.brokers());
    assert_eq!(check_letters(client.read_all("dead").unwrap(), &rows, TOPIC), expected);
    let arrived = client.read_all("out").unwrap();
    assert_eq!(arrived.len() as u64, delivered);
    assert_eq!(arrived.len() + expected.len(), count as usize, "every record once");
    let value = |name: &str| {
        let found = arrived.iter().find(|record| record.key.as_deref() == Some(name.as_bytes()));
        found
            .unwrap_or_else(|| panic!("{name} is missing"))
            .value
            .clone()
            .map(|value| String::from_utf8(value).unwrap())
    };
    let verbatim = [
        ("huge_integer", r#"{"a":1234567890123456789012345}"#),
        ("duplicate_result", r#"{"a":1}"#),
        ("pretty", "{\r\n\t\"a\": 1\n}"),
        ("escaped_name", r#"{"a":1}"#),
        ("duplicate_member", r#"{"a":1,"a":2}"#),
    ];
    for (name, expected) in verbatim {
        assert_eq!(value(name).as_deref(), Some(expected), "{name}");
    }
    assert_eq!(value("tombstone"), None);
}

#[test]
fn bad_records_leave_an_index_as_dead_letters() {
    let (kafka, search, rows) = (MockKafka::start(&[(TOPIC, 1)]).unwrap(), endpoint(), rows());
    let out = MockKafka::start(&[("dead", 1)]).unwrap();
    let records = input(&rows);
    let count = records.len() as i64;
    let before = NewRecord::keyed("tombstone", r#"{"result":{"a":1}}"#).to(0);
    KafkaClient::at(kafka.brokers()).produce(TOPIC, records.into_iter().chain([before])).unwrap();
    // As real servers do with a member twice in an update: the whole request is refused.
    search.poison("duplicate_member");
    let mut plan = plans::pipeline(kafka.brokers(), TOPIC, GROUP, plans::bulk(&search.url()));
    plan.on_reject = plans::dead_letters(out.brokers(), "dead");
    let expected = expected_letters(&rows, true);
    let delivered = run(plan, count + 1, expected.len());
    let letters = KafkaClient::at(out.brokers()).read_all("dead").unwrap();
    assert_eq!(check_letters(letters, &rows, TOPIC), expected);
    assert_eq!(delivered as usize + expected.len(), count as usize + 1, "every record once");
    let documents = search.documents(INDEX);
    for row in &rows {
        let there = documents.contains_key(row.name);
        let wanted = matches!(row.fate, Fate::Delivered | Fate::Tombstone);
        assert_eq!(there, wanted, "{}", row.name);
    }
    assert_eq!(documents.keys().filter(|id| id.starts_with("good-")).count(), rows.len() + 1);
}

/// 10 MB and a million levels do not fit through the mock cluster.
#[test]
fn records_of_megabytes_leave_a_relay_as_dead_letters() {
    let test = "records_of_megabytes_leave_a_relay_as_dead_letters";
    let Some([upstream, downstream]) = servers(test, [Need::KafkaIn, Need::KafkaOut]) else { return };
    let oversized = format!(r#"{{"result":{{"a":"{}"}}}}"#, "x".repeat(10_000_000));
    let rows = [
        row("ten_megabytes", oversized, Fate::Rejected(RejectReason::TooLarge)),
        row("a_million_levels", nested(1_000_000), Fate::Rejected(RejectReason::TooDeep)),
    ];
    let (topic, out, dead) = (unique("megabytes"), unique("out"), unique("dead"));
    let (input_client, client) = (KafkaClient::new(upstream), KafkaClient::new(downstream));
    let large = [("max.message.bytes", "20000000")];
    input_client.create_topic(&topic, 1, &large).unwrap();
    client.create_topic(&out, 1, &[]).unwrap();
    client.create_topic(&dead, 1, &large).unwrap();
    let records = input(&rows);
    let count = records.len() as i64;
    input_client.produce(&topic, records).unwrap();
    let sink = plans::relay(downstream.endpoint(), &out);
    let mut plan = plans::on_a_real_broker(upstream.endpoint(), &topic, sink);
    let mut connection = cluster("dead", downstream.endpoint());
    connection.properties.insert("message.max.bytes".into(), "20000000".to_owned().into());
    plan.on_reject = OnReject::DeadLetterKafka { connection, topic: dead.clone(), on_too_large: OnTooLarge::Hold };
    let expected = expected_letters(&rows, false);
    assert_eq!(run(plan, count, expected.len()), 3);
    assert_eq!(check_letters(client.read_all(&dead).unwrap(), &rows, &topic), expected);
    assert_eq!(client.read_all(&out).unwrap().len(), 3);
}

/// A broker judges whole batches of letters, and every letter of a refused batch must not be taken for too large.
#[test]
fn letters_above_the_limit_of_their_topic_go_without_their_value_and_the_others_whole() {
    let test = "letters_above_the_limit_of_their_topic_go_without_their_value_and_the_others_whole";
    let Some([upstream, downstream]) = servers(test, [Need::KafkaIn, Need::KafkaOut]) else { return };
    let (topic, out, dead) = (unique("toolarge"), unique("out"), unique("dead"));
    let (input_client, client) = (KafkaClient::new(upstream), KafkaClient::new(downstream));
    input_client.create_topic(&topic, 1, &[]).unwrap();
    client.create_topic(&out, 1, &[]).unwrap();
    client.create_topic(&dead, 1, &[("max.message.bytes", "20000")]).unwrap();
    let bad = |bytes: usize| format!(r#"{{"other":"{}"}}"#, "x".repeat(bytes));
    let mut records: Vec<NewRecord> =
        (0..12).map(|n| NewRecord::keyed(format!("fits-{n}"), bad(8_000)).to(0)).collect();
    records.insert(5, NewRecord::keyed("large-value", bad(40_000)).to(0));
    records.insert(8, NewRecord::keyed("k".repeat(30_000), bad(100)).to(0));
    records.push(NewRecord::keyed("good", r#"{"result":{}}"#).to(0));
    let count = records.len() as i64;
    input_client.produce(&topic, records.clone()).unwrap();
    let mut plan = plans::on_a_real_broker(upstream.endpoint(), &topic, plans::relay(downstream.endpoint(), &out));
    let connection = cluster("dead", downstream.endpoint());
    plan.on_reject = OnReject::DeadLetterKafka { connection, topic: dead.clone(), on_too_large: OnTooLarge::OmitValue };
    assert_eq!(run(plan, count, 14), 1);

    let letters = client.read_all(&dead).unwrap();
    assert_eq!(letters.len(), 14, "one letter each");
    for letter in &letters {
        let header = |name: &str| {
            let found = letter.headers.iter().find(|(known, _)| known == name)?;
            Some(String::from_utf8(found.1.clone()?).unwrap())
        };
        let offset: usize = header("sluicegate-offset").unwrap().parse().unwrap();
        let original = &records[offset];
        assert_eq!(header("sluicegate-reason").as_deref(), Some("missing"));
        match header("sluicegate-omitted").as_deref() {
            None => assert_eq!((&letter.key, &letter.value), (&original.key, &original.value), "offset {offset}"),
            Some("value") => {
                assert_eq!((offset, letter.value.as_deref()), (5, Some(&b""[..])));
                assert_eq!(letter.key, original.key);
                assert_eq!(header("sluicegate-value-bytes").as_deref(), Some("40012"));
            }
            Some("value, key and headers") => {
                assert_eq!((offset, letter.key.as_deref()), (8, None));
                assert_eq!(header("sluicegate-key-bytes").as_deref(), Some("30000"));
            }
            Some(other) => panic!("omitted: {other}"),
        }
    }
    let shortened = letters.iter().filter(|letter| letter.headers.iter().any(|(name, _)| name == "sluicegate-omitted"));
    assert_eq!(shortened.count(), 2);
}
