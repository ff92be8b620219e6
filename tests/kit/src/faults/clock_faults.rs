//! A wall clock that jumps.

use anyhow::Context as _;

use super::preload::{Library, Preloaded};
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

/// The clock that is preloaded; its number is the shift in nanoseconds.
const CLOCK: Library = Library { name: "clock", source: include_str!("clock.c"), variable: "SLUICEGATE_CLOCK" };
const HOUR_NS: i64 = 3_600_000_000_000;

fn broker() -> Wants {
    Wants { real: Some(Far::Stub), ..Wants::default() }
}

fn jumps(stage: &mut Stage) -> anyhow::Result<()> {
    let clock = Preloaded::install(stage, CLOCK)?;
    clock.set(HOUR_NS)?;
    stage.linger(2_000, 4_000);
    clock.set(-HOUR_NS)?;
    stage.linger(8_000, 10_000);
    stage.await_progress().context("with the clock put back")?;
    clock.set(0)?;
    stage.healed();
    Ok(())
}
