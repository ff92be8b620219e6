//! Names and values of librdkafka's properties, judged by librdkafka itself: offline, before anything runs.

use crate::config::secret::is_sensitive;

/// Whether librdkafka knows the property and takes the value.
///
/// # Errors
/// Its own words, unless they may quote a secret.
pub fn accepted(name: &str, value: &str) -> Result<(), String> {
    let Err(words) = crate::librdkafka::property::accepted(name, value) else { return Ok(()) };
    if let Some(words) = words
        && !is_sensitive(name)
    {
        return Err(format!("librdkafka refuses `{name}`: {words}"));
    }
    Err(format!("librdkafka refuses `{name}`: the name or its value is not accepted"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Surroundings, load_text};

    fn refused(properties: &str) -> String {
        let text = format!(
            "connections:\n  kafka:\n    up:\n      brokers: [\"h:1\"]\n      librdkafka: {{ {properties} }}\npipelines:\n  p:\n    source: {{ kafka: {{ connection: up, topics: [a], group: g }} }}\n    sink: {{ kafka: {{ connection: up, topic: b }} }}\n"
        );
        let surroundings = Surroundings { environment: &|_| None, property: &accepted, tls: true, cores: 2 };
        load_text(&text, "t.yaml", surroundings).err().map(|findings| findings.to_string()).unwrap_or_default()
    }

    #[test]
    fn librdkafka_judges_names_and_values() {
        assert_eq!(refused("fetch.wait.max.ms: 50, client.id: x, debug: broker"), "");
        let unknown = refused("fetch.wait.max.mss: 50");
        assert!(unknown.contains("t.yaml:5:") && unknown.contains("No such configuration property"), "{unknown}");
        let wrong = refused("fetch.wait.max.ms: soon");
        assert!(wrong.contains("connections.kafka.up.librdkafka.\"fetch.wait.max.ms\""), "{wrong}");
    }

    #[test]
    fn refused_secrets_stay_secret() {
        let shown = refused("no.such.password: hunter2, sasl.kerberos.min.time.before.relogin: hunter3");
        assert!(shown.contains("no.such.password") && !shown.contains("hunter2"), "{shown}");
    }
}
