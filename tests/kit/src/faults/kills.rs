//! Signal 9, at each point of a batch's life and at random moments; and the orderly stop.

use std::time::Duration;

use crate::fault_proxy::Line;
use anyhow::ensure;
use serde_json::json;
use sluicegate::internals::testbed::bulk_endpoint::ScriptedFault;

use super::scenario::{On, Scenario};
use super::stage::{Far, Stage, Wants};

/// Kills of one run of the campaign.
pub const KILLS_A_RUN: u64 = 10;
/// Longer than any run: an answer that never comes in time.
const NEVER: Duration = Duration::from_secs(600);
/// Longest wait for an engine without memory to end by itself.
const STARVED: Duration = Duration::from_secs(15);

/// All of this file.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "kill-random",
        class: "F1",
        how: "kill -9 at a random moment, started again at once",
        on: On::Kills,
        wants: instance,
        play: at_random,
        limit: None,
    },
    Scenario {
        name: "kill-drained",
        class: "F1",
        how: "kill -9 after a batch was drained, while its look-ups wait for a silent Redis",
        on: On::Kills,
        wants: instance_redis,
        play: drained,
        limit: None,
    },
    Scenario {
        name: "kill-prepared",
        class: "F1",
        how: "kill -9 while prepared batches cannot be sent: connections to Elasticsearch are reset",
        on: On::Kills,
        wants: instance,
        play: prepared,
        limit: None,
    },
    Scenario {
        name: "kill-sent",
        class: "F1",
        how: "kill -9 after a bulk request was sent, before it was applied",
        on: On::Kills,
        wants: instance,
        play: sent,
        limit: None,
    },
    Scenario {
        name: "kill-applied",
        class: "F1",
        how: "kill -9 after a bulk request was applied, before its answer",
        on: On::Kills,
        wants: instance,
        play: applied,
        limit: None,
    },
    Scenario {
        name: "kill-acknowledged",
        class: "F1",
        how: "kill -9 after the acknowledgement, before the commit (commit.interval 10 min)",
        on: On::Kills,
        wants: instance,
        play: acknowledged,
        limit: None,
    },
    Scenario {
        name: "kill-committed",
        class: "F1",
        how: "kill -9 as soon as a commit is seen",
        on: On::Kills,
        wants: instance,
        play: committed,
        limit: None,
    },
    Scenario {
        name: "kill-letters",
        class: "F1",
        how: "kill -9 at a random moment with every 8th record poison, so that dead letters are under way",
        on: On::Kills,
        wants: instance_poison,
        play: letters,
        limit: None,
    },
    Scenario {
        name: "sigterm",
        class: "F2",
        how: "SIGTERM under load, three times; exit 0 and no record twice",
        on: On::Broker,
        wants: broker,
        play: sigterm,
        limit: None,
    },
    Scenario {
        name: "sigterm-deadline",
        class: "F3",
        how: "SIGTERM while Elasticsearch never answers; exit 75 after shutdown.timeout, then a new engine",
        on: On::Broker,
        wants: broker,
        play: deadline,
        limit: None,
    },
    Scenario {
        name: "memory",
        class: "F27",
        how: "no address space is left (prlimit) while Elasticsearch is away, three times, until the engine aborts; \
              started again",
        on: On::Broker,
        wants: instance,
        play: memory,
        limit: None,
    },
];

fn broker() -> Wants {
    Wants { real: Some(Far::Stub), ..Wants::default() }
}

/// Static membership on a real broker, where a member that comes back gets its partitions at once; the in-process
/// cluster makes it wait for the end of its session.
fn instance() -> Wants {
    Wants { instance: true, ..broker() }
}

fn instance_redis() -> Wants {
    Wants { redis: true, ..instance() }
}

fn instance_poison() -> Wants {
    Wants { poison_every: 8, ..instance() }
}

/// Kills, starts again and notes when, so often; `ready` brings the engine to the point and `after` undoes it.
fn each(
    stage: &mut Stage,
    mut ready: impl FnMut(&mut Stage) -> anyhow::Result<()>,
    mut after: impl FnMut(&mut Stage) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for _ in 0..stage.kills_wanted {
        ready(stage)?;
        stage.kill()?;
        after(stage)?;
        stage.start()?;
        stage.healed();
        // Every second engine lives until it has delivered something, so that the run gets on.
        if stage.kills.is_multiple_of(2) {
            stage.await_progress()?;
        }
    }
    Ok(())
}

fn nothing(_: &mut Stage) -> anyhow::Result<()> {
    Ok(())
}

pub(super) fn at_random(stage: &mut Stage) -> anyhow::Result<()> {
    let moment = |stage: &mut Stage| {
        stage.linger(20, 1_500);
        Ok(())
    };
    each(stage, moment, nothing)
}

fn letters(stage: &mut Stage) -> anyhow::Result<()> {
    stage.pipeline()["breaker"] = json!({ "ratio": 0.9, "window": 1000, "in_a_row": 100 });
    let moment = |stage: &mut Stage| {
        let before = stage.journal.letters();
        stage.until("a letter is written", |stage| Ok(stage.journal.letters() > before))?;
        stage.linger(0, 300);
        Ok(())
    };
    each(stage, moment, nothing)
}

fn drained(stage: &mut Stage) -> anyhow::Result<()> {
    let set = |stage: &Stage, line| {
        if let Some(lookups) = &stage.lookups {
            lookups.line.set(line);
        }
    };
    let point = |stage: &mut Stage| {
        stage.await_progress()?;
        set(stage, Line::Silent);
        stage.until("a look-up waits", |stage| Ok(stage.engine()?.names_a_fault_of("enrich")))?;
        Ok(())
    };
    each(stage, point, |stage| {
        set(stage, Line::Pass);
        Ok(())
    })
}

fn prepared(stage: &mut Stage) -> anyhow::Result<()> {
    let point = |stage: &mut Stage| {
        stage.await_progress()?;
        stage.line.set(Line::Cut);
        let from = crate::commit_watch::now_us();
        let refused = stage.line.accepted();
        stage.until("sending was tried", |stage| Ok(stage.line.accepted() > refused))?;
        stage.linger(0, 200);
        let cause = crate::checker::Cause::Line;
        stage.journal.incident(cause, from, crate::commit_watch::now_us(), None);
        Ok(())
    };
    each(stage, point, |stage| {
        stage.line.set(Line::Pass);
        Ok(())
    })
}

fn requested(stage: &mut Stage, fault: ScriptedFault) -> anyhow::Result<()> {
    stage.await_progress()?;
    stage.endpoint.always(Some(fault));
    let before = stage.endpoint.requests();
    stage.until("a bulk request is out", |stage| Ok(stage.endpoint.requests() > before))?;
    stage.linger(0, 100);
    Ok(())
}

fn answers_again(stage: &mut Stage) -> anyhow::Result<()> {
    stage.endpoint.always(None);
    Ok(())
}

fn sent(stage: &mut Stage) -> anyhow::Result<()> {
    each(stage, |stage| requested(stage, ScriptedFault::HalfOpen), answers_again)
}

fn applied(stage: &mut Stage) -> anyhow::Result<()> {
    each(stage, |stage| requested(stage, ScriptedFault::LateAnswer(NEVER)), answers_again)
}

fn acknowledged(stage: &mut Stage) -> anyhow::Result<()> {
    let interval = |stage: &mut Stage, interval: &str| stage.pipeline()["commit"] = json!({ "interval": interval });
    let mut turn = 0;
    let point = |stage: &mut Stage| {
        // The engine that is killed was started with commits far away; the one after it commits.
        stage.kill()?;
        interval(stage, "10m");
        stage.start()?;
        let before = stage.endpoint.items();
        stage.until("records are acknowledged", |stage| Ok(stage.endpoint.items() > before + 200))?;
        interval(stage, "100ms");
        stage.linger(0, 300);
        Ok(())
    };
    each(stage, point, |stage| {
        turn += 1;
        ensure!(stage.kills >= turn, "nothing was killed");
        Ok(())
    })
}

fn committed(stage: &mut Stage) -> anyhow::Result<()> {
    each(stage, Stage::await_progress, nothing)
}

fn sigterm(stage: &mut Stage) -> anyhow::Result<()> {
    for _ in 0..3 {
        let code = stage.terminate()?;
        ensure!(code == 0, "SIGTERM under load ended with {code}");
        stage.start()?;
        stage.healed();
        stage.await_progress()?;
        stage.linger(0, 500);
    }
    Ok(())
}

/// What the system refuses it cannot do without: it aborts, and the next engine goes on where nothing is skipped.
fn memory(stage: &mut Stage) -> anyhow::Result<()> {
    let mut aborted = 0;
    for _ in 0..3 {
        stage.await_progress()?;
        stage.linger(0, 500);
        let from = crate::commit_watch::now_us();
        stage.line.set(Line::Cut);
        let engine = stage.engine()?;
        engine.limit("--as=1")?;
        aborted += u32::from(engine.wait(STARVED).is_ok());
        stage.kill()?;
        stage.line.set(Line::Pass);
        let cause = crate::checker::Cause::Line;
        stage.journal.incident(cause, from, crate::commit_watch::now_us(), None);
        stage.start()?;
        stage.healed();
    }
    ensure!(aborted > 0, "the engine never wanted more memory than it had");
    stage.await_progress()
}

fn deadline(stage: &mut Stage) -> anyhow::Result<()> {
    stage.plan["shutdown"] = json!({ "timeout": "2s" });
    let code = stage.terminate()?;
    ensure!(code == 0, "SIGTERM under load ended with {code}");
    stage.start()?;
    stage.await_progress()?;
    requested(stage, ScriptedFault::HalfOpen)?;
    let code = stage.terminate()?;
    ensure!(code == 75, "a stop past its deadline ended with {code}, not 75");
    answers_again(stage)?;
    stage.start()?;
    stage.healed();
    Ok(())
}
