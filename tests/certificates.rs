//! TLS that must be refused, and says why: expired, for another host, of nobody known, too old (F30). The servers are
//! `openssl s_server`, and each certificate is made for the test.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use sluicegate::internals::testbed::kafka::MockKafka;
use sluicegate_testkit::services::ServiceError;

use crate::support::bench::until;
use crate::support::own;

/// Longest wait for a server that starts.
const LIMIT: Duration = Duration::from_secs(30);

/// A certificate of no days is valid to the end of the second it was made in: two seconds later it surely is not.
const EXPIRY: Duration = Duration::from_secs(2);

fn openssl(folder: &Path, line: &str) -> Output {
    let words = line.split(' ');
    Command::new("openssl").args(words).current_dir(folder).stdin(Stdio::null()).output().expect("openssl runs")
}

fn made(folder: &Path, line: &str) {
    let output = openssl(folder, line);
    assert!(output.status.success(), "openssl {line}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// An authority `ca`, and certificates of it: `good`, `expired`, `elsewhere`; and `stranger`, which is nobody's.
fn certificates(folder: &Path) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    made(folder, &format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=authority"));
    made(folder, &format!("req -x509 {key} -keyout other.key -out other.pem -days 2 -subj /CN=other-authority"));
    for (name, host, days, by) in [
        ("good", "localhost", 1, "ca"),
        ("expired", "localhost", 0, "ca"),
        ("elsewhere", "elsewhere.test", 1, "ca"),
        ("stranger", "localhost", 1, "other"),
    ] {
        made(folder, &format!("req {key} -keyout {name}.key -out {name}.csr -subj /CN={name}"));
        std::fs::write(folder.join("extensions"), format!("subjectAltName=DNS:{host}\nbasicConstraints=CA:FALSE\n"))
            .unwrap();
        made(
            folder,
            &format!(
                "x509 -req -in {name}.csr -CA {by}.pem -CAkey {by}.key -CAcreateserial -days {days} -extfile extensions -out {name}.pem"
            ),
        );
    }
}

/// A server; ends when dropped.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(folder: &Path, certificate: &str, more: &str) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let line =
            format!("s_server -accept {address} -cert {certificate}.pem -key {certificate}.key -www -quiet{more}");
        let mut command = Command::new("openssl");
        command.args(line.split(' ')).current_dir(folder);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = Self { child, address };
        until("openssl listens", LIMIT, || TcpStream::connect(address).is_ok(), || line.clone());
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `check --connect` of a pipeline that writes to this Elasticsearch and looks up in this Redis.
fn check(folder: &Path, kafka: &MockKafka, node: u16, redis: u16) -> (Option<i32>, String) {
    let yaml = format!(
        "version: 1\nconnections:\n  kafka: {{ upstream: {{ brokers: [\"{}\"] }} }}\n  elasticsearch: {{ search: {{ nodes: \
         [\"https://localhost:{node}\"], tls: {{ ca_file: ca.pem }} }} }}\n  redis: {{ lookups: {{ url: \
         \"rediss://localhost:{redis}\" }} }}\npipelines:\n  index:\n    source: {{ kafka: {{ connection: upstream, topics: \
         [events], group: index }} }}\n    steps:\n      - lookup: {{ redis: lookups, key: \"user:{{/user}}\", into: \
         /user_info }}\n    sink: {{ elasticsearch: {{ connection: search, index: items }} }}\n",
        kafka.brokers()
    );
    std::fs::write(folder.join("sluicegate.yaml"), yaml).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluicegate"));
    let output = command.args(["check", "--connect"]).current_dir(folder).output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (output.status.code(), said)
}

#[test]
fn certificates_and_versions_that_must_be_refused_are_and_the_reason_is_named() {
    let test = "certificates_and_versions_that_must_be_refused";
    let version = || {
        let found = Command::new("openssl").arg("version").output();
        found.map_err(|_| ServiceError::Missing {
            what: "openssl".to_owned(),
            remedy: "install it (`apt-get install openssl`)".to_owned(),
        })
    };
    if own(test, version).is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let made = Instant::now();
    until("one of no days expires", LIMIT, || made.elapsed() > EXPIRY, String::new);
    let kafka = MockKafka::start(&[("events", 1)]).unwrap();
    // Redis knows the world's authorities only, so a good certificate of ours is nobody's to it.
    let redis = Server::start(folder.path(), "good", "");
    let table = [
        ("good", "", &["ok   elasticsearch search"][..]),
        ("expired", "", &["FAIL elasticsearch search", "expired"]),
        ("elsewhere", "", &["FAIL elasticsearch search", "elsewhere.test"]),
        ("stranger", "", &["FAIL elasticsearch search", "UnknownIssuer"]),
        ("good", " -tls1_1 -cipher DEFAULT@SECLEVEL=0", &["FAIL elasticsearch search", "ProtocolVersion"]),
    ];
    for (certificate, more, words) in table {
        let node = Server::start(folder.path(), certificate, more);
        let (code, said) = check(folder.path(), &kafka, node.address.port(), redis.address.port());
        for word in words {
            assert!(said.contains(word), "{certificate}{more}: `{word}` is not said\n{said}");
        }
        assert_eq!(code, Some(69), "{certificate}{more}\n{said}");
        let refused = |line: &str| line.starts_with("FAIL redis") && line.contains("UnknownIssuer");
        assert!(said.lines().any(refused), "Redis was not refused\n{said}");
    }
}
