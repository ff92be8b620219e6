//! Records that fail again and again while others are acknowledged, by partition of the input. Pure.
//!
//! A failed record takes its partition back and is sent again, so it is its partition's lowest failing offset that
//! stands for it; what lies behind fails with it, or is acknowledged and comes again.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::model::{Offset, PartitionId};

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
    offset: Offset,
    since: Instant,
    last: Instant,
    said: String,
}

impl Failing {
    /// A record failed, for the reason that `said` tells.
    pub(super) fn failed(&mut self, slot: PartitionId, offset: Offset, now: Instant, said: impl FnOnce() -> String) {
        match self.slots.get_mut(&slot) {
            Some(standing) if standing.offset == offset => standing.last = now,
            Some(standing) if standing.offset < offset => {}
            Some(_) | None => {
                self.slots.insert(slot, Standing { offset, since: now, last: now, said: said() });
            }
        }
    }

    /// A record was acknowledged or rejected.
    pub(super) fn ended(&mut self, slot: PartitionId, offset: Offset) {
        if !self.slots.is_empty() && self.slots.get(&slot).is_some_and(|standing| standing.offset == offset) {
            self.slots.remove(&slot);
        }
    }

    /// What has failed for long, with the reason: the record that has failed longest.
    pub(super) fn named(&mut self, now: Instant) -> Option<(PartitionId, Offset, &str)> {
        self.slots.retain(|_, standing| now.saturating_duration_since(standing.last) < FORGOTTEN_AFTER);
        let (slot, oldest) = self.slots.iter().min_by_key(|(_, standing)| standing.since)?;
        let long = now.saturating_duration_since(oldest.since) >= NAMED_AFTER;
        long.then_some((*slot, oldest.offset, oldest.said.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_named_when_it_has_failed_for_five_seconds_and_until_it_is_acknowledged() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut failing = Failing::default();
        for second in 0..5 {
            failing.failed(PartitionId(1), Offset(7), at(second), || "no".into());
            failing.failed(PartitionId(1), Offset(8), at(second), || "behind it".into());
            failing.ended(PartitionId(1), Offset(9));
            assert_eq!(failing.named(at(second)), None);
        }
        assert_eq!(failing.named(at(5)), Some((PartitionId(1), Offset(7), "no")));
        failing.failed(PartitionId(2), Offset(1), at(5), || "other".into());
        assert_eq!(failing.named(at(10)), Some((PartitionId(1), Offset(7), "no")), "the oldest");
        failing.ended(PartitionId(1), Offset(7));
        assert_eq!(failing.named(at(10)), Some((PartitionId(2), Offset(1), "other")));
        assert_eq!(failing.named(at(65)), None, "nothing was heard of it for a minute");
        failing.failed(PartitionId(1), Offset(9), at(70), || "x".into());
        failing.failed(PartitionId(1), Offset(3), at(74), || "x".into());
        assert_eq!(failing.named(at(76)), None, "a lower one begins anew");
    }
}
