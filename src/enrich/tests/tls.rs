//! TLS towards Redis with an authority of our own, against a server of this process; `openssl` makes the certificates.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::connection;
use crate::config::pem;
use crate::config::plan::{ClientFiles, RedisConnection};
use crate::enrich::server::RedisServer;

/// An authority `ca` and certificates of it for `server` and `client`; `None` where there is no openssl.
pub(crate) fn certificates(folder: &Path) -> Option<()> {
    let run = |line: &str| {
        let output = Command::new("openssl").args(line.split(' ')).current_dir(folder).stdin(Stdio::null()).output();
        output.ok().map(|output| assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)))
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    run(&format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=authority"))?;
    for name in ["server", "client"] {
        run(&format!("req {key} -keyout {name}.key -out {name}.csr -subj /CN={name}"))?;
        std::fs::write(folder.join("extensions"), "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n").ok()?;
        run(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 1 -extfile extensions -out {name}.pem"
        ))?;
    }
    Some(())
}

/// Answers each line of every connection, one after the other. Gives its port.
pub(crate) fn serve(folder: &Path, wants_client: bool, answer: fn(&str) -> &'static [u8]) -> u16 {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().expect("versions");
    let mut roots = RootCertStore::empty();
    pem::certificates(&folder.join("ca.pem"))
        .expect("made")
        .into_iter()
        .for_each(|ca| roots.add(ca).expect("an authority"));
    let builder = if wants_client {
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().expect("a verifier");
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let chain = pem::certificates(&folder.join("server.pem")).expect("made");
    let key = pem::private_key(&folder.join("server.key")).expect("made");
    let config = Arc::new(builder.with_single_cert(chain, key).expect("a pair"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let Ok(session) = ServerConnection::new(config.clone()) else { return };
            let mut wire = BufReader::new(StreamOwned::new(session, stream));
            let mut line = String::new();
            while wire.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
                let answer = answer(line.trim());
                line.clear();
                if wire.get_mut().write_all(answer).and_then(|()| wire.get_mut().flush()).is_err() {
                    break;
                }
            }
        }
    });
    port
}

/// What a Redis server says.
fn redis(line: &str) -> &'static [u8] {
    match line {
        "PING" => b"+PONG\r\n",
        "INFO" | "ROLE" => b"-ERR no\r\n",
        _ => b"",
    }
}

#[test]
fn an_authority_and_a_certificate_of_our_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    if certificates(folder).is_none() {
        eprintln!("SKIPPED: no openssl in the PATH");
        return;
    }
    let (open, closed) = (serve(folder, false, redis), serve(folder, true, redis));
    let ours = Some(folder.join("ca.pem"));
    let client = Some(ClientFiles { cert_file: folder.join("client.pem"), key_file: folder.join("client.key") });
    let to = |port: u16, change: &dyn Fn(&mut RedisConnection)| {
        let mut plan = connection(&format!("rediss://localhost:{port}"), 2_000);
        change(&mut plan);
        RedisServer::new(&plan).expect("a plan").greet().map_err(|fault| fault.message().to_owned())
    };
    assert_eq!(to(open, &|plan| plan.ca_file = ours.clone()), Ok(()));
    let stranger = to(open, &|_| ()).expect_err("nobody's authority");
    assert!(stranger.contains("UnknownIssuer") && stranger.contains("ca_file"), "{stranger}");
    assert_eq!(to(open, &|plan| plan.verify = false), Ok(()));
    let unnamed = to(closed, &|plan| plan.ca_file = ours.clone());
    assert!(unnamed.is_err(), "the server wants a certificate");
    let named = to(closed, &|plan| {
        plan.ca_file = ours.clone();
        plan.client = client.clone();
    });
    assert_eq!(named, Ok(()));
    let plain = connection(&format!("redis://localhost:{open}"), 2_000);
    let told = RedisServer::new(&plain).expect("a plan").greet().expect_err("it speaks TLS").message().to_owned();
    assert!(told.contains("`rediss://`"), "{told}");
    let unfit = RedisConnection {
        client: Some(ClientFiles { cert_file: folder.join("client.pem"), key_file: folder.join("server.key") }),
        ..connection("rediss://localhost:1", 1_000)
    };
    let halt = RedisServer::new(&unfit).err().expect("the key is another's");
    assert!(halt.message.contains("connections.redis.lookups.tls"), "{}", halt.message);
}
