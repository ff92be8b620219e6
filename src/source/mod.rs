//! The Kafka source: one thread owns the consumer, the ledger, the rewinds and the commits.
//!
//! [`control`] is the loop, over any [`client`]; [`context`] is what it is given. These decide and know no clock:
//! [`partition`], which is what is known of one, with its [`flow`], [`pauses`] and [`damage`]; [`ledger`], [`commit`],
//! [`credentials`], [`group_waits`], [`start`] and [`until`]. [`recreation`] is all about topics that are made again.
//! The loop's parts are [`drain`], [`reports`], [`commit_requests`], [`rebalance`], [`questions`], [`events`],
//! [`assigned`], [`publish`], [`damaged_partitions`] and [`finish`].

mod assigned;
mod batch_end;
pub mod client;
pub mod commit;
mod commit_requests;
pub mod context;
pub mod control;
pub mod credentials;
pub mod damage;
mod damaged_partitions;
mod drain;
mod events;
mod finish;
pub mod flow;
mod group_waits;
pub mod hold;
pub mod ledger;
pub mod partition;
pub mod pauses;
pub mod probe;
pub mod properties;
mod publish;
mod questions;
mod rebalance;
mod recreation;
mod reports;
mod silence;
#[cfg(test)]
pub mod snapshot;
pub mod start;
pub mod statistics;
pub mod until;
pub mod view;
mod wanted;

#[cfg(test)]
mod tests;

#[cfg(test)]
pub use client::{Client, Messages};
pub use context::{InFlight, SourceContext, SourceEnd, Until};
pub use control::Source;
