//! What the sink remembers of records the broker refused, for their next reading. Pure.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;

use crate::model::{ItemPath, Offset, PartitionId, Place, Reject};

/// Guilty records remembered; beyond it the oldest is forgotten and will be judged by the broker again.
const GUILTY: usize = 4_096;
/// Suspect stretches per partition; beyond it the two lowest become one with what lies between them.
const STRETCHES: usize = 64;

/// What tells records and items of one partition apart, in their order.
type Key = (Offset, ItemPath);

/// Two memories of refused records, both bounded.
///
/// *Guilty* records are rejected at their next reading without being sent. They are known by offset, item and a print
/// of their bytes, for after a topic was recreated its offsets name other records. *Suspect* stretches are sent one
/// record a request.
#[derive(Default)]
pub(super) struct Suspects {
    guilty: HashMap<PartitionId, BTreeMap<Key, (u64, Reject)>>,
    order: VecDeque<(PartitionId, Key)>,
    stretches: HashMap<PartitionId, Vec<Stretch>>,
}

/// The first and the last suspect of a stretch.
type Stretch = (Key, Key);

impl Suspects {
    /// Whether nothing is remembered: then no record needs a look.
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty() && self.stretches.is_empty()
    }

    pub(super) fn condemn(&mut self, place: &Place, print: u64, reject: Reject) {
        let (slot, key) = (place.slot(), place.order());
        if self.guilty.entry(slot).or_default().insert(key, (print, reject)).is_none() {
            self.order.push_back((slot, key));
        }
        if self.order.len() > GUILTY
            && let Some((slot, oldest)) = self.order.pop_front()
            && let Some(of_slot) = self.guilty.get_mut(&slot)
        {
            of_slot.remove(&oldest);
        }
    }

    /// Why this record was refused before, if it was.
    pub(super) fn sentence(&self, place: &Place, print: impl FnOnce() -> u64) -> Option<&Reject> {
        let (known, reject) = self.guilty.get(&place.slot())?.get(&place.order())?;
        (*known == print()).then_some(reject)
    }

    /// The first record behind this one that may have to be treated differently.
    pub(super) fn next_change(&self, place: &Place) -> Option<Key> {
        let (slot, key) = (place.slot(), place.order());
        let behind = (Bound::Excluded(key), Bound::Unbounded);
        let guilty = self.guilty.get(&slot).and_then(|of_slot| of_slot.range(behind).next());
        let edges = self.stretches.get(&slot).into_iter().flatten();
        let edge = edges.flat_map(|(first, last)| [*first, next(*last)]).filter(|edge| *edge > key).min();
        guilty.map(|(at, _)| *at).into_iter().chain(edge).min()
    }

    /// This record is to be sent alone when it is read again.
    pub(super) fn suspect(&mut self, place: &Place) {
        let key = place.order();
        let stretches = self.stretches.entry(place.slot()).or_default();
        let touches = |(first, last): &&mut Stretch| first.0.0 - 1 <= key.0.0 && key.0.0 <= last.0.0 + 1;
        match stretches.iter_mut().find(touches) {
            Some((first, last)) => (*first, *last) = ((*first).min(key), (*last).max(key)),
            None => stretches.push((key, key)),
        }
        if stretches.len() > STRETCHES {
            stretches.sort_unstable();
            let (_, last) = stretches.remove(1);
            stretches[0].1 = last;
        }
    }

    pub(super) fn is_suspect(&self, place: &Place) -> bool {
        let stretches = self.stretches.get(&place.slot());
        stretches
            .is_some_and(|stretches| stretches.iter().any(|(first, last)| (*first..=*last).contains(&place.order())))
    }

    /// A record sent alone was answered: up to here the stretch is cleared.
    pub(super) fn cleared(&mut self, place: &Place) {
        let Some(stretches) = self.stretches.get_mut(&place.slot()) else { return };
        stretches.retain_mut(|(first, last)| {
            if *first <= place.order() {
                *first = next(place.order());
            }
            first <= last
        });
        if stretches.is_empty() {
            self.stretches.remove(&place.slot());
        }
    }
}

fn next((offset, item): Key) -> Key {
    (offset, item.successor())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Epoch, RejectReason, Ticket, TicketId};

    fn reject() -> Reject {
        Reject::new(RejectReason::Refused, &"sink".into(), "no")
    }

    fn of_slot(slot: u32, offset: i64) -> Place {
        let ticket = Ticket { id: TicketId(1), slot: PartitionId(slot), epoch: Epoch(1) };
        Place { ticket, offset: Offset(offset), item: ItemPath::WHOLE, index: 0 }
    }

    fn at(offset: i64) -> Place {
        of_slot(1, offset)
    }

    fn item(offset: i64, number: u32) -> Place {
        Place { item: ItemPath::WHOLE.below(number).expect("within bounds"), ..at(offset) }
    }

    #[test]
    fn guilt_needs_the_same_bytes_and_is_bounded() {
        let mut suspects = Suspects::default();
        suspects.condemn(&at(5), 77, reject());
        assert_eq!(suspects.sentence(&at(5), || 77), Some(&reject()));
        assert_eq!(suspects.sentence(&at(5), || 78), None);
        assert_eq!(suspects.sentence(&item(5, 0), || 77), None);
        assert_eq!(suspects.sentence(&of_slot(2, 5), || 77), None);
        for offset in 0..GUILTY as i64 {
            suspects.condemn(&at(100 + offset), 1, reject());
        }
        assert_eq!(suspects.sentence(&at(5), || 77), None, "the oldest went");
        assert_eq!((suspects.guilty[&PartitionId(1)].len(), suspects.order.len()), (GUILTY, GUILTY));
    }

    #[test]
    fn a_stretch_holds_until_its_last_record_was_answered() {
        let mut suspects = Suspects::default();
        for offset in [10, 11, 12, 20] {
            suspects.suspect(&at(offset));
        }
        assert!(suspects.is_suspect(&at(11)) && !suspects.is_suspect(&at(13)));
        suspects.cleared(&at(11));
        let held: Vec<i64> = (0..30).filter(|offset| suspects.is_suspect(&at(*offset))).collect();
        assert_eq!(held, [12, 20]);
        suspects.cleared(&at(20));
        assert!(suspects.is_empty());
    }

    #[test]
    fn an_answered_item_does_not_clear_the_next_of_its_record() {
        let mut suspects = Suspects::default();
        for number in [1, 4] {
            suspects.suspect(&item(7, number));
        }
        suspects.cleared(&item(7, 1));
        let held: Vec<u32> = (0..9).filter(|number| suspects.is_suspect(&item(7, *number))).collect();
        assert_eq!(held, [2, 3, 4]);
        suspects.condemn(&item(7, 6), 1, reject());
        let changes = [0, 3, 5].map(|number| suspects.next_change(&item(7, number)));
        let expected = [next(item(7, 1).order()), next(item(7, 4).order()), item(7, 6).order()];
        assert_eq!(changes, expected.map(Some));
        suspects.cleared(&item(7, 4));
        assert!(suspects.stretches.is_empty());
    }

    #[test]
    fn the_next_change_is_a_guilty_record_or_the_edge_of_a_stretch() {
        let mut suspects = Suspects::default();
        assert_eq!(suspects.next_change(&at(0)), None);
        suspects.condemn(&at(30), 1, reject());
        for offset in [10, 11, 12] {
            suspects.suspect(&at(offset));
        }
        let behind = (Offset(12), ItemPath::WHOLE.successor());
        for (offset, change) in [(0, at(10).order()), (10, behind), (12, behind), (13, at(30).order())] {
            assert_eq!(suspects.next_change(&at(offset)), Some(change), "{offset}");
        }
        assert_eq!(suspects.next_change(&at(30)), None);
    }

    #[test]
    fn many_stretches_become_fewer_and_still_hold_every_suspect() {
        let mut suspects = Suspects::default();
        let offsets: Vec<i64> = (0..500).map(|step| step * 10).collect();
        for offset in &offsets {
            suspects.suspect(&at(*offset));
        }
        assert!(offsets.iter().all(|offset| suspects.is_suspect(&at(*offset))));
        assert!(suspects.stretches[&PartitionId(1)].len() <= STRETCHES);
    }
}
