//! What servers, or what stands in their place, make us say: the message names what is there and what to write. One
//! side speaks TLS and the other does not, wants a log-in, is no such server, or says itself why it refuses a record.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use sluicegate::internals::testbed::kafka::MockKafka;
use sluicegate_testkit::services::kafka::{self, KafkaOptions};
use sluicegate_testkit::services::{KafkaClient, NewRecord};

use crate::support::bench::until;
use crate::support::process::Process;
use crate::support::{own, unique};

const LIMIT: Duration = Duration::from_secs(90);

/// A listener that answers whatever comes with these bytes and closes.
fn stands_there(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut head = [0; 4096];
            if matches!(stream.read(&mut head), Ok(1..)) {
                // Who asked may be gone.
                let _ = stream.write_all(answer);
            }
        }
    });
    address
}

/// TLS's alert about a message it does not understand.
const TLS_ALERT: &[u8] = b"\x15\x03\x03\x00\x02\x02\x46";
const HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const HTTPS_PAGE: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 70\r\nConnection: close\r\n\r\n\
    <html><title>400 The plain HTTP request was sent to HTTPS port</title>";

fn relay(upstream: &str, downstream: &str) -> String {
    format!(
        "version: 1\nconnections:\n  kafka:\n    upstream: {{ brokers: [\"{upstream}\"] }}\n    \
         downstream: {{ brokers: [\"{downstream}\"] }}\npipelines:\n  relay:\n    source:\n      \
         kafka: {{ connection: upstream, topics: [events], group: relay }}\n    sink:\n      \
         kafka: {{ connection: downstream, topic: events-clean, timestamp: keep }}\n    \
         on_reject: {{ dead_letter: {{ file: {{ path: dead.ndjson }} }} }}\n\
         startup: {{ timeout: 4s }}\ntelemetry: {{ listen: \"127.0.0.1:0\" }}\n"
    )
}

fn index(upstream: &str, node: &str, redis: &str) -> String {
    format!(
        "version: 1\nconnections:\n  kafka:\n    upstream: {{ brokers: [\"{upstream}\"] }}\n  elasticsearch:\n    \
         search: {{ nodes: [\"{node}\"] }}\n  redis:\n    lookups: {{ url: \"{redis}\" }}\npipelines:\n  index:\n    \
         source:\n      kafka: {{ connection: upstream, topics: [events], group: index }}\n    steps:\n      \
         - lookup: {{ redis: lookups, key: \"user:{{/user}}\", into: /user_info }}\n    sink:\n      \
         elasticsearch: {{ connection: search, index: items }}\nstartup: {{ timeout: 4s }}\n\
         telemetry: {{ listen: \"127.0.0.1:0\" }}\n"
    )
}

#[test]
fn what_is_no_such_listener_is_told_with_what_to_write() {
    let kafka = MockKafka::start(&[("events", 1), ("events-clean", 1)]).unwrap();
    let up = kafka.brokers();
    let (closes, alert, http, page) =
        (stands_there(b""), stands_there(TLS_ALERT), stands_there(HTTP), stands_there(HTTPS_PAGE));
    let redis = stands_there(b"+PONG\r\n");
    let there = |scheme: &str, address: SocketAddr| format!("{scheme}://{address}");
    let good = there("redis", redis);
    let table = [
        ("Kafka closes", relay(&closes.to_string(), up), "write `tls: {}`"),
        ("Kafka alerts", relay(&alert.to_string(), up), "write `tls: {}`"),
        ("Kafka is HTTP", relay(&http.to_string(), up), "an HTTP server answers there"),
        ("Kafka's sink closes", relay(up, &closes.to_string()), "write `tls: {}`"),
        ("Kafka has no address", relay("nowhere.invalid:9092", up), "advertised.listeners"),
        ("Redis alerts", index(up, "http://127.0.0.1:9", &there("redis", alert)), "`rediss://`"),
        ("Redis closes", index(up, "http://127.0.0.1:9", &there("redis", closes)), "`rediss://`"),
        ("Redis is plain", index(up, "http://127.0.0.1:9", &there("rediss", redis)), "`redis://`"),
        ("search closes", index(up, &there("http", closes), &good), "`https://`"),
        ("search alerts", index(up, &there("http", alert), &good), "`https://`"),
        ("search has a page", index(up, &there("http", page), &good), "plain HTTP request was sent to HTTPS port"),
        ("search is plain", index(up, &there("https", http), &good), "`http://`"),
    ];
    let running: Vec<_> =
        table.into_iter().map(|(name, yaml, said)| (name, Process::run(name, &yaml, &[]), said)).collect();
    for (name, process, said) in running {
        let ended = process.wait(LIMIT).assert_code(69);
        assert!(ended.log.contains(said), "{name}: `{said}` is not said\n{}", ended.tail());
        assert!(!ended.log.contains(".rs:") && !ended.log.contains("/librdkafka/"), "{name}\n{}", ended.tail());
    }
}

#[test]
fn a_listener_that_wants_a_log_in_is_told() {
    let users = "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"broker\" password=\"b\" \
                 user_broker=\"b\";";
    let properties = [
        ("listener.security.protocol.map", "PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT"),
        ("sasl.enabled.mechanisms", "PLAIN"),
        ("sasl.mechanism.inter.broker.protocol", "PLAIN"),
        ("listener.name.plaintext.plain.sasl.jaas.config", users),
    ];
    let properties = properties.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let broker = || kafka::start(&KafkaOptions { properties, ..KafkaOptions::default() });
    let Some(broker) = own("a_listener_that_wants_a_log_in_is_told", broker) else { return };
    let yaml = relay(broker.endpoint(), broker.endpoint());
    let ended = Process::run("no log-in", &yaml, &[]).wait(LIMIT).assert_code(69);
    assert!(ended.log.contains("write `sasl:"), "{}", ended.tail());
}

#[test]
fn an_advertised_name_without_an_address_is_told() {
    let advertised = ("advertised.listeners".to_owned(), "PLAINTEXT://nowhere.invalid:9092".to_owned());
    let broker = || kafka::start(&KafkaOptions { properties: vec![advertised], ..KafkaOptions::default() });
    let Some(broker) = own("an_advertised_name_without_an_address_is_told", broker) else { return };
    let process = Process::run("advertised", &relay(broker.endpoint(), broker.endpoint()), &[]);
    let told =
        || process.log().lines().any(|line| line.contains("nowhere.invalid") && line.contains("advertised.listeners"));
    until("the name is told", LIMIT, told, || process.tail());
}

#[test]
fn a_record_the_broker_refuses_is_told_in_its_own_words() {
    let start = || kafka::start(&KafkaOptions::default());
    let Some(broker) = own("a_record_the_broker_refuses_is_told_in_its_own_words", start) else { return };
    let client = KafkaClient::new(&broker);
    let (from, to) = (unique("ahead"), unique("refuses"));
    client.create_topic(&from, 1, &[("message.timestamp.after.max.ms", "9223372036854775807")]).unwrap();
    client.create_topic(&to, 1, &[]).unwrap();
    let now = i64::try_from(UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    // Of these, three have microseconds where milliseconds should be.
    let record = |number: i64| NewRecord {
        timestamp_ms: Some(if [3, 11, 12].contains(&number) { now * 1_000 } else { now }),
        ..NewRecord::keyed(number.to_string(), format!("{{\"n\":{number}}}"))
    };
    client.produce(&from, (0..20).map(record)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let letters = folder.path().join("dead.ndjson");
    let yaml = relay(broker.endpoint(), broker.endpoint())
        .replace("[events]", &format!("[{from}]"))
        .replace("events-clean", &to)
        .replace("dead.ndjson", &letters.display().to_string())
        .replace("timeout: 4s", "timeout: 30s");
    let ended = Process::run("ahead", &yaml, &["--until", "end", "--report", "report"]).wait(LIMIT).assert_code(0);
    assert_eq!(ended.count("relay", "delivered"), 17, "{}", ended.tail());
    let letters = std::fs::read_to_string(letters).unwrap();
    assert_eq!(letters.lines().count(), 3, "{letters}");
    for letter in letters.lines() {
        assert!(letter.contains("out of range"), "{letter}");
    }
}
