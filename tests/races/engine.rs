//! Races between the sink, the source and the group, through the whole engine.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use sluicegate::internals::config::plan::OnReject;
use sluicegate::internals::model::{Exit, MemoryShare, Outcome};
use sluicegate::internals::testbed::bulk_endpoint::{ItemAnswer, ScriptedFault};
use sluicegate::internals::testbed::kafka::MockKafka;
use sluicegate_testkit::services::{KafkaClient, NewRecord};

use super::engine_rig::{EngineRig, count, endpoint};
use super::plans::{self, INDEX};
use super::source_rig::{GROUP, Options, SourceRig, TOPIC, cluster};
use super::waiting::{join_in_time, padded, record, wait_until};

fn busy() -> ItemAnswer {
    ItemAnswer::error(429, "es_rejected_execution_exception", "full")
}

fn unavailable() -> ScriptedFault {
    ScriptedFault::answer(503, r#"{"error":"no master","status":503}"#)
}

#[test]
fn an_acknowledged_item_behind_a_retried_one_of_its_id_is_sent_again_after_it() {
    let (kafka, search) = (cluster(1), endpoint());
    let client = KafkaClient::at(kafka.brokers());
    client.produce(TOPIC, [record(0, "id", 1), record(0, "id", 2)]).unwrap();
    search.script(ScriptedFault::Items(vec![(0, busy())]));
    search.always(Some(unavailable()));
    let rig = EngineRig::start(plans::pipeline(kafka.brokers(), TOPIC, GROUP, plans::bulk(&search.url())));
    wait_until("the first is being retried", || search.requests() >= 4);
    assert_eq!(search.document(INDEX, "id").unwrap().source, br#"{"n":2}"#, "the second was applied");
    assert_ne!(rig.committed(), [Some(2)], "the first is open");
    search.always(None);
    wait_until("both are committed", || rig.committed() == [Some(2)]);
    assert_eq!(search.document(INDEX, "id").unwrap().source, br#"{"n":2}"#, "the newer one lasts");
    let applied: Vec<_> = search.log().into_iter().filter(|entry| entry.status < 300).map(|entry| entry.body).collect();
    assert_eq!(applied.len(), 3, "second; first; second again");
    let ending = rig.drain();
    assert_eq!((ending.exit, count(&ending, Outcome::Delivered)), (Exit::Done, 2));
}

#[test]
fn residue_of_a_revoked_partition_is_not_sent() {
    let (kafka, search) = (cluster(2), endpoint());
    let client = KafkaClient::at(kafka.brokers());
    client.produce(TOPIC, (0..2).flat_map(|p| (0..20).map(move |n| record(p, &format!("{p}-{n}"), n)))).unwrap();
    search.always(Some(unavailable()));
    let rig = EngineRig::start(plans::pipeline(kafka.brokers(), TOPIC, GROUP, plans::bulk(&search.url())));
    wait_until("everything is being retried", || {
        search.log().iter().map(|entry| &entry.id).collect::<BTreeSet<_>>().len() == 40 || search.requests() > 10
    });
    let visitor = SourceRig::start(&kafka, &Options::default());
    let lent = visitor.partition(&visitor.take().runs[0]);
    assert_eq!(rig.assigned(), 1);
    let before = search.log().len();
    search.always(None);
    wait_until("the kept partition goes on", || rig.committed()[(1 - lent) as usize] == Some(20));
    let sent = search.log().split_off(before);
    assert_eq!(sent.iter().filter(|entry| entry.id.starts_with(&format!("{lent}-"))).count(), 0, "{sent:?}");
    assert_eq!(search.count(INDEX), 20);
    // What was given up is not lost: it comes back and is delivered.
    visitor.abort();
    wait_until("the lent one comes back", || search.count(INDEX) == 40);
    wait_until("all is committed", || rig.committed() == [Some(20), Some(20)]);
    let ending = rig.drain();
    assert_eq!((ending.exit, count(&ending, Outcome::Delivered)), (Exit::Done, 40));
}

#[test]
fn a_budget_full_of_nothing_but_residue_empties_itself() {
    const EACH: i64 = 2_000;
    let (kafka, search) = (cluster(4), endpoint());
    let client = KafkaClient::at(kafka.brokers());
    client.produce(TOPIC, (0..4).flat_map(|partition| padded(partition, 0, EACH))).unwrap();
    search.always(Some(unavailable()));
    let mut plan = plans::pipeline(kafka.brokers(), TOPIC, GROUP, plans::bulk(&search.url()));
    plan.memory = MemoryShare(2 << 20);
    let rig = EngineRig::start(plan);
    let budget = rig.engine.board().pipelines[0].pipeline.budget.clone();
    wait_until("the budget is spent", || !budget.has_room());
    let requests = search.requests();
    wait_until("several retries later", || search.requests() > requests + 5);
    assert!(!budget.has_room(), "nothing was resolved");
    search.always(None);
    wait_until("everything is there", || search.count(INDEX) == 4 * EACH as usize);
    wait_until("everything is committed", || rig.committed() == [Some(EACH); 4]);
    // Asked for before a drain, charged without asking afterwards: a drain, the payloads and the bodies go beyond the
    // limit.
    assert!(budget.peak() < 3 * budget.limit(), "{} of {}", budget.peak(), budget.limit());
    let ending = rig.drain();
    assert_eq!((ending.exit, budget.used()), (Exit::Done, 0));
}

/// The replaced script lost 30 of these 40 records.
mod the_scripts_own_hole {
    use super::*;

    const FAILING: &str = "2-3";

    fn input() -> Vec<NewRecord> {
        (0..4).flat_map(|p| (0..10).map(move |n| record(p, &format!("{p}-{n}"), n))).collect()
    }

    fn keys() -> BTreeSet<String> {
        (0..4).flat_map(|p| (0..10).map(move |n| format!("{p}-{n}"))).collect()
    }

    #[test]
    fn one_item_fails_for_a_while() {
        let (kafka, search) = (cluster(4), endpoint());
        KafkaClient::at(kafka.brokers()).produce(TOPIC, input()).unwrap();
        search.answer_id(FAILING, Some(busy()));
        let rig = EngineRig::start(plans::pipeline(kafka.brokers(), TOPIC, GROUP, plans::bulk(&search.url())));
        wait_until("the others arrive, also those behind it", || search.count(INDEX) == 39);
        wait_until("the other partitions are committed", || {
            let committed = rig.committed();
            [0, 1, 3].iter().all(|other| committed[*other] == Some(10))
        });
        assert!(rig.committed()[2] <= Some(3), "{:?}", rig.committed());
        search.answer_id(FAILING, None);
        wait_until("40 of 40", || search.count(INDEX) == 40);
        wait_until("all is committed", || rig.committed() == [Some(10); 4]);
        assert_eq!(rig.drain().exit, Exit::Done);
    }

    #[test]
    fn a_request_fails_as_a_whole() {
        let (kafka, search) = (cluster(4), endpoint());
        KafkaClient::at(kafka.brokers()).produce(TOPIC, input()).unwrap();
        search.script(ScriptedFault::answer(500, r#"{"error":"internal","status":500}"#));
        search.script(ScriptedFault::PartThenAnswer(3, 503, String::new()));
        let rig = EngineRig::start(plans::pipeline(kafka.brokers(), TOPIC, GROUP, plans::bulk(&search.url())));
        wait_until("all is committed", || rig.committed() == [Some(10); 4]);
        assert_eq!((search.count(INDEX), search.scripted()), (40, 0));
        assert_eq!(rig.drain().exit, Exit::Done);
    }

    #[test]
    fn the_process_dies_while_it_fails() {
        let (kafka, search) = (cluster(4), endpoint());
        KafkaClient::at(kafka.brokers()).produce(TOPIC, input()).unwrap();
        search.answer_id(FAILING, Some(busy()));
        let plan = plans::pipeline(kafka.brokers(), TOPIC, GROUP, plans::bulk(&search.url()));
        let rig = EngineRig::start(plan.clone());
        wait_until("the others arrive", || search.count(INDEX) == 39);
        rig.abort();
        search.answer_id(FAILING, None);
        let rig = EngineRig::start(plan);
        wait_until("40 of 40", || search.count(INDEX) == 40);
        wait_until("all is committed", || rig.committed() == [Some(10); 4]);
        assert_eq!(rig.drain().exit, Exit::Done);
    }

    #[test]
    fn a_failed_delivery_takes_each_partition_back_to_its_own_record() {
        let kafka = MockKafka::start(&[(TOPIC, 4)]).unwrap();
        let out = MockKafka::start(&[("out", 4)]).unwrap();
        KafkaClient::at(kafka.brokers()).produce(TOPIC, input()).unwrap();
        let failed = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_POLICY_VIOLATION; 3];
        out.fail_requests(RDKafkaApiKey::Produce, &failed).unwrap();
        let mut plan = plans::pipeline(kafka.brokers(), TOPIC, GROUP, plans::relay(out.brokers(), "out"));
        plan.source.revoke_timeout = Duration::from_secs(2);
        let rig = EngineRig::start(plan);
        wait_until("all is committed", || rig.committed() == [Some(10); 4]);
        assert!(rig.rewinds() > 0, "the failure was a failure");
        let arrived = KafkaClient::at(out.brokers()).read_all("out").unwrap();
        let arrived: BTreeSet<_> =
            arrived.into_iter().map(|record| String::from_utf8(record.key.unwrap()).unwrap()).collect();
        assert_eq!(arrived, keys());
        assert_eq!(rig.drain().exit, Exit::Done);
    }

    #[test]
    fn the_record_itself_is_bad_and_stops_the_pipeline() {
        let (kafka, search) = (cluster(4), endpoint());
        let mut bad = input();
        bad.iter_mut().filter(|record| record.key.as_deref() == Some(FAILING.as_bytes())).for_each(|record| {
            record.value = Some(b"{\"result\":".to_vec());
        });
        KafkaClient::at(kafka.brokers()).produce(TOPIC, bad).unwrap();
        let mut plan = plans::pipeline(kafka.brokers(), TOPIC, GROUP, plans::bulk(&search.url()));
        let rig = EngineRig::start(plan.clone());
        let client = rig.client.clone();
        let ending = join_in_time(rig.engine);
        assert_eq!(ending.exit, Exit::Rejected, "{:?}", ending.halt);
        assert!(ending.halt.unwrap().message.contains("t[2]"), "names the place");
        assert!(client.committed(GROUP, TOPIC).unwrap()[2] <= Some(3), "not passed");
        plan.on_reject = OnReject::Drop;
        let rig = EngineRig::start(plan);
        wait_until("all is committed", || rig.committed() == [Some(10); 4]);
        assert_eq!(search.count(INDEX), 39);
        let ending = rig.drain();
        assert_eq!((ending.exit, count(&ending, Outcome::Dropped)), (Exit::Done, 1));
    }
}
