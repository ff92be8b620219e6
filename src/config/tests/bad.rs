//! A table of wrong configurations: each is refused, and the message names file, line and key.

use super::super::*;
use super::{MINIMAL, SURROUNDINGS};

/// What is replaced in the minimal configuration, by what; then line, key path, and a part of reason or remedy.
type Row = (&'static str, &'static str, u64, &'static str, &'static str);

fn findings(text: &str) -> Findings {
    load_text(text, "t.yaml", SURROUNDINGS).err().unwrap_or_else(|| panic!("accepted:\n{text}"))
}

fn check(rows: &[Row]) {
    for (from, to, line, path, part) in rows {
        assert!(MINIMAL.contains(from), "the row's anchor is gone: {from}");
        let found = findings(&MINIMAL.replacen(from, to, 1));
        let hit = found.0.iter().find(|finding| finding.path == *path && finding.to_string().contains(part));
        let hit = hit.unwrap_or_else(|| panic!("{to}\nexpected `{path}` with `{part}`, found:\n{found}"));
        assert_eq!(hit.severity, Severity::Error, "{hit}");
        match &hit.origin {
            tree::Origin::File { file, line: found, .. } => {
                assert_eq!((file.as_ref(), *found), ("t.yaml", *line), "{hit}")
            }
            tree::Origin::Set(_) | tree::Origin::Default => panic!("no place: {hit}"),
        }
        assert!(hit.remedy.as_ref().is_some_and(|remedy| !remedy.is_empty()), "no remedy: {hit}");
    }
}

const KAFKA: &str = "{ brokers: [\"127.0.0.1:9092\"] }";
const SEARCH: &str = "{ nodes: [\"http://127.0.0.1:9200\"] }";
const SOURCE: &str = "{ connection: upstream, topics: [events], group: index }";
const SINK: &str = "elasticsearch: { connection: search, index: items }";

#[test]
fn numbers() {
    let row = |to: &'static str, part: &'static str| ("    sink:", to, 13, part);
    for (_, to, line, part) in [
        row(
            "    steps: [{where: [{field: /n, less_than: 1e400}]}]\n    sink:",
            "`1e400` is beyond the range of a double",
        ),
        row("    steps: [{where: [{field: /n, less_than: -1e999}]}]\n    sink:", "beyond the range of a double"),
        row("    steps: [{where: [{field: /n, less_than: .inf}]}]\n    sink:", "expected a number"),
        row("    steps: [{where: [{field: /n, less_than: nan}]}]\n    sink:", "expected a number"),
        row("    steps: [{where: [{field: /n, less_than: 1_000}]}]\n    sink:", "expected a number"),
        row("    steps: [{where: [{field: /n, less_than: 1:20}]}]\n    sink:", "expected a number"),
        row("    steps: [{where: [{field: /n, less_than: \"5\"}]}]\n    sink:", "without quotes"),
    ] {
        check(&[("    sink:", to, line, "pipelines.index.steps[0].where[0].less_than", part)]);
    }
    check(&[
        ("pipelines:", "limits: {span: 1e400}\npipelines:", 9, "limits.span", "0 or more"),
        ("pipelines:", "limits: {span: 16e94057}\npipelines:", 9, "limits.span", "0 or more"),
        ("group: index", "group: ~", 12, "pipelines.index.source.kafka.group", "YAML's null"),
        ("group: index", "group: null", 12, "pipelines.index.source.kafka.group", "\"null\""),
    ]);
}

#[test]
fn log_ins_and_addresses() {
    let kafka = |to: &'static str, line: u64, path: &'static str, part: &'static str| {
        check(&[(KAFKA, to, line, path, part)]);
    };
    let sasl = "connections.kafka.upstream.sasl.mechanism";
    for (to, part) in [
        (
            "{ brokers: [\"h:1\"], sasl: { mechanism: OAUTHBEARER, username: u, password: p } }",
            "SCRAM-SHA-512 or PLAIN",
        ),
        ("{ brokers: [\"h:1\"], sasl: { mechanism: OAUTHBEARER } }", "not built in"),
        ("{ brokers: [\"h:1\"], sasl: { mechanism: GSSAPI, username: u, password: p } }", "client certificate"),
        ("{ brokers: [\"h:1\"], sasl: { mechanism: AWS_MSK_IAM } }", "SCRAM secret"),
        ("{ brokers: [\"h:1\"], sasl: { mechanism: SCRAM-SHA-51, username: u, password: p } }", "SCRAM-SHA-512"),
    ] {
        kafka(to, 5, sasl, part);
    }
    kafka(
        "{ brokers: [\"h:1\"], librdkafka: { sasl.mechanisms: GSSAPI, security.protocol: SASL_PLAINTEXT } }",
        5,
        "connections.kafka.upstream.librdkafka.\"sasl.mechanisms\"",
        "not built in",
    );
    kafka(
        "{ brokers: [\"h:1\"], librdkafka: { topic.blacklist: \"^a,^(?!b)\" } }",
        5,
        "connections.kafka.upstream.librdkafka.\"topic.blacklist\"",
        "look-aheads",
    );
    kafka(
        "{ brokers: [\"h:1\"], librdkafka: { ssl.key.password: \"hunter2\\n\" } }",
        5,
        "connections.kafka.upstream.librdkafka.\"ssl.key.password\"",
        "TLS",
    );
    for (url, part) in [("redis://:a/b@h", "%2F"), ("redis://:a#b@h", "%23"), ("rediss://h?ca=x", "ignored")] {
        let text = MINIMAL.replace("pipelines:", &format!("  redis: {{ r: {{ url: \"{url}\" }} }}\npipelines:"));
        let found = findings(&text).to_string();
        assert!(found.contains("connections.redis.r.url") && found.contains(part), "{found}");
        assert!(!found.contains("a/b") && !found.contains("a#b"), "{found}");
    }
    for secret in ["\"hunter2\\n\"", "\"hunter2\\r\"", "\"hun\\nter2\"", "|\n        hunter2\n"] {
        let to = format!("{{ nodes: [\"https://h:9200\"], auth: {{ api_key: {secret} }} }}");
        let to = if secret.starts_with('|') {
            "\n      nodes: [\"https://h:9200\"]\n      auth:\n        api_key: |\n          hunter2\n".to_owned()
        } else {
            to
        };
        let found = findings(&MINIMAL.replace(SEARCH, &to)).to_string();
        assert!(found.contains("auth.api_key") && found.contains("line end"), "{secret}: {found}");
        assert!(!found.contains("hunter2"), "{found}");
    }
}

#[test]
fn forms() {
    check(&[
        ("pipelines:", "pipeline:", 9, "pipeline", "did you mean `pipelines`"),
        ("pipelines:", "version: 2\npipelines:", 9, "version", "`version: 1`"),
        ("pipelines:", "version: one\npipelines:", 9, "version", "whole number"),
        ("pipelines:", "limits: {memroy: 1GiB}\npipelines:", 9, "limits.memroy", "did you mean `memory`"),
        ("pipelines:", "limits: {memory: 5M}\npipelines:", 9, "limits.memory", "`5MiB`"),
        ("pipelines:", "limits: {memory: lots}\npipelines:", 9, "limits.memory", "a size such as"),
        ("pipelines:", "limits: {span: -1}\npipelines:", 9, "limits.span", "0 or more"),
        ("pipelines:", "limits: {span: 0}\npipelines:", 9, "limits.span", "at least 1"),
        ("pipelines:", "limits: {value: 0B}\npipelines:", 9, "limits.value", "more than 0"),
        ("pipelines:", "limits: [1]\npipelines:", 9, "limits", "a map with"),
        ("pipelines:", "startup: {timeout: 30}\npipelines:", 9, "startup.timeout", "`30s`"),
        ("pipelines:", "startup: {timeout: 0}\npipelines:", 9, "startup.timeout", "longer than 0"),
        ("pipelines:", "shutdown: {timeout: soon}\npipelines:", 9, "shutdown.timeout", "a duration such as"),
        ("pipelines:", "watchdog: {timeout: 0s}\npipelines:", 9, "watchdog.timeout", "longer than 0"),
        ("pipelines:", "watchdog: 10m\npipelines:", 9, "watchdog", "a map with `timeout`"),
        ("pipelines:", "telemetry: {listen: localhost:9598}\npipelines:", 9, "telemetry.listen", "`127.0.0.1:9598`"),
        ("pipelines:", "telemetry: {listen: \":9598\"}\npipelines:", 9, "telemetry.listen", "`0.0.0.0:9598`"),
        ("pipelines:", "telemetry: {listen: 127.0.0.1}\npipelines:", 9, "telemetry.listen", "add a port"),
        (
            "pipelines:",
            "telemetry: {listen: \"127.0.0.1:99999\"}\npipelines:",
            9,
            "telemetry.listen",
            "an address and a port",
        ),
        ("pipelines:", "telemetry: {port: 1}\npipelines:", 9, "telemetry.port", "known here: `listen`"),
        ("pipelines:", "tests: {name: x}\npipelines:", 9, "tests", "a list"),
        (
            "pipelines:",
            "tests: [{name: x, pipeline: inedx, input: {}, expect: {}}]\npipelines:",
            9,
            "tests[0].pipeline",
            "did you mean `index`",
        ),
        (
            "pipelines:",
            "tests: [{name: x, pipeline: index, input: 5, expect: {}}]\npipelines:",
            9,
            "tests[0].input",
            "expected a map with `value`",
        ),
        (
            "pipelines:",
            "tests: [{name: x, pipeline: index, input: {}}]\npipelines:",
            9,
            "tests[0]",
            "`expect` is missing",
        ),
        (
            "pipelines:",
            "tests: [{name: x, pipeline: index, input: {}, expect: {}}, {name: x, pipeline: index, input: {}, expect: {}}]\npipelines:",
            9,
            "tests[1].name",
            "two tests",
        ),
        ("  index:", "  \"in dex\":", 10, "pipelines.\"in dex\"", "cannot be a name"),
        ("pipelines:", "version: ${NONE}\npipelines:", 9, "version", "`NONE` is not set"),
        ("pipelines:", "version: \"${NONE:?ask ops}\"\npipelines:", 9, "version", "ask ops"),
        ("pipelines:", "version: ${\npipelines:", 9, "version", "closing brace"),
        ("pipelines:", "version: ${WORD}\npipelines:", 9, "version", "`${WORD}`"),
    ]);
}

#[test]
fn kafka_connections() {
    check(&[
        (KAFKA, "{}", 5, "connections.kafka.upstream", "`brokers` is missing"),
        (KAFKA, "{ brokers: [] }", 5, "connections.kafka.upstream.brokers", "empty"),
        (KAFKA, "{ brokers: h }", 5, "connections.kafka.upstream.brokers", "a list"),
        (KAFKA, "{ brokers: \"h:9092, g\" }", 5, "connections.kafka.upstream.brokers[1]", "host:port"),
        (KAFKA, "{ brokers: [\"h\"] }", 5, "connections.kafka.upstream.brokers[0]", "`h:9092`"),
        (KAFKA, "{ brokers: \"\" }", 5, "connections.kafka.upstream.brokers", "the text is empty"),
        (KAFKA, "{ brokers: \" , \" }", 5, "connections.kafka.upstream.brokers", "`host1:9092,host2:9092`"),
        (KAFKA, "{ brokers: \"${EMPTY}\" }", 5, "connections.kafka.upstream.brokers", "variable `EMPTY` is empty"),
        (KAFKA, "{ brokers: [\"${EMPTY}\"] }", 5, "connections.kafka.upstream.brokers", "variable `EMPTY` is empty"),
        (
            KAFKA,
            "{ brokers: \"${NOWHERE:- }\" }",
            5,
            "connections.kafka.upstream.brokers",
            "variable `NOWHERE` is empty",
        ),
        (KAFKA, "{ brokers: \"a,b\" }", 5, "connections.kafka.upstream.brokers", "no `host:port`"),
        (KAFKA, "{ brokers: [\"a:1;b:2\"] }", 5, "connections.kafka.upstream.brokers[0]", "write a list"),
        (KAFKA, "{ brokers: ['\"h:9092\"'] }", 5, "connections.kafka.upstream.brokers[0]", "without the quotes"),
        (KAFKA, "{ brokers: [\"h:\"] }", 5, "connections.kafka.upstream.brokers[0]", "`h:9092`"),
        (KAFKA, "{ brokers: [\"h:port\"] }", 5, "connections.kafka.upstream.brokers[0]", "write `host:9092`"),
        (KAFKA, "{ brokers: [\"::1\"] }", 5, "connections.kafka.upstream.brokers[0]", "`[::1]:9092`"),
        (KAFKA, "{ brokers: [\"[::1]\"] }", 5, "connections.kafka.upstream.brokers[0]", "`[::1]:9092`"),
        (KAFKA, "{ brokers: [\"h:1\", \"h:0\"] }", 5, "connections.kafka.upstream.brokers[1]", "host:port"),
        (KAFKA, "{ brokers: [\"kafka://h:9092\"] }", 5, "connections.kafka.upstream.brokers[0]", "without a scheme"),
        (KAFKA, "{ brokers: [\"a:9092,b:9092\"] }", 5, "connections.kafka.upstream.brokers[0]", "write a list"),
        (KAFKA, "{ borkers: [\"h:9092\"] }", 5, "connections.kafka.upstream.borkers", "did you mean `brokers`"),
        (KAFKA, "{ brokers: [\"h:9092\"], tls: {} }", 5, "connections.kafka.upstream.tls", "--features tls"),
        (KAFKA, "{ brokers: [\"h:9092\"], tls: true }", 5, "connections.kafka.upstream.tls", "a map with"),
        (
            KAFKA,
            "{ brokers: [\"h:9092\"], tls: {ca_file: /none/ca.pem} }",
            5,
            "connections.kafka.upstream.tls.ca_file",
            "cannot be read",
        ),
        (
            KAFKA,
            "{ brokers: [\"h:9092\"], tls: {cert_file: /dev/null} }",
            5,
            "connections.kafka.upstream.tls",
            "go together",
        ),
        (
            KAFKA,
            "{ brokers: [\"h:9092\"], sasl: {mechanism: SCRAM-SHA-512, username: u, password: {env: PW}} }",
            5,
            "connections.kafka.upstream.sasl.mechanism",
            "--features tls",
        ),
        (
            KAFKA,
            "{ brokers: [\"h:9092\"], sasl: {mechanism: SCRAM, username: u, password: {env: PW}} }",
            5,
            "connections.kafka.upstream.sasl.mechanism",
            "`SCRAM-SHA-512`",
        ),
        (
            KAFKA,
            "{ brokers: [\"h:9092\"], sasl: {mechanism: PLAIN, username: u, password: {env: NONE}} }",
            5,
            "connections.kafka.upstream.sasl.password",
            "`NONE` is not set",
        ),
        (
            KAFKA,
            "{ brokers: [\"h:9092\"], sasl: {mechanism: PLAIN, username: u, password: {file: /none/pw}} }",
            5,
            "connections.kafka.upstream.sasl.password",
            "cannot be read",
        ),
        (
            KAFKA,
            "{ brokers: [\"h:9092\"], sasl: {mechanism: PLAIN, username: u} }",
            5,
            "connections.kafka.upstream.sasl",
            "`password` is missing",
        ),
        (
            KAFKA,
            "{ brokers: [\"h:9092\"], sasl: {mechanism: PLAIN, username: u, password: {vault: x}} }",
            5,
            "connections.kafka.upstream.sasl.password",
            "{ env: NAME }",
        ),
        (
            KAFKA,
            "{ brokers: [\"h:9092\"], sasl: {mechanism: PLAIN, username: u, password: {env: EMPTY}} }",
            5,
            "connections.kafka.upstream.sasl.password",
            "empty",
        ),
    ]);
}

#[test]
fn librdkafka_properties() {
    let table = [
        "enable.auto.commit: true",
        "enable.auto.offset.store: true",
        "auto.commit.interval.ms: 5000",
        "auto.offset.reset: latest",
        "enable.partition.eof: true",
        "acks: 1",
        "request.required.acks: 0",
        "message.timeout.ms: 1000",
        "delivery.timeout.ms: 1000",
        "enable.idempotence: false",
        "max.in.flight: 10",
        "retries: 0",
        "transactional.id: x",
        "isolation.level: read_uncommitted",
        "group.id: other",
        "bootstrap.servers: \"h:1\"",
        "metadata.broker.list: \"h:1\"",
        "session.timeout.ms: 6000",
        "heartbeat.interval.ms: 1",
        "partition.assignment.strategy: range",
        "group.protocol: consumer",
        "rebalance_cb: x",
        "plugin.library.paths: x",
        "queued.max.messages.kbytes: 1",
        "fetch.max.bytes: 1",
        "max.partition.fetch.bytes: 1",
        "queue.buffering.max.messages: 1",
        "linger.ms: 1",
        "compression.type: gzip",
        "partitioner: random",
        "statistics.interval.ms: 1",
        "ssl.ca.location: /x",
        "security.protocol: SASL_SSL",
        "sasl.mechanisms: SCRAM-SHA-256",
    ];
    for property in table {
        let name = property.split(':').next().unwrap();
        let text = MINIMAL.replacen(KAFKA, &format!("{{ brokers: [\"h:9092\"], librdkafka: {{ {property} }} }}"), 1);
        let path = tree::join("connections.kafka.upstream.librdkafka", name);
        let found = findings(&text);
        let hit = found.0.iter().find(|finding| finding.path == path).unwrap_or_else(|| panic!("{property}: {found}"));
        assert_eq!(hit.origin.to_string().split(':').nth(1), Some("5"), "{hit}");
        assert!(hit.reason.len() > name.len() + 20 && hit.remedy.is_some(), "{hit}");
    }
}

#[test]
fn search_and_redis_connections() {
    check(&[
        (SEARCH, "{ nodes: [] }", 7, "connections.elasticsearch.search.nodes", "empty"),
        (SEARCH, "{ nodes: [\"h:9200\"] }", 7, "connections.elasticsearch.search.nodes[0]", "scheme is missing"),
        (
            SEARCH,
            "{ nodes: [\"ftp://h\"] }",
            7,
            "connections.elasticsearch.search.nodes[0]",
            "neither `http` nor `https`",
        ),
        (SEARCH, "{ nodes: [\"http://h:9200?x=1\"] }", 7, "connections.elasticsearch.search.nodes[0]", "no query"),
        (
            SEARCH,
            "{ nodes: \"http://a:9200,b:9200\" }",
            7,
            "connections.elasticsearch.search.nodes[0]",
            "several nodes",
        ),
        (SEARCH, "{ nodes: [\"http://a:9200;b:9200\"] }", 7, "connections.elasticsearch.search.nodes[0]", "its scheme"),
        (SEARCH, "{ nodes: \"${EMPTY}\" }", 7, "connections.elasticsearch.search.nodes", "variable `EMPTY` is empty"),
        (
            SOURCE,
            "{ connection: upstream, topics: \"${EMPTY}\", group: index }",
            12,
            "pipelines.index.source.kafka.topics",
            "variable `EMPTY` is empty",
        ),
        (SEARCH, "{ nodes: h }", 7, "connections.elasticsearch.search.nodes", "no URL"),
        (SEARCH, "{ nodes: [\"http://h:port\"] }", 7, "connections.elasticsearch.search.nodes[0]", "port"),
        (
            SEARCH,
            "{ nodes: [\"http://u:p@h\", \"http://u:q@h2\"] }",
            7,
            "connections.elasticsearch.search.nodes[0]",
            "different credentials",
        ),
        (
            SEARCH,
            "{ nodes: [\"http://u:p@h\"], auth: {api_key: {env: PW}} }",
            7,
            "connections.elasticsearch.search.nodes[0]",
            "here and in `auth`",
        ),
        (
            SEARCH,
            "{ nodes: [\"http://h\"], request_timeout: 0 }",
            7,
            "connections.elasticsearch.search.request_timeout",
            "longer than 0",
        ),
        (
            SEARCH,
            "{ nodes: [\"http://h\"], server: elasticsearch-5 }",
            7,
            "connections.elasticsearch.search.server",
            "did you mean",
        ),
        (
            SEARCH,
            "{ nodes: [\"http://h\"], auth: {basic: {username: u}} }",
            7,
            "connections.elasticsearch.search.auth.basic",
            "`password` is missing",
        ),
        (
            SEARCH,
            "{ nodes: [\"http://h\"], auth: {apikey: x} }",
            7,
            "connections.elasticsearch.search.auth.apikey",
            "did you mean `api_key`",
        ),
        (
            SEARCH,
            "{ nodes: [\"http://h\"], auth: {basic: {username: u, password: {env: PW}}, bearer: {env: PW}} }",
            7,
            "connections.elasticsearch.search.auth",
            "exactly one of",
        ),
        (
            SEARCH,
            "{ nodes: [\"https://h\"], tls: {ca_file: /none/x} }",
            7,
            "connections.elasticsearch.search.tls.ca_file",
            "cannot be read",
        ),
        (
            "pipelines:",
            "  redis: {l: {url: \"127.0.0.1:6379\"}}\npipelines:",
            9,
            "connections.redis.l.url",
            "redis://host:6379",
        ),
        ("pipelines:", "  redis: {l: {url: \"redis://\"}}\npipelines:", 9, "connections.redis.l.url", "names no host"),
        ("pipelines:", "  redis: {l: {}}\npipelines:", 9, "connections.redis.l", "`url` is missing"),
        ("pipelines:", "  redis: {l: {url: {env: NONE}}}\npipelines:", 9, "connections.redis.l.url", "not set"),
    ]);
}

#[test]
fn sources() {
    check(&[
        (
            SOURCE,
            "{ connection: upstraem, topics: [events], group: index }",
            12,
            "pipelines.index.source.kafka.connection",
            "did you mean `upstream`",
        ),
        (
            SOURCE,
            "{ connection: upstream, topics: [events] }",
            12,
            "pipelines.index.source.kafka",
            "`group` is missing",
        ),
        (
            SOURCE,
            "{ connection: upstream, topics: [events], group: \"\" }",
            12,
            "pipelines.index.source.kafka.group",
            "empty",
        ),
        (
            SOURCE,
            "{ connection: upstream, topics: [], group: index }",
            12,
            "pipelines.index.source.kafka.topics",
            "empty",
        ),
        (
            SOURCE,
            "{ connection: upstream, topic: events, group: index }",
            12,
            "pipelines.index.source.kafka.topic",
            "did you mean `topics`",
        ),
        (
            SOURCE,
            "{ connection: upstream, topics: [\"a,b\"], group: index }",
            12,
            "pipelines.index.source.kafka.topics[0]",
            "`[a, b]`",
        ),
        (
            SOURCE,
            "{ connection: upstream, topics: ['a-\\d+'], group: index }",
            12,
            "pipelines.index.source.kafka.topics[0]",
            "`^a-\\d+`",
        ),
        (
            SOURCE,
            "{ connection: upstream, topics: ['(a|b)'], group: index }",
            12,
            "pipelines.index.source.kafka.topics[0]",
            "start with `^`",
        ),
        (
            SOURCE,
            "{ connection: upstream, topics: [\"a-*\"], group: index }",
            12,
            "pipelines.index.source.kafka.topics[0]",
            "`^a-.*$`",
        ),
        (
            SOURCE,
            "{ connection: upstream, topics: [\"a b\"], group: index }",
            12,
            "pipelines.index.source.kafka.topics[0]",
            "cannot be part",
        ),
        (
            SOURCE,
            "{ connection: upstream, topics: [\"^a(\"], group: index }",
            12,
            "pipelines.index.source.kafka.topics[0]",
            "without its `)`",
        ),
        (
            SOURCE,
            "{ connection: upstream, topics: [\"{key}\"], group: index }",
            12,
            "pipelines.index.source.kafka.topics[0]",
            "not templates",
        ),
        (
            SOURCE,
            "{ connection: upstream, topics: [events], group: index, start: earlest }",
            12,
            "pipelines.index.source.kafka.start",
            "did you mean `earliest`",
        ),
        (
            SOURCE,
            "{ connection: upstream, topics: [events], group: index, session_timeout: 1s }",
            12,
            "pipelines.index.source.kafka.session_timeout",
            "from 6s",
        ),
        (
            SOURCE,
            "{ connection: upstream, topics: [events], group: index, revoke_timeout: 50s }",
            12,
            "pipelines.index.source.kafka.revoke_timeout",
            "below `session_timeout`",
        ),
        (
            SOURCE,
            "{ connection: upstream, topics: [events], group: index, instance_id: \"\" }",
            12,
            "pipelines.index.source.kafka.instance_id",
            "empty",
        ),
        ("      kafka: {", "      kafak: {", 12, "pipelines.index.source.kafak", "did you mean `kafka`"),
        ("    source:\n", "    source: []\n    x:\n", 11, "pipelines.index.source", "one of `kafka`"),
    ]);
}

#[test]
fn sinks() {
    check(&[
        (
            SINK,
            "elasticsearch: { connection: serach, index: items }",
            14,
            "pipelines.index.sink.elasticsearch.connection",
            "did you mean `search`",
        ),
        (SINK, "elasticsearch: { connection: search }", 14, "pipelines.index.sink.elasticsearch", "`index` is missing"),
        (
            SINK,
            "elasticserch: { connection: search, index: items }",
            14,
            "pipelines.index.sink.elasticserch",
            "did you mean `elasticsearch`",
        ),
        (
            SINK,
            "elasticsearch: { connection: search, index: Items }",
            14,
            "pipelines.index.sink.elasticsearch.index",
            "write `items`",
        ),
        (
            SINK,
            "elasticsearch: { connection: search, index: \"a b\" }",
            14,
            "pipelines.index.sink.elasticsearch.index",
            "cannot be part",
        ),
        (
            SINK,
            "elasticsearch: { connection: search, index: _items }",
            14,
            "pipelines.index.sink.elasticsearch.index",
            "cannot start",
        ),
        (
            SINK,
            "elasticsearch: { connection: search, index: \"\" }",
            14,
            "pipelines.index.sink.elasticsearch.index",
            "empty",
        ),
        (
            SINK,
            "elasticsearch: { connection: search, index: \"{day}\" }",
            14,
            "pipelines.index.sink.elasticsearch.index",
            "unknown placeholder",
        ),
        (
            SINK,
            "elasticsearch: { connection: search, index: \"a-{timestamp:%!}\" }",
            14,
            "pipelines.index.sink.elasticsearch.index",
            "strftime",
        ),
        (
            SINK,
            "elasticsearch: { connection: search, index: items, id: fixed }",
            14,
            "pipelines.index.sink.elasticsearch.id",
            "same for every record",
        ),
        (
            SINK,
            "elasticsearch: { connection: search, index: items, id: \"{topic}-{partition}\" }",
            14,
            "pipelines.index.sink.elasticsearch.id",
            "same for every record of a partition",
        ),
        (
            SINK,
            "elasticsearch: { connection: search, index: items, id: \"{topic:lower}\" }",
            14,
            "pipelines.index.sink.elasticsearch.id",
            "same for every record of a partition",
        ),
        (
            SINK,
            "elasticsearch: { connection: search, index: \"items-{timestamp:yyyy.MM.dd}\" }",
            14,
            "pipelines.index.sink.elasticsearch.index",
            "is the same for every time",
        ),
        (
            SINK,
            "elasticsearch: { connection: search, index: items, id: \"{.id}\" }",
            14,
            "pipelines.index.sink.elasticsearch.id",
            "write `{/id}`",
        ),
        (
            SINK,
            "elasticsearch: { connection: search, index: items, id: \"{/id\" }",
            14,
            "pipelines.index.sink.elasticsearch.id",
            "without its `}`",
        ),
        (
            SINK,
            "elasticsearch: { connection: search, index: items, routing: \"{key|x}\" }",
            14,
            "pipelines.index.sink.elasticsearch.routing",
            "only pointers",
        ),
        (
            SINK,
            "elasticsearch: { connection: search, index: items, action: upsrt }",
            14,
            "pipelines.index.sink.elasticsearch.action",
            "did you mean `upsert`",
        ),
        (
            SINK,
            "elasticsearch: { connection: search, index: items, id: \"{key}\", version: offset }",
            14,
            "pipelines.index.sink.elasticsearch.version",
            "`action: index`",
        ),
        (
            SINK,
            "elasticsearch: { connection: search, index: items, action: create, version: timestamp }",
            14,
            "pipelines.index.sink.elasticsearch.version",
            "not with `create`",
        ),
        (
            SINK,
            "elasticsearch: { connection: search, index: items, action: index, version: {pointer: v} }",
            14,
            "pipelines.index.sink.elasticsearch.version.pointer",
            "write `/v`",
        ),
        (
            SINK,
            "elasticsearch: { connection: search, index: items, action: index, version: header }",
            14,
            "pipelines.index.sink.elasticsearch.version",
            "needs a value",
        ),
        (
            SINK,
            "elasticsearch: { connection: search, index: items, id: \"{/id}\", on_tombstone: delete }",
            14,
            "pipelines.index.sink.elasticsearch.on_tombstone",
            "`id` of this sink",
        ),
        (
            SINK,
            "elasticsearch: { connection: search, index: \"{/i}\", on_tombstone: delete }",
            14,
            "pipelines.index.sink.elasticsearch.on_tombstone",
            "`index`",
        ),
        (
            SINK,
            "elasticsearch: { connection: search, index: items, routing: \"{/r}\", on_tombstone: delete }",
            14,
            "pipelines.index.sink.elasticsearch.on_tombstone",
            "`routing`",
        ),
        (
            SINK,
            "elasticsearch: { connection: search, index: items, lanes: 0 }",
            14,
            "pipelines.index.sink.elasticsearch.lanes",
            "from 1 to 64",
        ),
        (
            SINK,
            "elasticsearch: { connection: search, index: items, concurrency: 4 }",
            14,
            "pipelines.index.sink.elasticsearch.concurrency",
            "adaptive",
        ),
        (
            SINK,
            "elasticsearch: { connection: search, index: items, lanes: many }",
            14,
            "pipelines.index.sink.elasticsearch.lanes",
            "found `many`",
        ),
        (
            SINK,
            "elasticsearch: { connection: search, index: items, lanes: \"4\" }",
            14,
            "pipelines.index.sink.elasticsearch.lanes",
            "whole number",
        ),
        (
            SINK,
            "elasticsearch: { connection: search, index: items, batch: {records: 0} }",
            14,
            "pipelines.index.sink.elasticsearch.batch.records",
            "from 1",
        ),
        (
            SINK,
            "elasticsearch: { connection: search, index: items, batch: {bytes: 1GiB} }",
            14,
            "pipelines.index.sink.elasticsearch.batch.bytes",
            "100MiB",
        ),
        (
            SINK,
            "elasticsearch: { connection: search, index: items, batch: {linger: 5m} }",
            14,
            "pipelines.index.sink.elasticsearch.batch.linger",
            "longer than 1m",
        ),
        (
            SINK,
            "elasticsearch: { connection: search, index: items, batch: {lingr: 5ms} }",
            14,
            "pipelines.index.sink.elasticsearch.batch.lingr",
            "did you mean `linger`",
        ),
        (
            SINK,
            "elasticsearch: { connection: search, index: items, require_alias: yes }",
            14,
            "pipelines.index.sink.elasticsearch.require_alias",
            "true or false, found `yes`",
        ),
        (
            SINK,
            "elasticsearch: { connection: search, index: items, type: _x }",
            14,
            "pipelines.index.sink.elasticsearch.type",
            "mapping type",
        ),
        (
            SINK,
            "elasticsearch: { connection: search, index: items, pipeline: \"\" }",
            14,
            "pipelines.index.sink.elasticsearch.pipeline",
            "empty",
        ),
        (
            SINK,
            "elasticsearch: { connection: search, index: items, compression: zstd }",
            14,
            "pipelines.index.sink.elasticsearch.compression",
            "`gzip`",
        ),
        (
            SINK,
            "kafka: { connection: upstream, topic: events }",
            14,
            "pipelines.index.sink.kafka.topic",
            "round for ever",
        ),
        (
            SINK,
            "kafka: { connection: upstream, topic: \"a/b\" }",
            14,
            "pipelines.index.sink.kafka.topic",
            "cannot be part",
        ),
        (SINK, "kafka: { connection: upstream, topic: out, acks: 1 }", 14, "pipelines.index.sink.kafka.acks", "`all`"),
        (
            SINK,
            "kafka: { connection: upstream, topic: out, compression: brotli }",
            14,
            "pipelines.index.sink.kafka.compression",
            "`zstd`",
        ),
        (
            SINK,
            "kafka: { connection: upstream, topic: out, linger: 10 }",
            14,
            "pipelines.index.sink.kafka.linger",
            "`10ms`",
        ),
        (SINK, "kafka: { connection: upstream, topic: out, key: \"\" }", 14, "pipelines.index.sink.kafka.key", "empty"),
    ]);
}

#[test]
fn pipelines() {
    const END: &str = "index: items }\n";
    check(&[
        (END, "index: items }\n    on_rejct: drop\n", 15, "pipelines.index.on_rejct", "did you mean `on_reject`"),
        (END, "index: items }\n    on_reject: skip\n", 15, "pipelines.index.on_reject", "`dead_letter`"),
        (END, "index: items }\n    on_reject: dead_letter\n", 15, "pipelines.index.on_reject", "needs a value"),
        (END, "index: items }\n    on_reject: {drop: yes}\n", 15, "pipelines.index.on_reject.drop", "takes no value"),
        (
            END,
            "index: items }\n    on_reject: {dead_letter: {kafka: {connection: up, topic: d}}}\n",
            15,
            "pipelines.index.on_reject.dead_letter.kafka.connection",
            "no kafka connection",
        ),
        (
            END,
            "index: items }\n    on_reject: {dead_letter: {kafka: {connection: upstream, topic: events}}}\n",
            15,
            "pipelines.index.on_reject.dead_letter.kafka.topic",
            "round for ever",
        ),
        (
            END,
            "index: items }\n    on_reject: {dead_letter: {kafka: {connection: upstream, topic: \"{topic}-dead\"}}}\n",
            15,
            "pipelines.index.on_reject.dead_letter.kafka.topic",
            "not a template",
        ),
        (
            END,
            "index: items }\n    on_reject: {dead_letter: {file: {path: /}}}\n",
            15,
            "pipelines.index.on_reject.dead_letter.file.path",
            "path of a file",
        ),
        (END, "index: items }\n    breaker: {ratio: 0}\n", 15, "pipelines.index.breaker.ratio", "above 0"),
        (END, "index: items }\n    breaker: {ratio: 10%}\n", 15, "pipelines.index.breaker.ratio", "a number"),
        (END, "index: items }\n    breaker: {window: 0}\n", 15, "pipelines.index.breaker.window", "at least 1"),
        (END, "index: items }\n    breaker: {in_a_row: 0}\n", 15, "pipelines.index.breaker.in_a_row", "at least 1"),
        (END, "index: items }\n    retry: {first: 0}\n", 15, "pipelines.index.retry.first", "longer than 0"),
        (END, "index: items }\n    retry: {first: 40s}\n", 15, "pipelines.index.retry.first", "longer than `max`"),
        (END, "index: items }\n    commit: {interval: 200}\n", 15, "pipelines.index.commit.interval", "`200ms`"),
        (END, "index: items }\n    commit: {every: 1s}\n", 15, "pipelines.index.commit.every", "`interval`"),
        (END, "index: items }\n    on_halt: stop\n", 15, "pipelines.index.on_halt", "`keep_others`"),
        (END, "index: items }\n    workers: 0\n", 15, "pipelines.index.workers", "from 1 to 256"),
        (END, "index: items }\n    workers: 1.5\n", 15, "pipelines.index.workers", "whole number"),
        (END, "index: items }\n    steps: {select: /a}\n", 15, "pipelines.index.steps", "a list"),
        (END, "index: items }\nlimits: {memory: 1MiB}\n", 15, "limits.memory", "too little"),
        (
            END,
            "index: items }\n  two:\n    source: {kafka: {connection: upstream, topics: [events], group: index}}\n    sink: {elasticsearch: {connection: search, index: b}}\n",
            16,
            "pipelines.two.source.kafka.group",
            "only part of it",
        ),
        (END, "index: items }\n  index: {}\n", 15, "index", "written twice"),
    ]);
}

#[test]
fn all_findings_come_at_once() {
    let text = MINIMAL
        .replace("[events]", "[\"a,b\"]")
        .replace("connection: upstream", "connection: up")
        .replace("index: items", "index: Items, id: \"{\", lanes: 0");
    let found = findings(&text);
    assert_eq!(found.errors(), 5, "{found}");
    let text = MINIMAL
        .replace("brokers:", "brokres:")
        .replace("nodes: [", "nodes: 5, x: [")
        .replace("group: index", "group: {}");
    let paths: Vec<_> = findings(&text).0.into_iter().map(|finding| finding.path).collect();
    assert_eq!(
        paths,
        [
            "connections.kafka.upstream.brokres",
            "connections.elasticsearch.search",
            "connections.elasticsearch.search.nodes",
            "pipelines.index.source.kafka.group"
        ]
    );
}

#[test]
fn flags_are_named_instead_of_lines() {
    let inputs = Inputs { paths: vec!["config/minimal.yaml".into()], sets: vec!["limits.memroy=1GiB".into()] };
    let shown = load(&inputs, SURROUNDINGS).unwrap_err().to_string();
    assert!(shown.starts_with("error: --set limits.memroy: limits.memroy\n"), "{shown}");
}

#[test]
fn files_that_cannot_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let table = [
        (directory.path().join("none.yaml"), "sluicegate init"),
        (directory.path().to_owned(), "holds no configuration"),
        (write("a.conf", ""), "extension"),
        (write("b.yaml", "a: [1"), "not valid YAML"),
        (write("c.toml", "a = "), "not valid TOML"),
        (write("d.json", "{\"a\": }"), "not valid JSON"),
        (write("e.yaml", "- 1"), "a configuration is a map"),
        (write("f.yaml", ""), "`pipelines` is missing"),
        (write("g.yaml", "pipelines: {}"), "no pipeline is defined"),
    ];
    for (path, part) in table {
        let only = path.is_dir();
        if only {
            std::fs::remove_file(directory.path().join("none.yaml")).ok();
        }
        let target = if only { tempfile::tempdir().unwrap().path().join("") } else { path };
        if only {
            std::fs::create_dir_all(&target).unwrap();
        }
        let inputs = Inputs { paths: vec![target.clone()], sets: Vec::new() };
        let shown = load(&inputs, SURROUNDINGS).unwrap_err().to_string();
        assert!(shown.contains(part) && shown.contains(target.to_string_lossy().as_ref()), "{shown}");
    }
}
