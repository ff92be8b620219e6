//! What Elasticsearch and the line to it can do.

use std::time::Duration;

use crate::fault_proxy::Line;
use sluicegate::internals::testbed::bulk_endpoint::{ItemAnswer, ScriptedFault};

use super::scenario::{On, Scenario, plain};
use super::stage::{INDEX, Stage, Wants};

/// A scenario on the testbed.
const fn on_testbed(
    name: &'static str,
    class: &'static str,
    how: &'static str,
    play: fn(&mut Stage) -> anyhow::Result<()>,
) -> Scenario {
    Scenario { name, class, how, on: On::Testbed, wants: plain, play, limit: None }
}

/// All of this file.
pub const SCENARIOS: &[Scenario] = &[
    on_testbed("search-down", "F9", "connections to Elasticsearch are reset for 2 to 5 s", |stage| {
        line(stage, Line::Cut, 2_000, 5_000)
    }),
    on_testbed("search-429", "F10", "429 for every bulk request for 2 to 4 s", |stage| {
        search(
            stage,
            ScriptedFault::answer(
                429,
                r#"{"error":{"type":"es_rejected_execution_exception","reason":"full"},"status":429}"#,
            ),
        )
    }),
    on_testbed("search-item-429", "F10", "429 for the first 40 items of every bulk request for 2 to 4 s", |stage| {
        let busy = ItemAnswer::error(429, "es_rejected_execution_exception", "queue is full");
        search(stage, ScriptedFault::Items((0..40).map(|at| (at, busy.clone())).collect()))
    }),
    on_testbed("search-503", "F11", "503 with a page for every bulk request for 2 to 4 s", |stage| {
        search(stage, ScriptedFault::answer(503, "<html>no server is available</html>"))
    }),
    on_testbed("search-401", "F12", "401 for 2 to 4 s; held, not skipped", |stage| {
        search(
            stage,
            ScriptedFault::answer(401, r#"{"error":{"type":"security_exception","reason":"no"},"status":401}"#),
        )
    }),
    on_testbed("search-403", "F12", "403 of a security rule for 2 to 4 s; held, not skipped", |stage| {
        search(
            stage,
            ScriptedFault::answer(403, r#"{"error":{"type":"security_exception","reason":"no"},"status":403}"#),
        )
    }),
    Scenario {
        name: "search-items",
        class: "F13",
        how: "random items of every bulk request are answered with 429, 503, 409 or (rarely) 400 for 3 s",
        on: On::Testbed,
        wants: either,
        play: mixed_items,
        limit: None,
    },
    on_testbed(
        "search-late",
        "F14",
        "applied, but answered after the client's timeout (15 s, timeout 2 s) for 5 s",
        late,
    ),
    on_testbed("search-reset", "F15", "connections closed before a bulk request is applied, for 2 to 4 s", |stage| {
        search(stage, ScriptedFault::Reset)
    }),
    on_testbed(
        "search-reset-in-answer",
        "F15",
        "connections closed in the middle of the answer for 2 to 4 s",
        |stage| search(stage, ScriptedFault::ResetInAnswer),
    ),
    on_testbed("line-silent", "F15", "the line goes silent for 3 s; what was open stays half-open for ever", |stage| {
        line(stage, Line::Silent, 2_900, 3_100)
    }),
    on_testbed("line-truncated", "F15", "every connection is reset after 100 bytes of answers for 2 to 4 s", |stage| {
        line(stage, Line::Truncate(100), 2_000, 4_000)
    }),
    on_testbed("line-slow", "F15", "20 kB/s in each direction for 3 to 5 s", |stage| {
        line(stage, Line::Throttle(20_000), 3_000, 5_000)
    }),
    on_testbed("line-delayed", "F15", "300 ms more for every piece in each direction for 3 to 5 s", |stage| {
        line(stage, Line::Delay(Duration::from_millis(300)), 3_000, 5_000)
    }),
    Scenario {
        name: "line-resets",
        class: "F15",
        how: "all connections reset, 20 times at random moments",
        on: On::Testbed,
        wants: plain,
        play: resets,
        limit: Some(
            "a server may go on with a request whose line broke and apply it after newer ones; it is given retry.first \
             before it gets the request again, but only a version refuses the late write (line-resets-versioned)",
        ),
    },
    Scenario {
        name: "line-resets-versioned",
        class: "F15",
        how: "the same with external versions",
        on: On::Testbed,
        wants: versioned,
        play: resets,
        limit: None,
    },
    on_testbed("search-413", "F16", "bodies above 20 kB are answered with 413 for 2 to 4 s", |stage| {
        stage.endpoint.limit_bytes(Some(20_000));
        stage.linger(2_000, 4_000);
        stage.endpoint.limit_bytes(None);
        stage.healed();
        Ok(())
    }),
    on_testbed(
        "search-truncated",
        "F17",
        "applied; answers end in the middle, with a length that fits, for 2 to 4 s",
        |stage| search(stage, ScriptedFault::Truncated),
    ),
    on_testbed("search-not-json", "F17", "applied; 200 with a page instead of JSON for 2 to 4 s", |stage| {
        search(stage, ScriptedFault::NotJson)
    }),
    on_testbed("search-wrong-count", "F17", "applied; one item too few in every answer for 2 to 4 s", |stage| {
        search(stage, ScriptedFault::WrongCount(-1))
    }),
    on_testbed(
        "index-closed",
        "F13",
        "every item is answered with index_closed_exception for 2 to 4 s; held",
        |stage| index(stage, ItemAnswer::error(400, "index_closed_exception", "closed")),
    ),
    on_testbed(
        "index-missing",
        "F13",
        "every item is answered with index_not_found_exception for 2 to 4 s; held",
        |stage| index(stage, ItemAnswer::error(404, "index_not_found_exception", "no such index")),
    ),
    on_testbed(
        "alias-without-write-index",
        "F13",
        "every item is refused because its alias has no write index for 2 to 4 s; held",
        |stage| {
            let reason = "no write index is defined for alias [items]. The write index may be explicitly disabled using \
                          is_write_index=false or the alias points to multiple indices without one being designated as a \
                          write index";
            index(stage, ItemAnswer::error(400, "illegal_argument_exception", reason))
        },
    ),
    on_testbed(
        "pipeline-missing",
        "F13",
        "every item is refused because its ingest pipeline is gone for 2 to 4 s; held",
        |stage| {
            index(
                stage,
                ItemAnswer::error(400, "illegal_argument_exception", "pipeline with id [enrich] does not exist"),
            )
        },
    ),
    on_testbed("index-flood-stage", "F13", "every item meets the flood-stage block (403) for 2 to 4 s", |stage| {
        let reason = "index [items] blocked by: [FORBIDDEN/12/index read-only / allow delete (api)];";
        index(stage, ItemAnswer::error(403, "cluster_block_exception", reason))
    }),
    on_testbed("descriptors", "F27", "no file descriptor is left for 3 s while all connections are reset", descriptors),
];

fn versioned() -> Wants {
    Wants { versioned: true, ..Wants::default() }
}

fn either() -> Wants {
    Wants { either: true, ..Wants::default() }
}

fn line(stage: &mut Stage, line: Line, least: u64, most: u64) -> anyhow::Result<()> {
    stage.broken_line(line, |stage| {
        stage.linger(least, most);
        Ok(())
    })?;
    stage.healed();
    Ok(())
}

fn search(stage: &mut Stage, fault: ScriptedFault) -> anyhow::Result<()> {
    stage.faulty_search(fault, |stage| {
        stage.linger(2_000, 4_000);
        Ok(())
    })?;
    stage.healed();
    Ok(())
}

fn index(stage: &mut Stage, answer: ItemAnswer) -> anyhow::Result<()> {
    stage.endpoint.answer_index(INDEX, Some(answer));
    stage.linger(2_000, 4_000);
    stage.endpoint.answer_index(INDEX, None);
    stage.healed();
    Ok(())
}

fn mixed_items(stage: &mut Stage) -> anyhow::Result<()> {
    let answers = [
        ItemAnswer::error(429, "es_rejected_execution_exception", "queue is full"),
        ItemAnswer::error(503, "unavailable_shards_exception", "primary shard is not active"),
        ItemAnswer::error(409, "version_conflict_engine_exception", "version conflict"),
    ];
    for turn in 0..60 {
        let mut items: Vec<(usize, ItemAnswer)> = Vec::new();
        for at in 0..60 {
            if stage.random.u8(..4) == 0 {
                items.push((at, answers[stage.random.usize(..answers.len())].clone()));
            }
        }
        if turn % 10 == 0 {
            let at = stage.random.usize(..10);
            items.insert(0, (at, ItemAnswer::error(400, "mapper_parsing_exception", "failed to parse")));
        }
        stage.endpoint.always(Some(ScriptedFault::Items(items)));
        stage.linger(50, 50);
    }
    stage.endpoint.always(None);
    stage.healed();
    Ok(())
}

fn late(stage: &mut Stage) -> anyhow::Result<()> {
    stage.plan["connections"]["elasticsearch"]["search"]["request_timeout"] = serde_json::json!("2s");
    let code = stage.terminate()?;
    anyhow::ensure!(code == 0, "SIGTERM under load ended with {code}");
    stage.start()?;
    stage.await_progress()?;
    stage.faulty_search(ScriptedFault::LateAnswer(Duration::from_secs(15)), |stage| {
        stage.linger(5_000, 5_000);
        Ok(())
    })?;
    stage.healed();
    Ok(())
}

fn resets(stage: &mut Stage) -> anyhow::Result<()> {
    let from = crate::commit_watch::now_us();
    for _ in 0..20 {
        stage.line.reset();
        stage.linger(20, 250);
    }
    let to = crate::commit_watch::now_us();
    stage.journal.incident(crate::checker::Cause::Line, from, to, None);
    stage.healed();
    Ok(())
}

/// Lowers the process's limit to what it has open, so that nothing more can be opened.
fn descriptors(stage: &mut Stage) -> anyhow::Result<()> {
    stage.broken_line(Line::Pass, |stage| {
        stage.engine()?.limit("--nofile=3:4096")?;
        stage.line.reset();
        stage.linger(3_000, 3_000);
        stage.engine()?.limit("--nofile=1024:4096")
    })?;
    stage.healed();
    Ok(())
}
