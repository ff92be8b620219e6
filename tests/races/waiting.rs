//! Waiting with a deadline, and the input records of these tests.

use std::time::{Duration, Instant};

use sluicegate::internals::pipeline::{Ending, Engine};
use sluicegate_testkit::services::NewRecord;

/// How long anything may take on a loaded machine; shorter where a mutant is expected to take for ever.
pub const LIMIT: Duration = Duration::from_secs(if cfg!(feature = "mutants") { 20 } else { 60 });

/// Looks every few milliseconds until `done`.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !done() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// The end of an engine that must end by itself.
pub fn join_in_time(mut engine: Engine) -> Ending {
    wait_until("the engine ends by itself", || engine.has_ended());
    engine.join()
}

/// `{"result":{"n":…}}` under a key.
pub fn record(partition: i32, key: &str, n: i64) -> NewRecord {
    NewRecord::keyed(key, format!(r#"{{"result":{{"n":{n}}}}}"#)).to(partition)
}

/// `count` records of 1 kB, keyed `PARTITION-N` from `first` on.
pub fn padded(partition: i32, first: i64, count: i64) -> impl Iterator<Item = NewRecord> {
    let padding = "x".repeat(1000);
    (first..first + count).map(move |n| {
        let value = format!(r#"{{"result":{{"n":{n},"padding":"{padding}"}}}}"#);
        NewRecord::keyed(format!("{partition}-{n}"), value).to(partition)
    })
}
