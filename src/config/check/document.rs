//! What a document of an Elasticsearch sink is: its id, its action, its version, and what deletes it.

use super::Checker;
use super::sink::action_name;
use crate::config::pattern::SourceTopic;
use crate::config::plan::{
    Action, ActionBy, Choice, DocumentId, ElasticsearchSinkPlan, OnTombstone, Template, TemplateSegment, VersionSource,
};
use crate::config::written::sink::{self, ElasticsearchSinkKeys};
use crate::leaf::template::{constant, literal_bytes};

/// An id that no other record has.
const COORDINATES: &str = "{topic}+{partition}+{offset}";
/// The same of one of several items of a record.
const COORDINATES_OF_ITEM: &str = "{topic}+{partition}+{offset}+{item}";
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
    /// A field says which records delete; the tombstones that follow them have nothing left to do.
    ByField,
}

impl Deletes {
    pub(super) fn by(id: &DocumentId, chosen: &Chosen) -> Self {
        if *id == DocumentId::Server {
            Self::NoId
        } else if id.template().is_some_and(|id| id.segments.contains(&TemplateSegment::Offset)) {
            Self::OwnId
        } else if chosen.by.is_some() && chosen.actions().contains(&Action::Delete) {
            Self::ByField
        } else {
            Self::Possible
        }
    }
}

/// What is done with documents: one action, or one for each value of a field.
pub(super) struct Chosen {
    /// The one, or the one most records are expected to have.
    pub action: Action,
    pub by: Option<ActionBy>,
}

impl Chosen {
    fn fixed(action: Action) -> Self {
        Self { action, by: None }
    }

    pub(super) fn actions(&self) -> Vec<Action> {
        self.by.as_ref().map_or_else(|| vec![self.action], |by| by.actions().collect())
    }
}

fn choice(written: sink::ActionChoice) -> Choice {
    match written {
        sink::ActionChoice::Upsert => Choice::Do(Action::Upsert),
        sink::ActionChoice::Index => Choice::Do(Action::Index),
        sink::ActionChoice::Create => Choice::Do(Action::Create),
        sink::ActionChoice::Update => Choice::Do(Action::Update),
        sink::ActionChoice::Delete => Choice::Do(Action::Delete),
        sink::ActionChoice::Drop => Choice::Drop,
        sink::ActionChoice::Reject => Choice::Reject,
    }
}

impl Checker<'_> {
    /// The id and the action. What is not written must not make one document of many records, as the lines of a log
    /// with the host's name for a key: without both each record becomes a document of its own.
    pub(super) fn id_and_action(&self, path: &str, written: &ElasticsearchSinkKeys) -> (Option<DocumentId>, Chosen) {
        let id_path = format!("{path}.id");
        if written.id.is_none() && self.index.is_written(&id_path) {
            self.error(&id_path, "is null", "write `id: none` to send no id, or leave it out for the default");
        }
        let chosen = written.action.as_ref().map(|action| self.chosen(&format!("{path}.action"), action));
        let template = |text: &str| self.template(&id_path, text).map(DocumentId::Template);
        match (written.id.as_deref(), chosen) {
            (Some(NO_ID), chosen) => {
                let chosen = chosen.unwrap_or(Chosen::fixed(Action::Index));
                self.without_id(path, &chosen, written);
                (Some(DocumentId::Server), chosen)
            }
            (Some(text), chosen) => (template(text), chosen.unwrap_or(Chosen::fixed(Action::Upsert))),
            // The items of a record share its key.
            (None, chosen) if self.splits.get() > 0 => {
                (template(COORDINATES_OF_ITEM), chosen.unwrap_or(Chosen::fixed(Action::Index)))
            }
            (None, None) => (template(COORDINATES), Chosen::fixed(Action::Index)),
            (None, Some(chosen)) => {
                self.id_by_key(path, &chosen, written);
                (Some(DocumentId::KeyOrCoordinates), chosen)
            }
        }
    }

    fn chosen(&self, path: &str, written: &sink::WrittenAction) -> Chosen {
        let by = match written {
            sink::WrittenAction::Upsert => return Chosen::fixed(Action::Upsert),
            sink::WrittenAction::Index => return Chosen::fixed(Action::Index),
            sink::WrittenAction::Create => return Chosen::fixed(Action::Create),
            sink::WrittenAction::Update => return Chosen::fixed(Action::Update),
            sink::WrittenAction::Delete => return Chosen::fixed(Action::Delete),
            sink::WrittenAction::By(by) => by,
        };
        if by.map.is_empty() {
            let example = "write an action for each value, such as `{ c: index, u: index, r: index, d: delete }`";
            self.error(&format!("{path}.by.map"), "is empty", example);
        }
        let map = by.map.iter().map(|(value, chosen)| (value.clone(), choice(*chosen))).collect();
        let pointer = self.pointer(&format!("{path}.by.field"), &by.field);
        let by = pointer.map(|pointer| ActionBy { pointer, map, otherwise: choice(by.otherwise) });
        let most = |by: &ActionBy| {
            let all: Vec<Action> = by.actions().collect();
            let order = [Action::Upsert, Action::Update, Action::Index, Action::Create];
            order.into_iter().find(|action| all.contains(action)).unwrap_or(Action::Delete)
        };
        Chosen { action: by.as_ref().map_or(Action::Index, most), by }
    }

    /// A record that is deleted skips the steps: nothing it is sent with may come from the finished record.
    pub(super) fn deletes_by_field(&self, path: &str, chosen: &Chosen, named: [(&str, bool); 4]) {
        if chosen.by.is_none() || !chosen.actions().contains(&Action::Delete) {
            return;
        }
        for (key, _) in named.into_iter().filter(|(_, needs)| *needs) {
            self.error(
                &format!("{path}.{key}"),
                "is taken from the finished record, and what `action` deletes has none: it skips the steps",
                "take it from `{key}`, a header, or the input: `{original:/…}`",
            );
        }
    }

    fn id_by_key(&self, path: &str, chosen: &Chosen, written: &ElasticsearchSinkKeys) {
        let merges = matches!(chosen.action, Action::Index | Action::Create | Action::Upsert);
        if chosen.by.is_none() && merges && written.version.is_none() {
            self.warn(
                &format!("{path}.action"),
                "no `id` is written, so it is the record's key: records with one key, as the lines of a log, become one \
                 document",
                format!("write `id: \"{{key}}\"` where that is meant, or `id: \"{COORDINATES}\"` for a document a record"),
            );
        }
    }

    /// Without an id only `index` and `create` know what to do, and nothing can carry a version.
    fn without_id(&self, path: &str, chosen: &Chosen, written: &ElasticsearchSinkKeys) {
        let needs_one = |action: &Action| !matches!(action, Action::Index | Action::Create);
        if let Some(action) = chosen.actions().into_iter().find(needs_one) {
            self.error(
                &format!("{path}.action"),
                format!("`{}` needs an id, and `id: none` sends none", action_name(action)),
                "write `action: create` or `index`, or an id",
            );
        }
        if written.version.is_some() {
            self.error(&format!("{path}.version"), "a version needs an id, and `id: none` sends none", "remove it");
        }
    }

    pub(super) fn id(&self, path: &str, id: Option<&Template>) {
        let Some(id) = id else { return };
        if constant(id).is_some() {
            self.error(
                path,
                "is the same for every record: each would overwrite the last",
                "use a template such as `{key}` or `{/id}`",
            );
        } else if id.segments.iter().all(|one| is_of_the_partition(one.inner())) {
            self.error(
                path,
                "is the same for every record of a partition: each would overwrite the last",
                "add `{offset}` for a document of its own, or use `{key}` or `{/id}`",
            );
        } else if self.explodes.get() && !id.segments.iter().any(|one| is_of_the_item(one.inner())) {
            self.warn(
                path,
                "is the same for every element that `explode` makes a record of: each would overwrite the last",
                "add `{item}`, or a field of the element such as `{/id}`",
            );
        } else if literal_bytes(id) >= MAX_ID {
            self.error(path, format!("its fixed part alone reaches the {MAX_ID} bytes of an id"), "shorten it");
        }
    }

    /// `None`: a finding was made. `Some(None)`: not written.
    pub(super) fn version(
        &self,
        path: &str,
        written: Option<&sink::WrittenVersion>,
        chosen: &Chosen,
    ) -> Option<Option<VersionSource>> {
        let Some(version) = written else { return Some(None) };
        let takes_none = |action: &Action| !matches!(action, Action::Index | Action::Delete);
        if let Some(action) = chosen.actions().into_iter().find(takes_none) {
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
            sink::WrittenVersion::Offset => VersionSource::Offset,
            sink::WrittenVersion::Timestamp => VersionSource::Timestamp,
            sink::WrittenVersion::Header(name) if name.is_empty() => {
                self.error(&format!("{path}.header"), "is empty", "name the header");
                return None;
            }
            sink::WrittenVersion::Header(name) => VersionSource::Header(name.clone()),
            sink::WrittenVersion::Pointer(text) => {
                VersionSource::Field(self.pointer(&format!("{path}.pointer"), text)?)
            }
        };
        Some(Some(source))
    }

    /// Offsets count within one partition of one topic: the versions of a document must not come from several.
    pub(super) fn version_lines(&self, path: &str, topics: &[SourceTopic], sink: &ElasticsearchSinkPlan) {
        if sink.version != Some(VersionSource::Offset) {
            return;
        }
        let names = |wanted: &TemplateSegment| {
            let templates = [Some(&sink.index), sink.id.template()];
            templates.into_iter().flatten().any(|template| template.segments.contains(wanted))
        };
        let several = topics.len() > 1 || topics.iter().any(|topic| matches!(topic, SourceTopic::Pattern(_)));
        let other =
            "write `version: timestamp`, or `version: { pointer: … }` with a number that grows with each change";
        if several && !names(&TemplateSegment::Topic) {
            self.warn(
                path,
                "the offsets of several topics are no one line of numbers: of two records with one id the newer may have \
                 the lower offset, and would be dropped as superseded",
                format!("{other}; or put `{{topic}}` into `id` or `index`"),
            );
        }
        if sink.id.template().is_some() && !names(&TemplateSegment::Key) && !names(&TemplateSegment::Partition) {
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
        written: Option<OnTombstone>,
        needing: &[&str],
        deletes: Deletes,
    ) -> OnTombstone {
        let remedy = "write `on_tombstone: drop` or `reject`, or an id such as `{key}`";
        match (written, deletes) {
            (Some(OnTombstone::Delete), Deletes::OwnId) => {
                let reason = "the id holds `{offset}`, so no record can delete the document of another one";
                self.warn(path, reason, remedy);
            }
            (Some(OnTombstone::Delete), Deletes::NoId) => {
                self.error(path, "without an id there is nothing to delete by", remedy);
            }
            (Some(_) | None, _) => {}
        }
        match written {
            Some(OnTombstone::Delete) if !needing.is_empty() => {
                let keys = needing.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
                self.error(
                    path,
                    format!("a record without a value has no document, but {keys} of this sink needs one"),
                    "write `on_tombstone: drop` or `reject`, or build them from `{key}`, `{topic}` and headers",
                );
                OnTombstone::Reject
            }
            Some(written) => written,
            None if needing.is_empty() && matches!(deletes, Deletes::Possible | Deletes::ByField) => {
                OnTombstone::Delete
            }
            None if deletes == Deletes::ByField => OnTombstone::Drop,
            None => OnTombstone::Reject,
        }
    }
}

/// Whether the items of a record may have different ones there.
fn is_of_the_item(segment: &TemplateSegment) -> bool {
    matches!(segment, TemplateSegment::Item | TemplateSegment::Field { .. })
}

/// Whether all records of a partition have the same there.
fn is_of_the_partition(segment: &TemplateSegment) -> bool {
    matches!(segment, TemplateSegment::Literal(_) | TemplateSegment::Topic | TemplateSegment::Partition)
}
