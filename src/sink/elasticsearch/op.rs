//! One operation inside a lane, and what comes out of a lane.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{Halt, Outcome, OwnedRecord, Part, Place, Reject};

use super::answer::Aside;
use super::batch::OpenBatch;
use super::bulk::BulkItem;
use super::store;
use super::verdict::Trouble;

/// One bulk entry on its way.
#[derive(Debug, Clone, Copy)]
pub struct Op {
    /// What it is; its span points into `held`.
    pub item: BulkItem,
    /// Its batch, in the lane's store.
    pub batch: store::StoreIndex,
    /// Where its bytes lie, in the lane's store.
    pub held: store::StoreIndex,
    /// How often it was sent.
    pub attempts: u32,
}

/// How an operation ended.
#[derive(Debug)]
pub enum OpEnd {
    /// Acknowledged.
    Delivered,
    /// The server had it or something newer.
    Superseded,
    /// The server took it and put it aside.
    Redirected(Aside),
    /// Refused for good.
    Rejected(Box<Reject>),
}

/// A rejected record on its way to the reject desk.
#[derive(Debug)]
pub struct ItemRefusal {
    /// Which record.
    pub place: Place,
    /// Why.
    pub reject: Reject,
    /// The original, when dead letters need it.
    pub original: Option<OwnedRecord>,
}

/// Records of one batch that were sent, or ended, together.
pub struct Group {
    /// The batch.
    pub batch: Arc<OpenBatch>,
    /// How many.
    pub records: u32,
}

/// What an answer says about the pace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pace {
    /// Go on.
    Go,
    /// Some items must be sent again.
    Residue {
        /// The server is busy: the lane should pause, not only the residue.
        overload: bool,
        /// An operator's fault holds some of them; the alert.
        alert: Option<String>,
    },
    /// The whole request must be sent again.
    Whole {
        /// Why.
        trouble: Trouble,
        /// For people; redacted.
        message: String,
    },
    /// Split: the next part can go at once.
    Split,
    /// Credentials refused.
    Refused(String),
    /// The pipeline cannot go on.
    Halt(Halt),
}

/// What a lane has decided since it was last asked.
#[derive(Default)]
pub struct Effects {
    /// Ended records, merged per ticket and outcome.
    pub parts: Vec<Part>,
    /// Rejected records.
    pub refusals: Vec<ItemRefusal>,
    /// Records that were taken and put aside; they are acknowledged too.
    pub redirected: Vec<(Place, Aside)>,
    /// Acknowledged records by batch, for latency.
    pub acknowledged: Vec<Group>,
    /// Records sent for the first time by batch, for latency.
    pub sent: Vec<Group>,
    /// Records that left the lane, whichever way.
    pub left: u32,
    /// Bytes of the records that left.
    pub left_bytes: i64,
    /// Records sent again.
    pub resent: u32,
    /// Items that carried an error, by status and known type: few kinds, whatever the server says.
    pub item_errors: BTreeMap<(u16, &'static str), u64>,
    /// The acknowledged records one by one, for tests.
    #[cfg(test)]
    pub delivered: Vec<Place>,
}

impl Effects {
    /// Counts one ended record; neighbours of one ticket share a part.
    pub fn part(&mut self, place: &Place, outcome: Outcome) {
        Part::add(&mut self.parts, place, outcome);
    }

    /// Counts a record the server has taken, or had.
    pub fn taken(&mut self, place: Place, end: &OpEnd) {
        let outcome = match end {
            OpEnd::Delivered => Outcome::Delivered,
            OpEnd::Superseded => Outcome::Superseded,
            OpEnd::Redirected(aside) => {
                self.redirected.push((place, *aside));
                Outcome::Redirected
            }
            OpEnd::Rejected(_) => return,
        };
        self.part(&place, outcome);
    }

    /// Merges parts of one ticket and outcome that were no neighbours.
    pub fn merge_parts(&mut self) {
        if self.parts.len() < 2 {
            return;
        }
        self.parts.sort_unstable_by_key(|part| (part.ticket.id, part.outcome, part.items_of));
        self.parts.dedup_by(|next, kept| kept.absorb(next));
    }
}

/// Counts a record into the group of its batch.
pub fn count_into(groups: &mut Vec<Group>, batch: &Arc<OpenBatch>) {
    match groups.last_mut() {
        Some(group) if Arc::ptr_eq(&group.batch, batch) => group.records += 1,
        _ => groups.push(Group { batch: batch.clone(), records: 1 }),
    }
}
