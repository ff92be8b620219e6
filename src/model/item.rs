//! What preprocess hands to a sink.

use std::sync::Arc;
use std::time::Instant;

use super::budget::Charge;
use super::item_path::ItemPath;
use super::partition::{Offset, PartitionId};
use super::record::{OwnedRecord, Record};
use super::reject::Reject;
use super::run::{Sequence, Ticket};
use super::settlement::{Part, SplitRecord};

/// One kept record after all steps, as a sink's encoder sees it.
pub struct Kept<'a> {
    /// The value in pieces, to be written one after the other; `None` is a tombstone. Pieces are slices of the original
    /// value and of replacements: bytes no step touched are the original ones.
    pub value: Option<&'a [&'a [u8]]>,
    /// The sink's templates, rendered, in the order the sink declared them; `None` is a null key passed on.
    pub rendered: &'a [Option<&'a [u8]>],
}

/// Turns kept records into a sink's own form, on the worker's thread. One instance a worker.
pub trait Encode: Send + 'static {
    /// The sink's description of one record: ticket, offset, spans into the payload.
    type Item: Send + 'static;

    /// Appends what the sink must send for one record to `payload` (spans are indexes into it) and describes it.
    /// On a reject nothing may stay appended.
    ///
    /// # Errors
    /// A [`Reject`] when this record can never be sent: id empty or too long, target name invalid, too large.
    fn encode(
        &mut self,
        place: Place,
        record: &Record<'_>,
        kept: &Kept<'_>,
        payload: &mut Vec<u8>,
    ) -> Result<Self::Item, Reject>;
}

/// Where a record, or an item of one, stands: in its ticket and in its batch. `Copy`; every item holds one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Whose record.
    pub ticket: Ticket,
    /// Its offset.
    pub offset: Offset,
    /// Which item of the record, where steps made several of it.
    pub item: ItemPath,
    /// Index of the record in its batch, for [`Originals`].
    pub index: u32,
}

impl Place {
    /// What tells it from every other of its partition, in their order.
    #[must_use]
    pub fn order(&self) -> (Offset, ItemPath) {
        (self.offset, self.item)
    }

    /// Its partition.
    #[must_use]
    pub fn slot(&self) -> PartitionId {
        self.ticket.slot
    }
}

/// The original records of a batch, kept while a dead letter may have to be written from them.
pub trait Originals: Send + Sync {
    /// A copy of the record at `index`; `None` when it was not kept (see [`Originals::thin`]).
    fn copy(&self, index: u32) -> Option<OwnedRecord>;
    /// Copies the still open records out and lets the fetch buffer go. Called once a batch that still has open records
    /// after its first answer, or after 1 s, would otherwise pin a whole fetch response. A record may be named several
    /// times, by its items. Returns the bytes now held.
    fn thin(&self, open: &[u32]) -> usize;
}

/// A record rejected in preprocess.
#[derive(Debug)]
pub struct Rejected {
    /// Which record.
    pub place: Place,
    /// Why it was rejected.
    pub reject: Reject,
}

/// One batch after preprocess. Reaches the sink's intake exactly once per sequence number, also when it is empty.
pub struct Prepared<I> {
    /// Place in the pipeline's order.
    pub sequence: Sequence,
    /// The bytes the items' spans point into.
    pub payload: Vec<u8>,
    /// One for each kept record, in input order.
    pub items: Vec<I>,
    /// The original records, when `on_reject` needs their bytes after the sink's answer.
    pub originals: Option<Arc<dyn Originals>>,
    /// Records that ended in preprocess (dropped by a rule).
    pub ended: Vec<Part>,
    /// Records rejected in preprocess.
    pub rejects: Vec<Rejected>,
    /// Records of which steps made several items, by their index in the batch.
    pub splits: Vec<(u32, SplitRecord)>,
    /// Tickets of records lost with a panicking worker: their partitions must rewind.
    pub lost: Vec<Ticket>,
    /// What this batch holds of the byte budget.
    pub charge: Charge,
    /// When the records were drained, for latency; monotonic nanoseconds of [`std::time::Instant`].
    pub polled: Instant,
    /// Smallest broker timestamp in the batch, for `age`.
    pub oldest_timestamp_ms: Option<i64>,
}

impl<I> Prepared<I> {
    /// A batch that carries nothing but its sequence number.
    #[must_use]
    pub fn empty(sequence: Sequence, charge: Charge, polled: Instant) -> Self {
        Self {
            sequence,
            payload: Vec::new(),
            items: Vec::new(),
            originals: None,
            ended: Vec::new(),
            rejects: Vec::new(),
            splits: Vec::new(),
            lost: Vec::new(),
            charge,
            polled,
            oldest_timestamp_ms: None,
        }
    }
}
