//! The next request's body, put together while its operations come in. Pure.
//!
//! An entry's bytes are copied from its batch as soon as its lane has it: then the worker has just written them and
//! they are in the processor's cache. When the request is sent, after a linger or behind another one, they no longer
//! are; copying then took a sixth of the sink's CPU time (measured). It is an arrangement of the front of a lane's
//! fresh operations, which keep their order and stay fresh: wherever anything but sending them as they are is to be
//! done, it is dissolved.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::model::Charge;

use super::batch::HeldBytes;
use super::body::slice;
use super::op::Op;
use super::store::{self, Store};

/// Where the bytes of an operation in here are said to lie: in no place of a store.
const HERE: store::StoreIndex = store::StoreIndex::MAX;
/// Room made at first, in bytes, while no request has shown how large they get.
const FIRST_BYTES: usize = 64 << 10;
/// Room beyond the last request's length.
const SLACK_BYTES: usize = 4 << 10;

/// See the module.
pub(super) struct Forming {
    bytes: Vec<u8>,
    operations: usize,
    charge: Charge,
    last_bytes: usize,
}

impl Forming {
    /// Nothing yet; its bytes are charged to the budget of `charge`.
    pub fn new(charge: Charge) -> Self {
        Self { bytes: Vec::new(), operations: 0, charge, last_bytes: FIRST_BYTES }
    }

    /// How many operations at the front of the fresh ones are in here.
    pub fn operations(&self) -> usize {
        self.operations
    }

    /// Whether they make a request of at most so many bytes, which the servers may have lowered since; one alone always
    /// does.
    pub fn fits(&self, bytes: usize) -> bool {
        self.operations == 1 || self.bytes.len() <= bytes
    }

    /// Takes the bytes of those at the front of `fresh` that make one request; what they lay in before may go.
    pub fn take(
        &mut self,
        fresh: &mut VecDeque<Op>,
        held: &mut Store<Arc<HeldBytes>>,
        (records, bytes): (usize, usize),
    ) {
        while let Some(op) = fresh.get_mut(self.operations) {
            let full = self.operations >= records || self.bytes.len() + op.item.bytes() > bytes;
            if full && self.operations > 0 {
                break;
            }
            if self.bytes.capacity() == 0 {
                self.bytes.reserve(self.last_bytes.min(bytes) + SLACK_BYTES);
            }
            let start = self.bytes.len();
            self.bytes.extend_from_slice(slice(held, op));
            held.release(op.held);
            op.held = HERE;
            // A request is far below 4 GiB: its limit is, and a single larger record came in a payload below it.
            (op.item.start, op.item.end) = (start as u32, self.bytes.len() as u32);
            self.operations += 1;
        }
        self.charge.set(self.bytes.len());
    }

    /// The bytes, to be sent; the caller has the operations, and charges for what it keeps.
    pub fn finish(&mut self) -> Vec<u8> {
        self.last_bytes = self.bytes.len();
        self.operations = 0;
        self.charge.set(0);
        std::mem::take(&mut self.bytes)
    }

    /// Gives every operation in here its bytes in a place of the store: they are fresh ones like all others.
    pub fn dissolve(&mut self, fresh: &mut VecDeque<Op>, held: &mut Store<Arc<HeldBytes>>) {
        let operations = std::mem::take(&mut self.operations);
        if operations == 0 {
            return;
        }
        let charge = self.charge.another(self.bytes.len());
        self.charge.set(0);
        let bytes = std::mem::take(&mut self.bytes);
        let place = held.insert(HeldBytes::new(bytes.into(), charge), operations as u32);
        fresh.iter_mut().take(operations).for_each(|op| op.held = place);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::model::{Budget, Epoch, PartitionId, Ticket, TicketId, Wake};
    use crate::sink::elasticsearch::batch::{Chunk, OpenBatch};
    use crate::sink::elasticsearch::bulk::ItemAction;
    use crate::sink::elasticsearch::fixtures::{TERMS, good, item};
    use crate::sink::elasticsearch::lane::{Lane, LaneRules};
    use crate::sink::elasticsearch::op::Pace;

    const EPOCHS: [Epoch; 2] = [Epoch(1), Epoch(2)];

    fn lane(budget: &Arc<Budget>) -> Lane {
        let rules = LaneRules {
            records: 3,
            bytes: 1_000,
            linger: std::time::Duration::ZERO,
            terms: TERMS,
            needs_original: false,
        };
        Lane::new(rules, budget.charge(0))
    }

    /// Entries `aa`, `bb`, … of alternating epochs.
    fn chunk(budget: &Arc<Budget>, first: u8, count: u8) -> Chunk {
        let payload: Vec<u8> = (first..first + count).flat_map(|at| [b'a' + at; 2]).collect();
        let items: Vec<_> = (0..count)
            .map(|at| {
                let epoch = EPOCHS[usize::from(first + at) % 2];
                let ticket = Ticket { id: TicketId(epoch.0), slot: PartitionId(0), epoch };
                let start = usize::from(at) * 2;
                item(ticket, i64::from(first + at), u32::from(first + at), start..start + 2, ItemAction::Index)
            })
            .collect();
        let now = Instant::now();
        let batch = OpenBatch::new(&items, None, budget.charge(0), 0, now, now, None);
        let charge = budget.charge(payload.len());
        Chunk { batch, payload: HeldBytes::new(payload.into(), charge), items }
    }

    fn budget() -> Arc<Budget> {
        Budget::new(1 << 20, Arc::new(Wake::default()))
    }

    #[test]
    fn a_request_is_there_when_its_operations_are() {
        let budget = budget();
        let mut lane = lane(&budget);
        lane.push(chunk(&budget, 0, 2));
        lane.push(chunk(&budget, 2, 4));
        assert_eq!((lane.forming.operations(), budget.used()), (3, 6 + 8), "the second payload is still needed");
        let mut bodies = Vec::new();
        while let Some(request) = lane.next(true, &|_| true) {
            bodies.push(request.body.to_vec());
            assert_eq!(lane.answered(&good(request.records)), Pace::Go);
        }
        assert_eq!(bodies, [b"aabbcc".to_vec(), b"ddeeff".to_vec()]);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn what_is_fenced_is_left_out_of_it() {
        for purged in [false, true] {
            let budget = budget();
            let mut lane = lane(&budget);
            lane.push(chunk(&budget, 0, 3));
            let current = |ticket: Ticket| ticket.epoch == EPOCHS[0];
            if purged {
                lane.purge(false, &current);
                assert_eq!(lane.forming.operations(), 0);
            }
            let request = lane.next(true, &current).expect("two are left");
            assert_eq!((&request.body[..], request.records), (&b"aacc"[..], 2));
            lane.push(chunk(&budget, 3, 2));
            assert_eq!(lane.answered(&good(2)), Pace::Go);
            let request = lane.next(true, &current).expect("one more");
            assert_eq!(&request.body[..], b"ee");
        }
    }

    #[test]
    fn a_smaller_limit_splits_it() {
        let budget = budget();
        let mut lane = lane(&budget);
        lane.push(chunk(&budget, 0, 3));
        lane.cap_bytes(4);
        let request = lane.next(true, &|_| true).expect("a part");
        assert_eq!(&request.body[..], b"aabb");
    }
}
