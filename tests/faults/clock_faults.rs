//! A wall clock that jumps.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use super::scenario::{On, Scenario};
use super::stage::{Far, Stage, Wants};

/// All of this file.
pub const SCENARIOS: &[Scenario] = &[Scenario {
    name: "clock-jumps",
    class: "F25",
    how: "the engine's wall clock jumps an hour forward and, 2 to 4 s later, two hours back, beyond the session; then it is put \
          right (a preloaded library, so this needs cc and Linux)",
    on: On::Broker,
    wants: broker,
    play: jumps,
    limit: None,
}];

/// The clock that is preloaded.
const SOURCE: &str = include_str!("clock.c");
const HOUR_NS: i64 = 3_600_000_000_000;

fn broker() -> Wants {
    Wants { real: Some(Far::Stub), ..Wants::default() }
}

/// The clock of an engine.
struct Clock {
    file: PathBuf,
}

impl Clock {
    /// Builds it, and makes the next engines of the stage use it.
    fn install(stage: &mut Stage) -> anyhow::Result<Self> {
        let folder = stage.folder.path().to_owned();
        let (source, library, file) = (folder.join("clock.c"), folder.join("clock.so"), folder.join("clock"));
        fs::write(&source, SOURCE)?;
        let status = Command::new("cc")
            .args(["-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o"])
            .arg(&library)
            .arg(&source)
            .status();
        ensure!(status.context("cc (Debian: gcc)")?.success(), "the clock cannot be built");
        fs::write(&file, 0_i64.to_ne_bytes())?;
        let environment: [(&str, &Path); 2] = [("LD_PRELOAD", &library), ("SLUICEGATE_CLOCK", &file)];
        stage.environment(&environment);
        Ok(Self { file })
    }

    fn shift(&self, shift_ns: i64) -> anyhow::Result<()> {
        // In its place: the engine has it mapped.
        Ok(OpenOptions::new().write(true).open(&self.file)?.write_all(&shift_ns.to_ne_bytes())?)
    }
}

fn jumps(stage: &mut Stage) -> anyhow::Result<()> {
    let clock = Clock::install(stage)?;
    let code = stage.terminate()?;
    ensure!(code == 0, "SIGTERM under load ended with {code}");
    stage.start()?;
    stage.await_progress()?;
    let maps = fs::read_to_string(format!("/proc/{}/maps", stage.engine()?.id()))?;
    ensure!(maps.lines().any(|line| line.ends_with("/clock")), "the engine does not read the clock that jumps");
    clock.shift(HOUR_NS)?;
    stage.linger(2_000, 4_000);
    clock.shift(-HOUR_NS)?;
    stage.linger(8_000, 10_000);
    stage.await_progress().context("with the clock put back")?;
    clock.shift(0)?;
    stage.healed();
    Ok(())
}
