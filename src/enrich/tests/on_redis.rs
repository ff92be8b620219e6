//! Promises to users, on a real server.

use std::time::{Duration, Instant};

use crate::config::plan::OnLookupError;
use crate::model::Exit;
use crate::telemetry::health::Component;
use crate::telemetry::metrics::LookupResult;

use super::super::NotReady;
use super::real::{Redis, hset};
use super::*;

fn exec(admin: &mut redis::Connection, words: &[&str]) {
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]).exec(admin).unwrap_or_else(|error| panic!("{words:?}: {error}"));
}

fn refused(outcome: Result<(), NotReady>) -> crate::model::Halt {
    match outcome {
        Err(NotReady::Halt(halt)) => halt,
        other => panic!("expected a halt, got {other:?}"),
    }
}

#[test]
fn fields_are_found_in_order_once_and_then_cached() {
    let Some(redis) = Redis::start(&[]) else { return };
    let mut admin = redis.admin();
    hset(&mut admin, "u:1", &[("name", b"Ann \"A\""), ("tier", b"gold"), ("other", b"x")]);
    hset(&mut admin, "u:2", &[("tier", "süß".as_bytes())]);
    hset(&mut admin, "u:3", &[("other", b"x")]);
    let bench = Bench::new(&[keyed(connection(&redis.url(), 5_000), &["name", "tier"])]);
    assert_eq!(bench.pipeline.health.unreached(), [Component::Enrich]);
    assert_eq!(bench.lookups.probe(), Ok(()));
    assert_eq!(bench.pipeline.health.unreached(), []);
    let expected =
        vec![Found::Miss, json(r#"{"name":"Ann \"A\"","tier":"gold"}"#), Found::Miss, json(r#"{"tier":"süß"}"#)];
    let (mut first, mut second) = (bench.enricher(), bench.enricher());
    let keys = ["u:none", "u:1", "u:3", "u:2"];
    assert_eq!(resolve(&mut first, &keys), Ok(expected.clone()));
    assert_eq!(resolve(&mut second, &keys), Ok(expected), "workers share the cache");
    assert_eq!(resolve(&mut first, &["u:2", "u:4"]).map(|found| found[0].clone()), Ok(json(r#"{"tier":"süß"}"#)));
    assert_eq!(resolve(&mut first, &[]), Ok(vec![]));
    assert_eq!(bench.pipeline.metrics.lookup_micros.count(), 2, "each round trip is timed");
    let counts = [LookupResult::Cached, LookupResult::Found, LookupResult::Missed].map(|result| bench.count(result));
    assert_eq!(counts, [5, 2, 3]);
}

#[test]
fn a_cached_answer_copies_neither_key_nor_text() {
    let Some(redis) = Redis::start(&[]) else { return };
    let mut admin = redis.admin();
    let keys: Vec<String> = (0..1_000).map(|number| format!("{number:0200}")).collect();
    keys.iter().take(900).for_each(|key| hset(&mut admin, key, &[("v", &[b'x'; 200])]));
    let bench = Bench::new(&[keyed(connection(&redis.url(), 5_000), &["v"])]);
    let mut enricher = bench.enricher();
    let keys: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
    let mut found = Vec::new();
    let mut round = || enricher.resolve(0, &keys, &WANTED, &mut found);
    (0..3).for_each(|_| round().expect("answers"));
    let allocated = || jemalloc_ctl::thread::allocatedp::read().expect("jemalloc serves malloc").get();
    let before = allocated();
    drop(vec![0u8; 64]);
    assert!(allocated() >= before + 64, "the count counts");
    let before = allocated();
    (0..100).for_each(|_| round().expect("answers"));
    let bytes = allocated() - before;
    // The cache's own upkeep, shared by many reads, is some 20 bytes a read; a copy of key or text would be 200.
    assert!(bytes < 100 * 100_000, "{bytes} bytes for 100,000 cached answers");
    assert_eq!(bench.count(LookupResult::Cached), 102_000);
}

#[test]
fn whole_hashes_and_several_look_ups_do_not_mix() {
    let Some(redis) = Redis::start(&[]) else { return };
    let mut admin = redis.admin();
    hset(&mut admin, "k", &[("a", b"1"), ("b", b"2")]);
    let at = || connection(&redis.url(), 5_000);
    let bench = Bench::new(&[keyed(at(), &["a"]), keyed(at(), &[]), keyed(at(), &["b", "zz"])]);
    let mut enricher = bench.enricher();
    let mut found = Vec::new();
    for (number, expected) in [(0, r#"{"a":"1"}"#), (1, r#"{"a":"1","b":"2"}"#), (2, r#"{"b":"2"}"#)] {
        for _ in 0..2 {
            enricher.resolve(number, &[b"k"], &WANTED, &mut found).expect("answers");
            assert_eq!(found, [json(expected)], "look-up {number}");
        }
    }
    let clients: String = redis::cmd("CLIENT").arg("LIST").query(&mut admin).expect("list");
    assert_eq!(clients.lines().count(), 2, "one connection a worker and server, and the test's own");
}

#[test]
fn round_trips_are_one_for_512_keys() {
    let Some(redis) = Redis::start(&[]) else { return };
    let mut admin = redis.admin();
    let keys: Vec<String> = (0..1_300).map(|number| format!("k{number}")).collect();
    let mut pipe = redis::pipe();
    for (number, key) in keys.iter().enumerate().filter(|(number, _)| number % 3 != 0) {
        pipe.cmd("HSET").arg(key).arg("n").arg(number);
    }
    pipe.exec(&mut admin).expect("HSET");
    let bench = Bench::new(&[keyed(connection(&redis.url(), 5_000), &["n"])]);
    let asked: Vec<&str> = keys.iter().map(String::as_str).collect();
    let found = resolve(&mut bench.enricher(), &asked).expect("answers");
    for (number, found) in found.iter().enumerate() {
        let expected = if number % 3 == 0 { Found::Miss } else { json(&format!(r#"{{"n":"{number}"}}"#)) };
        assert_eq!(*found, expected, "key {number}");
    }
    assert_eq!(bench.pipeline.metrics.lookup_micros.count(), 3);
}

#[test]
fn hits_and_misses_are_read_again_after_their_own_time() {
    let Some(redis) = Redis::start(&[]) else { return };
    let mut admin = redis.admin();
    hset(&mut admin, "hit", &[("v", b"old")]);
    let mut plan = keyed(connection(&redis.url(), 5_000), &["v"]);
    (plan.cache.ttl, plan.cache.miss_ttl) = (Duration::from_secs(600), Duration::from_millis(300));
    let bench = Bench::new(&[plan]);
    let mut enricher = bench.enricher();
    assert_eq!(resolve(&mut enricher, &["hit", "miss"]), Ok(vec![json(r#"{"v":"old"}"#), Found::Miss]));
    for key in ["hit", "miss"] {
        hset(&mut admin, key, &[("v", b"new")]);
    }
    until("the miss is forgotten", || resolve(&mut enricher, &["miss"]) == Ok(vec![json(r#"{"v":"new"}"#)]));
    assert_eq!(resolve(&mut enricher, &["hit"]), Ok(vec![json(r#"{"v":"old"}"#)]), "the hit is not");
}

#[test]
fn the_wrong_type_halts_and_names_the_pattern() {
    let Some(redis) = Redis::start(&[]) else { return };
    let mut admin = redis.admin();
    exec(&mut admin, &["SET", "user:7", "text"]);
    let mut plan = keyed(connection(&redis.url(), 5_000), &["name"]);
    plan.on_error = OnLookupError::Keep;
    let bench = Bench::new(&[plan, table(connection(&redis.url(), 5_000), "user:7", 1_000)]);
    let halt = halted(resolve(&mut bench.enricher(), &["user:1", "user:7"]));
    assert_eq!(halt.exit, Exit::Protocol);
    assert!(halt.message.contains("WRONGTYPE") && halt.message.contains("user:{/user}"), "{}", halt.message);
    assert_eq!(refused(bench.lookups.probe()).exit, Exit::Protocol, "as a table too");
}

#[test]
fn credentials_are_checked_at_start() {
    let user = ["--user", "reader", "on", ">r3ad", "~*", "+hmget", "+hgetall"];
    let Some(redis) = Redis::start(&[&["--requirepass", "hunter2"][..], &user].concat()) else { return };
    let port = redis.port;
    let probe = |login: &str, database: &str| {
        let plan = keyed(connection(&format!("redis://{login}127.0.0.1:{port}{database}"), 5_000), &["name"]);
        let bench = Bench::new(&[plan]);
        bench.lookups.probe().map(|()| resolve(&mut bench.enricher(), &["nobody"]))
    };
    for (login, database, exit) in [
        ("", "", Exit::Permission),
        (":hunter3@", "", Exit::Permission),
        ("reader:hunter2@", "", Exit::Permission),
        (":hunter2@", "/99", Exit::Protocol),
        ("reader:r3ad@", "/1", Exit::Permission),
    ] {
        let halt = refused(probe(login, database).map(|_| ()));
        assert_eq!(halt.exit, exit, "{login} {database}: {}", halt.message);
        assert!(!halt.message.contains("hunter") && !halt.message.contains("r3ad"), "{}", halt.message);
    }
    for (login, database) in [(":hunter2@", ""), ("default:hunter2@", "/3"), ("reader:r3ad@", "")] {
        assert_eq!(probe(login, database), Ok(Ok(vec![Found::Miss])), "{login} {database}");
    }
}

#[test]
fn values_that_cannot_be_json_text_are_counted_misses() {
    let Some(redis) = Redis::start(&[]) else { return };
    let mut admin = redis.admin();
    hset(&mut admin, "bad", &[("name", b"\xff\xfe"), ("tier", b"gold")]);
    hset(&mut admin, "big", &[("name", &vec![b'x'; (1 << 20) + 1])]);
    hset(&mut admin, "good", &[("name", b"ok")]);
    let bench = Bench::new(&[keyed(connection(&redis.url(), 5_000), &["name", "tier"])]);
    let mut enricher = bench.enricher();
    let keys = ["bad", "good", "big"];
    let expected = vec![Found::Miss, json(r#"{"name":"ok"}"#), Found::Miss];
    assert_eq!(resolve(&mut enricher, &keys), Ok(expected.clone()));
    assert_eq!(resolve(&mut enricher, &keys), Ok(expected), "and are not fetched again");
    assert_eq!((bench.count(LookupResult::Unusable), bench.pipeline.metrics.lookup_micros.count()), (2, 1));
}

#[test]
fn more_than_one_answer_may_hold_is_read_in_parts() {
    let Some(redis) = Redis::start(&[]) else { return };
    let mut admin = redis.admin();
    let (keys, value) = ((0..40).map(|number| format!("k{number}")).collect::<Vec<_>>(), vec![b'x'; 900_000]);
    for key in &keys {
        hset(&mut admin, key, &[("v", &value)]);
    }
    let bench = Bench::new(&[uncached(keyed(connection(&redis.url(), 20_000), &["v"]))]);
    let asked: Vec<&str> = keys.iter().map(String::as_str).collect();
    let found = resolve(&mut bench.enricher(), &asked).expect("answers");
    assert!(found.iter().all(|found| matches!(found, Found::Json(text) if text.len() == 900_008)));
    assert!(bench.pipeline.metrics.lookup_micros.count() > 3, "36 MB do not come in one");
}

#[test]
fn an_outage_is_waited_out_and_a_restart_is_not_even_noticed() {
    let Some(mut redis) = Redis::start(&[]) else { return };
    hset(&mut redis.admin(), "k", &[("v", b"1")]);
    let bench = Bench::new(&[uncached(keyed(connection(&redis.url(), 1_000), &["v"]))]);
    let mut enricher = bench.enricher();
    assert_eq!(resolve(&mut enricher, &["k"]), Ok(vec![json(r#"{"v":"1"}"#)]));
    redis.kill();
    redis.revive();
    hset(&mut redis.admin(), "k", &[("v", b"2")]);
    assert_eq!(resolve(&mut enricher, &["k"]), Ok(vec![json(r#"{"v":"2"}"#)]));
    assert_eq!((bench.pipeline.metrics.lookup_micros.count(), bench.pipeline.health.last_errors()), (2, vec![]));
    redis.kill();
    std::thread::scope(|scope| {
        let answer = scope.spawn(|| resolve(&mut enricher, &["k"]));
        until("the outage is named", || bench.fault().is_some_and(|fault| fault.contains("cannot connect")));
        redis.revive();
        let found = answer.join().expect("no panic").expect("waits");
        assert!(found == [Found::Miss], "the new server is empty: {found:?}");
    });
    assert_eq!(bench.fault(), None);
}

#[test]
fn a_frozen_server_is_gone_without_or_halts_by_policy() {
    let Some(redis) = Redis::start(&[]) else { return };
    let mut admin = redis.admin();
    hset(&mut admin, "k", &[("v", b"1")]);
    let of = |on_error| {
        let mut plan = uncached(keyed(connection(&redis.url(), 200), &["v"]));
        plan.on_error = on_error;
        Bench::new(&[plan])
    };
    let (keep, stop) = (of(OnLookupError::Keep), of(OnLookupError::Stop));
    let mut keeper = keep.enricher();
    redis.signal("-STOP");
    let start = Instant::now();
    assert_eq!(resolve(&mut keeper, &["k"]), Ok(vec![Found::Unavailable]));
    assert_eq!(halted(resolve(&mut stop.enricher(), &["k"])).exit, Exit::Temporary);
    assert!(start.elapsed() < Duration::from_secs(10));
    redis.signal("-CONT");
    until("it answers again", || resolve(&mut keeper, &["k"]) == Ok(vec![json(r#"{"v":"1"}"#)]));
}

#[test]
fn a_table_is_read_at_start_refreshed_and_kept_through_an_outage() {
    let Some(mut redis) = Redis::start(&[]) else { return };
    hset(&mut redis.admin(), "codes", &[("de", b"Germany"), ("fr", b"\"France\"")]);
    let bench = Bench::new(&[table(connection(&redis.url(), 1_000), "codes", 50)]);
    assert_eq!(bench.lookups.probe(), Ok(()));
    let refresher = bench.lookups.spawn_refresh().expect("a thread").expect("there are tables");
    let mut enricher = bench.enricher();
    assert_eq!(
        resolve(&mut enricher, &["fr", "xx", "de"]),
        Ok(vec![json(r#""\"France\"""#), Found::Miss, json(r#""Germany""#)])
    );
    hset(&mut redis.admin(), "codes", &[("xx", b"new")]);
    until("the change is seen", || resolve(&mut enricher, &["xx"]) == Ok(vec![json(r#""new""#)]));
    redis.kill();
    until("the outage is named with an age", || bench.fault().is_some_and(|fault| fault.contains("s ago is used")));
    assert_eq!(resolve(&mut enricher, &["xx"]), Ok(vec![json(r#""new""#)]), "the old one is kept");
    redis.revive();
    until("an empty table is named", || bench.fault().is_some_and(|fault| fault.contains("empty")));
    hset(&mut redis.admin(), "codes", &[("de", b"back")]);
    until("read again", || resolve(&mut enricher, &["de"]) == Ok(vec![json(r#""back""#)]) && bench.fault().is_none());
    bench.pipeline.stop.drain();
    until("the thread ends", || refresher.is_finished());
}

#[test]
fn a_table_beyond_its_bytes_is_refused_with_the_setting_to_change() {
    let Some(redis) = Redis::start(&[]) else { return };
    hset(&mut redis.admin(), "codes", &[("a", &[b'x'; 5_000]), ("b", &[b'x'; 5_000])]);
    for (bytes, fits) in [(20_000, true), (9_000, false), (10_100, false)] {
        let mut plan = table(connection(&redis.url(), 5_000), "codes", 60_000);
        plan.cache.bytes = bytes;
        let outcome = Bench::new(&[plan]).lookups.probe();
        if fits {
            assert_eq!(outcome, Ok(()));
        } else {
            assert!(refused(outcome).message.contains("cache.bytes"), "{bytes}");
        }
    }
}

#[test]
fn without_a_server_start_waits_and_a_table_never_read_follows_its_policy() {
    let Some(mut redis) = Redis::start(&[]) else { return };
    redis.kill();
    let mut plan = table(connection(&redis.url(), 500), "codes", 60_000);
    plan.on_error = OnLookupError::Keep;
    let keep = Bench::new(&[plan.clone()]);
    assert!(matches!(keep.lookups.probe(), Err(NotReady::Waiting(text)) if text.contains("lookups")));
    assert!(keep.fault().is_some());
    assert_eq!(resolve(&mut keep.enricher(), &["a"]), Ok(vec![Found::Unavailable]));
    plan.on_error = OnLookupError::Stop;
    assert_eq!(halted(resolve(&mut Bench::new(&[plan.clone()]).enricher(), &["a"])).exit, Exit::Temporary);
    plan.on_error = OnLookupError::Retry;
    let wait = Bench::new(&[plan]);
    let mut enricher = wait.enricher();
    std::thread::scope(|scope| {
        let answer = scope.spawn(|| resolve(&mut enricher, &["a"]));
        until("named", || wait.fault().is_some());
        redis.revive();
        hset(&mut redis.admin(), "codes", &[("a", b"1")]);
        assert!(!answer.is_finished());
        assert_eq!(wait.lookups.probe(), Ok(()));
        assert_eq!(answer.join().expect("no panic"), Ok(vec![json(r#""1""#)]));
    });
    assert_eq!(wait.fault(), None);
}
