//! Plans built in code: one pipeline, one input topic, patience made for tests.

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::SecretString;
use sluicegate::internals::config::plan::{
    Action, Auth, BreakerPlan, ConcurrencyMode, DocumentId, ElasticsearchConnection, ElasticsearchSinkPlan,
    KafkaConnection, KafkaSinkPlan, OnDamaged, OnHalt, OnIndexFault, OnMissingTopic, OnReject, OnTombstone, OnTooLarge,
    PipelinePlan, Plan, Pointer, RetryPlan, SelectPlan, ServerKind, SinkPlan, SourcePlan, Start, StepKind, StepPlan,
    Template, TemplateSegment,
};
use sluicegate::internals::model::MemoryShare;

use crate::support::unique;

/// The index of [`bulk`].
pub const INDEX: &str = "items";

pub fn plan(pipeline: PipelinePlan) -> Plan {
    Plan {
        memory_bytes: pipeline.memory.0,
        pipelines: vec![pipeline],
        listen: None,
        startup_timeout: Duration::from_secs(30),
        shutdown_timeout: Duration::from_secs(20),
        watchdog_timeout: Duration::from_secs(600),
        tests: Vec::new(),
        hash: "races".into(),
    }
}

/// `select: /result` from `topic` into `sink`; rejects stop it.
pub fn pipeline(brokers: &str, topic: &str, group: &str, sink: SinkPlan) -> PipelinePlan {
    PipelinePlan {
        name: "race".into(),
        source: source(brokers, topic, group),
        steps: vec![StepPlan {
            place: "steps[0].select".into(),
            kind: StepKind::Select(SelectPlan { pointer: pointer("result") }),
        }],
        sink,
        on_reject: OnReject::Stop,
        breaker: BreakerPlan { ratio: 1.0, window: 1000, in_a_row: 1000, count_redirected: false },
        retry: RetryPlan {
            first: Duration::from_millis(20),
            max: Duration::from_millis(200),
            in_place: Duration::from_secs(60),
        },
        commit_interval: Duration::from_millis(20),
        on_halt: OnHalt::Exit,
        span_records: 200_000,
        value_bytes: 16 << 20,
        most_items: 10_000,
        memory: MemoryShare(64 << 20),
        workers: 2,
    }
}

/// The same with a group of its own and the shortest session a broker allows by default.
pub fn on_a_real_broker(brokers: &str, topic: &str, sink: SinkPlan) -> PipelinePlan {
    let mut plan = pipeline(brokers, topic, &unique("group"), sink);
    plan.source.session_timeout = Duration::from_secs(6);
    plan
}

pub fn source(brokers: &str, topic: &str, group: &str) -> SourcePlan {
    SourcePlan {
        connection: cluster("upstream", brokers),
        topics: vec![topic.into()],
        group: group.into(),
        instance_id: None,
        start: Start::Earliest,
        format: Default::default(),
        on_damaged: OnDamaged::Hold,
        revoke_timeout: Duration::from_millis(300),
        // Each rebalance of the mock cluster takes a second less than this.
        session_timeout: Duration::from_secs(3),
    }
}

pub fn cluster(name: &str, brokers: &str) -> KafkaConnection {
    // The mock cluster answers an empty fetch only after the whole wait, and no questions about a topic's settings.
    let properties = [("fetch.wait.max.ms", "10"), ("message.max.bytes", "1000000")];
    let properties: BTreeMap<_, _> =
        properties.map(|(name, value)| (name.to_owned(), SecretString::from(value))).into();
    KafkaConnection { name: name.into(), brokers: brokers.split(',').map(str::to_owned).collect(), properties }
}

pub fn relay(brokers: &str, topic: &str) -> SinkPlan {
    SinkPlan::Kafka(KafkaSinkPlan {
        connection: cluster("downstream", brokers),
        topic: literal(topic),
        key: key(),
        on_missing_topic: OnMissingTopic::Hold,
        keep_headers: true,
        keep_timestamp: false,
        linger: Duration::from_millis(5),
        compression: "none".into(),
        partitioner: "murmur2_random".into(),
    })
}

/// Upserts with the record's key as id.
pub fn bulk(url: &str) -> SinkPlan {
    SinkPlan::Elasticsearch(bulk_plan(url))
}

pub fn bulk_plan(url: &str) -> ElasticsearchSinkPlan {
    ElasticsearchSinkPlan {
        connection: ElasticsearchConnection {
            name: "search".into(),
            nodes: vec![url.into()],
            request_timeout: Duration::from_secs(5),
            server: ServerKind::Elasticsearch(8),
            auth: Auth::None,
            ca_file: None,
            client: None,
            verify: true,
        },
        index: literal(INDEX),
        doc_type: "_doc".into(),
        id: DocumentId::Template(key()),
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
        linger: Duration::from_millis(100),
        lanes: 2,
        concurrency: ConcurrencyMode::Fixed,
    }
}

pub fn dead_letters(brokers: &str, topic: &str) -> OnReject {
    OnReject::DeadLetterKafka {
        connection: cluster("downstream", brokers),
        topic: topic.into(),
        on_too_large: OnTooLarge::Hold,
    }
}

pub fn literal(text: &str) -> Template {
    Template { text: text.into(), segments: vec![TemplateSegment::Literal(text.into())] }
}

fn key() -> Template {
    Template { text: "{key}".into(), segments: vec![TemplateSegment::Key] }
}

fn pointer(member: &str) -> Pointer {
    Pointer { members: vec![member.into()] }
}
