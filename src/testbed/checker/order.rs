//! Order per key: what the sink was sent, and what it ends with (pure).

use std::collections::{HashMap, HashSet};

use super::{Input, Logs, Place, Sighting, Taken, Verdict, describe};

/// Counts records sent before an earlier one of their key, and keys left with something old.
pub(super) fn judge(logs: &Logs, known: &HashMap<u64, &Input>, verdict: &mut Verdict) {
    let lines = lines(logs, known);
    let place: HashMap<u64, usize> =
        lines.values().flat_map(|line| line.iter().enumerate().map(|(at, input)| (input.record, at))).collect();
    let mut next: HashMap<u64, usize> = HashMap::new();
    let mut last: HashMap<u64, usize> = HashMap::new();
    for sighting in logs.sightings.iter().filter(|sighting| sighting.place == Place::Sink) {
        let Some(input) = known.get(&sighting.record) else { continue };
        let (Some(key), Some(&at)) = (input.key, place.get(&sighting.record)) else { continue };
        let expected = next.entry(key).or_default();
        if !logs.versioned && at > *expected {
            verdict.disordered += 1;
            verdict.note(|| format!("sent before {} earlier of its key: {}", at - *expected, describe(input)));
        }
        *expected = at + 1;
        if sighting.taken == Taken::Applied {
            last.insert(key, at);
        }
    }
    let applied = applied(logs);
    for (key, line) in &lines {
        let newest = line.iter().rposition(|input| applied.contains(&input.record));
        if let (Some(last), Some(newest)) = (last.get(key), newest)
            && *last < newest
        {
            verdict.stale_keys += 1;
            verdict.note(|| format!("the key of {} ends with something older", describe(line[newest])));
        }
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
