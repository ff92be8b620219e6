//! What a document of an Elasticsearch sink is: its id, its action, its version, and what deletes it.

use super::Checker;
use super::sink::{action, action_name};
use crate::config::pattern::Topic;
use crate::config::plan::{Action, DocumentId, ElasticsearchSinkPlan, OnTombstone, Segment, Template, VersionSource};
use crate::config::template::{constant, literal_bytes};
use crate::config::written::sink::{self, ElasticsearchSink};

/// An id that no other record has.
const COORDINATES: &str = "{topic}+{partition}+{offset}";
/// The word for no id at all.
const NO_ID: &str = "none";
/// Longest id Elasticsearch takes, in bytes.
const MAX_ID: usize = 512;

/// Whether a record can delete the document of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deletes {
    Possible,
    /// The id is a record's own.
    OwnId,
    /// The server makes ids that nobody here knows.
    NoId,
}

impl Checker<'_> {
    /// The id and the action. What is not written must not make one document of many records, as the lines of a log with
    /// the host's name for a key: without both each record becomes a document of its own.
    pub(super) fn id_and_action(&self, path: &str, written: &ElasticsearchSink) -> (Option<DocumentId>, Action) {
        let id_path = format!("{path}.id");
        if written.id.is_none() && self.index.is_written(&id_path) {
            self.error(&id_path, "is null", "write `id: none` to send no id, or leave it out for the default");
        }
        match (written.id.as_deref(), written.action) {
            (Some(NO_ID), _) => (Some(DocumentId::Server), self.action_without_id(path, written)),
            (Some(text), chosen) => {
                (self.template(&id_path, text).map(DocumentId::Template), chosen.map_or(Action::Upsert, action))
            }
            (None, None) => (self.template(&id_path, COORDINATES).map(DocumentId::Template), Action::Index),
            (None, Some(chosen)) => {
                let chosen = action(chosen);
                self.id_by_key(path, chosen, written);
                (Some(DocumentId::KeyOrCoordinates), chosen)
            }
        }
    }

    fn id_by_key(&self, path: &str, action: Action, written: &ElasticsearchSink) {
        if matches!(action, Action::Index | Action::Create | Action::Upsert) && written.version.is_none() {
            self.warn(
                &format!("{path}.action"),
                "no `id` is written, so it is the record's key: records with one key, as the lines of a log, become one \
                 document",
                format!("write `id: \"{{key}}\"` where that is meant, or `id: \"{COORDINATES}\"` for a document a record"),
            );
        }
    }

    /// Without an id only `index` and `create` know what to do, and nothing can carry a version.
    fn action_without_id(&self, path: &str, written: &ElasticsearchSink) -> Action {
        let chosen = written.action.map_or(Action::Index, action);
        if !matches!(chosen, Action::Index | Action::Create) {
            self.error(
                &format!("{path}.action"),
                format!("`{}` needs an id, and `id: none` sends none", action_name(chosen)),
                "write `action: create` or `index`, or an id",
            );
        }
        if written.version.is_some() {
            self.error(&format!("{path}.version"), "a version needs an id, and `id: none` sends none", "remove it");
        }
        chosen
    }

    pub(super) fn id(&self, path: &str, id: Option<&Template>) {
        let Some(id) = id else { return };
        if constant(id).is_some() {
            self.error(
                path,
                "is the same for every record: each would overwrite the last",
                "use a template such as `{key}` or `{/id}`",
            );
        } else if literal_bytes(id) >= MAX_ID {
            self.error(path, format!("its fixed part alone reaches the {MAX_ID} bytes of an id"), "shorten it");
        }
    }

    /// `None`: a finding was made. `Some(None)`: not written.
    pub(super) fn version(
        &self,
        path: &str,
        written: Option<&sink::Version>,
        action: Action,
    ) -> Option<Option<VersionSource>> {
        let Some(version) = written else { return Some(None) };
        if !matches!(action, Action::Index | Action::Delete) {
            self.error(
                path,
                format!(
                    "`version` works with the actions `index` and `delete` only, not with `{}`",
                    action_name(action)
                ),
                "write `action: index`, or remove `version`",
            );
        }
        let source = match version {
            sink::Version::Offset => VersionSource::Offset,
            sink::Version::Timestamp => VersionSource::Timestamp,
            sink::Version::Header(name) if name.is_empty() => {
                self.error(&format!("{path}.header"), "is empty", "name the header");
                return None;
            }
            sink::Version::Header(name) => VersionSource::Header(name.clone()),
            sink::Version::Pointer(text) => VersionSource::Field(self.pointer(&format!("{path}.pointer"), text)?),
        };
        Some(Some(source))
    }

    /// Offsets count within one partition of one topic: the versions of a document must not come from several.
    pub(super) fn version_lines(&self, path: &str, topics: &[Topic], sink: &ElasticsearchSinkPlan) {
        if sink.version != Some(VersionSource::Offset) {
            return;
        }
        let names = |wanted: &Segment| {
            let templates = [Some(&sink.index), sink.id.template()];
            templates.into_iter().flatten().any(|template| template.segments.contains(wanted))
        };
        let several = topics.len() > 1 || topics.iter().any(|topic| matches!(topic, Topic::Pattern(_)));
        let other =
            "write `version: timestamp`, or `version: { pointer: … }` with a number that grows with each change";
        if several && !names(&Segment::Topic) {
            self.warn(
                path,
                "the offsets of several topics are no one line of numbers: of two records with one id the newer may have \
                 the lower offset, and would be dropped as superseded",
                format!("{other}; or put `{{topic}}` into `id` or `index`"),
            );
        }
        if sink.id.template().is_some() && !names(&Segment::Key) && !names(&Segment::Partition) {
            self.warn(
                path,
                "the offsets of several partitions are no one line of numbers, and nothing says that records with this \
                 `id` lie in one partition: the newer may have the lower offset, and would be dropped as superseded",
                format!(
                    "{other}; or take the id from what chooses the partition, `{{key}}`, or put `{{partition}}` into it"
                ),
            );
        }
    }

    pub(super) fn tombstone(
        &self,
        path: &str,
        written: Option<sink::OnTombstone>,
        needing: &[&str],
        deletes: Deletes,
    ) -> OnTombstone {
        let remedy = "write `on_tombstone: drop` or `reject`, or an id such as `{key}`";
        match (written, deletes) {
            (Some(sink::OnTombstone::Delete), Deletes::OwnId) => {
                let reason = "the id holds `{offset}`, so no record can delete the document of another one";
                self.warn(path, reason, remedy);
            }
            (Some(sink::OnTombstone::Delete), Deletes::NoId) => {
                self.error(path, "without an id there is nothing to delete by", remedy);
            }
            (Some(_) | None, _) => {}
        }
        match written {
            Some(sink::OnTombstone::Delete) if !needing.is_empty() => {
                let keys = needing.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
                self.error(
                    path,
                    format!("a record without a value has no document, but {keys} of this sink needs one"),
                    "write `on_tombstone: drop` or `reject`, or build them from `{key}`, `{topic}` and headers",
                );
                OnTombstone::Reject
            }
            Some(sink::OnTombstone::Delete) => OnTombstone::Delete,
            Some(sink::OnTombstone::Drop) => OnTombstone::Drop,
            Some(sink::OnTombstone::Reject) => OnTombstone::Reject,
            None if needing.is_empty() && deletes == Deletes::Possible => OnTombstone::Delete,
            None => OnTombstone::Reject,
        }
    }
}
