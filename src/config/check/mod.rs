//! As written → as true: names resolved, texts parsed, rules across fields. Reports all findings, not the first.

use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;

use super::expand::Environment;
use super::plan::{PipelinePlan, Plan};
use super::written::Configuration;
use crate::leaf::CheckContext;
use crate::leaf::finding::{Finding, Severity};
use crate::leaf::nearest;
use crate::leaf::tree::{Index, join};
use crate::model::ItemPath;

mod broker;
mod connection;
mod document;
mod overlap;
mod pipeline;
mod search;
mod sink;
mod source;
pub mod test;
mod text;

pub use pipeline::default_workers;

/// Judges a librdkafka property by name and value.
pub type Property<'env> = &'env dyn Fn(&str, &str) -> Result<(), String>;

/// What a check may know about the machine and the build.
#[derive(Clone, Copy)]
pub struct Surroundings<'env> {
    /// Environment variables.
    pub environment: Environment<'env>,
    /// What librdkafka says about a property's name and value: nothing, or why it refuses it, without the value of a
    /// secret.
    pub property: Property<'env>,
    /// Whether this build speaks TLS and SASL-SCRAM to Kafka.
    pub tls: bool,
    /// Cores of the machine.
    pub cores: usize,
}

/// Looks at a configuration and notes what it finds.
pub(super) struct Checker<'run> {
    written: &'run Configuration,
    surroundings: Surroundings<'run>,
    context: CheckContext<'run>,
}

impl<'run> Deref for Checker<'run> {
    type Target = CheckContext<'run>;

    fn deref(&self) -> &Self::Target {
        &self.context
    }
}

impl Checker<'_> {
    /// Finds a connection by name, or says which there are.
    fn named<'found, T>(
        &self,
        path: &str,
        kind: &str,
        name: &str,
        known: &'found super::written::Named<T>,
    ) -> Option<&'found T> {
        let found = known.get(name);
        if found.is_none() {
            self.error(
                path,
                format!("no {kind} connection is named `{name}`"),
                nearest::remedy(name, &known.names(), &format!("connections of {kind}")),
            );
        }
        found
    }
}

/// Checks a configuration. `None` when there are errors among the findings.
pub fn check(written: &Configuration, index: &Index, surroundings: Surroundings<'_>) -> (Option<Plan>, Vec<Finding>) {
    let checker = Checker { written, surroundings, context: CheckContext::new(index) };
    let plan = checker.plan();
    let findings = checker.context.into_findings();
    let failed = findings.iter().any(|finding| finding.severity == Severity::Error);
    (plan.filter(|_| !failed), findings)
}

impl Checker<'_> {
    fn plan(&self) -> Option<Plan> {
        if self.written.version != 1 {
            self.error(
                "version",
                format!("format version {} is not known", self.written.version),
                "write `version: 1`",
            );
        }
        self.names();
        self.connections();
        let listen = self.listen();
        let pipelines: Vec<Option<PipelinePlan>> =
            self.written.pipelines.0.iter().map(|(name, pipeline)| self.pipeline(name, pipeline)).collect();
        self.process();
        let right: Vec<&PipelinePlan> = pipelines.iter().flatten().collect();
        let tests = test::check(&self.written.tests, &self.written.pipelines.names(), &right, self);
        let pipelines: Vec<PipelinePlan> = pipelines.into_iter().collect::<Option<_>>()?;
        self.overlaps(&pipelines);
        Some(Plan {
            pipelines,
            listen: listen?,
            memory_bytes: usize::try_from(self.written.limits.memory.0).unwrap_or(usize::MAX),
            startup_timeout: self.written.startup.timeout.0,
            shutdown_timeout: self.written.shutdown.timeout.0,
            watchdog_timeout: self.written.watchdog.timeout.0,
            tests,
            hash: hash(self.written),
        })
    }

    /// Names end up in metrics, paths and headers.
    fn names(&self) {
        let connections = &self.written.connections;
        let sections = [
            ("connections.kafka", connections.kafka.names()),
            ("connections.elasticsearch", connections.elasticsearch.names()),
            ("connections.redis", connections.redis.names()),
            ("pipelines", self.written.pipelines.names()),
        ];
        for (section, names) in sections {
            for name in names {
                let fine = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
                if !fine || name.is_empty() || name.len() > 64 {
                    let remedy = "use 1 to 64 letters, digits, `_`, `-` or `.`: names end up in metrics and headers";
                    self.error(&join(section, name), "this cannot be a name", remedy);
                }
            }
        }
        if self.written.pipelines.0.is_empty() {
            self.error("pipelines", "no pipeline is defined", "add one; `sluicegate init` writes a commented example");
        }
    }

    /// `None`: not an address. `Some(None)`: listens nowhere.
    fn listen(&self) -> Option<Option<SocketAddr>> {
        let path = "telemetry.listen";
        let text = self.written.telemetry.listen.trim();
        if text == "off" {
            return Some(None);
        }
        if let Ok(address) = text.parse() {
            return Some(Some(address));
        }
        let port = text.rsplit(':').next().and_then(|port| port.parse::<u16>().ok());
        let remedy = match (text, port) {
            (text, Some(port)) if text.starts_with(':') => {
                format!("write `0.0.0.0:{port}` for all addresses, or `127.0.0.1:{port}`")
            }
            (text, None) if text.parse::<IpAddr>().is_ok() => "add a port: `127.0.0.1:9598`".to_owned(),
            (_, Some(port)) => {
                format!("names are not looked up: write `127.0.0.1:{port}`, `[::1]:{port}` or `0.0.0.0:{port}`")
            }
            (_, None) => "write an address and a port, such as `127.0.0.1:9598`, or `off`".to_owned(),
        };
        self.error(path, format!("`{text}` is not an address and a port"), remedy);
        None
    }

    fn process(&self) {
        let written = self.written;
        let waits = [
            ("startup.timeout", written.startup.timeout),
            ("shutdown.timeout", written.shutdown.timeout),
            ("watchdog.timeout", written.watchdog.timeout),
        ];
        for (path, wait) in waits {
            if wait.0.is_zero() {
                self.error(path, "must be longer than 0", "give it a duration such as `30s`");
            }
        }
        if written.limits.span == 0 {
            self.error("limits.span", "must be at least 1", "leave it out for the default of 200000");
        }
        if written.limits.value.0 == 0 {
            self.error("limits.value", "must be more than 0", "leave it out for the default of 16MiB");
        }
        if written.limits.items == 0 || written.limits.items > ItemPath::MOST {
            let most = ItemPath::MOST;
            self.error("limits.items", format!("must be from 1 to {most}"), "leave it out for the default of 10000");
        }
        let watchdog = written.watchdog.timeout.0;
        for (name, pipeline) in &written.pipelines.0 {
            if !watchdog.is_zero() && pipeline.retry.in_place.0 >= watchdog {
                let path = format!("{}.retry.in_place", join("pipelines", name));
                self.warn(
                    &path,
                    format!(
                        "is not below `watchdog.timeout` ({}), which may end the process first",
                        written.watchdog.timeout
                    ),
                    "raise `watchdog.timeout` or lower `retry.in_place`",
                );
            }
        }
    }
}

/// Of the configuration with secrets masked, so that it gives nothing away. Runs of different machines and versions are
/// compared by it, hence a hash that is the same everywhere: FNV-1a, 64 bits.
fn hash(written: &Configuration) -> String {
    let text = serde_json::to_string(written).unwrap_or_default();
    format!("{:016x}", fnv1a(text.as_bytes()))
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::fnv1a;

    #[test]
    fn the_hash_is_the_same_everywhere() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
