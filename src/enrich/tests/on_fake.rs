//! Slow, broken and wrong answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::config::plan::OnLookupError;
use crate::model::Exit;
use crate::telemetry::metrics::{LookupResult, StageName};

use super::fake::{Act, Fake, Pipeline, capitals};
use super::*;

const MS: Duration = Duration::from_millis(1);

fn one(fake: &Fake, timeout_ms: u64, on_error: OnLookupError) -> Bench {
    let mut plan = uncached(keyed(connection(&fake.url(), timeout_ms), &["name"]));
    plan.on_error = on_error;
    Bench::new(&[plan])
}

fn named(keys: &[&str]) -> Vec<Found> {
    keys.iter().map(|key| json(&format!(r#"{{"name":"{}"}}"#, key.to_uppercase()))).collect()
}

#[test]
fn an_answer_after_its_timeout_is_never_taken_for_a_later_question() {
    let fake = Fake::serve(|connection, _, pipeline| {
        if connection == 0 { Act::Late(2_000 * MS, capitals(pipeline)) } else { Act::Reply(capitals(pipeline)) }
    });
    let bench = one(&fake, 250, OnLookupError::Keep);
    let mut enricher = bench.enricher();
    assert_eq!(resolve(&mut enricher, &["first", "second"]), Ok(vec![Found::Unavailable, Found::Unavailable]));
    assert!(bench.fault().is_some_and(|fault| fault.contains("user:{/user}") && fault.contains("250ms")));
    until("asked again", || {
        let found = resolve(&mut enricher, &["third", "fourth"]).expect("keeps");
        assert!(found == named(&["third", "fourth"]) || found == [Found::Unavailable, Found::Unavailable], "{found:?}");
        found[0] != Found::Unavailable
    });
    assert_eq!(fake.connections(), 2, "the late connection was left");
    assert_eq!(bench.fault(), None);
    assert_eq!(bench.count(LookupResult::Failed) % 2, 0);
    assert!(bench.pipeline.metrics.blocked(StageName::Lookup).get() >= 250_000_000);
}

#[test]
fn a_silent_a_half_and_a_trickling_answer_cost_one_timeout_not_one_a_key() {
    let keys: Vec<String> = (0..512).map(|number| format!("k{number}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    type Script = fn(usize, usize, &Pipeline) -> Act;
    let scripts: [(&str, Script); 3] = [
        ("silent", |_, _, _| Act::Silence),
        ("half", |_, _, pipeline| Act::Reply(capitals(&pipeline[..256].to_vec()))),
        ("trickle", |_, _, pipeline| Act::Trickle(20 * MS, capitals(pipeline))),
    ];
    for (name, script) in scripts {
        let fake = Fake::serve(script);
        let bench = one(&fake, 300, OnLookupError::Keep);
        let start = Instant::now();
        assert_eq!(resolve(&mut bench.enricher(), &keys), Ok(vec![Found::Unavailable; 512]), "{name}");
        let took = start.elapsed();
        assert!((300 * MS..3000 * MS).contains(&took), "{name} took {took:?}");
    }
}

#[test]
fn a_server_too_slow_for_a_full_pipeline_is_asked_for_less() {
    let largest = Arc::new(AtomicUsize::new(0));
    let seen = largest.clone();
    let fake = Fake::serve(move |_, _, pipeline| {
        seen.fetch_max(pipeline.len(), Ordering::AcqRel);
        if pipeline.len() > 100 { Act::Silence } else { Act::Reply(capitals(pipeline)) }
    });
    let bench = one(&fake, 200, OnLookupError::Retry);
    let keys: Vec<String> = (0..700).map(|number| format!("k{number}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    assert_eq!(resolve(&mut bench.enricher(), &keys), Ok(named(&keys)));
    assert_eq!(largest.load(Ordering::Acquire), 512, "a pipeline holds at most 512 keys, and a full one was tried");
    assert_eq!(bench.count(LookupResult::Found), 700);
}

#[test]
fn answers_without_end_are_cut_off_and_the_key_is_a_counted_miss() {
    let fake = Fake::serve(|_, _, pipeline| {
        if pipeline.iter().any(|command| command[1] == "bomb") {
            Act::Flood(b"*1\r\n$500000000\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")
        } else {
            Act::Reply(capitals(pipeline))
        }
    });
    let bench = one(&fake, 20_000, OnLookupError::Retry);
    let found = resolve(&mut bench.enricher(), &["a", "b", "bomb", "c"]).expect("answered");
    assert_eq!(found[2], Found::Miss);
    assert_eq!([&found[..2], &found[3..]].concat(), named(&["a", "b", "c"]));
    assert_eq!((bench.count(LookupResult::Unusable), bench.count(LookupResult::Found)), (1, 3));
    assert_eq!(bench.fault(), None, "one bad key is no fault of the server");
}

#[test]
fn errors_that_never_heal_halt_with_pattern_and_without_data() {
    let cases = [
        (&b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"[..], "WRONGTYPE"),
        (b"-MOVED 3999 127.0.0.1:6381\r\n", "Redis Cluster"),
        (b"-ERR unknown command 'HMGET', with args beginning with: 'secret-key'\r\n", "HMGET"),
    ];
    for (reply, expected) in cases {
        let fake = Fake::serve(move |_, _, _| Act::Reply(reply.to_vec()));
        let bench = one(&fake, 5_000, OnLookupError::Keep);
        let halt = halted(resolve(&mut bench.enricher(), &["secret-key"]));
        assert_eq!(halt.exit, Exit::Protocol, "{expected}");
        assert!(halt.message.contains(expected) && halt.message.contains("user:{/user}"), "{}", halt.message);
        assert!(!halt.message.contains("secret"), "{}", halt.message);
        assert!(bench.fault().is_some());
    }
}

#[test]
fn what_may_heal_is_waited_for_and_named() {
    for reply in [
        "-LOADING Redis is loading the dataset in memory\r\n",
        "-NOAUTH Authentication required.\r\n",
        "HTTP/1.1 400\r\n",
    ] {
        let healed = Arc::new(AtomicBool::new(false));
        let flag = healed.clone();
        let fake = Fake::serve(move |_, _, pipeline| {
            let healthy = flag.load(Ordering::Acquire);
            Act::Reply(if healthy { capitals(pipeline) } else { reply.as_bytes().to_vec() })
        });
        let bench = one(&fake, 5_000, OnLookupError::Retry);
        let mut enricher = bench.enricher();
        std::thread::scope(|scope| {
            let answer = scope.spawn(|| resolve(&mut enricher, &["a"]));
            until("a few attempts and a named fault", || {
                bench.pipeline.metrics.lookup_micros.count() >= 3 && bench.fault().is_some()
            });
            assert!(!answer.is_finished(), "{reply}: waits");
            healed.store(true, Ordering::Release);
            assert_eq!(answer.join().expect("no panic"), Ok(named(&["a"])), "{reply}");
        });
        assert_eq!(bench.fault(), None, "{reply}");
    }
}

#[test]
fn nobody_waits_for_an_answer_nobody_wants() {
    let fake = Fake::serve(|_, _, _| Act::Close(Vec::new()));
    let bench = one(&fake, 1_000, OnLookupError::Retry);
    let mut enricher = bench.enricher();
    let asked = AtomicUsize::new(0);
    let start = Instant::now();
    let wanted = || asked.fetch_add(1, Ordering::AcqRel) < 5;
    assert_eq!(enricher.resolve(0, &[b"a"], &wanted, &mut Vec::new()), Err(LookupStop::Interrupted), "fence");
    std::thread::scope(|scope| {
        let answer = scope.spawn(|| resolve(&mut enricher, &["a"]));
        until("it waits", || bench.pipeline.metrics.lookup_micros.count() > 6);
        bench.pipeline.stop.abort();
        assert_eq!(answer.join().expect("no panic"), Err(LookupStop::Interrupted), "abort");
    });
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn stop_halts_at_once_but_a_connection_gone_stale_is_no_outage() {
    let fake = Fake::serve(|connection, number, pipeline| match (connection, number) {
        (0, 0) | (1, _) => Act::Reply(capitals(pipeline)),
        _ => Act::Close(b"*1\r\n$5\r\nab".to_vec()),
    });
    let bench = one(&fake, 5_000, OnLookupError::Stop);
    let mut enricher = bench.enricher();
    assert_eq!(resolve(&mut enricher, &["a"]), Ok(named(&["a"])));
    assert_eq!(resolve(&mut enricher, &["b"]), Ok(named(&["b"])), "asked again on a new connection");
    assert_eq!((fake.connections(), bench.fault()), (2, None));
    let fresh = halted(resolve(&mut bench.enricher(), &["c"]));
    assert_eq!(fresh.exit, Exit::Temporary, "a new connection that breaks is an outage");
}

#[test]
fn slow_answers_are_named_and_fast_ones_clear_the_name() {
    let slow = Arc::new(AtomicBool::new(true));
    let flag = slow.clone();
    let fake = Fake::serve(move |_, _, pipeline| {
        let delay = if flag.load(Ordering::Acquire) { 1_500 * MS } else { Duration::ZERO };
        Act::Late(delay, capitals(pipeline))
    });
    let bench = one(&fake, 2_500, OnLookupError::Retry);
    let mut enricher = bench.enricher();
    assert_eq!(resolve(&mut enricher, &["a"]), Ok(named(&["a"])));
    assert!(bench.fault().is_some_and(|fault| fault.contains("slowly")), "{:?}", bench.fault());
    assert!(bench.pipeline.metrics.busy(StageName::Lookup).get() >= 1_500_000_000);
    slow.store(false, Ordering::Release);
    until("fast again", || resolve(&mut enricher, &["b"]) == Ok(named(&["b"])) && bench.fault().is_none());
}

#[test]
fn keep_does_not_pay_a_timeout_for_every_batch_of_an_outage() {
    let fake = Fake::serve(|_, _, _| Act::Silence);
    let mut plan = uncached(keyed(connection(&fake.url(), 100), &["name"]));
    plan.on_error = OnLookupError::Keep;
    let retry = RetryPlan { first: 3_000 * MS, max: 3_000 * MS, in_place: 150_000 * MS };
    let bench = Bench::new(&[]);
    let lookups = Lookups::open(&[plan], retry, bench.pipeline.clone());
    let mut enricher = Enricher::new(lookups.expect("valid"));
    for _ in 0..200 {
        assert_eq!(resolve(&mut enricher, &["a"]), Ok(vec![Found::Unavailable]));
    }
    let attempts = bench.pipeline.metrics.lookup_micros.count();
    assert!(attempts < 50, "{attempts} attempts for 200 batches");
    assert_eq!(bench.count(LookupResult::Failed), 200);
}

#[test]
fn a_member_of_a_cluster_and_a_sentinel_are_refused_at_start() {
    let info = |text: &str| format!("${}\r\n{text}\r\n", text.len());
    let role = |name: &str| format!("*1\r\n${}\r\n{name}\r\n", name.len());
    let unknown = "-ERR unknown command\r\n".to_owned();
    for (answers, said) in [
        ([info("cluster_state:ok\r\ncluster_size:3\r\n"), role("master")], Some("Redis Cluster")),
        ([unknown.clone(), role("sentinel")], Some("Sentinel")),
        ([info("cluster_state:ok\r\ncluster_size:1\r\n"), role("master")], None),
        (["-ERR This instance has cluster support disabled\r\n".to_owned(), role("slave")], None),
        ([unknown.clone(), unknown], None),
        (["-NOPERM no\r\n".to_owned(), "-NOPERM no\r\n".to_owned()], None),
    ] {
        let answers = answers.concat();
        let fake = Fake::serve(move |_, _, pipeline| match pipeline[0][0].as_str() {
            "PING" => Act::Reply(b"+PONG\r\n".to_vec()),
            _ => Act::Reply(answers.clone().into_bytes()),
        });
        let bench = one(&fake, 1_000, OnLookupError::Retry);
        match (bench.lookups.probe(), said) {
            (Ok(()), None) => {}
            (Err(crate::enrich::NotReady::Halt(halt)), Some(said)) => {
                assert!(halt.exit == Exit::Protocol && halt.message.contains(said), "{halt:?}");
            }
            (answer, said) => panic!("{answer:?} where {said:?} was expected"),
        }
    }
}
