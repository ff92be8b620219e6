//! A sound run, and one planted fault at a time: each must be found, and nothing else.

use super::*;

/// Eight records: keys 0 and 1 in partition 0 in turn, one millisecond apart, each written 10 ms after it was made.
fn sound() -> Logs {
    let input = (0..8).map(|record| Input {
        record,
        key: Some(record % 2),
        partition: 0,
        offset: record as i64 * 2,
        owed: Owed::Delivery,
    });
    let sightings = (0..8).map(|record| written(record, 10_000 + record * 1_000));
    let committed = (0..8).map(|record: u64| Committed {
        at_us: 20_000 + record * 1_000,
        partition: 0,
        next: record as i64 * 2 + 1,
    });
    Logs { input: input.collect(), sightings: sightings.collect(), committed: committed.collect(), ..Logs::default() }
}

fn written(record: u64, at_us: u64) -> Sighting {
    Sighting { record, place: Place::Sink, taken: Taken::Applied, at_us, told_us: Some(at_us + 100) }
}

fn refused(record: u64, at_us: u64) -> Sighting {
    Sighting { taken: Taken::Refused, ..written(record, at_us) }
}

fn letter(record: u64, at_us: u64) -> Sighting {
    Sighting { place: Place::Letters, ..written(record, at_us) }
}

fn incident(cause: Cause, from_us: u64, to_us: u64) -> Incident {
    Incident { cause, from_us, to_us, partition: None }
}

/// Lost, foreign, repeated, without a cause, out of order, stale, early.
fn counts(logs: &Logs) -> [u64; 7] {
    let v = check(logs);
    [v.lost, v.foreign, v.duplicates, v.unexplained, v.disordered, v.stale_keys, v.early_commits]
}

fn with(plant: impl FnOnce(&mut Logs)) -> [u64; 7] {
    let mut logs = sound();
    plant(&mut logs);
    counts(&logs)
}

const SOUND: [u64; 7] = [0; 7];

#[test]
fn a_sound_run_is_sound() {
    assert_eq!(counts(&sound()), SOUND);
    assert!(check(&sound()).is_sound());
    assert_eq!(check(&sound()).records, 8);
}

#[test]
fn a_lost_record_is_found_and_so_is_the_commit_that_passed_it() {
    assert_eq!(with(|logs| logs.sightings.truncate(7)), [1, 0, 0, 0, 0, 0, 1]);
    assert_eq!(with(|logs| logs.sightings[7].taken = Taken::Refused), [1, 0, 0, 0, 0, 0, 1]);
    assert_eq!(with(|logs| logs.sightings[7].taken = Taken::Superseded), SOUND);
}

#[test]
fn what_nobody_sent_is_found() {
    assert_eq!(with(|logs| logs.sightings.push(written(99, 50_000))), [0, 1, 0, 0, 0, 0, 0]);
    assert_eq!(with(|logs| logs.sightings.push(refused(99, 50_000))), SOUND, "it was not written");
}

#[test]
fn a_rejected_record_must_have_its_letter_and_nothing_else() {
    let owed = |logs: &mut Logs| logs.input[3].owed = Owed::Letter;
    assert_eq!(with(owed), [1, 1, 0, 0, 0, 0, 0], "delivered, but a letter was owed");
    let kept = |logs: &mut Logs| {
        owed(logs);
        logs.sightings[3] = letter(3, 13_000);
    };
    assert_eq!(with(kept), SOUND);
    assert_eq!(with(|logs| logs.sightings.push(letter(3, 13_500))), [0, 1, 1, 1, 0, 0, 0]);
    let either = |logs: &mut Logs| {
        logs.input[3].owed = Owed::Either;
        logs.sightings[3] = letter(3, 13_000);
    };
    assert_eq!(with(either), SOUND);
}

#[test]
fn a_repetition_needs_a_cause_that_reaches_it() {
    let again = |logs: &mut Logs| logs.sightings.extend([written(6, 40_000), written(7, 41_000)]);
    assert_eq!(with(again), [0, 0, 2, 2, 0, 0, 0]);
    let table = [
        // Before 26 ms nothing of records 6 and 7 was committed, but both were written.
        ("a kill before they were committed", Cause::Kill, 18_000, 19_000, None, 0),
        ("a kill after record 6 was committed", Cause::Kill, 26_500, 27_000, None, 1),
        ("a kill after both were committed", Cause::Kill, 30_000, 30_000, None, 2),
        ("a rewind of another partition", Cause::Rewind, 18_000, 18_000, Some(3), 2),
        ("a rewind of this one", Cause::Rewind, 18_000, 18_000, Some(0), 0),
        ("a rewind some time before both were written", Cause::Rewind, 12_000, 12_000, Some(0), 2),
        ("one that left them in flight", Cause::RewindInFlight, 12_000, 12_000, Some(0), 0),
        ("one after they were committed", Cause::RewindInFlight, 30_000, 30_000, Some(0), 2),
        ("a log read from its beginning", Cause::Anew, 30_000, 30_000, Some(0), 0),
        ("another partition's", Cause::Anew, 30_000, 30_000, Some(1), 2),
        ("a reassignment before they were written", Cause::Reassigned, 12_000, 13_000, None, 2),
        ("a broken line while they were in flight", Cause::Line, 16_500, 30_000, None, 0),
        ("a line that broke long after", Cause::Line, 39_000_000, 39_500_000, None, 2),
    ];
    for (name, cause, from_us, to_us, partition, unexplained) in table {
        let found = with(|logs| {
            again(logs);
            logs.incidents.push(Incident { partition, ..incident(cause, from_us, to_us) });
        });
        assert_eq!(found, [0, 0, 2, unexplained, 0, 0, 0], "{name}");
    }
}

#[test]
fn an_answer_that_was_never_given_explains_a_repetition() {
    let found = with(|logs| {
        logs.sightings[7].told_us = None;
        logs.committed.pop();
        logs.sightings.push(written(7, 25_000));
    });
    assert_eq!(found, [0, 0, 1, 0, 0, 0, 0]);
}

#[test]
fn a_broken_line_reaches_what_was_on_the_wire_and_no_further() {
    let second = |at_us, unexplained| {
        let found = with(|logs| {
            logs.incidents.push(incident(Cause::Line, 18_000, 19_000));
            logs.committed.pop();
            logs.sightings[7] = written(7, at_us);
            logs.sightings.push(written(7, at_us + 1_000));
        });
        assert_eq!(found, [0, 0, 1, unexplained, 0, 0, 0], "first written at {at_us} us");
    };
    second(2_018_000, 0);
    second(2_020_000, 1);
}

#[test]
fn what_lies_in_the_input_twice_may_come_twice() {
    let found = with(|logs| {
        let copy = Input { offset: 16, ..logs.input[7] };
        logs.input.push(copy);
        logs.sightings.push(written(7, 40_000));
    });
    assert_eq!(found, [0, 0, 1, 0, 0, 0, 0]);
}

#[test]
fn followers_of_a_refused_record_are_sent_again_after_it() {
    // Record 5 is refused, its successor 7 written; then both once more.
    let found = with(|logs| {
        logs.sightings[5] = refused(5, 15_000);
        logs.sightings.extend([written(5, 18_000), written(7, 18_100)]);
    });
    assert_eq!(found, [0, 0, 1, 0, 0, 0, 0]);
    let alone = with(|logs| {
        logs.sightings[5] = refused(5, 15_000);
        logs.sightings.push(written(5, 18_000));
    });
    assert_eq!(alone, [0, 0, 0, 0, 0, 1, 0], "the newest must be written again after it");
    let other_key = with(|logs| {
        logs.sightings[4] = refused(4, 14_000);
        logs.sightings.extend([written(4, 18_000), written(6, 18_050), written(7, 18_100)]);
    });
    assert_eq!(other_key, [0, 0, 2, 1, 0, 0, 0], "record 7 has another key");
}

#[test]
fn order_is_judged_by_key() {
    assert_eq!(with(|logs| logs.sightings.swap(2, 3)), SOUND, "different keys");
    assert_eq!(with(|logs| logs.sightings.swap(2, 4)), [0, 0, 0, 0, 2, 0, 0], "4 early, then 6 after a jump back");
    assert_eq!(with(|logs| logs.sightings.swap(5, 7)), [0, 0, 0, 0, 1, 1, 0], "7 early, and 5 stands last");
    // A rewind that leaves out part of what it has to repeat.
    let hole = with(|logs| {
        logs.incidents.push(incident(Cause::Kill, 18_000, 18_000));
        logs.sightings.extend([written(3, 40_000), written(7, 41_000)]);
    });
    assert_eq!(hole, [0, 0, 2, 0, 1, 0, 0]);
    let whole = with(|logs| {
        logs.incidents.push(incident(Cause::Kill, 18_000, 18_000));
        logs.sightings.extend([written(3, 40_000), written(5, 40_500), written(7, 41_000)]);
    });
    assert_eq!(whole, [0, 0, 3, 0, 0, 0, 0]);
}

#[test]
fn versions_make_late_attempts_harmless_but_not_late_writes() {
    let late = |taken| {
        with(|logs| {
            logs.versioned = true;
            logs.incidents.push(incident(Cause::Kill, 18_000, 18_000));
            logs.sightings.push(Sighting { taken, ..written(5, 40_000) });
        })
    };
    assert_eq!(late(Taken::Superseded), SOUND);
    assert_eq!(late(Taken::Applied), [0, 0, 1, 0, 0, 1, 0]);
}

#[test]
fn a_commit_ahead_of_an_acknowledgement_is_found() {
    assert_eq!(with(|logs| logs.committed[3].at_us = 13_099), [0, 0, 0, 0, 0, 0, 1]);
    assert_eq!(with(|logs| logs.committed[3].at_us = 13_100), SOUND);
    // Record 2 is told late: every commit above it until then is early.
    assert_eq!(with(|logs| logs.sightings[2].told_us = Some(24_500)), [0, 0, 0, 0, 0, 0, 3]);
    let never = with(|logs| logs.sightings[2].told_us = None);
    assert_eq!(never, [0, 0, 0, 0, 0, 0, 6]);
    assert_eq!(with(|logs| logs.committed[0].partition = 5), SOUND, "a partition without input");
}

#[test]
fn recovery_is_the_time_to_the_first_answered_write() {
    let mut logs = sound();
    logs.sightings[4].told_us = None;
    logs.sightings[5].taken = Taken::Refused;
    assert_eq!(recovery_us(&logs, 13_500), Some(2_500));
    assert_eq!(recovery_us(&logs, 17_001), None);
}

/// Everything in order, then record 2 once more, after 4 and 6 of its key had been acknowledged.
fn late(told_us: Option<u64>, incident: Option<Incident>) -> (u64, u64, u64, bool) {
    let mut logs = sound();
    logs.sightings.push(Sighting { told_us, ..written(2, 30_000) });
    logs.incidents.push(Incident { cause: Cause::Rewind, from_us: 12_000, to_us: 31_000, partition: None });
    logs.committed.clear();
    logs.incidents.extend(incident);
    let v = check(&logs);
    (v.disordered, v.stale_keys, v.late, v.is_sound())
}

#[test]
fn a_late_write_is_told_from_disorder_only_where_it_is_proven() {
    let line = |from_us, to_us| Some(incident(Cause::Line, from_us, to_us));
    let zombie = |from_us, to_us| Some(incident(Cause::Zombie, from_us, to_us));
    assert_eq!(late(None, line(15_000, 29_000)), (0, 0, 1, false), "its line had broken");
    assert_eq!(late(Some(30_100), line(15_000, 29_000)), (0, 1, 0, false), "it was acknowledged: somebody sent it");
    assert_eq!(late(None, None), (0, 1, 0, false), "no line was broken");
    assert_eq!(late(None, line(31_000, 32_000)), (0, 1, 0, false), "it broke later");
    assert_eq!(late(Some(30_100), zombie(15_000, 29_900)), (0, 0, 1, false), "a process went on with it");
    assert_eq!(late(Some(30_100), zombie(15_000, 30_500)), (0, 1, 0, false), "the process still stood");
    let mut ahead = sound();
    ahead.sightings.retain(|one| one.record != 4);
    ahead.sightings.push(Sighting { told_us: None, ..written(4, 30_000) });
    ahead.incidents.push(incident(Cause::Line, 15_000, 29_000));
    let v = check(&ahead);
    assert_eq!(
        (v.disordered, v.stale_keys, v.late),
        (1, 1, 0),
        "it had never been written: it was overtaken, not late"
    );
}

#[test]
fn a_late_write_between_newer_ones_is_one_finding() {
    let mut logs = sound();
    // Record 0 once more between records 4 and 6 of its key: 6 then looks as if it came too early.
    logs.sightings.insert(6, Sighting { told_us: None, ..written(0, 15_500) });
    logs.incidents.push(incident(Cause::Line, 9_000, 15_000));
    let v = check(&logs);
    assert_eq!((v.disordered, v.stale_keys, v.late), (0, 0, 1));
}
