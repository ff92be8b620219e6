//! Set-up commands (`mvn`, `apt-get`, `java -version`), run to their end within a deadline.

use std::io::{self, Read as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::error::{ServiceError, tail};
use super::{process, wait};

/// How often the end of a command is looked for.
const POLL: Duration = Duration::from_millis(20);
/// How long a grandchild that outlives the command may keep the output open.
const LINGER: Duration = Duration::from_secs(5);

/// Runs `command` and returns what it printed, both streams together.
///
/// # Errors
/// It cannot be started, ends with a failure, or runs longer than `limit` (then its process group is killed).
pub(super) fn run(command: &mut Command, limit: Duration) -> Result<String, ServiceError> {
    let typed = typed(command);
    let failed =
        |cause: String, output: &str| ServiceError::Command { command: typed.clone(), cause, output: tail(output, 12) };
    let (child, mut output) = spawn(command).map_err(|cause| failed(cause.to_string(), ""))?;
    // Read beside the wait: a full pipe would stop the command.
    let (told, heard) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = output.read_to_end(&mut bytes);
        let _ = told.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    let ended = end_within(child, limit);
    let output = heard.recv_timeout(LINGER).unwrap_or_default();
    match ended {
        Ok(Some(status)) if status.success() => Ok(output),
        Ok(Some(status)) => Err(failed(status.to_string(), &output)),
        Ok(None) => Err(failed(format!("still running after {} s", limit.as_secs()), &output)),
        Err(cause) => Err(failed(cause.to_string(), &output)),
    }
}

/// Starts it in a process group of its own, both streams into one pipe. The command's copies of the pipe's write end
/// are dropped here, so that the reader sees the end when the child does.
fn spawn(command: &mut Command) -> io::Result<(Child, io::PipeReader)> {
    let (reader, writer) = io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).process_group(0);
    let child = command.spawn();
    command.stdout(Stdio::null()).stderr(Stdio::null());
    Ok((child?, reader))
}

/// Waits for the end; at `limit` kills the group.
fn end_within(mut child: Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let status = wait::until(limit, POLL, || child.try_wait())?;
    if status.is_none() {
        process::signal(child.id(), "KILL");
        child.wait()?;
    }
    Ok(status)
}

/// The command as one would type it, for messages.
fn typed(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(160) {
        Some((cut, _)) => format!("{}…", &line[..cut]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn both_streams_come_back() {
        let output = run(&mut shell("echo out; echo err >&2"), Duration::from_secs(20)).unwrap();
        assert_eq!(output, "out\nerr\n");
    }

    #[test]
    fn a_failure_carries_status_and_output() {
        let text = run(&mut shell("echo why; exit 3"), Duration::from_secs(20)).unwrap_err().to_string();
        assert!(text.contains("exit status: 3") && text.ends_with("why"), "{text}");
    }

    #[test]
    fn an_overrun_is_killed_with_its_children() {
        let started = std::time::Instant::now();
        let text = run(&mut shell("sleep 60 & sleep 60"), Duration::from_millis(50)).unwrap_err().to_string();
        assert!(text.contains("still running"), "{text}");
        assert!(started.elapsed() < Duration::from_secs(30), "the children held the pipe open");
    }
}
