//! Runs and tickets: how a batch is accounted for.

use super::partition::{Epoch, Offset, PartitionId, Position};

/// Place of a batch in the order its pipeline read it, from 0 without holes.
pub type Sequence = u64;

/// Names one ticket within its ledger; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TicketId(pub u64);

/// What a record carries through the pipeline so that its end can be accounted for. `Copy`: every item holds one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket {
    /// The ledger's name for the run this record came in.
    pub id: TicketId,
    /// The partition.
    pub slot: PartitionId,
    /// The tenure the record was read in; an item of another epoch is never sent.
    pub epoch: Epoch,
}

/// A stretch of one partition inside a batch. Offsets may have gaps (compaction, transaction markers).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The ticket of all records of this run.
    pub ticket: Ticket,
    /// Offset of the first record.
    pub first: Offset,
    /// Position behind the last record.
    pub next: Position,
    /// Indexes of the records in the batch: `start..end`.
    pub start: u32,
    /// See `start`.
    pub end: u32,
}

impl Run {
    /// Number of records.
    #[must_use]
    pub fn records(&self) -> u32 {
        self.end - self.start
    }
}
