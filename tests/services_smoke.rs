//! Every real server starts, answers, and comes back with its data after an orderly stop and after signal 9.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use sluicegate_testkit::services::elasticsearch::{self, Version};
use sluicegate_testkit::services::kafka::{self, KafkaOptions};
use sluicegate_testkit::services::shared::Need;
use sluicegate_testkit::services::{ElasticsearchClient, KafkaClient, NewRecord, RedisClient, TransactionEnd, redis};

use crate::support::{own, servers, unique};

fn records(count: usize, partitions: i32) -> Vec<NewRecord> {
    (0..count)
        .map(|n| NewRecord::keyed(format!("key-{}", n % 97), format!("value-{n}")).to(n as i32 % partitions))
        .collect()
}

#[test]
fn two_clusters_are_two() {
    let Some([upstream, downstream]) = servers("two_clusters_are_two", [Need::KafkaIn, Need::KafkaOut]) else { return };
    assert_ne!(upstream.endpoint(), downstream.endpoint());
    let topic = unique("only-upstream");
    KafkaClient::new(upstream).create_topic(&topic, 1, &[]).unwrap();
    let missing = KafkaClient::new(downstream).offsets(&topic).unwrap_err().to_string();
    assert!(missing.contains("the topic is missing"), "{missing}");
}

#[test]
fn records_come_back_as_they_went() {
    let Some([kafka]) = servers("records_come_back_as_they_went", [Need::KafkaIn]) else { return };
    let client = KafkaClient::new(kafka);
    let topic = unique("roundtrip");
    client.create_topic(&topic, 3, &[]).unwrap();
    let headers = vec![("a".to_owned(), Some(b"1".to_vec())), ("a".to_owned(), None)];
    let full = NewRecord { headers: headers.clone(), timestamp_ms: Some(1_234_567), ..NewRecord::keyed("k", "v") };
    let tombstone = NewRecord { key: Some(b"k".to_vec()), ..NewRecord::default() };
    assert_eq!(client.produce(&topic, [full.to(2), tombstone.to(0)]).unwrap(), 2);
    assert_eq!(client.produce(&topic, records(30_000, 3)).unwrap(), 30_000);

    let stored = client.read_all(&topic).unwrap();
    assert_eq!(stored.len(), 30_002);
    assert_eq!((stored[0].partition, stored[0].offset, stored[0].value.as_deref()), (0, 0, None));
    let first_of_2 = stored.iter().find(|record| record.partition == 2).unwrap();
    assert_eq!((&first_of_2.headers, first_of_2.timestamp_ms), (&headers, 1_234_567));
    for partition in 0..3 {
        let values: Vec<&[u8]> = stored
            .iter()
            .filter(|record| record.partition == partition && record.key.as_deref() != Some(b"k"))
            .filter_map(|record| record.value.as_deref())
            .collect();
        let sent: Vec<String> = (0..30_000).filter(|n| n % 3 == partition).map(|n| format!("value-{n}")).collect();
        assert!(values.iter().eq(sent.iter().map(|value| value.as_bytes()).collect::<Vec<_>>().iter()), "{partition}");
    }
}

#[test]
fn transactions_offsets_and_retention() {
    let Some([kafka]) = servers("transactions_offsets_and_retention", [Need::KafkaIn]) else { return };
    let client = KafkaClient::new(kafka);
    let (topic, group) = (unique("transactions"), unique("group"));
    client.create_topic(&topic, 1, &[]).unwrap();
    client.transact(&unique("tx"), &topic, records(20, 1), TransactionEnd::Commit).unwrap();
    client.transact(&unique("tx"), &topic, records(10, 1), TransactionEnd::Abort).unwrap();
    assert_eq!(client.read_all(&topic).unwrap().len(), 20);
    // 30 records and two markers.
    assert_eq!(client.offsets(&topic).unwrap(), [(0, 32)]);

    assert_eq!(client.committed(&group, &topic).unwrap(), [None]);
    client.commit(&group, &topic, &[(0, 7)]).unwrap();
    assert_eq!(client.committed(&group, &topic).unwrap(), [Some(7)]);

    client.delete_records(&topic, 0, 5).unwrap();
    assert_eq!(client.offsets(&topic).unwrap(), [(5, 32)]);
    assert_eq!(client.read_all(&topic).unwrap()[0].offset, 5);

    client.delete_topic(&topic).unwrap();
    client.create_topic(&topic, 1, &[]).unwrap();
    assert_eq!(client.offsets(&topic).unwrap(), [(0, 0)]);
    assert_eq!(client.committed(&group, &topic).unwrap(), [None]);
}

#[test]
fn kafka_keeps_its_data_over_faults() {
    let start = || kafka::start(&KafkaOptions::default());
    let Some(kafka) = own("kafka_keeps_its_data_over_faults", start) else { return };
    let client = KafkaClient::new(&kafka);
    client.create_topic("kept", 2, &[]).unwrap();
    client.produce("kept", records(1_000, 2)).unwrap();
    let before = client.read_all("kept").unwrap();
    client.commit("group", "kept", &[(0, 3), (1, 4)]).unwrap();

    let process = kafka.process_id();
    kafka.kill9().unwrap();
    assert_eq!(kafka.process_id(), None);
    kafka.start().unwrap();
    assert_ne!(kafka.process_id(), process);
    assert_eq!(client.read_all("kept").unwrap(), before);

    kafka.restart().unwrap();
    assert_eq!(client.read_all("kept").unwrap(), before);
    assert_eq!(client.committed("group", "kept").unwrap(), [Some(3), Some(4)]);

    kafka.pause().unwrap();
    let asker: BaseConsumer = client.config().create().unwrap();
    assert!(asker.fetch_metadata(None, Duration::from_millis(1_500)).is_err(), "a frozen broker answered");
    kafka.resume().unwrap();
    assert_eq!(client.read_all("kept").unwrap(), before);
}

/// The mapping and the bulk lines differ by version only in the type.
fn fill(client: &ElasticsearchClient, version: Version, index: &str, count: usize) -> BTreeMap<String, String> {
    let fields = r#"{"properties":{"n":{"type":"long"}}}"#;
    let (mappings, kind) = match version {
        Version::V6 => (format!(r#"{{"itmes":{fields}}}"#), r#","_type":"itmes""#),
        Version::V8 => (fields.to_owned(), ""),
    };
    let body = format!(r#"{{"settings":{{"number_of_replicas":0}},"mappings":{mappings}}}"#);
    client.create_index(index, &body).unwrap();
    let mut expected = BTreeMap::new();
    let mut lines = String::new();
    for n in 0..count {
        let source = format!(r#"{{"n":{n}, "text":"ü {n}"}}"#);
        lines.push_str(&format!("{{\"index\":{{\"_index\":\"{index}\"{kind},\"_id\":\"id-{n}\"}}}}\n{source}\n"));
        expected.insert(format!("id-{n}"), source);
    }
    let answer = client.bulk(&lines).unwrap();
    assert_eq!(answer["errors"], false, "{answer}");
    expected
}

fn sources(client: &ElasticsearchClient, index: &str) -> BTreeMap<String, String> {
    client.documents(index).unwrap().into_iter().map(|(id, document)| (id, document.source)).collect()
}

#[test]
fn both_elasticsearch_generations_answer() {
    let needs = [Need::Elasticsearch, Need::Elasticsearch8];
    let Some(nodes) = servers("both_elasticsearch_generations_answer", needs) else { return };
    for (node, started) in nodes.into_iter().zip(["6.8.2", "8.19.21"]) {
        let client = ElasticsearchClient::new(node);
        let number = client.version().unwrap();
        // A node of the environment may be of any version.
        assert!(node.process_id().is_none() || number == started, "{number} instead of {started}");
        let version = if number.starts_with("6.") { Version::V6 } else { Version::V8 };
        let index = unique("smoke");
        // More than two pages of a scroll.
        let expected = fill(&client, version, &index, 10_007);
        assert_eq!(client.count(&index).unwrap(), 10_007);
        assert!(sources(&client, &index) == expected, "documents of {number} differ");
        client.delete_index(&index).unwrap();
        assert!(client.count(&index).unwrap_err().to_string().contains("HTTP 404"));
    }
}

fn elasticsearch_faults(test: &str, version: Version) {
    let settings = [("http.max_content_length", "1mb")];
    let Some(node) = own(test, || elasticsearch::start(version, &settings)) else { return };
    let client = ElasticsearchClient::new(&node);
    let expected = fill(&client, version, "kept", 500);
    node.kill9().unwrap();
    assert!(client.version().is_err());
    node.start().unwrap();
    assert_eq!(sources(&client, "kept"), expected);
    node.restart().unwrap();
    assert_eq!(sources(&client, "kept"), expected);

    // The setting has arrived: a request of more than 1 MB is refused, one way or the other.
    let large = "x".repeat(1_100_000);
    let refused = client.request("POST", "/_bulk", Some(&large)).map(|reply| reply.status);
    assert!(matches!(refused, Ok(413) | Err(_)), "{refused:?}");
}

#[test]
fn elasticsearch_6_keeps_its_data_over_faults() {
    elasticsearch_faults("elasticsearch_6_keeps_its_data_over_faults", Version::V6);
}

#[test]
fn elasticsearch_8_keeps_its_data_over_faults() {
    elasticsearch_faults("elasticsearch_8_keeps_its_data_over_faults", Version::V8);
}

#[test]
fn redis_answers_and_keeps_its_data_over_a_restart() {
    let Some(service) = own("redis_answers_and_keeps_its_data_over_a_restart", redis::start) else { return };
    let mut client = RedisClient::connect(&service).unwrap();
    let fields: Vec<(String, String)> = (0..2_500).map(|n| (format!("f{n}"), format!("wert ü {n}"))).collect();
    client.hset("table", fields.iter().map(|(field, value)| (field.as_str(), value.as_str()))).unwrap();
    service.restart().unwrap();
    let mut client = RedisClient::connect(&service).unwrap();
    assert_eq!(client.command(&["HLEN", "table"]).unwrap().as_deref(), Some("2500"));
    assert_eq!(client.command(&["HGET", "table", "f2499"]).unwrap().as_deref(), Some("wert ü 2499"));
    assert_eq!(client.command(&["HGET", "table", "none"]).unwrap(), None);
    assert!(client.command(&["GET", "table"]).unwrap_err().to_string().contains("WRONGTYPE"));

    service.kill9().unwrap();
    assert!(client.command(&["PING"]).is_err());
    service.start().unwrap();
    let mut client = RedisClient::connect(&service).unwrap();
    assert_eq!(client.command(&["PING"]).unwrap().as_deref(), Some("PONG"));
}

#[test]
fn the_shared_redis_is_one() {
    let started = Instant::now();
    let Some([first]) = servers("the_shared_redis_is_one", [Need::Redis]) else { return };
    let Some([second]) = servers("the_shared_redis_is_one", [Need::Redis]) else { return };
    assert!(std::ptr::eq(first, second), "two servers within {:?}", started.elapsed());
    let key = unique("key");
    RedisClient::connect(first).unwrap().hset(&key, [("a", "1")]).unwrap();
    let value = RedisClient::connect(second).unwrap().command(&["HGET", &key, "a"]).unwrap();
    assert_eq!(value.as_deref(), Some("1"));
}
