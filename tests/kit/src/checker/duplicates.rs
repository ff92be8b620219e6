//! Records written more than once, and what explains each repetition (pure).

use std::collections::HashMap;
use std::fmt;

use super::{Cause, Incident, Input, Logs, Place, Sighting, Taken, Verdict};

/// A request may have been in flight for this long when its line broke, and a server may be at work on it for this long
/// after.
pub(super) const FLIGHT_US: u64 = 2_000_000;

/// Counts repetitions, and those nothing explains.
pub(super) fn judge(logs: &Logs, known: &HashMap<u64, &Input>, verdict: &mut Verdict) {
    let commits = Commits::of(logs);
    let mut attempts: HashMap<u64, Vec<&Sighting>> = HashMap::new();
    for sighting in &logs.sightings {
        attempts.entry(sighting.record).or_default().push(sighting);
    }
    let mut keys: HashMap<u64, Vec<&Input>> = HashMap::new();
    for input in &logs.input {
        if let Some(key) = input.key {
            keys.entry(key).or_default().push(input);
        }
    }
    let mut copies: HashMap<u64, usize> = HashMap::new();
    for input in &logs.input {
        *copies.entry(input.record).or_default() += 1;
    }
    for input in known.values() {
        let Some(mut seen) = attempts.get(&input.record).cloned() else { continue };
        seen.sort_by_key(|sighting| sighting.at_us);
        let written: Vec<&Sighting> = seen.into_iter().filter(|one| one.taken == Taken::Applied).collect();
        for pair in written.windows(2) {
            verdict.duplicates += 1;
            let (before, again) = (pair[0], pair[1]);
            let mates = input.key.and_then(|key| keys.get(&key)).map_or(&[][..], Vec::as_slice);
            // A producer whose answer was lost may have written it into the input twice.
            let explained = copies.get(&input.record).is_some_and(|copies| *copies > 1)
                || before.told_us.is_none()
                || logs.incidents.iter().any(|one| {
                    let repetition = Repetition::of(input, before, again);
                    explains(one, &repetition, |partition, at_us| commits.before(partition, at_us))
                })
                || follows_an_earlier_one(input, mates, &attempts, before, again);
            if !explained {
                verdict.unexplained += 1;
                verdict.note(|| format!("repeated without a cause: {}", Repetition::of(input, before, again)));
            }
        }
    }
}

/// A record written twice.
#[derive(Debug, Clone, Copy)]
pub(super) struct Repetition {
    /// Its number.
    pub record: u64,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// When it had been written.
    pub before_us: u64,
    /// When it was written again.
    pub again_us: u64,
}

impl Repetition {
    fn of(input: &Input, before: &Sighting, again: &Sighting) -> Self {
        let Input { record, partition, offset, .. } = *input;
        Self { record, partition, offset, before_us: before.at_us, again_us: again.at_us }
    }
}

impl fmt::Display for Repetition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { record, partition, offset, before_us, again_us } = self;
        write!(f, "record {record} (partition {partition}, offset {offset}) at {before_us} and {again_us} us")
    }
}

/// Whether an incident lies between two writes of a record and could reach back to it. `committed` is the highest
/// position of a partition known to be committed by a moment.
pub(super) fn explains(incident: &Incident, one: &Repetition, committed: impl Fn(i32, u64) -> i64) -> bool {
    let late = match incident.cause {
        // What is in flight is not waited for.
        Cause::Line | Cause::Anew | Cause::RewindInFlight => FLIGHT_US,
        Cause::Kill | Cause::Rewind | Cause::Reassigned | Cause::Zombie => 0,
    };
    let between = one.before_us <= incident.to_us + late && one.again_us >= incident.from_us;
    let here = incident.partition.is_none_or(|partition| partition == one.partition);
    let reaches = || match incident.cause {
        // What had been committed by then is never read again.
        Cause::Kill | Cause::Rewind | Cause::RewindInFlight | Cause::Reassigned => {
            committed(one.partition, incident.from_us) <= one.offset
        }
        Cause::Line => one.before_us + FLIGHT_US >= incident.from_us,
        Cause::Anew => true,
        // What it repeats, it repeats because its partitions were given to somebody else.
        Cause::Zombie => false,
    };
    between && here && reaches()
}

/// An earlier record of the key was refused, or its answer lost, and was sent again in between: then this one follows
/// it.
fn follows_an_earlier_one(
    input: &Input,
    mates: &[&Input],
    attempts: &HashMap<u64, Vec<&Sighting>>,
    before: &Sighting,
    again: &Sighting,
) -> bool {
    let open = |sighting: &&&Sighting| sighting.taken == Taken::Refused || sighting.told_us.is_none();
    mates.iter().filter(|mate| mate.offset < input.offset).any(|mate| {
        let seen = attempts.get(&mate.record).map_or(&[][..], Vec::as_slice);
        let at_sink = || seen.iter().filter(|one| one.place == Place::Sink);
        let failed = at_sink().filter(open).any(|one| one.at_us <= again.at_us);
        failed && at_sink().any(|one| one.at_us >= before.at_us && one.at_us <= again.at_us)
    })
}

/// The positions committed over time, by partition.
struct Commits(HashMap<i32, Vec<(u64, i64)>>);

impl Commits {
    fn of(logs: &Logs) -> Self {
        let mut commits: HashMap<i32, Vec<(u64, i64)>> = HashMap::new();
        for commit in &logs.committed {
            commits.entry(commit.partition).or_default().push((commit.at_us, commit.next));
        }
        commits.values_mut().for_each(|positions| positions.sort_unstable());
        Self(commits)
    }

    /// The highest position known to be committed by `at_us`.
    fn before(&self, partition: i32, at_us: u64) -> i64 {
        let positions = self.0.get(&partition).map_or(&[][..], Vec::as_slice);
        positions.iter().take_while(|(at, _)| *at <= at_us).map(|(_, next)| *next).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Committed;
    use super::*;

    #[test]
    fn what_was_committed_is_the_highest_known_by_then() {
        let commit = |at_us, next| Committed { at_us, partition: 1, next };
        let logs = Logs { committed: vec![commit(30, 9), commit(10, 3), commit(20, 2)], ..Logs::default() };
        let commits = Commits::of(&logs);
        assert_eq!([9, 10, 29, 30].map(|at| commits.before(1, at)), [0, 3, 3, 9]);
        assert_eq!(commits.before(2, 99), 0);
    }
}
