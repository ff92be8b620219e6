//! The binary as a process: started with a configuration file, signalled, waited for, and read.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use sluicegate_testkit::services::{ElasticsearchClient, HttpReply};

use super::bench::until;

/// Lines of stderr shown when something is wrong.
const TAIL_LINES: usize = 40;
/// What the endpoint's log line says before its address.
const LISTENS: &str = "telemetry listens on ";

/// A running process. Killed when dropped.
pub struct Process {
    child: Child,
    folder: tempfile::TempDir,
    name: String,
}

impl Process {
    /// `sluicegate run -c FILE`, with `arguments` behind.
    pub fn run(name: &str, yaml: &str, arguments: &[&str]) -> Process {
        Process::of("run", name, yaml, arguments)
    }

    /// `sluicegate COMMAND -c FILE`, with `arguments` behind.
    pub fn of(verb: &str, name: &str, yaml: &str, arguments: &[&str]) -> Process {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sluicegate.yaml");
        fs::write(&file, yaml).unwrap();
        let log = File::create(folder.path().join("stderr")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluicegate"));
        command.args(["--log-format", "text", verb, "-c"]).arg(&file).args(arguments).current_dir(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        Process { child: command.spawn().unwrap(), folder, name: name.to_owned() }
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end within `limit`; it is killed then.
    pub fn wait(mut self, limit: Duration) -> Ended {
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Ended { status, log: self.log(), report: self.folder.path().join("report"), process: self };
            }
            if Instant::now() >= end {
                self.stacks();
                panic!("{} did not end within {limit:?}\n{}", self.name, self.tail());
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    /// Asks it to drain and end.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Stops all its threads where they are; its connections stay open.
    pub fn stand_still(&self) {
        self.signal("STOP");
    }

    /// Lets it run on.
    pub fn go_on(&self) {
        self.signal("CONT");
    }

    /// Kills it with signal 9 and reaps it; returns its last lines.
    pub fn kill9(mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        assert_sane(&self.name, &self.log());
        self.tail()
    }

    /// Everything it wrote to stderr.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.folder.path().join("stderr")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The last lines of stderr, under a heading.
    pub fn tail(&self) -> String {
        tail(&self.name, &self.log())
    }

    /// Asks its endpoint, which it named in the log.
    pub fn get(&self, path: &str) -> HttpReply {
        let limit = Duration::from_secs(30);
        until("the endpoint's address in the log", limit, || self.address().is_some(), || self.tail());
        let address = self.address().unwrap();
        let reply = ElasticsearchClient::at(&address).request("GET", path, None);
        reply.unwrap_or_else(|error| panic!("{error}\n{}", self.tail()))
    }

    /// Records of a pipeline its sink has acknowledged so far.
    pub fn delivered(&self, pipeline: &str) -> u64 {
        let text = String::from_utf8(self.get("/metrics").body).unwrap();
        let is_it = |line: &&str| {
            line.starts_with("sluicegate_records_total{")
                && line.contains(&format!("pipeline=\"{pipeline}\""))
                && line.contains("outcome=\"delivered\"")
        };
        let found = text.lines().find(is_it).and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        found.unwrap_or_else(|| panic!("no delivered records of {pipeline} in\n{text}")) as u64
    }

    /// Waits until a pipeline has delivered this many records.
    pub fn await_delivered(&self, pipeline: &str, records: u64, limit: Duration) {
        let what = format!("{records} records delivered by {pipeline}");
        until(&what, limit, || self.delivered(pipeline) >= records, || self.tail());
    }

    fn address(&self) -> Option<String> {
        let log = self.log();
        let (_, rest) = log.split_once(LISTENS)?;
        Some(rest.split(['/', '"', ' ', '\n']).find(|part| part.starts_with("127."))?.to_owned())
    }

    fn signal(&self, name: &str) {
        let number = self.child.id().to_string();
        let status = Command::new("sh").args(["-c", r#"kill -s "$1" "$2""#, "signal", name, &number]).status();
        assert!(status.unwrap().success(), "{} could not be signalled", self.name);
    }

    /// What its threads wait on, where the system shows it: for a process that hangs.
    fn stacks(&self) {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).into_iter().flatten().flatten();
        for task in tasks {
            let read = |file: &str| fs::read_to_string(task.path().join(file)).unwrap_or_default();
            eprintln!("  thread {}: {}", read("comm").trim(), read("wchan"));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process that has ended.
pub struct Ended {
    pub status: ExitStatus,
    pub log: String,
    report: PathBuf,
    process: Process,
}

impl Ended {
    /// Fails unless it ended with `code` and without a bug in its own eyes.
    pub fn assert_code(self, code: i32) -> Ended {
        let found = self.status.code();
        assert_eq!(found, Some(code), "{} ended with {}\n{}", self.process.name, self.status, self.process.tail());
        assert_sane(&self.process.name, &self.log);
        self
    }

    /// A number of a pipeline in the run's file.
    pub fn count(&self, pipeline: &str, member: &str) -> u64 {
        let run = self.run_file();
        let found = run["pipelines"][pipeline][member].as_u64();
        found.unwrap_or_else(|| panic!("no {member} of {pipeline} in {run}"))
    }

    /// The last lines of stderr.
    pub fn tail(&self) -> String {
        self.process.tail()
    }

    /// `run.json` of a process started with `--report report`.
    pub fn run_file(&self) -> serde_json::Value {
        serde_json::from_slice(&fs::read(self.report.join("run.json")).unwrap()).unwrap()
    }
}

/// Fails when a process says of itself that it is wrong.
pub fn assert_sane(name: &str, log: &str) {
    for sign in ["panicked", "a bug", "conservation"] {
        let line = log.lines().find(|line| line.contains(sign));
        assert!(line.is_none(), "{name}: {}\n{}", line.unwrap_or_default(), tail(name, log));
    }
}

/// The last lines of what somebody wrote to stderr, under a heading.
pub fn tail(name: &str, log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let last = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
    format!("stderr of {name} ends with:\n{last}")
}
