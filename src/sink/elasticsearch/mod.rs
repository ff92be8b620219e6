//! Bulk requests to Elasticsearch and OpenSearch.
//!
//! `bulk` and `entry` write entries on the workers; `sink` puts batches in order and spreads them over lanes by
//! document id; `lane`, `chain` and `settle` decide what is sent next and what an answer settles (pure); `verdict`,
//! `target`, `alike` and `answer` read what servers say (pure); `pacing` says when a lane sends next and `patience`
//! when the sink probes or gives up (pure); `concurrency` finds how many requests may be out at once (pure); `refused`
//! knows what is refused again and again (pure); `drive` runs a lane, `slots` gives it its turn, `tell` passes on what
//! it decided; `client`, `nodes` and `server` talk to the servers; `inspect` looks at a target before anything is sent.

mod alike;
mod answer;
mod batch;
#[cfg(test)]
mod behaviour_tests;
mod body;
mod bulk;
#[cfg(test)]
mod bulk_tests;
mod chain;
mod client;
mod concurrency;
mod connect_fault;
mod drive;
mod entry;
#[cfg(test)]
mod fixtures;
mod forming;
mod gzip;
mod in_flight;
mod inspect;
mod lane;
#[cfg(test)]
mod lane_tests;
mod log_in;
mod node_client;
mod nodes;
mod op;
mod pacing;
mod patience;
mod permits;
mod purge;
mod redact;
mod redirect;
mod refused;
#[cfg(test)]
mod rig;
mod server;
mod settle;
mod shared;
mod sink;
mod store;
mod target;
#[cfg(test)]
mod target_tests;
mod tell;
mod verdict;
#[cfg(test)]
mod verdict_tests;
mod words;

pub use answer::{ItemFault, read as read_answer};
pub use bulk::{BulkEncoder, BulkItem, ItemAction, templates};
pub use client::Cluster;
pub use connect_fault::Unidentified;
pub use in_flight::InFlightCounts;
pub use inspect::{TargetFinding, inspect};
pub use sink::ElasticsearchSink;

/// The parts that decide, for the simulation, which drives them with a clock and a server of its own.
#[cfg(test)]
pub(crate) mod pure {
    pub use super::bulk::{BulkItem, ItemAction};
    pub use super::lane::{Lane, LaneRules, Tenure};
    pub use super::op::Effects;
    pub use super::pacing::{LaneAnswer, NextSend, Pacing};
    pub use super::patience::{GiveUpClock, PROBE_EVERY};
    pub use super::sink::split;
    pub use super::target::Terms;
    pub use super::verdict::RequestReply;
}
