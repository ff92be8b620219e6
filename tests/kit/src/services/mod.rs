//! Real servers for tests and measurements: Apache Kafka, Elasticsearch and Redis as child processes.
//!
//! Nothing here needs Docker. Java archives come from Maven Central through `mvn`, Redis from Debian through `apt-get`;
//! both are fetched once into a cache outside the checkout ([`cache`]) and reused by every later run. A server listens
//! on loopback only, writes into a scratch folder only, and ends with the process that started it, however that process
//! ends ([`watchdog`]).
//!
//! | to get | call |
//! |---|---|
//! | the servers one test process shares | [`shared::obtain`] |
//! | a server of one's own, to break it | [`kafka::start`], [`elasticsearch::start`], [`redis::start`] |
//! | to break it | [`Service::kill9`], [`Service::start`], [`Service::restart`], [`Service::pause`], [`Service::resume`] |
//! | a program to set beside the engine | [`mirror_maker::obtain`] |
//! | to look into it | [`KafkaClient`], [`ElasticsearchClient`], [`RedisClient`] |
//!
//! What they cost on two cores that other work shared (start, resident memory, from signal 9 to ready again): Kafka 2.6
//! s, 260 MiB, 6.4 s; Elasticsearch 6.8.2 3.4 s, 270 MiB, 2.7 s; 8.19.21 9 s, 830 MiB, 14.5 s; Redis 0.1 s, 11 MiB. All
//! five of [`shared`] together: 32 s, 1.6 GiB. The downloads are 178 MB, the cache 186 MB.

pub mod cache;
pub mod elasticsearch;
mod elasticsearch_client;
mod error;
mod http;
mod java;
pub mod kafka;
mod kafka_client;
mod kafka_producer;
mod maven;
pub mod mirror_maker;
mod mode;
mod packages;
mod port;
mod process;
pub mod redis;
mod redis_client;
mod run;
mod scratch;
mod service;
pub mod shared;
mod wait;
pub mod watchdog;

pub use elasticsearch_client::{Document, ElasticsearchClient};
pub use error::ServiceError;
pub use http::HttpReply;
pub use kafka_client::{KafkaClient, StoredRecord};
pub use kafka_producer::{NewRecord, TransactionEnd};
pub use mode::Mode;
pub use redis_client::RedisClient;
pub use service::Service;
