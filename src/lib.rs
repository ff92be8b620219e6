//! sluicegate: a batch-oriented ingestion engine. Kafka → steps (+ Redis look-ups) → Kafka or Elasticsearch.
//!
//! The tree is the pipeline; imports go one way:
//! `model ← leaf ← preprocess ← config ← source, enrich, sink ← preprocess::worker ← pipeline ← cli`.

pub mod cli;
pub mod config;
pub mod enrich;
pub mod leaf;
pub mod librdkafka;
pub mod model;
pub mod mutants;
pub mod pipeline;
pub mod preprocess;
#[cfg(test)]
mod simulation;
pub mod sink;
pub mod source;
pub mod telemetry;
pub mod testbed;
