//! Why a partition is paused. Pure: says which call the client needs; a failed call is asked for again.

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

/// The pause reasons of one partition, and what the client was told.
#[derive(Debug, Default)]
pub struct Pauses {
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
    /// It failed, or nobody knows. To be resumed it is paused first: a client that resumes what was not paused goes
    /// back to where it last was told to read from, and that may be anywhere.
    Unsure,
}

impl Pauses {
    /// A partition is assigned, with the reasons that hold for all. librdkafka never clears an application's pause by
    /// itself, so what it believes is unknown until it has been told.
    #[must_use]
    pub fn assigned(all: &[PauseReason]) -> Self {
        let set = all.iter().fold(0, |set, reason| set | reason.bit());
        Self { set, told: ClientPause::Nothing }
    }

    /// Adds a reason.
    pub fn add(&mut self, reason: PauseReason) {
        self.set |= reason.bit();
    }

    /// Takes a reason away.
    pub fn remove(&mut self, reason: PauseReason) {
        self.set &= !reason.bit();
    }

    /// Adds a reason or takes it away.
    pub fn set(&mut self, reason: PauseReason, on: bool) {
        if on { self.add(reason) } else { self.remove(reason) }
    }

    /// Whether there is this reason.
    #[cfg(test)]
    #[must_use]
    pub fn has(&self, reason: PauseReason) -> bool {
        self.set & reason.bit() != 0
    }

    /// Whether the partition is to be paused.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.set != 0
    }

    /// Whether the client must be told to pause the partition.
    #[must_use]
    pub fn must_pause(&self) -> bool {
        match self.told {
            ClientPause::Nothing => self.set != 0,
            ClientPause::To { pause } => self.set != 0 && !pause,
            ClientPause::Unsure => true,
        }
    }

    /// Whether the client must be told to resume the partition.
    #[must_use]
    pub fn must_resume(&self) -> bool {
        match self.told {
            ClientPause::Nothing => self.set == 0,
            ClientPause::To { pause } => self.set == 0 && pause,
            ClientPause::Unsure => false,
        }
    }

    /// Whether a call has failed since the client last did as told.
    #[must_use]
    pub fn is_unsure(&self) -> bool {
        self.told == ClientPause::Unsure
    }

    /// The client was told to pause or resume, and `did` so.
    pub fn told(&mut self, pause: bool, did: bool) {
        self.told = if did { ClientPause::To { pause } } else { ClientPause::Unsure };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Does as the pauses say. Whether the client was paused, and whether it was resumed.
    fn apply(pauses: &mut Pauses) -> (bool, bool) {
        let pause = pauses.must_pause();
        if pause {
            pauses.told(true, true);
        }
        let resume = pauses.must_resume();
        if resume {
            pauses.told(false, true);
        }
        (pause, resume)
    }

    #[test]
    fn the_client_is_told_when_the_set_becomes_empty_or_not() {
        let (mut one, mut other) = (Pauses::assigned(&[]), Pauses::assigned(&[PauseReason::Hold]));
        let both = [apply(&mut one), apply(&mut other)];
        assert_eq!(both, [(false, true), (true, false)], "an assignment speaks once, either way");
        one.add(PauseReason::Span);
        one.add(PauseReason::Rewind);
        assert_eq!([apply(&mut one), apply(&mut other)], [(true, false), (false, false)]);
        one.remove(PauseReason::Span);
        assert_eq!(apply(&mut one), (false, false), "one reason is left");
        one.remove(PauseReason::Rewind);
        assert_eq!(apply(&mut one), (false, true));
    }

    #[test]
    fn a_failed_call_is_asked_for_again_and_an_assignment_speaks_whatever_was_before() {
        let mut pauses = Pauses::assigned(&[]);
        apply(&mut pauses);
        pauses.set(PauseReason::Probe, true);
        assert!(pauses.must_pause());
        assert!(pauses.must_pause(), "not told yet");
        pauses = Pauses::assigned(&[]);
        assert_eq!(apply(&mut pauses), (false, true), "assigned again: resumed");
        assert!(!pauses.is_paused());
    }

    /// A resume before a revoke failed, so did the pause after the next assignment, and then the reason went away.
    #[test]
    fn a_partition_is_resumed_unless_it_is_certain_that_it_runs() {
        let mut pauses = Pauses::assigned(&[PauseReason::Hold]);
        pauses.told(true, false);
        assert!(pauses.is_unsure());
        pauses.set(PauseReason::Hold, false);
        assert_eq!(
            (pauses.must_pause(), pauses.must_resume()),
            (true, false),
            "what was not paused must not be resumed"
        );
        assert_eq!(apply(&mut pauses), (true, true));
        assert!(!pauses.is_unsure());
        pauses.add(PauseReason::Span);
        pauses.told(true, false);
        pauses.remove(PauseReason::Span);
        assert_eq!(apply(&mut pauses), (true, true), "the pause may have been done all the same");
        assert_eq!(apply(&mut pauses), (false, false));
        pauses.told(false, false);
        assert_eq!(apply(&mut pauses), (true, true), "a resume failed");
    }
}
