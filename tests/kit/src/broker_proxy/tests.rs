//! Against librdkafka: what a client makes of the relay.

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer as _};

use super::*;
use sluicegate::internals::testbed::kafka::MockKafka;

const PATIENCE: Duration = Duration::from_secs(10);

fn client(proxy: &BrokerProxy) -> BaseProducer {
    ClientConfig::new().set("bootstrap.servers", proxy.address().to_string()).create().unwrap()
}

/// Port and number of the brokers a client is told of.
fn brokers(client: &BaseProducer) -> Vec<(i32, i32)> {
    let metadata = client.client().fetch_metadata(None, PATIENCE).unwrap();
    metadata.brokers().iter().map(|broker| (broker.port(), broker.id())).collect()
}

#[test]
fn clients_know_the_broker_by_the_relays_address_until_it_names_nobody() {
    let kafka = MockKafka::start(&[("t", 2)]).unwrap();
    let port = kafka.brokers().rsplit_once(':').unwrap().1.parse().unwrap();
    let proxy = BrokerProxy::start(port).unwrap();
    let first = client(&proxy);
    assert_eq!(brokers(&first), [(i32::from(proxy.address.port()), 1)]);

    proxy.set_names_nobody(true);
    let other = client(&proxy);
    assert_eq!(brokers(&other), []);
    assert!(proxy.open() > 0 && proxy.named_nobody() > 0);
    assert_eq!(other.client().fetch_metadata(None, PATIENCE).unwrap().topics().len(), 1, "the rest is as it was");

    proxy.set_names_nobody(false);
    assert_eq!(brokers(&other).len(), 1, "it had learned none, so it forgot none");
}

#[test]
fn brokers_are_taken_out_of_answers_of_every_shape() {
    // Correlation id, [tags], [time throttled], brokers, the rest.
    let classic = |brokers: &[u8]| [&[0, 0, 0, 7][..], brokers, b"rest"].concat();
    let broker = [&[0, 0, 0, 1, 0, 1, b'h', 0, 0, 35, 132][..]].concat();
    let mut frame = classic(&[&[0, 0, 0, 1], &broker[..]].concat());
    without_brokers(&mut frame, 0).unwrap();
    assert_eq!(frame, classic(&[0, 0, 0, 0]));

    let racks = [&broker[..], &[255, 255], &broker, &[0, 1, b'r']].concat();
    let mut frame = classic(&[&[0, 0, 0, 0, 0, 0, 0, 2], &racks[..]].concat());
    without_brokers(&mut frame, 3).unwrap();
    assert_eq!(frame, classic(&[0, 0, 0, 0, 0, 0, 0, 0]));

    // One tagged field of one byte at the answer and at the broker.
    let compact = [0, 0, 0, 1, 2, b'h', 0, 0, 35, 132, 0, 1, 5, 1, 9];
    let flexible = |brokers: &[u8]| classic(&[&[1, 0, 1, 8, 0, 0, 0, 0], brokers].concat());
    let mut frame = flexible(&[&[2], &compact[..]].concat());
    without_brokers(&mut frame, 9).unwrap();
    assert_eq!(frame, flexible(&[1]));

    for length in 0..frame.len() - 4 {
        assert_eq!(without_brokers(&mut frame[..length].to_vec(), 9), None, "{length}");
    }
}
