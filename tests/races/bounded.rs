//! Bounded runs (`--until end`), and topics that end or begin anew under a running engine. The mock cluster knows
//! neither retention, nor transactions, nor the deletion of topics: most of these need a real broker.

use std::collections::BTreeMap;

use sluicegate::internals::config::plan::PipelinePlan;
use sluicegate::internals::model::{Exit, Outcome};
use sluicegate::internals::pipeline::Ending;
use sluicegate::internals::testbed::bulk_endpoint::{BulkEndpoint, ScriptedFault};
use sluicegate_testkit::services::shared::Need;
use sluicegate_testkit::services::{KafkaClient, TransactionEnd};

use super::engine_rig::{EngineRig, count, endpoint};
use super::plans::{self, INDEX};
use super::source_rig::{GROUP, TOPIC, cluster};
use super::waiting::{LIMIT, join_in_time, padded, record, wait_until};
use crate::support::process::Process;
use crate::support::{servers, unique};

/// A bounded run over everything there is; it must end by itself.
fn run_to_the_end(plan: PipelinePlan) -> Ending {
    join_in_time(EngineRig::start_until(plan, true).engine)
}

fn delivered(ending: &Ending) -> u64 {
    assert_eq!(ending.exit, Exit::Done, "{:?}", ending.halt);
    count(ending, Outcome::Delivered)
}

#[test]
fn two_members_share_a_bounded_run_and_both_end() {
    const EACH: i64 = 400;
    let (kafka, search) = (cluster(4), endpoint());
    let client = KafkaClient::at(kafka.brokers());
    client.produce(TOPIC, (0..4).flat_map(|partition| padded(partition, 0, EACH))).unwrap();
    // The first member cannot finish before the second has joined.
    search.always(Some(ScriptedFault::answer(503, "")));
    let plan = plans::pipeline(kafka.brokers(), TOPIC, GROUP, plans::bulk(&search.url()));
    let first = EngineRig::start_until(plan.clone(), true);
    wait_until("the first member has begun", || first.assigned() == 4 && search.requests() > 0);
    let second = EngineRig::start_until(plan, true);
    wait_until("they share", || first.assigned() == 2 && second.assigned() == 2);
    search.always(None);
    let endings = [first, second].map(|member| join_in_time(member.engine));
    let sums: Vec<u64> = endings.iter().map(delivered).collect();
    // What the first had open when it gave partitions up comes twice; nothing is missing.
    assert!(sums.iter().sum::<u64>() >= 4 * EACH as u64 && sums.iter().all(|sum| *sum > 0), "{sums:?}");
    assert_eq!(search.count(INDEX), 4 * EACH as usize);
    assert_eq!(client.committed(GROUP, TOPIC).unwrap(), [Some(EACH); 4]);
}

/// A topic of a real broker and an endpoint; `None`: no broker can be had.
fn on_a_real_broker(test: &str, partitions: u16) -> Option<(KafkaClient, String, BulkEndpoint, PipelinePlan)> {
    let [kafka] = servers(test, [Need::KafkaIn])?;
    let (client, topic, search) = (KafkaClient::new(kafka), unique(test), endpoint());
    client.create_topic(&topic, partitions, &[]).unwrap();
    let plan = plans::on_a_real_broker(kafka.endpoint(), &topic, plans::bulk(&search.url()));
    Some((client, topic, search, plan))
}

#[test]
fn a_bounded_run_ends_over_partitions_emptied_by_retention() {
    let test = "a_bounded_run_ends_over_partitions_emptied_by_retention";
    let Some((client, topic, search, plan)) = on_a_real_broker(test, 3) else { return };
    // One emptied, one emptied behind a committed position, one with records left.
    client.produce(&topic, (0..3).flat_map(|p| (0..20).map(move |n| record(p, &format!("{p}-{n}"), n)))).unwrap();
    client.commit(&plan.source.group, &topic, &[(1, 5)]).unwrap();
    client.delete_records(&topic, 0, 20).unwrap();
    client.delete_records(&topic, 1, 20).unwrap();
    client.delete_records(&topic, 2, 12).unwrap();
    let group = plan.source.group.clone();
    let ending = run_to_the_end(plan);
    assert_eq!((delivered(&ending), search.count(INDEX)), (8, 8));
    assert_eq!(client.committed(&group, &topic).unwrap(), [Some(20); 3]);
}

#[test]
fn a_bounded_run_ends_behind_a_transactional_tail() {
    let test = "a_bounded_run_ends_behind_a_transactional_tail";
    let Some((client, topic, search, plan)) = on_a_real_broker(test, 2) else { return };
    let some = |p: i32, from: i64, to: i64| (from..to).map(move |n| record(p, &format!("{p}-{n}"), n));
    // Partition 0 ends in a marker; partition 1 in an aborted transaction and its marker.
    client.transact(&unique("tx"), &topic, some(0, 0, 10).chain(some(1, 0, 10)), TransactionEnd::Commit).unwrap();
    client.transact(&unique("tx"), &topic, some(1, 10, 15), TransactionEnd::Abort).unwrap();
    let ends = [Some(11), Some(17)];
    let are_there = || client.offsets(&topic).unwrap().into_iter().map(|(_, end)| Some(end)).eq(ends);
    // A transaction has ended before its markers are written.
    wait_until("the markers", are_there);
    let group = plan.source.group.clone();
    let ending = run_to_the_end(plan.clone());
    assert_eq!((delivered(&ending), search.count(INDEX)), (20, 20));
    assert_eq!(client.committed(&group, &topic).unwrap(), ends, "behind the markers");
    // Nothing new: the next run finds itself at the end at once.
    assert_eq!(delivered(&run_to_the_end(plan)), 0);
}

/// The new log may be shorter than the old one was read, as long, or longer: an offset alone does not tell. The engine
/// is a process that stands still while the topic is not there: it meets the new topic without having seen the old one
/// go.
fn a_topic_deleted_and_recreated(test: &str, old: i64, new: i64) {
    let Some([kafka]) = servers(test, [Need::KafkaIn]) else { return };
    let (client, topic, search) = (KafkaClient::new(kafka), unique(test), endpoint());
    client.create_topic(&topic, 1, &[]).unwrap();
    client.produce(&topic, (0..old).map(|n| record(0, &format!("old-{n}"), n))).unwrap();
    let engine = Process::run(test, &configuration(kafka.endpoint(), &topic, &search.url()), &[]);
    let committed = || client.committed(&topic, &topic).unwrap();
    wait_until("the old topic is read", || committed() == [Some(old)]);
    engine.stand_still();
    client.delete_topic(&topic).unwrap();
    client.create_topic(&topic, 1, &[]).unwrap();
    client.produce(&topic, (0..new).map(|n| record(0, &format!("new-{n}"), n))).unwrap();
    engine.go_on();
    let missing = |search: &BulkEndpoint| {
        let documents: BTreeMap<_, _> = search.documents(INDEX);
        (0..new).filter(|n| !documents.contains_key(&format!("new-{n}"))).count()
    };
    wait_until("every record of the new topic arrives", || missing(&search) == 0);
    wait_until("the position is the new topic's", || committed() == [Some(new)]);
    engine.terminate();
    engine.wait(LIMIT).assert_code(0);
}

/// One pipeline; the group has the topic's name.
fn configuration(brokers: &str, topic: &str, node: &str) -> String {
    format!(
        "version: 1\nconnections:\n  kafka:\n    upstream: {{ brokers: [\"{brokers}\"] }}\n  elasticsearch:\n    \
         search: {{ nodes: [\"{node}\"] }}\npipelines:\n  index:\n    source:\n      kafka: {{ connection: upstream, \
         topics: [{topic}], group: {topic} }}\n    steps:\n      - select: /result\n    sink:\n      elasticsearch: {{ \
         connection: search, index: {INDEX}, id: \"{{key}}\" }}\ntelemetry: {{ listen: \"127.0.0.1:0\" }}\n"
    )
}

#[test]
fn a_topic_recreated_shorter_is_read_from_its_beginning() {
    a_topic_deleted_and_recreated("a_topic_recreated_shorter", 50, 20);
}

#[test]
fn a_topic_recreated_longer_is_read_from_its_beginning() {
    a_topic_deleted_and_recreated("a_topic_recreated_longer", 20, 50);
}

#[test]
fn a_topic_recreated_as_long_as_it_was_is_read_from_its_beginning() {
    a_topic_deleted_and_recreated("a_topic_recreated_as_long", 20, 20);
}

/// While nobody ran.
#[test]
fn a_topic_recreated_between_two_runs_is_read_from_its_beginning() {
    let test = "a_topic_recreated_between_two_runs";
    let Some((client, topic, search, plan)) = on_a_real_broker(test, 1) else { return };
    client.produce(&topic, (0..50).map(|n| record(0, &format!("old-{n}"), n))).unwrap();
    assert_eq!(delivered(&run_to_the_end(plan.clone())), 50);
    client.delete_topic(&topic).unwrap();
    client.create_topic(&topic, 1, &[]).unwrap();
    client.produce(&topic, (0..20).map(|n| record(0, &format!("new-{n}"), n))).unwrap();
    // The broker forgets the group's position with the topic; a position left by another way is beyond the end.
    client.commit(&plan.source.group, &topic, &[(0, 50)]).unwrap();
    assert_eq!(delivered(&run_to_the_end(plan)), 20);
    assert_eq!(search.count(INDEX), 70);
}
