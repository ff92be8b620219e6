//! Members that join, leave, die and stand still.

use anyhow::ensure;

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
];

fn broker() -> Wants {
    Wants { real: Some(Far::Stub), ..Wants::default() }
}

fn versioned() -> Wants {
    Wants { versioned: true, ..broker() }
}

/// Starts a second engine and waits until both have read something.
fn join(stage: &mut Stage) -> anyhow::Result<()> {
    stage.start()?;
    stage.until("the second engine reads", |stage| Ok(stage.engine()?.consumed() > 0))
}

fn come_and_go(stage: &mut Stage) -> anyhow::Result<()> {
    for _ in 0..4 {
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
