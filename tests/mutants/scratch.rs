//! The copy of the checkout that has all known bugs in it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use crate::patches;

/// Makes `scratch` a copy of `checkout` with all patches applied. A file that is there as it should be keeps its time,
/// so that cargo builds again only what has changed.
///
/// # Errors
/// A patch that does not apply, and whatever the file system says.
pub fn update(checkout: &Path, scratch: &Path) -> anyhow::Result<()> {
    let patched = patches::patched(checkout)?;
    let files = tracked(checkout)?;
    for path in &files {
        let wanted = match patched.get(path) {
            Some(text) => text.clone().into_bytes(),
            None => fs::read(checkout.join(path))?,
        };
        let copy = scratch.join(path);
        if fs::read(&copy).is_ok_and(|there| there == wanted) {
            continue;
        }
        fs::create_dir_all(copy.parent().unwrap_or(scratch))?;
        fs::write(&copy, wanted).with_context(|| format!("failed to write {}", copy.display()))?;
    }
    remove_others(scratch, scratch, &files)
}

/// The files of a checkout, without what git ignores.
fn tracked(checkout: &Path) -> anyhow::Result<BTreeSet<PathBuf>> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(checkout)
        .stderr(Stdio::inherit())
        .output()
        .context("failed to run git")?;
    ensure!(output.status.success(), "git does not list the files of {}", checkout.display());
    let names = String::from_utf8(output.stdout)?;
    // A file that is deleted but not yet in a commit is still listed.
    let there = |path: &PathBuf| checkout.join(path).is_file();
    Ok(names.split_terminator('\0').map(PathBuf::from).filter(there).collect())
}

/// Removes files that the checkout does not have any more: a module may not lie in two places.
fn remove_others(directory: &Path, scratch: &Path, files: &BTreeSet<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(&path, scratch, files)?;
        } else if !files.contains(path.strip_prefix(scratch)?) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}
