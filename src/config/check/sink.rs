//! The sink of a pipeline.

use std::time::Duration;

use super::Checker;
use crate::config::plan::{
    Action, ConcurrencyMode, ElasticsearchSinkPlan, KafkaSinkPlan, OnIndexFault, OnTombstone, Segment, ServerKind,
    SinkPlan, Template, VersionSource,
};
use crate::config::quantity::ByteSize;
use crate::config::template::{constant, literal_bytes, literals};
use crate::config::written::sink::{self, Batch, ElasticsearchSink, KafkaSink, Sink};

/// An id that no other record has.
const COORDINATES: &str = "{topic}+{partition}+{offset}";
/// Longest id Elasticsearch takes, in bytes.
const MAX_ID: usize = 512;
/// Most bulk requests in flight.
const MAX_LANES: usize = 64;
/// Most records of a bulk.
const MAX_BATCH: usize = 1_000_000;
/// `http.max_content_length` of the servers unless they are told otherwise.
const MAX_REQUEST: ByteSize = ByteSize(100 << 20);
/// Least `batch.bytes` that still makes sense.
const MIN_REQUEST: ByteSize = ByteSize(1 << 10);
/// Longest linger; librdkafka's own bound is 15 minutes.
const MAX_LINGER: Duration = Duration::from_secs(60);

impl Checker<'_> {
    pub(super) fn sink(&self, path: &str, written: &Sink) -> Option<SinkPlan> {
        match written {
            Sink::Kafka(kafka) => self.kafka_sink(&format!("{path}.kafka"), kafka).map(SinkPlan::Kafka),
            Sink::Elasticsearch(search) => {
                self.search_sink(&format!("{path}.elasticsearch"), search).map(SinkPlan::Elasticsearch)
            }
        }
    }

    fn kafka_sink(&self, path: &str, written: &KafkaSink) -> Option<KafkaSinkPlan> {
        let connection = self.kafka(&format!("{path}.connection"), &written.connection);
        let topic_path = format!("{path}.topic");
        let topic = self.template(&topic_path, &written.topic);
        if let Some(topic) = &topic {
            literals(topic).for_each(|literal| self.topic_name(&topic_path, literal));
        }
        let key = self.template(&format!("{path}.key"), &written.key);
        if key.as_ref().is_some_and(|key| constant(key).is_some()) {
            self.warn(
                &format!("{path}.key"),
                "is the same for every record: all go to one partition",
                "use a template such as `{key}` or `{/id}`",
            );
        }
        self.linger(&format!("{path}.linger"), written.linger);
        if written.partitioner == sink::Partitioner::Random {
            self.warn(&format!("{path}.partitioner"), "`random` gives up the order per key", "use `murmur2_random`");
        }
        Some(KafkaSinkPlan {
            connection: connection?,
            topic: topic?,
            key: key?,
            keep_headers: written.headers == sink::Headers::Keep,
            keep_timestamp: written.timestamp == sink::Timestamp::Keep,
            linger: written.linger.0,
            compression: written.compression.name().to_owned(),
            partitioner: written.partitioner.name().to_owned(),
        })
    }

    fn search_sink(&self, path: &str, written: &ElasticsearchSink) -> Option<ElasticsearchSinkPlan> {
        let connection = self.search(&format!("{path}.connection"), &written.connection);
        let index_path = format!("{path}.index");
        let index = self.template(&index_path, &written.index);
        if let Some(index) = &index {
            self.index_name(&index_path, index);
        }
        let (id, action) = self.id_and_action(path, written);
        let routing = self.optional(path, "routing", written.routing.as_deref());
        self.id(&format!("{path}.id"), id.as_ref().and_then(Option::as_ref));
        let version = self.version(&format!("{path}.version"), written.version.as_ref(), action);
        self.batch(&format!("{path}.batch"), &written.batch, written.lanes, path);
        if let Some(connection) = &connection {
            self.server_rules(path, written, connection.server);
        }
        self.action_rules(path, written, action);
        let (id, routing, version, index) = (id?, routing?, version?, index?);
        let needing = [
            ("index", index.needs_document()),
            ("id", id.as_ref().is_some_and(Template::needs_document)),
            ("routing", routing.as_ref().is_some_and(Template::needs_document)),
            ("version", matches!(version, Some(VersionSource::Field(_)))),
        ];
        let own_id = id.as_ref().is_some_and(|id| id.segments.contains(&Segment::Offset));
        let needing: Vec<&str> = needing.into_iter().filter(|(_, needs)| *needs).map(|(key, _)| key).collect();
        Some(ElasticsearchSinkPlan {
            connection: connection?,
            index,
            doc_type: written.doc_type.clone(),
            id,
            action,
            version,
            routing,
            ingest_pipeline: written.pipeline.clone(),
            retry_on_conflict: written.retry_on_conflict,
            require_alias: written.require_alias,
            on_tombstone: self.tombstone(&format!("{path}.on_tombstone"), written.on_tombstone, &needing, own_id),
            on_index_fault: match written.on_index_fault {
                sink::OnIndexFault::Hold => OnIndexFault::Hold,
                sink::OnIndexFault::Reject => OnIndexFault::Reject,
            },
            gzip: written.compression == sink::HttpCompression::Gzip,
            batch_records: written.batch.records,
            batch_bytes: usize::try_from(written.batch.bytes.0).unwrap_or(usize::MAX),
            linger: written.batch.linger.0,
            lanes: written.lanes,
            concurrency: match written.concurrency {
                sink::Concurrency::Adaptive => ConcurrencyMode::Adaptive,
                sink::Concurrency::Fixed => ConcurrencyMode::Fixed,
            },
        })
    }

    /// The id and the action. What is not written must not make one document of many records, as the lines of a log with
    /// the host's name for a key: without both each record becomes a document of its own.
    fn id_and_action(&self, path: &str, written: &ElasticsearchSink) -> (Option<Option<Template>>, Action) {
        let id = self.optional(path, "id", written.id.as_deref());
        let (true, Some(action)) = (written.id.is_none(), written.action) else {
            let action = written.action.map_or(Action::Upsert, action);
            return if written.id.is_some() {
                (id, action)
            } else {
                (self.template(path, COORDINATES).map(Some), Action::Index)
            };
        };
        let action = self::action(action);
        if matches!(action, Action::Index | Action::Create | Action::Upsert) && written.version.is_none() {
            self.warn(
                &format!("{path}.action"),
                "no `id` is written, so it is the record's key: records with one key, as the lines of a log, become one \
                 document",
                format!("write `id: \"{{key}}\"` where that is meant, or `id: \"{COORDINATES}\"` for a document a record"),
            );
        }
        (id, action)
    }

    /// `None`: a finding was made. `Some(None)`: not written.
    fn optional(&self, path: &str, key: &str, text: Option<&str>) -> Option<Option<Template>> {
        match text {
            None => Some(None),
            Some(text) => self.template(&format!("{path}.{key}"), text).map(Some),
        }
    }

    fn id(&self, path: &str, id: Option<&Template>) {
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
    fn version(&self, path: &str, written: Option<&sink::Version>, action: Action) -> Option<Option<VersionSource>> {
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
    pub(super) fn version_lines(&self, path: &str, topics: &[String], sink: &ElasticsearchSinkPlan) {
        if sink.version != Some(VersionSource::Offset) {
            return;
        }
        let names = |wanted: &Segment| {
            let templates = [Some(&sink.index), sink.id.as_ref()];
            templates.into_iter().flatten().any(|template| template.segments.contains(wanted))
        };
        let several = topics.len() > 1 || topics.iter().any(|topic| topic.starts_with('^'));
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
        if sink.id.is_some() && !names(&Segment::Key) && !names(&Segment::Partition) {
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

    fn tombstone(&self, path: &str, written: Option<sink::OnTombstone>, needing: &[&str], own_id: bool) -> OnTombstone {
        if written == Some(sink::OnTombstone::Delete) && own_id {
            self.warn(
                path,
                "the id holds `{offset}`, so no record can delete the document of another one",
                "write `on_tombstone: drop`, or an id such as `{key}`",
            );
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
            None if needing.is_empty() && !own_id => OnTombstone::Delete,
            None => OnTombstone::Reject,
        }
    }

    fn batch(&self, path: &str, batch: &Batch, lanes: usize, sink: &str) {
        if batch.records == 0 || batch.records > MAX_BATCH {
            self.error(&format!("{path}.records"), format!("must be from 1 to {MAX_BATCH}"), "the default is 5000");
        }
        if batch.bytes < MIN_REQUEST || batch.bytes > MAX_REQUEST {
            self.error(
                &format!("{path}.bytes"),
                format!("must be from {MIN_REQUEST} to {MAX_REQUEST}, what servers accept by default"),
                "the default is `5MiB`",
            );
        }
        self.linger(&format!("{path}.linger"), batch.linger);
        if lanes == 0 || lanes > MAX_LANES {
            self.error(&format!("{sink}.lanes"), format!("must be from 1 to {MAX_LANES}"), "the default is 4");
        }
    }

    fn linger(&self, path: &str, linger: crate::config::quantity::Interval) {
        if linger.0 > MAX_LINGER {
            self.error(path, "is longer than 1m", "a batch waits this long for more records; write some milliseconds");
        }
    }

    fn server_rules(&self, path: &str, written: &ElasticsearchSink, server: ServerKind) {
        let knows_types = matches!(server, ServerKind::Auto | ServerKind::Elasticsearch(6));
        if !knows_types && self.index.is_written(&format!("{path}.type")) {
            self.warn(
                &format!("{path}.type"),
                "mapping types exist in Elasticsearch 6 only; it is not sent",
                "remove it",
            );
        }
        if written.require_alias && server == ServerKind::Elasticsearch(6) {
            self.error(
                &format!("{path}.require_alias"),
                "Elasticsearch 6 does not know `require_alias`",
                "remove it; it needs 7.10 or later",
            );
        }
        let name = &written.doc_type;
        if name.is_empty() || (name.starts_with('_') && name != "_doc") || name.contains([',', '#', '/']) {
            self.error(
                &format!("{path}.type"),
                "cannot be the name of a mapping type",
                "leave it out for `_doc`, or give the type's name",
            );
        }
    }

    fn action_rules(&self, path: &str, written: &ElasticsearchSink, action: Action) {
        let updates = matches!(action, Action::Upsert | Action::Update);
        let conflict = format!("{path}.retry_on_conflict");
        if !updates && self.index.is_written(&conflict) {
            self.warn(&conflict, format!("has no effect with the action `{}`", action_name(action)), "remove it");
        }
        if written.retry_on_conflict > 100 {
            self.error(&conflict, "must be at most 100", "the default is 3");
        }
        let ingest = format!("{path}.pipeline");
        if written.pipeline.as_ref().is_some_and(String::is_empty) {
            self.error(&ingest, "is empty", "name the ingest pipeline, or leave it out");
        } else if written.pipeline.is_some() && !matches!(action, Action::Index | Action::Create) {
            self.warn(
                &ingest,
                format!("ingest pipelines do not see the document of the action `{}`", action_name(action)),
                "write `action: index` or `create`, or remove it",
            );
        }
    }
}

fn action(written: sink::Action) -> Action {
    match written {
        sink::Action::Upsert => Action::Upsert,
        sink::Action::Index => Action::Index,
        sink::Action::Create => Action::Create,
        sink::Action::Update => Action::Update,
        sink::Action::Delete => Action::Delete,
    }
}

fn action_name(action: Action) -> &'static str {
    match action {
        Action::Upsert => "upsert",
        Action::Index => "index",
        Action::Create => "create",
        Action::Update => "update",
        Action::Delete => "delete",
    }
}
