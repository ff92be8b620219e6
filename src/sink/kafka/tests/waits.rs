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

/// Topics `left` and `right`, each with one partition at a broker of its own; records name their topic by their key.
fn two_leaders(options: Options) -> (Cluster, Rig) {
    let cluster = MockCluster::new(2).expect("mock cluster");
    for (topic, leader) in [("left", 1), ("right", 2)] {
        cluster.create_topic(topic, 1, 2).expect("topic");
        cluster.partition_leader(topic, 0, Some(leader)).expect("leader");
    }
    let topic = Template { text: "{key}".into(), segments: vec![TemplateSegment::Key] };
    let rig = Rig::start(&cluster, Options { topic, ..options });
    (cluster, rig)
}

fn send_one(rig: &mut Rig, tenure: (PartitionId, Epoch), offset: i64, topic: &str) -> Ticket {
    let ticket = rig.ticket(tenure);
    let batch = rig.batch(&[(ticket, offset, topic, b"x")]);
    rig.send(batch);
    ticket
}

#[test]
fn records_that_wait_while_others_are_acknowledged_are_named() {
    let (cluster, mut rig) = two_leaders(Options::default());
    let (there, away) = (rig.assign(0), rig.assign(1));
    for (tenure, topic) in [(there, "left"), (away, "right")] {
        let ticket = send_one(&mut rig, tenure, 0, topic);
        rig.await_settled(ticket, Outcome::Delivered, 1);
    }
    cluster.broker_down(2).expect("down");
    let waits = send_one(&mut rig, away, 1, "right");
    let start = Instant::now();
    let mut offset = 1;
    let named = loop {
        let ticket = send_one(&mut rig, there, offset, "left");
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

/// The broker of one partition is away, the other's is there: the producer is made anew, after ever longer waits, and
/// what waited is delivered once the broker is back.
#[test]
fn records_that_wait_while_others_are_acknowledged_are_sent_again_by_a_new_producer() {
    let (cluster, mut rig) = two_leaders(Options { in_place: Duration::from_secs(3), ..Options::default() });
    let (mut there, mut away) = (rig.assign(0), rig.assign(1));
    for (tenure, topic) in [(there, "left"), (away, "right")] {
        let ticket = send_one(&mut rig, tenure, 0, topic);
        rig.await_settled(ticket, Outcome::Delivered, 1);
    }
    cluster.broker_down(2).expect("down");
    let rewound = |rig: &Rig, ticket| rig.others.iter().find_map(|report| rewind_cause(report, ticket));
    let (mut waits, mut waited) = (send_one(&mut rig, away, 1, "right"), Vec::new());
    for offset in 1.. {
        if waited.len() == 2 {
            break;
        }
        let start = Instant::now();
        let passes = send_one(&mut rig, there, offset, "left");
        rig.await_reports("an answer or the wait's end", |rig| {
            rig.settled(passes, Outcome::Delivered) == 1 || rewound(rig, passes).is_some()
        });
        while rewound(&rig, waits).is_none() && start.elapsed() < Duration::from_millis(200) {
            if let Ok(report) = rig.reports.recv_timeout(Duration::from_millis(20)) {
                rig.read(report);
            }
        }
        if rewound(&rig, passes).is_some() {
            there = (there.0, rig.fence(there.0));
        }
        if let Some(cause) = rewound(&rig, waits) {
            assert_eq!(cause, RewindCause::Producer);
            waited.push(Instant::now());
            away = (away.0, rig.fence(away.0));
            waits = send_one(&mut rig, away, 1, "right");
        }
        assert!(offset < 300, "the wait has no bound: {waited:?}");
    }
    assert!(waited[1] - waited[0] >= Duration::from_secs(6), "the second wait is twice as long");
    cluster.broker_up(2).expect("up");
    rig.await_settled(waits, Outcome::Delivered, 1);
    await_recovered(&rig);
    rig.finish();
}
