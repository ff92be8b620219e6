//! A real `redis-server` from the PATH, on a free port of loopback, without files.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use super::until;

/// A running server; killed when dropped.
pub(super) struct Redis {
    child: Child,
    pub(super) port: u16,
    extra: Vec<String>,
}

impl Redis {
    /// Starts one, or says that the test is skipped.
    pub(super) fn start(extra: &[&str]) -> Option<Self> {
        if Command::new("redis-server").arg("--version").stdout(Stdio::null()).status().is_err() {
            eprintln!("SKIPPED: no redis-server in the PATH (Debian: apt-get install redis-server)");
            return None;
        }
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port();
        let extra: Vec<String> = extra.iter().map(|&argument| argument.to_owned()).collect();
        let redis = Self { child: launch(port, &extra), port, extra };
        redis.ready();
        Some(redis)
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// A connection of the test's own.
    pub(super) fn admin(&self) -> redis::Connection {
        redis::Client::open(self.url()).and_then(|client| client.get_connection()).expect("the server accepts")
    }

    pub(super) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends a signal, by the name `kill` knows it by.
    pub(super) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status().expect("kill runs");
        assert!(sent.success(), "{name}");
    }

    /// Starts again on the same port, empty.
    pub(super) fn revive(&mut self) {
        self.child = launch(self.port, &self.extra);
        self.ready();
    }

    fn ready(&self) {
        until("redis-server listens", || std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok());
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

fn launch(port: u16, extra: &[String]) -> Child {
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .args(extra)
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server starts")
}

/// Sets fields of a hash.
pub(super) fn hset(admin: &mut redis::Connection, key: &str, fields: &[(&str, &[u8])]) {
    redis::cmd("HSET").arg(key).arg(fields).exec(admin).expect("HSET");
}
