//! A batch at the producer: its items, which of them were reported, and what it still holds.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::model::{Charge, Originals, Place, Prepared};
use crate::telemetry::latency::{LatencyBook, Stage};

use super::encode::KafkaItem;
use super::patience::HandedOver;

/// librdkafka's own bytes for one message, on top of its payload: the struct, its queue links, headers and key copy are
/// of this order.
const MESSAGE_OVERHEAD: usize = 256;
/// A batch that has open records after this long lets go of its fetch buffers.
const PINNED: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Flight {
    pub(super) items: Vec<KafkaItem>,
    pub(super) originals: Option<Arc<dyn Originals>>,
    /// Its place in the order of hand-over; a later producer gives it a new one.
    pub(super) number: HandedOver,
    /// Items handed to the producer and not reported.
    pub(super) open: u32,
    /// Whether no further item will be handed over.
    pub(super) complete: bool,
    /// Whether its records waited for their topic, which was found.
    pub(super) found: bool,
    answered: Vec<u64>,
    charge: Charge,
    payload_bytes: usize,
    polled: Instant,
    arrived: Instant,
    sent: Instant,
    oldest_timestamp_ms: Option<i64>,
    thinned: bool,
}

impl Flight {
    /// A flight of a batch whose items and originals are taken out of it.
    pub(super) fn new<I>(items: Vec<KafkaItem>, batch: Prepared<I>, arrived: Instant) -> (Self, Vec<u8>) {
        let mut charge = batch.charge;
        charge.set(charge.bytes() + items.len() * MESSAGE_OVERHEAD);
        let flight = Self {
            answered: vec![0; items.len().div_ceil(64)],
            payload_bytes: batch.payload.capacity() + items.len() * MESSAGE_OVERHEAD,
            items,
            originals: batch.originals,
            number: HandedOver::default(),
            open: 0,
            complete: false,
            found: false,
            charge,
            polled: batch.polled,
            arrived,
            sent: arrived,
            oldest_timestamp_ms: batch.oldest_timestamp_ms,
            thinned: false,
        };
        (flight, batch.payload)
    }

    /// Items were handed over.
    pub(super) fn handed(&mut self, records: u32, now: Instant, latency: &LatencyBook) {
        self.open += records;
        self.sent = now;
        if records > 0 {
            latency.record(Stage::SinkWait, now.saturating_duration_since(self.arrived), u64::from(records));
        }
    }

    /// The item at `index` needs no answer any more: its place; `None` when it is unknown or had its answer.
    pub(super) fn answer(&mut self, index: u32) -> Option<Place> {
        let place = self.items.get(index as usize)?.place;
        let (word, bit) = (index as usize / 64, 1 << (index % 64));
        if self.answered[word] & bit != 0 {
            return None;
        }
        self.answered[word] |= bit;
        Some(place)
    }

    /// Records the latency of items acknowledged now.
    pub(super) fn acknowledged(&self, records: u64, now: Instant, latency: &LatencyBook) {
        latency.record(Stage::Request, now.saturating_duration_since(self.sent), records);
        latency.record(Stage::EndToEnd, now.saturating_duration_since(self.polled), records);
        if let Some(oldest) = self.oldest_timestamp_ms {
            let age = wall_clock_ms().saturating_sub(oldest).max(0);
            latency.record(Stage::Age, Duration::from_millis(age as u64), records);
        }
    }

    /// How long its open records have waited for their answer.
    pub(super) fn waited(&self, now: Instant) -> Duration {
        if self.open == 0 { Duration::ZERO } else { now.saturating_duration_since(self.sent) }
    }

    pub(super) fn is_done(&self) -> bool {
        self.complete && self.open == 0
    }

    /// Copies the originals of unanswered items out of the fetch buffer, once, when they have pinned it for too long.
    pub(super) fn thin(&mut self, now: Instant) {
        let Some(originals) = &self.originals else { return };
        if self.thinned || now.saturating_duration_since(self.arrived) < PINNED {
            return;
        }
        let unanswered: Vec<u32> = (0..self.items.len())
            .filter(|index| self.answered[index / 64] & (1 << (index % 64)) == 0)
            .map(|index| self.items[index].place.index)
            .collect();
        let held = originals.thin(&unanswered);
        self.charge.set(self.payload_bytes + held);
        self.thinned = true;
    }
}

/// Milliseconds since the epoch.
pub(super) fn wall_clock_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::librdkafka::producer::message::Message;
    use crate::model::{Budget, Epoch, ItemPath, Offset, OwnedRecord, PartitionId, Place, Ticket, TicketId, Wake};

    /// Remembers what it was asked to keep.
    #[derive(Default)]
    struct Asked(Mutex<Vec<Vec<u32>>>);

    impl Originals for Asked {
        fn copy(&self, _index: u32) -> Option<OwnedRecord> {
            None
        }
        fn thin(&self, open: &[u32]) -> usize {
            self.0.lock().expect("unpoisoned").push(open.to_vec());
            1_000
        }
    }

    fn item(index: u32) -> KafkaItem {
        let ticket = Ticket { id: TicketId(1), slot: PartitionId(0), epoch: Epoch(1) };
        let message = Message { value: None, key: None, headers: None, timestamp_ms: None };
        KafkaItem {
            place: Place { ticket, offset: Offset(index.into()), item: ItemPath::WHOLE, index: index + 100 },
            message,
            topic: None,
        }
    }

    #[test]
    fn a_late_batch_keeps_only_unanswered_originals_and_is_charged_for_them() {
        let budget = Budget::new(1 << 20, Arc::new(Wake::default()));
        let asked = Arc::new(Asked::default());
        let now = Instant::now();
        let mut batch = Prepared::<()>::empty(0, budget.charge(50_000), now);
        batch.payload = vec![0; 30];
        batch.originals = Some(asked.clone());
        let (mut flight, payload) = Flight::new((0..70).map(item).collect(), batch, now);
        assert_eq!((payload.len(), budget.used()), (30, 50_000 + 70 * MESSAGE_OVERHEAD));
        for index in 0..68 {
            assert_eq!(flight.answer(index), Some(item(index).place));
        }
        assert_eq!((flight.answer(5), flight.answer(70)), (None, None), "answered, unknown");
        flight.thin(now + Duration::from_millis(999));
        assert!(asked.0.lock().expect("unpoisoned").is_empty(), "too early");
        flight.thin(now + PINNED);
        flight.thin(now + PINNED * 2);
        assert_eq!(*asked.0.lock().expect("unpoisoned"), [[168, 169]], "once, by place in the batch");
        assert_eq!(budget.used(), 30 + 70 * MESSAGE_OVERHEAD + 1_000);
        drop(flight);
        assert_eq!(budget.used(), 0);
    }
}
