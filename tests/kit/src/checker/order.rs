//! Order per key: what the sink was sent, and what it ends with (pure).

use std::collections::{HashMap, HashSet};

use super::duplicates::FLIGHT_US;
use super::{Cause, Incident, Input, Logs, Place, SAMPLES, Sighting, Taken, Verdict, describe};

/// Counts records sent before an earlier one of their key, and keys left with something old; what comes of late writes
/// alone is counted apart.
pub(super) fn judge(logs: &Logs, known: &HashMap<u64, &Input>, verdict: &mut Verdict) {
    let lines = lines(logs, known);
    let all = Found::of(logs, known, &lines, &HashSet::new());
    let late = if all.findings() == 0 { HashSet::new() } else { late_writes(logs, known) };
    let found = if late.is_empty() { all.clone() } else { Found::of(logs, known, &lines, &late) };
    (verdict.disordered, verdict.stale_keys) = (found.disordered, found.stale_keys);
    verdict.late = all.findings().saturating_sub(found.findings());
    let notes = if verdict.late > 0 { &all.notes } else { &found.notes };
    notes.iter().for_each(|note| verdict.note(|| note.clone()));
}

/// What one look at the order of all keys found.
#[derive(Debug, Clone, Default)]
struct Found {
    disordered: u64,
    stale_keys: u64,
    notes: Vec<String>,
}

impl Found {
    /// Looks at all sightings but those in these places.
    fn of(
        logs: &Logs,
        known: &HashMap<u64, &Input>,
        lines: &HashMap<u64, Vec<&Input>>,
        without: &HashSet<usize>,
    ) -> Self {
        let mut found = Self::default();
        let place: HashMap<u64, usize> =
            lines.values().flat_map(|line| line.iter().enumerate().map(|(at, input)| (input.record, at))).collect();
        let mut next: HashMap<u64, usize> = HashMap::new();
        let mut last: HashMap<u64, usize> = HashMap::new();
        let seen =
            logs.sightings.iter().enumerate().filter(|(at, one)| one.place == Place::Sink && !without.contains(at));
        for (_, sighting) in seen {
            let Some(input) = known.get(&sighting.record) else { continue };
            let (Some(key), Some(&at)) = (input.key, place.get(&sighting.record)) else { continue };
            let expected = next.entry(key).or_default();
            if !logs.versioned && at > *expected {
                found.disordered += 1;
                found.note(|| format!("sent before {} earlier of its key: {}", at - *expected, describe(input)));
            }
            *expected = at + 1;
            if sighting.taken == Taken::Applied {
                last.insert(key, at);
            }
        }
        let applied = applied(logs);
        for (key, line) in lines {
            let newest = line.iter().rposition(|input| applied.contains(&input.record));
            if let (Some(last), Some(newest)) = (last.get(key), newest)
                && *last < newest
            {
                found.stale_keys += 1;
                found.note(|| format!("the key of {} ends with something older", describe(line[newest])));
            }
        }
        found
    }

    fn findings(&self) -> u64 {
        self.disordered + self.stale_keys
    }

    fn note(&mut self, describe: impl FnOnce() -> String) {
        if self.notes.len() < SAMPLES {
            self.notes.push(describe());
        }
    }
}

/// Places of writes that came late: when a newer record of the key had been acknowledged already, of a record that had
/// been written before, and either by a request whose answer nobody heard because its line broke, or just after a
/// process that had been taken for dead went on.
fn late_writes(logs: &Logs, known: &HashMap<u64, &Input>) -> HashSet<usize> {
    let mut late = HashSet::new();
    // By key: the newest record acknowledged so far, and the acknowledgements still to come at their time.
    let mut told: Vec<(u64, u64, (i32, i64))> = Vec::new();
    for sighting in logs.sightings.iter().filter(|one| one.place == Place::Sink && one.taken == Taken::Applied) {
        if let (Some(at_us), Some(input)) = (sighting.told_us, known.get(&sighting.record))
            && let Some(key) = input.key
        {
            told.push((at_us, key, (input.partition, input.offset)));
        }
    }
    told.sort_unstable();
    let mut newest: HashMap<u64, (i32, i64)> = HashMap::new();
    let mut told = told.into_iter().peekable();
    let mut written: HashSet<u64> = HashSet::new();
    let mut writes: Vec<(usize, &Sighting)> = logs
        .sightings
        .iter()
        .enumerate()
        .filter(|(_, one)| one.place == Place::Sink && one.taken == Taken::Applied)
        .collect();
    writes.sort_by_key(|(_, one)| one.at_us);
    for (place, sighting) in writes {
        while let Some((_, key, position)) = told.next_if(|(at_us, ..)| *at_us <= sighting.at_us) {
            newest.entry(key).and_modify(|known| *known = position.max(*known)).or_insert(position);
        }
        let again = !written.insert(sighting.record);
        let Some((input, key)) = known.get(&sighting.record).and_then(|input| Some((input, input.key?))) else {
            continue;
        };
        let is_older = newest.get(&key).is_some_and(|newest| *newest > (input.partition, input.offset));
        if again && is_older && logs.incidents.iter().any(|incident| delays(incident, sighting)) {
            late.insert(place);
        }
    }
    late
}

/// Whether a write may have been on its way since this incident.
fn delays(incident: &Incident, write: &Sighting) -> bool {
    let within = write.at_us >= incident.from_us && write.at_us <= incident.to_us + FLIGHT_US;
    match incident.cause {
        Cause::Line => within && write.told_us.is_none(),
        Cause::Zombie => within && write.at_us >= incident.to_us,
        Cause::Kill | Cause::Rewind | Cause::RewindInFlight | Cause::Reassigned | Cause::Anew => false,
    }
}

/// The records of each key in input order, without those the sink was never sent: they were rejected before it.
fn lines<'l>(logs: &'l Logs, known: &HashMap<u64, &'l Input>) -> HashMap<u64, Vec<&'l Input>> {
    let mut sent: HashMap<u64, &Input> = HashMap::new();
    for sighting in logs.sightings.iter().filter(|sighting| sighting.place == Place::Sink) {
        if let Some(input) = known.get(&sighting.record) {
            sent.insert(sighting.record, input);
        }
    }
    let mut lines: HashMap<u64, Vec<&Input>> = HashMap::new();
    for input in sent.into_values() {
        if let Some(key) = input.key {
            lines.entry(key).or_default().push(input);
        }
    }
    lines.values_mut().for_each(|line| line.sort_by_key(|input| (input.partition, input.offset)));
    lines
}

/// Every record that was ever written to the sink.
fn applied(logs: &Logs) -> HashSet<u64> {
    let written = |one: &&Sighting| one.taken == Taken::Applied && one.place == Place::Sink;
    logs.sightings.iter().filter(written).map(|one| one.record).collect()
}
