//! The known bugs that would bend production code: each is a patch that puts its switch into a copy of that code.
//! `tests/mutants/NAME.patch` has the bug NAME, or, where several bugs touch the same lines, has its name of the place.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, anyhow, ensure};

/// Where the patches lie in a checkout.
const DIRECTORY: &str = "tests/mutants";

/// Every file that a patch changes, by its path in the checkout, with the text it has when all patches are applied.
///
/// # Errors
/// A patch that does not apply to the files as they stand.
pub fn patched(checkout: &Path) -> anyhow::Result<BTreeMap<PathBuf, String>> {
    let copy = tempfile::tempdir()?;
    let mut changed = Vec::new();
    for patch in patches(checkout)? {
        for path in changes(&patch)? {
            let target = copy.path().join(&path);
            if !target.exists() {
                fs::create_dir_all(target.parent().unwrap_or(copy.path()))?;
                fs::copy(checkout.join(&path), &target).map_err(|error| {
                    anyhow!("{} changes {}: {error}\n{}", patch.display(), path.display(), remedy(&patch))
                })?;
                changed.push(path);
            }
        }
        apply(&patch, copy.path())?;
    }
    changed.into_iter().map(|path| Ok((path.clone(), fs::read_to_string(copy.path().join(path))?))).collect()
}

/// All patches, in the order in which they are applied.
fn patches(checkout: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let directory = checkout.join(DIRECTORY);
    let entries = fs::read_dir(&directory).with_context(|| format!("failed to list {}", directory.display()))?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry?.path());
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "patch"));
    paths.sort();
    Ok(paths)
}

/// The files a patch changes.
fn changes(patch: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let text = fs::read_to_string(patch)?;
    let paths: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("+++ b/")).map(PathBuf::from).collect();
    ensure!(!paths.is_empty(), "{} changes no file\n{}", patch.display(), remedy(patch));
    Ok(paths)
}

/// Changes the files below `copy`. A line of the patch that is not there as it stands is an error: with fuzz, a switch
/// could land where it does nothing.
fn apply(patch: &Path, copy: &Path) -> anyhow::Result<()> {
    let output = Command::new("patch")
        .args(["-p1", "--batch", "--forward", "--fuzz=0", "-d"])
        .arg(copy)
        .arg("-i")
        .arg(std::path::absolute(patch)?)
        .stdin(Stdio::null())
        .output()
        .context("failed to run `patch` (Debian package: patch)")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{} does not apply:\n{said}{}", patch.display(), remedy(patch));
    Ok(())
}

/// What to do about a patch that does not fit.
fn remedy(patch: &Path) -> String {
    let name = patch.file_name().unwrap_or_default().to_string_lossy();
    format!(
        "make it anew: `git add src`, put its switch into the code by hand, `git diff src > {DIRECTORY}/{name}`, \
         `git restore src`"
    )
}
