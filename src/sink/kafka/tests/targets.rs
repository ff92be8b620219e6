//! Topics that records name, some of which are missing.

use super::*;

const MISSING: RDKafkaRespErr = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
const THERE: RDKafkaRespErr = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;

fn named(on_missing_topic: OnMissingTopic) -> Options {
    let topic = Template { text: "{key}".into(), segments: vec![TemplateSegment::Key] };
    Options { topic, on_missing_topic, ..Options::default() }
}

/// A cluster with `left` and `right`, and without those named.
fn without(missing: &[&str]) -> Cluster {
    let cluster = cluster(1);
    ["left", "right"].iter().chain(missing).for_each(|topic| cluster.create_topic(topic, 1, 1).expect("topic"));
    missing.iter().for_each(|topic| cluster.topic_error(topic, MISSING).expect("topic error"));
    cluster
}

/// Sends one batch with the next offsets, values `OFFSET`, one record for each topic.
fn send_to(rig: &mut Rig, tenure: (PartitionId, Epoch), from: i64, topics: &[&str]) -> Ticket {
    let ticket = rig.ticket(tenure);
    let values: Vec<String> = (from..).take(topics.len()).map(|offset| offset.to_string()).collect();
    let records: Vec<(Ticket, i64, &str, &[u8])> =
        (from..).zip(topics).zip(&values).map(|((at, topic), value)| (ticket, at, *topic, value.as_bytes())).collect();
    let batch = rig.batch(&records);
    rig.await_released((batch.sequence + 1).saturating_sub(RING as u64));
    rig.send(batch);
    ticket
}

fn fault(rig: &Rig) -> Option<String> {
    rig.ctx
        .pipeline
        .health
        .faults()
        .into_iter()
        .find(|(room, _)| *room == Component::Target)
        .map(|(_, fault)| fault.message)
}

fn await_fault(rig: &Rig, wanted: impl Fn(Option<&str>) -> bool) -> Option<String> {
    let deadline = Instant::now() + WAIT;
    loop {
        let fault = fault(rig);
        if wanted(fault.as_deref()) {
            return fault;
        }
        assert!(Instant::now() < deadline, "{fault:?}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

#[test]
fn records_of_a_missing_topic_wait_alone_and_go_on_in_order_when_it_is_there() {
    let cluster = without(&["lost"]);
    let mut rig = Rig::start(&cluster, named(OnMissingTopic::Hold));
    let tenure = rig.assign(0);
    let first = send_to(&mut rig, tenure, 0, &["left", "lost", "right", "lost", "left"]);
    rig.await_settled(first, Outcome::Delivered, 3);
    let second = send_to(&mut rig, tenure, 5, &["lost", "lost", "right"]);
    rig.await_settled(second, Outcome::Delivered, 1);
    let text = await_fault(&rig, |fault| fault.is_some_and(|text| text.contains("4 records wait"))).expect("a fault");
    for part in ["topic lost of connection downstream", "in[0] offset 1", "{key}", "Create the topic"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(rig.ctx.pipeline.metrics.missing_topics.get(), 1);
    cluster.topic_error("lost", THERE).expect("topic error");
    rig.await_settled(first, Outcome::Delivered, 5);
    rig.await_settled(second, Outcome::Delivered, 3);
    let third = send_to(&mut rig, tenure, 8, &["lost"; 3]);
    rig.await_settled(third, Outcome::Delivered, 3);
    await_fault(&rig, |fault| fault.is_none());
    let rig = rig.finish();
    assert!(rig.others.is_empty(), "nothing was read again: {:?}", rig.others);
    assert_eq!((rig.ctx.pipeline.budget.used(), rig.ctx.pipeline.metrics.queue_records.get()), (0, 0));
    assert_eq!(read_back(&cluster, "lost", 1, 7)[0], ["1", "3", "5", "6", "8", "9", "10"]);
    assert_eq!(read_back(&cluster, "left", 1, 2)[0], ["0", "4"]);
}

#[test]
fn more_than_one_batch_of_waiting_records_goes_on_in_order() {
    let cluster = without(&["lost"]);
    let mut rig = Rig::start(&cluster, named(OnMissingTopic::Hold));
    let tenure = rig.assign(0);
    let first: Vec<_> = (0..4).map(|batch| send_to(&mut rig, tenure, batch * 1_000, &["lost"; 1_000])).collect();
    await_fault(&rig, |fault| fault.is_some_and(|text| text.contains("4000 records wait")));
    cluster.topic_error("lost", THERE).expect("topic error");
    let late = send_to(&mut rig, tenure, 4_000, &["lost"; 500]);
    first.into_iter().for_each(|ticket| rig.await_settled(ticket, Outcome::Delivered, 1_000));
    rig.await_settled(late, Outcome::Delivered, 500);
    let rig = rig.finish();
    assert_eq!(
        (rig.ctx.pipeline.budget.used(), rig.ctx.pipeline.metrics.queue_records.get(), rig.others.len()),
        (0, 0, 0)
    );
    let wanted: Vec<String> = (0..4_500).map(|offset| offset.to_string()).collect();
    assert_eq!(read_back(&cluster, "lost", 1, 4_500)[0], wanted);
}

#[test]
fn only_what_names_a_missing_topic_is_rejected_after_the_wait_and_a_late_topic_is_used() {
    let cluster = without(&["lost", "gone"]);
    let mut rig = Rig::start(&cluster, named(OnMissingTopic::Reject));
    let (tenure, start) = (rig.assign(0), Instant::now());
    let first = send_to(&mut rig, tenure, 0, &["lost", "left", "gone", "right", "lost", "left"]);
    rig.await_settled(first, Outcome::Delivered, 3);
    assert!(start.elapsed() < roll::WAIT / 2, "the others do not wait");
    rig.await_settled(first, Outcome::Dropped, 3);
    assert!(start.elapsed() >= roll::WAIT, "a topic may take a moment: {:?}", start.elapsed());
    let again = Instant::now();
    let second = send_to(&mut rig, tenure, 6, &["left", "lost", "right"]);
    rig.await_settled(second, Outcome::Delivered, 2);
    rig.await_settled(second, Outcome::Dropped, 1);
    assert!(again.elapsed() < roll::WAIT / 2, "known by then");
    cluster.topic_error("lost", THERE).expect("topic error");
    std::thread::park_timeout(Duration::from_millis(1_100));
    let third = send_to(&mut rig, tenure, 9, &["lost", "left"]);
    rig.await_settled(third, Outcome::Delivered, 2);
    let rig = rig.finish();
    assert!(rig.others.is_empty(), "{:?}", rig.others);
    assert_eq!(rig.ctx.pipeline.budget.used(), 0);
    assert_eq!(read_back(&cluster, "lost", 1, 1)[0], ["9"]);
    assert_eq!(read_back(&cluster, "left", 1, 4)[0], ["1", "5", "6", "10"]);
}

#[test]
fn a_topic_that_appears_within_the_wait_gets_all_of_its_records() {
    let cluster = without(&["lost"]);
    let mut rig = Rig::start(&cluster, named(OnMissingTopic::Reject));
    let tenure = rig.assign(0);
    let ticket = send_to(&mut rig, tenure, 0, &["lost", "lost", "left"]);
    rig.await_settled(ticket, Outcome::Delivered, 1);
    std::thread::park_timeout(Duration::from_secs(2));
    cluster.topic_error("lost", THERE).expect("topic error");
    rig.await_settled(ticket, Outcome::Delivered, 3);
    let rig = rig.finish();
    assert_eq!((rig.settled(ticket, Outcome::Dropped), rig.others.len()), (0, 0), "{:?}", rig.others);
    assert_eq!(read_back(&cluster, "lost", 1, 2)[0], ["0", "1"]);
}

#[test]
fn waiting_records_of_a_lost_partition_are_dropped_with_their_bytes() {
    let cluster = without(&["lost"]);
    let mut rig = Rig::start(&cluster, named(OnMissingTopic::Hold));
    let (one, other) = (rig.assign(0), rig.assign(1));
    let fenced = send_to(&mut rig, one, 0, &["lost", "left", "lost"]);
    let stays = send_to(&mut rig, other, 7, &["lost"]);
    rig.await_settled(fenced, Outcome::Delivered, 1);
    await_fault(&rig, |fault| fault.is_some_and(|text| text.contains("3 records wait")));
    rig.fence(one.0);
    await_fault(&rig, |fault| fault.is_some_and(|text| text.contains("1 records wait")));
    cluster.topic_error("lost", THERE).expect("topic error");
    rig.await_settled(stays, Outcome::Delivered, 1);
    let rig = rig.finish();
    assert_eq!(rig.settled(fenced, Outcome::Delivered), 1);
    assert_eq!((rig.ctx.pipeline.budget.used(), rig.ctx.pipeline.metrics.queue_records.get()), (0, 0));
    assert_eq!(read_back(&cluster, "lost", 1, 1)[0], ["7"]);
}

#[test]
fn a_topic_that_vanishes_takes_back_only_what_named_it() {
    let cluster = without(&[]);
    let options = Options {
        properties: vec![("message.max.bytes", "1000000"), ("topic.metadata.propagation.max.ms", "200")],
        ..named(OnMissingTopic::Hold)
    };
    let mut rig = Rig::start(&cluster, options);
    let (one, other) = (rig.assign(0), rig.assign(1));
    let there = send_to(&mut rig, one, 0, &["left", "right"]);
    rig.await_settled(there, Outcome::Delivered, 2);
    std::thread::park_timeout(Duration::from_millis(300));
    cluster.topic_error("right", MISSING).expect("topic error");
    error(&cluster, MISSING, 3);
    let lost = send_to(&mut rig, one, 2, &["right", "right"]);
    assert_eq!(rig.await_rewind(lost), RewindCause::Delivery);
    let untouched = send_to(&mut rig, other, 50, &["left", "left"]);
    rig.await_settled(untouched, Outcome::Delivered, 2);
    let tenure = (one.0, rig.fence(one.0));
    let again = send_to(&mut rig, tenure, 2, &["right", "right", "left"]);
    rig.await_settled(again, Outcome::Delivered, 1);
    cluster.topic_error("right", THERE).expect("topic error");
    rig.await_settled(again, Outcome::Delivered, 3);
    let rig = rig.finish();
    assert_eq!(rig.settled(lost, Outcome::Delivered), 0);
    assert!(rig.others.iter().all(|report| !matches!(report, Report::GaveUp(_))), "{:?}", rig.others);
}

#[test]
fn a_stop_waits_for_what_is_held_until_it_is_aborted() {
    let cluster = without(&["lost"]);
    let mut rig = Rig::start(&cluster, named(OnMissingTopic::Hold));
    let tenure = rig.assign(0);
    let ticket = send_to(&mut rig, tenure, 0, &["lost", "left"]);
    rig.await_settled(ticket, Outcome::Delivered, 1);
    rig.intake = None;
    std::thread::park_timeout(Duration::from_millis(600));
    assert!(!rig.thread.as_ref().expect("runs").is_finished(), "what waits is not given up by a drain");
    rig.ctx.pipeline.stop.abort();
    rig.join();
    assert_eq!((rig.settled(ticket, Outcome::Delivered), rig.ctx.pipeline.budget.used()), (1, 0));
}

#[test]
fn a_fixed_topic_may_be_rejected_too() {
    let cluster = without(&[]);
    cluster.topic_error(TOPIC, MISSING).expect("topic error");
    let options = Options { on_missing_topic: OnMissingTopic::Reject, ..Options::default() };
    let mut rig = Rig::start(&cluster, options);
    let tenure = rig.assign(0);
    let ticket = rig.send_range(tenure, 0..5);
    rig.await_settled(ticket, Outcome::Dropped, 5);
    assert!(rig.finish().others.is_empty());
}
