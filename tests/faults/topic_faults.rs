//! What becomes of the input topic itself.

use serde_json::json;

use super::scenario::{On, Scenario};
use super::stage::{Far, Stage, Wants};

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
];

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
