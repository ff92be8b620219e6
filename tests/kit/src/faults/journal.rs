//! What is written down while a scenario plays: the input as it was fed and as it lies in its topic, letters,
//! incidents.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::checker::{Cause, Incident, Input, Owed, Place, Sighting, Taken};
use crate::services::StoredRecord;
use serde_json::Value;
use sluicegate::internals::testbed::bulk_endpoint::LogEntry;
use sluicegate::internals::testbed::generator::{Generated, RecordFate};
use sluicegate::internals::testbed::tap::Tapped;

/// Added to a record's number where its value shows it.
const SEQUENCE_BASE: u64 = 1_000_000_000_000;
/// A revoke is logged when it is done; it may have begun this long before.
const REVOKE_US: u64 = 3_000_000;

/// One clone for each thread that writes something down.
#[derive(Clone, Default)]
pub struct Journal(Arc<Mutex<Pages>>);

#[derive(Default)]
struct Pages {
    /// What each fed record is owed, by its trace.
    fed: HashMap<Vec<u8>, (u64, Owed)>,
    input: Vec<Input>,
    ends: HashMap<i32, i64>,
    letters: Vec<Sighting>,
    incidents: Vec<Incident>,
    removed: Vec<(i32, i64, i64)>,
    /// Items that steps make of a record, each a record of the checker's; 0: none.
    items: u64,
    /// Added to the offsets of the input: the topic was made again, and its offsets began anew.
    base: i64,
}

impl Journal {
    /// A journal of records of which steps make so many items; 0: they stay whole.
    pub fn of_items(items: u64) -> Self {
        Self(Arc::new(Mutex::new(Pages { items, ..Pages::default() })))
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A record is about to be fed. `owed` is what ordinary records are owed where that is not delivery.
    pub fn feed(&self, record: &Generated<'_>, owed: Option<Owed>) {
        let owed = match record.fate() {
            RecordFate::Delivered => owed.unwrap_or(Owed::Delivery),
            RecordFate::Rejected(_) => Owed::Letter,
            RecordFate::Tombstone | RecordFate::ServerDecides | RecordFate::SinkLimit => Owed::Either,
        };
        if let Some(trace) = record.trace {
            self.pages().fed.insert(trace.to_vec(), (record.index, owed));
        }
    }

    /// A record was read back from the input topic.
    pub fn input(&self, read: &Tapped<'_>) {
        let mut pages = self.pages();
        let trace = read.headers().find(|(name, _)| *name == "trace").and_then(|(_, trace)| trace);
        let Some((record, owed)) = trace.and_then(|trace| pages.fed.get(trace)).copied() else { return };
        let (partition, offset) = (read.partition(), read.offset() + pages.base);
        let key = read.key().map(number_of);
        let items = pages.items;
        for (item, record) in numbers(record, items) {
            // The second item of some is rejected.
            let owed = if item == Some(1) && owed == Owed::Delivery { Owed::Either } else { owed };
            let key = key.map(|key| item.map_or(key, |item| key.wrapping_add(item)));
            pages.input.push(Input { record, key, partition, offset, owed });
        }
        pages.ends.insert(partition, offset + 1);
    }

    /// A dead letter was read.
    pub fn letter(&self, read: &Tapped<'_>) {
        let mut pages = self.pages();
        let trace = read.headers().find(|(name, _)| *name == "trace").and_then(|(_, trace)| trace);
        let record = trace.and_then(|trace| pages.fed.get(trace)).map_or(u64::MAX, |(record, _)| *record);
        let item = read.headers().find(|(name, _)| *name == "sluicegate-item").and_then(|(_, item)| item);
        let item = item.and_then(|item| std::str::from_utf8(item).ok()?.split('.').next()?.parse().ok());
        let items = pages.items;
        // When it was made: its acknowledgement came later, and reading it later still.
        let at_us = u64::try_from(read.timestamp_ms().unwrap_or(0)).unwrap_or(0) * 1_000;
        // The letter of a whole record stands for all of its items.
        for (_, record) in numbers(record, items).filter(|(number, _)| item.is_none() || *number == item) {
            let (place, taken) = (Place::Letters, Taken::Applied);
            pages.letters.push(Sighting { record, place, taken, at_us, told_us: Some(at_us) });
        }
    }

    /// Dead letters of a file, a line each. A file keeps no times.
    pub fn letter_lines(&self, lines: &str) {
        let mut pages = self.pages();
        for line in lines.lines() {
            let letter: Value = serde_json::from_str(line).unwrap_or_default();
            let headers = letter["headers"].as_array().cloned().unwrap_or_default();
            let trace = headers.iter().find(|header| header[0] == "trace").and_then(|header| header[1].as_str());
            let record =
                trace.and_then(|trace| pages.fed.get(trace.as_bytes())).map_or(u64::MAX, |(record, _)| *record);
            let letter = Sighting { record, place: Place::Letters, taken: Taken::Applied, at_us: 0, told_us: Some(0) };
            pages.letters.push(letter);
        }
    }

    /// The input topic is made again; its offsets count from `base` on.
    pub fn begin_anew(&self, base: i64) {
        let mut pages = self.pages();
        pages.base = base;
        pages.ends.values_mut().for_each(|end| *end = base);
    }

    /// Records from `from` to below `to` were removed from the input before anybody owed anything for them.
    pub fn removed(&self, partition: i32, from: i64, to: i64) {
        self.pages().removed.push((partition, from, to));
    }

    /// Something that may repeat records has happened.
    pub fn incident(&self, cause: Cause, from_us: u64, to_us: u64, partition: Option<i32>) {
        self.pages().incidents.push(Incident { cause, from_us, to_us, partition });
    }

    /// Incidents an engine tells of in its log; `knows_answers` tells whether the sink keeps what it answered when.
    pub fn engine_log(&self, log: &str, knows_answers: bool) {
        let judged = |incident: Incident| if knows_answers { incident.with_known_answers() } else { incident };
        let incidents = log.lines().filter_map(incident_in).map(|(_, incident)| judged(incident));
        self.pages().incidents.extend(incidents);
    }

    /// Where a partition of the input ends, as far as it was read back; 0 for an empty one.
    pub fn end(&self, partition: i32) -> i64 {
        self.pages().ends.get(&partition).copied().unwrap_or(0)
    }

    /// Records of the input read back.
    pub fn records(&self) -> u64 {
        let pages = self.pages();
        pages.input.len() as u64 / pages.items.max(1)
    }

    /// Number of letters read.
    pub fn letters(&self) -> u64 {
        self.pages().letters.len() as u64
    }

    /// Input, letters and incidents.
    pub fn take(&self) -> (Vec<Input>, Vec<Sighting>, Vec<Incident>) {
        let pages = self.pages();
        let is_there = |one: &&Input| {
            let gone = |(partition, from, to): &(i32, i64, i64)| {
                one.partition == *partition && (*from..*to).contains(&one.offset)
            };
            !pages.removed.iter().any(gone)
        };
        let input = pages.input.iter().filter(is_there).copied().collect();
        (input, pages.letters.clone(), pages.incidents.clone())
    }
}

/// The items of a record by number, each with the number it has as a record of the checker's; the record itself where
/// there are none.
fn numbers(record: u64, items: u64) -> impl Iterator<Item = (Option<u64>, u64)> {
    let whole = (items == 0).then_some((None, record));
    whole.into_iter().chain((0..items).map(move |item| (Some(item), record.saturating_mul(items) + item)))
}

/// The incident a line of an engine's log tells of, with the pipeline's name.
pub fn incident_in(line: &str) -> Option<(String, Incident)> {
    let entry: Value = serde_json::from_str(line).ok()?;
    let at_us = entry["timestamp"].as_str().and_then(microseconds)?;
    let (cause, before_us) = match entry["message"].as_str()? {
        // The producer forgets what it had sent; a broker that comes back may have it in hand.
        "rewinding" if matches!(entry["cause"].as_str(), Some("exhausted" | "producer")) => (Cause::RewindInFlight, 0),
        "rewinding" => (Cause::Rewind, 0),
        "the log was truncated or the topic recreated: reading it from its beginning" => (Cause::Anew, 0),
        "partitions revoked" | "partitions assigned" | "assignment lost: committing nothing" => {
            (Cause::Reassigned, REVOKE_US)
        }
        _ => return None,
    };
    let partition = match cause {
        Cause::Rewind | Cause::RewindInFlight | Cause::Anew => entry["partition"].as_str().and_then(partition_of),
        Cause::Kill | Cause::Reassigned | Cause::Line | Cause::Zombie => None,
    };
    let pipeline = entry["pipeline"].as_str().unwrap_or_default().to_owned();
    Some((pipeline, Incident { cause, from_us: at_us.saturating_sub(before_us), to_us: at_us, partition }))
}

/// What the bulk endpoint worked on. With external versions 409 says that something newer is there.
pub fn requested(entry: &LogEntry, versioned: bool, items: u64) -> Sighting {
    let us = |time: std::time::SystemTime| {
        let since = time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    };
    let taken = match entry.status {
        200..300 => Taken::Applied,
        409 if versioned => Taken::Superseded,
        _ => Taken::Refused,
    };
    let whole = record_in(&entry.body).unwrap_or(u64::MAX);
    let item = digits_behind(&entry.body, b"\"part\":");
    let record = numbers(whole, items).find(|(number, _)| *number == item).map_or(u64::MAX, |(_, record)| record);
    Sighting { record, place: Place::Sink, taken, at_us: us(entry.at), told_us: entry.told.map(us) }
}

/// A record of an output topic whose timestamps are the broker's.
pub fn stored(record: &StoredRecord) -> Sighting {
    let at_us = u64::try_from(record.timestamp_ms).unwrap_or(0) * 1_000;
    let number = record.value.as_deref().and_then(record_in).unwrap_or(u64::MAX);
    Sighting { record: number, place: Place::Sink, taken: Taken::Applied, at_us, told_us: Some(at_us) }
}

/// The record's number inside a value or a bulk line.
pub fn record_in(bytes: &[u8]) -> Option<u64> {
    const NAME: &[u8] = b"\"seq\":";
    let rest = &bytes[memchr::memmem::find(bytes, NAME)? + NAME.len()..];
    let digits = std::str::from_utf8(rest.get(..13)?).ok()?;
    digits.parse::<u64>().ok()?.checked_sub(SEQUENCE_BASE)
}

/// The number directly behind `name`.
fn digits_behind(bytes: &[u8], name: &[u8]) -> Option<u64> {
    let rest = &bytes[memchr::memmem::find(bytes, name)? + name.len()..];
    let end = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
    std::str::from_utf8(&rest[..end]).ok()?.parse().ok()
}

fn number_of(key: &[u8]) -> u64 {
    foldhash::fast::FixedState::default().hash_one(key)
}

fn microseconds(text: &str) -> Option<u64> {
    u64::try_from(text.parse::<jiff::Timestamp>().ok()?.as_microsecond()).ok()
}

/// The number in `events[3]`.
fn partition_of(name: &str) -> Option<i32> {
    name.rsplit_once('[')?.1.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_tells_its_incidents() {
        let journal = Journal::default();
        let log = "{\"timestamp\":\"1970-01-01T00:00:05.000001Z\",\"message\":\"rewinding\",\"partition\":\"events[3]\"}\n\
             {\"timestamp\":\"1970-01-01T00:00:06Z\",\"message\":\"rewinding\",\"partition\":\"events[1]\",\"cause\":\"exhausted\"}\n\
             no json\n{\"timestamp\":\"1970-01-01T00:00:09Z\",\"message\":\"partitions revoked\"}\n\
             {\"timestamp\":\"1970-01-01T00:00:10Z\",\"message\":\"running\"}\n";
        journal.engine_log(log, false);
        let (_, _, incidents) = journal.take();
        let rewind = Incident { cause: Cause::Rewind, from_us: 5_000_001, to_us: 5_000_001, partition: Some(3) };
        let moved = Incident { cause: Cause::Reassigned, from_us: 6_000_000, to_us: 9_000_000, partition: None };
        let given_up =
            Incident { cause: Cause::RewindInFlight, from_us: 6_000_000, to_us: 6_000_000, partition: Some(1) };
        assert_eq!(incidents, [rewind, given_up, moved]);
        let journal = Journal::default();
        journal.engine_log(log, true);
        let plain = Incident { cause: Cause::Rewind, ..given_up };
        assert_eq!(journal.take().2, [rewind, plain, moved], "an answer that was not given is known there");
    }

    #[test]
    fn an_incident_names_its_pipeline() {
        let line = "{\"timestamp\":\"1970-01-01T00:00:05Z\",\"message\":\"rewinding\",\"pipeline\":\"relay\"}";
        assert_eq!(
            incident_in(line).map(|(pipeline, incident)| (pipeline, incident.from_us)),
            Some(("relay".to_owned(), 5_000_000))
        );
        assert_eq!(incident_in("{\"timestamp\":\"1970-01-01T00:00:05Z\",\"message\":\"running\"}"), None);
    }

    #[test]
    fn a_record_shows_its_number_anywhere() {
        assert_eq!(record_in(br#"{"doc":{"id":"k","seq":1000000000042,"x":1}}"#), Some(42));
        assert_eq!(record_in(br#"{"seq":12}"#), None);
        assert_eq!(record_in(b""), None);
    }
}
