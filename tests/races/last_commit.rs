//! The last commit of a bounded run while the coordinator refuses: nobody is in a hurry, so it is sent until it is taken.

use std::thread;
use std::time::Duration;

use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use sluicegate::model::{Exit, Outcome};
use sluicegate::testbed::services::KafkaClient;

use super::engine_rig::{EngineRig, count, endpoint};
use super::plans;
use super::source_rig::{GROUP, TOPIC, cluster};
use super::waiting::{record, wait_until};

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
            thread::sleep(Duration::from_secs(7));
            assert_eq!(client.committed(GROUP, TOPIC).unwrap(), [None], "refused until now");
            kafka.stop_failing(RDKafkaApiKey::OffsetCommit).unwrap();
        });
        rig.engine.join()
    });
    assert_eq!((ending.exit, count(&ending, Outcome::Delivered)), (Exit::Done, 20));
    assert_eq!(client.committed(GROUP, TOPIC).unwrap(), [Some(20)]);
}
