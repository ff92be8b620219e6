//! Puts a request's body together from where its entries lie. Pure.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::model::Ticket;
use crate::mutants::{self, Mutant};

use super::batch::HeldBytes;
use super::chain::Chains;
use super::lane::{LaneSegment, Tenure};
use super::op::Op;
use super::store::Store;

/// Counts a record into its partition's tenure.
pub(super) fn count_tenure(tenures: &mut Vec<Tenure>, ticket: Ticket) {
    let same = |tenure: &&mut Tenure| tenure.slot == ticket.slot && tenure.epoch == ticket.epoch;
    match tenures.iter_mut().rev().find(same) {
        Some(tenure) => tenure.records += 1,
        None => tenures.push(Tenure { slot: ticket.slot, epoch: ticket.epoch, records: 1 }),
    }
}

/// The fence with the last answer kept: neighbours mostly share a ticket.
pub(super) struct Fence<'a> {
    current: &'a dyn Fn(Ticket) -> bool,
    last: Option<(Ticket, bool)>,
}

impl<'a> Fence<'a> {
    pub fn new(current: &'a dyn Fn(Ticket) -> bool) -> Self {
        Self { current, last: None }
    }

    pub fn wants(&mut self, op: &Op) -> bool {
        let ticket = op.item.place.ticket;
        if let Some((last, wanted)) = self.last
            && last == ticket
        {
            return wanted;
        }
        let wanted = (self.current)(ticket) || mutants::on(Mutant::SendAfterARevoke);
        self.last = Some((ticket, wanted));
        wanted
    }
}

/// A body under construction.
pub(super) struct BulkBody<'a> {
    held: &'a Store<Arc<HeldBytes>>,
    bytes: Vec<u8>,
    ops: Vec<Op>,
    /// Fenced operations met on the way.
    pub dropped: Vec<Op>,
}

impl<'a> BulkBody<'a> {
    pub fn new(capacity: usize, held: &'a Store<Arc<HeldBytes>>) -> Self {
        Self { held, bytes: Vec::with_capacity(capacity), ops: Vec::new(), dropped: Vec::new() }
    }

    /// Goes on with operations whose bytes lie in `bytes`.
    pub fn resume(bytes: Vec<u8>, ops: Vec<Op>, held: &'a Store<Arc<HeldBytes>>) -> Self {
        Self { held, bytes, ops, dropped: Vec::new() }
    }

    /// Appends unless full; an empty body takes anything.
    pub fn offer(&mut self, op: Op, (records, bytes): (usize, usize)) -> Result<(), Op> {
        let full = self.ops.len() >= records || self.bytes.len() + op.item.bytes() > bytes;
        if full && !self.ops.is_empty() {
            return Err(op);
        }
        self.append(op);
        Ok(())
    }

    pub fn append(&mut self, mut op: Op) {
        let source = slice(self.held, &op);
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(source);
        op.item.start = start;
        op.item.end = self.bytes.len() as u32;
        self.ops.push(op);
    }

    pub fn into_parts(self) -> (Vec<u8>, Vec<Op>) {
        (self.bytes, self.ops)
    }
}

/// The bytes of an operation's entry.
pub(super) fn slice<'a>(held: &'a Store<Arc<HeldBytes>>, op: &Op) -> &'a [u8] {
    let span = op.item.start as usize..op.item.end as usize;
    held.get(op.held).and_then(|held| held.bytes.get(span)).unwrap_or_default()
}

/// Fills from segments in front that are (not) under trial. A segment under trial is filled from alone.
pub(super) fn fill(
    body: &mut BulkBody<'_>,
    segments: &mut VecDeque<LaneSegment>,
    chains: &mut Chains,
    limits: (usize, usize),
    fence: &mut Fence<'_>,
    trial: bool,
) {
    while let Some(segment) = segments.front_mut().filter(|segment| segment.trial == trial) {
        let full = fill_from(body, &mut segment.ops, chains, limits, fence).1;
        if segment.ops.is_empty() {
            segments.pop_front();
        }
        if full || trial {
            return;
        }
    }
}

/// Fills from fresh operations: the bytes taken away from them.
pub(super) fn fill_fresh(
    body: &mut BulkBody<'_>,
    fresh: &mut VecDeque<Op>,
    chains: &mut Chains,
    limits: (usize, usize),
    fence: &mut Fence<'_>,
) -> usize {
    fill_from(body, fresh, chains, limits, fence).0
}

/// Moves operations from `source` until the body is full: bytes taken away from `source`, and whether it is full.
fn fill_from(
    body: &mut BulkBody<'_>,
    source: &mut VecDeque<Op>,
    chains: &mut Chains,
    limits: (usize, usize),
    fence: &mut Fence<'_>,
) -> (usize, bool) {
    let mut taken = 0;
    while let Some(op) = source.pop_front() {
        let bytes = op.item.bytes();
        if !fence.wants(&op) {
            body.dropped.push(op);
        } else if let Some(op) =
            if chains.is_empty() || mutants::on(Mutant::RetryOutOfKeyOrder) { Some(op) } else { chains.wait_behind(op) }
            && let Err(op) = body.offer(op, limits)
        {
            source.push_front(op);
            return (taken, true);
        }
        taken += bytes;
    }
    (taken, false)
}
