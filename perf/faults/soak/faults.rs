//! What breaks while the engine is soaked. None of these may lose, reorder or repeat anything without a cause.

use std::time::Duration;

use anyhow::bail;
use sluicegate::internals::testbed::bulk_endpoint::{ItemAnswer, ScriptedFault as Search};

use super::Soak;

/// One fault.
#[derive(Clone, Copy)]
pub struct Fault {
    /// Its name.
    pub name: &'static str,
    /// How it is caused and how it ends.
    pub how: &'static str,
    /// Causes it and ends it.
    pub play: fn(&mut Soak) -> anyhow::Result<()>,
}

/// Longer than the client waits for an answer (5 s).
const TOO_LATE: Duration = Duration::from_secs(8);

/// All of them.
pub const FAULTS: &[Fault] = &[
    Fault { name: "kill", how: "kill -9, started again at once", play: kill },
    Fault { name: "sigterm", how: "SIGTERM, exit 0, started again at once", play: sigterm },
    Fault { name: "frozen", how: "SIGSTOP for 3 to 4 s, within the session of 6 s", play: frozen },
    Fault {
        name: "member-comes-and-goes",
        how: "a second engine joins for 15 s; the first goes by SIGTERM",
        play: comes,
    },
    Fault { name: "member-dies", how: "a second engine joins and is killed (signal 9) after 10 s", play: dies },
    Fault {
        name: "source-killed",
        how: "the source's broker is killed (signal 9) and started again",
        play: source_killed,
    },
    Fault { name: "sink-killed", how: "the output's broker is killed (signal 9) and started again", play: sink_killed },
    Fault { name: "source-frozen", how: "SIGSTOP of the source's broker for 3 to 4 s", play: source_frozen },
    Fault { name: "sink-frozen", how: "SIGSTOP of the output's broker for 3 to 6 s", play: sink_frozen },
    Fault { name: "redis-restart", how: "Redis is stopped for 3 to 6 s and started again", play: redis_restart },
    Fault { name: "redis-frozen", how: "SIGSTOP of Redis for 3 to 6 s", play: redis_frozen },
    Fault {
        name: "search-429",
        how: "429 for every bulk request for 5 to 10 s",
        play: |soak| {
            answers(soak, Search::answer(429, r#"{"error":{"type":"es_rejected_execution_exception"},"status":429}"#))
        },
    },
    Fault {
        name: "search-503",
        how: "503 with a page for every bulk request for 5 to 10 s",
        play: |soak| answers(soak, Search::answer(503, "<html>no backend</html>")),
    },
    Fault { name: "search-items", how: "429 or 503 for some items of every bulk request for 5 to 10 s", play: items },
    Fault {
        name: "search-resets",
        how: "connections closed before a bulk request is applied for 5 to 10 s",
        play: |soak| answers(soak, Search::Reset),
    },
    Fault {
        name: "search-cut-answers",
        how: "connections closed in the middle of the answer for 3 to 6 s",
        play: |soak| applied(soak, Search::ResetInAnswer),
    },
    Fault {
        name: "search-not-json",
        how: "applied; 200 with a page instead of JSON for 3 to 6 s",
        play: |soak| applied(soak, Search::NotJson),
    },
    Fault {
        name: "search-silent",
        how: "bulk requests are never answered, not applied, for 5 to 10 s",
        play: |soak| answers(soak, Search::HalfOpen),
    },
    Fault {
        name: "search-late",
        how: "applied, but answered after 8 s (the client waits 5 s), for 3 to 6 s",
        play: |soak| applied(soak, Search::LateAnswer(TOO_LATE)),
    },
];

/// Those of these names; all without any.
///
/// # Errors
/// A name is unknown.
pub fn chosen(names: &[String]) -> anyhow::Result<Vec<Fault>> {
    if names.is_empty() {
        return Ok(FAULTS.to_vec());
    }
    let find = |name: &String| match FAULTS.iter().find(|fault| fault.name == name) {
        Some(fault) => Ok(*fault),
        None => bail!("no fault {name}; there are {:?}", FAULTS.iter().map(|fault| fault.name).collect::<Vec<_>>()),
    };
    names.iter().map(find).collect()
}

fn kill(soak: &mut Soak) -> anyhow::Result<()> {
    soak.kill(0)?;
    soak.start()
}

fn sigterm(soak: &mut Soak) -> anyhow::Result<()> {
    soak.terminate()?;
    soak.start()
}

fn frozen(soak: &mut Soak) -> anyhow::Result<()> {
    let Some(engine) = soak.engines.first() else { bail!("no engine") };
    engine.signal("STOP")?;
    soak.pass(3_000, 4_000)?;
    let Some(engine) = soak.engines.first() else { bail!("no engine") };
    engine.signal("CONT")
}

fn comes(soak: &mut Soak) -> anyhow::Result<()> {
    soak.start()?;
    soak.pass(15_000, 20_000)?;
    // The one that was there first goes, the new one stays.
    soak.terminate()
}

fn dies(soak: &mut Soak) -> anyhow::Result<()> {
    soak.start()?;
    soak.pass(10_000, 15_000)?;
    soak.kill(1)
}

fn source_killed(soak: &mut Soak) -> anyhow::Result<()> {
    soak.ground.upstream.kill9()?;
    soak.pass(500, 3_000)?;
    Ok(soak.ground.upstream.start()?)
}

fn sink_killed(soak: &mut Soak) -> anyhow::Result<()> {
    soak.ground.downstream.kill9()?;
    soak.pass(500, 3_000)?;
    Ok(soak.ground.downstream.start()?)
}

fn source_frozen(soak: &mut Soak) -> anyhow::Result<()> {
    soak.ground.upstream.pause()?;
    soak.pass(3_000, 4_000)?;
    Ok(soak.ground.upstream.resume()?)
}

fn sink_frozen(soak: &mut Soak) -> anyhow::Result<()> {
    soak.ground.downstream.pause()?;
    soak.pass(3_000, 6_000)?;
    Ok(soak.ground.downstream.resume()?)
}

fn redis_restart(soak: &mut Soak) -> anyhow::Result<()> {
    soak.ground.redis.stop()?;
    soak.pass(3_000, 6_000)?;
    Ok(soak.ground.redis.start()?)
}

fn redis_frozen(soak: &mut Soak) -> anyhow::Result<()> {
    soak.ground.redis.pause()?;
    soak.pass(3_000, 6_000)?;
    Ok(soak.ground.redis.resume()?)
}

fn answers(soak: &mut Soak, fault: Search) -> anyhow::Result<()> {
    so_long(soak, fault, 5_000, 10_000)
}

/// For less long: what is applied and not acknowledged is applied again and again.
fn applied(soak: &mut Soak, fault: Search) -> anyhow::Result<()> {
    so_long(soak, fault, 3_000, 6_000)
}

fn so_long(soak: &mut Soak, fault: Search, least_ms: u64, most_ms: u64) -> anyhow::Result<()> {
    soak.ground.endpoint.always(Some(fault));
    let passed = soak.pass(least_ms, most_ms);
    soak.ground.endpoint.always(None);
    passed
}

fn items(soak: &mut Soak) -> anyhow::Result<()> {
    let busy = ItemAnswer::error(429, "es_rejected_execution_exception", "rejected execution of coordinating");
    let absent = ItemAnswer::error(503, "unavailable_shards_exception", "primary shard is not active");
    let refused = |at: usize| (at * 7, if at.is_multiple_of(2) { busy.clone() } else { absent.clone() });
    answers(soak, Search::Items((0..40).map(refused).collect()))
}
