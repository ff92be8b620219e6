//! What the sink remembers of records the broker refused, for their next reading. Pure.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::model::{Offset, PartitionId, Reject};

/// Guilty records remembered; beyond it the oldest is forgotten and will be judged by the broker again.
const GUILTY: usize = 4_096;
/// Suspect stretches per partition; beyond it the two lowest become one with what lies between them.
const STRETCHES: usize = 64;

/// Two memories of refused records, both bounded.
///
/// *Guilty* records are rejected at their next reading without being sent. They are known by offset and by a print of
/// their bytes, for after a topic was recreated its offsets name other records. *Suspect* stretches of offsets are sent
/// one record a request.
#[derive(Default)]
pub(super) struct Suspects {
    guilty: HashMap<PartitionId, BTreeMap<i64, (u64, Reject)>>,
    order: VecDeque<(PartitionId, i64)>,
    stretches: HashMap<PartitionId, Vec<(i64, i64)>>,
}

impl Suspects {
    /// Whether nothing is remembered: then no record needs a look.
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty() && self.stretches.is_empty()
    }

    pub(super) fn condemn(&mut self, slot: PartitionId, Offset(offset): Offset, print: u64, reject: Reject) {
        if self.guilty.entry(slot).or_default().insert(offset, (print, reject)).is_none() {
            self.order.push_back((slot, offset));
        }
        if self.order.len() > GUILTY
            && let Some((slot, oldest)) = self.order.pop_front()
            && let Some(of_slot) = self.guilty.get_mut(&slot)
        {
            of_slot.remove(&oldest);
        }
    }

    /// Why this record was refused before, if it was.
    pub(super) fn sentence(
        &self,
        slot: PartitionId,
        Offset(offset): Offset,
        print: impl FnOnce() -> u64,
    ) -> Option<&Reject> {
        let (known, reject) = self.guilty.get(&slot)?.get(&offset)?;
        (*known == print()).then_some(reject)
    }

    /// The first offset above this one that may have to be treated differently.
    pub(super) fn next_change(&self, slot: PartitionId, Offset(offset): Offset) -> i64 {
        let guilty = self.guilty.get(&slot).and_then(|of_slot| of_slot.range(offset.saturating_add(1)..).next());
        let edges = self.stretches.get(&slot).into_iter().flatten().flat_map(|(first, last)| [*first, *last + 1]);
        let edge = edges.filter(|edge| *edge > offset).min();
        guilty.map(|(at, _)| *at).into_iter().chain(edge).min().unwrap_or(i64::MAX)
    }

    /// This record is to be sent alone when it is read again.
    pub(super) fn suspect(&mut self, slot: PartitionId, Offset(offset): Offset) {
        let stretches = self.stretches.entry(slot).or_default();
        match stretches.iter_mut().find(|(first, last)| *first - 1 <= offset && offset <= *last + 1) {
            Some((first, last)) => (*first, *last) = ((*first).min(offset), (*last).max(offset)),
            None => stretches.push((offset, offset)),
        }
        if stretches.len() > STRETCHES {
            stretches.sort_unstable();
            let (_, last) = stretches.remove(1);
            stretches[0].1 = last;
        }
    }

    pub(super) fn is_suspect(&self, slot: PartitionId, Offset(offset): Offset) -> bool {
        self.stretches
            .get(&slot)
            .is_some_and(|stretches| stretches.iter().any(|(first, last)| (*first..=*last).contains(&offset)))
    }

    /// A record sent alone was answered: up to here the stretch is cleared.
    pub(super) fn cleared(&mut self, slot: PartitionId, Offset(offset): Offset) {
        let Some(stretches) = self.stretches.get_mut(&slot) else { return };
        stretches.retain_mut(|(first, last)| {
            if *first <= offset {
                *first = offset + 1;
            }
            first <= last
        });
        if stretches.is_empty() {
            self.stretches.remove(&slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RejectReason;

    const SLOT: PartitionId = PartitionId(1);

    fn reject() -> Reject {
        Reject::new(RejectReason::Refused, &"sink".into(), "no")
    }

    #[test]
    fn guilt_needs_the_same_bytes_and_is_bounded() {
        let mut suspects = Suspects::default();
        suspects.condemn(SLOT, Offset(5), 77, reject());
        assert_eq!(suspects.sentence(SLOT, Offset(5), || 77), Some(&reject()));
        assert_eq!(suspects.sentence(SLOT, Offset(5), || 78), None);
        assert_eq!(suspects.sentence(PartitionId(2), Offset(5), || 77), None);
        for offset in 0..GUILTY as i64 {
            suspects.condemn(SLOT, Offset(100 + offset), 1, reject());
        }
        assert_eq!(suspects.sentence(SLOT, Offset(5), || 77), None, "the oldest went");
        assert_eq!((suspects.guilty[&SLOT].len(), suspects.order.len()), (GUILTY, GUILTY));
    }

    #[test]
    fn a_stretch_holds_until_its_last_record_was_answered() {
        let mut suspects = Suspects::default();
        for offset in [10, 11, 12, 20] {
            suspects.suspect(SLOT, Offset(offset));
        }
        assert!(suspects.is_suspect(SLOT, Offset(11)) && !suspects.is_suspect(SLOT, Offset(13)));
        suspects.cleared(SLOT, Offset(11));
        let held: Vec<i64> = (0..30).filter(|offset| suspects.is_suspect(SLOT, Offset(*offset))).collect();
        assert_eq!(held, [12, 20]);
        suspects.cleared(SLOT, Offset(20));
        assert!(suspects.is_empty());
    }

    #[test]
    fn the_next_change_is_a_guilty_record_or_the_edge_of_a_stretch() {
        let mut suspects = Suspects::default();
        assert_eq!(suspects.next_change(SLOT, Offset(0)), i64::MAX);
        suspects.condemn(SLOT, Offset(30), 1, reject());
        for offset in [10, 11, 12] {
            suspects.suspect(SLOT, Offset(offset));
        }
        let changes = [0, 10, 12, 13, 29, 30].map(|offset| suspects.next_change(SLOT, Offset(offset)));
        assert_eq!(changes, [10, 13, 13, 30, 30, i64::MAX]);
    }

    #[test]
    fn many_stretches_become_fewer_and_still_hold_every_suspect() {
        let mut suspects = Suspects::default();
        let offsets: Vec<i64> = (0..500).map(|step| step * 10).collect();
        for offset in &offsets {
            suspects.suspect(SLOT, Offset(*offset));
        }
        assert!(offsets.iter().all(|offset| suspects.is_suspect(SLOT, Offset(*offset))));
        assert!(suspects.stretches[&SLOT].len() <= STRETCHES);
    }
}
