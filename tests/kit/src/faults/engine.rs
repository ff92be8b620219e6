//! The engine as a process: started, signalled, waited for, asked, and read. It never outlives the thread that started
//! it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::services::ElasticsearchClient;
use anyhow::{Context as _, bail};
use serde_json::Value;

/// What its log says before the address of its endpoint.
const LISTENS: &str = "telemetry listens on http://";
/// How often something is looked at while waiting.
const LOOK: Duration = Duration::from_millis(10);
/// Lines of a log in an error.
const TAIL: usize = 25;

/// The engine under test: a program, words before `run`, and its load.
#[derive(Debug, Clone)]
pub struct Program {
    /// The file.
    pub path: PathBuf,
    /// Words that come first.
    pub words: Vec<OsString>,
    /// Records a second that are fed.
    pub rate: f64,
    /// What it finds in its environment beside what is there.
    pub environment: Vec<(OsString, OsString)>,
}

/// A running engine. Killed when dropped.
pub struct Engine {
    child: Child,
    log: PathBuf,
}

impl Engine {
    /// `run -c FILE`, its files in `folder` under `name`.
    ///
    /// # Errors
    /// The files cannot be written or the process not started.
    pub fn start(program: &Program, folder: &Path, name: &str, plan: &Value) -> anyhow::Result<Self> {
        let (file, log) = (folder.join(format!("{name}.json")), folder.join(format!("{name}.log")));
        fs::write(&file, plan.to_string()).context("write the configuration")?;
        let out = File::create(&log).context("make the log")?;
        // Ends with the thread that started it, however that ends.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(&program.path).args(&program.words);
        command.args(["--log-format", "json", "run", "-c"]).arg(&file).current_dir(folder);
        command.envs(program.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(out);
        let child = command.spawn().context("start the engine by setpriv (Debian: util-linux)")?;
        Ok(Self { child, log })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Signal 9, and reaped.
    ///
    /// # Errors
    /// It could not be signalled.
    pub fn kill9(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Sends a signal by name.
    ///
    /// # Errors
    /// It could not be signalled.
    pub fn signal(&self, name: &str) -> anyhow::Result<()> {
        let number = self.child.id().to_string();
        let status = Command::new("sh").args(["-c", r#"kill -s "$1" "$2""#, "signal", name, &number]).status()?;
        if status.success() { Ok(()) } else { bail!("the engine could not be sent {name}\n{}", self.tail()) }
    }

    /// Sets a limit of the running process, as an argument of `prlimit`.
    ///
    /// # Errors
    /// The system refuses.
    pub fn limit(&self, limit: &str) -> anyhow::Result<()> {
        let status = Command::new("prlimit").args(["--pid", &self.child.id().to_string(), limit]).status()?;
        if status.success() { Ok(()) } else { bail!("prlimit (Debian: util-linux) failed to set {limit}") }
    }

    /// Its exit code, -1 after a signal; `None` while it runs.
    ///
    /// # Errors
    /// The system does not say.
    pub fn ended(&mut self) -> anyhow::Result<Option<i32>> {
        Ok(self.child.try_wait()?.map(|status| status.code().unwrap_or(-1)))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It did not end within `limit`.
    pub fn wait(&mut self, limit: Duration) -> anyhow::Result<i32> {
        let end = Instant::now() + limit;
        loop {
            if let Some(code) = self.ended()? {
                return Ok(code);
            }
            if Instant::now() >= end {
                bail!("the engine did not end within {limit:?}\n{}", self.tail());
            }
            std::thread::park_timeout(LOOK);
        }
    }

    /// Everything it logged.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The last lines it logged.
    pub fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }

    /// Where it logs.
    pub fn log_file(&self) -> &Path {
        &self.log
    }

    /// `/status`; `None` while it does not answer.
    pub fn status(&self) -> Option<Value> {
        status_of(self.log_file())
    }

    /// Records read so far; 0 while it does not answer.
    pub fn consumed(&self) -> u64 {
        self.status().map_or(0, |status| {
            let pipelines = status["pipelines"].as_object().into_iter().flat_map(|all| all.values());
            pipelines.filter_map(|one| one["conservation"]["consumed"].as_u64()).sum()
        })
    }

    /// Whether a fault of this component is named in `/status`.
    pub fn names_a_fault_of(&self, component: &str) -> bool {
        self.status().is_some_and(|status| {
            let pipelines = status["pipelines"].as_object().into_iter().flat_map(|all| all.values());
            let faults = pipelines.flat_map(|one| one["faults"].as_array().cloned().unwrap_or_default());
            faults.into_iter().any(|fault| fault["component"] == component)
        })
    }

    /// Largest resident memory so far, in bytes; 0 when it has ended.
    pub fn peak_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `/status` of the engine that logs into this file; `None` while it does not answer.
pub fn status_of(log: &Path) -> Option<Value> {
    let log = String::from_utf8_lossy(&fs::read(log).ok()?).into_owned();
    let address = log.split_once(LISTENS)?.1.split('/').next()?;
    let reply = ElasticsearchClient::at(address).request("GET", "/status", None).ok()?;
    serde_json::from_slice(&reply.body).ok()
}

/// Waits until `done` says so, looking often.
///
/// # Errors
/// `what` did not happen within `limit`, or `done` failed.
pub fn until(what: &str, limit: Duration, mut done: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let end = Instant::now() + limit;
    while !done()? {
        if Instant::now() >= end {
            bail!("not within {limit:?}: {what}");
        }
        std::thread::park_timeout(LOOK);
    }
    Ok(())
}

/// Lets time pass where the length of a fault is what matters; never to wait for something.
pub fn let_pass(time: Duration) {
    let end = Instant::now() + time;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(left);
    }
}
