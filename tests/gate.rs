//! The decider of the instruction gate, `benches/baseline.rs`: the benches' own binary has no test harness.

#[path = "../benches/baseline.rs"]
mod baseline;

use baseline::{Change, Counts, Line, compare};

fn counts(stages: &[(&str, f64)]) -> Counts {
    let stages = stages.iter().map(|(stage, count)| ((*stage).to_owned(), *count)).collect();
    Counts { path: "AVX2".to_owned(), compiler: "rustc 1.99.0 (abc)".to_owned(), stages }
}

#[test]
fn a_stage_may_grow_by_five_percent_and_no_more() {
    for (before, now, change, fails) in [
        (Some(100.0), Some(100.0), Change::Steady, false),
        (Some(100.0), Some(105.0), Change::Steady, false),
        (Some(100.0), Some(105.1), Change::Grown, true),
        (Some(100.0), Some(95.0), Change::Steady, false),
        (Some(100.0), Some(94.9), Change::Shrunk, false),
        (Some(0.4), Some(0.5), Change::Grown, true),
        (None, Some(1.0), Change::New, true),
        (Some(1.0), None, Change::Gone, true),
    ] {
        let side = |count: Option<f64>| counts(&count.map(|count| ("a", count)).into_iter().collect::<Vec<_>>());
        let line = Line { stage: "a".to_owned(), before, now, change };
        assert_eq!(compare(&side(before), &side(now)), [line]);
        assert_eq!(change.fails(), fails, "{change:?}");
        assert_eq!(change.label().is_empty(), change == Change::Steady);
    }
}

#[test]
fn stages_of_both_sides_are_compared() {
    let lines = compare(&counts(&[("a", 10.0), ("b", 10.0)]), &counts(&[("b", 11.0), ("c", 1.0)]));
    let seen: Vec<_> = lines.iter().map(|line| (line.stage.as_str(), line.change)).collect();
    assert_eq!(seen, [("a", Change::Gone), ("b", Change::Grown), ("c", Change::New)]);
}

#[test]
fn what_is_written_is_read_again_and_nothing_else_is() {
    let written = counts(&[("preprocess/bare/200", 1234.5), ("ledger/in_order/64", 0.2)]);
    assert_eq!(Counts::parse(&written.render()), Ok(written));
    for text in ["a", "a b", "a 1.0\na 2.0", "a 1.0 2.0"] {
        assert!(Counts::parse(text).is_err(), "{text}");
    }
}

#[test]
fn the_committed_baseline_is_readable() {
    let committed = Counts::parse(include_str!("../benches/instructions.txt")).expect("readable");
    assert!(!committed.path.is_empty() && !committed.compiler.is_empty());
    assert!(committed.stages.values().all(|count| *count > 0.0) && committed.stages.len() > 30);
}
