//! Targets that do not take what a pipeline asks of them, on real Elasticsearch: nobody is rejected, the alert says
//! what to do, and where the server is cured the pipeline goes on.

use std::time::Duration;

use sluicegate_testkit::services::shared::Need;
use sluicegate_testkit::services::{ElasticsearchClient, KafkaClient, NewRecord, Service};

use crate::support::bench::until;
use crate::support::process::Process;
use crate::support::{servers, unique};

/// For one run of a few records on a machine that other work shares.
const LIMIT: Duration = Duration::from_secs(120);

/// A topic with records, and an index to send them to.
struct Case<'servers> {
    kafka: &'servers Service,
    search: &'servers Service,
    topic: String,
    index: String,
}

impl<'servers> Case<'servers> {
    fn new(kafka: &'servers Service, search: &'servers Service, records: Vec<NewRecord>) -> Self {
        let (topic, index) = (unique("in"), unique("out"));
        let client = KafkaClient::new(kafka);
        client.create_topic(&topic, 1, &[]).unwrap();
        let count = records.len() as u64;
        assert_eq!(client.produce(&topic, records).unwrap(), count);
        Self { kafka, search, topic, index }
    }

    fn elasticsearch(&self) -> ElasticsearchClient {
        ElasticsearchClient::new(self.search)
    }

    /// A request that the server must grant.
    fn put(&self, path: &str, body: &str) {
        let posted = ["_aliases", "_close", "_open"].iter().any(|end| path.ends_with(end));
        let body = Some(body).filter(|body| !body.is_empty());
        let reply = self.elasticsearch().request(if posted { "POST" } else { "PUT" }, path, body).unwrap();
        assert_eq!(reply.status, 200, "{path}: {}", String::from_utf8_lossy(&reply.body));
    }

    fn yaml(&self, keys: &str) -> String {
        let Self { kafka, search, topic, index } = self;
        format!(
            "version: 1\nconnections:\n  kafka:\n    k: {{ brokers: [\"{}\"] }}\n  elasticsearch:\n    \
             e: {{ nodes: [\"{}\"] }}\npipelines:\n  p:\n    source:\n      kafka: {{ connection: k, topics: [{topic}], \
             group: {topic} }}\n    sink:\n      elasticsearch: {{ connection: e, index: {index}, {keys} }}\n    \
             on_reject: {{ dead_letter: {{ file: {{ path: dead.ndjson }} }} }}\n\
             telemetry: {{ listen: \"127.0.0.1:0\" }}\n",
            kafka.endpoint(),
            search.endpoint(),
        )
    }

    fn check(&self, keys: &str, code: i32) {
        Process::of("check", "check", &self.yaml(keys), &["--connect"]).wait(LIMIT).assert_code(code);
    }

    /// Runs to the end; all must be delivered.
    fn delivers(&self, keys: &str, records: u64) {
        let ended = Process::run("to the end", &self.yaml(keys), &["--until", "end", "--report", "report"]);
        let ended = ended.wait(LIMIT).assert_code(0);
        assert_eq!(ended.count("p", "delivered"), records, "{}", ended.tail());
    }

    /// Holds with an alert that says `remedy` until `cure`, then everything is delivered.
    fn holds(&self, keys: &str, remedy: &str, records: u64, cure: impl FnOnce()) {
        let process = Process::run(remedy, &self.yaml(keys), &["--until", "end", "--report", "report"]);
        until(remedy, LIMIT, || process.log().contains(remedy), || process.tail());
        cure();
        let ended = process.wait(LIMIT).assert_code(0);
        assert_eq!(ended.count("p", "delivered"), records, "{}", ended.tail());
        assert_eq!(ended.count("p", "dead_lettered"), 0, "{}", ended.tail());
    }
}

fn numbers(count: usize) -> Vec<NewRecord> {
    (0..count).map(|n| NewRecord::keyed(format!("k{n}"), format!("{{\"id\":{n}}}"))).collect()
}

#[test]
fn an_alias_without_a_write_index_rejects_nobody_and_goes_on_when_it_has_one() {
    let needs = [Need::KafkaIn, Need::Elasticsearch, Need::Elasticsearch8];
    let Some([kafka, six, eight]) = servers("an_alias_without_a_write_index_rejects_nobody", needs) else { return };
    for search in [six, eight] {
        let case = Case::new(kafka, search, numbers(60));
        let [one, two] = ["1", "2"].map(|number| format!("{}-{number}", case.index));
        case.put(&format!("/{one}"), "{}");
        case.put(&format!("/{two}"), "{}");
        let link = |index: &str, more: &str| {
            format!("{{\"add\":{{\"index\":\"{index}\",\"alias\":\"{}\"{more}}}}}", case.index)
        };
        let actions = format!("{{\"actions\":[{},{}]}}", link(&one, ""), link(&two, ""));
        case.put("/_aliases", &actions);
        case.check("id: '{key}', action: index", 76);
        case.holds("id: '{key}', action: index", "is_write_index", 60, || {
            case.put("/_aliases", &format!("{{\"actions\":[{}]}}", link(&two, ",\"is_write_index\":true")));
        });
        assert_eq!(case.elasticsearch().count(&two).unwrap(), 60);
        case.check("id: '{key}', action: index", 0);
    }
}

#[test]
fn pipelines_limits_and_routing_are_faults_of_the_target() {
    let needs = [Need::KafkaIn, Need::Elasticsearch, Need::Elasticsearch8];
    let Some([kafka, six, eight]) = servers("pipelines_limits_and_routing_are_faults_of_the_target", needs) else {
        return;
    };
    for (search, typed) in [(six, true), (eight, false)] {
        let keys = "id: '{key}', action: index";
        let mappings = |inside: &str| if typed { format!("{{\"_doc\":{inside}}}") } else { inside.to_owned() };

        let case = Case::new(kafka, search, numbers(20));
        let limit = |fields: u32| format!("{{\"index.mapping.total_fields.limit\":{fields}}}");
        case.put(&format!("/{}", case.index), &format!("{{\"settings\":{}}}", limit(0)));
        case.holds(keys, "index.mapping.total_fields.limit", 20, || {
            case.put(&format!("/{}/_settings", case.index), &limit(100));
        });

        let case = Case::new(kafka, search, numbers(20));
        case.put(&format!("/{}", case.index), "{}");
        case.put(&format!("/{}/_close", case.index), "");
        case.check(keys, 76);
        case.put(&format!("/{}/_open", case.index), "");
        case.check(keys, 0);

        let case = Case::new(kafka, search, numbers(20));
        let required = mappings("{\"_routing\":{\"required\":true}}");
        case.put(&format!("/{}", case.index), &format!("{{\"mappings\":{required}}}"));
        case.check(keys, 76);
        let ended = Process::run("routing", &case.yaml(keys), &["--until", "end", "--report", "report"]);
        let ended = ended.wait(LIMIT).assert_code(76);
        assert!(ended.log.contains("write `routing`"), "{}", ended.tail());
        assert_eq!(ended.count("p", "dead_lettered"), 0, "{}", ended.tail());
        case.check(&format!("{keys}, routing: '{{key}}'"), 0);
        case.delivers(&format!("{keys}, routing: '{{key}}'"), 20);

        let case = Case::new(kafka, search, numbers(20));
        let process = Process::run("pipeline", &case.yaml(&format!("{keys}, pipeline: nowhere")), &["--until", "end"]);
        until("the alert", LIMIT, || process.log().contains("create the ingest pipeline"), || process.tail());
        drop(process);
        case.check(&format!("{keys}, pipeline: nowhere"), 76);
        case.delivers(keys, 20);
    }
}

/// 8 answers 429 as a busy server does, 6.8 answers 403.
#[test]
fn the_block_of_a_full_disk_is_named_with_its_remedy_and_rejects_nobody() {
    let needs = [Need::KafkaIn, Need::Elasticsearch, Need::Elasticsearch8];
    let Some([kafka, six, eight]) = servers("the_block_of_a_full_disk_is_named_with_its_remedy", needs) else { return };
    for search in [six, eight] {
        for more in ["", ", on_index_fault: reject"] {
            let keys = format!("id: '{{key}}', action: index{more}");
            let case = Case::new(kafka, search, numbers(20));
            let settings = format!("/{}/_settings", case.index);
            // Each time 8 looks at its disks, every 30 s by default, it takes such blocks away again.
            case.put("/_cluster/settings", "{\"transient\":{\"cluster.info.update.interval\":\"1h\"}}");
            case.put(&format!("/{}", case.index), "{}");
            case.put(&settings, "{\"index.blocks.read_only_allow_delete\":true}");
            case.check(&keys, 76);
            case.holds(&keys, "free disk space", 20, || {
                case.put(&settings, "{\"index.blocks.read_only_allow_delete\":null}");
            });
            case.check(&keys, 0);
        }
    }
}

#[test]
fn of_records_with_one_version_the_later_wins_on_real_servers() {
    let needs = [Need::KafkaIn, Need::Elasticsearch, Need::Elasticsearch8];
    let Some([kafka, six, eight]) = servers("of_records_with_one_version_the_later_wins", needs) else { return };
    for search in [six, eight] {
        for version in ["timestamp", "{ pointer: /v }"] {
            let at = |record: NewRecord| NewRecord { timestamp_ms: Some(1_795_996_000_000), ..record };
            let mut records = vec![
                at(NewRecord::keyed("a", r#"{"state":"new","v":5}"#)),
                at(NewRecord::keyed("a", r#"{"state":"paid","v":5}"#)),
                at(NewRecord::keyed("c", r#"{"state":"x","v":1}"#)),
            ];
            if version == "timestamp" {
                records.push(at(NewRecord { key: Some(b"c".to_vec()), ..NewRecord::default() }));
            }
            let count = records.len() as u64;
            let case = Case::new(kafka, search, records);
            case.delivers(&format!("action: index, version: {version}"), count);
            let documents = case.elasticsearch().documents(&case.index).unwrap();
            assert_eq!(documents["a"].source, r#"{"state":"paid","v":5}"#);
            assert_eq!(documents.contains_key("c"), version != "timestamp", "deleted in its millisecond");
        }
        // The same records for another group: all of them are there already.
        let case = Case::new(kafka, search, numbers(20));
        case.delivers("id: '{key}', action: index, version: offset", 20);
        let again = case.yaml("id: '{key}', action: index, version: offset").replace("group: in-", "group: again-");
        let ended = Process::run("again", &again, &["--until", "end", "--report", "report"]).wait(LIMIT).assert_code(0);
        assert_eq!(ended.count("p", "superseded"), 20, "{}", ended.tail());
        assert!(ended.log.contains("20 of 20 records ended as superseded"), "{}", ended.tail());
    }
}

/// A change of a row as Debezium tells of it.
struct Change {
    row: u32,
    before: &'static str,
    after: &'static str,
    op: &'static str,
}

/// The shapes Debezium gives changes: how key and value are written, and what a pipeline needs for it.
struct Shape {
    key: fn(u32) -> String,
    value: fn(&Change) -> String,
    keys: &'static str,
    steps: &'static str,
}

const SHAPES: [Shape; 3] = [
    // With schemas, as its converter writes by default.
    Shape {
        key: |row| format!(r#"{{"schema":{{"type":"struct"}},"payload":{{"id":{row}}}}}"#),
        value: |Change { before, after, op, .. }| {
            format!(r#"{{"schema":{{}},"payload":{{"before":{before},"after":{after},"op":"{op}"}}}}"#)
        },
        keys: "id: '{key:/payload/id}', version: offset, on_tombstone: delete, \
               action: { by: { field: /payload/op, map: { c: index, r: index, u: index, d: delete } } }",
        steps: "{ select: /payload/after }",
    },
    // Without schemas.
    Shape {
        key: |row| format!(r#"{{"id":{row}}}"#),
        value: |Change { before, after, op, .. }| format!(r#"{{"before":{before},"after":{after},"op":"{op}"}}"#),
        keys: "id: '{key:/id}', version: offset, on_tombstone: delete, \
               action: { by: { field: /op, map: { d: delete }, otherwise: index } }",
        steps: "{ select: /after }",
    },
    // Its `ExtractNewRecordState` with `delete.tombstone.handling.mode: rewrite`: the row itself, and the id as plain
    // text.
    Shape {
        key: |row| row.to_string(),
        value: |change| {
            let (row, deleted) = if change.op == "d" { (change.before, true) } else { (change.after, false) };
            format!(r#"{{"row":{row},"__deleted":"{deleted}"}}"#)
        },
        keys: "id: '{key}', version: offset, \
               action: { by: { field: /__deleted, map: { 'true': delete, 'false': index } } }",
        steps: "{ select: /row }",
    },
];

#[test]
fn change_data_capture_ends_with_the_rows_there_are() {
    let needs = [Need::KafkaIn, Need::Elasticsearch, Need::Elasticsearch8];
    let Some([kafka, six, eight]) = servers("change_data_capture_ends_with_the_rows_there_are", needs) else { return };
    let change = |row, before, after, op| Change { row, before, after, op };
    let changes = [
        change(1001, "null", r#"{"id":1001,"n":"A"}"#, "c"),
        change(1002, "null", r#"{"id":1002,"n":"A"}"#, "r"),
        change(1001, r#"{"id":1001,"n":"A"}"#, r#"{"id":1001,"n":"B"}"#, "u"),
        change(1002, r#"{"id":1002,"n":"A"}"#, r#"{"id":1002,"n":"C"}"#, "u"),
        change(1001, r#"{"id":1001,"n":"B"}"#, "null", "d"),
    ];
    for search in [six, eight] {
        for shape in &SHAPES {
            let key = |row| Some((shape.key)(row).into_bytes());
            let records = changes.iter().map(|change| NewRecord {
                key: key(change.row),
                value: Some((shape.value)(change).into_bytes()),
                ..NewRecord::default()
            });
            // Each deletion is followed by a tombstone, for the topic's compaction.
            let tombstone = NewRecord { key: key(1001), ..NewRecord::default() };
            let case = Case::new(kafka, search, records.chain([tombstone]).collect());
            let yaml = case.yaml(shape.keys).replace("    sink:", &format!("    steps: [{}]\n    sink:", shape.steps));
            let ended =
                Process::run("changes", &yaml, &["--until", "end", "--report", "report"]).wait(LIMIT).assert_code(0);
            assert_eq!((ended.count("p", "delivered"), ended.count("p", "dead_lettered")), (6, 0), "{}", ended.tail());
            let documents = case.elasticsearch().documents(&case.index).unwrap();
            assert_eq!(documents.len(), 1, "{documents:?}");
            assert_eq!(documents["1002"].source, r#"{"id":1002,"n":"C"}"#);
        }
    }
}

/// The server makes the ids of a time series from its dimensions, and takes no other.
#[test]
fn an_index_in_time_series_mode_takes_documents_without_an_id() {
    let needs = [Need::KafkaIn, Need::Elasticsearch8];
    let Some([kafka, eight]) = servers("an_index_in_time_series_mode_takes_documents_without_an_id", needs) else {
        return;
    };
    let value = r#"{"@timestamp":"2026-11-29T10:00:01Z","host":"a","cpu":1}"#;
    let case = Case::new(kafka, eight, vec![NewRecord { value: Some(value.into()), ..NewRecord::default() }]);
    let body = r#"{"settings":{"index.mode":"time_series","index.routing_path":["host"],
        "index.time_series.start_time":"2026-11-01T00:00:00Z","index.time_series.end_time":"2026-12-30T00:00:00Z"},
        "mappings":{"properties":{"@timestamp":{"type":"date"},"host":{"type":"keyword","time_series_dimension":true},
        "cpu":{"type":"long"}}}}"#;
    case.put(&format!("/{}", case.index), body);
    case.check("action: create", 76);
    let ended =
        Process::run("with an id", &case.yaml("action: create"), &["--until", "end"]).wait(LIMIT).assert_code(76);
    assert!(ended.log.contains("write `id: none`"), "{}", ended.tail());
    case.check("action: create, id: none", 0);
    case.delivers("action: create, id: none", 1);
    assert_eq!(case.elasticsearch().count(&case.index).unwrap(), 1);
}
