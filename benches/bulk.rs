//! Bulk entries on the worker's side, and reading answers: `cargo bench --bench bulk`.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sluicegate::config::plan::{
    Action, Auth, ConcurrencyMode, ElasticsearchConnection, ElasticsearchSinkPlan, OnIndexFault, OnTombstone, Segment,
    ServerKind, Template,
};
use sluicegate::model::{Encode, Epoch, Kept, NoHeaders, Offset, Place, Record, Slot, Ticket, TicketId};
use sluicegate::sink::elasticsearch::{BulkEncoder, read_answer};

const RECORDS: usize = 1000;

fn plan(action: Action) -> ElasticsearchSinkPlan {
    let literal = |text: &str| Template { text: text.to_owned(), segments: vec![Segment::Literal(text.to_owned())] };
    ElasticsearchSinkPlan {
        connection: ElasticsearchConnection {
            name: Arc::from("bench"),
            nodes: vec!["http://127.0.0.1:1".to_owned()],
            request_timeout: Duration::from_secs(60),
            server: ServerKind::Auto,
            auth: Auth::None,
            ca_file: None,
            verify: true,
        },
        index: literal("items"),
        doc_type: "_doc".to_owned(),
        id: None,
        action,
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

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    for bytes in [200_usize, 800, 8192] {
        let value = format!("{{\"text\":\"{}\"}}", "x".repeat(bytes - 11));
        let ids: Vec<String> = (0..RECORDS).map(|number| format!("customer-{number:08}")).collect();
        group.throughput(Throughput::Elements(RECORDS as u64));
        for action in [Action::Upsert, Action::Index] {
            let mut encoder = BulkEncoder::new(&plan(action));
            let mut payload = Vec::new();
            let mut items = Vec::new();
            group.bench_function(BenchmarkId::new(format!("{action:?}"), bytes), |bencher| {
                bencher.iter(|| {
                    payload.clear();
                    items.clear();
                    for (index, id) in ids.iter().enumerate() {
                        let ticket = Ticket { id: TicketId(1), slot: Slot(0), epoch: Epoch(1) };
                        let place = Place { ticket, offset: Offset(index as i64), index: index as u32 };
                        let record = Record {
                            topic: "events",
                            partition: 0,
                            offset: index as i64,
                            timestamp_ms: None,
                            key: Some(id.as_bytes()),
                            value: Some(value.as_bytes()),
                            headers: &NoHeaders,
                        };
                        let kept = Kept { value: Some(&[value.as_bytes()]), rendered: &[Some(id.as_bytes())] };
                        items.extend(encoder.encode(place, &record, &kept, &mut payload).ok());
                    }
                    black_box((&payload, &items));
                });
            });
        }
    }
    group.finish();
}

fn read(criterion: &mut Criterion) {
    let good = "{\"update\":{\"status\":200}}".to_owned();
    let bad = "{\"update\":{\"status\":429,\"error\":{\"type\":\"es_rejected_execution_exception\",\"reason\":\"queue full\"}}}";
    let answers = [
        ("all_good", vec![good.clone(); RECORDS], false),
        ("one_bad", [vec![good; RECORDS - 1], vec![bad.to_owned()]].concat(), true),
        ("all_bad", vec![bad.to_owned(); RECORDS], true),
    ];
    let mut group = criterion.benchmark_group("read");
    group.throughput(Throughput::Elements(RECORDS as u64));
    for (name, items, errors) in answers {
        let body = format!("{{\"errors\":{errors},\"items\":[{}]}}", items.join(","));
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(read_answer(black_box(body.as_bytes()), RECORDS)));
        });
    }
    group.finish();
}

criterion_group!(benches, encode, read);
criterion_main!(benches);
