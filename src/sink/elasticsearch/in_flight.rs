//! Records in flight, counted: the source learns from it that nothing of a revoked partition is.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::model::PartitionId;

use super::lane::Tenure;

/// Records in flight by partition.
///
/// The rule that makes it exact: lanes count *before* they look at the fence, the source moves the fence *before* it
/// asks. Both go through one lock, so either the source sees the count, or the lane sees the new fence and does not
/// send.
#[derive(Debug, Default)]
pub struct InFlightCounts(Mutex<BTreeMap<PartitionId, u64>>);

impl InFlightCounts {
    /// Whether nothing of this partition is in flight. Asked after its fence was moved, a yes holds for every older
    /// epoch; what a client timeout left behind at the server cannot be known.
    #[must_use]
    pub fn is_quiet(&self, slot: PartitionId) -> bool {
        !self.lock().contains_key(&slot)
    }

    /// These records are about to be sent.
    pub(crate) fn add(&self, tenures: &[Tenure]) {
        let mut counts = self.lock();
        for tenure in tenures {
            *counts.entry(tenure.slot).or_default() += u64::from(tenure.records);
        }
    }

    /// They were answered, or were not sent after all.
    pub(crate) fn remove(&self, tenures: &[Tenure]) {
        let mut counts = self.lock();
        for tenure in tenures {
            let left = counts.get(&tenure.slot).map_or(0, |count| count.saturating_sub(u64::from(tenure.records)));
            if left == 0 {
                counts.remove(&tenure.slot);
            } else {
                counts.insert(tenure.slot, left);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<PartitionId, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Epoch;

    #[test]
    fn is_quiet_when_everything_counted_came_back() {
        let in_flight = InFlightCounts::default();
        let tenure = |slot, epoch, records| Tenure { slot: PartitionId(slot), epoch: Epoch(epoch), records };
        let both = [tenure(1, 1, 3), tenure(2, 1, 1)];
        let newer = [tenure(1, 2, 4)];
        in_flight.add(&both);
        in_flight.add(&newer);
        in_flight.remove(&both);
        assert!(!in_flight.is_quiet(PartitionId(1)) && in_flight.is_quiet(PartitionId(2)));
        in_flight.remove(&newer);
        assert!(in_flight.is_quiet(PartitionId(1)));
    }
}
