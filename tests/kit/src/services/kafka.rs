//! Apache Kafka 4.1.1: one broker that is its own controller (KRaft), from its jars.
//!
//! Timeouts of membership and registration are short, so that tests of restarts and lost members are.

use std::ffi::OsString;
use std::process::Command;
use std::time::Duration;

use super::cache::Cache;
use super::error::ServiceError;
use super::java::Java;
use super::maven::{Artefact, Contents};
use super::port::Port;
use super::process::{Launch, Ready, Server};
use super::run::run;
use super::scratch::Scratch;
use super::service::Service;

/// What is fetched.
const ARTEFACT: Artefact = Artefact {
    name: "kafka-4.1.1",
    download: "44 MB",
    contents: Contents::Jars(&[
        "org.apache.kafka:kafka_2.13:4.1.1",
        "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3",
        "org.apache.logging.log4j:log4j-core:2.24.3",
    ]),
};
/// How long formatting the data folder may take: one start of a JVM.
const FORMAT_LIMIT: Duration = Duration::from_secs(120);
/// Logging of the server.
const LOGGING: &str = include_str!("log4j2.properties");

/// How a broker is started.
#[derive(Clone, Debug)]
pub struct KafkaOptions {
    /// Java heap in MiB. The process takes about 330 MiB with 512.
    pub heap_mib: u32,
    /// Lines of `server.properties` beside ours; one of the same name wins over ours.
    pub properties: Vec<(String, String)>,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        KafkaOptions { heap_mib: 512, properties: Vec::new() }
    }
}

/// Starts a cluster of one broker with an empty data folder. Topics are never created by themselves.
///
/// # Errors
/// Java, the jars or a port cannot be had; the broker ended or was not ready in time.
pub fn start(options: &KafkaOptions) -> Result<Service, ServiceError> {
    let cache = Cache::of_user()?;
    let java = Java::find(&cache)?;
    let jars = ARTEFACT.obtain(&cache, &java)?;
    let (port, controller) = (Port::reserve(&cache)?, Port::reserve(&cache)?);
    let scratch = Scratch::make("kafka")?;
    let data = scratch.folder("data")?;
    let lines = properties(port.number(), controller.number(), &data.display().to_string(), &options.properties);
    let settings = scratch.write("server.properties", &lines)?;
    let logging = scratch.write("log4j2.properties", LOGGING)?;
    let logging: OsString = format!("-Dlog4j2.configurationFile={}", logging.display()).into();
    let class_path: OsString = format!("{}/*", jars.display()).into();

    let mut format = Command::new(java.program());
    format.arg("-Xmx128m").arg(&logging).arg("-cp").arg(&class_path);
    format.args(["kafka.tools.StorageTool", "format", "--ignore-formatted", "--cluster-id", &cluster_id()]);
    run(format.arg("--config").arg(&settings), FORMAT_LIMIT)?;

    let heap = [format!("-Xms{}m", options.heap_mib / 2), format!("-Xmx{}m", options.heap_mib)];
    let mut arguments: Vec<OsString> = heap.into_iter().map(OsString::from).collect();
    arguments.extend(["-XX:+UseG1GC".into(), logging, "-cp".into(), class_path]);
    arguments.extend(["kafka.Kafka".into(), settings.into()]);
    let launch = Launch {
        name: "Kafka 4.1.1".to_owned(),
        program: java.program(),
        arguments,
        environment: Vec::new(),
        user: None,
        port: port.number(),
        ready: Ready::LogLine("Kafka Server started"),
    };
    let endpoint = format!("127.0.0.1:{}", port.number());
    let mut server = Server::new(launch, scratch)?;
    server.start()?;
    Ok(Service::started(endpoint, server, vec![port, controller]))
}

/// 22 characters of URL-safe base64 that do not begin with a dash, as `StorageTool` wants them.
fn cluster_id() -> String {
    std::iter::repeat_with(fastrand::alphanumeric).take(22).collect()
}

/// The text of `server.properties`.
fn properties(port: u16, controller: u16, data: &str, given: &[(String, String)]) -> String {
    let ours = [
        ("process.roles", "broker,controller".to_owned()),
        ("node.id", "1".to_owned()),
        ("controller.quorum.voters", format!("1@127.0.0.1:{controller}")),
        ("listeners", format!("PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}")),
        ("advertised.listeners", format!("PLAINTEXT://127.0.0.1:{port}")),
        ("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned()),
        ("controller.listener.names", "CONTROLLER".to_owned()),
        ("inter.broker.listener.name", "PLAINTEXT".to_owned()),
        ("log.dirs", data.to_owned()),
        ("auto.create.topics.enable", "false".to_owned()),
        // The defaults ask for three brokers.
        ("offsets.topic.replication.factor", "1".to_owned()),
        ("offsets.topic.num.partitions", "4".to_owned()),
        ("transaction.state.log.replication.factor", "1".to_owned()),
        ("transaction.state.log.min.isr", "1".to_owned()),
        ("transaction.state.log.num.partitions", "4".to_owned()),
        ("share.coordinator.state.topic.replication.factor", "1".to_owned()),
        ("share.coordinator.state.topic.min.isr", "1".to_owned()),
        // Members come, go and die in tests: nobody should wait for the defaults.
        ("group.initial.rebalance.delay.ms", "0".to_owned()),
        ("group.min.session.timeout.ms", "1000".to_owned()),
        ("group.consumer.heartbeat.interval.ms", "500".to_owned()),
        ("group.consumer.min.heartbeat.interval.ms", "500".to_owned()),
        ("group.consumer.session.timeout.ms", "6000".to_owned()),
        ("group.consumer.min.session.timeout.ms", "1000".to_owned()),
        // After kill -9 the controller keeps the dead registration for this long; the default of 9 s doubles a restart.
        ("broker.heartbeat.interval.ms", "500".to_owned()),
        ("broker.session.timeout.ms", "4000".to_owned()),
        // A small machine with a small heap.
        ("num.network.threads", "2".to_owned()),
        ("num.io.threads", "4".to_owned()),
        ("log.cleaner.dedupe.buffer.size", "8388608".to_owned()),
    ];
    let kept = ours.into_iter().filter(|(name, _)| given.iter().all(|(other, _)| other != name));
    let given = given.iter().map(|(name, value)| (name.as_str(), value.clone()));
    kept.chain(given).map(|(name, value)| format!("{name}={value}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_property_replaces_ours() {
        let given =
            vec![("num.io.threads".to_owned(), "9".to_owned()), ("message.max.bytes".to_owned(), "1000".to_owned())];
        let text = properties(1, 2, "/d", &given);
        assert_eq!(text.lines().filter(|line| line.starts_with("num.io.threads=")).count(), 1);
        for line in [
            "num.io.threads=9",
            "message.max.bytes=1000",
            "log.dirs=/d",
            "advertised.listeners=PLAINTEXT://127.0.0.1:1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn cluster_ids_are_what_the_tool_accepts() {
        let id = cluster_id();
        assert_eq!(id.len(), 22);
        assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    }
}
