//! What was fetched once and is reused: a folder outside the checkout, safe for test processes that run beside each
//! other.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::ServiceError;
use super::wait;

/// Overrides the place of the cache.
const VARIABLE: &str = "SLUICEGATE_TEST_CACHE";
/// How long one process waits for another that is fetching the same thing.
const LOCK_LIMIT: Duration = Duration::from_secs(900);
/// How often the lock is tried.
const LOCK_POLL: Duration = Duration::from_millis(100);

/// The cache folder: one finished folder an artefact, lock files beside them.
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// The cache of this user: `$SLUICEGATE_TEST_CACHE`, else `$XDG_CACHE_HOME/sluicegate/services`, else
    /// `~/.cache/sluicegate/services`.
    ///
    /// # Errors
    /// None of the variables is set.
    pub fn of_user() -> Result<Cache, ServiceError> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        place(variable(VARIABLE), variable("XDG_CACHE_HOME"), variable("HOME")).map(Cache::at).ok_or_else(|| {
            ServiceError::Missing {
                what: "a place for downloads".to_owned(),
                remedy: format!("set HOME, XDG_CACHE_HOME or {VARIABLE}"),
            }
        })
    }

    /// A cache at a given place.
    pub(super) fn at(root: PathBuf) -> Cache {
        Cache { root }
    }

    /// A folder for bookkeeping inside the cache, made when missing.
    pub(super) fn folder(&self, name: &str) -> Result<PathBuf, ServiceError> {
        let path = self.root.join(name);
        fs::create_dir_all(&path).map_err(|cause| ServiceError::file("make the folder", &path, cause))?;
        Ok(path)
    }

    /// The finished folder `name`; when it is not there yet, `install` fills it, once among all processes. A folder
    /// appears under its name only when `install` has succeeded, so a run that was killed leaves nothing half done.
    ///
    /// # Errors
    /// `install` failed, the folder cannot be written, or another process held the lock for 15 minutes.
    pub(super) fn obtain(
        &self,
        name: &str,
        install: impl FnOnce(&Path) -> Result<(), ServiceError>,
    ) -> Result<PathBuf, ServiceError> {
        let finished = self.root.join(name);
        if finished.is_dir() {
            return Ok(finished);
        }
        let _lock = self.lock(name)?;
        if finished.is_dir() {
            return Ok(finished);
        }
        let partial = self.root.join(format!("{name}.partial"));
        let _ = fs::remove_dir_all(&partial);
        fs::create_dir_all(&partial).map_err(|cause| ServiceError::file("make the folder", &partial, cause))?;
        install(&partial)?;
        fs::rename(&partial, &finished).map_err(|cause| ServiceError::file("finish the folder", &finished, cause))?;
        Ok(finished)
    }

    /// Holds the lock `name` among all processes that share the cache.
    ///
    /// # Errors
    /// It was not free within 15 minutes, or the lock file cannot be written.
    pub(super) fn lock(&self, name: &str) -> Result<File, ServiceError> {
        self.folder("")?;
        let path = self.root.join(format!("{name}.lock"));
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|cause| ServiceError::file("open the lock", &path, cause))?;
        let held = wait::until(LOCK_LIMIT, LOCK_POLL, || match file.try_lock() {
            Ok(()) => Ok(Some(())),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(cause)) => Err(ServiceError::file("lock", &path, cause)),
        })?;
        match held {
            Some(()) => Ok(file),
            None => Err(ServiceError::file("lock", &path, "another process has held it for 15 minutes")),
        }
    }
}

/// The place of the cache, by the three variables.
fn place(given: Option<PathBuf>, xdg: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    let below = |folder: PathBuf| folder.join("sluicegate").join("services");
    given.or_else(|| xdg.map(below)).or_else(|| home.map(|home| below(home.join(".cache"))))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn the_variable_wins_then_xdg_then_home() {
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(place(path("/c"), path("/x"), path("/h")), path("/c"));
        assert_eq!(place(None, path("/x"), path("/h")), path("/x/sluicegate/services"));
        assert_eq!(place(None, None, path("/h")), path("/h/.cache/sluicegate/services"));
        assert_eq!(place(None, None, None), None);
    }

    #[test]
    fn one_of_many_installs_and_all_get_the_whole() {
        let root = tempfile::tempdir().unwrap();
        let installs = AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let folder = Cache::at(root.path().to_owned()).obtain("thing", |partial| {
                        installs.fetch_add(1, Ordering::SeqCst);
                        fs::write(partial.join("file"), "whole").unwrap();
                        Ok(())
                    });
                    assert_eq!(fs::read_to_string(folder.unwrap().join("file")).unwrap(), "whole");
                });
            }
        });
        assert_eq!(installs.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_failed_install_leaves_nothing_finished_and_is_tried_again() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path().to_owned());
        let failed = cache.obtain("thing", |partial| {
            fs::write(partial.join("half"), "").unwrap();
            Err(ServiceError::Off)
        });
        assert_eq!(failed, Err(ServiceError::Off));
        assert!(!root.path().join("thing").exists());
        let folder = cache.obtain("thing", |_| Ok(())).unwrap();
        assert!(!folder.join("half").exists(), "the residue of the failed install was kept");
    }
}
