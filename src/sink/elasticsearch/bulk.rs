//! Writes bulk entries on the workers' threads. Pure.
//!
//! An entry is complete when the worker is done with it: `{"update":{"_id":"7"}}\n{"doc":{…},"doc_as_upsert":true}\n`.
//! It holds nothing that depends on the server's generation: a mapping type (6.x only) travels in the request's path,
//! also for per-record indexes, where `_index` in the action line overrides the path's. So workers need not wait for a
//! probe.

use std::hash::BuildHasher;
use std::sync::Arc;

use crate::config::plan::{
    Action, ActionBy, Choice, DocumentId, ElasticsearchSinkPlan, OnTombstone, Template, TemplateSegment, VersionSource,
};
use crate::model::{Encode, Kept, Place, Record, Reject, RejectReason, StepName};
use crate::mutants::{self, Mutant};

use super::entry::{self, ActionLine};

/// Longest document id the servers take, in bytes of UTF-8 (not characters).
pub const LONGEST_ID_BYTES: usize = 512;

/// What an item asks of the server, as far as its answer is judged by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemAction {
    /// Replace the whole document.
    Index,
    /// Insert or 409.
    Create,
    /// Merge into a document.
    Update,
    /// Remove a document.
    Delete,
    /// Nothing: a tombstone that `on_tombstone: drop` ends here. Never sent; its span is empty.
    Drop,
}

/// One entry of a payload. `Copy`, about 72 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BulkItem {
    /// Which record.
    pub place: Place,
    /// First byte of the entry in the payload.
    pub start: u32,
    /// One past its last byte.
    pub end: u32,
    /// Hash of the document id: items of one id share a lane and a chain. Two ids of one hash are only ordered more
    /// strictly than needed.
    pub id_hash: u64,
    /// What it asks for.
    pub action: ItemAction,
    /// Whether it carries an external version, so that 409 means "already there or newer".
    pub versioned: bool,
}

impl BulkItem {
    /// Length of the entry in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// The lane of this item, below `lanes`.
    #[must_use]
    pub fn lane(&self, lanes: usize) -> usize {
        if mutants::on(Mutant::LaneHashIgnoresTheId) {
            return self.place.index as usize % lanes.max(1);
        }
        // The high half: hash maps of the lanes use the low bits.
        (((self.id_hash >> 32) * lanes as u64) >> 32) as usize
    }
}

/// The templates a worker renders for [`BulkEncoder`], in this order: id unless the server makes it; index unless it is
/// constant; routing if any; version if it is a field of the record; what chooses the action, if anything does.
#[must_use]
pub fn templates(plan: &ElasticsearchSinkPlan) -> Vec<Template> {
    let key = || Template { text: "{key}".to_owned(), segments: vec![TemplateSegment::Key] };
    let mut wanted = match &plan.id {
        DocumentId::KeyOrCoordinates => vec![key()],
        DocumentId::Template(template) => vec![template.clone()],
        DocumentId::Server => Vec::new(),
    };
    if constant_index(plan).is_none() {
        wanted.push(plan.index.clone());
    }
    wanted.extend(plan.routing.clone());
    if let Some(VersionSource::Field(pointer)) = &plan.version {
        let segments = vec![TemplateSegment::Field { pointer: pointer.clone(), fallback: None }];
        wanted.push(Template { text: "version".to_owned(), segments });
    }
    if let Some(by) = &plan.by {
        let segments = vec![TemplateSegment::Original { pointer: by.pointer.clone(), fallback: Some(String::new()) }];
        wanted.push(Template { text: "action".to_owned(), segments });
    }
    wanted
}

/// The index, when it is the same for every record: then it goes into the request's path.
#[must_use]
pub fn constant_index(plan: &ElasticsearchSinkPlan) -> Option<String> {
    plan.index.fixed_text()
}

/// Where each rendered template stands in [`Kept::rendered`].
#[derive(Clone, Copy)]
struct Places {
    id: Option<usize>,
    index: Option<usize>,
    routing: Option<usize>,
    version: Option<usize>,
    action: Option<usize>,
}

/// Writes bulk entries; one a worker.
pub struct BulkEncoder {
    action: Action,
    by: Option<Box<ActionBy>>,
    on_tombstone: OnTombstone,
    version: Option<VersionSource>,
    id_by_default: bool,
    deletable: bool,
    places: Places,
    line: ActionLine,
    steps: Steps,
    default_id: Vec<u8>,
}

struct Steps {
    id: StepName,
    index: StepName,
    routing: StepName,
    version: StepName,
    action: StepName,
    sink: StepName,
}

impl BulkEncoder {
    /// An encoder for this sink.
    #[must_use]
    pub fn new(plan: &ElasticsearchSinkPlan) -> Self {
        let mut next = 0;
        let mut place = |wanted: bool| {
            let here = wanted.then_some(next);
            next += usize::from(wanted);
            here
        };
        let places = Places {
            id: place(plan.id != DocumentId::Server),
            index: place(constant_index(plan).is_none()),
            routing: place(plan.routing.is_some()),
            version: place(matches!(plan.version, Some(VersionSource::Field(_)))),
            action: place(plan.by.is_some()),
        };
        let named_by_document = [Some(&plan.index), plan.id.template(), plan.routing.as_ref()];
        let step = |name: &str| -> StepName { Arc::from(name) };
        Self {
            action: plan.action,
            by: plan.by.clone(),
            on_tombstone: plan.on_tombstone,
            version: plan.version.clone(),
            id_by_default: plan.id == DocumentId::KeyOrCoordinates,
            deletable: places.version.is_none()
                && places.id.is_some()
                && !named_by_document.into_iter().flatten().any(Template::needs_document),
            places,
            line: ActionLine::new(plan.retry_on_conflict, plan.version.as_ref().is_some_and(VersionSource::may_tie)),
            steps: Steps {
                id: step("sink.id"),
                index: step("sink.index"),
                routing: step("sink.routing"),
                version: step("sink.version"),
                action: step("sink.action"),
                sink: step("sink"),
            },
            default_id: Vec::new(),
        }
    }

    /// What this record asks for, and the action as configured. A tombstone is a delete, a drop or a reject; its input
    /// has no field that could choose.
    fn action(&self, kept: &Kept<'_>) -> Result<(ItemAction, Action), Reject> {
        if let (Some(by), Some(text)) = (&self.by, rendered(kept, self.places.action)) {
            return match by.choice(text) {
                Choice::Do(action) => Ok((item_action(action), action)),
                Choice::Drop => Ok((ItemAction::Drop, self.action)),
                Choice::Reject => Err(self.unwanted(by, text)),
            };
        }
        let action = if kept.value.is_some() { item_action(self.action) } else { self.of_tombstone()? };
        Ok((action, self.action))
    }

    fn unwanted(&self, by: &ActionBy, text: &[u8]) -> Reject {
        let (field, text) = (by.pointer.members.join("/"), String::from_utf8_lossy(text));
        let known: Vec<&str> = by.map.keys().map(String::as_str).collect();
        let detail = format!("/{field} is `{text:.100}`; `action` has a choice for: {}", known.join(", "));
        Reject::new(RejectReason::Condition, &self.steps.action, detail)
    }

    fn of_tombstone(&self) -> Result<ItemAction, Reject> {
        match self.on_tombstone {
            OnTombstone::Drop => Ok(ItemAction::Drop),
            OnTombstone::Delete if self.deletable => Ok(ItemAction::Delete),
            OnTombstone::Delete => {
                Err(self.tombstone("index, id, routing or version are taken from the document, or no id is sent"))
            }
            OnTombstone::Reject => Err(self.tombstone("on_tombstone is reject")),
        }
    }

    fn tombstone(&self, why: &str) -> Reject {
        Reject::new(RejectReason::Tombstone, &self.steps.sink, format!("the value is null and {why}"))
    }

    fn version(&self, action: ItemAction, record: &Record<'_>, kept: &Kept<'_>) -> Result<Option<i64>, Reject> {
        let versioned = match action {
            ItemAction::Index | ItemAction::Delete => true,
            ItemAction::Create | ItemAction::Update | ItemAction::Drop => false,
        };
        let (true, Some(source)) = (versioned, &self.version) else { return Ok(None) };
        let missing =
            |what: &str| Reject::new(RejectReason::Missing, &self.steps.version, format!("the record has no {what}"));
        let version = match source {
            VersionSource::Offset => record.offset,
            VersionSource::Timestamp => record.timestamp_ms.ok_or_else(|| missing("timestamp"))?,
            VersionSource::Header(name) => {
                let text = record.headers.header(name).flatten().ok_or_else(|| missing(&format!("header {name}")))?;
                self.number(text)?
            }
            VersionSource::Field(_) => {
                self.number(rendered(kept, self.places.version).ok_or_else(|| missing("version field"))?)?
            }
        };
        if version < 0 {
            let detail = format!("the version is {version}; it must be 0 or more");
            return Err(Reject::new(RejectReason::NumberRange, &self.steps.version, detail));
        }
        Ok(Some(version))
    }

    fn number(&self, text: &[u8]) -> Result<i64, Reject> {
        std::str::from_utf8(text).ok().and_then(|text| text.trim().parse().ok()).ok_or_else(|| {
            let detail = "the version is not an integer between 0 and 2^63-1";
            Reject::new(RejectReason::WrongType, &self.steps.version, detail)
        })
    }

    fn check_id<'a>(&self, id: &'a [u8]) -> Result<&'a str, Reject> {
        let reject = |detail: String| Reject::new(RejectReason::InvalidId, &self.steps.id, detail);
        match id.len() {
            0 => Err(reject("the document id is empty; ids have 1 to 512 bytes".to_owned())),
            1..=LONGEST_ID_BYTES => {
                std::str::from_utf8(id).map_err(|_| reject("the document id is not UTF-8".to_owned()))
            }
            long => Err(reject(format!("the document id has {long} bytes; ids have 1 to 512 bytes"))),
        }
    }

    fn check_index<'a>(&self, index: Option<&'a [u8]>) -> Result<Option<&'a str>, Reject> {
        if self.places.index.is_none() {
            return Ok(None);
        }
        let name = index.and_then(|index| std::str::from_utf8(index).ok()).unwrap_or_default();
        match entry::index_name_fault(name) {
            None => Ok(Some(name)),
            Some(fault) => {
                let detail = format!("the index name {name:.255} {fault}");
                Err(Reject::new(RejectReason::InvalidTarget, &self.steps.index, detail))
            }
        }
    }

    fn check_object(&self, pieces: &[&[u8]]) -> Result<(), Reject> {
        let first = pieces.iter().flat_map(|piece| piece.iter()).find(|byte| !byte.is_ascii_whitespace());
        if first == Some(&b'{') {
            return Ok(());
        }
        let detail = "a document must be a JSON object";
        Err(Reject::new(RejectReason::WrongType, &self.steps.sink, detail))
    }
}

fn item_action(action: Action) -> ItemAction {
    match action {
        Action::Upsert | Action::Update => ItemAction::Update,
        Action::Index => ItemAction::Index,
        Action::Create => ItemAction::Create,
        Action::Delete => ItemAction::Delete,
    }
}

fn rendered<'a>(kept: &Kept<'a>, place: Option<usize>) -> Option<&'a [u8]> {
    kept.rendered.get(place?).copied().flatten()
}

impl Encode for BulkEncoder {
    type Item = BulkItem;

    fn encode(
        &mut self,
        place: Place,
        record: &Record<'_>,
        kept: &Kept<'_>,
        payload: &mut Vec<u8>,
    ) -> Result<BulkItem, Reject> {
        let (action, wanted) = self.action(kept)?;
        let start = payload.len();
        if action == ItemAction::Drop {
            let at = u32::try_from(start).unwrap_or(u32::MAX);
            return Ok(BulkItem { place, start: at, end: at, id_hash: 0, action, versioned: false });
        }
        let version = self.version(action, record, kept)?;
        let mut default_id = std::mem::take(&mut self.default_id);
        let id = match rendered(kept, self.places.id) {
            _ if self.places.id.is_none() => None,
            Some(id) => Some(id),
            None if self.id_by_default && kept.value.is_some() => {
                entry::write_default_id(record, &mut default_id);
                Some(&default_id[..])
            }
            None => Some(&[][..]),
        };
        let checked = id.map(|id| self.check_id(id)).transpose().and_then(|id| {
            let index = self.check_index(rendered(kept, self.places.index))?;
            let routing = rendered(kept, self.places.routing).map(std::str::from_utf8).transpose().map_err(|_| {
                Reject::new(RejectReason::InvalidUtf8, &self.steps.routing, "the routing value is not UTF-8")
            })?;
            let body = match (action, kept.value) {
                (ItemAction::Index | ItemAction::Create | ItemAction::Update, Some(pieces)) => {
                    self.check_object(pieces)?;
                    Some(pieces)
                }
                (ItemAction::Delete | ItemAction::Drop, _) | (_, None) => None,
            };
            let target = entry::DocumentTarget { id, index, routing, version };
            self.line.write(action, wanted, &target, body, payload);
            Ok(match id {
                Some(id) => ID_HASH.hash_one(id.as_bytes()),
                // No other record writes this document: any lane will do.
                None => ID_HASH.hash_one((place.ticket.slot.0, record.offset, place.item)),
            })
        });
        self.default_id = default_id;
        let id_hash = checked?;
        let (Ok(from), Ok(end)) = (u32::try_from(start), u32::try_from(payload.len())) else {
            payload.truncate(start);
            let detail = "the batch grew beyond 4 GiB with this record";
            return Err(Reject::new(RejectReason::TooLarge, &self.steps.sink, detail));
        };
        Ok(BulkItem { place, start: from, end, id_hash, action, versioned: version.is_some() })
    }
}

/// Fixed, so that all workers agree on an id's lane.
const ID_HASH: foldhash::fast::FixedState = foldhash::fast::FixedState::with_seed(0x5108_1ce6_a7e0_0001);
