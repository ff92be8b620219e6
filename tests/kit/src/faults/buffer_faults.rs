//! A machine that has no memory left for sockets.

use crate::fault_proxy::Line;
use anyhow::ensure;

use super::preload::{Library, Preloaded};
use super::scenario::{On, Scenario};
use super::stage::{Stage, Wants};

/// All of this file.
pub const SCENARIOS: &[Scenario] = &[Scenario {
    name: "socket-buffers",
    class: "F27",
    how: "nothing can be sent and no socket can be made (ENOBUFS) for 2 to 4 s: to Kafka, Elasticsearch and Redis (a preloaded \
          library, so this needs cc and Linux)",
    on: On::Testbed,
    wants: lookups,
    play: no_buffers,
    limit: None,
}];

/// What is preloaded; while its number is not 0 there is no memory.
const SOCKETS: Library = Library { name: "buffers", source: include_str!("buffers.c"), variable: "SLUICEGATE_BUFFERS" };

fn lookups() -> Wants {
    Wants { redis: true, ..Wants::default() }
}

fn no_buffers(stage: &mut Stage) -> anyhow::Result<()> {
    let sockets = Preloaded::install(stage, SOCKETS)?;
    // What was being sent when it began is as doubtful as on a line that breaks.
    stage.broken_line(Line::Pass, |stage| {
        sockets.set(1)?;
        stage.linger(500, 500);
        let requests = stage.endpoint.requests();
        stage.linger(1_500, 3_500);
        ensure!(stage.endpoint.requests() == requests, "the engine sends what it cannot send");
        sockets.set(0)
    })?;
    stage.healed();
    Ok(())
}
