//! Programs from Debian, installed only where that is possible without asking anybody: as root, with `apt-get`.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::cache::Cache;
use super::error::ServiceError;
use super::run::run;

/// How long `apt-get` may take.
const APT_LIMIT: Duration = Duration::from_secs(600);

/// Whether this process may install packages and start servers under another user.
pub(super) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// The first executable of this name in `PATH`.
pub(super) fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| is_executable(file))
}

/// Whether the path is a file somebody may execute.
pub(super) fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.mode() & 0o111 != 0)
}

/// Installs a Debian package, one process at a time.
///
/// # Errors
/// Not root, no `apt-get`, or `apt-get` failed.
pub(super) fn install(cache: &Cache, package: &str, download: &str) -> Result<(), ServiceError> {
    let apt = in_path("apt-get").filter(|_| is_root()).ok_or_else(|| ServiceError::Missing {
        what: format!("the Debian package {package}"),
        remedy: format!("install it (`apt-get install {package}`); only root can do that from here"),
    })?;
    let _lock = cache.lock("apt")?;
    announce(&format!("installing the Debian package {package} ({download})"));
    let apt = |arguments: &[&str]| {
        let mut command = Command::new(&apt);
        command.env("DEBIAN_FRONTEND", "noninteractive").args(["-q", "-o", "DPkg::Lock::Timeout=300"]).args(arguments);
        run(&mut command, APT_LIMIT)
    };
    apt(&["update"])?;
    apt(&["install", "-y", "--no-install-recommends", package]).map(|_| ())
}

/// Says on the real stderr, past the test harness's capture, that something slow is being done.
pub(super) fn announce(what: &str) {
    let _ = writeln!(io::stderr(), "sluicegate test services: {what}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_by_path() {
        assert!(in_path("sh").is_some_and(|path| path.is_absolute()));
        assert_eq!(in_path("no-such-program-anywhere"), None);
        assert!(!is_executable(Path::new("/etc/passwd")));
    }
}
