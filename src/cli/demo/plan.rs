//! The demo's configuration: both pipelines of the replaced script, as the first example of the documentation has them.

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::SecretString;

use crate::config::plan::{
    Action, Auth, BreakerPlan, CachePlan, ElasticsearchConnection, ElasticsearchSinkPlan, KafkaConnection,
    KafkaSinkPlan, LookupPlan, LookupSource, OnHalt, OnIndexFault, OnLookupError, OnMiss, OnReject, OnTombstone,
    PipelinePlan, Plan, Pointer, RedisConnection, RetryPlan, Segment, ServerKind, SinkPlan, SourcePlan, Start,
    StepKind, StepPlan, Template,
};

pub(super) const RELAY: &str = "relay";
pub(super) const INDEX: &str = "index";
pub(super) const RELAY_TOPIC: &str = "events";
pub(super) const INDEX_TOPIC: &str = "events-to-index";
pub(super) const OUTPUT_TOPIC: &str = "events-clean";
pub(super) const INDEX_NAME: &str = "items";
/// Of each topic. Input and output have the same number, so a record keeps its partition.
pub(super) const PARTITIONS: i32 = 8;

const MEMORY_BYTES: usize = 256 * 1024 * 1024;

/// The plan for these brokers and this bulk endpoint.
pub(super) fn plan(upstream: &str, downstream: &str, url: &str) -> Plan {
    let upstream = cluster("upstream", upstream);
    let downstream = cluster("downstream", downstream);
    Plan {
        pipelines: vec![
            pipeline(RELAY, source(&upstream, RELAY_TOPIC, RELAY), vec![select()], relay_sink(downstream)),
            pipeline(INDEX, source(&upstream, INDEX_TOPIC, INDEX), vec![select(), lookup()], index_sink(url)),
        ],
        listen: None,
        memory_bytes: MEMORY_BYTES,
        startup_timeout: Duration::from_secs(30),
        shutdown_timeout: Duration::from_secs(30),
        watchdog_timeout: Duration::from_secs(600),
        tests: Vec::new(),
        hash: "demo".into(),
    }
}

fn pipeline(name: &str, source: SourcePlan, steps: Vec<StepPlan>, sink: SinkPlan) -> PipelinePlan {
    PipelinePlan {
        name: name.into(),
        source,
        steps,
        sink,
        on_reject: OnReject::Stop,
        breaker: BreakerPlan { ratio: 0.1, window: 1000, in_a_row: 100 },
        retry: RetryPlan {
            first: Duration::from_millis(200),
            max: Duration::from_secs(30),
            in_place: Duration::from_secs(150),
        },
        commit_interval: Duration::from_millis(200),
        on_halt: OnHalt::Exit,
        span_records: 200_000,
        value_bytes: 16 << 20,
        memory_bytes: MEMORY_BYTES / 2,
        workers: std::thread::available_parallelism().map_or(1, |cores| (cores.get() - 1).max(1)),
    }
}

fn cluster(name: &str, brokers: &str) -> KafkaConnection {
    // The mock cluster answers an empty fetch only after the whole wait, which is 500 ms by default.
    // It answers no questions about a topic's settings either, so the largest message is said here.
    let properties = [("fetch.wait.max.ms", "10"), ("message.max.bytes", "1000000")];
    let properties: BTreeMap<_, _> =
        properties.map(|(name, value)| (name.to_owned(), SecretString::from(value))).into();
    KafkaConnection { name: name.into(), brokers: brokers.split(',').map(str::to_owned).collect(), properties }
}

fn source(upstream: &KafkaConnection, topic: &str, group: &str) -> SourcePlan {
    SourcePlan {
        connection: upstream.clone(),
        topics: vec![topic.into()],
        group: group.into(),
        instance_id: None,
        start: Start::Earliest,
        revoke_timeout: Duration::from_secs(2),
        session_timeout: Duration::from_secs(45),
    }
}

fn select() -> StepPlan {
    StepPlan { place: "steps[0].select".into(), kind: StepKind::Select { pointer: pointer("result") } }
}

fn lookup() -> StepPlan {
    let lookup = LookupPlan {
        connection: RedisConnection {
            name: "lookups".into(),
            // Never connected: the demo's look-ups come from memory.
            url: SecretString::from("redis://127.0.0.1:6379"),
            timeout: Duration::from_secs(1),
        },
        source: LookupSource::Keyed {
            key: Template {
                text: "user:{/user}".into(),
                segments: vec![Segment::Literal("user:".into()), field("user")],
            },
            fields: vec!["name".into(), "tier".into()],
        },
        into: pointer("user_info"),
        on_miss: OnMiss::Keep,
        on_error: OnLookupError::Retry,
        cache: CachePlan {
            entries: 100_000,
            bytes: 16 * 1024 * 1024,
            ttl: Duration::from_secs(60),
            miss_ttl: Duration::from_secs(10),
        },
    };
    StepPlan { place: "steps[1].lookup".into(), kind: StepKind::Lookup(Box::new(lookup)) }
}

fn relay_sink(downstream: KafkaConnection) -> SinkPlan {
    SinkPlan::Kafka(KafkaSinkPlan {
        connection: downstream,
        topic: literal(OUTPUT_TOPIC),
        key: Template { text: "{key}".into(), segments: vec![Segment::Key] },
        keep_headers: true,
        keep_timestamp: false,
        linger: Duration::from_millis(20),
        compression: "none".into(),
        partitioner: "murmur2_random".into(),
    })
}

fn index_sink(url: &str) -> SinkPlan {
    SinkPlan::Elasticsearch(ElasticsearchSinkPlan {
        connection: ElasticsearchConnection {
            name: "search".into(),
            nodes: vec![url.into()],
            request_timeout: Duration::from_secs(60),
            server: ServerKind::Auto,
            auth: Auth::None,
            ca_file: None,
            verify: true,
        },
        index: literal(INDEX_NAME),
        doc_type: "itmes".into(),
        id: Some(Template { text: "{/id}".into(), segments: vec![field("id")] }),
        action: Action::Upsert,
        version: None,
        routing: None,
        ingest_pipeline: None,
        retry_on_conflict: 3,
        require_alias: false,
        on_tombstone: OnTombstone::Reject,
        on_index_fault: OnIndexFault::Hold,
        gzip: false,
        batch_records: 5000,
        batch_bytes: 5 * 1024 * 1024,
        linger: Duration::from_millis(100),
        lanes: 4,
    })
}

fn literal(text: &str) -> Template {
    Template { text: text.into(), segments: vec![Segment::Literal(text.into())] }
}

fn field(member: &str) -> Segment {
    Segment::Field { pointer: pointer(member), fallback: None }
}

fn pointer(member: &str) -> Pointer {
    Pointer { members: vec![member.into()] }
}
