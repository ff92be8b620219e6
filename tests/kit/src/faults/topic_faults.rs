//! What becomes of the input topic itself, and of the topics that records name.

use crate::services::KafkaClient;
use anyhow::Context as _;
use serde_json::json;

use super::scenario::{On, Scenario};
use super::stage::{Far, NAMES, Stage, Wants, make_named, named};

/// All of this file.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "topic-recreated",
        class: "F22",
        how: "the input topic is deleted and made again under its name while the engine runs; its offsets begin anew",
        on: On::Broker,
        wants: broker,
        play: recreated,
        limit: None,
    },
    Scenario {
        name: "partitions-added",
        class: "F22",
        how: "the input topic gets twice its partitions, with records in all of them before the engine knows",
        on: On::Broker,
        wants: broker,
        play: added,
        limit: None,
    },
    Scenario {
        name: "one-missing-topic-of-many",
        class: "F31",
        how: "records name eight topics, of which one is missing: its records wait, the others go on; it is made after 3 to 6 s",
        on: On::Broker,
        wants: each_its_topic,
        play: made_late,
        limit: None,
    },
    Scenario {
        name: "missing-topic-rejected",
        class: "F31",
        how: "records name eight topics, of which one is missing for 12 to 15 s: its records become dead letters; then it is made",
        on: On::Broker,
        wants: each_its_topic_or_a_letter,
        play: rejected,
        limit: None,
    },
];

fn each_its_topic() -> Wants {
    Wants { real: Some(Far::Named), ..Wants::default() }
}

fn each_its_topic_or_a_letter() -> Wants {
    Wants { letters: true, either: true, ..each_its_topic() }
}

/// Starts the engine anew with what the scenario is about, and waits until the log names the topic.
fn with_a_missing_topic(stage: &mut Stage, on_missing_topic: &str) -> anyhow::Result<()> {
    let topic = format!("{}-{{key}}", stage.target);
    stage.pipeline()["sink"]["kafka"]["topic"] = json!(topic);
    stage.pipeline()["sink"]["kafka"]["on_missing_topic"] = json!(on_missing_topic);
    // One in eight is more than the default breaker lets pass.
    stage.pipeline()["breaker"] = json!({ "ratio": 0.9, "window": 1000, "in_a_row": 100_000 });
    let code = stage.terminate()?;
    anyhow::ensure!(code == 0, "SIGTERM under load ended with {code}");
    stage.start()?;
    let told = format!("topic {} of connection upstream does not exist", named(&stage.target, NAMES - 1));
    stage.until("the log names the topic", |stage| Ok(stage.engine()?.log().contains(&told)))
}

fn make_the_missing(stage: &mut Stage) -> anyhow::Result<()> {
    let client = KafkaClient::new(&stage.real.as_ref().context("a real cluster")?.upstream);
    make_named(&client, &stage.target, NAMES - 1)?;
    stage.healed();
    Ok(())
}

fn made_late(stage: &mut Stage) -> anyhow::Result<()> {
    with_a_missing_topic(stage, "hold")?;
    stage.linger(3_000, 6_000);
    make_the_missing(stage)
}

fn rejected(stage: &mut Stage) -> anyhow::Result<()> {
    with_a_missing_topic(stage, "reject")?;
    stage.linger(12_000, 15_000);
    anyhow::ensure!(stage.journal.letters() > 0, "nothing was rejected");
    stage.await_progress()?;
    make_the_missing(stage)
}

fn broker() -> Wants {
    Wants { real: Some(Far::Stub), ..Wants::default() }
}

/// What the old topic held is committed before: what is deleted unread is gone, and nobody could bring it.
fn recreated(stage: &mut Stage) -> anyhow::Result<()> {
    stage.make_topic_again()?;
    stage.healed();
    stage.until("the engine says so", |stage| Ok(stage.engine()?.log().contains("topic recreated")))
}

fn added(stage: &mut Stage) -> anyhow::Result<()> {
    // A minute by default.
    stage.plan["connections"]["kafka"]["upstream"]["librdkafka"]["topic.metadata.refresh.interval.ms"] = json!("2000");
    let code = stage.terminate()?;
    anyhow::ensure!(code == 0, "SIGTERM under load ended with {code}");
    stage.start()?;
    stage.await_progress()?;
    stage.add_partitions(4_000)?;
    stage.healed();
    Ok(())
}
