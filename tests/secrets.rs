//! No secret gets out (I13): the binary runs with a canary in every secret field of the configuration, against servers
//! that are not there, that refuse, and that quote what they were sent; everything it wrote and served is searched.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sluicegate::internals::testbed::kafka::MockKafka;
use sluicegate_testkit::services::{KafkaClient, NewRecord};

/// What every canary begins with.
const CANARY: &str = "c4n4ry";
/// Longest life of a process here.
const LIMIT: Duration = Duration::from_secs(60);
/// What the endpoint's log line says before its address.
const LISTENS: &str = "telemetry listens on http://";

/// Every place of the configuration that may hold a secret, by its definition in the schema, and the canary that stands
/// there in [`configuration`].
const PLACES: &[(&str, &str)] = &[
    ("Auth.api_key", "c4n4ry-apikey"),
    ("Auth.bearer", "c4n4ry-bearer"),
    ("Basic.password", "c4n4ry-basic"),
    ("Elasticsearch.nodes", "c4n4ry-node"),
    ("Kafka.librdkafka", "c4n4ry-property"),
    ("KafkaTls.key_password", "c4n4ry-keypass"),
    ("Redis.url", "c4n4ry-redis"),
    ("Sasl.password", "c4n4ry-sasl"),
];

/// Members whose schema is one of the types that hide what they hold.
fn secret_places(schema: &Value, owner: &str, member: &str, places: &mut BTreeSet<String>) {
    match schema {
        Value::Object(entries) => {
            let reference = entries.get("$ref").and_then(Value::as_str).unwrap_or_default();
            let hides = ["Secret", "SecretUrl", "NodeUrl", "Properties"].iter().any(|name| reference.ends_with(name));
            if hides && !member.is_empty() {
                places.insert(format!("{owner}.{member}"));
            }
            for (key, inside) in entries {
                match (key.as_str(), inside) {
                    ("$defs", Value::Object(definitions)) => {
                        definitions.iter().for_each(|(name, definition)| secret_places(definition, name, "", places));
                    }
                    ("properties", Value::Object(members)) => {
                        members.iter().for_each(|(name, member)| secret_places(member, owner, name, places));
                    }
                    _ => secret_places(inside, owner, member, places),
                }
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| secret_places(element, owner, member, places)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Names that sound like a secret but are none: the template of a record's key, a look-up's key, the keys of records
/// that tests are made of.
const HARMLESS: &[&str] = &[
    "KafkaSink.key",
    "Lookup.key",
    "KafkaTls.key_file",
    "Tls.key_file",
    "TestInput.key",
    "TestInput.key_base64",
    "Expectation.key",
    "Expectation.key_base64",
];

/// Members of the schema that sound like secrets, whatever their type.
fn suspicious(schema: &Value) -> BTreeSet<String> {
    let definitions = schema["$defs"].as_object().expect("definitions");
    let mut found = BTreeSet::new();
    for (owner, definition) in definitions {
        let words = ["password", "secret", "token", "credential", "passphrase", "key"];
        let members = definition["properties"].as_object().into_iter().flatten().map(|(name, _)| name);
        found.extend(
            members.filter(|name| words.iter().any(|word| name.contains(word))).map(|name| format!("{owner}.{name}")),
        );
    }
    found
}

#[test]
fn every_secret_field_of_the_schema_has_a_canary() {
    let schema = sluicegate::internals::config::schema::schema();
    let mut places = BTreeSet::new();
    secret_places(&schema, "", "", &mut places);
    let covered: BTreeSet<String> = PLACES.iter().map(|(place, _)| (*place).to_owned()).collect();
    assert_eq!(places, covered, "a secret field without a canary here, or a canary without its field");
    let known: BTreeSet<String> = covered.into_iter().chain(HARMLESS.iter().map(|&name| name.to_owned())).collect();
    let odd: Vec<_> = suspicious(&schema).difference(&known).cloned().collect();
    assert!(odd.is_empty(), "these sound like secrets but do not hide what they hold: {odd:?}");
    let given = format!("{}{ENVIRONMENT:?}{SECRET_FILE}", configuration(&Servers::nowhere(), "", true));
    for (place, canary) in PLACES {
        assert!(given.contains(canary), "{place}: {canary} is not in the configuration");
    }
}

/// Where the servers of a configuration are.
#[derive(Clone)]
struct Servers {
    locked: String,
    open: String,
    node: String,
    redis: String,
}

impl Servers {
    /// Nothing listens there.
    fn nowhere() -> Self {
        let address = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        Self { locked: address(), open: address(), node: address(), redis: address() }
    }
}

/// The canaries that come from outside the file.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("C_SASL", "c4n4ry-sasl"),
    ("C_PROPERTY", "c4n4ry-property"),
    ("C_BEARER", "c4n4ry-bearer"),
    ("C_REDIS", "c4n4ry-redis"),
];

/// What stands in `basic.secret`.
const SECRET_FILE: &str = "c4n4ry-basic\n";

/// All connections; `pipelines` is YAML below that key, or one pipeline that uses the locked cluster.
fn configuration(servers: &Servers, pipelines: &str, tls: bool) -> String {
    let Servers { locked, open, node, redis } = servers;
    let tls = if tls { "tls: { key_file: no-such.pem, key_password: c4n4ry-keypass }, " } else { "" };
    let relay = "  relay:\n    source: { kafka: { connection: locked, topics: [t], group: g } }\n    \
                 sink: { kafka: { connection: open, topic: out } }\n";
    let pipelines = if pipelines.is_empty() { relay } else { pipelines };
    format!(
        "connections:\n  kafka:\n    locked: {{ brokers: [\"{locked}\"], {tls}sasl: {{ mechanism: PLAIN, username: u, \
         password: {{ env: C_SASL }} }}, librdkafka: {{ sasl.kerberos.keytab: \"${{C_PROPERTY}}\" }} }}\n    \
         open: {{ brokers: [\"{open}\"] }}\n  elasticsearch:\n    \
         basic: {{ nodes: [\"http://{node}\"], auth: {{ basic: {{ username: u, password: {{ file: basic.secret }} }} }} }}\n    \
         key: {{ nodes: [\"http://{node}\"], auth: {{ api_key: c4n4ry-apikey }} }}\n    \
         bearer: {{ nodes: [\"http://{node}\"], auth: {{ bearer: \"${{C_BEARER}}\" }} }}\n    \
         url: {{ nodes: [\"http://u:c4n4ry-node@{node}\"] }}\n  redis:\n    \
         lookups: {{ url: \"redis://:${{C_REDIS}}@{redis}\" }}\n\
         pipelines:\n{pipelines}\
         telemetry: {{ listen: \"127.0.0.1:0\" }}\nstartup: {{ timeout: 3s }}\nshutdown: {{ timeout: 5s }}\n"
    )
}

const CONNECTIONS: [&str; 4] = ["basic", "key", "bearer", "url"];

/// One pipeline for each way to identify oneself to Elasticsearch, from topics of the open cluster.
fn into_elasticsearch(steps: &str) -> String {
    CONNECTIONS
        .map(|name| {
            format!(
                "  {name}:\n    source: {{ kafka: {{ connection: open, topics: [{name}], group: {name} }} }}\n    \
                 steps: {steps}\n    sink: {{ elasticsearch: {{ connection: {name}, index: items }} }}\n    \
                 on_reject: {{ dead_letter: {{ file: {{ path: dead-{name}.ndjson }} }} }}\n    \
                 retry: {{ first: 20ms, max: 100ms }}\n"
            )
        })
        .concat()
}

/// A process in a folder of its own, with everything it wrote.
struct Run {
    child: Child,
    folder: tempfile::TempDir,
    served: Vec<(String, String)>,
}

fn command(folder: &Path, yaml: &str, arguments: &[&str]) -> Command {
    fs::write(folder.join("c.yaml"), yaml).unwrap();
    fs::write(folder.join("basic.secret"), SECRET_FILE).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluicegate"));
    command.args(arguments).current_dir(folder).envs(ENVIRONMENT.iter().copied()).stdin(Stdio::null());
    command.env("RUST_BACKTRACE", "1");
    command.stdout(File::create(folder.join("stdout")).unwrap());
    command.stderr(File::create(folder.join("stderr")).unwrap());
    command
}

impl Run {
    fn start(yaml: &str, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let child = command(folder.path(), yaml, arguments).spawn().unwrap();
        Self { child, folder, served: Vec::new() }
    }

    fn stderr(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.path().join("stderr")).unwrap()).into_owned()
    }

    fn address(&self) -> Option<String> {
        let log = self.stderr();
        let (_, rest) = log.split_once(LISTENS)?;
        Some(rest.split(['/', '"', ' ', '\n']).next()?.to_owned())
    }

    /// Keeps asking the endpoint until the process has ended; returns its exit code.
    fn watch(&mut self) -> i32 {
        let end = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(Instant::now() < end, "still running\n{}", self.stderr());
            if let Some(address) = self.address() {
                for path in ["/", "/metrics", "/status", "/readyz", "/livez", "/startupz"] {
                    if let Some(answer) = get(&address, path) {
                        self.served.push((path.to_owned(), answer));
                    }
                }
            }
            thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// Everything it wrote and served, by name. What the test itself put into the folder is left out.
    fn everything(&self) -> Vec<(String, String)> {
        let mut all = self.served.clone();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if !path.ends_with("c.yaml") && !path.ends_with("basic.secret") {
                    let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
                    all.push((path.file_name().unwrap().to_string_lossy().into_owned(), text));
                }
            }
        }
        all
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn get(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// What may not be found: canaries, and what the client makes of user and password.
fn forms() -> Vec<String> {
    let basic = ["u:c4n4ry-basic", "u:c4n4ry-node"].map(|pair| STANDARD.encode(pair)[..14].to_owned());
    [CANARY.to_owned()].into_iter().chain(basic).collect()
}

fn search(what: &str, everything: &[(String, String)]) {
    for (name, text) in everything {
        for form in forms() {
            let line = text.lines().find(|line| line.contains(&form));
            assert!(line.is_none(), "{what}: a secret is in {name}: {}", line.unwrap_or_default());
        }
    }
}

/// What a server was sent, all connections together.
type Seen = Arc<Mutex<String>>;

fn note(seen: &Seen, text: &str) {
    seen.lock().unwrap_or_else(PoisonError::into_inner).push_str(text);
}

fn listen(answer: impl Fn(TcpStream) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            thread::spawn(move || answer(stream));
        }
    });
    address
}

/// A Redis that quotes the arguments of `AUTH`, as servers without that command do, until `open`; then all is well.
fn redis(seen: Seen, open: bool) -> SocketAddr {
    listen(move |mut stream| {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut bytes) {
            let sent = String::from_utf8_lossy(&bytes[..count]).into_owned();
            note(&seen, &sent);
            let commands = sent.matches('*').count().max(1);
            let refusal =
                format!("-ERR unknown command `AUTH`, with args beginning with: {}\r\n", sent.replace("\r\n", " "));
            let answer = if open { "+OK\r\n".repeat(commands) } else { refusal };
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    })
}

/// An Elasticsearch that quotes every request with its head in its errors, as some versions do.
fn elasticsearch(
    seen: Seen,
    answer: impl Fn(&str, &str, usize) -> (u16, String) + Clone + Send + 'static,
) -> SocketAddr {
    let bulks = Arc::new(Mutex::new(0_usize));
    listen(move |stream| {
        let mut reader = BufReader::new(stream);
        loop {
            let (mut head, mut line, mut length) = (String::new(), String::new(), 0);
            while reader.read_line(&mut line).is_ok_and(|count| count > 2) {
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap_or(0);
                }
                head.push_str(&line);
                line.clear();
            }
            let mut body = vec![0; length];
            if head.is_empty() || reader.read_exact(&mut body).is_err() {
                return;
            }
            note(&seen, &head);
            let number = {
                let mut bulks = bulks.lock().unwrap_or_else(PoisonError::into_inner);
                *bulks += usize::from(head.contains("_bulk"));
                *bulks
            };
            let (status, text) = answer(&head, &String::from_utf8_lossy(&body), number);
            let answer = format!(
                "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{text}",
                text.len()
            );
            if reader.get_mut().write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    })
}

/// An error that quotes the request.
fn quoting(kind: &str, head: &str) -> Value {
    serde_json::json!({ "type": kind, "reason": format!("cannot do that; Source: (byte[])\"{head}\"") })
}

#[test]
fn commands_that_show_a_configuration_show_no_secret() {
    let servers = Servers::nowhere();
    let plain = configuration(&servers, "", false);
    let broken = format!("{plain}limits: {{ memroy: 1 }}\n");
    let set = "connections.kafka.open.sasl={mechanism: PLAIN, username: u, password: c4n4ry-set}";
    let commands: [&[&str]; 8] = [
        &["config", "show", "-c", "c.yaml"],
        &["config", "show", "-c", "c.yaml", "--format", "json"],
        &["config", "show", "-c", "c.yaml", "--set", set],
        &["check", "-c", "c.yaml", "--explain"],
        &["check", "-c", "c.yaml", "--format", "json", "--set", set],
        &["check", "-c", "c.yaml", "--set", "connections.kafka.open.sasl=c4n4ry-set"],
        &["--log-level", "trace", "check", "-c", "c.yaml", "--explain", "--connect"],
        &["--log-level", "trace", "check", "-c", "c.yaml", "--connect", "--format", "json"],
    ];
    let texts = [("plain", plain), ("with TLS", configuration(&servers, "", true)), ("broken", broken)];
    for (name, yaml) in &texts {
        for arguments in commands {
            if *name != "plain" && arguments.contains(&"--connect") {
                continue;
            }
            let mut run = Run::start(yaml, arguments);
            let code = run.watch();
            let everything = run.everything();
            let words: usize = everything.iter().map(|(_, text)| text.len()).sum();
            assert!(words > 0 && [0, 1, 69, 77, 78].contains(&code), "{name} {arguments:?}: {code}, {words} bytes");
            search(&format!("{name} {arguments:?}"), &everything);
        }
    }
}

#[test]
fn servers_that_are_not_there_bring_no_secret_out() {
    let pipelines = into_elasticsearch("[{ lookup: { redis: lookups, key: k, into: /x } }]");
    let relay = "  relay:\n    source: { kafka: { connection: locked, topics: [t], group: g } }\n    \
                 sink: { kafka: { connection: locked, topic: out } }\n";
    let yaml = configuration(&Servers::nowhere(), &format!("{pipelines}{relay}"), false);
    for format in ["text", "json"] {
        let level = ["--log-format", format, "--log-level", "trace", "run", "-c", "c.yaml", "--report", "report"];
        let mut run = Run::start(&yaml, &level);
        let code = run.watch();
        assert_eq!(code, 69, "{}", run.stderr());
        assert!(run.served.iter().any(|(path, _)| path == "/status"), "the endpoint was never asked");
        search(format, &run.everything());
    }
}

#[test]
fn servers_that_refuse_and_quote_bring_no_secret_out() {
    let kafka = MockKafka::start(&CONNECTIONS.map(|name| (name, 1))).unwrap();
    let hang_up = listen(drop).to_string();
    let refuse = |head: &str, _: &str, _: usize| {
        let error = quoting("security_exception", head);
        (401, serde_json::json!({ "error": error, "status": 401 }).to_string())
    };
    let seen = [Seen::default(), Seen::default(), Seen::default()];
    let node = elasticsearch(seen[0].clone(), refuse).to_string();
    let servers = |redis: SocketAddr| Servers {
        locked: hang_up.clone(),
        open: kafka.brokers().to_owned(),
        node: node.clone(),
        redis: redis.to_string(),
    };
    let shut = servers(redis(seen[1].clone(), false));
    let open = servers(redis(seen[2].clone(), true));
    let looking = into_elasticsearch("[{ lookup: { redis: lookups, key: k, into: /x } }]");
    let cases = [
        ("Redis refuses", configuration(&shut, &looking, false)),
        ("Elasticsearch refuses", configuration(&open, &into_elasticsearch("[]"), false)),
        ("Kafka hangs up", configuration(&open, "", false)),
    ];
    for (name, yaml) in &cases {
        for arguments in [
            &["--log-format", "text", "--log-level", "trace", "run", "-c", "c.yaml", "--report", "report"][..],
            &["--log-level", "trace", "check", "-c", "c.yaml", "--connect"],
        ] {
            let mut run = Run::start(yaml, arguments);
            let code = run.watch();
            assert!([69, 77].contains(&code), "{name}: {code}\n{}", run.stderr());
            search(&format!("{name} {arguments:?}"), &run.everything());
        }
    }
    let text = |seen: &Seen| seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let (heads, auth) = (text(&seen[0]), text(&seen[1]));
    assert!(auth.contains("c4n4ry-redis"), "Redis was never sent the password: {auth}");
    let basic = STANDARD.encode("u:c4n4ry-basic");
    for sent in [basic.as_str(), "c4n4ry-apikey", "c4n4ry-bearer"] {
        assert!(heads.contains(sent), "Elasticsearch was never sent {sent}");
    }
}

#[test]
fn dead_letters_status_and_run_files_hold_no_secret() {
    let kafka = MockKafka::start(&CONNECTIONS.map(|name| (name, 1))).unwrap();
    for name in CONNECTIONS {
        KafkaClient::at(kafka.brokers()).produce(name, [NewRecord::keyed("k", "{\"a\":1}")]).unwrap();
    }
    let answer = |head: &str, body: &str, number: usize| {
        if !head.contains("_bulk") {
            let version = serde_json::json!({ "number": "6.8.2" });
            return (200, serde_json::json!({ "version": version, "tagline": "You Know, for Search" }).to_string());
        }
        if number <= 12 {
            // First some faults that are tried again, so that `/status` has something to say.
            let error = quoting("es_rejected_execution_exception", head);
            return (503, serde_json::json!({ "error": error, "status": 503 }).to_string());
        }
        let items = body.lines().count() / 2;
        let item =
            serde_json::json!({ "index": { "status": 400, "error": quoting("mapper_parsing_exception", head) } });
        (200, serde_json::json!({ "errors": true, "items": vec![item; items] }).to_string())
    };
    let seen = Seen::default();
    let node = elasticsearch(seen.clone(), answer).to_string();
    let servers = Servers { open: kafka.brokers().to_owned(), node, ..Servers::nowhere() };
    let yaml = configuration(&servers, &into_elasticsearch("[]"), false);
    let level = ["--log-format", "json", "--log-level", "trace"];
    let mut run =
        Run::start(&yaml, &[&level[..], &["run", "-c", "c.yaml", "--until", "end", "--report", "report"]].concat());
    let code = run.watch();
    let everything = run.everything();
    let letters: Vec<_> = everything.iter().filter(|(name, _)| name.starts_with("dead-")).collect();
    assert_eq!(letters.len(), CONNECTIONS.len(), "{code}\n{}", run.stderr());
    for (name, text) in &letters {
        assert!(text.contains("mapper_parsing_exception") && text.contains("cannot do that"), "{name}: {text}");
    }
    assert!(everything.iter().any(|(name, _)| name == "run.json"));
    let heads = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert!(heads.contains("c4n4ry-bearer") && heads.contains("c4n4ry-apikey"), "{heads}");
    search("the run", &everything);
}
