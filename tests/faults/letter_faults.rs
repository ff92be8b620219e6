//! Poison, and dead letters that cannot be written.

use anyhow::{Context as _, ensure};
use rdkafka::types::RDKafkaRespErr;
use serde_json::json;

use super::engine::{let_pass, until};
use super::scenario::{On, Scenario};
use super::stage::{LETTERS, PATIENCE, Stage, Wants};

/// All of this file.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "poison",
        class: "F19",
        how: "every 10th record is poison, 17 kinds in turn; one letter each, the rest goes on",
        on: On::Testbed,
        wants: some_poison,
        play: poison,
    },
    Scenario {
        name: "poison-only",
        class: "F20",
        how: "every record is poison; the breaker halts with 65 instead of draining the topic",
        on: On::Testbed,
        wants: only_poison,
        play: breaker,
    },
    Scenario {
        name: "letters-topic-missing",
        class: "F31",
        how: "the dead-letter topic is unknown for 3 s, with poison under way",
        on: On::Testbed,
        wants: some_poison,
        play: topic_missing,
    },
    Scenario {
        name: "letters-disk-full",
        class: "F26",
        how: "the dead-letter file is on a full device (/dev/full); held; then a new engine with a file that works",
        on: On::Testbed,
        wants: poison_to_file,
        play: disk_full,
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
    let code = stage.engine()?.wait(PATIENCE)?;
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

fn disk_full(stage: &mut Stage) -> anyhow::Result<()> {
    patient_breaker(stage)?;
    let works = stage.pipeline()["on_reject"].clone();
    stage.pipeline()["on_reject"] = json!({ "dead_letter": { "file": { "path": "/dev/full" } } });
    stage.plan["shutdown"] = json!({ "timeout": "2s" });
    let code = stage.terminate()?;
    ensure!(code == 0, "SIGTERM under load ended with {code}");
    stage.start()?;
    stage.until("the fault is named", |stage| Ok(stage.engine()?.names_a_fault_of("dead_letter")))?;
    // Whatever was resolved before the first poison may still be committed; then it must stand.
    let mut before = stage.committed();
    until("commits stand still", PATIENCE, || {
        let_pass(std::time::Duration::from_millis(1_500));
        let now = stage.committed();
        Ok(std::mem::replace(&mut before, now) == now)
    })?;
    stage.pipeline()["on_reject"] = works;
    let code = stage.terminate()?;
    ensure!(code == 75, "a stop with letters that cannot be written ended with {code}, not 75");
    stage.start()?;
    stage.healed();
    Ok(())
}
