//! The sinks' encoders on the worker's side, and reading bulk answers.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use sluicegate::internals::config::plan::{
    Action, Auth, ConcurrencyMode, DocumentId, ElasticsearchConnection, ElasticsearchSinkPlan, KafkaConnection,
    KafkaSinkPlan, OnIndexFault, OnMissingTopic, OnTombstone, ServerKind, Template, TemplateSegment,
};
use sluicegate::internals::model::{Encode, Epoch, ItemPath, Kept, Offset, PartitionId, Place, Ticket, TicketId};
use sluicegate::internals::sink::elasticsearch::{BulkEncoder, read_answer};
use sluicegate::internals::sink::kafka::KafkaEncoder;

use crate::input::{self, SIZES};
use crate::stage::Stage;

/// Items of an answer.
const ITEMS: usize = 1_000;

/// Encoding over every size, then reading.
pub fn stages() -> impl Iterator<Item = Stage> {
    let encoding = SIZES.into_iter().flat_map(|bytes| {
        [
            encode("encode/kafka", KafkaEncoder::new(&kafka()), bytes),
            encode("encode/upsert", BulkEncoder::new(&elasticsearch(Action::Upsert)), bytes),
            encode("encode/index", BulkEncoder::new(&elasticsearch(Action::Index)), bytes),
        ]
    });
    encoding.chain(answers())
}

fn literal(text: &str) -> Template {
    Template { text: text.to_owned(), segments: vec![TemplateSegment::Literal(text.to_owned())] }
}

fn kafka() -> KafkaSinkPlan {
    KafkaSinkPlan {
        connection: KafkaConnection { name: Arc::from("bench"), brokers: Vec::new(), properties: Default::default() },
        topic: literal("items"),
        key: Template { text: "{key}".to_owned(), segments: vec![TemplateSegment::Key] },
        on_missing_topic: OnMissingTopic::Hold,
        keep_headers: true,
        keep_timestamp: false,
        linger: Duration::from_millis(5),
        compression: "none".to_owned(),
        partitioner: "murmur2_random".to_owned(),
    }
}

fn elasticsearch(action: Action) -> ElasticsearchSinkPlan {
    ElasticsearchSinkPlan {
        connection: ElasticsearchConnection {
            name: Arc::from("bench"),
            nodes: vec!["http://127.0.0.1:1".to_owned()],
            request_timeout: Duration::from_secs(60),
            server: ServerKind::Auto,
            auth: Auth::None,
            ca_file: None,
            client: None,
            verify: true,
        },
        index: literal("items"),
        doc_type: "_doc".to_owned(),
        id: DocumentId::KeyOrCoordinates,
        action,
        by: None,
        version: None,
        routing: None,
        ingest_pipeline: None,
        retry_on_conflict: 3,
        require_alias: false,
        on_tombstone: OnTombstone::Delete,
        on_index_fault: OnIndexFault::Hold,
        gzip: false,
        batch_records: 5000,
        batch_bytes: 5 << 20,
        linger: Duration::from_millis(100),
        lanes: 4,
        concurrency: ConcurrencyMode::Fixed,
    }
}

/// The whole value under the record's key, as an encoder writes it.
fn encode<E: Encode>(group: &str, mut encoder: E, value_bytes: usize) -> Stage {
    let records = input::records(value_bytes);
    let (count, bytes) = (records.len() as u64, input::bytes(&records));
    let (mut payload, mut items) = (Vec::new(), Vec::new());
    let run = move || {
        payload.clear();
        items.clear();
        for (index, record) in records.iter().enumerate() {
            let ticket = Ticket { id: TicketId(1), slot: PartitionId(0), epoch: Epoch(1) };
            let place = Place { ticket, offset: Offset(record.offset), item: ItemPath::WHOLE, index: index as u32 };
            let view = record.view();
            let pieces = [view.value.unwrap_or_default()];
            let kept = Kept { value: Some(&pieces), rendered: &[view.key] };
            items.extend(encoder.encode(place, &view, &kept, &mut payload).ok());
        }
        assert_eq!(black_box(&items).len(), records.len(), "every record is encoded");
        payload.len()
    };
    let (group, case) = (group.to_owned(), value_bytes.to_string());
    Stage { group, case, records: count, bytes: Some(bytes), run: Box::new(run) }
}

fn answers() -> impl Iterator<Item = Stage> {
    const GOOD: &str = r#"{"update":{"_index":"items","_type":"_doc","_id":"k-0000012345","status":200}}"#;
    const BAD: &str = r#"{"update":{"_index":"items","_type":"_doc","_id":"k-0000012345","status":429,"error":{"type":"es_rejected_execution_exception","reason":"queue full"}}}"#;
    [("good", 0), ("one_bad", 1), ("bad", ITEMS)].into_iter().map(|(case, bad)| {
        let items = [vec![GOOD; ITEMS - bad], vec![BAD; bad]].concat().join(",");
        let body = format!(r#"{{"took":3,"errors":{},"items":[{items}]}}"#, bad > 0);
        let bytes = body.len() as u64;
        let run = move || {
            let faults = read_answer(black_box(body.as_bytes()), ITEMS).expect("an answer");
            assert_eq!(faults.len(), bad, "every fault is found");
            faults.len() + body.len()
        };
        let (group, case) = ("answer".to_owned(), case.to_owned());
        Stage { group, case, records: ITEMS as u64, bytes: Some(bytes), run: Box::new(run) }
    })
}
