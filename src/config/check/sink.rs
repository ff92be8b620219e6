//! The sink of a pipeline.

use std::time::Duration;

use super::Checker;
use super::document::{Chosen, Deletes};
use crate::config::plan::{
    Action, DocumentId, ElasticsearchSinkPlan, KafkaSinkPlan, OnMissingTopic, ServerKind, SinkPlan, Template,
    VersionSource,
};
use crate::config::written::sink::{self, BatchKeys, ElasticsearchSinkKeys, KafkaSinkKeys, Sink};
use crate::leaf::quantity::ByteSize;
use crate::leaf::template::{constant, literals};

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

    fn kafka_sink(&self, path: &str, written: &KafkaSinkKeys) -> Option<KafkaSinkPlan> {
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
            on_missing_topic: written.on_missing_topic.unwrap_or_else(|| {
                let fixed = topic.as_ref().is_some_and(|topic| constant(topic).is_some());
                if fixed { OnMissingTopic::Hold } else { OnMissingTopic::Reject }
            }),
            topic: topic?,
            key: key?,
            keep_headers: written.headers == sink::Headers::Keep,
            keep_timestamp: written.timestamp == sink::Timestamp::Keep,
            linger: written.linger.0,
            compression: written.compression.name().to_owned(),
            partitioner: written.partitioner.name().to_owned(),
        })
    }

    fn search_sink(&self, path: &str, written: &ElasticsearchSinkKeys) -> Option<ElasticsearchSinkPlan> {
        let connection = self.search(&format!("{path}.connection"), &written.connection);
        let index_path = format!("{path}.index");
        let index = self.template(&index_path, &written.index);
        if let Some(index) = &index {
            self.index_name(&index_path, index);
        }
        let (id, chosen) = self.id_and_action(path, written);
        let routing = self.optional(path, "routing", written.routing.as_deref());
        self.id(&format!("{path}.id"), id.as_ref().and_then(DocumentId::template));
        let version = self.version(&format!("{path}.version"), written.version.as_ref(), &chosen);
        self.batch(&format!("{path}.batch"), &written.batch, written.lanes, path);
        if let Some(connection) = &connection {
            self.server_rules(path, written, connection.server);
        }
        self.action_rules(path, written, &chosen);
        let (id, routing, version, index) = (id?, routing?, version?, index?);
        let needing = [
            ("index", index.needs_document()),
            ("id", id.template().is_some_and(Template::needs_document)),
            ("routing", routing.as_ref().is_some_and(Template::needs_document)),
            ("version", matches!(version, Some(VersionSource::Field(_)))),
        ];
        let by_field = matches!(version, Some(VersionSource::Field(_)));
        let finished = |template: Option<&Template>| template.is_some_and(Template::needs_finished);
        let named = [
            ("index", index.needs_finished()),
            ("id", finished(id.template())),
            ("routing", finished(routing.as_ref())),
            ("version", by_field),
        ];
        self.deletes_by_field(path, &chosen, named);
        let deletes = Deletes::by(&id, &chosen);
        let needing: Vec<&str> = needing.into_iter().filter(|(_, needs)| *needs).map(|(key, _)| key).collect();
        Some(ElasticsearchSinkPlan {
            connection: connection?,
            index,
            doc_type: written.doc_type.clone(),
            id,
            action: chosen.action,
            by: chosen.by.map(Box::new),
            version,
            routing,
            ingest_pipeline: written.pipeline.clone(),
            retry_on_conflict: written.retry_on_conflict,
            require_alias: written.require_alias,
            on_tombstone: self.tombstone(&format!("{path}.on_tombstone"), written.on_tombstone, &needing, deletes),
            on_index_fault: written.on_index_fault,
            gzip: written.compression == sink::HttpCompression::Gzip,
            batch_records: written.batch.records,
            batch_bytes: usize::try_from(written.batch.bytes.0).unwrap_or(usize::MAX),
            linger: written.batch.linger.0,
            lanes: written.lanes,
            concurrency: written.concurrency,
        })
    }

    /// `None`: a finding was made. `Some(None)`: not written.
    fn optional(&self, path: &str, key: &str, text: Option<&str>) -> Option<Option<Template>> {
        match text {
            None => Some(None),
            Some(text) => self.template(&format!("{path}.{key}"), text).map(Some),
        }
    }

    fn batch(&self, path: &str, batch: &BatchKeys, lanes: usize, sink: &str) {
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

    fn linger(&self, path: &str, linger: crate::leaf::quantity::Interval) {
        if linger.0 > MAX_LINGER {
            self.error(path, "is longer than 1m", "a batch waits this long for more records; write some milliseconds");
        }
    }

    fn server_rules(&self, path: &str, written: &ElasticsearchSinkKeys, server: ServerKind) {
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

    fn action_rules(&self, path: &str, written: &ElasticsearchSinkKeys, chosen: &Chosen) {
        let action = chosen.action;
        let updates = chosen.actions().iter().any(|action| matches!(action, Action::Upsert | Action::Update));
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

pub(super) fn action_name(action: Action) -> &'static str {
    match action {
        Action::Upsert => "upsert",
        Action::Index => "index",
        Action::Create => "create",
        Action::Update => "update",
        Action::Delete => "delete",
    }
}
