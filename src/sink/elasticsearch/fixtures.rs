//! Plans and items for this room's tests.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::config::plan::{
    Action, Auth, ConcurrencyMode, DocumentId, ElasticsearchConnection, ElasticsearchSinkPlan, OnIndexFault,
    OnTombstone, ServerKind, Template, TemplateSegment,
};
use crate::model::{ItemPath, Offset, Place, Ticket};

use super::bulk::{BulkItem, ItemAction};
use super::target::Terms;
use super::verdict::RequestReply;

/// Faults of the target hold; all records go to one index.
pub const TERMS: Terms = Terms { on_index_fault: OnIndexFault::Hold, fixed_index: true, routed: false, in_a_row: 100 };

/// An item without an id hash.
pub fn item(ticket: Ticket, offset: i64, index: u32, span: Range<usize>, action: ItemAction) -> BulkItem {
    let place = Place { ticket, offset: Offset(offset), item: ItemPath::WHOLE, index };
    BulkItem { place, start: span.start as u32, end: span.end as u32, id_hash: 0, action, versioned: false }
}

/// A template: `{key}` or text.
pub fn template(text: &str) -> Template {
    let segment = if text == "{key}" { TemplateSegment::Key } else { TemplateSegment::Literal(text.to_owned()) };
    Template { text: text.to_owned(), segments: vec![segment] }
}

/// An upsert sink into `index`, at nobody's address.
pub fn sink_plan(index: &str) -> ElasticsearchSinkPlan {
    ElasticsearchSinkPlan {
        connection: ElasticsearchConnection {
            name: Arc::from("search"),
            nodes: vec!["http://127.0.0.1:1".to_owned()],
            request_timeout: Duration::from_secs(5),
            server: ServerKind::Auto,
            auth: Auth::None,
            ca_file: None,
            client: None,
            verify: true,
        },
        index: template(index),
        doc_type: "_doc".to_owned(),
        id: DocumentId::KeyOrCoordinates,
        action: Action::Upsert,
        by: None,
        version: None,
        routing: None,
        ingest_pipeline: None,
        retry_on_conflict: 3,
        require_alias: false,
        on_tombstone: OnTombstone::Delete,
        on_index_fault: OnIndexFault::Hold,
        gzip: false,
        batch_records: 1000,
        batch_bytes: 1 << 20,
        linger: Duration::from_millis(10),
        lanes: 2,
        concurrency: ConcurrencyMode::Fixed,
    }
}

/// The answer to a request all of whose `records` were taken.
pub fn good(records: u32) -> RequestReply {
    let items = vec!["{\"index\":{\"status\":201}}"; records as usize].join(",");
    let body = format!("{{\"errors\":false,\"items\":[{items}]}}").into();
    RequestReply::Answer { status: 200, body, retry_after: None }
}

/// A reject desk; these tests look at what leaves a lane, not at what the desk does with it.
pub fn desk() -> Arc<crate::sink::reject::Rejects> {
    crate::sink::reject::tests::idle_desk()
}
