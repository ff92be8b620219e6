//! Kafka connections.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use super::Checker;
use crate::config::pattern::{LEFT_OUT, Pattern};
use crate::config::plan::KafkaConnection;
use crate::config::properties::{TLS_AND_SASL, needs_tls_build, protected};
use crate::config::written::connection::{Kafka, KafkaTls, Mechanism, Sasl, instead_of};
use crate::leaf::secret::{Secret, is_sensitive};
use crate::leaf::tree::join;

const NO_TLS: &str = "this build cannot do TLS or SASL-SCRAM towards Kafka";
const NO_TLS_REMEDY: &str = "use a build with `--features tls` (or `tls-vendored`)";

impl Checker<'_> {
    pub(super) fn kafka_connection_findings(&self, name: &str, kafka: &Kafka) {
        let path = join("connections.kafka", name);
        self.brokers(&format!("{path}.brokers"), &kafka.brokers);
        if let Some(tls) = &kafka.tls {
            self.kafka_tls(&format!("{path}.tls"), tls);
        }
        if let Some(sasl) = &kafka.sasl {
            self.sasl(&format!("{path}.sasl"), sasl, kafka.tls.is_some());
        }
        for (property, value) in &kafka.librdkafka.0.0 {
            self.property(&join(&format!("{path}.librdkafka"), property), property, value, kafka);
        }
    }

    fn brokers(&self, path: &str, brokers: &[String]) {
        if brokers.is_empty() {
            self.error(path, "the list is empty", "write `[\"host:9092\"]`");
        }
        for (number, broker) in brokers.iter().enumerate() {
            let path = format!("{path}[{number}]");
            if broker.contains("://") || broker.contains('@') {
                self.error(
                    &path,
                    "a broker is `host:port`, without a scheme or credentials",
                    "write `host:9092`, and use `tls` and `sasl`",
                );
            } else if broker.contains([',', ';']) {
                self.error(&path, "several brokers in one text", "write a list: `[\"host1:9092\", \"host2:9092\"]`");
            } else if !is_host_and_port(broker) {
                self.error(&path, format!("`{broker}` is not `host:port`"), broker_remedy(broker));
            } else if brokers[..number].contains(broker) {
                self.warn(&path, format!("`{broker}` is listed twice"), "remove one");
            }
        }
    }

    fn kafka_tls(&self, path: &str, tls: &KafkaTls) {
        if !self.surroundings.tls {
            self.error(path, NO_TLS, NO_TLS_REMEDY);
        }
        for (key, file) in [("ca_file", &tls.ca_file), ("cert_file", &tls.cert_file), ("key_file", &tls.key_file)] {
            if let Some(file) = file {
                self.readable(&format!("{path}.{key}"), file);
            }
        }
        if tls.cert_file.is_some() != tls.key_file.is_some() {
            self.error(path, "`cert_file` and `key_file` go together", "give both or neither");
        }
        if let Some(password) = &tls.key_password {
            self.secret(&format!("{path}.key_password"), password);
        }
        if !tls.verify {
            self.warn(
                &format!("{path}.verify"),
                "certificates are not verified: anybody in between can read and change records",
                "give the authority in `ca_file` and leave `verify` out",
            );
        }
    }

    fn sasl(&self, path: &str, sasl: &Sasl, tls: bool) {
        self.secret(&format!("{path}.password"), &sasl.password);
        if sasl.username.trim() != sasl.username || sasl.username.contains(char::is_control) {
            self.error(
                &format!("{path}.username"),
                "begins or ends with a blank, or holds a line end",
                "leave that out; `printf %s …` writes none",
            );
        }
        if sasl.username.is_empty() {
            self.error(&format!("{path}.username"), "is empty", "give the user's name");
        }
        match sasl.mechanism {
            Mechanism::Scram256 | Mechanism::Scram512 if !self.surroundings.tls => {
                self.error(&format!("{path}.mechanism"), NO_TLS, NO_TLS_REMEDY);
            }
            Mechanism::Plain if !tls => {
                self.warn(
                    &format!("{path}.mechanism"),
                    "PLAIN without `tls` sends the password in clear",
                    "add `tls: {}`, or use SCRAM-SHA-512",
                );
            }
            Mechanism::Plain | Mechanism::Scram256 | Mechanism::Scram512 => {}
        }
    }

    fn property(&self, path: &str, property: &str, value: &Secret, kafka: &Kafka) {
        let literal = match value {
            Secret::Literal(text) => Some(text.expose_secret()),
            Secret::Env(_) | Secret::File(_) => None,
        };
        if let Some(protected) = protected(property, literal) {
            return self.error(path, format!("`{property}` cannot be set: {}", protected.why), protected.instead);
        }
        if TLS_AND_SASL.contains(&property) && (kafka.tls.is_some() || kafka.sasl.is_some()) {
            self.error(
                path,
                format!("`{property}` and the `tls` or `sasl` block say the same thing twice"),
                "keep one of them",
            );
        }
        if matches!(property, "sasl.mechanism" | "sasl.mechanisms")
            && let Some(instead) = literal.and_then(instead_of)
            && !kafka.librdkafka.0.names().contains(&"enable.sasl.oauthbearer.unsecure.jwt")
        {
            return self.error(path, "a mechanism that is not built in", instead);
        }
        if property == LEFT_OUT
            && let Some(patterns) = literal
        {
            patterns.split(',').for_each(|pattern| drop(self.accept(path, Pattern::new(pattern))));
        }
        if needs_tls_build(property, literal) && !self.surroundings.tls {
            return self.error(path, NO_TLS, NO_TLS_REMEDY);
        }
        let resolved = if is_sensitive(property) && !property.ends_with(".location") {
            self.secret(path, value)
        } else {
            value
                .resolve(self.surroundings.environment)
                .map_err(|reason| self.error(path, reason, "provide it, or name another"))
                .ok()
        };
        if let Some(value) = resolved
            && let Err(reason) = (self.surroundings.property)(property, value.expose_secret())
        {
            self.error(path, reason, "see librdkafka's CONFIGURATION.md for names and values");
        }
    }

    /// The Kafka connection of a source, sink or dead-letter topic.
    pub(super) fn kafka(&self, path: &str, name: &str) -> Option<KafkaConnection> {
        let kafka = self.named(path, "kafka", name, &self.written.connections.kafka)?;
        let mut properties = BTreeMap::new();
        self.security(kafka, &mut properties)?;
        for (property, value) in &kafka.librdkafka.0.0 {
            let value = self.resolved(value)?;
            properties.insert(property.clone(), if property == LEFT_OUT { plain(&value) } else { value });
        }
        Some(KafkaConnection { name: Arc::from(name), brokers: kafka.brokers.clone(), properties })
    }

    fn security(&self, kafka: &Kafka, properties: &mut BTreeMap<String, SecretString>) -> Option<()> {
        let protocol = match (&kafka.tls, &kafka.sasl) {
            (None, None) => return Some(()),
            (Some(_), None) => "SSL",
            (None, Some(_)) => "SASL_PLAINTEXT",
            (Some(_), Some(_)) => "SASL_SSL",
        };
        let mut set = |name: &str, value: SecretString| properties.insert(name.to_owned(), value);
        set("security.protocol", protocol.into());
        if let Some(tls) = &kafka.tls {
            let files = [
                ("ssl.ca.location", &tls.ca_file),
                ("ssl.certificate.location", &tls.cert_file),
                ("ssl.key.location", &tls.key_file),
            ];
            for (name, file) in files {
                if let Some(file) = file {
                    set(name, path_text(file).into());
                }
            }
            if let Some(password) = &tls.key_password {
                set("ssl.key.password", self.resolved(password)?);
            }
            if !tls.verify {
                set("enable.ssl.certificate.verification", "false".into());
            }
        }
        if let Some(sasl) = &kafka.sasl {
            set("sasl.mechanism", sasl.mechanism.name().into());
            set("sasl.username", sasl.username.as_str().into());
            set("sasl.password", self.resolved(&sasl.password)?);
        }
        Some(())
    }
}

/// Patterns as librdkafka reads them.
fn plain(patterns: &SecretString) -> SecretString {
    let plain = |text: &str| Pattern::new(text).map_or_else(|_| text.to_owned(), |pattern| pattern.plain().to_owned());
    patterns.expose_secret().split(',').map(plain).collect::<Vec<_>>().join(",").into()
}

fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// `host:port`, `1.2.3.4:port` or `[::1]:port`.
/// What to write for a text that is no broker; the text itself only where it is a host without its port.
fn broker_remedy(broker: &str) -> String {
    let host = broker.trim_end_matches(':');
    let with_port = format!("{host}:9092");
    if broker.contains(['"', '\'']) {
        "write it without the quotes inside".to_owned()
    } else if is_host_and_port(&with_port) {
        format!("write `{with_port}`")
    } else if host.parse::<std::net::Ipv6Addr>().is_ok() {
        format!("write `[{host}]:9092`")
    } else {
        "write `host:9092`".to_owned()
    }
}

fn is_host_and_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host_fine = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
        }
    };
    host_fine && port.parse::<u16>().is_ok_and(|port| port > 0)
}

#[cfg(test)]
mod tests {
    use super::is_host_and_port;

    #[test]
    fn hosts() {
        for good in ["a:1", "10.0.0.1:9092", "[::1]:9092", "a-b.c_d:65535"] {
            assert!(is_host_and_port(good), "{good}");
        }
        for bad in ["a", ":9092", "a:0", "a:65536", "a:b", "::1:9092", "[x]:1", "a b:1", "a/b:1"] {
            assert!(!is_host_and_port(bad), "{bad}");
        }
    }
}
