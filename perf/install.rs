//! What other programs need to be measured: a folder for it outside the checkout, and commands that build it.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// How long one command may take: a build with an empty cache on a busy machine.
const LIMIT: Duration = Duration::from_secs(1800);
/// How often its end is looked for.
const POLL: Duration = Duration::from_millis(50);
/// Lines of its output in an error.
const LINES: usize = 15;

/// The folder of this name below `$XDG_CACHE_HOME/sluicegate`, else `~/.cache/sluicegate`; it need not be there yet.
///
/// # Errors
/// Neither variable is set.
pub fn folder(name: &str) -> anyhow::Result<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let root = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    let root = root.with_context(|| format!("set HOME or XDG_CACHE_HOME: {name} is kept below it"))?;
    Ok(root.join("sluicegate").join(name))
}

/// The first program of this name in `PATH` or one of these folders.
pub fn find(program: &str, folders: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = folders.iter().map(PathBuf::from);
    std::env::split_paths(&path).chain(folders).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Runs a command to its end and returns what it printed.
///
/// # Errors
/// It cannot be started, fails, or takes longer than half an hour; the end of its output is in the error.
pub fn finish(command: &mut Command) -> anyhow::Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let log = tempfile::NamedTempFile::new()?;
    let out = || File::options().append(true).open(log.path());
    let mut child =
        command.stdout(out()?).stderr(out()?).spawn().with_context(|| format!("{program} cannot be started"))?;
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if started.elapsed() > LIMIT {
            child.kill()?;
            child.wait()?;
            break None;
        }
        std::thread::park_timeout(POLL);
    };
    let text = String::from_utf8_lossy(&fs::read(log.path())?).into_owned();
    match status {
        Some(status) if status.success() => Ok(text),
        status => {
            let lines: Vec<&str> = text.lines().collect();
            let end = lines[lines.len().saturating_sub(LINES)..].join("\n");
            let ended = status.map_or_else(
                || format!("did not end within {} s", LIMIT.as_secs()),
                |status| format!("ended with {status}"),
            );
            bail!("{program} {ended}\n{end}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_tells_what_it_printed_and_why_it_failed() {
        let shell = |script: &str| finish(Command::new("sh").args(["-c", script]));
        assert_eq!(shell("echo out; echo err >&2").expect("a clean end"), "out\nerr\n");
        let text = shell("echo no such module; exit 3").expect_err("a failure").to_string();
        assert!(text.contains("exit status: 3") && text.ends_with("no such module"), "{text}");
        assert!(finish(&mut Command::new("no-such-program-anywhere")).is_err());
        assert!(find("sh", &[]).is_some() && find("no-such-program-anywhere", &["/usr/bin"]).is_none());
    }
}
