//! A Redis server: its address, how it is reached, and the login.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::Value;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use secrecy::ExposeSecret;

use crate::config::plan::RedisConnection;
use crate::config::url::{self, RedisAddress};
use crate::model::{Exit, Halt};

use super::fault::LookupFault;
use super::socket::{ExchangeLimits, RedisSocket};
use super::tls;

/// Most bytes one round trip may bring; more is asked for in smaller ones.
pub(super) const REPLY_BYTES: usize = 16 * 1024 * 1024;

/// How a server is reached. Shared by all workers; holds the credentials, so it has no `Debug`.
pub(super) struct RedisServer {
    name: Arc<str>,
    address: RedisAddress,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    timeout: Duration,
}

impl RedisServer {
    /// Checks the URL; connects to nothing.
    ///
    /// # Errors
    /// [`Exit::Config`] for a URL that is not one of a Redis server over TCP.
    pub(super) fn new(plan: &RedisConnection) -> Result<Self, Halt> {
        let address = url::redis(plan.url.expose_secret()).map_err(|refusal| {
            config_halt(format!("connections.redis.{}.url: {}; {}", plan.name, refusal.reason, refusal.remedy))
        })?;
        let tls = if address.secure { Some(tls(plan, &address.host)?) } else { None };
        let timeout = plan.timeout.max(Duration::from_millis(1));
        Ok(Self { name: plan.name.clone(), address, tls, timeout })
    }

    /// The name in `connections.redis`.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Name and address, for messages.
    pub(super) fn label(&self) -> String {
        format!("`{}` ({}:{})", self.name, self.address.host, self.address.port)
    }

    /// Bounds of one round trip.
    pub(super) fn limits(&self) -> ExchangeLimits {
        ExchangeLimits { silence: self.timeout, total: self.timeout, bytes: REPLY_BYTES }
    }

    /// Connects and logs in: at most one timeout for each, and the resolver's own bound.
    ///
    /// # Errors
    /// The fault of either.
    pub(super) fn connect(&self) -> Result<RedisSocket, LookupFault> {
        let stream = self.dial().map_err(|error| {
            if matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) {
                LookupFault::TimedOut(format!("no connection within {:?}", self.timeout))
            } else {
                LookupFault::Down(format!("cannot connect: {error}"))
            }
        })?;
        let session = match &self.tls {
            None => None,
            Some((config, name)) => Some(
                ClientConnection::new(config.clone(), name.clone())
                    .map_err(|error| LookupFault::Wrong(format!("TLS cannot be set up: {error}")))?,
            ),
        };
        self.log_in(RedisSocket::new(stream, session))
    }

    fn dial(&self) -> io::Result<TcpStream> {
        let deadline = Instant::now() + self.timeout;
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in (self.address.host.as_str(), self.address.port).to_socket_addrs()? {
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            match TcpStream::connect_timeout(&address, left) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn log_in(&self, mut socket: RedisSocket) -> Result<RedisSocket, LookupFault> {
        if let Some(password) = &self.address.password {
            let mut auth = redis::cmd("AUTH");
            auth.arg(&self.address.username).arg(password.expose_secret());
            socket = self.command(socket, &auth, |code, _| Some(LookupFault::of_auth(code)))?;
        }
        if self.address.database != 0 {
            let mut select = redis::cmd("SELECT");
            select.arg(self.address.database);
            socket = self.command(socket, &select, |code, detail| Some(LookupFault::of_select(code, detail)))?;
        }
        Ok(socket)
    }

    /// Connects, logs in and asks for a sign of life. A server that forbids PING has given one.
    ///
    /// # Errors
    /// The fault of the first that failed.
    pub(super) fn greet(&self) -> Result<(), LookupFault> {
        let judge = |code: &str, detail: &str| (code != "NOPERM").then(|| LookupFault::of_reply(code, detail));
        let greeted = self.connect().and_then(|socket| self.command(socket, &redis::cmd("PING"), judge));
        let socket = greeted.map_err(|fault| fault.at_first(self.tls.is_some()))?;
        self.look_at_its_role(socket)
    }

    /// A member of a Redis Cluster, or a Sentinel, answers PING like any server, and the first key of another member,
    /// or the first key at all, halts the pipeline. A server that knows no such questions, or forbids them, is neither.
    fn look_at_its_role(&self, socket: RedisSocket) -> Result<(), LookupFault> {
        let mut questions = redis::pipe();
        questions.cmd("CLUSTER").arg("INFO").cmd("ROLE");
        let mut found = None;
        let asked = socket.exchange(&questions.get_packed_pipeline(), 2, &self.limits(), |reply| {
            found = found.take().or_else(|| fault_of_role(&reply));
            Ok(())
        });
        // What it does not answer says nothing about it.
        drop(asked);
        found.map_or(Ok(()), Err)
    }

    fn command(
        &self,
        socket: RedisSocket,
        command: &redis::Cmd,
        judge: impl Fn(&str, &str) -> Option<LookupFault>,
    ) -> Result<RedisSocket, LookupFault> {
        socket.exchange(&command.get_packed_command(), 1, &self.limits(), |reply| {
            let Value::ServerError(error) = reply else { return Ok(()) };
            judge(error.code(), error.details().unwrap_or_default()).map_or(Ok(()), Err)
        })
    }
}

fn tls(plan: &RedisConnection, host: &str) -> Result<(Arc<ClientConfig>, ServerName<'static>), Halt> {
    let fail = |why: String| config_halt(format!("connections.redis.{}.tls: TLS cannot be set up: {why}", plan.name));
    let config = tls::settings(plan).map_err(fail)?;
    let name = ServerName::try_from(host.to_owned()).map_err(|_| fail(format!("`{host}` is no host name")))?;
    Ok((config, name))
}

/// What an answer to `CLUSTER INFO` or `ROLE` says against a server.
fn fault_of_role(reply: &Value) -> Option<LookupFault> {
    let text = |value: &Value| match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => text.clone(),
        _ => String::new(),
    };
    match reply {
        Value::Array(parts) => (parts.first().map(text)? == "sentinel").then(LookupFault::of_sentinel),
        other => is_one_of_several(&text(other)).then(LookupFault::of_cluster),
    }
}

/// Whether `CLUSTER INFO` is of a member of several: those hold parts of the keys, and a look-up asks one.
fn is_one_of_several(info: &str) -> bool {
    let size = info.lines().find_map(|line| line.trim().strip_prefix("cluster_size:"));
    size.and_then(|size| size.parse::<u32>().ok()).is_some_and(|size| size > 1)
}

fn config_halt(message: String) -> Halt {
    Halt { exit: Exit::Config, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(url: &str) -> Result<RedisServer, Halt> {
        RedisServer::new(&RedisConnection {
            name: "lookups".into(),
            url: url.into(),
            timeout: Duration::from_secs(1),
            ca_file: None,
            client: None,
            verify: true,
        })
    }

    #[test]
    fn a_cluster_of_several_is_told_from_one() {
        for (info, several) in [
            ("cluster_state:ok\r\ncluster_known_nodes:6\r\ncluster_size:3\r\n", true),
            ("cluster_state:ok\r\ncluster_size:2\r\n", true),
            ("cluster_enabled:0\r\n", false),
            ("cluster_state:ok\r\ncluster_size:1\r\n", false),
            ("cluster_size:many", false),
            ("", false),
        ] {
            let fault = fault_of_role(&Value::BulkString(info.as_bytes().to_vec()));
            assert_eq!(fault.is_some_and(|fault| fault.message().contains("Redis Cluster")), several, "{info}");
        }
    }

    #[test]
    fn a_sentinel_is_told_from_a_server() {
        let role = |name: &str| fault_of_role(&Value::Array(vec![Value::BulkString(name.as_bytes().to_vec())]));
        assert!(role("sentinel").is_some_and(|fault| fault.message().contains("Sentinel")));
        assert_eq!((role("master"), role("slave"), fault_of_role(&Value::Array(Vec::new()))), (None, None, None));
    }

    #[test]
    fn urls_are_checked_and_never_quoted() {
        for url in ["redis://127.0.0.1:6379", "redis://u:p@h:1/3", "rediss://h.example:6380/1"] {
            assert!(open(url).is_ok(), "{url}");
        }
        for url in [
            "http://:hunter2@h:1",
            "redis+unix:///hunter2",
            "hunter2",
            "redis://:hunter2/x@h",
            "redis://:hunter2#x@h",
            "redis://u:hunter2@h:port",
        ] {
            let halt = open(url).err().unwrap_or_else(|| panic!("{url} is refused"));
            assert_eq!(halt.exit, Exit::Config);
            assert!(!halt.message.contains("hunter2"), "{}", halt.message);
        }
        assert_eq!(open("redis://:hunter2@h:7").map(|server| server.label()), Ok("`lookups` (h:7)".to_owned()));
    }
}
