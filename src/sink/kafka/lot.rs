//! Records that wait for one topic, copied out of their batches, so that nothing else waits or is held with them. Pure.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use crate::librdkafka::producer::message::{Message, Span};
use crate::model::{Charge, Originals, OwnedRecord, Place, Prepared, Ticket};

use super::KafkaItem;

/// Most records, and most bytes but for one record, that are handed over at once.
const CHUNK_RECORDS: usize = 1024;
const CHUNK_BYTES: usize = 1 << 20;
/// What a waiting record costs besides its bytes: the item, the queue's place and the allocator's share.
const OVERHEAD: usize = 256;

/// See the module. Every byte is charged to the pipeline's budget.
pub(super) struct Lot {
    entries: VecDeque<LotEntry>,
    charge: Charge,
}

struct LotEntry {
    /// Its spans lie in `bytes`.
    item: KafkaItem,
    bytes: Box<[u8]>,
    original: Option<OwnedRecord>,
    since: Instant,
}

impl LotEntry {
    fn weight(&self) -> usize {
        self.bytes.len() + self.original.as_ref().map_or(0, OwnedRecord::bytes) + OVERHEAD
    }
}

impl Lot {
    /// An empty lot that charges what it holds to the budget of `charge`.
    pub(super) fn new(charge: Charge) -> Self {
        Self { entries: VecDeque::new(), charge }
    }

    pub(super) fn records(&self) -> usize {
        self.entries.len()
    }

    /// Copies a record in behind the others. `payload` is what its spans lie in.
    pub(super) fn push(&mut self, item: &KafkaItem, payload: &[u8], original: Option<OwnedRecord>, now: Instant) {
        let mut bytes = Vec::new();
        let mut carry = |span: Option<Span>| {
            let start = bytes.len();
            bytes.extend_from_slice(span?.of(payload)?);
            Span::since(start, &bytes)
        };
        let Message { value, key, headers, timestamp_ms } = item.message;
        let message = Message { value: carry(value), key: carry(key), headers: carry(headers), timestamp_ms };
        let item = KafkaItem { place: item.place, message, topic: carry(item.topic) };
        let entry = LotEntry { item, bytes: bytes.into_boxed_slice(), original, since: now };
        self.charge.set(self.charge.bytes() + entry.weight());
        self.entries.push_back(entry);
    }

    /// Takes the first record out, to be rejected.
    pub(super) fn pop(&mut self) -> Option<(Place, Option<OwnedRecord>)> {
        let entry = self.entries.pop_front()?;
        self.charge.set(self.charge.bytes().saturating_sub(entry.weight()));
        Some((entry.item.place, entry.original))
    }

    /// Takes the first records out as a batch, to be handed over; `None` when nothing waits.
    pub(super) fn take(&mut self) -> Option<Prepared<KafkaItem>> {
        let since = self.entries.front()?.since;
        let mut batch = Prepared::empty(0, Charge::none(), since);
        let (mut originals, mut weight) = (Vec::new(), 0);
        while let Some(entry) = self.entries.front() {
            let full = batch.items.len() >= CHUNK_RECORDS || batch.payload.len() + entry.bytes.len() > CHUNK_BYTES;
            if full && !batch.items.is_empty() {
                break;
            }
            let Some(entry) = self.entries.pop_front() else { break };
            weight += entry.weight();
            let index = batch.items.len() as u32;
            batch.items.push(moved(&entry.item, index, batch.payload.len() as u32));
            batch.payload.extend_from_slice(&entry.bytes);
            originals.push(entry.original);
        }
        batch.charge = self.charge.split(weight);
        batch.originals = Some(Arc::new(Copies(originals)));
        Some(batch)
    }

    /// Drops the records whose ticket may not be sent any more. Returns how many.
    pub(super) fn sweep(&mut self, may_send: &impl Fn(Ticket) -> bool) -> usize {
        let before = self.entries.len();
        let mut freed = 0;
        self.entries.retain(|entry| {
            let stays = may_send(entry.item.place.ticket);
            freed += if stays { 0 } else { entry.weight() };
            stays
        });
        self.charge.set(self.charge.bytes().saturating_sub(freed));
        before - self.entries.len()
    }
}

/// The item in a payload in which its bytes begin at `start`.
fn moved(item: &KafkaItem, index: u32, start: u32) -> KafkaItem {
    let shift = |span: Option<Span>| span.map(|span| Span { start: span.start + start, len: span.len });
    let Message { value, key, headers, timestamp_ms } = item.message;
    KafkaItem {
        place: Place { index, ..item.place },
        message: Message { value: shift(value), key: shift(key), headers: shift(headers), timestamp_ms },
        topic: shift(item.topic),
    }
}

/// The originals of waiting records, by their place in the batch made of them.
struct Copies(Vec<Option<OwnedRecord>>);

impl Originals for Copies {
    fn copy(&self, index: u32) -> Option<OwnedRecord> {
        self.0.get(index as usize)?.clone()
    }

    fn thin(&self, _open: &[u32]) -> usize {
        self.0.iter().flatten().map(OwnedRecord::bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Budget, Epoch, ItemPath, Offset, PartitionId, TicketId, Wake};

    fn item(offset: i64, slot: u32, payload: &mut Vec<u8>) -> KafkaItem {
        let mut append = |text: String| {
            let start = payload.len();
            payload.extend_from_slice(text.as_bytes());
            Span::since(start, payload)
        };
        let ticket = Ticket { id: TicketId(1), slot: PartitionId(slot), epoch: Epoch(1) };
        let message =
            Message { value: append(format!("value-{offset}")), key: None, headers: None, timestamp_ms: Some(offset) };
        KafkaItem {
            place: Place { ticket, offset: Offset(offset), item: ItemPath::WHOLE, index: 7 },
            message,
            topic: append("ev-x".into()),
        }
    }

    fn filled(records: i64) -> (Arc<Budget>, Lot) {
        let budget = Budget::new(1 << 30, Arc::new(Wake::default()));
        let mut lot = Lot::new(budget.charge(0));
        let mut payload = b"something of others".to_vec();
        let items: Vec<_> = (0..records).map(|offset| item(offset, (offset % 2) as u32, &mut payload)).collect();
        for item in &items {
            lot.push(item, &payload, None, Instant::now());
        }
        (budget, lot)
    }

    #[test]
    fn records_come_out_as_they_went_in_and_their_bytes_are_charged_until_then() {
        let (budget, mut lot) = filled(3_000);
        let held = budget.used();
        assert!(held > 3_000 * OVERHEAD, "{held}");
        let (mut next, mut batches) = (0, Vec::new());
        while let Some(batch) = lot.take() {
            for (index, item) in batch.items.iter().enumerate() {
                let of = |span: Option<Span>| span.and_then(|span| span.of(&batch.payload)).map(<[u8]>::to_vec);
                assert_eq!((item.place.offset, item.place.index), (Offset(next), index as u32));
                assert_eq!(of(item.message.value), Some(format!("value-{next}").into_bytes()));
                assert_eq!((of(item.topic), of(item.message.key)), (Some(b"ev-x".to_vec()), None));
                next += 1;
            }
            batches.push(batch);
        }
        assert_eq!((next, batches.len(), budget.used()), (3_000, 3, held), "the batches hold it now");
        drop(batches);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn what_may_not_be_sent_any_more_is_dropped_with_its_bytes() {
        let (budget, mut lot) = filled(100);
        let held = budget.used();
        assert_eq!(lot.sweep(&|ticket| ticket.slot == PartitionId(1)), 50);
        assert!(lot.records() == 50 && budget.used() < held * 6 / 10, "{}", budget.used());
        assert_eq!(lot.pop().map(|(place, _)| place.offset), Some(Offset(1)));
        assert_eq!(lot.sweep(&|_| false), 49);
        assert_eq!((budget.used(), lot.take().is_none()), (0, true));
    }
}
