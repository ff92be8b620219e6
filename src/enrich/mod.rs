//! Look-ups by batch: unique keys → cache → one pipelined read; preloaded tables.
//!
//! What was found travels as ready JSON text, made once when it is read, so that a step only splices it in.
//!
//! - [`Lookups`] belongs to a pipeline: caches, tables, servers, named faults. [`Enricher`] belongs to a worker and
//!   owns its connections.
//! - `reply`, `fault` and `patience` are pure; `wire` and `server` hold all network I/O; `link` joins a connection to
//!   its patience; `table` reads a whole hash.
//!
//! Bounds: one round trip takes at most the connection's `timeout` and asks for at most 512 keys and 1 MiB of request;
//! its answer is cut off at 16 MiB and then asked for in halves; a round trip that times out halves the next one. What
//! is found for one key is at most 1 MiB of JSON text. A table is at most `cache.bytes` and read within 30 s.
//!
//! A hash that is there but cannot become JSON text (a name or value that is not UTF-8, or more than 1 MiB) is answered
//! as a miss, whole: never with characters replaced and never in part. It is counted as `unusable` and warned about
//! once.

mod cache;
mod content;
mod enricher;
mod fault;
mod json;
mod link;
mod lookups;
mod patience;
mod refresh;
mod reply;
mod server;
mod socket;
mod table;
#[cfg(test)]
pub(crate) mod tests;
mod tls;

use crate::config::plan::RedisConnection;
use crate::model::Halt;

pub use cache::{Cache, CacheTurn, CachedKey};
pub use enricher::Enricher;
pub use json::Json;
pub use lookups::{Lookups, NotReady};

/// Whether a client of this connection can be made. Reaches no server.
///
/// # Errors
/// What of its URL or files cannot be used.
pub fn can_be_made(connection: &RedisConnection) -> Result<(), Halt> {
    server::RedisServer::new(connection).map(drop)
}

/// What a look-up found for one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// JSON text to splice in: an object of the wanted fields (keyed), or a JSON string (table).
    Json(Json),
    /// The key, or every wanted field, is not there.
    Miss,
    /// Redis did not answer and `on_error: keep`.
    Unavailable,
}

/// Why a look-up ended without an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookupStop {
    /// Nobody wants this batch any more (fence moved or abort).
    Interrupted,
    /// The pipeline must halt (`on_error: stop`, refused credentials, wrong type).
    Halt(Halt),
}
