//! Plays one scenario once: warm-up, fault, drain, stop, judgement.

use std::sync::Arc;

use crate::checker::{self, Verdict};
use anyhow::{Context as _, bail};

use super::engine::Program;
use super::scenario::Scenario;
use super::stage::{Real, Stage};

/// What a run came to.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// What the checker found.
    pub verdict: Verdict,
    /// From the end of each fault to the first write that was answered, in microseconds.
    pub recoveries_us: Vec<u64>,
    /// Largest resident memory of an engine, in bytes.
    pub peak_bytes: u64,
    /// Engines killed.
    pub kills: u64,
    /// What the engines logged.
    pub logs: String,
}

impl Outcome {
    /// Everything the checker looks at holds; where order has a known limit, everything but late writes.
    pub fn is_sound(&self, scenario: &Scenario) -> bool {
        let mut verdict = self.verdict.clone();
        if scenario.limit.is_some() {
            verdict.late = 0;
        }
        verdict.is_sound()
    }
}

/// Plays it with this seed; `kills` is how often a scenario that kills does so.
///
/// # Errors
/// The fault could not be caused, something did not happen in time, an engine ended as it must not, or said of itself
/// that it is wrong. What the checker found is no error here.
pub fn play(
    scenario: &Scenario,
    program: &Program,
    real: Option<Arc<Real>>,
    seed: u64,
    kills: u64,
) -> anyhow::Result<Outcome> {
    let mut stage = Stage::build(program, &(scenario.wants)(), real, seed)?;
    stage.kills_wanted = kills;
    stage.start()?;
    stage.await_progress().context("warm-up")?;
    stage.linger(100, 600);
    (scenario.play)(&mut stage).context("the fault")?;
    if !stage.halts {
        // Something of what follows the fault is part of every run.
        stage.await_progress().context("after the fault")?;
        stage.linger(200, 400);
        stage.stop_feeding()?;
        stage.drain().context("drain")?;
        while !stage.engines.is_empty() {
            let code = stage.terminate()?;
            if code != 0 {
                bail!("a drained engine ended with {code}\n{}", last_lines(&stage.logs));
            }
        }
    } else {
        stage.stop_feeding()?;
    }
    let logs = stage.collect()?;
    confess(&stage.logs)?;
    let recoveries_us = stage.ends.iter().filter_map(|end| checker::recovery_us(&logs, *end)).collect();
    Ok(Outcome {
        verdict: checker::check(&logs),
        recoveries_us,
        peak_bytes: stage.peak_bytes,
        kills: stage.kills,
        logs: stage.logs,
    })
}

/// Fails when an engine says of itself that it is wrong.
///
/// # Errors
/// With the line that says so.
pub fn confess(logs: &str) -> anyhow::Result<()> {
    for sign in ["panicked", "a bug", "conservation sum does not hold"] {
        if let Some(line) = logs.lines().find(|line| line.contains(sign)) {
            bail!("an engine says: {line}");
        }
    }
    Ok(())
}

fn last_lines(logs: &str) -> String {
    let lines: Vec<&str> = logs.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
