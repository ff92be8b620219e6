//! A batch of a real broker's log that cannot be read for a while.

use std::fs;
use std::path::PathBuf;

use crate::services::Service;
use anyhow::{Context as _, ensure};

use super::scenario::{On, Scenario};
use super::stage::{Far, Stage, Wants};

/// All of this file.
pub const SCENARIOS: &[Scenario] = &[Scenario {
    name: "damaged-batch",
    class: "F33",
    how: "the engine and the broker are stopped, a byte of a batch it has not read is changed, both are started again; the \
          engine says what it cannot read and commits what lies before it; seconds later the byte is restored",
    on: On::Real,
    wants: topic,
    play: damaged,
    limit: None,
}];

/// Where the records of a batch of the format version 2 begin.
const PAYLOAD: usize = 61;

fn topic() -> Wants {
    Wants { real: Some(Far::Topic), ..Wants::default() }
}

fn damaged(stage: &mut Stage) -> anyhow::Result<()> {
    let real = stage.real.clone().context("real servers")?;
    let code = stage.terminate()?;
    ensure!(code == 0, "SIGTERM under load ended with {code}");
    stage.linger(2_000, 3_000);
    let folder = data_folder(&real.upstream)?;
    real.upstream.stop()?;
    let partition = 0;
    let file = folder.join(format!("{}-{partition}", stage.topic)).join("00000000000000000000.log");
    let at = unread_batch(stage, &fs::read(&file)?, partition)?;
    flip(&file, at)?;
    real.upstream.start()?;
    stage.start()?;
    stage.until("it says what it cannot read", |stage| {
        Ok(stage.engine()?.log().contains("cannot be read from offset"))
    })?;
    stage.linger(2_000, 8_000);
    real.upstream.stop()?;
    flip(&file, at)?;
    real.upstream.start()?;
    stage.healed();
    stage.await_progress()
}

/// The folder of its log, as its settings file names it.
fn data_folder(kafka: &Service) -> anyhow::Result<PathBuf> {
    let process = kafka.process_id().context("a broker of ours")?;
    let command = fs::read_to_string(format!("/proc/{process}/cmdline"))?;
    let settings = command.split('\0').rfind(|argument| !argument.is_empty()).context("a settings file")?;
    let text = fs::read_to_string(settings)?;
    let line = text.lines().find_map(|line| line.strip_prefix("log.dirs=")).context("log.dirs")?;
    Ok(PathBuf::from(line))
}

/// A byte of the records of a batch that lies behind what is committed.
fn unread_batch(stage: &mut Stage, log: &[u8], partition: i32) -> anyhow::Result<usize> {
    let committed = stage.position(partition);
    let (mut at, mut found) = (0, Vec::new());
    while let (Some(first), Some(length)) = (log.get(at..at + 8), log.get(at + 8..at + 12)) {
        let first = i64::from_be_bytes(first.try_into()?);
        let length = 12 + u32::from_be_bytes(length.try_into()?) as usize;
        if first > committed && length > PAYLOAD + 40 {
            found.push(at + PAYLOAD + 30);
        }
        at += length;
    }
    ensure!(!found.is_empty(), "no batch behind {committed}");
    Ok(found[stage.random.usize(..found.len())])
}

/// Changes a byte, or changes it back.
fn flip(file: &PathBuf, at: usize) -> anyhow::Result<()> {
    let mut bytes = fs::read(file)?;
    bytes[at] ^= 1;
    Ok(fs::write(file, bytes)?)
}
