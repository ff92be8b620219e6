//! Exit codes of a process that cannot start, or must not go on. The servers here are in this process, or not there.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use sluicegate::internals::testbed::kafka::MockKafka;

use crate::support::process::Process;

/// Above every limit of these configurations.
const LIMIT: Duration = Duration::from_secs(60);
/// `startup.timeout` of these configurations.
const STARTUP: Duration = Duration::from_secs(3);

/// Where nothing listens.
fn nowhere() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A server that answers every request the same way, for as long as the tests run.
fn http_server(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            thread::spawn(move || {
                let mut head = [0; 4096];
                while matches!(stream.read(&mut head), Ok(1..)) {
                    if stream.write_all(answer.as_bytes()).is_err() {
                        break;
                    }
                }
            });
        }
    });
    address
}

const UNAUTHORIZED: &str = "HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nContent-Length: 78\r\n\r\n\
    {\"error\":{\"type\":\"security_exception\",\"reason\":\"missing token\"},\"status\":401}\n";

/// Not the default address: tests run beside each other.
const LISTEN: &str = "telemetry: { listen: \"127.0.0.1:0\" }\n";

fn relay(upstream: &str, downstream: &str) -> String {
    format!(
        "version: 1\nconnections:\n  kafka:\n    upstream: {{ brokers: [\"{upstream}\"] }}\n    \
         downstream: {{ brokers: [\"{downstream}\"] }}\npipelines:\n  relay:\n    source:\n      \
         kafka: {{ connection: upstream, topics: [events], group: relay }}\n    sink:\n      \
         kafka: {{ connection: downstream, topic: events-clean }}\nstartup: {{ timeout: {}s }}\n{LISTEN}",
        STARTUP.as_secs()
    )
}

fn index(upstream: &str, node: &str, redis: &str) -> String {
    format!(
        "version: 1\nconnections:\n  kafka:\n    upstream: {{ brokers: [\"{upstream}\"] }}\n  elasticsearch:\n    \
         search: {{ nodes: [\"http://{node}\"], auth: {{ basic: {{ username: me, password: {{ env: HOME }} }} }} }}\n  \
         redis:\n    lookups: {{ url: \"redis://{redis}\" }}\npipelines:\n  index:\n    source:\n      \
         kafka: {{ connection: upstream, topics: [events], group: index }}\n    steps:\n      \
         - lookup: {{ redis: lookups, key: \"user:{{/user}}\", into: /user_info }}\n    sink:\n      \
         elasticsearch: {{ connection: search, index: items }}\nstartup: {{ timeout: {}s }}\n{LISTEN}",
        STARTUP.as_secs()
    )
}

/// A Redis that answers every command with OK or PONG, which is all a start asks for.
fn redis() -> SocketAddr {
    http_server("+PONG\r\n")
}

#[test]
fn an_unreachable_server_ends_the_start_with_69_and_its_name() {
    let kafka = MockKafka::start(&[("events", 1), ("events-clean", 1)]).unwrap();
    let (up, nowhere, redis) = (kafka.brokers(), nowhere().to_string(), redis().to_string());
    let table = [
        ("the source's cluster", relay(&nowhere, up), "Kafka (upstream)"),
        ("the sink's cluster", relay(up, &nowhere), "Kafka (downstream)"),
        ("Redis", index(up, &nowhere, &nowhere), "Redis"),
        ("Elasticsearch", index(up, &nowhere, &redis), "Elasticsearch (search)"),
    ];
    // Beside each other: each waits for most of its time.
    let running: Vec<_> = table
        .into_iter()
        .map(|(name, yaml, server)| (Instant::now(), Process::run(name, &yaml, &[]), server))
        .collect();
    for (started, process, server) in running {
        let ended = process.wait(LIMIT).assert_code(69);
        assert!(started.elapsed() >= STARTUP, "gave up after {:?}\n{}", started.elapsed(), ended.tail());
        let named = |line: &str| line.contains(server) && line.contains("startup.timeout") && line.contains(&nowhere);
        assert!(ended.log.lines().any(named), "{server} at {nowhere} is not named\n{}", ended.tail());
    }
}

#[test]
fn refused_credentials_end_the_start_with_77() {
    let kafka = MockKafka::start(&[("events", 1)]).unwrap();
    let (node, redis) = (http_server(UNAUTHORIZED).to_string(), redis().to_string());
    let ended = Process::run("401", &index(kafka.brokers(), &node, &redis), &[]).wait(LIMIT).assert_code(77);
    assert!(ended.log.lines().any(|line| line.contains("401")), "{}", ended.tail());
    let home = std::env::var("HOME").unwrap();
    assert!(!ended.log.contains(&format!("me:{home}")), "a secret is in the log\n{}", ended.tail());
}

#[test]
fn a_bounded_run_of_a_topic_that_is_not_there_ends_with_76() {
    let kafka = MockKafka::start(&[("events", 1), ("events-clean", 1)]).unwrap();
    let yaml = relay(kafka.brokers(), kafka.brokers()).replace("[events]", "[evnets]");
    let ended = Process::run("missing topic", &yaml, &["--until", "end"]).wait(LIMIT).assert_code(76);
    assert!(ended.log.contains("evnets"), "{}", ended.tail());
}

#[test]
fn a_bounded_run_of_a_pattern_that_matches_none_ends_with_76() {
    let kafka = MockKafka::start(&[("events-x", 1), ("events-clean", 1)]).unwrap();
    for pattern in [r"^events-\d+$", "^nothing.*", r"^(?:orders|bills)-\w+$"] {
        let yaml = relay(kafka.brokers(), kafka.brokers()).replace("[events]", &format!("['{pattern}']"));
        let ended = Process::run("no topic matches", &yaml, &["--until", "end"]).wait(LIMIT).assert_code(76);
        assert!(ended.log.contains("no topic matches"), "{}", ended.tail());
    }
    let yaml = relay(kafka.brokers(), kafka.brokers()).replace("[events]", r"['^events-\w$']");
    Process::run("one matches", &yaml, &["--until", "end"]).wait(LIMIT).assert_code(0);
}

#[test]
fn a_wrong_configuration_ends_with_78_and_says_where() {
    let yaml = relay("127.0.0.1:1", "127.0.0.1:1");
    let own = |properties: &str| {
        yaml.replacen("brokers: [\"127.0.0.1:1\"]", &format!("brokers: [\"127.0.0.1:1\"], {properties}"), 1)
    };
    let table = [
        (
            "a log-in that is not built in",
            own("librdkafka: { security.protocol: SASL_PLAINTEXT }"),
            &["connections.kafka.upstream", "no client can be made"][..],
        ),
        (
            "a mechanism that is not known",
            own("sasl: { mechanism: OAUTHBEARER }"),
            &["not built in", "SCRAM-SHA-512"][..],
        ),
        (
            "a look-ahead",
            yaml.replace("[events]", "['^ev(?!x).*']"),
            &["sluicegate.yaml:9", "look-aheads", "topic.blacklist"],
        ),
        ("an unknown key", yaml.replace("topics:", "topcis:"), &["sluicegate.yaml:9", "topcis", "topics"]),
        (
            "an unknown connection",
            yaml.replace("connection: upstream", "connection: upstraem"),
            &["sluicegate.yaml:9", "upstream"],
        ),
        ("no YAML", format!("{yaml}  - : :\n"), &["sluicegate.yaml:"]),
    ];
    for (name, yaml, said) in table {
        let ended = Process::run(name, &yaml, &[]).wait(LIMIT).assert_code(78);
        for words in said {
            assert!(ended.log.contains(words), "{name}: `{words}` is not said\n{}", ended.tail());
        }
    }
}

#[test]
fn a_taken_address_ends_with_78_and_a_wrong_argument_with_2() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let yaml = relay("127.0.0.1:1", "127.0.0.1:1").replace("127.0.0.1:0", &address.to_string());
    let ended = Process::run("taken", &yaml, &[]).wait(LIMIT).assert_code(78);
    assert!(ended.log.contains(&address.to_string()), "{}", ended.tail());

    let ended = Process::run("wrong argument", &yaml, &["--untl", "end"]).wait(LIMIT).assert_code(2);
    assert!(ended.log.contains("--until"), "no remedy\n{}", ended.tail());
    let ended = Process::run("unknown pipeline", &yaml, &["rely"]).wait(LIMIT).assert_code(2);
    assert!(ended.log.contains("relay"), "{}", ended.tail());
}

#[test]
fn a_signal_during_the_start_ends_it_with_0() {
    let yaml = relay(&nowhere().to_string(), &nowhere().to_string()).replace("timeout: 3s", "timeout: 50s");
    let process = Process::run("waiting", &yaml, &[]);
    let waits = || process.log().contains("does not answer yet");
    crate::support::bench::until("the start waits", LIMIT, waits, || process.tail());
    process.terminate();
    process.wait(Duration::from_secs(15)).assert_code(0);
}
