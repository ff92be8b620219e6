//! A library in C that is preloaded into a stage's engines, with one number that both sides see. Needs cc and Linux.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use super::stage::Stage;

/// A library and where it is told what to do.
#[derive(Debug, Clone, Copy)]
pub struct Library {
    /// Name of its files in the run's folder.
    pub name: &'static str,
    /// Its text.
    pub source: &'static str,
    /// The environment variable by which it finds its number: a file of eight bytes in the machine's order.
    pub variable: &'static str,
}

/// A library that is in the stage's engine.
pub struct Preloaded {
    file: PathBuf,
}

impl Preloaded {
    /// Builds it and starts the engine anew with it; its number is 0.
    ///
    /// # Errors
    /// There is no C compiler, the engine does not end with 0, or it does not use the library.
    pub fn install(stage: &mut Stage, library: Library) -> anyhow::Result<Self> {
        let folder = stage.folder.path().to_owned();
        let place = |extension| folder.join(library.name).with_extension(extension);
        let (source, object, file) = (place("c"), place("so"), place("number"));
        fs::write(&source, library.source)?;
        let status = Command::new("cc")
            .args(["-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o"])
            .arg(&object)
            .arg(&source)
            .status();
        ensure!(status.context("cc (Debian: gcc)")?.success(), "{} cannot be built", library.name);
        fs::write(&file, 0_i64.to_ne_bytes())?;
        let environment: [(&str, &Path); 2] = [("LD_PRELOAD", &object), (library.variable, &file)];
        stage.environment(&environment);
        let code = stage.terminate()?;
        ensure!(code == 0, "SIGTERM under load ended with {code}");
        stage.start()?;
        stage.await_progress()?;
        let maps = fs::read_to_string(format!("/proc/{}/maps", stage.engine()?.id()))?;
        let used = |path: &Path| maps.lines().any(|line| line.ends_with(path.to_string_lossy().as_ref()));
        ensure!(used(&file), "the engine does not look at {}", library.name);
        Ok(Self { file })
    }

    /// Tells the library another number.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn set(&self, number: i64) -> anyhow::Result<()> {
        // In its place: the engine has it mapped.
        Ok(OpenOptions::new().write(true).open(&self.file)?.write_all(&number.to_ne_bytes())?)
    }
}
