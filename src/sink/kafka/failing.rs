//! Records that fail again and again while others are acknowledged, by partition of the input. Pure.
//!
//! A failed record takes its partition back and is sent again, so it is its partition's lowest failing offset that
//! stands for it; what lies behind fails with it, or is acknowledged and comes again.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::model::{ItemPath, Offset, PartitionId, Place};

/// A record that has failed for this long is named.
const NAMED_AFTER: Duration = Duration::from_secs(5);
/// Without another failure for this long a record is not failing any more: its partition may have gone elsewhere.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Failing {
    slots: HashMap<PartitionId, Standing>,
}

#[derive(Debug)]
struct Standing {
    at: (Offset, ItemPath),
    since: Instant,
    last: Instant,
    said: String,
}

impl Failing {
    /// A record failed, for the reason that `said` tells.
    pub(super) fn failed(&mut self, place: &Place, now: Instant, said: impl FnOnce() -> String) {
        let at = place.order();
        match self.slots.get_mut(&place.slot()) {
            Some(standing) if standing.at == at => standing.last = now,
            Some(standing) if standing.at < at => {}
            Some(_) | None => {
                self.slots.insert(place.slot(), Standing { at, since: now, last: now, said: said() });
            }
        }
    }

    /// A record was acknowledged or rejected.
    pub(super) fn ended(&mut self, place: &Place) {
        let is_it = |standing: &Standing| standing.at == place.order();
        if !self.slots.is_empty() && self.slots.get(&place.slot()).is_some_and(is_it) {
            self.slots.remove(&place.slot());
        }
    }

    /// What has failed for long, with the reason: the record that has failed longest.
    pub(super) fn named(&mut self, now: Instant) -> Option<(PartitionId, Offset, &str)> {
        self.slots.retain(|_, standing| now.saturating_duration_since(standing.last) < FORGOTTEN_AFTER);
        let (slot, oldest) = self.slots.iter().min_by_key(|(_, standing)| standing.since)?;
        let long = now.saturating_duration_since(oldest.since) >= NAMED_AFTER;
        long.then_some((*slot, oldest.at.0, oldest.said.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Epoch, Ticket, TicketId};

    fn place(slot: u32, offset: i64, item: u32) -> Place {
        let ticket = Ticket { id: TicketId(1), slot: PartitionId(slot), epoch: Epoch(1) };
        let item = ItemPath::WHOLE.below(item).expect("within bounds");
        Place { ticket, offset: Offset(offset), item, index: 0 }
    }

    #[test]
    fn a_record_is_named_when_it_has_failed_for_five_seconds_and_until_it_is_acknowledged() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut failing = Failing::default();
        for second in 0..5 {
            failing.failed(&place(1, 7, 0), at(second), || "no".into());
            failing.failed(&place(1, 8, 0), at(second), || "behind it".into());
            failing.ended(&place(1, 9, 0));
            failing.ended(&place(1, 7, 1));
            assert_eq!(failing.named(at(second)), None);
        }
        assert_eq!(failing.named(at(5)), Some((PartitionId(1), Offset(7), "no")));
        failing.failed(&place(2, 1, 0), at(5), || "other".into());
        assert_eq!(failing.named(at(10)), Some((PartitionId(1), Offset(7), "no")), "the oldest");
        failing.ended(&place(1, 7, 0));
        assert_eq!(failing.named(at(10)), Some((PartitionId(2), Offset(1), "other")));
        assert_eq!(failing.named(at(65)), None, "nothing was heard of it for a minute");
        failing.failed(&place(1, 9, 0), at(70), || "x".into());
        failing.failed(&place(1, 3, 0), at(74), || "x".into());
        assert_eq!(failing.named(at(76)), None, "a lower one begins anew");
    }
}
