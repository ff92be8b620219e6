//! Drops what the fence no longer lets pass, wherever in a lane it stands. Pure. Nobody settles what is dropped here:
//! the ledger forgot it when the fence moved.

use std::collections::VecDeque;

use crate::model::Ticket;

use super::body::{BulkBody, Fence};
use super::lane::Lane;
use super::op::Op;

impl Lane {
    /// Drops everything fenced; memory comes back. `on_wire`: the current request is with the server and stays whole.
    pub fn purge(&mut self, on_wire: bool, current: &dyn Fn(Ticket) -> bool) {
        let mut fence = Fence::new(current);
        self.purge_trial(&mut fence);
        if !on_wire {
            self.refresh(&mut fence);
        }
        // Mostly nothing is fenced: then the queue is only looked through.
        if !self.fresh.iter().all(|op| fence.wants(op)) {
            self.forming.dissolve(&mut self.fresh, &mut self.held);
            for op in std::mem::take(&mut self.fresh) {
                if fence.wants(&op) {
                    self.fresh.push_back(op);
                } else {
                    self.fresh_bytes -= op.item.bytes();
                    self.discard(op);
                }
            }
        }
        for mut segment in std::mem::take(&mut self.segments) {
            for op in std::mem::take(&mut segment.ops) {
                if fence.wants(&op) {
                    segment.ops.push_back(op);
                } else {
                    self.discard_tried(op, segment.trial);
                }
            }
            if !segment.ops.is_empty() {
                self.segments.push_back(segment);
            }
        }
        self.finish_trial_after_fence();
        if !self.chains.is_empty() {
            self.purge_chains(&mut fence);
        }
    }

    /// Found guilty, not filed yet, and fenced: the next read will find them again.
    pub(super) fn purge_trial(&mut self, fence: &mut Fence<'_>) {
        let Some(trial) = &mut self.trial else { return };
        let guilty = std::mem::take(&mut trial.guilty);
        let (wanted, fenced): (Vec<_>, Vec<_>) = guilty.into_iter().partition(|(op, _)| fence.wants(op));
        trial.guilty = wanted;
        for (op, _) in fenced {
            self.discard_tried(op, true);
        }
    }

    pub(super) fn purge_chains(&mut self, fence: &mut Fence<'_>) {
        let on_wire = self.current.as_ref().map_or(Vec::new(), |bulk| bulk.chained.clone());
        let (mut dropped, mut ended) = (Vec::new(), Vec::new());
        let freed =
            self.chains.purge(&on_wire, &mut |op| fence.wants(op), &mut |op| dropped.push(op), &mut |op, end| {
                ended.push((op, end))
            });
        for op in dropped {
            self.discard(op);
        }
        for (op, end) in ended {
            self.end(op, end);
        }
        self.put_first(freed, false);
    }

    /// Takes fenced operations out of the current request.
    pub(super) fn refresh(&mut self, fence: &mut Fence<'_>) {
        let Some(mut bulk) = self.current.take() else { return };
        if bulk.ops.iter().all(|op| fence.wants(op)) {
            self.current = Some(bulk);
            return;
        }
        let mut body = BulkBody::new(bulk.body.len(), &self.held);
        for op in std::mem::take(&mut bulk.ops) {
            if fence.wants(&op) {
                body.append(op);
            } else {
                body.dropped.push(op);
            }
        }
        let dropped = std::mem::take(&mut body.dropped);
        let (bytes, ops) = body.into_parts();
        let chained = std::mem::take(&mut bulk.chained);
        for op in dropped {
            self.discard_tried(op, bulk.trial);
        }
        if ops.is_empty() {
            let freed: VecDeque<Op> = chained.into_iter().flat_map(|id| self.chains.dissolve(id)).collect();
            self.put_first(freed, false);
            self.finish_trial_after_fence();
            return;
        }
        self.current = Some(self.seal(bytes, ops, bulk.trial, chained, bulk.failures));
    }
}
