//! One server process: gated start, readiness, signals, end.
//!
//! The order at a start is what makes an orphan impossible: a shell is spawned that waits at its standard input, the
//! watchdog is told the shell's process group, and only then the shell is told to become the server. An owner that dies
//! between any two of these steps leaves a shell that reads the end of its input and ends.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::error::{ServiceError, tail};
use super::scratch::Scratch;
use super::watchdog::Watchdog;
use super::{http, wait};

/// The gate: become the server when told so.
const GATE: &str = r#"read -r go || exit 1; exec "$@" </dev/null"#;
/// How long a server may take to be ready. 104 s was seen for Elasticsearch on a loaded machine.
const READY_LIMIT: Duration = Duration::from_secs(300);
/// How often readiness is looked for.
const READY_POLL: Duration = Duration::from_millis(50);
/// How long a server may take to end by itself before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// How long one connection attempt may take.
const CONNECT_LIMIT: Duration = Duration::from_millis(500);
/// Lines of log in an error.
const LOG_LINES: usize = 25;

/// How a server shows that it can be used.
#[derive(Clone, Debug)]
pub(super) enum Ready {
    /// It has written this text to its log since the last start, and its port accepts.
    LogLine(&'static str),
    /// Its cluster health is at least yellow.
    ClusterHealth,
}

/// Everything needed to start a server, again and again, with the same port and data.
pub(super) struct Launch {
    /// For messages.
    pub(super) name: String,
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<OsString>,
    pub(super) environment: Vec<(&'static str, OsString)>,
    /// User and group number to run under; `None` means ours.
    pub(super) user: Option<u32>,
    /// The port that must accept.
    pub(super) port: u16,
    pub(super) ready: Ready,
}

/// A server of ours with its folder. Dropping it kills the server and removes the folder.
pub(super) struct Server {
    launch: Launch,
    watchdog: Watchdog,
    child: Option<Child>,
    scratch: Scratch,
}

impl Server {
    /// A server that is not running yet.
    ///
    /// # Errors
    /// Its watchdog could not be started.
    pub(super) fn new(launch: Launch, scratch: Scratch) -> Result<Server, ServiceError> {
        let watchdog = Watchdog::over(scratch.path());
        let watchdog = watchdog.map_err(|cause| ServiceError::file("watch over", scratch.path(), cause))?;
        Ok(Server { launch, watchdog, child: None, scratch })
    }

    /// Starts it and waits until it is ready. Nothing happens when it is running.
    ///
    /// # Errors
    /// It ended, or was not ready within 300 s; the last lines of its log are in the error.
    pub(super) fn start(&mut self) -> Result<(), ServiceError> {
        if self.child.is_some() && self.ended()?.is_none() {
            return Ok(());
        }
        self.end("KILL");
        let before = fs::metadata(self.log()).map_or(0, |log| log.len());
        self.spawn().map_err(|cause| self.not_ready(cause.to_string()))?;
        let ready = wait::until(READY_LIMIT, READY_POLL, || {
            if let Some(status) = self.ended()? {
                return Err(self.not_ready(format!("it ended with {status}")));
            }
            Ok(self.is_ready(before).then_some(()))
        });
        match ready {
            Ok(Some(())) => Ok(()),
            Ok(None) => {
                let error = self.not_ready(format!("it was not ready within {} s", READY_LIMIT.as_secs()));
                self.end("KILL");
                Err(error)
            }
            Err(error) => {
                self.end("KILL");
                Err(error)
            }
        }
    }

    /// Asks it to end, waits for 30 s at most, then kills it.
    pub(super) fn stop(&mut self) {
        self.end("TERM");
    }

    /// Kills it with signal 9.
    pub(super) fn kill9(&mut self) {
        self.end("KILL");
    }

    /// Freezes it: connections stay open, nothing is answered.
    pub(super) fn pause(&self) {
        self.signal("STOP");
    }

    /// Ends a freeze.
    pub(super) fn resume(&self) {
        self.signal("CONT");
    }

    /// Process id of the first process; `None` when it is down.
    pub(super) fn process_id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Everything it wrote to its output so far.
    pub(super) fn log(&self) -> PathBuf {
        self.scratch.path().join("server.log")
    }

    fn spawn(&mut self) -> std::io::Result<()> {
        let log = OpenOptions::new().create(true).append(true).open(self.log())?;
        let mut command = Command::new("sh");
        command.args(["-c", GATE, "sluicegate-gate"]).arg(&self.launch.program).args(&self.launch.arguments);
        command.envs(self.launch.environment.iter().map(|(name, value)| (name, value)));
        command.current_dir(self.scratch.path()).process_group(0);
        command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
        if let Some(user) = self.launch.user {
            command.uid(user).gid(user);
        }
        let mut child = command.spawn()?;
        let gate = child.stdin.take();
        // Kept before anything can fail: from here on the child is reaped by `end`.
        let leader = self.child.insert(child).id();
        self.watchdog.guard(leader)?;
        match gate {
            Some(mut gate) => gate.write_all(b"go\n"),
            None => Err(std::io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn is_ready(&self, log_before: u64) -> bool {
        match self.launch.ready {
            Ready::LogLine(line) => self.log_since(log_before).contains(line) && accepts(self.launch.port),
            Ready::ClusterHealth => healthy(self.launch.port),
        }
    }

    /// Looks whether it has ended by itself; the process is not reaped here when it runs.
    fn ended(&mut self) -> Result<Option<std::process::ExitStatus>, ServiceError> {
        match &mut self.child {
            Some(child) => child.try_wait().map_err(|cause| self.not_ready(cause.to_string())),
            None => Ok(None),
        }
    }

    /// Ends the process group with `signal`, killing it after the limit, and reaps the leader.
    fn end(&mut self, signal: &str) {
        let Some(mut child) = self.child.take() else { return };
        // A child that has been reaped already has no group any more: its number may be another's.
        if !matches!(child.try_wait(), Ok(Some(_))) {
            self::signal(child.id(), signal);
            // A frozen process ends only when it may run.
            self::signal(child.id(), "CONT");
            if self.gone_within(&mut child, STOP_LIMIT).is_none() {
                self::signal(child.id(), "KILL");
                let _ = child.wait();
            }
        }
        let _ = self.watchdog.unguard();
        // Elasticsearch's launcher ends a moment before the server it started has closed its port.
        let _ = wait::until(STOP_LIMIT, READY_POLL, || Ok::<_, ()>((!accepts(self.launch.port)).then_some(())));
    }

    fn gone_within(&self, child: &mut Child, limit: Duration) -> Option<std::process::ExitStatus> {
        wait::until(limit, READY_POLL, || child.try_wait()).ok().flatten()
    }

    fn signal(&self, name: &str) {
        if let Some(child) = &self.child {
            signal(child.id(), name);
        }
    }

    fn log_since(&self, before: u64) -> String {
        let mut bytes = Vec::new();
        let read = File::open(self.log()).and_then(|mut log| {
            log.seek(SeekFrom::Start(before))?;
            log.read_to_end(&mut bytes)
        });
        read.map_or_else(|_| String::new(), |_| String::from_utf8_lossy(&bytes).into_owned())
    }

    fn not_ready(&self, cause: String) -> ServiceError {
        let log = tail(&self.log_since(0), LOG_LINES);
        ServiceError::NotReady { service: self.launch.name.clone(), cause, log }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end("KILL");
        let _ = fs::remove_dir_all(self.scratch.path());
        self.watchdog.release();
    }
}

/// Sends a signal to a whole process group, by the shell's own `kill`: std knows only signal 9 for one process.
pub(super) fn signal(leader: u32, name: &str) {
    let mut command = Command::new("sh");
    command.args(["-c", r#"kill -s "$1" -- "-$2""#, "sluicegate-signal", name, &leader.to_string()]);
    let _ = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
}

/// Whether something listens on the loopback port.
fn accepts(port: u16) -> bool {
    TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), CONNECT_LIMIT).is_ok()
}

/// Whether the cluster can take documents.
fn healthy(port: u16) -> bool {
    let path = "/_cluster/health?wait_for_status=yellow&timeout=1s";
    let address = format!("127.0.0.1:{port}");
    http::request(&address, "GET", path, None, Duration::from_secs(5)).is_ok_and(|reply| reply.status == 200)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(script: &str, line: &'static str, port: u16) -> Server {
        let launch = Launch {
            name: "a script".to_owned(),
            program: "sh".into(),
            arguments: vec!["-c".into(), script.into()],
            environment: Vec::new(),
            user: None,
            port,
            ready: Ready::LogLine(line),
        };
        Server::new(launch, Scratch::make("unit").unwrap()).unwrap()
    }

    /// A listener of this process stands for the server's port.
    fn listener() -> (std::net::TcpListener, u16) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, port)
    }

    #[test]
    fn an_owner_that_dies_before_the_go_leaves_nothing() {
        let scratch = Scratch::make("unit").unwrap();
        let trace = scratch.path().join("trace");
        let mut gate = Command::new("sh");
        gate.args(["-c", GATE, "gate", "touch"]).arg(&trace).stdin(Stdio::piped());
        let mut child = gate.spawn().unwrap();
        drop(child.stdin.take());
        assert_eq!(child.wait().unwrap().code(), Some(1));
        assert!(!trace.exists(), "the server was let go without its watchdog");

        let mut child = gate.spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"go\n").unwrap();
        assert!(child.wait().unwrap().success() && trace.exists());
    }

    #[test]
    fn a_server_that_ends_tells_why() {
        let (_, port) = listener();
        let mut server = server("echo no such setting; exit 4", "ready", port);
        let text = server.start().unwrap_err().to_string();
        assert!(text.contains("exit status: 4") && text.ends_with("no such setting"), "{text}");
        assert_eq!(server.process_id(), None);
    }

    #[test]
    fn readiness_needs_a_line_of_this_start() {
        let (listener, port) = listener();
        // The second start never prints the line: the first one's must not count.
        let script = "[ -e once ] && { echo second; exit 5; }; touch once; echo ready; sleep 120";
        let mut server = server(script, "ready", port);
        server.start().unwrap();
        let process = server.process_id().unwrap();
        drop(listener);
        server.kill9();
        assert!(!std::path::Path::new(&format!("/proc/{process}")).exists(), "the leader was not reaped");
        assert!(server.start().is_err());
    }

    #[test]
    fn dropping_ends_the_whole_group_and_removes_the_folder() {
        let (listener, port) = listener();
        let mut server = server("sleep 120 & echo $! > child; echo ready; wait", "ready", port);
        server.start().unwrap();
        drop(listener);
        let folder = server.scratch.path().to_owned();
        let child = fs::read_to_string(folder.join("child")).unwrap();
        let status = format!("/proc/{}/stat", child.trim());
        drop(server);
        assert!(!folder.exists());
        let gone = wait::until(Duration::from_secs(20), READY_POLL, || {
            let stat = fs::read_to_string(&status).unwrap_or_default();
            Ok::<_, ()>((stat.is_empty() || stat.contains(") Z ")).then_some(()))
        });
        assert_eq!(gone, Ok(Some(())), "the second process of the group lives on");
    }

    #[test]
    fn a_frozen_server_can_be_stopped() {
        let (listener, port) = listener();
        let mut server = server("echo ready; sleep 120", "ready", port);
        server.start().unwrap();
        server.pause();
        drop(listener);
        let started = std::time::Instant::now();
        server.stop();
        assert!(started.elapsed() < STOP_LIMIT, "it had to be killed");
        assert_eq!(server.process_id(), None);
    }
}
