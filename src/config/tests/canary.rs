//! No secret shows in any message, dump or debug form.

use super::super::*;
use super::{MINIMAL, SURROUNDINGS};

const CANARY: &str = "hunter2";

fn silent(what: &str, shown: &str) {
    assert!(!shown.contains(CANARY) && !shown.contains("canary-env"), "{what} gives a secret away:\n{shown}");
}

const SECRETS: &str = "
connections:
  kafka:
    upstream:
      brokers: [\"h:9092\"]
      sasl: { mechanism: PLAIN, username: u, password: hunter2-a }
      librdkafka: { client.id: x, sasl.oauthbearer.client.secret: hunter2-b, ssl.key.pem: hunter2-c }
    more:
      brokers: [\"h:9092\"]
      tls: { key_password: hunter2-d }
      sasl: { mechanism: PLAIN, username: u, password: \"${PW}\" }
  elasticsearch:
    basic: { nodes: [\"https://h:9200\"], auth: { basic: { username: u, password: hunter2-e } } }
    key: { nodes: [\"https://h:9200\"], auth: { api_key: hunter2-f } }
    bearer: { nodes: [\"https://h:9200\"], auth: { bearer: hunter2-g } }
    url: { nodes: [\"https://u:hunter2-h@h:9200\"] }
  redis:
    l: { url: \"redis://:hunter2-i@h:6379\" }
pipelines:
";

fn with_secrets() -> String {
    let pipelines = ["basic", "key", "bearer", "url"].map(|name| {
        format!(
            "  {name}:\n    source: {{kafka: {{connection: {}, topics: [{name}], group: {name}}}}}\n    steps: [{{lookup: {{redis: l, key: k, into: /x}}}}]\n    sink: {{elasticsearch: {{connection: {name}, index: i}}}}\n",
            if name == "key" { "more" } else { "upstream" }
        )
    });
    format!("{SECRETS}{}", pipelines.concat())
}

const TLS: Surroundings<'static> = Surroundings { tls: true, ..SURROUNDINGS };

#[test]
fn a_valid_configuration_gives_nothing_away() {
    let loaded = load_text(&with_secrets(), "t.yaml", TLS).unwrap_or_else(|findings| panic!("{findings}"));
    silent("Debug of the plan", &format!("{:?}", loaded.plan));
    silent("Debug of what was written", &format!("{:?}", loaded.written));
    silent("Debug of the index", &format!("{:?}", loaded.index));
    silent("JSON", &serde_json::to_string(&loaded.written).unwrap());
    silent("show, text", &show::text(&loaded));
    silent("show, JSON", &show::json(&loaded).to_string());
    assert!(show::text(&loaded).contains("client.id: x"));
    let literal: Vec<_> = loaded
        .warnings
        .iter()
        .filter(|warning| warning.reason.contains("stands in the configuration itself"))
        .collect();
    assert_eq!(literal.len(), 9, "{literal:?}");
    for warning in &loaded.warnings {
        silent("a warning", &format!("{warning} {} {warning:?}", warning.to_json()));
    }
    let hash = loaded.plan.hash;
    let other = load_text(&with_secrets().replace("hunter2-e", "hunter2-z"), "t.yaml", TLS).unwrap().plan.hash;
    assert_eq!(hash, other, "the hash depends on a secret");
}

/// Every single-character damage to a configuration full of secrets: whatever comes out is silent.
#[test]
fn damaged_configurations_give_nothing_away() {
    let text = with_secrets();
    let damages = ["{", "}", "[", "]", "\"", ":", "\n", "\t", "- ", "${", "${PW", "*", "&", "!", "%", "|", "#"];
    let mut refused = 0;
    for (at, _) in text.match_indices(CANARY) {
        for damage in damages {
            for place in [at, at + CANARY.len() + 2, at.saturating_sub(1), at.saturating_sub(9)] {
                let mut broken = text.clone();
                broken.insert_str(place, damage);
                match load_text(&broken, "t.yaml", TLS) {
                    Ok(loaded) => silent("show", &show::text(&loaded)),
                    Err(findings) => {
                        refused += 1;
                        silent(&broken, &findings.to_string());
                        silent("Debug", &format!("{findings:?}"));
                    }
                }
            }
        }
    }
    assert!(refused > 200, "{refused}");
}

#[test]
fn secrets_in_the_wrong_place_give_nothing_away() {
    let base = "{ brokers: [\"127.0.0.1:9092\"] }";
    let search = "{ nodes: [\"http://127.0.0.1:9200\"] }";
    let table = [
        (base, "hunter2"),
        (base, "{ brokers: hunter2 }"),
        (base, "{ brokers: [\"u:hunter2@h:9092\"] }"),
        (base, "{ brokers: [\"h:9092\"], sasl: hunter2 }"),
        (base, "{ brokers: [\"h:9092\"], sasl: {mechanism: hunter2, username: u, password: x} }"),
        (base, "{ brokers: [\"h:9092\"], sasl: {mechanism: PLAIN, username: u, password: [hunter2]} }"),
        (base, "{ brokers: [\"h:9092\"], sasl: {mechanism: PLAIN, username: u, password: {hunter2: x}} }"),
        (base, "{ brokers: [\"h:9092\"], sasl: {mechanism: PLAIN, username: u, passwrd: hunter2} }"),
        (base, "{ brokers: [\"h:9092\"], tls: hunter2 }"),
        (base, "{ brokers: [\"h:9092\"], librdkafka: hunter2 }"),
        (base, "{ brokers: [\"h:9092\"], librdkafka: {sasl.mechanisms: SCRAM-hunter2} }"),
        (search, "{ nodes: [\"u:hunter2@h\"] }"),
        (search, "{ nodes: [\"http://u:hunter2%zz@h\"] }"),
        (search, "{ nodes: [\"http://u:hunter2/x@h\"] }"),
        (search, "{ nodes: [\"http://u:hunter2@\"] }"),
        (search, "{ nodes: [\"http://u:hunter2@h:x\"] }"),
        (search, "{ nodes: hunter2 }"),
        (search, "{ nodes: [\"https://h\"], auth: hunter2 }"),
        (search, "{ nodes: [\"https://h\"], auth: {basic: hunter2} }"),
        (search, "{ nodes: [\"https://h\"], auth: {basic: {username: u, password: {file: x, env: hunter2}}} }"),
        (search, "{ nodes: [\"https://h\"], auth: {bearer: [hunter2]} }"),
        (search, "{ nodes: [\"https://h\"], tls: {verify: hunter2} }"),
        ("pipelines:", "  redis: {l: {url: \"http://:hunter2@h\"}}\npipelines:"),
        ("pipelines:", "  redis: {l: {url: \"redis://:hunter2@h\", timeout: x}}\npipelines:"),
        ("pipelines:", "limits: {span: \"${PW}\"}\npipelines:"),
        ("pipelines:", "limits: {memory: \"${PW}\"}\npipelines:"),
        ("pipelines:", "telemetry: {listen: off}\nwatchdog: \"${PW}\"\npipelines:"),
    ];
    for (from, to) in table {
        let findings = load_text(&MINIMAL.replacen(from, to, 1), "t.yaml", SURROUNDINGS).expect_err(to);
        silent(to, &findings.to_string());
    }
}
