//! Plans written shortly, for the tests of this room.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::steps::filter::{ConditionPlan, Test, WherePlan};
use super::steps::lookup::{CachePlan, LookupPlan, LookupSource, OnLookupError, OnMiss};
use super::steps::require::RequirePlan;
use super::steps::select::SelectPlan;
use super::steps::{Otherwise, StepKind, StepPlan};
use crate::enrich::{Enricher, Lookups};
use crate::leaf::server::RedisConnection;
use crate::leaf::{Pointer, Template, TemplateSegment};
use crate::model::OwnedRecord;

/// A pointer as a user writes it.
pub(super) fn pointer(text: &str) -> Pointer {
    let member = |text: &str| text.replace("~1", "/").replace("~0", "~");
    Pointer { members: text.split('/').skip(1).map(member).collect() }
}

/// A template as a user writes it.
pub(super) fn template(text: &str) -> Template {
    let mut segments = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        if open > 0 {
            segments.push(TemplateSegment::Literal(rest[..open].to_owned()));
        }
        let close = open + rest[open..].find('}').expect("closed");
        segments.push(segment(&rest[open + 1..close]));
        rest = &rest[close + 1..];
    }
    if !rest.is_empty() {
        segments.push(TemplateSegment::Literal(rest.to_owned()));
    }
    Template { text: text.to_owned(), segments }
}

fn segment(text: &str) -> TemplateSegment {
    let field = |text: &str| match text.split_once('|') {
        Some((path, fallback)) => (pointer(path), Some(fallback.to_owned())),
        None => (pointer(text), None),
    };
    match text.split_once(':') {
        Some(("timestamp", format)) => TemplateSegment::Timestamp(Some(format.to_owned())),
        Some(("header", name)) => TemplateSegment::Header(name.to_owned()),
        Some(("original", path)) => {
            let (pointer, fallback) = field(path);
            TemplateSegment::Original { pointer, fallback }
        }
        Some(_) | None => match text {
            "key" => TemplateSegment::Key,
            "topic" => TemplateSegment::Topic,
            "partition" => TemplateSegment::Partition,
            "offset" => TemplateSegment::Offset,
            "timestamp" => TemplateSegment::Timestamp(None),
            path => {
                let (pointer, fallback) = field(path);
                TemplateSegment::Field { pointer, fallback }
            }
        },
    }
}

/// Numbers the steps as the configuration does.
pub(super) fn steps(kinds: impl IntoIterator<Item = StepKind>) -> Vec<StepPlan> {
    let named = |(index, kind): (usize, StepKind)| {
        let shown = format!("{kind:?}");
        let name = shown.split('(').next().unwrap_or_default().to_lowercase();
        StepPlan { place: format!("steps[{index}].{name}").into(), kind }
    };
    kinds.into_iter().enumerate().map(named).collect()
}

pub(super) fn select(path: &str) -> StepKind {
    StepKind::Select(SelectPlan { pointer: pointer(path) })
}

pub(super) fn require(paths: &[&str], otherwise: Otherwise) -> StepKind {
    StepKind::Require(RequirePlan { pointers: paths.iter().map(|path| pointer(path)).collect(), otherwise })
}

pub(super) fn filter(path: &str, test: Test, otherwise: Otherwise) -> StepKind {
    StepKind::Where(WherePlan { conditions: vec![ConditionPlan { pointer: pointer(path), test }], otherwise })
}

/// A keyed look-up.
pub(super) fn lookup(key: &str, into: &str, on_miss: OnMiss) -> StepKind {
    StepKind::Lookup(Box::new(LookupPlan {
        connection: RedisConnection {
            name: "lookups".into(),
            url: "redis://127.0.0.1".into(),
            timeout: Duration::from_secs(1),
            ca_file: None,
            client: None,
            verify: true,
        },
        source: LookupSource::Keyed { key: template(key), fields: Vec::new() },
        into: pointer(into),
        on_miss,
        on_error: OnLookupError::Retry,
        cache: CachePlan { entries: 1, bytes: 1, ttl: Duration::ZERO, miss_ttl: Duration::ZERO },
    }))
}

/// A record of topic `events`, partition 0.
pub(super) fn record(offset: i64, key: Option<&str>, value: Option<&str>) -> OwnedRecord {
    OwnedRecord {
        topic: "events".to_owned(),
        partition: 0,
        offset,
        timestamp_ms: Some(1_700_000_000_000 + offset),
        key: key.map(|key| key.as_bytes().to_vec()),
        value: value.map(|value| value.as_bytes().to_vec()),
        headers: vec![("h".to_owned(), Some(b"one".to_vec())), ("none".to_owned(), None)],
    }
}

/// Look-ups answered from memory.
pub(super) fn enricher(tables: &[&[(&str, &str)]]) -> Enricher {
    let table = |table: &&[(&str, &str)]| -> HashMap<Vec<u8>, Bytes> {
        let entry = |(key, json): &(&str, &str)| (key.as_bytes().to_vec(), Bytes::copy_from_slice(json.as_bytes()));
        table.iter().map(entry).collect()
    };
    let lookups: Arc<Lookups> = Lookups::in_memory(tables.iter().map(table).collect());
    Enricher::new(lookups)
}
