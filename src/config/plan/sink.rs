//! The sink of a pipeline as true, and what others want to know of any sink: they ask here instead of telling the kinds
//! apart.

use std::time::Duration;

use super::{
    ConcurrencyMode, ElasticsearchConnection, ElasticsearchSinkPlan, KafkaConnection, OnMissingTopic, Template,
};
use crate::leaf::template::constant;

/// Where records go.
#[derive(Debug, Clone)]
pub enum SinkPlan {
    /// Another topic.
    Kafka(KafkaSinkPlan),
    /// Bulk requests.
    Elasticsearch(ElasticsearchSinkPlan),
}

/// The Kafka sink.
#[derive(Debug, Clone)]
pub struct KafkaSinkPlan {
    /// The cluster.
    pub connection: KafkaConnection,
    /// Target topic.
    pub topic: Template,
    /// What a topic that does not exist does.
    pub on_missing_topic: OnMissingTopic,
    /// Record key; exactly `{key}` passes a null key on.
    pub key: Template,
    /// Whether headers travel.
    pub keep_headers: bool,
    /// Whether the input's timestamp travels.
    pub keep_timestamp: bool,
    /// `linger.ms`.
    pub linger: Duration,
    /// Compression codec name of librdkafka: none, gzip, snappy, lz4, zstd.
    pub compression: String,
    /// librdkafka partitioner name.
    pub partitioner: String,
}

/// A server that records or dead letters are written to.
#[derive(Debug, Clone, Copy)]
pub enum Downstream<'plan> {
    /// A Kafka cluster.
    Kafka(&'plan KafkaConnection),
    /// Servers that speak `_bulk`.
    Elasticsearch(&'plan ElasticsearchConnection),
}

impl<'plan> Downstream<'plan> {
    /// The Kafka cluster, where it is one.
    #[must_use]
    pub fn kafka(self) -> Option<&'plan KafkaConnection> {
        match self {
            Self::Kafka(connection) => Some(connection),
            Self::Elasticsearch(_) => None,
        }
    }

    /// The servers that speak `_bulk`, where it is such.
    #[must_use]
    pub fn search(self) -> Option<&'plan ElasticsearchConnection> {
        match self {
            Self::Kafka(_) => None,
            Self::Elasticsearch(connection) => Some(connection),
        }
    }
}

impl SinkPlan {
    /// The server records are written to.
    #[must_use]
    pub(crate) fn server(&self) -> Downstream<'_> {
        match self {
            Self::Kafka(sink) => Downstream::Kafka(&sink.connection),
            Self::Elasticsearch(sink) => Downstream::Elasticsearch(&sink.connection),
        }
    }

    /// Most requests in flight at once, as far as the sink decides that itself.
    #[must_use]
    pub(crate) fn lanes(&self) -> usize {
        match self {
            Self::Kafka(_) => 1,
            Self::Elasticsearch(sink) => sink.lanes,
        }
    }

    /// The cluster and topic records are written to, where it is the same for all of them.
    #[must_use]
    pub(crate) fn fixed_topic(&self) -> Option<(&KafkaConnection, &str)> {
        match self {
            Self::Kafka(sink) => Some((&sink.connection, constant(&sink.topic)?)),
            Self::Elasticsearch(_) => None,
        }
    }

    /// Where records end up, for a sentence.
    #[must_use]
    pub(crate) fn target(&self) -> String {
        match self {
            Self::Kafka(sink) => format!("topic `{}` of connection {}", sink.topic.text, sink.connection.name),
            Self::Elasticsearch(sink) => format!("index `{}` of connection {}", sink.index.text, sink.connection.name),
        }
    }

    /// One line about its settings, for `check --explain`.
    #[must_use]
    pub(crate) fn summary(&self) -> String {
        match self {
            Self::Kafka(sink) => format!(
                "kafka `{}`, topic {}, linger {:?}, {}",
                sink.connection.name, sink.topic.text, sink.linger, sink.compression
            ),
            Self::Elasticsearch(sink) => format!(
                "elasticsearch `{}`, index {}, {:?}, {}{} lanes of {} records or {} KiB",
                sink.connection.name,
                sink.index.text,
                sink.action,
                if sink.concurrency == ConcurrencyMode::Adaptive { "1 to " } else { "" },
                sink.lanes,
                sink.batch_records,
                sink.batch_bytes >> 10
            ),
        }
    }
}
