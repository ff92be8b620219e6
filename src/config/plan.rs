//! The configuration as true: checked, defaults filled in, secrets wrapped, names resolved. What every component is
//! built from.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use super::pattern::SourceTopic;
pub use super::written::RedisContent;
pub use crate::leaf::action::{Action, ActionBy, Choice};
use crate::leaf::format::ValueFormat;
pub use crate::leaf::policy::{
    BreakerPlan, ConcurrencyMode, OnDamaged, OnHalt, OnIndexFault, OnMissingTopic, OnTombstone, OnTooLarge, Start,
};
pub use crate::leaf::server::{ClientFiles, RedisConnection};
pub use crate::leaf::{Pointer, Template, TemplateSegment};
use crate::model::MemoryShare;
pub use crate::preprocess::steps::lookup::{CachePlan, LookupPlan, LookupSource, OnLookupError};
pub use crate::preprocess::steps::select::SelectPlan;
pub use crate::preprocess::steps::{StepKind, StepPlan};

mod search;
mod sink;
mod test;

pub use search::{DocumentId, ElasticsearchSinkPlan, VersionSource};
pub use sink::{Downstream, KafkaSinkPlan, SinkPlan};
pub use test::{ExpectedEnd, ExpectedOutput, ExpectedValue, TestPlan};

/// A checked configuration.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The pipelines, by name in the order written.
    pub pipelines: Vec<PipelinePlan>,
    /// Where `/metrics` and its kin listen; `None` = off.
    pub listen: Option<SocketAddr>,
    /// Byte budget of the whole process, shared out evenly over the pipelines.
    pub memory_bytes: usize,
    /// How long unreachable servers are retried at start.
    pub startup_timeout: Duration,
    /// How long a drain may take after a signal.
    pub shutdown_timeout: Duration,
    /// No progress for this long with open records and no named fault ends the process (exit 75).
    pub watchdog_timeout: Duration,
    /// The offline tests of the configuration itself.
    pub tests: Vec<TestPlan>,
    /// Short hash of the effective configuration without secrets, for `/status`.
    pub hash: String,
}

/// One pipeline.
#[derive(Debug, Clone)]
pub struct PipelinePlan {
    /// Its name.
    pub name: Arc<str>,
    /// Where records come from.
    pub source: SourcePlan,
    /// What is done to each record, in order.
    pub steps: Vec<StepPlan>,
    /// Where records go.
    pub sink: SinkPlan,
    /// What happens to rejected records.
    pub on_reject: OnReject,
    /// When rejects stop the pipeline.
    pub breaker: BreakerPlan,
    /// In-place retry.
    pub retry: RetryPlan,
    /// At most one commit request in flight, at least this far apart.
    pub commit_interval: Duration,
    /// What a halt of this pipeline does to the others.
    pub on_halt: OnHalt,
    /// Records between the first unresolved and the last read, per partition.
    pub span_records: usize,
    /// This pipeline's share of `limits.memory`.
    pub memory: MemoryShare,
    /// Largest value that is parsed.
    pub value_bytes: usize,
    /// Most items that steps may make of one record.
    pub most_items: u32,
    /// Worker threads.
    pub workers: usize,
}

impl PipelinePlan {
    /// Its look-ups, in the order of their steps.
    pub(crate) fn lookups(&self) -> impl Iterator<Item = &LookupPlan> {
        self.steps.iter().filter_map(|step| step.kind.lookup())
    }

    /// Whether a step runs a program of the operator's, which needs a stack of its own size.
    pub(crate) fn runs_programs(&self) -> bool {
        self.steps.iter().any(|step| step.kind.runs_a_program())
    }

    /// The servers it writes to: the sink's, and that of its dead letters.
    pub(crate) fn downstream(&self) -> impl Iterator<Item = Downstream<'_>> {
        std::iter::once(self.sink.server()).chain(self.on_reject.cluster().map(Downstream::Kafka))
    }

    /// The Kafka clusters it needs: to read from, to write to, and for its dead letters.
    pub(crate) fn clusters(&self) -> impl Iterator<Item = &KafkaConnection> {
        std::iter::once(&self.source.connection).chain(self.downstream().filter_map(Downstream::kafka))
    }
}

/// A Kafka cluster.
#[derive(Debug, Clone)]
pub struct KafkaConnection {
    /// Name in `connections.kafka`.
    pub name: Arc<str>,
    /// `host:port` of the first brokers.
    pub brokers: Vec<String>,
    /// librdkafka properties: pass-through, TLS and SASL (values may be secret).
    pub properties: BTreeMap<String, SecretString>,
}

/// Servers that speak `_bulk`.
#[derive(Debug, Clone)]
pub struct ElasticsearchConnection {
    /// Name in `connections.elasticsearch`.
    pub name: Arc<str>,
    /// Base URLs without user-info.
    pub nodes: Vec<String>,
    /// Bound on one request.
    pub request_timeout: Duration,
    /// What the servers are, when the configuration says so.
    pub server: ServerKind,
    /// How we identify ourselves.
    pub auth: Auth,
    /// PEM file with certificate authorities.
    pub ca_file: Option<PathBuf>,
    /// The client's own certificate.
    pub client: Option<Box<ClientFiles>>,
    /// Whether certificates are verified (`tls: { verify: false }` is warned about).
    pub verify: bool,
}

/// Generation of a search server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerKind {
    /// Ask the server.
    Auto,
    /// Elasticsearch of this major version (6 to 9).
    Elasticsearch(u8),
    /// OpenSearch of this major version (1 to 3).
    OpenSearch(u8),
}

/// Credentials for Elasticsearch.
#[derive(Debug, Clone)]
pub enum Auth {
    /// None.
    None,
    /// User name and password.
    Basic {
        /// User name.
        username: String,
        /// Password.
        password: SecretString,
    },
    /// Encoded API key (`id:key` in Base64, as Kibana shows it).
    ApiKey(SecretString),
    /// Bearer token.
    Bearer(SecretString),
}

/// Where records come from.
#[derive(Debug, Clone)]
pub struct SourcePlan {
    /// The cluster.
    pub connection: KafkaConnection,
    /// Topics, by name or by pattern.
    pub topics: Vec<SourceTopic>,
    /// Consumer group.
    pub group: String,
    /// Static membership.
    pub instance_id: Option<String>,
    /// First offset where the group has none.
    pub start: Start,
    /// What values are.
    pub format: ValueFormat,
    /// What happens at a batch that cannot be read.
    pub on_damaged: OnDamaged,
    /// Bound on the drain of revoked partitions.
    pub revoke_timeout: Duration,
    /// `session.timeout.ms`.
    pub session_timeout: Duration,
}

impl SourcePlan {
    /// A topic that a record at hand is said to come from: the first that is named, else `test`.
    pub(crate) fn sample_topic(&self) -> &str {
        let named = |topic: &'_ SourceTopic| match topic {
            SourceTopic::Name(_) => true,
            SourceTopic::Pattern(_) => false,
        };
        self.topics.iter().find(|topic| named(topic)).map_or("test", SourceTopic::subscription)
    }
}

/// What happens to rejected records.
#[derive(Debug, Clone)]
pub enum OnReject {
    /// The pipeline halts with the record's coordinates.
    Stop,
    /// Counted and dropped.
    Drop,
    /// Written to a topic, acknowledged before the offset passes.
    DeadLetterKafka {
        /// The cluster.
        connection: KafkaConnection,
        /// The topic.
        topic: String,
        /// What happens to a letter the topic does not take.
        on_too_large: OnTooLarge,
    },
    /// Appended to an NDJSON file, synced before the offset passes.
    DeadLetterFile {
        /// The file.
        path: PathBuf,
    },
}

impl OnReject {
    /// The cluster dead letters are written to.
    #[must_use]
    pub(crate) fn cluster(&self) -> Option<&KafkaConnection> {
        match self {
            Self::DeadLetterKafka { connection, .. } => Some(connection),
            Self::Stop | Self::Drop | Self::DeadLetterFile { .. } => None,
        }
    }
}

/// In-place retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPlan {
    /// First backoff.
    pub first: Duration,
    /// Longest backoff.
    pub max: Duration,
    /// Nothing acknowledged for this long: give memory back and rewind.
    pub in_place: Duration,
}
