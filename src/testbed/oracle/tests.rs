//! The oracles: each kind of damage is found and named.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value, json};

use super::*;
use crate::testbed::generator::{Generator, GeneratorScratch, LoadShape, Poison};

const PARTITIONS: i32 = 4;
const RECORDS: u64 = 2_000;

fn generator(change: impl FnOnce(&mut LoadShape)) -> Generator {
    let mut shape = LoadShape { keys: 150, users: 40, ..LoadShape::default() };
    change(&mut shape);
    Generator::new(shape)
}

type Seen = (i32, Option<Vec<u8>>, Option<Vec<u8>>);

/// What a correct relay writes, by a third way: the whole value parsed, `result` cut out of the text by its raw form.
fn relay(generator: &Generator) -> (OutputOracle, Vec<Seen>) {
    let oracle = OutputOracle::new(PARTITIONS);
    let mut scratch = GeneratorScratch::default();
    let mut output = Vec::new();
    for index in 0..RECORDS {
        let record = generator.record(index, &mut scratch);
        let partition = Generator::partition(&record, PARTITIONS);
        oracle.expect(&record, partition);
        let value = match record.value {
            None => None,
            Some(bytes) => {
                let Ok(value) = serde_json::from_slice::<BTreeMap<String, Box<RawValue>>>(bytes) else { continue };
                match (serde_json::from_slice::<Value>(bytes), value.get("result")) {
                    (Ok(_), Some(raw)) if raw.get().starts_with('{') => Some(raw.get().as_bytes().to_vec()),
                    _ => continue,
                }
            }
        };
        output.push((partition, record.key.map(<[u8]>::to_vec), value));
    }
    (oracle, output)
}

fn verdict(oracle: &OutputOracle, output: &[Seen]) -> OutputVerdict {
    for (partition, key, value) in output {
        oracle.observe(*partition, key.as_deref(), value.as_deref());
    }
    oracle.verdict()
}

#[test]
fn a_correct_output_is_exact() {
    let (oracle, output) = relay(&generator(|shape| {
        shape.tombstone_every = 11;
        shape.keyless_every = 13;
    }));
    let verdict = verdict(&oracle, &output);
    assert!(verdict.is_exact(), "{verdict}");
    assert_eq!((verdict.expected, verdict.verified), (RECORDS, RECORDS));
    assert_eq!(oracle.progress(), (RECORDS, RECORDS));
}

/// `DuplicateResult` is left out: a map of a general parser keeps the last, the engine's rule is the first.
#[test]
fn poison_is_not_expected_and_harmless_oddities_are() {
    let kinds: Vec<Poison> = Poison::for_mock()
        .into_iter()
        .filter(|p| ![Poison::DuplicateResult, Poison::DeepNesting].contains(p))
        .collect();
    let (oracle, output) = relay(&generator(|shape| {
        shape.poison_every = 3;
        shape.poison = kinds;
    }));
    let verdict = verdict(&oracle, &output);
    assert!(verdict.is_exact(), "{verdict}");
    assert!(verdict.expected < RECORDS - 300 && verdict.expected > RECORDS / 2, "{verdict}");
}

#[test]
fn the_first_of_two_results_is_selected_and_the_bytes_are_kept() {
    let table: [(&str, Option<&str>); 8] = [
        (r#"{"result": {"a" :1.10e1} ,"x":0}"#, Some(r#"{"a" :1.10e1}"#)),
        (r#"{"x":{"result":{"no":1}},"result":{"a":1}}"#, Some(r#"{"a":1}"#)),
        (r#"{"resul\u0074":{"a":1}}"#, Some(r#"{"a":1}"#)),
        (r#"{"result":{"a":1},"result":{"a":2}}"#, Some(r#"{"a":1}"#)),
        (r#"{"result":null}"#, Some("null")),
        (r#"{"other":1}"#, None),
        ("[1]", None),
        (r#"{"result":"#, None),
    ];
    for (value, expected) in table {
        assert_eq!(select_result(value.as_bytes()), expected.map(str::as_bytes), "{value}");
    }
}

/// Every planted fault of an output topic is found and named.
#[test]
fn planted_faults_of_the_output_are_found() {
    type Plant = fn(&mut Vec<Seen>);
    type Judge = fn(&OutputVerdict) -> bool;
    let table: [(&str, Plant, Judge); 8] = [
        ("a lost record", |o| drop(o.remove(100)), |v| v.missing == 1 && v.unexpected == 0 && v.order_violations == 1),
        ("the last record lost", |o| drop(o.pop()), |v| v.missing == 1 && v.order_violations == 0),
        (
            "a repeated record",
            |o| o.insert(101, o[100].clone()),
            |v| v.duplicates == 1 && v.missing == 0 && v.is_at_least_once() && v.samples().is_empty(),
        ),
        ("one byte changed", |o| flip(&mut o[100].2), |v| v.unexpected == 1 && v.missing == 1),
        ("a blank added", |o| o[100].2.as_mut().expect("a value").push(b' '), |v| v.unexpected == 1 && v.missing == 1),
        ("another partition", |o| o[100].0 = (o[100].0 + 1) % PARTITIONS, |v| v.unexpected == 1 && v.missing == 1),
        ("a value turned null", |o| o[100].2 = None, |v| v.unexpected == 1 && v.missing == 1),
        (
            "two records of a key swapped",
            |o| {
                let other = (101..o.len()).find(|other| o[*other].1 == o[100].1).expect("the key comes again");
                let (one, two) = (o[100].2.clone(), o[other].2.clone());
                (o[100].2, o[other].2) = (two, one);
            },
            |v| v.missing == 0 && v.order_violations >= 1 && v.misordered_keys == 1 && !v.is_at_least_once(),
        ),
    ];
    for (name, plant, is_found) in table {
        let (oracle, mut output) = relay(&generator(|_| {}));
        plant(&mut output);
        let verdict = verdict(&oracle, &output);
        assert!(is_found(&verdict), "{name}: {verdict}");
        assert!(!verdict.is_exact(), "{name}: {verdict}");
    }
}

fn flip(value: &mut Option<Vec<u8>>) {
    let bytes = value.as_mut().expect("a value");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
}

/// A rewind repeats a suffix in order: allowed, and told apart from a repetition with holes.
#[test]
fn a_rewind_is_at_least_once_and_a_repetition_with_holes_is_not() {
    let (oracle, mut output) = relay(&generator(|_| {}));
    let suffix: Vec<Seen> = output[1_500..].to_vec();
    output.extend(suffix.clone());
    let whole = verdict(&oracle, &output);
    assert!(whole.is_at_least_once() && !whole.is_exact(), "{whole}");
    assert_eq!(whole.duplicates, suffix.len() as u64);

    let (oracle, mut output) = relay(&generator(|_| {}));
    let first = output[1_500].clone();
    output.push(first);
    let stale = verdict(&oracle, &output);
    assert!(!stale.is_at_least_once() && stale.misordered_keys == 1, "{stale}");
}

#[test]
fn the_order_of_last_sightings_holds_however_a_suffix_is_repeated() {
    use proptest::prelude::*;
    proptest!(ProptestConfig::with_cases(48), |(cuts in proptest::collection::vec((0usize..60, 1usize..30), 0..8), hole in any::<bool>())| {
        let (oracle, _) = relay(&generator(|shape| shape.keys = 1));
        let mut output = Vec::new();
        let mut scratch = GeneratorScratch::default();
        let generator = generator(|shape| shape.keys = 1);
        let all: Vec<Seen> = (0..60).map(|index| {
            let record = generator.record(index, &mut scratch);
            let value = select_result(record.value.expect("a value")).map(<[u8]>::to_vec);
            (Generator::partition(&record, PARTITIONS), record.key.map(<[u8]>::to_vec), value)
        }).collect();
        let mut reached = 0;
        for (back, forward) in cuts {
            let from = back.min(reached);
            let to = (from + forward).min(60);
            output.extend_from_slice(&all[from..to]);
            reached = to;
        }
        output.extend_from_slice(&all[reached..]);
        if hole { output.extend_from_slice(&all[20..21]); }
        let verdict = verdict(&oracle, &output);
        prop_assert_eq!(verdict.missing, RECORDS - 60);
        prop_assert_eq!(verdict.misordered_keys, u64::from(hole));
        prop_assert_eq!(verdict.unexpected, 0);
    });
}

/// A stand-in for an index, written by another way of merging than the oracle's.
fn index(
    generator: &Generator,
    enrichment: Option<&HashMap<Vec<u8>, bytes::Bytes>>,
    merge: bool,
) -> HashMap<String, Value> {
    let mut index: HashMap<String, Value> = HashMap::new();
    let mut scratch = GeneratorScratch::default();
    for number in 0..RECORDS {
        let record = generator.record(number, &mut scratch);
        let (Some(key), false) =
            (record.key, matches!(record.fate(), crate::testbed::generator::RecordFate::Rejected(_)))
        else {
            continue;
        };
        let id = String::from_utf8_lossy(key).into_owned();
        let Some(value) = record.value else {
            index.remove(&id);
            continue;
        };
        let mut result = serde_json::from_slice::<Value>(value).expect("JSON")["result"].take();
        let user = format!("user:{}", result["user"].as_str().expect("a user"));
        if let Some(found) = enrichment.and_then(|table| table.get(user.as_bytes())) {
            result["user_info"] = serde_json::from_slice(found).expect("JSON");
        }
        let old = index.entry(id).or_insert_with(|| json!({}));
        if merge { deep_merge(old, &result) } else { *old = result }
    }
    index
}

fn deep_merge(old: &mut Value, new: &Value) {
    match new.as_object() {
        Some(new) if old.is_object() => new.iter().for_each(|(name, value)| deep_merge(&mut old[name], value)),
        Some(_) | None => *old = new.clone(),
    }
}

fn check(generator: &Generator, documents: &HashMap<String, Value>, write: Write) -> DocumentVerdict {
    let table = generator.lookup_table();
    let enrichment = Enrichment { table: &table, prefix: "user:", field: "user", into: "user_info" };
    let document = |id: &str| documents.get(id).map(|value| value.to_string().into_bytes());
    check_documents(generator, RECORDS, write, Some(enrichment), document, documents.len() as u64)
}

#[test]
fn correct_documents_are_exact() {
    for (write, merge) in [(Write::Merge, true), (Write::Replace, false)] {
        let generator = generator(|shape| {
            shape.tombstone_every = 17;
            shape.poison_every = 19;
            shape.poison = vec![Poison::Truncated, Poison::HugeInteger, Poison::ResultNull];
        });
        let documents = index(&generator, Some(&generator.lookup_table()), merge);
        let verdict = check(&generator, &documents, write);
        assert!(verdict.is_exact(), "{write:?}: {verdict}");
        assert!(verdict.expected > 100, "{verdict}");
    }
}

#[test]
fn merging_and_replacing_are_told_apart() {
    let generator = generator(|_| {});
    let merged = index(&generator, Some(&generator.lookup_table()), true);
    assert!(check(&generator, &merged, Write::Replace).different > 10);
    let replaced = index(&generator, Some(&generator.lookup_table()), false);
    assert!(check(&generator, &replaced, Write::Merge).different > 10);
}

#[test]
fn planted_faults_of_documents_are_found() {
    type Plant = fn(&mut HashMap<String, Value>);
    type Judge = fn(&DocumentVerdict) -> bool;
    let id = "k-0000000042";
    let table: [(&str, Plant, Judge); 6] = [
        ("missing", |d| drop(d.remove("k-0000000042")), |v| v.missing == 1 && v.different == 0 && v.extra == 0),
        ("extra", |d| drop(d.insert("other".into(), json!({}))), |v| v.extra == 1 && v.missing == 0),
        ("stale", |d| d.get_mut("k-0000000042").expect("it")["seq"] = json!(1), |v| v.different == 1),
        ("a member less", |d| drop(members(d).remove("note")), |v| v.different == 1),
        ("a member more", |d| drop(members(d).insert("odd".into(), json!(1))), |v| v.different == 1),
        ("look-up missing", |d| drop(members(d).remove("user_info")), |v| v.different == 1),
    ];
    for (name, plant, is_found) in table {
        let generator = generator(|_| {});
        let mut documents = index(&generator, Some(&generator.lookup_table()), true);
        assert!(documents[id]["user_info"].is_object());
        plant(&mut documents);
        let verdict = check(&generator, &documents, Write::Merge);
        assert!(is_found(&verdict) && !verdict.is_exact(), "{name}: {verdict}");
        assert!(!verdict.samples().is_empty(), "{name}");
    }
}

fn members(documents: &mut HashMap<String, Value>) -> &mut Map<String, Value> {
    documents.get_mut("k-0000000042").and_then(Value::as_object_mut).expect("an object")
}

#[test]
fn a_document_left_behind_by_a_tombstone_is_extra() {
    let generator = generator(|shape| {
        shape.keys = 0;
        shape.tombstone_every = 500;
    });
    let mut documents = index(&generator, Some(&generator.lookup_table()), true);
    assert_eq!(documents.len(), 1_996);
    documents.insert("k-0000000499".into(), json!({"id": 1}));
    let verdict = check(&generator, &documents, Write::Merge);
    assert!(verdict.extra == 1 && !verdict.is_exact(), "{verdict}");
    assert!(verdict.to_string().contains("k-0000000499"), "{verdict}");
}
