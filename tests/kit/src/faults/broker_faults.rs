//! What the source's cluster can do: go away, move leaders and coordinators, refuse.

use anyhow::Context as _;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::scenario::{On, Scenario, plain};
use super::stage::{GROUP, PARTITIONS, Stage, TOPIC};

/// All of this file.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "brokers-disconnect",
        class: "F4",
        how: "every fetch, heartbeat, commit and question for metadata or the coordinator is disconnected for 2 to 4 s",
        on: On::Testbed,
        wants: plain,
        play: disconnect,
        limit: None,
    },
    Scenario {
        name: "leaders-move",
        class: "F5",
        how: "the leader of a random partition moves, 15 times",
        on: On::Testbed,
        wants: plain,
        play: leaders,
        limit: None,
    },
    Scenario {
        name: "coordinator-moves",
        class: "F6",
        how: "the group's coordinator moves, 5 times",
        on: On::Testbed,
        wants: plain,
        play: coordinator,
        limit: None,
    },
    Scenario {
        name: "commits-fail",
        class: "F24",
        how: "commits are refused in five ways or disconnected, 20 times",
        on: On::Testbed,
        wants: plain,
        play: commits,
        limit: None,
    },
    Scenario {
        name: "fetches-fail",
        class: "F4",
        how: "fetches are refused or disconnected, 20 times",
        on: On::Testbed,
        wants: plain,
        play: fetches,
        limit: None,
    },
    Scenario {
        name: "member-unknown",
        class: "F7",
        how: "heartbeats are answered with unknown member, wrong generation or a rebalance, 4 times",
        on: On::Testbed,
        wants: plain,
        play: heartbeats,
        limit: None,
    },
];

/// Not by taking brokers down: that gives their ports back, and anybody on the machine may take them.
fn disconnect(stage: &mut Stage) -> anyhow::Result<()> {
    let all = [
        RDKafkaApiKey::Fetch,
        RDKafkaApiKey::Metadata,
        RDKafkaApiKey::Heartbeat,
        RDKafkaApiKey::OffsetCommit,
        RDKafkaApiKey::FindCoordinator,
    ];
    let errors = [RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT; 200];
    let mock = stage.mock.as_ref().context("an in-process cluster")?;
    all.iter().try_for_each(|api| mock.fail_requests(*api, &errors))?;
    stage.linger(2_000, 4_000);
    let mock = stage.mock.as_ref().context("an in-process cluster")?;
    all.iter().try_for_each(|api| mock.stop_failing(*api))?;
    stage.healed();
    Ok(())
}

fn leaders(stage: &mut Stage) -> anyhow::Result<()> {
    for _ in 0..15 {
        let (partition, broker) = (stage.random.i32(0..PARTITIONS), stage.random.i32(1..=3));
        stage.mock.as_ref().context("an in-process cluster")?.move_leader(TOPIC, partition, Some(broker))?;
        stage.linger(20, 300);
    }
    stage.healed();
    Ok(())
}

fn coordinator(stage: &mut Stage) -> anyhow::Result<()> {
    for turn in 0..5 {
        stage.mock.as_ref().context("an in-process cluster")?.move_coordinator(GROUP, 1 + turn % 3)?;
        stage.linger(100, 800);
    }
    stage.healed();
    Ok(())
}

/// Lets the next requests fail, one at a time, with pauses.
fn refuse(stage: &mut Stage, api: RDKafkaApiKey, errors: &[RDKafkaRespErr], times: u32) -> anyhow::Result<()> {
    for _ in 0..times {
        let error = errors[stage.random.usize(..errors.len())];
        stage.mock.as_ref().context("an in-process cluster")?.fail_requests(api, &[error])?;
        stage.linger(50, 250);
    }
    stage.mock.as_ref().context("an in-process cluster")?.stop_failing(api)?;
    stage.healed();
    Ok(())
}

fn commits(stage: &mut Stage) -> anyhow::Result<()> {
    let errors = [
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT,
    ];
    refuse(stage, RDKafkaApiKey::OffsetCommit, &errors, 20)
}

fn fetches(stage: &mut Stage) -> anyhow::Result<()> {
    let errors = [
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT,
    ];
    refuse(stage, RDKafkaApiKey::Fetch, &errors, 20)
}

fn heartbeats(stage: &mut Stage) -> anyhow::Result<()> {
    let errors = [
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS,
    ];
    for error in errors.into_iter().chain([errors[0]]) {
        let mock = stage.mock.as_ref().context("an in-process cluster")?;
        mock.fail_requests(RDKafkaApiKey::Heartbeat, &[error])?;
        stage.linger(1_500, 3_500);
    }
    stage.healed();
    Ok(())
}
