//! The last commit of a bounded run while the coordinator refuses: nobody is in a hurry, so it is sent until it is
//! taken.

use std::thread;
use std::time::Duration;

use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use sluicegate::internals::model::{Exit, Outcome};
use sluicegate_testkit::services::KafkaClient;

use super::engine_rig::{EngineRig, count, endpoint};
use super::plans;
use super::source_rig::{GROUP, TOPIC, cluster};
use super::waiting::{join_in_time, record, wait_until};
use crate::support::bench::let_pass;

#[test]
fn a_bounded_run_waits_for_a_coordinator_that_refuses_longer_than_a_rejoin_takes() {
    let (kafka, search) = (cluster(1), endpoint());
    let client = KafkaClient::at(kafka.brokers());
    client.produce(TOPIC, (0..20).map(|n| record(0, &format!("{n}"), n))).unwrap();
    let refused = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS; 2_000];
    kafka.fail_requests(RDKafkaApiKey::OffsetCommit, &refused).unwrap();
    let plan = plans::pipeline(kafka.brokers(), TOPIC, GROUP, plans::bulk(&search.url()));
    let rig = EngineRig::start_until(plan, true);
    wait_until("all are delivered", || search.count(plans::INDEX) == 20);
    let ending = thread::scope(|scope| {
        scope.spawn(|| {
            let_pass(Duration::from_secs(7));
            assert_eq!(client.committed(GROUP, TOPIC).unwrap(), [None], "refused until now");
            kafka.stop_failing(RDKafkaApiKey::OffsetCommit).unwrap();
        });
        rig.engine.join()
    });
    assert_eq!((ending.exit, count(&ending, Outcome::Delivered)), (Exit::Done, 20));
    assert_eq!(client.committed(GROUP, TOPIC).unwrap(), [Some(20)]);
}

#[test]
fn a_bounded_run_that_loses_its_partitions_uncommitted_does_not_say_done() {
    let (kafka, search) = (cluster(1), endpoint());
    let client = KafkaClient::at(kafka.brokers());
    client.produce(TOPIC, (0..20).map(|n| record(0, &format!("{n}"), n))).unwrap();
    let refused = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS; 2_000];
    kafka.fail_requests(RDKafkaApiKey::OffsetCommit, &refused).unwrap();
    let plan = plans::pipeline(kafka.brokers(), TOPIC, GROUP, plans::bulk(&search.url()));
    let rig = EngineRig::start_until(plan, true);
    let state = {
        let pipeline = rig.engine.board().pipelines[0].clone();
        move || pipeline.pipeline.metrics.commit_failures.get()
    };
    // The run is over and tries its last commit every 50 ms; before, it did so every 200 ms at most.
    wait_until("all are delivered", || search.count(plans::INDEX) == 20);
    let (since, before) = (std::time::Instant::now(), state());
    wait_until("the last commit is being refused", || since.elapsed() > Duration::from_secs(2) && state() > before + 5);
    kafka.fail_requests(RDKafkaApiKey::Heartbeat, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID]).unwrap();
    let ending = join_in_time(rig.engine);
    assert_eq!((ending.exit, ending.halt), (Exit::Temporary, None));
    assert_eq!(client.committed(GROUP, TOPIC).unwrap(), [None]);
}
