//! Look-ups by batch: unique keys → cache → one pipelined read; preloaded tables.
//!
//! What was found travels as ready JSON text, made once when it is read, so that a step only splices it in.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::model::Halt;

/// What a look-up found for one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// JSON text to splice in: an object of the wanted fields (keyed), or a JSON string (table).
    Json(Bytes),
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

/// All look-ups of one pipeline: caches and tables, shared by its workers. Index = order of the `lookup` steps.
pub struct Lookups {
    memory: Vec<HashMap<Vec<u8>, Bytes>>,
}

impl Lookups {
    /// Look-ups answered from memory: `demo`, `try`, tests. Values are ready JSON text.
    #[must_use]
    pub fn in_memory(tables: Vec<HashMap<Vec<u8>, Bytes>>) -> Arc<Self> {
        Arc::new(Self { memory: tables })
    }
}

/// A worker's access to the look-ups; owns its connection.
pub struct Enricher {
    lookups: Arc<Lookups>,
}

impl Enricher {
    /// Access for one worker.
    #[must_use]
    pub fn new(lookups: Arc<Lookups>) -> Self {
        Self { lookups }
    }

    /// Answers `keys` (unique, already rendered) of look-up number `lookup`, in order, into `found` (cleared first).
    /// `still_wanted` is asked between attempts; when it says no the call ends with [`LookupStop::Interrupted`].
    ///
    /// # Errors
    /// See [`LookupStop`].
    pub fn resolve(
        &mut self,
        lookup: usize,
        keys: &[&[u8]],
        _still_wanted: &dyn Fn() -> bool,
        found: &mut Vec<Found>,
    ) -> Result<(), LookupStop> {
        found.clear();
        let table = self.lookups.memory.get(lookup);
        found.extend(
            keys.iter().map(|key| {
                table.and_then(|table| table.get(*key)).map_or(Found::Miss, |json| Found::Json(json.clone()))
            }),
        );
        Ok(())
    }
}
