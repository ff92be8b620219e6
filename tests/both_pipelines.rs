//! Both pipelines of the replaced script, as processes on real servers: 200,000 records over 8 partitions through
//! `kafka → select → kafka` (two clusters) and `kafka → select → look-up in Redis → elasticsearch` (6.8.2, upserts).
//!
//! Every test ends with everything read back and compared with what was fed, and with committed offsets at the end.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::support::bench::{RECORDS, bench, let_pass, seed, until};
use crate::support::outcome::Outcome;
use crate::support::process::Process;
use crate::support::setup::Setup;
use crate::support::unique;

/// How long a whole run may take on a machine that other work shares.
const RUN: Duration = Duration::from_secs(300);
/// How long a drain may take: `shutdown.timeout`, then commit and leave. A starved Elasticsearch takes a thousand
/// records a second, and tens of thousands may be open.
const DRAIN: Duration = Duration::from_secs(150);
/// Records a second that are fed while processes are killed.
const RATE: f64 = 5_000.0;
/// Records that wait for the first of several runs.
const BACKLOG: u64 = 50_000;
/// Records a second that are fed while members come and go, for as long as that takes.
const SLOW_RATE: f64 = 3_000.0;
const TO_THE_END: [&str; 4] = ["--until", "end", "--report", "report"];

#[test]
fn everything_arrives_once_with_one_of_two_nodes_dead() {
    let Some(bench) = bench("everything_arrives_once_with_one_of_two_nodes_dead") else { return };
    let mut setup = Setup::new(&bench, &bench.input);
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    setup.nodes.insert(0, format!("http://{dead}"));
    let ended = Process::run("sluicegate", &setup.yaml(), &TO_THE_END).wait(RUN).assert_code(0);
    for pipeline in ["relay", "index"] {
        assert_eq!(ended.count(pipeline, "consumed"), RECORDS, "{pipeline}");
        assert_eq!(ended.count(pipeline, "delivered"), RECORDS, "{pipeline}");
        // What is done does not stand still, however long the other takes.
        let done = format!("done pipeline=\"{pipeline}\"");
        let (_, after) = ended.log.split_once(&done).unwrap_or_else(|| panic!("not `{done}`\n{}", ended.tail()));
        let alarm = |line: &&str| line.contains("stalled") && line.contains(&format!("pipeline=\"{pipeline}\""));
        assert_eq!(after.lines().find(alarm), None);
    }
    Outcome::of(&bench, &setup, RECORDS).assert_whole(false, &ended.tail());
}

#[test]
fn a_drain_under_load_repeats_nothing() {
    let Some(bench) = bench("a_drain_under_load_repeats_nothing") else { return };
    let mut setup = Setup::new(&bench, &unique("events"));
    // The same node under another name.
    setup.nodes.push(bench.elasticsearch.endpoint().replace("127.0.0.1", "localhost"));
    // There is a backlog when the first round begins, and however fast or slow the rounds are, the load never ends.
    let feeder = bench.feed(&setup.input, u64::MAX, Some(RATE));
    until("a backlog", RUN, || feeder.fed() >= BACKLOG, String::new);
    let mut delivered = [0, 0];
    let mut add = |ended: &crate::support::process::Ended| {
        for (sum, pipeline) in delivered.iter_mut().zip(["relay", "index"]) {
            assert_eq!(ended.count(pipeline, "rewound"), 0, "{pipeline}\n{}", ended.tail());
            *sum += ended.count(pipeline, "delivered");
        }
    };
    for round in 1..=3 {
        let process = Process::run(&format!("round {round}"), &setup.yaml(), &["--report", "report"]);
        process.await_delivered("relay", 5_000, RUN);
        process.await_delivered("index", 5_000, RUN);
        shows_itself(&process);
        let asked = Instant::now();
        process.terminate();
        let ended = process.wait(DRAIN).assert_code(0);
        eprintln!("round {round}: drained in {:?}", asked.elapsed());
        add(&ended);
    }
    feeder.finish();
    let records = feeder.join().unwrap().records;
    let ended = Process::run("the rest", &setup.yaml(), &TO_THE_END).wait(RUN).assert_code(0);
    add(&ended);
    Outcome::of(&bench, &setup, records).assert_whole(false, &ended.tail());
    assert_eq!(delivered, [records, records], "sent more than once, or lost\n{}", ended.tail());
}

/// What the endpoint of a running process answers.
fn shows_itself(process: &Process) {
    for path in ["/livez", "/readyz", "/startupz"] {
        assert_eq!(process.get(path).status, 200, "{path}\n{}", process.tail());
    }
    let status: serde_json::Value = serde_json::from_slice(&process.get("/status").body).unwrap();
    let text = status.to_string();
    assert!(text.contains("\"relay\"") && text.contains("\"index\""), "{text}");
}

#[test]
fn nothing_is_lost_by_twenty_kills() {
    let Some(bench) = bench("nothing_is_lost_by_twenty_kills") else { return };
    let mut setup = Setup::new(&bench, &unique("events"));
    setup.instance_id = Some("one".to_owned());
    let yaml = setup.yaml();
    let feeder = bench.feed(&setup.input, RECORDS, Some(RATE));
    let mut random = fastrand::Rng::with_seed(seed());
    for kill in 1..=20 {
        let process = Process::run(&format!("victim {kill}"), &yaml, &[]);
        let_pass(Duration::from_millis(random.u64(100..4_000)));
        process.kill9();
    }
    feeder.join().unwrap();
    let ended = Process::run("the last", &yaml, &TO_THE_END).wait(RUN).assert_code(0);
    let outcome = Outcome::of(&bench, &setup, RECORDS);
    eprintln!("twenty kills: {outcome}");
    outcome.assert_whole(true, &ended.tail());
}

#[test]
fn restarts_of_both_kafka_clusters_lose_nothing() {
    let Some(bench) = bench("restarts_of_both_kafka_clusters_lose_nothing") else { return };
    let setup = Setup::new(&bench, &bench.input);
    let process = Process::run("sluicegate", &setup.yaml(), &TO_THE_END);
    process.await_delivered("relay", 10_000, RUN);
    bench.upstream.kill9().unwrap();
    bench.upstream.start().unwrap();
    process.await_delivered("relay", 40_000, RUN);
    bench.downstream.kill9().unwrap();
    bench.downstream.start().unwrap();
    process.await_delivered("relay", 80_000, RUN);
    bench.upstream.restart().unwrap();
    process.await_delivered("relay", 120_000, RUN);
    bench.downstream.restart().unwrap();
    let ended = process.wait(RUN).assert_code(0);
    let outcome = Outcome::of(&bench, &setup, RECORDS);
    eprintln!("restarts of Kafka: {outcome}");
    outcome.assert_whole(true, &ended.tail());
}

#[test]
fn restarts_of_elasticsearch_and_redis_lose_nothing() {
    let Some(bench) = bench("restarts_of_elasticsearch_and_redis_lose_nothing") else { return };
    let mut setup = Setup::new(&bench, &bench.input);
    setup.relay = None;
    let process = Process::run("sluicegate", &setup.yaml(), &TO_THE_END);
    process.await_delivered("index", 10_000, RUN);
    bench.redis.kill9().unwrap();
    until("a look-up waits", RUN, || process.log().contains("cannot connect"), || process.tail());
    bench.redis.start().unwrap();
    process.await_delivered("index", 40_000, RUN);
    bench.elasticsearch.kill9().unwrap();
    bench.elasticsearch.start().unwrap();
    process.await_delivered("index", 80_000, RUN);
    bench.elasticsearch.restart().unwrap();
    process.await_delivered("index", 120_000, RUN);
    bench.redis.restart().unwrap();
    let ended = process.wait(RUN).assert_code(0);
    assert_eq!(ended.count("index", "rewound"), 0, "{}", ended.tail());
    Outcome::of(&bench, &setup, RECORDS).assert_whole(true, &ended.tail());
}

#[test]
fn a_member_that_joins_and_leaves_costs_nothing() {
    let Some(bench) = bench("a_member_that_joins_and_leaves_costs_nothing") else { return };
    let setup = Setup::new(&bench, &unique("events"));
    let yaml = setup.yaml();
    let feeder = bench.feed(&setup.input, u64::MAX, Some(SLOW_RATE));
    let stays = Process::run("the one that stays", &yaml, &[]);
    stays.await_delivered("relay", 5_000, RUN);
    for visit in 1..=3 {
        let visitor = Process::run(&format!("visitor {visit}"), &yaml, &[]);
        visitor.await_delivered("relay", 2_000, RUN);
        visitor.await_delivered("index", 1_000, RUN);
        visitor.terminate();
        visitor.wait(DRAIN).assert_code(0);
    }
    until("everything fed", RUN, || feeder.fed() >= RECORDS, || stays.tail());
    feeder.finish();
    let records = feeder.join().unwrap().records;
    let upstream = bench.upstream_client();
    let behind = |group: &str| {
        let ends = upstream.offsets(&setup.input).unwrap();
        let committed = upstream.committed(group, &setup.input).unwrap();
        ends.iter().zip(committed).map(|((_, end), committed)| end - committed.unwrap_or(0)).sum::<i64>()
    };
    for group in setup.relay.iter().chain(&setup.index) {
        until("everything committed", RUN, || behind(group) == 0, || format!("{group}\n{}", stays.tail()));
    }
    stays.terminate();
    let ended = stays.wait(DRAIN).assert_code(0);
    let outcome = Outcome::of(&bench, &setup, records);
    eprintln!("three visits: {outcome}");
    outcome.assert_whole(true, &ended.tail());
}
