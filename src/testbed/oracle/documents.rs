//! Judges the documents of an index at the end of a run.
//!
//! The expected documents are made again from the generator, a share of the keys at a time, so that memory stays
//! bounded however long the run was.

use std::collections::{HashMap, HashSet};
use std::fmt;

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::testbed::generator::{Generated, Generator, GeneratorScratch, RecordFate};

use super::{SAMPLES, Samples, select_result, shorten};

/// Distinct keys whose expected documents are held at a time.
const KEYS_AT_A_TIME: u64 = 8192;

/// What a write does to a document that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// `index`: the last one wins.
    Replace,
    /// `upsert`: members are merged, objects within objects too, anything else is replaced.
    Merge,
}

/// A look-up as the pipeline under test does it: `key: "<prefix>{/<field>}"`, `into: /<into>`, `on_miss: keep`.
#[derive(Debug, Clone, Copy)]
pub struct Enrichment<'a> {
    /// Key → JSON text to put there.
    pub table: &'a HashMap<Vec<u8>, Bytes>,
    /// What stands before the field in the key.
    pub prefix: &'a str,
    /// The member of `result` that makes the key.
    pub field: &'a str,
    /// The member that is added.
    pub into: &'a str,
}

/// What was found. `Display` is a readable account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DocumentVerdict {
    /// Documents that must exist.
    pub expected: u64,
    /// Of these, present and equal.
    pub(crate) equal: u64,
    /// Of these, absent.
    pub missing: u64,
    /// Of these, present with other content.
    pub different: u64,
    /// Documents that exist and must not.
    pub extra: u64,
    samples: Samples,
}

impl DocumentVerdict {
    /// Exactly the expected documents exist.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.equal == self.expected && self.missing == 0 && self.different == 0 && self.extra == 0
    }

    /// The first differences, described.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn samples(&self) -> &[String] {
        &self.samples.0
    }
}

impl fmt::Display for DocumentVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { expected, equal, missing, different, extra, samples } = self;
        write!(
            f,
            "{equal} of {expected} documents equal, {missing} missing, {different} different, {extra} that must not exist"
        )?;
        samples.0.iter().try_for_each(|sample| write!(f, "\n  {sample}"))
    }
}

/// Compares the documents after `records` records (from number 0) with what `document` (by id) and `count` (of all
/// documents in the index) say. Records without a key, and rejected ones, must leave no document; a tombstone deletes.
/// Records whose fate the server or sink decides make the documents of their key undecided: these are not compared, and
/// allowed to exist.
pub fn check_documents(
    generator: &Generator,
    records: u64,
    write: Write,
    enrichment: Option<Enrichment<'_>>,
    document: impl Fn(&str) -> Option<Vec<u8>>,
    count: u64,
) -> DocumentVerdict {
    let mut verdict = DocumentVerdict::default();
    let mut undecided_present = 0;
    let shards = shards(generator, records);
    for shard in 0..shards {
        let expected = expected_documents(generator, records, (shard, shards), write, enrichment);
        for (id, wanted) in &expected {
            let found = document(id);
            match wanted {
                Wanted::Undecided => undecided_present += u64::from(found.is_some()),
                Wanted::Absent => {
                    if found.is_some() {
                        verdict.samples.add(|| format!("{id}: exists, but its last record was a tombstone"));
                    }
                }
                Wanted::Document(wanted) => compare(&mut verdict, id, wanted, found),
            }
        }
    }
    let present = verdict.equal + verdict.different + undecided_present;
    verdict.extra = count.saturating_sub(present);
    if verdict.extra > 0 {
        let extra = verdict.extra;
        verdict.samples.add(|| format!("the index holds {count} documents: {extra} too many"));
    }
    verdict
}

fn shards(generator: &Generator, records: u64) -> u64 {
    let shape = generator.shape();
    let keys = shape.hot_keys + if shape.keys == 0 { records } else { shape.keys.min(records) };
    keys.div_ceil(KEYS_AT_A_TIME).max(1)
}

#[derive(Debug)]
enum Wanted {
    Document(Map<String, Value>),
    Absent,
    Undecided,
}

fn expected_documents(
    generator: &Generator,
    records: u64,
    (shard, shards): (u64, u64),
    write: Write,
    enrichment: Option<Enrichment<'_>>,
) -> HashMap<String, Wanted> {
    let mut scratch = GeneratorScratch::default();
    let mut documents = HashMap::new();
    let mut undecided = HashSet::new();
    for index in (0..records).filter(|index| generator.key_number(*index) % shards == shard) {
        let record = generator.record(index, &mut scratch);
        let Some(key) = record.key else { continue };
        let id = String::from_utf8_lossy(key).into_owned();
        match record.fate() {
            RecordFate::Rejected(_) => {}
            RecordFate::Tombstone => {
                documents.insert(id, Wanted::Absent);
            }
            RecordFate::ServerDecides | RecordFate::SinkLimit => {
                undecided.insert(id);
            }
            RecordFate::Delivered => {
                let Some(fresh) = enriched(&record, enrichment) else { continue };
                match (write, documents.get_mut(&id)) {
                    (Write::Merge, Some(Wanted::Document(old))) => merge(old, fresh),
                    _ => {
                        documents.insert(id, Wanted::Document(fresh));
                    }
                }
            }
        }
    }
    for id in undecided {
        documents.insert(id, Wanted::Undecided);
    }
    documents
}

fn enriched(record: &Generated<'_>, enrichment: Option<Enrichment<'_>>) -> Option<Map<String, Value>> {
    let mut fresh: Map<String, Value> = serde_json::from_slice(select_result(record.value?)?).ok()?;
    if let Some(enrichment) = enrichment
        && let Some(Value::String(field)) = fresh.get(enrichment.field)
        && let Some(json) = enrichment.table.get(format!("{}{field}", enrichment.prefix).as_bytes())
        && let Ok(found) = serde_json::from_slice(json)
    {
        fresh.insert(enrichment.into.to_owned(), found);
    }
    Some(fresh)
}

/// The partial update of Elasticsearch: objects are merged member by member, everything else is replaced.
fn merge(old: &mut Map<String, Value>, fresh: Map<String, Value>) {
    for (name, value) in fresh {
        match (old.get_mut(&name), value) {
            (Some(Value::Object(old)), Value::Object(value)) => merge(old, value),
            (_, value) => {
                old.insert(name, value);
            }
        }
    }
}

fn compare(verdict: &mut DocumentVerdict, id: &str, wanted: &Map<String, Value>, found: Option<Vec<u8>>) {
    verdict.expected += 1;
    let Some(found) = found else {
        verdict.missing += 1;
        verdict.samples.add(|| format!("{id}: missing"));
        return;
    };
    match serde_json::from_slice::<Value>(&found) {
        Ok(Value::Object(found)) if same_members(wanted, &found) => verdict.equal += 1,
        Ok(Value::Object(found)) => {
            verdict.different += 1;
            verdict.samples.add(|| format!("{id}: {}", difference(wanted, &found)));
        }
        Ok(_) | Err(_) => {
            verdict.different += 1;
            verdict.samples.add(|| format!("{id}: is no JSON object: {}", shorten(&found)));
        }
    }
}

/// Equal but for the spelling of numbers: an update makes the server write the document again (`-0` becomes `0`).
fn same(wanted: &Value, found: &Value) -> bool {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => same_members(wanted, found),
        (Value::Array(wanted), Value::Array(found)) => {
            wanted.len() == found.len() && wanted.iter().zip(found).all(|(wanted, found)| same(wanted, found))
        }
        (Value::Number(wanted), Value::Number(found)) if wanted.is_f64() || found.is_f64() => {
            wanted.as_f64() == found.as_f64()
        }
        _ => wanted == found,
    }
}

fn same_members(wanted: &Map<String, Value>, found: &Map<String, Value>) -> bool {
    wanted.len() == found.len()
        && wanted.iter().all(|(name, wanted)| found.get(name).is_some_and(|found| same(wanted, found)))
}

fn difference(wanted: &Map<String, Value>, found: &Map<String, Value>) -> String {
    let names = wanted.keys().chain(found.keys().filter(|name| !wanted.contains_key(*name)));
    let show = |side: Option<&Value>| side.map_or_else(|| "nothing".to_owned(), |v| shorten(v.to_string().as_bytes()));
    let different: Vec<String> = names
        .filter(|name| match (wanted.get(*name), found.get(*name)) {
            (Some(wanted), Some(found)) => !same(wanted, found),
            (None, _) | (_, None) => true,
        })
        .take(SAMPLES)
        .map(|name| format!("{name} must be {}, is {}", show(wanted.get(name)), show(found.get(name))))
        .collect();
    different.join("; ")
}
