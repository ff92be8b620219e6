//! A lane: the operations of some document ids, in order, one request in flight. Pure: no clock, no I/O.
//!
//! What is sent next, first to last: the request that must be repeated as it was; the parts of a request under trial
//! (one line of it spoils all), each alone; operations to send again, in key order; operations put back by a split;
//! fresh ones. Operations of an id that has one to send again wait behind it in a [`Chains`]. Fenced operations are
//! dropped wherever they stand, before every send and re-send; nobody settles them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::model::{Charge, Epoch, PartitionId, Reject, Ticket};

use super::batch::{Chunk, HeldBytes, OpenBatch};
use super::body::{BulkBody, Fence, count_tenure, fill, fill_fresh};
use super::chain::Chains;
use super::forming::Forming;
use super::op::{Effects, ItemRefusal, Op, OpEnd, count_into};
use super::refused::RefusedItems;
use super::store::Store;
use super::target::Terms;

/// Settings of a lane.
#[derive(Debug, Clone, Copy)]
pub struct LaneRules {
    /// Most records in a request.
    pub records: usize,
    /// Most bytes in a request; a single larger record still goes, alone.
    pub bytes: usize,
    /// How long a request waits for more while nothing is in flight.
    pub linger: Duration,
    /// What faults of the target do.
    pub terms: Terms,
    /// Whether a rejected record's original is needed.
    pub needs_original: bool,
}

/// A request to send now.
pub struct Request {
    /// Its body.
    pub body: Bytes,
    /// Its records.
    pub records: u32,
    /// Whose records, for the count of what is in flight.
    pub tenures: Vec<Tenure>,
}

/// Records of one epoch of one partition inside a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tenure {
    /// The partition.
    pub slot: PartitionId,
    /// The epoch.
    pub epoch: Epoch,
    /// How many records.
    pub records: u32,
}

/// When a lane has something to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ready {
    /// Now.
    Now,
    /// Not before this, unless more arrives.
    At(Instant),
    /// Nothing to send.
    Idle,
}

pub(super) struct LaneSegment {
    pub ops: VecDeque<Op>,
    pub trial: bool,
}

/// The request being sent, or to be repeated.
pub(super) struct Bulk {
    pub ops: Vec<Op>,
    pub body: Bytes,
    pub trial: bool,
    /// Ids whose chain is (partly) in here.
    pub chained: Vec<u64>,
    /// Failed sendings of this request.
    pub failures: u32,
}

/// A request one line of which spoils all, while its parts are tried.
pub(super) struct Trial {
    pub total: usize,
    pub good: bool,
    /// Whether the server's error names a parse fault; a bare 500 does not.
    pub certain: bool,
    pub guilty: Vec<(Op, Reject)>,
}

/// See the module.
pub struct Lane {
    pub(super) rules: LaneRules,
    /// Learnt from 413.
    pub(super) ceiling: usize,
    pub(super) fresh: VecDeque<Op>,
    pub(super) fresh_bytes: usize,
    pub(super) forming: Forming,
    pub(super) segments: VecDeque<LaneSegment>,
    pub(super) chains: Chains,
    pub(super) current: Option<Bulk>,
    pub(super) trial: Option<Trial>,
    pub(super) refused: Option<RefusedItems>,
    pub(super) batches: Store<Arc<OpenBatch>>,
    pub(super) held: Store<Arc<HeldBytes>>,
    pub(super) effects: Effects,
    /// A charge of nothing on the pipeline's budget: the source of others.
    pub(super) purse: Charge,
}

impl Lane {
    /// An empty lane; bodies are charged to the budget of `purse`.
    #[must_use]
    pub fn new(rules: LaneRules, purse: Charge) -> Self {
        Self {
            rules,
            ceiling: rules.bytes.max(1),
            fresh: VecDeque::new(),
            fresh_bytes: 0,
            forming: Forming::new(purse.another(0)),
            segments: VecDeque::new(),
            chains: Chains::default(),
            current: None,
            trial: None,
            refused: None,
            batches: Store::default(),
            held: Store::default(),
            effects: Effects::default(),
            purse,
        }
    }

    /// Takes a batch's share.
    pub fn push(&mut self, chunk: Chunk) {
        let Ok(count) = u32::try_from(chunk.items.len()) else { return };
        if count == 0 {
            return;
        }
        let batch = self.batches.insert(chunk.batch, count);
        let held = self.held.insert(chunk.payload, count);
        self.fresh.extend(chunk.items.into_iter().map(|item| {
            self.fresh_bytes += item.bytes();
            Op { item, batch, held, attempts: 0 }
        }));
        if self.is_plain() {
            let limits = (self.rules.records, self.limit_bytes());
            self.forming.take(&mut self.fresh, &mut self.held, limits);
        }
    }

    /// Whether the next request consists of fresh operations in their order, whatever they are.
    fn is_plain(&self) -> bool {
        self.segments.is_empty() && self.chains.is_empty()
    }

    /// What was decided since the last call.
    pub fn take_effects(&mut self) -> Effects {
        let mut effects = std::mem::take(&mut self.effects);
        effects.merge_parts();
        effects
    }

    /// No request may be larger than this from now on: the server, or another lane, learnt it from 413.
    pub fn cap_bytes(&mut self, bytes: usize) {
        self.ceiling = self.ceiling.min(bytes.max(1));
    }

    /// See [`Lane::cap_bytes`].
    #[must_use]
    pub fn ceiling(&self) -> usize {
        self.ceiling
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Whether something waits to be sent again.
    #[must_use]
    pub fn has_residue(&self) -> bool {
        self.chains.links() > 0
    }

    /// Open batches.
    pub fn batches(&self) -> impl Iterator<Item = &Arc<OpenBatch>> {
        self.batches.iter()
    }

    /// When there is something to send, while nothing is in flight. Operations to send again wait until `residue_due`;
    /// `flush` does not wait for more.
    #[must_use]
    pub fn ready(&self, now: Instant, residue_due: Instant, flush: bool) -> Ready {
        let under_trial = self.segments.front().is_some_and(|segment| segment.trial);
        if self.current.is_some() || under_trial || (self.chains.links() > 0 && residue_due <= now) {
            return Ready::Now;
        }
        let residue = if self.chains.links() > 0 { Ready::At(residue_due) } else { Ready::Idle };
        if self.is_stuck() {
            return residue;
        }
        if !self.segments.is_empty() {
            return Ready::Now;
        }
        let Some(first) = self.fresh.front() else { return residue };
        if flush || self.fresh.len() >= self.rules.records || self.fresh_bytes >= self.limit_bytes() {
            return Ready::Now;
        }
        let due = self.batches.get(first.batch).map_or(now, |batch| batch.arrived + self.rules.linger);
        match residue {
            _ if due <= now => Ready::Now,
            Ready::At(residue_due) => Ready::At(due.min(residue_due)),
            Ready::Now | Ready::Idle => Ready::At(due),
        }
    }

    /// A whole request's worth waits to be sent again: nothing fresh is added to it.
    fn is_stuck(&self) -> bool {
        self.chains.links() >= self.rules.records
    }

    pub(super) fn limit_bytes(&self) -> usize {
        self.rules.bytes.min(self.ceiling)
    }

    /// The request to send now: the current one without what was fenced since, or a new one. Nothing may be in flight.
    /// The caller must send it, and hand in the answer, or call again.
    pub fn next(&mut self, with_residue: bool, current: &dyn Fn(Ticket) -> bool) -> Option<Request> {
        let mut fence = Fence::new(current);
        let again = self.current.is_some();
        self.purge_trial(&mut fence);
        self.refresh(&mut fence);
        if self.current.is_none() {
            if !self.chains.is_empty() {
                self.purge_chains(&mut fence);
            }
            self.current = self.build(with_residue, &mut fence);
        }
        let bulk = self.current.as_mut()?;
        let mut tenures: Vec<Tenure> = Vec::new();
        for op in &mut bulk.ops {
            if op.attempts > 0 {
                self.effects.resent += 1;
            } else if let (false, Some(batch)) = (again, self.batches.get(op.batch)) {
                count_into(&mut self.effects.sent, batch);
            }
            op.attempts += 1;
            count_tenure(&mut tenures, op.item.place.ticket);
        }
        Some(Request { body: bulk.body.clone(), records: bulk.ops.len() as u32, tenures })
    }

    /// Puts operations before everything but the current request and the chains.
    pub(super) fn put_first(&mut self, ops: VecDeque<Op>, trial: bool) {
        if !ops.is_empty() {
            self.segments.push_front(LaneSegment { ops, trial });
        }
    }

    fn build(&mut self, with_residue: bool, fence: &mut Fence<'_>) -> Option<Bulk> {
        loop {
            let limits = (self.rules.records, self.limit_bytes());
            let formed = self.take_formed(limits.1, fence);
            let mut body = match formed {
                Some((bytes, ops)) => BulkBody::resume(bytes, ops, &self.held),
                None => BulkBody::new(self.likely_bytes(limits), &self.held),
            };
            let mut chained = Vec::new();
            let trial = self.segments.front().is_some_and(|segment| segment.trial);
            if !trial {
                if with_residue && self.chains.links() > 0 {
                    chained = self.chains.draw(|op| body.offer(op, limits));
                }
                if !self.is_stuck() {
                    fill(&mut body, &mut self.segments, &mut self.chains, limits, fence, false);
                    if self.segments.is_empty() {
                        let taken = fill_fresh(&mut body, &mut self.fresh, &mut self.chains, limits, fence);
                        self.fresh_bytes -= taken;
                    }
                }
            } else {
                fill(&mut body, &mut self.segments, &mut self.chains, limits, fence, true);
            }
            let dropped = std::mem::take(&mut body.dropped);
            let (bytes, ops) = body.into_parts();
            for op in dropped {
                self.discard_tried(op, trial);
            }
            if !ops.is_empty() {
                return Some(self.seal(bytes, ops, trial, chained, 0));
            }
            if !trial {
                return None;
            }
            self.finish_trial_after_fence();
        }
    }

    /// What was put together while operations came in, if it may be sent as it is; otherwise its operations are fresh
    /// ones like all others.
    fn take_formed(&mut self, bytes: usize, fence: &mut Fence<'_>) -> Option<(Vec<u8>, Vec<Op>)> {
        let formed = self.forming.operations();
        let whole = self.is_plain()
            && formed > 0
            && self.forming.fits(bytes)
            && self.fresh.iter().take(formed).all(|op| fence.wants(op));
        if !whole {
            self.forming.dissolve(&mut self.fresh, &mut self.held);
            return None;
        }
        let bytes = self.forming.finish();
        self.fresh_bytes -= bytes.len();
        Some((bytes, self.fresh.drain(..formed).collect()))
    }

    /// What a request of fresh operations will hold, so that its buffer neither grows nor stays half empty.
    fn likely_bytes(&self, (records, bytes): (usize, usize)) -> usize {
        let mean = self.fresh_bytes / self.fresh.len().max(1);
        bytes.min(mean.saturating_mul(records)).min(self.fresh_bytes) + 4096
    }

    /// Makes a body the place its operations' bytes lie in; what they lay in before may go.
    pub(super) fn seal(
        &mut self,
        bytes: Vec<u8>,
        mut ops: Vec<Op>,
        trial: bool,
        chained: Vec<u64>,
        failures: u32,
    ) -> Bulk {
        let body = Bytes::from(bytes);
        self.rehold(&mut ops, body.clone());
        Bulk { ops, body, trial, chained, failures }
    }

    pub(super) fn rehold(&mut self, ops: &mut [Op], bytes: Bytes) {
        let charge = self.purse.another(bytes.len());
        let place = self.held.insert(HeldBytes::new(bytes, charge), ops.len() as u32);
        for op in ops {
            self.held.release(op.held);
            op.held = place;
        }
    }

    /// An operation has ended.
    pub(super) fn end(&mut self, op: Op, end: OpEnd) {
        let place = op.item.place;
        match end {
            OpEnd::Delivered | OpEnd::Superseded | OpEnd::Redirected(_) => {
                self.effects.taken(place, &end);
                #[cfg(test)]
                self.effects.delivered.push(place);
                if let Some(batch) = self.batches.get(op.batch) {
                    count_into(&mut self.effects.acknowledged, batch);
                }
            }
            OpEnd::Rejected(mut reject) => {
                reject.attempts = op.attempts;
                let batch = self.batches.get(op.batch).filter(|_| self.rules.needs_original);
                let original = batch.and_then(|batch| batch.original(place.index));
                self.effects.refusals.push(ItemRefusal { place, reject: *reject, original });
            }
        }
        self.discard(op);
    }

    /// An operation leaves without a word: ended already, or fenced.
    pub(super) fn discard(&mut self, op: Op) {
        if let Some(batch) = self.batches.get(op.batch) {
            batch.close(op.item.place.index);
        }
        self.effects.left += 1;
        self.effects.left_bytes += op.item.bytes() as i64;
        self.held.release(op.held);
        self.batches.release(op.batch);
    }

    pub(super) fn discard_tried(&mut self, op: Op, trial: bool) {
        if let (true, Some(trial)) = (trial, &mut self.trial) {
            trial.total = trial.total.saturating_sub(1);
        }
        self.discard(op);
    }
}
