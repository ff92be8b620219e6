//! Waits of which nothing else would tell: what fails at once again and again, and what waits while others get their
//! answer.

use super::*;

const NAMED_WITHIN: Duration = Duration::from_secs(9);

fn fault(rig: &Rig) -> Option<String> {
    rig.ctx
        .pipeline
        .health
        .faults()
        .into_iter()
        .find(|(room, _)| *room == Component::Sink)
        .map(|(_, fault)| fault.message)
}

fn await_recovered(rig: &Rig) {
    let start = Instant::now();
    while let Some(fault) = fault(rig) {
        assert!(start.elapsed() < NAMED_WITHIN, "still named: {fault}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// Neither is ever open for long, so the clock of what is not answered does not see it. `beside`: another partition
/// goes well meanwhile.
fn fails_again_and_again(beside: bool) -> String {
    let cluster = cluster(1);
    let mut rig = Rig::start(&cluster, Options::default());
    let (mut failing, fine) = (rig.assign(0), rig.assign(1));
    let ready = rig.send_range(fine, 0..1);
    rig.await_settled(ready, Outcome::Delivered, 1);
    let start = Instant::now();
    let named = loop {
        error(&cluster, RDKafkaRespErr::RD_KAFKA_RESP_ERR_POLICY_VIOLATION, 1);
        let ticket = rig.send_range(failing, 0..1);
        assert_eq!(rig.await_rewind(ticket), RewindCause::Delivery);
        if let Some(fault) = fault(&rig) {
            break fault;
        }
        assert!(start.elapsed() < NAMED_WITHIN, "nothing was said");
        if beside {
            let other = rig.send_range(fine, 100..101);
            rig.await_settled(other, Outcome::Delivered, 1);
        }
        failing = (failing.0, rig.fence(failing.0));
        std::thread::park_timeout(Duration::from_millis(100));
    };
    failing = (failing.0, rig.fence(failing.0));
    let again = rig.send_range(failing, 0..1);
    rig.await_settled(again, Outcome::Delivered, 1);
    await_recovered(&rig);
    rig.finish();
    named
}

#[test]
fn what_fails_at_once_again_and_again_is_named() {
    let alone = fails_again_and_again(false);
    assert!(alone.contains("acknowledges nothing") && alone.contains("Policy violation"), "{alone}");
    let beside = fails_again_and_again(true);
    assert!(beside.contains("offset 0 fails again and again") && beside.contains("Policy violation"), "{beside}");
}

#[test]
fn records_that_wait_while_others_are_acknowledged_are_named() {
    let cluster = MockCluster::new(2).expect("mock cluster");
    for (topic, leader) in [("left", 1), ("right", 2)] {
        cluster.create_topic(topic, 1, 2).expect("topic");
        cluster.partition_leader(topic, 0, Some(leader)).expect("leader");
    }
    let topic = Template { text: "{key}".into(), segments: vec![TemplateSegment::Key] };
    let mut rig = Rig::start(&cluster, Options { topic, ..Options::default() });
    let (there, away) = (rig.assign(0), rig.assign(1));
    let send = |rig: &mut Rig, tenure, offset: i64, topic: &str| {
        let ticket = rig.ticket(tenure);
        let batch = rig.batch(&[(ticket, offset, topic, b"x")]);
        rig.send(batch);
        ticket
    };
    for (tenure, topic) in [(there, "left"), (away, "right")] {
        let ticket = send(&mut rig, tenure, 0, topic);
        rig.await_settled(ticket, Outcome::Delivered, 1);
    }
    cluster.broker_down(2).expect("down");
    let waits = send(&mut rig, away, 1, "right");
    let start = Instant::now();
    let mut offset = 1;
    let named = loop {
        let ticket = send(&mut rig, there, offset, "left");
        rig.await_settled(ticket, Outcome::Delivered, 1);
        offset += 1;
        if let Some(fault) = fault(&rig) {
            break fault;
        }
        assert!(start.elapsed() < NAMED_WITHIN, "nothing was said");
        std::thread::park_timeout(Duration::from_millis(200));
    };
    assert!(named.contains("while others get theirs"), "{named}");
    assert!(start.elapsed() >= Duration::from_secs(4), "not at once");
    cluster.broker_up(2).expect("up");
    rig.await_settled(waits, Outcome::Delivered, 1);
    await_recovered(&rig);
    rig.finish();
}
