//! The Elasticsearch sink as true.

use std::time::Duration;

use super::{ElasticsearchConnection, Pointer, Template};
use crate::leaf::action::{Action, ActionBy};
use crate::leaf::policy::{ConcurrencyMode, OnIndexFault, OnTombstone};

/// The Elasticsearch sink.
#[derive(Debug, Clone)]
pub struct ElasticsearchSinkPlan {
    /// The servers.
    pub connection: ElasticsearchConnection,
    /// Target index.
    pub index: Template,
    /// Mapping type, sent only to 6.x (default `_doc`).
    pub doc_type: String,
    /// Document id.
    pub id: DocumentId,
    /// What is done with each document, or with most where `by` chooses.
    pub action: Action,
    /// Chooses the action of each record.
    pub by: Option<Box<ActionBy>>,
    /// External version, for `index` and `delete`.
    pub version: Option<VersionSource>,
    /// Routing.
    pub routing: Option<Template>,
    /// Ingest pipeline.
    pub ingest_pipeline: Option<String>,
    /// `retry_on_conflict` of updates.
    pub retry_on_conflict: u32,
    /// `require_alias` of the request (7.10 and later).
    pub require_alias: bool,
    /// What a null value does.
    pub on_tombstone: OnTombstone,
    /// What a fault of the target does.
    pub on_index_fault: OnIndexFault,
    /// gzip request bodies.
    pub gzip: bool,
    /// Most records in a bulk.
    pub batch_records: usize,
    /// Most bytes in a bulk.
    pub batch_bytes: usize,
    /// How long a bulk waits for more while a send slot is free.
    pub linger: Duration,
    /// Most requests in flight, one a lane.
    pub lanes: usize,
    /// How many of them may be out at once.
    pub concurrency: ConcurrencyMode,
}

impl ElasticsearchSinkPlan {
    /// Every action a record may have.
    #[must_use]
    pub(crate) fn actions(&self) -> Vec<Action> {
        match &self.by {
            None => vec![self.action],
            Some(by) => by.actions().collect(),
        }
    }
}

/// Where a document's id comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DocumentId {
    /// The record's key, and `{topic}+{partition}+{offset}` for a null key.
    KeyOrCoordinates,
    /// A template.
    Template(Template),
    /// The server makes one for each document it is sent.
    Server,
}

impl DocumentId {
    /// The template as configured.
    #[must_use]
    pub(crate) fn template(&self) -> Option<&Template> {
        match self {
            Self::Template(template) => Some(template),
            Self::KeyOrCoordinates | Self::Server => None,
        }
    }
}

/// Where an external version comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionSource {
    /// The record's offset.
    Offset,
    /// The record's timestamp in milliseconds.
    Timestamp,
    /// A header holding decimal digits.
    Header(String),
    /// A field of the finished record holding an integer.
    Field(Pointer),
}

impl VersionSource {
    /// Whether two records of one document may have the same version. Of an offset there is one record only.
    #[must_use]
    pub fn may_tie(&self) -> bool {
        match self {
            Self::Offset => false,
            Self::Timestamp | Self::Header(_) | Self::Field(_) => true,
        }
    }
}
