//! The verdicts a mock cannot give, on a real broker: `SLUICEGATE_TEST_KAFKA=host:port cargo test --lib real -- --ignored`.

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;

use super::*;

fn brokers() -> String {
    std::env::var("SLUICEGATE_TEST_KAFKA").expect("SLUICEGATE_TEST_KAFKA names a broker")
}

/// Makes a topic of one partition; its name ends with a number no other run uses.
fn make_topic(name: &str, entries: &[(&str, &str)]) -> String {
    let name = format!("{name}-{}", std::time::UNIX_EPOCH.elapsed().expect("clock").as_nanos());
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers()).create().expect("admin");
    let mut topic = NewTopic::new(&name, 1, TopicReplication::Fixed(1));
    for (key, value) in entries {
        topic = topic.set(key, value);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    let made = runtime.block_on(admin.create_topics([&topic], &AdminOptions::new())).expect("answered");
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    name
}

fn options(topic: &str, properties: Vec<(&'static str, &'static str)>) -> Options {
    let topic = Template { text: topic.into(), segments: vec![TemplateSegment::Literal(topic.into())] };
    Options { topic, properties, ..Options::default() }
}

#[test]
#[ignore = "needs a broker: SLUICEGATE_TEST_KAFKA"]
fn the_topic_s_limit_is_read_and_larger_records_are_rejected_unsent() {
    let topic = make_topic("limit", &[("max.message.bytes", "30000")]);
    let limit = limit::max_message_bytes(&connection(&brokers()), &topic, Duration::from_secs(5));
    assert_eq!(limit, Ok(30_000));
    let mut rig = Rig::start_at(&brokers(), options(&topic, Vec::new()));
    let tenure = rig.assign(0);
    let ticket = rig.ticket(tenure);
    let (large, small) = (vec![b'x'; 40_000], vec![b'y'; 20_000]);
    let records: Vec<(Ticket, i64, &str, &[u8])> =
        (0..10).map(|at| (ticket, at, "k", if at == 4 { large.as_slice() } else { small.as_slice() })).collect();
    let batch = rig.batch(&records);
    rig.send(batch);
    rig.await_settled(ticket, Outcome::Delivered, 9);
    rig.await_settled(ticket, Outcome::Dropped, 1);
    let rig = rig.finish();
    assert!(rig.others.is_empty(), "{:?}", rig.others);
}

#[test]
#[ignore = "needs a broker: SLUICEGATE_TEST_KAFKA"]
fn a_batch_above_the_broker_s_limit_is_sent_alone_and_only_the_guilty_record_is_rejected() {
    let topic = make_topic("large", &[("max.message.bytes", "20000")]);
    let mut rig = Rig::start_at(&brokers(), options(&topic, vec![("message.max.bytes", "1000000")]));
    let tenure = rig.assign(0);
    let large = vec![b'x'; 30_000];
    let values: Vec<Vec<u8>> =
        (0..30).map(|at| if at == 17 { large.clone() } else { format!("{at:05000}").into_bytes() }).collect();
    let send = |rig: &mut Rig, tenure| {
        let ticket = rig.ticket(tenure);
        let records: Vec<(Ticket, i64, &str, &[u8])> =
            values.iter().enumerate().map(|(at, value)| (ticket, at as i64, "k", value.as_slice())).collect();
        let batch = rig.batch(&records);
        rig.send(batch);
        ticket
    };
    let first = send(&mut rig, tenure);
    assert_eq!(rig.await_rewind(first), RewindCause::Delivery);
    let delivered_before = rig.settled(first, Outcome::Delivered);
    let tenure = (tenure.0, rig.fence(tenure.0));
    let again = send(&mut rig, tenure);
    rig.await_settled(again, Outcome::Delivered, 29);
    rig.await_settled(again, Outcome::Dropped, 1);
    rig.finish();
    let read = &read_back_from(&brokers(), &topic, 1, 29 + delivered_before as usize)[0];
    let expected: Vec<String> = (0..30).filter(|at| *at != 17).map(|at| format!("{at:05000}")).collect();
    assert_eq!(read[read.len() - 29..], expected[..], "in order after the rewind");
}

#[test]
#[ignore = "needs a broker: SLUICEGATE_TEST_KAFKA"]
fn null_keys_in_a_compacted_topic_are_named_by_the_broker_and_rejected() {
    let topic = make_topic("compacted", &[("cleanup.policy", "compact")]);
    let mut rig = Rig::start_at(&brokers(), options(&topic, vec![("linger.ms", "200")]));
    let tenure = rig.assign(0);
    let send = |rig: &mut Rig, tenure| {
        let ticket = rig.ticket(tenure);
        let key = |at: i64| if at % 10 == 3 { NULL_KEY } else { "k" };
        let texts: Vec<String> = (0..50).map(|at| format!("v-{at}")).collect();
        let records: Vec<(Ticket, i64, &str, &[u8])> =
            (0..50).zip(&texts).map(|(at, text)| (ticket, at, key(at), text.as_bytes())).collect();
        let batch = rig.batch(&records);
        rig.send(batch);
        ticket
    };
    let first = send(&mut rig, tenure);
    assert_eq!(rig.await_rewind(first), RewindCause::Delivery);
    let tenure = (tenure.0, rig.fence(tenure.0));
    let again = send(&mut rig, tenure);
    rig.await_settled(again, Outcome::Delivered, 45);
    rig.await_settled(again, Outcome::Dropped, 5);
    let rig = rig.finish();
    assert_eq!(rig.settled(first, Outcome::Dropped), 5, "the named ones were rejected at once");
    assert_eq!(rig.others.len(), 1, "the second reading needs no rewind: {:?}", rig.others);
}

#[test]
#[ignore = "needs a broker: SLUICEGATE_TEST_KAFKA"]
fn a_topic_that_is_made_later_ends_the_wait() {
    let name = format!("later-{}", std::time::UNIX_EPOCH.elapsed().expect("clock").as_nanos());
    let properties = vec![("message.max.bytes", "1000000"), ("topic.metadata.propagation.max.ms", "500")];
    let mut rig = Rig::start_at(&brokers(), options(&name, properties));
    let tenure = rig.assign(0);
    rig.send_range(tenure, 0..5);
    rig.await_reports("given up", |rig| rig.others.contains(&Report::GaveUp(GiveUp::MissingTopic)));
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers()).create().expect("admin");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    let topic = NewTopic::new(&name, 1, TopicReplication::Fixed(1));
    runtime.block_on(admin.create_topics([&topic], &AdminOptions::new())).expect("answered");
    rig.await_reports("answers", |rig| rig.others.contains(&Report::SinkAnswers));
    let tenure = (tenure.0, rig.fence(tenure.0));
    let again = rig.send_range(tenure, 0..5);
    rig.await_settled(again, Outcome::Delivered, 5);
    rig.finish();
    assert_eq!(read_back_from(&brokers(), &name, 1, 5)[0].len(), 5);
}
