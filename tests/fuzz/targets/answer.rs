//! The reader of bulk answers: survives anything, and concludes something about an item only where the answer says so.
//!
//! Input: one byte, the number of items sent, then the body.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;
use sluicegate::internals::sink::elasticsearch::{ItemFault, read_answer};
use sluicegate_fuzz::oracle;

/// The statuses of all items as a plain reader sees them, with whether there is an error; `None` when it sees none.
fn statuses(body: &str) -> Option<Vec<(u64, bool)>> {
    let raw: Box<RawValue> = serde_json::from_str(body).ok()?;
    let items = oracle::find(&raw, &["items".to_owned()])?;
    let of_item = |item: &RawValue| {
        let (_, inside) = oracle::members(item)?.into_iter().next()?;
        let status = oracle::find(&inside, &["status".to_owned()])?;
        let error = oracle::find(&inside, &["error".to_owned()]).is_some_and(|error| error.get() != "null");
        Some((status.get().parse().ok()?, error))
    };
    oracle::elements(&items)?.iter().map(|item| of_item(item)).collect()
}

fn check(fault: &ItemFault) {
    if let Some(error) = &fault.error {
        assert!(error.reason.len() <= 1024 + 16, "{} bytes of reason", error.reason.len());
        assert!(error.kind.chars().count() <= 100);
        assert!(!error.reason.chars().any(char::is_control), "control characters reach the log");
        assert!(!error.reason.to_ascii_lowercase().contains("authorization"), "a quoted request gets out");
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((sent, body)) = data.split_first() else { return };
    let sent = usize::from(*sent) % 8;
    let Ok(faults) = read_answer(body, sent) else { return };
    faults.iter().for_each(check);
    let seen = statuses(&String::from_utf8_lossy(body)).expect("read without items");
    assert_eq!(seen.len(), sent, "believed an answer for another number of items");
    let expected: Vec<(usize, u64)> = seen
        .iter()
        .enumerate()
        .filter(|(_, (status, error))| !matches!(status, 200 | 201) || *error)
        .map(|(index, (status, _))| (index, *status))
        .collect();
    let found: Vec<(usize, u64)> = faults.iter().map(|fault| (fault.index, u64::from(fault.status))).collect();
    assert_eq!(found, expected);
});
