//! Members that join, leave, die and stand still.

use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::json;

use super::scenario::{On, Scenario};
use super::stage::{Far, Stage, Wants};

/// All of this file.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "members-come-and-go",
        class: "F7",
        how: "a second engine joins and is stopped by SIGTERM, 4 times",
        on: On::Broker,
        wants: broker,
        play: come_and_go,
        limit: None,
    },
    Scenario {
        name: "members-die",
        class: "F7",
        how: "a second engine joins and is killed, 2 times; its session (6 s) must end",
        on: On::Broker,
        wants: versioned,
        play: die,
        limit: None,
    },
    Scenario {
        name: "member-frozen",
        class: "F8",
        how: "one of two engines is stopped (SIGSTOP) for 9 s, beyond its session, and goes on as a zombie; external versions",
        on: On::Broker,
        wants: versioned,
        play: frozen,
        limit: None,
    },
    Scenario {
        name: "standby-stopped",
        class: "F7",
        how: "a member without partitions (its topic is not there) joins and is stopped by SIGTERM, 3 times; the others commit on \
              within 10 s",
        on: On::Broker,
        wants: broker,
        play: standby,
        limit: None,
    },
    Scenario {
        name: "stopped-while-joining",
        class: "F7",
        how: "a second engine is stopped by SIGTERM up to 2.5 s after its start, 4 times; the first commits on within 10 s",
        on: On::Broker,
        wants: broker,
        play: joining,
        limit: None,
    },
];

fn broker() -> Wants {
    Wants { real: Some(Far::Stub), ..Wants::default() }
}

fn versioned() -> Wants {
    Wants { versioned: true, ..broker() }
}

/// Starts a second engine and waits until both have read something.
pub(super) fn join(stage: &mut Stage) -> anyhow::Result<()> {
    stage.start()?;
    stage.until("the second engine reads", |stage| Ok(stage.engine()?.consumed() > 0))
}

fn come_and_go(stage: &mut Stage) -> anyhow::Result<()> {
    change_places(stage, 4)
}

/// An engine joins and the one before it is stopped, so many times.
pub(super) fn change_places(stage: &mut Stage, times: u32) -> anyhow::Result<()> {
    for _ in 0..times {
        join(stage)?;
        stage.linger(0, 800);
        // The one that was there first goes, the new one stays.
        let code = stage.terminate()?;
        ensure!(code == 0, "SIGTERM under load ended with {code}");
        stage.healed();
        stage.await_progress()?;
    }
    Ok(())
}

/// A stop must not hold the others up for longer.
const HELD_UP: Duration = Duration::from_secs(10);

/// Stops the engine that was started last, and waits until something more is committed.
fn stop_the_last(stage: &mut Stage) -> anyhow::Result<()> {
    stage.terminate_last()?;
    stage.healed();
    let stopped = Instant::now();
    stage.await_progress()?;
    ensure!(stopped.elapsed() < HELD_UP, "a stop held the group up for {:?}", stopped.elapsed());
    Ok(())
}

fn standby(stage: &mut Stage) -> anyhow::Result<()> {
    let topics = stage.pipeline()["source"]["kafka"]["topics"].clone();
    for _ in 0..3 {
        stage.pipeline()["source"]["kafka"]["topics"] = json!([format!("{}-of-nobody", stage.topic)]);
        stage.start()?;
        stage.pipeline()["source"]["kafka"]["topics"] = topics.clone();
        stage.linger(3_000, 5_000);
        stop_the_last(stage)?;
    }
    Ok(())
}

fn joining(stage: &mut Stage) -> anyhow::Result<()> {
    for _ in 0..4 {
        stage.start()?;
        stage.linger(0, 2_500);
        stop_the_last(stage)?;
    }
    Ok(())
}

fn die(stage: &mut Stage) -> anyhow::Result<()> {
    for _ in 0..2 {
        join(stage)?;
        stage.linger(0, 800);
        stage.kill()?;
        stage.healed();
        stage.linger(7_000, 8_000);
    }
    Ok(())
}

fn frozen(stage: &mut Stage) -> anyhow::Result<()> {
    join(stage)?;
    stage.linger(0, 500);
    stage.engine()?.signal("STOP")?;
    stage.linger(9_000, 9_500);
    stage.engine()?.signal("CONT")?;
    stage.healed();
    stage.linger(1_000, 2_000);
    Ok(())
}
