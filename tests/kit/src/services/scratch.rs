//! The folder of one running server: configuration, data, log. Removed with it.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use super::error::ServiceError;

/// What must be free where servers keep their data: one that runs out of room in the middle of a test fails that test
/// in ways that do not tell of it.
const LEAST_FREE_BYTES: u64 = 2 << 30;

/// A fresh folder under the system's place for temporary files.
pub(super) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes `sluicegate-<name>-<process>-<random>`.
    ///
    /// # Errors
    /// The folder cannot be made, or there is too little room.
    pub(super) fn make(name: &str) -> Result<Scratch, ServiceError> {
        let parent = std::env::temp_dir();
        has_room(&parent, LEAST_FREE_BYTES)?;
        let path = parent.join(format!("sluicegate-{name}-{}-{:016x}", std::process::id(), fastrand::u64(..)));
        fs::create_dir(&path).map_err(|cause| ServiceError::file("make the folder", &path, cause))?;
        // A server under another user must be able to pass.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .map_err(|cause| ServiceError::file("open the folder", &path, cause))?;
        Ok(Scratch { path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a folder inside.
    pub(super) fn folder(&self, name: &str) -> Result<PathBuf, ServiceError> {
        let path = self.path.join(name);
        fs::create_dir_all(&path).map_err(|cause| ServiceError::file("make the folder", &path, cause))?;
        Ok(path)
    }

    /// Writes a file inside.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<PathBuf, ServiceError> {
        let path = self.path.join(name);
        fs::write(&path, text).map_err(|cause| ServiceError::file("write", &path, cause))?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Refuses to begin where fewer than `least_bytes` are free for this user.
fn has_room(folder: &Path, least_bytes: u64) -> Result<(), ServiceError> {
    let disk =
        rustix::fs::statvfs(folder).map_err(|cause| ServiceError::file("ask for the free space of", folder, cause))?;
    let free_bytes = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free_bytes >= least_bytes {
        return Ok(());
    }
    Err(ServiceError::Missing {
        what: format!(
            "room under {}: {} MiB are free of the {} MiB that servers need",
            folder.display(),
            free_bytes >> 20,
            least_bytes >> 20
        ),
        remedy: "make some, or set TMPDIR to a folder of another disk".to_owned(),
    })
}

/// Copies the folder `from` to `to`; with `link` set, files are hard links where the file system allows it (for files
/// that are only read).
///
/// # Errors
/// Anything that cannot be read or written.
pub(super) fn copy_folder(from: &Path, to: &Path, link: bool) -> Result<(), ServiceError> {
    let failed = |cause| ServiceError::file("copy the folder", from, cause);
    fs::create_dir_all(to).map_err(failed)?;
    for entry in fs::read_dir(from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let target = to.join(entry.file_name());
        if entry.file_type().map_err(failed)?.is_dir() {
            copy_folder(&entry.path(), &target, link)?;
        } else if !link || fs::hard_link(entry.path(), &target).is_err() {
            fs::copy(entry.path(), &target).map_err(failed)?;
        }
    }
    Ok(())
}

/// Gives a folder and all in it to a user and the group of the same number.
///
/// # Errors
/// The system refuses (only root may).
pub(super) fn give_to(folder: &Path, user: u32) -> Result<(), ServiceError> {
    let failed = |cause| ServiceError::file("change the owner of", folder, cause);
    chown(folder, Some(user), Some(user)).map_err(failed)?;
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_dir() {
            give_to(&entry.path(), user)?;
        } else {
            chown(entry.path(), Some(user), Some(user)).map_err(failed)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_folder_goes_with_its_owner() {
        let scratch = Scratch::make("unit").unwrap();
        let path = scratch.path().to_owned();
        scratch.folder("a/b").unwrap();
        scratch.write("a/b/c", "x").unwrap();
        assert!(path.join("a/b/c").exists());
        drop(scratch);
        assert!(!path.exists());
    }

    #[test]
    fn too_little_room_is_named_with_its_folder() {
        let folder = std::env::temp_dir();
        assert_eq!(has_room(&folder, 1), Ok(()));
        let text = has_room(&folder, u64::MAX).unwrap_err().to_string();
        assert!(text.starts_with(&format!("room under {}: ", folder.display())) && text.contains("TMPDIR"), "{text}");
    }

    #[test]
    fn linked_and_copied_folders_hold_the_same() {
        let from = Scratch::make("unit").unwrap();
        from.folder("in").unwrap();
        from.write("in/file", "text").unwrap();
        for link in [false, true] {
            let to = Scratch::make("unit").unwrap();
            copy_folder(from.path(), &to.path().join("copy"), link).unwrap();
            assert_eq!(fs::read_to_string(to.path().join("copy/in/file")).unwrap(), "text");
        }
    }
}
