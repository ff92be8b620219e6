//! Faults of the servers' own, on real Kafka and Elasticsearch.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use sluicegate::testbed::checker::{Cause, Place, Sighting, Taken};
use sluicegate::testbed::commit_watch::now_us;
use sluicegate::testbed::services::elasticsearch::{self, Version};
use sluicegate::testbed::services::kafka::{self, KafkaOptions};
use sluicegate::testbed::services::ElasticsearchClient;

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
    Scenario { name, class, how, on: On::Real, wants: topic, play }
}

/// All of this file.
pub const SCENARIOS: &[Scenario] = &[
    relay("kafka-source-killed", "F4", "the source's only broker is killed (signal 9) and started again", |stage| {
        killed(stage, |real| &real.upstream)
    }),
    relay("kafka-sink-killed", "F4", "the output's only broker is killed (signal 9) and started again", |stage| {
        killed(stage, |real| &real.downstream)
    }),
    relay("kafka-source-frozen", "F4", "the source's only broker is stopped (SIGSTOP) for 3 to 5 s", |stage| {
        frozen(stage, |real| &real.upstream)
    }),
    relay("kafka-sink-frozen", "F4", "the output's only broker is stopped (SIGSTOP) for 3 to 5 s", |stage| {
        frozen(stage, |real| &real.downstream)
    }),
    relay("kafka-rebalances", "F7", "a second engine joins and the first is stopped by SIGTERM, 6 times", |stage| {
        rebalances(stage)
    }),
    relay("kafka-frozen-member", "F8", "one of two engines is stopped (SIGSTOP) for 9 s, beyond its session", |stage| {
        frozen_member(stage)
    }),
    Scenario {
        name: "kafka-kills",
        class: "F1",
        how: "kill -9 at a random moment, static membership, on real Kafka at both ends",
        on: On::Real,
        wants: topic_instance,
        play: kills,
    },
    Scenario {
        name: "two-with-one-name",
        class: "F32",
        how: "a second engine with the same instance_id; the first is fenced and must end with another code than 0",
        on: On::Real,
        wants: stub_instance,
        play: fenced,
    },
    Scenario {
        name: "elasticsearch-killed",
        class: "F9",
        how: "Elasticsearch 6.8.2 is killed (signal 9) and started again",
        on: On::Real,
        wants: index,
        play: |stage| killed(stage, |real| &real.search),
    },
    Scenario {
        name: "elasticsearch-frozen",
        class: "F9",
        how: "Elasticsearch 6.8.2 is stopped (SIGSTOP) for 3 to 5 s",
        on: On::Real,
        wants: index,
        play: |stage| frozen(stage, |real| &real.search),
    },
];

fn topic() -> Wants {
    Wants { real: Some(Far::Topic), ..Wants::default() }
}

fn topic_instance() -> Wants {
    Wants { instance: true, ..topic() }
}

fn stub_instance() -> Wants {
    Wants { real: Some(Far::Stub), instance: true, versioned: true, ..Wants::default() }
}

fn index() -> Wants {
    Wants { real: Some(Far::Index), ..Wants::default() }
}

/// Starts all three.
///
/// # Errors
/// One cannot be had.
pub fn start() -> anyhow::Result<Arc<Real>> {
    let upstream = kafka::start(&KafkaOptions::default())?;
    let downstream = kafka::start(&KafkaOptions::default())?;
    let search = elasticsearch::start(Version::V6, &[])?;
    Ok(Arc::new(Real { upstream, downstream, search }))
}

/// What the documents of an index say: each version is one write. Their times are not kept, so a repetition is only
/// known to lie somewhere in the run.
///
/// # Errors
/// The index cannot be read.
pub fn documents(real: &Real, index: &str) -> anyhow::Result<Vec<Sighting>> {
    let mut sightings = Vec::new();
    for document in ElasticsearchClient::new(&real.search).documents(index)?.into_values() {
        let record = record_in(document.source.as_bytes()).unwrap_or(u64::MAX);
        let seen = Sighting { record, place: Place::Sink, taken: Taken::Applied, at_us: 0, told_us: Some(0) };
        sightings.extend((0..document.version.max(1)).map(|_| seen));
    }
    Ok(sightings)
}

fn real(stage: &Stage) -> anyhow::Result<Arc<Real>> {
    stage.real.clone().context("real servers")
}

type Which = fn(&Real) -> &sluicegate::testbed::services::Service;

/// What is on the wire to Elasticsearch when it goes may be written, or not, and is sent again. Its documents have no
/// times. A Kafka sink tells of everything it sends again: it is a rewind in the log.
fn far_incident(stage: &Stage, which: Which, real: &Real) {
    if std::ptr::eq(which(real), &real.search) {
        stage.journal.incident(Cause::Line, 0, now_us(), None);
    }
}

fn killed(stage: &mut Stage, which: Which) -> anyhow::Result<()> {
    let real = real(stage)?;
    which(&real).kill9()?;
    stage.linger(500, 3_000);
    which(&real).start()?;
    far_incident(stage, which, &real);
    stage.healed();
    Ok(())
}

fn frozen(stage: &mut Stage, which: Which) -> anyhow::Result<()> {
    let real = real(stage)?;
    which(&real).pause()?;
    stage.linger(3_000, 5_000);
    which(&real).resume()?;
    far_incident(stage, which, &real);
    stage.healed();
    Ok(())
}

fn join(stage: &mut Stage) -> anyhow::Result<()> {
    stage.start()?;
    stage.until("the second engine reads", |stage| Ok(stage.engine()?.consumed() > 0))
}

fn rebalances(stage: &mut Stage) -> anyhow::Result<()> {
    for _ in 0..6 {
        join(stage)?;
        stage.linger(0, 800);
        let code = stage.terminate()?;
        ensure!(code == 0, "SIGTERM under load ended with {code}");
        stage.healed();
        stage.await_progress()?;
    }
    Ok(())
}

fn frozen_member(stage: &mut Stage) -> anyhow::Result<()> {
    join(stage)?;
    stage.linger(0, 500);
    stage.engine()?.signal("STOP")?;
    stage.linger(9_000, 9_500);
    stage.engine()?.signal("CONT")?;
    stage.healed();
    stage.linger(1_000, 2_000);
    Ok(())
}

fn kills(stage: &mut Stage) -> anyhow::Result<()> {
    for turn in 0..super::kills::KILLS_A_RUN {
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
    let from = now_us();
    stage.start()?;
    let first = stage.engines.first_mut().context("the first engine")?;
    let code = first.wait(super::stage::PATIENCE)?;
    ensure!(code != 0, "the fenced engine ended with 0");
    let first = stage.engines.remove(0);
    stage.logs.push_str(&first.log());
    drop(first);
    stage.journal.incident(Cause::Kill, from, now_us(), None);
    stage.healed();
    Ok(())
}
