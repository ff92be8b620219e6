//! Poison, and dead letters that cannot be written.

use std::process::Command;

use anyhow::{Context as _, ensure};
use rdkafka::types::RDKafkaRespErr;
use serde_json::json;

use super::scenario::{On, Scenario};
use super::stage::{LETTERS, Stage, Wants};

/// All of this file.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "poison",
        class: "F19",
        how: "every 10th record is poison, 17 kinds in turn; one letter each, the rest goes on",
        on: On::Testbed,
        wants: some_poison,
        play: poison,
        limit: None,
    },
    Scenario {
        name: "poison-only",
        class: "F20",
        how: "every record is poison; the breaker halts with 65 instead of draining the topic",
        on: On::Testbed,
        wants: only_poison,
        play: breaker,
        limit: None,
    },
    Scenario {
        name: "letters-topic-missing",
        class: "F31",
        how: "the dead-letter topic is unknown for 3 s, with poison under way",
        on: On::Testbed,
        wants: some_poison,
        play: topic_missing,
        limit: None,
    },
    Scenario {
        name: "letters-disk-full",
        class: "F26",
        how: "the dead-letter file's disk (a tmpfs, so this needs root) is full for 2 s or more; held, then room is made",
        on: On::Testbed,
        wants: poison_to_file,
        play: disk_full,
        limit: None,
    },
];

fn some_poison() -> Wants {
    Wants { poison_every: 10, ..Wants::default() }
}

fn only_poison() -> Wants {
    Wants { poison_every: 1, ..Wants::default() }
}

fn poison_to_file() -> Wants {
    Wants { letter_file: Some("dead.ndjson"), ..some_poison() }
}

/// One in ten is what the default breaker stops at.
fn patient_breaker(stage: &mut Stage) -> anyhow::Result<()> {
    stage.pipeline()["breaker"] = json!({ "ratio": 0.9, "window": 1000, "in_a_row": 100 });
    let code = stage.terminate()?;
    ensure!(code == 0, "SIGTERM under load ended with {code}");
    stage.start()?;
    stage.await_progress()
}

fn poison(stage: &mut Stage) -> anyhow::Result<()> {
    patient_breaker(stage)?;
    stage.linger(3_000, 5_000);
    stage.healed();
    Ok(())
}

fn breaker(stage: &mut Stage) -> anyhow::Result<()> {
    stage.halts = true;
    let code = stage.ended_by_itself()?;
    ensure!(code == 65, "the breaker ended the engine with {code}, not 65");
    let letters = stage.journal.letters();
    ensure!(letters < 2_000, "{letters} dead letters: the topic is being drained into them");
    Ok(())
}

fn topic_missing(stage: &mut Stage) -> anyhow::Result<()> {
    patient_breaker(stage)?;
    let error = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    stage.mock.as_ref().context("an in-process cluster")?.fail_topic(LETTERS, error)?;
    stage.linger(2_800, 3_200);
    let none = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
    stage.mock.as_ref().context("an in-process cluster")?.fail_topic(LETTERS, none)?;
    stage.healed();
    Ok(())
}

/// A small disk; taken away when dropped.
struct Disk(std::path::PathBuf);

impl Disk {
    fn mount(at: std::path::PathBuf) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&at)?;
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", "size=256m", "tmpfs"]).arg(&at).status()?;
        ensure!(status.success(), "a small disk cannot be mounted; this scenario needs root");
        Ok(Self(at))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn disk_full(stage: &mut Stage) -> anyhow::Result<()> {
    let disk = Disk::mount(stage.folder.path().join("disk"))?;
    let file = disk.0.join("dead.ndjson");
    stage.pipeline()["on_reject"] = json!({ "dead_letter": { "file": { "path": file } } });
    patient_breaker(stage)?;
    // Fills what is left.
    let filler = disk.0.join("filler");
    let _ = std::fs::write(&filler, vec![0; 256 << 20]);
    stage.until("the fault is named", |stage| Ok(stage.engine()?.names_a_fault_of("dead_letter")))?;
    stage.linger(2_000, 3_000);
    // Whatever is resolved before the first letter that waits may be committed; then commits stand.
    let before = stage.committed();
    stage.linger(500, 500);
    ensure!(stage.committed() == before, "commits go on though letters cannot be written");
    std::fs::remove_file(&filler)?;
    stage.healed();
    stage.await_progress()?;
    stage.linger(500, 1_000);
    // The rest goes to the run's folder, where it is read at the end; what is on the disk is read before it goes.
    let works = json!({ "dead_letter": { "file": { "path": "dead.ndjson" } } });
    stage.pipeline()["on_reject"] = works;
    let code = stage.terminate()?;
    ensure!(code == 0, "SIGTERM under load ended with {code}");
    stage.journal.letter_lines(&std::fs::read_to_string(&file)?);
    drop(disk);
    stage.start()
}
