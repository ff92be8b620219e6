//! Every kind of difference, and that nothing is told where there is none.

use super::*;
use crate::model::{Reject, RejectReason};

fn kafka(value: Option<&str>) -> OfflineEnd {
    let form = SinkForm::Kafka {
        topic: "out".into(),
        key: Some(b"k".to_vec()),
        headers: vec![("h".into(), Some(b"1".to_vec())), ("n".into(), None)],
    };
    OfflineEnd::Sent(SinkOutput { value: value.map(|value| value.as_bytes().to_vec()), form })
}

fn bulk(lines: &str, index: Option<&str>) -> OfflineEnd {
    let form = SinkForm::Elasticsearch { lines: lines.as_bytes().to_vec(), index: index.map(str::to_owned) };
    OfflineEnd::Sent(SinkOutput { value: Some(b"{}".to_vec()), form })
}

fn rejected() -> OfflineEnd {
    let reject = Reject::new(RejectReason::Missing, &"steps[0].select".into(), "/a is missing");
    OfflineEnd::Rejected { item: crate::model::ItemPath::WHOLE, reject }
}

fn output(change: impl FnOnce(&mut ExpectedOutput)) -> ExpectedEnd {
    let mut output = ExpectedOutput::default();
    change(&mut output);
    ExpectedEnd::Delivered(Box::new(output))
}

fn told(expected: &[ExpectedEnd], ends: &[OfflineEnd]) -> Vec<String> {
    let told = |one: Difference| {
        let output = one.output.map_or(String::new(), |number| format!("#{number} "));
        let place = match one.place {
            DifferencePlace::Whole => String::new(),
            DifferencePlace::Pointer(pointer) => format!(" at {pointer}"),
            DifferencePlace::Byte { offset, column } => format!(" at byte {offset} column {column}"),
        };
        format!("{output}{}{place}: {} | {}", one.what, one.expected, one.found)
    };
    compare(expected, ends).into_iter().map(told).collect()
}

#[test]
fn what_is_not_written_is_not_compared() {
    assert_eq!(told(&[output(|_| {})], &[kafka(Some("{}"))]), [""; 0]);
    assert_eq!(told(&[ExpectedEnd::Rejected { reason: None, step: None }], &[rejected()]), [""; 0]);
    assert_eq!(told(&[ExpectedEnd::Dropped], &[OfflineEnd::Dropped]), [""; 0]);
}

#[test]
fn each_part_of_a_kafka_record() {
    let rows: [(ExpectedEnd, &[&str]); 9] = [
        (output(|o| o.topic = Some("in".into())), &["topic: in | out"]),
        (output(|o| o.key = Some(None)), &["key: nothing | k"]),
        (output(|o| o.key = Some(Some(b"j".to_vec()))), &["key at byte 0 column 0: j | k"]),
        (output(|o| o.headers = Some(Vec::new())), &["headers: none | h=1, n (null)"]),
        (output(|o| o.value = Some(ExpectedValue::Tombstone)), &["value: nothing | {\"a\":1}"]),
        (output(|o| o.value = Some(ExpectedValue::Json("{\"a\":2}".into()))), &["value at /a: 2 | 1"]),
        (
            output(|o| o.value = Some(ExpectedValue::Bytes(b"{\"a\": 1}".to_vec()))),
            &["value at byte 5 column 5: {\"a\": 1} | {\"a\":1}"],
        ),
        (output(|o| o.value = Some(ExpectedValue::Json("{ \"a\": 1.0 }".into()))), &[]),
        (output(|o| o.key = Some(Some(b"k".to_vec()))), &[]),
    ];
    for (expected, rows) in rows {
        assert_eq!(told(&[expected], &[kafka(Some("{\"a\":1}"))]), rows);
    }
    let json = output(|o| o.value = Some(ExpectedValue::Json("1".into())));
    assert_eq!(told(std::slice::from_ref(&json), &[kafka(None)]), ["value: 1 | nothing"]);
    let found = &told(&[json], &[kafka(Some("x"))])[0];
    assert!(found.starts_with("value: 1 | no JSON (") && found.ends_with("): x"), "{found}");
}

#[test]
fn each_part_of_a_bulk_entry() {
    let lines = "{\"index\":{\"_id\":\"7\"}}\n{\"a\":1}\n";
    let rows: [(ExpectedEnd, &[&str]); 8] = [
        (output(|o| o.index = Some("a".into())), &["index: a | items"]),
        (output(|o| o.id = Some(Some("8".into()))), &["id at byte 0 column 0: 8 | 7"]),
        (output(|o| o.id = Some(None)), &["id: nothing | 7"]),
        (output(|o| o.action = Some("{\"index\":{\"_id\":\"8\"}}".into())), &["action at /index/_id: \"8\" | \"7\""]),
        (output(|o| o.document = Some("{\"a\":2}".into())), &["document at /a: 2 | 1"]),
        (output(|o| o.lines = Some(lines.as_bytes().to_vec())), &[]),
        (output(|o| o.index = Some("items".into())), &[]),
        (
            output(|o| o.lines = Some(b"{\"index\":{\"_id\":\"7\"}}\n{\"a\":2}\n".to_vec())),
            &[r#"lines at byte 27 column 28: {"index":{"_id":"7"}}\n{"a":2}\n | {"index":{"_id":"7"}}\n{"a":1}\n"#],
        ),
    ];
    for (expected, rows) in rows {
        assert_eq!(told(&[expected], &[bulk(lines, Some("items"))]), rows);
    }
    let delete = "{\"delete\":{\"_id\":\"7\",\"_index\":\"b\"}}\n";
    let expected = output(|o| (o.index, o.document) = (Some("b".into()), Some("null".into())));
    assert_eq!(told(&[expected], &[bulk(delete, None)]), [""; 0]);
    let expected = output(|o| o.document = Some("{}".into()));
    assert_eq!(told(&[expected], &[bulk(delete, None)]), ["document: {} | nothing"]);
}

#[test]
fn endings_that_differ() {
    let reject = |reason, step: &str| ExpectedEnd::Rejected { reason: Some(reason), step: Some(step.to_owned()) };
    let rows: [(ExpectedEnd, OfflineEnd, &[&str]); 5] = [
        (ExpectedEnd::Dropped, kafka(None), &["outcome: dropped | delivered"]),
        (output(|_| {}), OfflineEnd::Dropped, &["outcome: delivered | dropped"]),
        (output(|_| {}), rejected(), &["outcome: delivered | rejected: missing at steps[0].select: /a is missing"]),
        (
            reject(RejectReason::Null, "parse"),
            rejected(),
            &["reason: null | missing: /a is missing", "step: parse | steps[0].select"],
        ),
        (reject(RejectReason::Missing, "steps[0].select"), rejected(), &[]),
    ];
    for (expected, end, rows) in rows {
        assert_eq!(told(&[expected], &[end]), rows);
    }
}

#[test]
fn of_several_outputs_the_number_is_told() {
    let value = |text: &str| output(|o| o.value = Some(ExpectedValue::Json(text.to_owned())));
    assert_eq!(told(&[value("1"), value("2")], &[kafka(Some("1")), kafka(Some("3"))]), ["#1 value at : 2 | 3"]);
    assert_eq!(told(&[value("1")], &[kafka(Some("1")), OfflineEnd::Dropped]), ["outputs: 1 | 2"]);
    assert_eq!(told(&[value("1"), value("2")], &[kafka(Some("4"))]), ["outputs: 2 | 1", "#0 value at : 1 | 4"]);
}

#[test]
fn an_excerpt_points_at_the_byte() {
    let long = |middle: &str| format!("{}{middle}{}", "ä".repeat(40), "ö".repeat(40)).into_bytes();
    let told = bytes("value", &long("x"), &long("y")).expect("they differ");
    let DifferencePlace::Byte { offset, column } = told.place else { panic!("{told:?}") };
    assert_eq!(offset, 80);
    let at = |text: &str| text.chars().nth(column);
    assert_eq!((at(&told.expected), at(&told.found)), (Some('x'), Some('y')), "{told:?}");
    assert!(told.expected.starts_with("…ä") && told.expected.ends_with('…'), "{}", told.expected);
    let inside = bytes("value", "aä".as_bytes(), "aö".as_bytes()).expect("they differ");
    assert_eq!(inside.place, DifferencePlace::Byte { offset: 2, column: 1 });
    assert_eq!((inside.expected.as_str(), inside.found.as_str()), ("aä", "aö"));
    let odd = bytes("value", b"a\xff\n", b"a\xfe").expect("they differ");
    assert_eq!((odd.expected.as_str(), odd.found.as_str()), ("a\\xff\\n", "a\\xfe"));
    let shorter = bytes("value", b"abc", b"ab").expect("they differ");
    assert_eq!(shorter.place, DifferencePlace::Byte { offset: 2, column: 2 });
}
