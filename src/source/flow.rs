//! Whether records of a partition are taken, and what must be done before they are. Pure.

use std::time::{Duration, Instant};

use crate::model::Offset;

/// How soon a due seek is looked at again while the topic's id is in doubt.
pub(super) const SEEK_WHEN_ID_IS_KNOWN: Duration = Duration::from_millis(20);
/// How soon a due seek is looked at again while it is being asked where the log begins.
pub(super) const SEEK_WHEN_ANSWERED: Duration = Duration::from_millis(50);
/// The same when the question has only just been asked: an answer takes a round trip.
pub(super) const SEEK_ONCE_ASKED: Duration = Duration::from_millis(200);
/// How soon a seek that did not succeed is repeated. The client refuses one right after an assignment, and a slow
/// broker lets it run out of time; neither lasts.
pub(super) const SEEK_REPEATED: Duration = Duration::from_millis(20);

/// Whether records of a partition are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// They are.
    Reading {
        /// Of the seek before.
        proof: SeekProof,
    },
    /// The client must be sought, not before this: until that was done, whatever comes is destroyed.
    Seeking {
        /// Of the seek that is to be done.
        proof: SeekProof,
        /// When it is looked at.
        not_before: Instant,
    },
    /// The same, and the topic was made again: where its log begins is asked until it is known.
    MadeAgain {
        /// When the seek is looked at.
        not_before: Instant,
    },
    /// The partition is fenced, and goes back to the group when the sink has nothing of it on its way.
    GivenUp,
}

/// What is known of a seek. Its first record may lie above the target because there is nothing between, or because the
/// seek was lost: then it is done again, until two in a row begin at the same record. One repetition would not do:
/// where there is nothing at the target, the first seek looks lost although it was not, and the second may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeekProof {
    /// A record came at the target, or twice the same one above it.
    Given,
    /// Reading begins where the assignment said, which is never lost; a first record above that may be a gap.
    Assigned,
    /// No record has come yet.
    Awaited,
    /// This record came first, above the target; the seek is done again.
    Above(Offset),
}

/// What a seek that may be due needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeekStep {
    /// Nothing yet.
    Wait,
    /// The answer about its log, which is awaited.
    AwaitAnswer,
    /// That it is asked where its log begins.
    Ask,
    /// To be done.
    Seek,
}

/// What a record means for the seek before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// It may be taken.
    Taken,
    /// The same, and what it jumped over may have been removed by retention.
    AfterJump,
    /// The seek may have been lost: the record is destroyed, and the seek is done again.
    SeekAgain,
}

impl SeekProof {
    /// The first record came, above the target: whether that is proof enough.
    #[must_use]
    pub fn accepts(self, first: Offset) -> bool {
        match self {
            Self::Given | Self::Assigned => true,
            Self::Awaited => false,
            Self::Above(before) => first <= before,
        }
    }
}

impl Flow {
    /// The partition is assigned. `is_known`: the position that reading begins at is.
    #[must_use]
    pub fn assigned(is_known: bool) -> Self {
        Self::Reading { proof: if is_known { SeekProof::Assigned } else { SeekProof::Given } }
    }

    /// The partition goes back.
    pub fn go_back(&mut self, proof: SeekProof, not_before: Instant) {
        *self = match *self {
            Self::Reading { .. } | Self::Seeking { .. } => Self::Seeking { proof, not_before },
            Self::MadeAgain { .. } => Self::MadeAgain { not_before },
            Self::GivenUp => Self::GivenUp,
        };
    }

    /// The partition went back because its topic was made again.
    pub fn made_again(&mut self) {
        *self = match *self {
            Self::Seeking { not_before, .. } | Self::MadeAgain { not_before } => Self::MadeAgain { not_before },
            Self::Reading { proof } => Self::Reading { proof },
            Self::GivenUp => Self::GivenUp,
        };
    }

    /// The log is another one, and it is known where it begins: it is sought there at once, also where it was being
    /// read.
    pub fn log_is_known(&mut self, now: Instant) {
        *self = match *self {
            Self::Reading { .. } | Self::Seeking { .. } | Self::MadeAgain { .. } => {
                Self::Seeking { proof: SeekProof::Awaited, not_before: now }
            }
            Self::GivenUp => Self::GivenUp,
        };
    }

    /// The partition is read again from a place that could not be read, at once.
    pub fn read_again(&mut self, now: Instant) {
        *self = match *self {
            // A record that already came first once, above the target, needs to come but once more.
            Self::Reading { proof: proof @ (SeekProof::Awaited | SeekProof::Above(_)) }
            | Self::Seeking { proof, .. } => Self::Seeking { proof, not_before: now },
            Self::Reading { proof: SeekProof::Given | SeekProof::Assigned } => {
                Self::Seeking { proof: SeekProof::Awaited, not_before: now }
            }
            Self::MadeAgain { .. } => Self::MadeAgain { not_before: now },
            Self::GivenUp => Self::GivenUp,
        };
    }

    /// What its seek needs. `id_in_doubt`: an answer is awaited that may say that the topic was made again; `is_asked`:
    /// one about its log. A step that is not the last one is looked at again soon.
    pub fn seek_due(&mut self, has_position: bool, id_in_doubt: bool, is_asked: bool, now: Instant) -> SeekStep {
        let Some(not_before) = self.next_seek() else { return SeekStep::Wait };
        if not_before > now {
            return SeekStep::Wait;
        }
        let is_made_again = self.is_made_again();
        let (step, again) = if id_in_doubt {
            (SeekStep::Wait, SEEK_WHEN_ID_IS_KNOWN)
        } else if is_asked {
            (SeekStep::AwaitAnswer, SEEK_WHEN_ANSWERED)
        } else if is_made_again && has_position {
            (SeekStep::Ask, SEEK_ONCE_ASKED)
        } else {
            // Just assigned, or its broker is slow: the client answers `State` or a timeout, and is asked again soon.
            (SeekStep::Seek, SEEK_REPEATED)
        };
        let not_before = now + again;
        *self = match *self {
            Self::Seeking { proof, .. } => Self::Seeking { proof, not_before },
            Self::MadeAgain { .. } if step == SeekStep::Seek => Self::Seeking { proof: SeekProof::Awaited, not_before },
            Self::MadeAgain { .. } => Self::MadeAgain { not_before },
            Self::Reading { proof } => Self::Reading { proof },
            Self::GivenUp => Self::GivenUp,
        };
        step
    }

    /// The client was sought.
    pub fn sought(&mut self) {
        *self = match *self {
            Self::Seeking { proof, .. } | Self::Reading { proof } => Self::Reading { proof },
            Self::MadeAgain { not_before } => Self::MadeAgain { not_before },
            Self::GivenUp => Self::GivenUp,
        };
    }

    /// A record came at `first`; `jumps`: above the expected offset.
    pub fn arrived(&mut self, first: Offset, jumps: bool) -> Arrival {
        let (Self::Reading { proof } | Self::Seeking { proof, .. }) = self else { return Arrival::Taken };
        if jumps && !proof.accepts(first) {
            return Arrival::SeekAgain;
        }
        match std::mem::replace(proof, SeekProof::Given) {
            SeekProof::Assigned | SeekProof::Awaited | SeekProof::Above(_) if jumps => Arrival::AfterJump,
            SeekProof::Given | SeekProof::Assigned | SeekProof::Awaited | SeekProof::Above(_) => Arrival::Taken,
        }
    }

    /// When the seek is looked at next; `None` where there is none to do.
    #[must_use]
    pub fn next_seek(self) -> Option<Instant> {
        match self {
            Self::Seeking { not_before, .. } | Self::MadeAgain { not_before } => Some(not_before),
            Self::Reading { .. } | Self::GivenUp => None,
        }
    }

    /// Whether the topic was made again and it is not known where its log begins.
    #[must_use]
    pub fn is_made_again(self) -> bool {
        match self {
            Self::MadeAgain { .. } => true,
            Self::Reading { .. } | Self::Seeking { .. } | Self::GivenUp => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_record_above_the_target_counts_only_when_it_comes_twice() {
        let first = Offset(7);
        assert!(!SeekProof::Awaited.accepts(first), "the seek may have been lost");
        assert!(SeekProof::Above(first).accepts(first), "there is nothing between");
        assert!(SeekProof::Above(Offset(9)).accepts(first), "the first one was lost, this one was not");
        assert!(!SeekProof::Above(Offset(6)).accepts(first), "one of them was lost");
        assert!(SeekProof::Given.accepts(first), "a gap in the middle of the log");
        assert!(SeekProof::Assigned.accepts(first), "an assignment is never lost");
    }
}
