//! What a real Redis and the line to it can do.

use std::time::Duration;

use crate::fault_proxy::Line;
use crate::services::RedisClient;
use anyhow::{Context as _, ensure};

use super::scenario::{On, Scenario};
use super::stage::{Lookups, Stage, Wants};

/// A scenario with look-ups.
const fn lookup(name: &'static str, how: &'static str, play: fn(&mut Stage) -> anyhow::Result<()>) -> Scenario {
    Scenario { name, class: "F18", how, on: On::Testbed, wants, play, limit: None }
}

/// All of this file.
pub const SCENARIOS: &[Scenario] = &[
    lookup("redis-down", "connections to Redis are reset for 2 to 4 s", |stage| line(stage, Line::Cut)),
    lookup("redis-silent", "the line to Redis goes silent for 2 to 4 s; what was open stays half-open", |stage| {
        line(stage, Line::Silent)
    }),
    lookup("redis-slow", "200 ms more for every piece in each direction for 2 to 4 s", |stage| {
        line(stage, Line::Delay(Duration::from_millis(200)))
    }),
    lookup("redis-truncated", "every connection is reset after 50 bytes of answers for 2 to 4 s", |stage| {
        line(stage, Line::Truncate(50))
    }),
    lookup("redis-restart", "Redis is killed (signal 9) and started again", restart),
    lookup("redis-frozen", "Redis is stopped (SIGSTOP) for 2 to 4 s", frozen),
    lookup(
        "redis-wrong-type",
        "100 keys become strings instead of hashes; exit 76, then they are put right",
        wrong_type,
    ),
    lookup("redis-evicted", "all keys vanish; answered as misses", evicted),
];

fn wants() -> Wants {
    Wants { redis: true, ..Wants::default() }
}

fn lookups(stage: &Stage) -> anyhow::Result<&Lookups> {
    stage.lookups.as_ref().context("look-ups")
}

fn line(stage: &mut Stage, line: Line) -> anyhow::Result<()> {
    lookups(stage)?.line.set(line);
    stage.linger(2_000, 4_000);
    lookups(stage)?.line.set(Line::Pass);
    stage.healed();
    Ok(())
}

fn restart(stage: &mut Stage) -> anyhow::Result<()> {
    lookups(stage)?.server.kill9()?;
    stage.linger(500, 2_000);
    lookups(stage)?.server.start()?;
    stage.healed();
    Ok(())
}

fn frozen(stage: &mut Stage) -> anyhow::Result<()> {
    lookups(stage)?.server.pause()?;
    stage.linger(2_000, 4_000);
    lookups(stage)?.server.resume()?;
    stage.healed();
    Ok(())
}

fn wrong_type(stage: &mut Stage) -> anyhow::Result<()> {
    let keys: Vec<String> = (0..100).map(|user| format!("user:u-{user:06}")).collect();
    RedisClient::connect(&lookups(stage)?.server)?.pipeline(keys.iter().map(|key| vec!["SET", key, "text"]))?;
    let code = stage.ended_by_itself()?;
    ensure!(code == 76, "keys of the wrong type ended the engine with {code}, not 76");
    RedisClient::connect(&lookups(stage)?.server)?.pipeline(keys.iter().map(|key| vec!["DEL", key]))?;
    stage.start()?;
    stage.healed();
    Ok(())
}

fn evicted(stage: &mut Stage) -> anyhow::Result<()> {
    RedisClient::connect(&lookups(stage)?.server)?.command(&["FLUSHALL"])?;
    stage.linger(1_000, 2_000);
    stage.healed();
    Ok(())
}
