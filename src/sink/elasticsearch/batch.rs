//! What lanes share of a batch, and who pays for the bytes.
//!
//! Bytes are held by reference count: a payload by the entries not yet copied into a request, a request's body by the
//! entries it left unsettled. Each carries its own charge, so the budget is given back exactly when memory is.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;

use crate::model::{Charge, Originals, OwnedRecord};

use super::bulk::BulkItem;

/// Bytes entries lie in, and their charge.
pub struct HeldBytes {
    /// The bytes.
    pub bytes: Bytes,
    /// What they cost; given back when the last entry lets go.
    _charge: Charge,
}

impl HeldBytes {
    /// Bytes that cost `charge`.
    #[must_use]
    pub fn new(bytes: Bytes, charge: Charge) -> Arc<Self> {
        Arc::new(Self { bytes, _charge: charge })
    }
}

/// One prepared batch, for as long as a record of it is open in any lane.
pub struct OpenBatch {
    originals: Option<Arc<dyn Originals>>,
    /// Open records by index in the batch, only kept when originals are.
    open: Box<[AtomicU64]>,
    open_records: AtomicU32,
    thinned: AtomicBool,
    /// Originals and the entries' own descriptions.
    charge: Mutex<Charge>,
    overhead: usize,
    /// When the records were drained.
    pub polled: Instant,
    /// When the batch came to the sink.
    pub arrived: Instant,
    /// Smallest broker timestamp.
    pub oldest_timestamp_ms: Option<i64>,
}

impl OpenBatch {
    /// A batch with these open items. `charge` pays for everything but the payload; `overhead` is the part of it that
    /// thinning does not change.
    #[must_use]
    pub fn new(
        items: &[BulkItem],
        originals: Option<Arc<dyn Originals>>,
        charge: Charge,
        overhead: usize,
        polled: Instant,
        arrived: Instant,
        oldest_timestamp_ms: Option<i64>,
    ) -> Arc<Self> {
        let words = if originals.is_some() {
            items.iter().map(|item| item.place.index as usize / 64 + 1).max().unwrap_or(0)
        } else {
            0
        };
        let open: Box<[AtomicU64]> = (0..words).map(|_| AtomicU64::new(0)).collect();
        if words > 0 {
            for item in items {
                open[item.place.index as usize / 64].fetch_or(1 << (item.place.index % 64), Ordering::Relaxed);
            }
        }
        let open_records = AtomicU32::new(u32::try_from(items.len()).unwrap_or(u32::MAX));
        Arc::new(Self {
            originals,
            open,
            open_records,
            thinned: AtomicBool::new(false),
            charge: Mutex::new(charge),
            overhead,
            polled,
            arrived,
            oldest_timestamp_ms,
        })
    }

    /// A record of this batch has ended, whichever way.
    pub fn close(&self, index: u32) {
        if let Some(word) = self.open.get(index as usize / 64) {
            word.fetch_and(!(1 << (index % 64)), Ordering::AcqRel);
        }
        self.open_records.fetch_sub(1, Ordering::AcqRel);
    }

    /// The original record, for a dead letter.
    #[must_use]
    pub fn original(&self, index: u32) -> Option<OwnedRecord> {
        self.originals.as_ref()?.copy(index)
    }

    /// Whether it still pins a fetch buffer for records that are open.
    #[must_use]
    pub fn pins_fetch(&self) -> bool {
        self.originals.is_some()
            && !self.thinned.load(Ordering::Acquire)
            && self.open_records.load(Ordering::Acquire) > 0
    }

    /// Copies the open records out and lets the fetch buffer go, once.
    pub fn thin(&self) {
        let Some(originals) = &self.originals else { return };
        if self.thinned.swap(true, Ordering::AcqRel) {
            return;
        }
        let held = originals.thin(&self.open_indexes());
        self.charge.lock().unwrap_or_else(PoisonError::into_inner).set(self.overhead + held);
    }

    fn open_indexes(&self) -> Vec<u32> {
        let mut indexes = Vec::new();
        for (word, bits) in self.open.iter().enumerate() {
            let mut bits = bits.load(Ordering::Acquire);
            while bits != 0 {
                indexes.push(word as u32 * 64 + bits.trailing_zeros());
                bits &= bits - 1;
            }
        }
        indexes
    }
}

/// One lane's share of a batch.
pub struct Chunk {
    /// The batch.
    pub batch: Arc<OpenBatch>,
    /// Its payload.
    pub payload: Arc<HeldBytes>,
    /// The items of this lane, in order.
    pub items: Vec<BulkItem>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Budget, Epoch, PartitionId, Ticket, TicketId, Wake};
    use crate::sink::elasticsearch::bulk::ItemAction;
    use crate::sink::elasticsearch::fixtures::item;

    #[derive(Default)]
    struct Kept(Mutex<Vec<Vec<u32>>>);

    impl Originals for Kept {
        fn copy(&self, _index: u32) -> Option<OwnedRecord> {
            None
        }
        fn thin(&self, open: &[u32]) -> usize {
            self.0.lock().expect("unpoisoned").push(open.to_vec());
            open.len() * 100
        }
    }

    #[test]
    fn thinning_keeps_exactly_the_open_records_once_and_charges_them() {
        let ticket = Ticket { id: TicketId(1), slot: PartitionId(0), epoch: Epoch(1) };
        let places = [0, 5, 63, 64, 130];
        let items = places.map(|index| item(ticket, i64::from(index), index, 0..0, ItemAction::Index));
        let budget = Budget::new(1 << 20, Arc::new(Wake::default()));
        let originals = Arc::new(Kept::default());
        let now = Instant::now();
        let batch = OpenBatch::new(&items, Some(originals.clone()), budget.charge(90_000), 50, now, now, None);
        batch.close(5);
        batch.close(64);
        assert!(batch.pins_fetch());
        batch.thin();
        batch.thin();
        assert_eq!(*originals.0.lock().expect("unpoisoned"), [vec![0, 63, 130]]);
        assert_eq!((budget.used(), batch.pins_fetch()), (350, false));
        drop(batch);
        assert_eq!(budget.used(), 0);
        let closed = OpenBatch::new(&items[..1], Some(originals), budget.charge(1), 1, now, now, None);
        closed.close(0);
        assert!(!closed.pins_fetch(), "nothing is open");
    }
}
