//! A small shell that outlives its owner: it ends the owner's server and removes its folder.
//!
//! libtest has no hook at its end, statics are never dropped, and a test process may be killed with signal 9. What
//! always happens is that the kernel closes the process's pipes, so the watchdog waits for the end of its input. It
//! runs in a process group of its own and ignores the signals of a terminal.

use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

/// The shell's program.
const SCRIPT: &str = include_str!("watchdog.sh");

/// One watchdog for one server's folder and process group.
pub struct Watchdog {
    child: Child,
    /// `None` once released.
    input: Option<ChildStdin>,
}

impl Watchdog {
    /// Starts a watchdog over `folder`, whose last component must begin with `sluicegate-`.
    ///
    /// # Errors
    /// No shell could be started.
    pub fn over(folder: &Path) -> io::Result<Watchdog> {
        let mut child = Command::new("sh")
            .args(["-c", SCRIPT, "sluicegate-watchdog"])
            .arg(folder)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let input = child.stdin.take();
        Ok(Watchdog { child, input })
    }

    /// From now on the process group `leader` is ended with the owner.
    ///
    /// # Errors
    /// The watchdog is gone: the server must not be let go.
    pub fn guard(&mut self, leader: u32) -> io::Result<()> {
        self.tell(&format!("group {leader}\n"))
    }

    /// Nothing is running any more; said while the ended leader is still unreaped, so that its id cannot be another's.
    ///
    /// # Errors
    /// The watchdog is gone.
    pub fn unguard(&mut self) -> io::Result<()> {
        self.tell("none\n")
    }

    /// Ends the watchdog without harm: the owner has cleaned up.
    pub fn release(&mut self) {
        if self.tell("done\n").is_ok() {
            self.input = None;
            let _ = self.child.wait();
        }
    }

    fn tell(&mut self, line: &str) -> io::Result<()> {
        match &mut self.input {
            Some(input) => input.write_all(line.as_bytes()),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;
    use crate::services::wait;

    fn folder() -> (tempfile::TempDir, std::path::PathBuf) {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("sluicegate-watched");
        fs::create_dir(&folder).unwrap();
        (parent, folder)
    }

    fn sleeper() -> Child {
        Command::new("sleep").arg("120").process_group(0).spawn().unwrap()
    }

    #[test]
    fn the_end_of_the_owner_ends_the_server_and_its_folder() {
        let (_parent, folder) = folder();
        let mut server = sleeper();
        let mut watchdog = Watchdog::over(&folder).unwrap();
        watchdog.guard(server.id()).unwrap();
        drop(watchdog.input.take());
        let ended = wait::until(Duration::from_secs(20), Duration::from_millis(5), || server.try_wait()).unwrap();
        assert!(!ended.expect("the server lives on").success());
        watchdog.child.wait().unwrap();
        assert!(!folder.exists());
    }

    #[test]
    fn an_unguarded_process_and_a_released_folder_stay() {
        let (_parent, folder) = folder();
        let mut server = sleeper();
        let mut watchdog = Watchdog::over(&folder).unwrap();
        watchdog.guard(server.id()).unwrap();
        watchdog.unguard().unwrap();
        watchdog.release();
        assert!(folder.exists());
        assert!(server.try_wait().unwrap().is_none(), "the server was ended");
        server.kill().unwrap();
        server.wait().unwrap();
    }

    #[test]
    fn a_folder_of_another_name_is_never_removed() {
        let parent = tempfile::tempdir().unwrap();
        let mut watchdog = Watchdog::over(parent.path()).unwrap();
        drop(watchdog.input.take());
        watchdog.child.wait().unwrap();
        assert!(parent.path().exists());
    }
}
