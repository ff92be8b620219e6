//! The watch against scripted readings; time is made up.

use super::*;

type Script = Box<dyn Fn(u64) -> Observation>;

const SECOND: Duration = Duration::from_secs(1);

fn limits() -> WatchLimits {
    WatchLimits { stall: 60 * SECOND, watchdog: 600 * SECOND, window: 10 * SECOND, silence: 5 * SECOND }
}

fn sum(delivered: u64, open: u64) -> Conservation {
    Conservation { consumed: delivered + open, delivered, open, ..Conservation::default() }
}

fn seen(delivered: u64, open: u64) -> Observation {
    Observation { sum: sum(delivered, open), joined: true, ..Observation::default() }
}

fn lag(records: u64, position: i64) -> Vec<(TopicPartition, Lag)> {
    let partition = TopicPartition { topic: "t".into(), partition: 3 };
    vec![(partition, Lag { records, position: Position(position), oldest_timestamp_ms: None })]
}

/// Feeds one reading a second; the last judgement.
fn run(
    watch: &mut Watch,
    start: Instant,
    seconds: std::ops::Range<u64>,
    reading: impl Fn(u64) -> Observation,
) -> Judgement {
    let mut last = None;
    for second in seconds {
        last = Some(watch.observe(start + Duration::from_secs(second), State::Running, &reading(second)));
    }
    last.expect("at least one reading")
}

#[test]
fn rates_are_means_over_the_window() {
    let start = Instant::now();
    let mut watch = Watch::new(limits(), 1, 1);
    // 100 records a second for a minute, then 500.
    let total = |second: u64| if second < 60 { second * 100 } else { 6_000 + (second - 60) * 500 };
    let reading = |second: u64| Observation { bytes: total(second) * 10, ..seen(total(second), 0) };
    let judged = run(&mut watch, start, 0..60, reading);
    assert_eq!((judged.rates.consumed, judged.rates.resolved, judged.rates.bytes), (100.0, 100.0, 1_000.0));
    let judged = run(&mut watch, start, 60..75, reading);
    assert_eq!(judged.rates.resolved, 500.0, "nothing older than the window counts");
    assert!(watch.readings.len() <= 11, "{}", watch.readings.len());
}

#[test]
fn a_wrong_sum_is_broken_while_it_is_wrong() {
    let start = Instant::now();
    let mut watch = Watch::new(limits(), 1, 1);
    let wrong =
        Observation { sum: Conservation { consumed: 9, delivered: 8, ..Conservation::default() }, ..seen(0, 0) };
    assert!(!watch.observe(start, State::Running, &seen(8, 1)).conservation_broken);
    assert!(watch.observe(start + SECOND, State::Running, &wrong).conservation_broken);
    assert!(!watch.observe(start + 2 * SECOND, State::Running, &seen(9, 0)).conservation_broken);
}

#[test]
fn the_watchdog_counts_only_open_records_without_a_fault() {
    let start = Instant::now();
    let faulty = || Observation { faults: vec!["connection refused".into()], ..seen(5, 7) };
    let table: [(&str, Script, bool); 7] = [
        ("nothing resolved, nothing said", Box::new(|_| seen(5, 7)), true),
        ("a fault is named all the time", Box::new(move |_| faulty()), false),
        ("a fault is named half of the time", Box::new(move |s| if s < 350 { faulty() } else { seen(5, 7) }), false),
        ("nothing is open", Box::new(|_| seen(5, 0)), false),
        ("one record a minute", Box::new(|s| seen(s / 60, 7)), false),
        ("progress, then nothing for 300 s", Box::new(|s| seen(s.min(350), 7)), false),
        (
            "rewinds are no progress",
            Box::new(|s| {
                let sum =
                    Conservation { consumed: 12 + s, rewound: s, delivered: 5, open: 7, ..Conservation::default() };
                Observation { sum, ..seen(0, 0) }
            }),
            true,
        ),
    ];
    for (what, reading, expected) in table {
        let mut watch = Watch::new(limits(), 1, 1);
        assert_eq!(run(&mut watch, start, 0..650, reading).give_up, expected, "{what}");
    }
}

#[test]
fn the_watchdog_fires_at_its_limit_and_not_before() {
    let start = Instant::now();
    let mut watch = Watch::new(limits(), 1, 1);
    assert!(!run(&mut watch, start, 0..600, |_| seen(0, 1)).give_up);
    assert!(run(&mut watch, start, 600..601, |_| seen(0, 1)).give_up);
}

#[test]
fn a_stopped_process_is_not_a_stuck_pipeline() {
    let start = Instant::now();
    let mut watch = Watch::new(limits(), 1, 1);
    watch.observe(start, State::Running, &seen(0, 1));
    let judged = watch.observe(start + 3_600 * SECOND, State::Running, &seen(0, 1));
    assert_eq!((judged.give_up, judged.stuck), (false, LONGEST_STEP));
}

#[test]
fn an_idle_pipeline_starts_the_watchdog_anew() {
    let start = Instant::now();
    let mut watch = Watch::new(limits(), 1, 1);
    // Stuck for 500 s, revoked and idle for 100 s, assigned again: the old 500 s do not count.
    let reading = |s| if (500..600).contains(&s) { seen(0, 0) } else { seen(0, 1) };
    let judged = run(&mut watch, start, 0..800, reading);
    assert!(!judged.give_up, "{:?}", judged.stuck);
}

#[test]
fn a_partition_with_lag_that_does_not_move_is_stalled() {
    let start = Instant::now();
    let mut watch = Watch::new(limits(), 1, 1);
    let standing = |s| Observation { lag: lag(4, 100), ..seen(s, 0) };
    assert_eq!(run(&mut watch, start, 0..60, standing).stalled, []);
    let judged = run(&mut watch, start, 60..61, standing);
    assert_eq!(judged.stalled.len(), 1, "other partitions moved, this one did not");
    assert_eq!((judged.stalled[0].lag_records, judged.stalled[0].stood), (4, 60 * SECOND));
    assert_eq!(judged.state, State::Blocked);
    assert_eq!(judged.why, ["t[3] stands still for 60 s, 4 records behind"]);

    let moved = run(&mut watch, start, 61..62, |s| Observation { lag: lag(4, 101), ..seen(s, 0) });
    assert_eq!((moved.stalled.len(), moved.state), (0, State::Running));
    let caught_up = run(&mut watch, start, 62..200, |s| Observation { lag: lag(0, 101), ..seen(s, 0) });
    assert_eq!(caught_up.stalled, [], "without lag nothing has to move");
    let revoked = run(&mut watch, start, 200..300, |s| seen(s, 0));
    assert_eq!((revoked.stalled.len(), revoked.lag_records, watch.standing.len()), (0, None, 0));
}

#[test]
fn states_follow_from_readings() {
    use State::{Blocked, CatchingUp, Done, Draining, Failed, Retrying, Running, Starting};
    let start = Instant::now();
    let with_fault = |base: Observation| Observation { faults: vec!["503 from the cluster".into()], ..base };
    let table: [(&str, State, Script, State); 13] = [
        ("no assignment yet", Starting, Box::new(|_| Observation::default()), Starting),
        ("standby", Starting, Box::new(|_| seen(0, 0)), Running),
        ("moving, no lag", Running, Box::new(|s| Observation { lag: lag(10, s as i64), ..seen(s * 100, 5) }), Running),
        (
            "a million behind",
            Running,
            Box::new(|s| Observation { lag: lag(1_000_000, s as i64), ..seen(s * 100, 5) }),
            CatchingUp,
        ),
        ("old records", Running, Box::new(|s| Observation { lag_seconds: Some(30.0), ..seen(s * 100, 5) }), CatchingUp),
        ("moving in spite of a fault", Running, Box::new(move |s| with_fault(seen(s * 100, 5))), Retrying),
        ("sent again", Running, Box::new(|s| Observation { repeats: s, ..seen(s * 100, 5) }), Retrying),
        ("a fault and nothing moves", Running, Box::new(move |_| with_fault(seen(7, 5))), Blocked),
        ("nothing moves, nobody says why", Running, Box::new(|_| seen(7, 5)), Blocked),
        ("idle", Running, Box::new(|_| seen(7, 0)), Running),
        ("draining", Draining, Box::new(move |_| with_fault(seen(7, 5))), Draining),
        ("failed", Failed, Box::new(move |_| with_fault(seen(7, 5))), Failed),
        ("done", Done, Box::new(|_| seen(7, 0)), Done),
    ];
    for (what, base, reading, expected) in table {
        let mut watch = Watch::new(limits(), 1, 1);
        let mut judged = watch.observe(start, base, &reading(0));
        for second in 1..70 {
            judged = watch.observe(start + Duration::from_secs(second), base, &reading(second));
        }
        assert_eq!(judged.state, expected, "{what}: {:?}", judged.why);
        assert_eq!(
            judged.why.is_empty(),
            !matches!(
                what,
                "a fault and nothing moves"
                    | "sent again"
                    | "nothing moves, nobody says why"
                    | "moving in spite of a fault"
                    | "draining"
                    | "failed"
            ),
            "{what}: {:?}",
            judged.why
        );
    }
}

#[test]
fn a_pipeline_between_two_states_keeps_one() {
    let start = Instant::now();
    let mut watch = Watch::new(limits(), 1, 1);
    let behind = |second: u64| if second.is_multiple_of(2) { Some(30.0) } else { Some(1.0) };
    let reading = |s| Observation { lag_seconds: behind(s), ..seen(s * 100, 5) };
    watch.observe(start, State::Running, &seen(0, 5));
    for second in 1..30 {
        let judged = watch.observe(start + Duration::from_secs(second), State::Running, &reading(second));
        assert_eq!(judged.state, State::Running, "{second}");
    }
    let judged = run(&mut watch, start, 30..34, |s| Observation { lag_seconds: Some(30.0), ..seen(s * 100, 5) });
    assert_eq!(judged.state, State::CatchingUp);
}

#[test]
fn the_slowest_stage_is_the_busiest_for_its_threads() {
    let start = Instant::now();
    let mut watch = Watch::new(limits(), 4, 1);
    let stages = |millis: [u64; 4], seconds: u64| {
        let busy = |millis| StageTime { busy_nanos: millis * seconds * 1_000_000, blocked_nanos: 0 };
        EnumMap::from_array(millis.map(busy))
    };
    let reading = |s: u64| Observation {
        // Per second: source 0.5 s of one thread, four workers 1.2 s together, sink 0.4 s.
        stages: stages([500, 1_200, 0, 400], s),
        ..seen(s, 0)
    };
    assert_eq!(run(&mut watch, start, 0..1, reading).slowest, None, "one reading says nothing");
    assert_eq!(run(&mut watch, start, 1..20, reading).slowest, Some((StageName::Source, 0.5)));
    // Of four lanes one may send at a time: 0.8 s of a second is nearly all it can do.
    let mut watch = Watch::new(limits(), 4, 4);
    let held = |s: u64| Observation { stages: stages([0, 0, 0, 800], s), sink_slots: 1, ..seen(s, 0) };
    assert_eq!(run(&mut watch, start, 0..20, held).slowest, Some((StageName::Sink, 0.8)));
}

#[test]
fn no_wait_is_without_a_word() {
    let start = Instant::now();
    let mut watch = Watch::new(limits(), 1, 1);
    assert_eq!(run(&mut watch, start, 0..40, |_| seen(5, 0)).why, [""; 0], "nothing waits");
    assert_eq!(run(&mut watch, start, 40..45, |_| seen(5, 7)).why, [""; 0], "not for long");
    let judged = run(&mut watch, start, 45..50, |_| seen(5, 7));
    assert!(judged.why.iter().any(|why| why.contains("7 records wait for an answer")), "{:?}", judged.why);
    assert_eq!(judged.state, State::Running, "and that alone is no fault");
    assert_eq!(run(&mut watch, start, 50..52, |_| seen(6, 6)).why, [""; 0], "one was resolved");
    let named = || Observation { faults: vec!["sink: refused".into()], ..seen(6, 6) };
    assert_eq!(run(&mut watch, start, 52..62, |_| named()).why, ["sink: refused"], "a fault says more");
    let again = |second: u64| Observation { repeats: second, ..seen(second, 6) };
    let judged = run(&mut watch, start, 62..75, again);
    assert_eq!((judged.state, judged.why.len()), (State::Retrying, 1), "{:?}", judged.why);
}
