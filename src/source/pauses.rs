//! Why partitions are paused. Pure: says which call the client needs; a failed call is asked for again.

use std::collections::BTreeMap;

use crate::model::PartitionId;
use crate::mutants::{self, Mutant};

/// A reason to pause a partition. The client is paused while there is any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PauseReason {
    /// The drip hold is full: all partitions.
    Hold,
    /// Too many records between the first unresolved and the last read.
    Span,
    /// Waits out a rewind's backoff.
    Rewind,
    /// Past the mark of a bounded run.
    Until,
    /// The sink gave up; waits for it to answer a probe.
    Probe,
    /// Reading broke off at a batch that cannot be read.
    Damaged,
}

impl PauseReason {
    fn bit(self) -> u8 {
        match self {
            Self::Hold => 1,
            Self::Span => 2,
            Self::Rewind => 4,
            Self::Until => 8,
            Self::Probe => 16,
            Self::Damaged => 32,
        }
    }
}

#[derive(Debug, Default)]
struct Reasons {
    set: u8,
    told: ClientPause,
}

/// What the client was told.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum ClientPause {
    /// Nothing since the assignment. It may still be paused from an earlier one.
    #[default]
    Nothing,
    /// It did as told.
    To { pause: bool },
    /// It failed, or nobody knows. To be resumed it is paused first: a client that resumes what was not paused goes back to
    /// where it last was told to read from, and that may be anywhere.
    Unsure,
}

/// The pause reasons of every assigned partition.
#[derive(Debug, Default)]
pub struct Pauses {
    partitions: BTreeMap<PartitionId, Reasons>,
}

impl Pauses {
    /// A partition is assigned, with the reasons that hold for all. librdkafka never clears an application's pause by
    /// itself, so what it believes is unknown until it has been told.
    pub fn assign(&mut self, slot: PartitionId, all: &[PauseReason]) {
        let set = all.iter().fold(0, |set, reason| set | reason.bit());
        let survives = mutants::on(Mutant::PauseSurvivesARevoke);
        let told = if survives { ClientPause::To { pause: set != 0 } } else { ClientPause::Nothing };
        self.partitions.insert(slot, Reasons { set, told });
    }

    /// A partition is given up: its reasons end. Resume it at the client before it is unassigned.
    pub fn revoke(&mut self, slot: PartitionId) {
        self.partitions.remove(&slot);
    }

    /// Adds a reason.
    pub fn add(&mut self, slot: PartitionId, reason: PauseReason) {
        if reason == PauseReason::Rewind && mutants::on(Mutant::DrainDuringABackoff) {
            return;
        }
        if let Some(reasons) = self.partitions.get_mut(&slot) {
            reasons.set |= reason.bit();
        }
    }

    /// Takes a reason away.
    pub fn remove(&mut self, slot: PartitionId, reason: PauseReason) {
        if let Some(reasons) = self.partitions.get_mut(&slot) {
            reasons.set &= !reason.bit();
        }
    }

    /// Adds or takes away a reason for every partition.
    pub fn for_all(&mut self, reason: PauseReason, on: bool) {
        for reasons in self.partitions.values_mut() {
            if on {
                reasons.set |= reason.bit();
            } else {
                reasons.set &= !reason.bit();
            }
        }
    }

    /// Whether a partition has this reason.
    #[must_use]
    pub fn has(&self, slot: PartitionId, reason: PauseReason) -> bool {
        self.partitions.get(&slot).is_some_and(|reasons| reasons.set & reason.bit() != 0)
    }

    /// Whether a partition is to be paused.
    #[must_use]
    pub fn is_paused(&self, slot: PartitionId) -> bool {
        self.partitions.get(&slot).is_some_and(|reasons| reasons.set != 0)
    }

    /// Partitions the client must be told to pause.
    #[must_use]
    pub fn to_pause(&self) -> Vec<PartitionId> {
        self.slots_where(|reasons| match reasons.told {
            ClientPause::Nothing => reasons.set != 0,
            ClientPause::To { pause } => reasons.set != 0 && !pause,
            ClientPause::Unsure => true,
        })
    }

    /// Partitions the client must be told to resume.
    #[must_use]
    pub fn to_resume(&self) -> Vec<PartitionId> {
        self.slots_where(|reasons| match reasons.told {
            ClientPause::Nothing => reasons.set == 0,
            ClientPause::To { pause } => reasons.set == 0 && pause,
            ClientPause::Unsure => false,
        })
    }

    /// Whether a call has failed since the client last did as told.
    #[must_use]
    pub fn is_unsure(&self, slot: PartitionId) -> bool {
        self.partitions.get(&slot).is_some_and(|reasons| reasons.told == ClientPause::Unsure)
    }

    fn slots_where(&self, wanted: impl Fn(&Reasons) -> bool) -> Vec<PartitionId> {
        self.partitions.iter().filter(|(_, reasons)| wanted(reasons)).map(|(slot, _)| *slot).collect()
    }

    /// The client was told to pause or resume, and `did` so.
    pub fn told(&mut self, slot: PartitionId, pause: bool, did: bool) {
        if let Some(reasons) = self.partitions.get_mut(&slot) {
            reasons.told = if did { ClientPause::To { pause } } else { ClientPause::Unsure };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: PartitionId = PartitionId(0);
    const B: PartitionId = PartitionId(1);

    fn apply(pauses: &mut Pauses) -> (Vec<PartitionId>, Vec<PartitionId>) {
        let pause = pauses.to_pause();
        pause.iter().for_each(|slot| pauses.told(*slot, true, true));
        let resume = pauses.to_resume();
        resume.iter().for_each(|slot| pauses.told(*slot, false, true));
        (pause, resume)
    }

    #[test]
    fn the_client_is_told_when_the_set_becomes_empty_or_not() {
        let mut pauses = Pauses::default();
        pauses.assign(A, &[]);
        pauses.assign(B, &[PauseReason::Hold]);
        assert_eq!(apply(&mut pauses), (vec![B], vec![A]), "an assignment speaks once, either way");
        pauses.add(A, PauseReason::Span);
        pauses.add(A, PauseReason::Rewind);
        assert_eq!(apply(&mut pauses), (vec![A], vec![]));
        pauses.remove(A, PauseReason::Span);
        assert_eq!(apply(&mut pauses), (vec![], vec![]), "one reason is left");
        pauses.remove(A, PauseReason::Rewind);
        assert_eq!(apply(&mut pauses), (vec![], vec![A]));
    }

    #[test]
    fn a_failed_call_is_asked_for_again_and_a_revoke_ends_all_reasons() {
        let mut pauses = Pauses::default();
        pauses.assign(A, &[]);
        apply(&mut pauses);
        pauses.add(A, PauseReason::Probe);
        assert_eq!(pauses.to_pause(), [A]);
        assert_eq!(pauses.to_pause(), [A], "not told yet");
        pauses.revoke(A);
        pauses.assign(A, &[]);
        assert_eq!(apply(&mut pauses), (vec![], vec![A]), "assigned again: resumed, whatever was before");
        assert!(!pauses.is_paused(A));
    }

    /// A resume before a revoke failed, so did the pause after the next assignment, and then the reason went away.
    #[test]
    fn a_partition_is_resumed_unless_it_is_certain_that_it_runs() {
        let mut pauses = Pauses::default();
        pauses.assign(A, &[PauseReason::Hold]);
        pauses.told(A, true, false);
        assert!(pauses.is_unsure(A));
        pauses.for_all(PauseReason::Hold, false);
        assert_eq!(
            (pauses.to_pause(), pauses.to_resume()),
            (vec![A], vec![]),
            "what was not paused must not be resumed"
        );
        assert_eq!(apply(&mut pauses), (vec![A], vec![A]));
        assert!(!pauses.is_unsure(A));
        pauses.add(A, PauseReason::Span);
        pauses.told(A, true, false);
        pauses.remove(A, PauseReason::Span);
        assert_eq!(apply(&mut pauses), (vec![A], vec![A]), "the pause may have been done all the same");
        assert_eq!(apply(&mut pauses), (vec![], vec![]));
        pauses.told(A, false, false);
        assert_eq!(apply(&mut pauses), (vec![A], vec![A]), "a resume failed");
    }
}
