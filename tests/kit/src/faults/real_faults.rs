//! Faults of the servers' own, on real Kafka and Elasticsearch.

use std::sync::Arc;

use crate::checker::{Cause, Place, Sighting, Taken};
use crate::commit_watch::now_us;
use crate::services::{ElasticsearchClient, KafkaClient, Service};
use anyhow::{Context as _, ensure};

use super::group_faults::{change_places, join};
use super::journal::record_in;
use super::scenario::{On, Scenario};
use super::stage::{Far, Real, Stage, Wants};

/// A scenario from Kafka to Kafka.
const fn relay(
    name: &'static str,
    class: &'static str,
    how: &'static str,
    play: fn(&mut Stage) -> anyhow::Result<()>,
) -> Scenario {
    Scenario { name, class, how, on: On::Real, wants: topic, play, limit: None }
}

/// All of this file.
pub const SCENARIOS: &[Scenario] = &[
    relay("kafka-source-killed", "F4", "the source's only broker is killed (signal 9) and started again", |stage| {
        killed(stage, Which::Upstream)
    }),
    relay("kafka-sink-killed", "F4", "the output's only broker is killed (signal 9) and started again", |stage| {
        killed(stage, Which::Downstream)
    }),
    relay("kafka-source-frozen", "F4", "the source's only broker is stopped (SIGSTOP) for 3 to 5 s", |stage| {
        frozen(stage, Which::Upstream)
    }),
    relay("kafka-sink-frozen", "F4", "the output's only broker is stopped (SIGSTOP) for 3 to 5 s", |stage| {
        frozen(stage, Which::Downstream)
    }),
    relay("kafka-rebalances", "F7", "a second engine joins and the first is stopped by SIGTERM, 6 times", rebalances),
    Scenario {
        name: "kafka-frozen-member",
        class: "F8",
        how: "one of two engines is stopped (SIGSTOP) for 9 s, beyond its session, and goes on as a zombie",
        on: On::Real,
        wants: topic,
        play: frozen_member,
        limit: Some(
            "a process that is stopped beyond its session sends, when it goes on, what it had handed to the Kafka client \
             before; the new owner has written newer records by then, and Kafka knows no version that would refuse it",
        ),
    },
    Scenario {
        name: "kafka-kills",
        class: "F1",
        how: "kill -9 at a random moment, static membership, on real Kafka at both ends",
        on: On::Real,
        wants: topic_instance,
        play: kills,
        limit: None,
    },
    Scenario {
        name: "two-with-one-name",
        class: "F32",
        how: "a second engine with the same instance_id; the first is fenced and must end with another code than 0",
        on: On::Real,
        wants: stub_instance,
        play: fenced,
        limit: None,
    },
    Scenario {
        name: "kafka-too-large",
        class: "F21",
        how: "40 records of 30 kB among the others; the output topic takes 20 kB: a letter each, the rest delivered",
        on: On::Real,
        wants: topic_letters,
        play: too_large,
        limit: None,
    },
    Scenario {
        name: "kafka-retention",
        class: "F23",
        how: "the engine is stopped, records it has not read are removed as by retention, it is started again; the gap is told",
        on: On::Real,
        wants: topic,
        play: retention,
        limit: None,
    },
    Scenario {
        name: "elasticsearch-killed",
        class: "F9",
        how: "Elasticsearch 6.8.2 is killed (signal 9) and started again",
        on: On::Real,
        wants: index,
        play: |stage| killed(stage, Which::Search),
        limit: None,
    },
    Scenario {
        name: "elasticsearch-frozen",
        class: "F9",
        how: "Elasticsearch 6.8.2 is stopped (SIGSTOP) for 3 to 5 s",
        on: On::Real,
        wants: index,
        play: |stage| frozen(stage, Which::Search),
        limit: None,
    },
];

fn topic() -> Wants {
    Wants { real: Some(Far::Topic), ..Wants::default() }
}

fn topic_instance() -> Wants {
    Wants { instance: true, ..topic() }
}

fn topic_letters() -> Wants {
    Wants { letters: true, ..topic() }
}

fn stub_instance() -> Wants {
    Wants { real: Some(Far::Stub), instance: true, versioned: true, ..Wants::default() }
}

fn index() -> Wants {
    Wants { real: Some(Far::Index), ..Wants::default() }
}

/// What the documents of an index say: each version is one write. Their times are not kept, so a repetition is only
/// known to lie somewhere in the run.
///
/// # Errors
/// The index cannot be read.
pub fn documents(real: &Real, index: &str) -> anyhow::Result<Vec<Sighting>> {
    let mut sightings = Vec::new();
    for document in ElasticsearchClient::new(&real.far()?.search).documents(index)?.into_values() {
        let record = record_in(document.source.as_bytes()).unwrap_or(u64::MAX);
        let seen = Sighting { record, place: Place::Sink, taken: Taken::Applied, at_us: 0, told_us: Some(0) };
        sightings.extend((0..document.version.max(1)).map(|_| seen));
    }
    Ok(sightings)
}

fn real(stage: &Stage) -> anyhow::Result<Arc<Real>> {
    stage.real.clone().context("real servers")
}

/// Which server.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    Upstream,
    Downstream,
    Search,
}

fn pick(real: &Real, which: Which) -> anyhow::Result<&Service> {
    Ok(match which {
        Which::Upstream => &real.upstream,
        Which::Downstream => &real.far()?.downstream,
        Which::Search => &real.far()?.search,
    })
}

/// What is in flight to Elasticsearch when it goes may be written, or not, and is sent again. Its documents have no
/// times. A Kafka sink tells of everything it sends again: it is a rewind in the log.
fn far_incident(stage: &Stage, which: Which) {
    if which == Which::Search {
        stage.journal.incident(Cause::Line, 0, now_us(), None);
    }
}

fn killed(stage: &mut Stage, which: Which) -> anyhow::Result<()> {
    let real = real(stage)?;
    pick(&real, which)?.kill9()?;
    stage.linger(500, 3_000);
    pick(&real, which)?.start()?;
    far_incident(stage, which);
    stage.healed();
    Ok(())
}

fn frozen(stage: &mut Stage, which: Which) -> anyhow::Result<()> {
    let real = real(stage)?;
    pick(&real, which)?.pause()?;
    stage.linger(3_000, 5_000);
    pick(&real, which)?.resume()?;
    far_incident(stage, which);
    stage.healed();
    Ok(())
}

fn rebalances(stage: &mut Stage) -> anyhow::Result<()> {
    change_places(stage, 6)
}

fn frozen_member(stage: &mut Stage) -> anyhow::Result<()> {
    join(stage)?;
    stage.linger(0, 500);
    let from = now_us();
    stage.engine()?.signal("STOP")?;
    stage.linger(9_000, 9_500);
    stage.journal.incident(Cause::Zombie, from, now_us(), None);
    stage.engine()?.signal("CONT")?;
    stage.healed();
    stage.linger(1_000, 2_000);
    Ok(())
}

fn kills(stage: &mut Stage) -> anyhow::Result<()> {
    for turn in 0..stage.kills_wanted {
        stage.linger(20, 1_500);
        stage.kill()?;
        stage.start()?;
        stage.healed();
        if turn % 2 == 0 {
            stage.await_progress()?;
        }
    }
    Ok(())
}

fn fenced(stage: &mut Stage) -> anyhow::Result<()> {
    stage.start()?;
    let code = stage.ended_by_itself()?;
    ensure!(code != 0, "the fenced engine ended with 0");
    stage.healed();
    Ok(())
}

fn too_large(stage: &mut Stage) -> anyhow::Result<()> {
    for turn in 0..4 {
        stage.feed_oversized(1_000_000 + turn * 10, 10, 30_000)?;
        stage.linger(200, 600);
    }
    stage.healed();
    Ok(())
}

/// Records the broker's retention removed while nobody read them are gone, loudly and counted; everything else arrives.
fn retention(stage: &mut Stage) -> anyhow::Result<()> {
    let code = stage.terminate()?;
    ensure!(code == 0, "SIGTERM under load ended with {code}");
    stage.linger(2_000, 2_500);
    let real = real(stage)?;
    let client = KafkaClient::new(&real.upstream);
    let ends = client.offsets(&stage.topic)?;
    for (partition, (_, end)) in ends.iter().enumerate() {
        let before = *end - stage.random.i64(50..150);
        client.delete_records(&stage.topic, partition as i32, before)?;
        stage.journal.removed(partition as i32, stage.position(partition as i32), before);
    }
    stage.start()?;
    stage.healed();
    stage.until("the gap is told", |stage| Ok(stage.engine()?.log().contains("removed")))
}
