//! The last lines of a test run: what was skipped, and why.
//!
//! libtest has no hook at its end, and a skipped test looks like a passed one. So a small shell collects the skips and
//! prints them when this process has ended, which it sees from the end of its input.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// Prints its input, `cause<TAB>test` a line, as one line a cause under a heading; ignores the signals of the terminal
/// that end the tests.
const SCRIPT: &str = r#"
trap '' HUP INT QUIT TERM
sort -u | {
    last=
    while IFS=$(printf '\t') read -r cause test; do
        [ -n "$last" ] || printf '\nSKIPPED on real servers (SLUICEGATE_TEST_SERVICES=required makes this an error)'
        [ "$cause" = "$last" ] || printf '\n  %s:' "$cause"
        printf ' %s' "$test"
        last=$cause
    done
    [ -z "$last" ] || printf '\n'
} >&2
"#;

/// The reporter's input; it stays open until the process ends.
static REPORTER: Mutex<Option<ChildStdin>> = Mutex::new(None);

/// Notes that `test` did not run.
pub fn record(test: &str, cause: &str) {
    let line = format!("{}\t{test}\n", cause.replace('\t', " ").replace('\n', " | "));
    let mut reporter = REPORTER.lock().unwrap_or_else(PoisonError::into_inner);
    if reporter.is_none() {
        *reporter = start();
    }
    let told = reporter.as_mut().is_some_and(|reporter| reporter.write_all(line.as_bytes()).is_ok());
    assert!(told, "the reporter of skipped tests is gone; skipped:\n{line}");
}

/// stderr is inherited on purpose: the reporter ends right after this process, so nobody waits for it for long.
fn start() -> Option<ChildStdin> {
    let mut command = Command::new("sh");
    command.args(["-c", SCRIPT, "sluicegate-skipped"]).stdin(Stdio::piped()).stdout(Stdio::null());
    command.process_group(0).spawn().ok()?.stdin
}
