//! Records of which steps make several items: a record may be committed only when all of them have ended.

use std::time::Duration;

use anyhow::ensure;
use serde_json::json;

use super::engine::let_pass;
use super::kills;
use super::scenario::{On, Scenario};
use super::stage::{Far, Stage, Wants};
use crate::fault_proxy::Line;

/// Items that steps make of a record.
const ITEMS: u64 = 3;

/// All of this file.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "kill-items",
        class: "F1",
        how: "kill -9 at a random moment with explode and jq in the pipeline: 3 documents a record, of which some are dead letters",
        on: On::Kills,
        wants: items,
        play: kills::at_random,
        limit: None,
    },
    Scenario {
        name: "items-rewound",
        class: "F9",
        how: "with explode and jq, connections to Elasticsearch are reset for 5 s with retry.in_place 2 s: partitions are rewound",
        on: On::Broker,
        wants: items,
        play: rewound,
        limit: None,
    },
    Scenario {
        name: "items-members",
        class: "F7",
        how: "with explode and jq, a second engine joins and is stopped by SIGTERM, 3 times",
        on: On::Broker,
        wants: items_of_members,
        play: members,
        limit: None,
    },
];

fn items() -> Wants {
    Wants { instance: true, ..items_of_members() }
}

fn items_of_members() -> Wants {
    Wants { real: Some(Far::Stub), items: ITEMS, letters: true, ..Wants::default() }
}

fn rewound(stage: &mut Stage) -> anyhow::Result<()> {
    stage.terminate()?;
    stage.pipeline()["retry"]["in_place"] = json!("2s");
    stage.start()?;
    stage.await_progress()?;
    for _ in 0..2 {
        let from = crate::commit_watch::now_us();
        stage.line.set(Line::Cut);
        let_pass(Duration::from_secs(5));
        stage.line.set(Line::Pass);
        stage.journal.incident(crate::checker::Cause::Line, from, crate::commit_watch::now_us(), None);
        stage.healed();
        stage.await_progress()?;
    }
    let log = stage.engine()?.log();
    ensure!(log.contains("\"message\":\"rewinding\""), "no partition was rewound");
    Ok(())
}

fn members(stage: &mut Stage) -> anyhow::Result<()> {
    for _ in 0..3 {
        stage.start()?;
        stage.linger(3_000, 5_000);
        let code = stage.terminate()?;
        ensure!(code == 0, "SIGTERM ended with {code}");
        stage.healed();
        stage.await_progress()?;
    }
    Ok(())
}
