//! Chains: the operations of one document id behind one that must be sent again. Pure.
//!
//! An operation is not settled while an earlier one of its id is unsettled; when an earlier one is sent again, every
//! later one that was sent is sent again after it, and only the answer to the last sending counts.

use std::collections::{BTreeMap, VecDeque};

use crate::model::Place;
use crate::mutants::{self, Mutant};

use super::op::{Op, OpEnd};

/// How an operation that was sent stands.
#[derive(Debug)]
pub enum OpState {
    /// It must be sent (again).
    Again,
    /// Its last sending was answered for good; it waits for earlier ones of its id.
    Final(OpEnd),
}

/// A sent operation in a chain.
#[derive(Debug)]
pub struct ChainLink {
    /// The operation.
    pub op: Op,
    /// Its last answer.
    pub standing: OpState,
}

/// The unsettled operations of one id, in order: those sent before, then those not sent yet.
#[derive(Debug, Default)]
pub struct Chain {
    /// Sent at least once. Empty while they are all in the lane's current request.
    pub sent: VecDeque<ChainLink>,
    /// Not sent: they wait, so that a chain is not sent over and over.
    pub waiting: VecDeque<Op>,
}

/// All chains of a lane, by id hash.
#[derive(Debug, Default)]
pub struct Chains {
    by_id: BTreeMap<u64, Chain>,
    /// Where the next request starts taking, so that a stuck chain does not starve the others.
    cursor: u64,
    links: usize,
}

impl Chains {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Operations to send again.
    #[must_use]
    pub fn links(&self) -> usize {
        self.links
    }

    /// Puts a not yet sent operation behind the chain of its id; gives it back when there is none.
    pub fn wait_behind(&mut self, op: Op) -> Option<Op> {
        match self.by_id.get_mut(&op.item.id_hash) {
            Some(chain) => {
                chain.waiting.push_back(op);
                None
            }
            None => Some(op),
        }
    }

    /// Whether the operation at `place` must be sent again.
    #[must_use]
    pub fn holds(&self, id_hash: u64, place: Place) -> bool {
        let again = |link: &ChainLink| link.op.item.place == place && matches!(link.standing, OpState::Again);
        self.by_id.get(&id_hash).is_some_and(|chain| chain.sent.iter().any(again))
    }

    /// Puts links of one id, just answered, before what is left of its chain.
    pub fn put_back(&mut self, id_hash: u64, links: Vec<ChainLink>) {
        self.links += links.len();
        let chain = self.by_id.entry(id_hash).or_default();
        for link in links.into_iter().rev() {
            chain.sent.push_front(link);
        }
    }

    /// Takes what fits of the links to send again, whole chains first come first served; `take` says no when the
    /// request is full. What stays behind of a chain that was cut must be sent again, whatever its last answer was.
    /// Returns the ids taken from.
    pub fn draw(&mut self, mut take: impl FnMut(Op) -> Result<(), Op>) -> Vec<u64> {
        let mut drawn = Vec::new();
        let order: Vec<u64> =
            self.by_id.range(self.cursor..).chain(self.by_id.range(..self.cursor)).map(|(id, _)| *id).collect();
        for id in order {
            let Some(chain) = self.by_id.get_mut(&id) else { continue };
            let before = chain.sent.len();
            let mut full = false;
            while let Some(link) = chain.sent.pop_front() {
                if let Err(op) = take(link.op) {
                    chain.sent.push_front(ChainLink { op, standing: link.standing });
                    full = true;
                    break;
                }
            }
            let taken = before - chain.sent.len();
            self.links -= taken;
            if taken > 0 {
                drawn.push(id);
                for link in &mut chain.sent {
                    link.standing = OpState::Again;
                }
            }
            if full {
                self.cursor = id;
                break;
            }
        }
        drawn
    }

    /// Ends the chain of `id_hash` when nothing of it is left to send again: what waited behind it.
    pub fn dissolve(&mut self, id_hash: u64) -> VecDeque<Op> {
        match self.by_id.get(&id_hash) {
            Some(chain) if chain.sent.is_empty() => {
                self.by_id.remove(&id_hash).map(|chain| chain.waiting).unwrap_or_default()
            }
            Some(_) | None => VecDeque::new(),
        }
    }

    /// Ends the chain of `id_hash` whatever is in it: all its operations, in order, to be sent anew.
    pub fn break_up(&mut self, id_hash: u64) -> VecDeque<Op> {
        let Some(chain) = self.by_id.remove(&id_hash) else { return VecDeque::new() };
        self.links -= chain.sent.len();
        chain.sent.into_iter().map(|link| link.op).chain(chain.waiting).collect()
    }

    /// Drops what `wanted` refuses, then settles what stands at the head of a chain with a final answer. `on_wire` are
    /// ids with operations in the current request: those come before everything here, so nothing of them is settled.
    /// Returns what waited behind chains that ended.
    pub fn purge(
        &mut self,
        on_wire: &[u64],
        wanted: &mut dyn FnMut(&Op) -> bool,
        drop: &mut dyn FnMut(Op),
        end: &mut dyn FnMut(Op, OpEnd),
    ) -> VecDeque<Op> {
        let mut freed = VecDeque::new();
        self.by_id.retain(|id, chain| {
            let free_to_end = !on_wire.contains(id);
            let sent = std::mem::take(&mut chain.sent);
            for link in sent {
                match (link.standing, wanted(&link.op)) {
                    (_, false) => drop(link.op),
                    (OpState::Final(verdict), true) if free_to_end && chain.sent.is_empty() => end(link.op, verdict),
                    (standing, true) => chain.sent.push_back(ChainLink { op: link.op, standing }),
                }
            }
            for op in std::mem::take(&mut chain.waiting) {
                if wanted(&op) {
                    chain.waiting.push_back(op);
                } else {
                    drop(op);
                }
            }
            let over = free_to_end && chain.sent.is_empty() && !mutants::on(Mutant::FencedLeavesSuccessorsOpen);
            if over {
                freed.append(&mut chain.waiting);
            }
            !over
        });
        self.links = self.by_id.values().map(|chain| chain.sent.len()).sum();
        freed
    }
}
