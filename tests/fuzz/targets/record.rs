//! Parser, `select` and splice against an oracle on serde_json: the same values are refused, the same bytes travel.
//!
//! Input: one byte that chooses the steps, then the record's value.
#![no_main]

use std::cell::RefCell;
use std::collections::HashMap;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sluicegate::internals::model::RejectReason;
use sluicegate_fuzz::oracle::{self, Tree, Verdict};
use sluicegate_fuzz::program::{Bench, End, record, steps};

/// What a case's steps do, told to the oracle.
struct Case {
    yaml: &'static str,
    select: Option<&'static [&'static str]>,
    into: &'static [&'static [&'static str]],
}

const CASES: &[Case] = &[
    Case { yaml: "[{select: /result}]", select: Some(&["result"]), into: &[] },
    Case { yaml: "[{select: /a/b}]", select: Some(&["a", "b"]), into: &[] },
    Case { yaml: "[{select: /a/0}]", select: Some(&["a", "0"]), into: &[] },
    Case { yaml: "[{select: \"\"}]", select: Some(&[]), into: &[] },
    Case { yaml: "[{lookup: {redis: l, key: k, into: /x}}]", select: None, into: &[&["x"]] },
    Case {
        yaml: "[{select: /a}, {lookup: {redis: l, key: k, into: /b/x}}, {lookup: {redis: l, key: k, into: /c}}]",
        select: Some(&["a"]),
        into: &[&["b", "x"], &["c"]],
    },
    // The second look-up goes into what the first put in: the record is rebuilt and parsed again.
    Case {
        yaml: "[{lookup: {redis: l, key: k, into: /x}}, {lookup: {redis: l, key: \"{/x/name}\", into: /x/y}}]",
        select: None,
        into: &[&["x"], &["x", "y"]],
    },
];

const FOUND: &str = r#"{"name":"k","t\"":[1,{}]}"#;

thread_local! {
    static BENCHES: RefCell<Vec<Bench>> = RefCell::new(CASES.iter().map(bench).collect());
}

fn bench(case: &Case) -> Bench {
    let table: HashMap<Vec<u8>, Bytes> = HashMap::from([(b"k".to_vec(), Bytes::from_static(FOUND.as_bytes()))]);
    Bench::new(&steps(case.yaml), &[], vec![table; case.into.len()]).expect("compiles")
}

fn owned(path: &[&str]) -> Vec<String> {
    path.iter().map(|&member| member.to_owned()).collect()
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, value)) = data.split_first() else { return };
    let number = *choice as usize % CASES.len();
    let case = &CASES[number];
    let end = BENCHES.with_borrow_mut(|benches| benches[number].run(record(None, Some(value))));
    let raw = match oracle::judge(value) {
        Verdict::Unknown => return,
        Verdict::Invalid(why) => {
            let End::Rejected(reject) = end else { panic!("taken, but serde_json says {why}: {end:?}") };
            let malformed = [
                RejectReason::InvalidJson,
                RejectReason::InvalidUtf8,
                RejectReason::NumberRange,
                RejectReason::TooDeep,
                RejectReason::Empty,
            ];
            assert!(malformed.contains(&reject.reason), "{reject} where serde_json says {why}");
            assert!(reject.detail.len() <= 1024, "a long detail");
            return;
        }
        Verdict::Valid(raw) => raw,
    };
    let selected = match case.select {
        None => Some(raw),
        Some(path) => oracle::find(&raw, &owned(path)),
    };
    let object = selected.filter(|raw| raw.get().starts_with('{'));
    let Some(object) = object else {
        // Not there, or no object: a look-up has no place, a `select` nothing to take.
        let End::Rejected(reject) = end else { panic!("taken: {end:?}") };
        let reasons = [RejectReason::Missing, RejectReason::Null, RejectReason::WrongType];
        assert!(reasons.contains(&reject.reason), "{reject}");
        return;
    };
    let mut expected = oracle::tree(&object);
    let found: Tree = oracle::tree(&serde_json::from_str::<Box<serde_json::value::RawValue>>(FOUND).expect("JSON"));
    let placed = case.into.iter().all(|into| oracle::put(&mut expected, &owned(into), &found));
    match end {
        End::Kept(Some(bytes), _) => {
            assert!(placed, "spliced where there is no place");
            if case.into.is_empty() {
                assert_eq!(bytes, object.get().as_bytes(), "other bytes travel");
            } else {
                let Verdict::Valid(now) = oracle::judge(&bytes) else { panic!("no JSON comes out") };
                assert_eq!(oracle::tree(&now), expected);
            }
        }
        End::Rejected(reject) => assert!(!placed, "{reject}"),
        End::Kept(None, _) | End::Dropped => panic!("{end:?}"),
    }
});
