//! Histories by hand: bugs the dice have found, each with the steps that show it.

use super::history::{History, Instruments};
use super::log::{Entry, Fate, Input};

fn record(key: u64, version: u64) -> Entry {
    Entry::Record(Input { key, version, fate: Fate::Good })
}

/// A calm history with this log.
fn calm<'a>(entries: &[Entry], instruments: &'a Instruments) -> History<'a> {
    let history = History::quiet(instruments);
    for entry in entries {
        history.world.borrow_mut().kafka.logs[0].append(*entry);
    }
    history
}

fn until(history: &mut History<'_>, what: &str, mut done: impl FnMut(&mut History<'_>) -> bool) {
    for _ in 0..2000 {
        if done(history) {
            return;
        }
        history.world.borrow_mut().step();
        history.turn().unwrap_or_else(|fault| panic!("{what}: {fault}"));
    }
    panic!("never: {what}");
}

/// Where there is nothing at the target of a seek, its first record looks as if the seek had been lost. When the one that
/// is done to make sure is lost, what lies between must not be taken for nothing.
#[test]
fn a_second_seek_that_is_lost_skips_nothing() {
    let instruments = Instruments::new();
    let mut entries = vec![Entry::Nothing];
    entries.extend((1..10).map(|version| record(version % 3, version)));
    let mut history = calm(&entries, &instruments);
    history.world.borrow_mut().largest_drain = 3;
    history.world.borrow_mut().fail_next_request();
    history.world.borrow_mut().lost_seeks = [false, true].into();
    until(&mut history, "a rewind", |history| history.world.borrow().lost_seeks.is_empty());
    until(&mut history, "everything resolved and committed", |history| history.is_all_resolved());
}

/// Nobody answered where the group is, nothing was read, and the topic is made again: there is no position to go back to.
#[test]
fn a_topic_made_again_is_read_also_when_nothing_was_known_of_it() {
    let instruments = Instruments::new();
    let mut history = calm(&[], &instruments);
    history.world.borrow_mut().kafka.trouble.question = 1.0;
    until(&mut history, "an assignment that knows the id", |history| history.world.borrow().kafka.told_topics);
    history.world.borrow_mut().kafka.make_again();
    until(&mut history, "back at its beginning", |history| !history.world.borrow().kafka.is_doubtful());
    for version in 1..4 {
        history.world.borrow_mut().kafka.logs[0].append(record(1, version));
    }
    until(&mut history, "everything resolved and committed", |history| history.is_all_resolved());
}
