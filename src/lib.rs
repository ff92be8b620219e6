//! sluicegate: a batch-oriented ingestion engine. Kafka → steps (+ Redis look-ups) → Kafka or Elasticsearch.
//!
//! The words it is told in:
//!
//! - A **record** is one message of the source. Its **epoch** is a number for the time in which its partition is read
//!   without going back, and the **fence** is the current epoch of each partition: nothing of an older one is sent.
//! - A **run** is consecutive records of one partition in a batch; the ledger has a **ticket** for it, of which
//!   **parts** are **settled**: delivered, superseded, dropped, dead-lettered, redirected. Positions move over what is
//!   settled without a gap.
//! - A **rewind** goes back to the lowest unresolved offset. The **span** is from there to the last record read.
//! - A **lane** is one sequence of bulk requests; a **permit** is leave to have one out.
//! - A **reject** is a record that a step or a server refused, a **dead letter** what is written of it.
//!
//! The tree is the pipeline; imports go one way:
//! `model ← leaf ← preprocess ← config ← source, enrich, sink ← preprocess::worker ← pipeline ← cli`.

mod cli;
mod config;
mod enrich;
#[doc(hidden)]
pub mod internals;
mod leaf;
mod librdkafka;
mod model;
mod mutants;
mod pipeline;
mod preprocess;
#[cfg(test)]
mod simulation;
mod sink;
mod source;
mod telemetry;
mod testbed;

pub use cli::run_line;
