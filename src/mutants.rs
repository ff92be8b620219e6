//! Known bugs that can be switched on one at a time, to show that a test fails for each. Only in builds with the
//! feature `mutants`; in every other build [`on`] is `false` at compile time and nothing of this is left.
//!
//! A bug that is one more condition of a statement, or one statement before it, is switched where it is. All others,
//! which would bend the code that they are in, are patches in `tests/mutants/`: only a copy of the code has them.
//!
//! `cargo run --features mutants --example mutants` runs the tests named in `tests/mutants/killers.rs` against each of
//! them.

/// Names one mutant a test run is to have.
pub const VARIABLE: &str = "SLUICEGATE_MUTANT";

macro_rules! mutants {
    ($($variant:ident $name:literal $text:literal)*) => {
        /// A bug.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Mutant {
            $(#[doc = $text] $variant,)*
        }

        impl Mutant {
            /// All there are.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name, as in [`VARIABLE`].
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// What it does wrong.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }
    };
}

mutants! {
    CommitTheReadPosition "commit-the-read-position" "Commits what was read, resolved or not."
    CommitWithoutPlusOne "commit-without-plus-one" "Commits the last resolved offset, not the one behind it."
    CommitOutOfOrder "commit-out-of-order" "The batch resolved last sets the position, be it behind or before others."
    RefusedCommitIsStored "refused-commit-is-stored" "Takes a refused commit for a stored one."
    AcceptAnOldEpoch "accept-an-old-epoch" "A settlement of an older epoch settles what is open now."
    AcceptAfterRevoke "accept-after-revoke" "Keeps the books of a partition that was given up."
    AcceptAnOverlappingRun "accept-an-overlapping-run" "Opens tickets for records below the expected offset."
    CountAtTheSink "count-at-the-sink" "Counts records when their part is settled, not when their ticket closes."
    ResidueForgottenOnRewind "residue-forgotten-on-rewind" "Reads on from the newest open run, not from the lowest unresolved."
    UnboundedSpan "unbounded-span" "Never pauses a partition for its span."
    BudgetLeak "budget-leak" "Memory given back stays charged."
    BudgetIgnored "budget-ignored" "Reads on while the byte budget is spent."
    AdoptWithRecordsHeld "adopt-with-records-held" "Adopts the client's position while the hold has records below it."
    ReleaseHeldOfAnOldEpoch "release-held-of-an-old-epoch" "A rewind leaves records in the hold, and they are released."
    DrainDuringABackoff "drain-during-a-backoff" "Takes records of a partition whose seek is still to come."
    PauseSurvivesARevoke "pause-survives-a-revoke" "A paused partition that is given up and comes back stays paused."
    SeekOnlyTheFailing "seek-only-the-failing" "Of several partitions with failed records only one is taken back."
    ResetToLatest "reset-to-latest" "Begins at the end where the group has no position."
    PositionBeyondTheEnd "position-beyond-the-end" "Goes on at a position beyond the end of a recreated topic."
    RecreatedTopicUnnoticed "recreated-topic-unnoticed" "Does not ask for topic ids."
    SuspectedTopicBelieved "suspected-topic-believed" "Seeks and commits on, though a partition going back says that its topic may be another one."
    LoweredPositionForgotten "lowered-position-forgotten" "Takes the group's position of a log that is gone, though a lower one was found and not stored yet."
    TruncationUnnoticed "truncation-unnoticed" "A log that begins anew below our position is never read from its beginning, whatever tells of it."
    BeginningSoughtOnFaith "beginning-sought-on-faith" "Takes the first record after a seek to the beginning for the beginning."
    TruncatedStartForgotten "truncated-start-forgotten" "Forgets that it began in a new log whose position is not stored yet."
    OldLogsEndsBelieved "old-logs-ends-believed" "Begins a topic made again at an end of the log before it, asked for just before."
    StaleStatisticsBelieved "stale-statistics-believed" "Believes statistics of just before a seek or pause about what the client has fetched since."
    BornLateIsHistory "born-late-is-history" "With start: latest, begins at the end of a partition that appeared later."
    ErrorTakenForARecord "error-taken-for-a-record" "Believes the client's position and statistics behind a batch that cannot be read."
    SilentBatchUnnoticed "silent-batch-unnoticed" "Waits for ever for a batch that the client fetches again and again without a word."
    WrongNumbersRewound "wrong-numbers-rewound" "Rewinds for ever where records of the log are numbered back."
    DamageSkippedOnOneWord "damage-skipped-on-one-word" "Skips offsets of a damaged batch that one probe alone called damaged, though its seek may have been lost."
    DamageOfAnotherLog "damage-of-another-log" "Skips offsets that could not be read in a log that has been truncated or made again since."
    StandbyStaysInItsGroup "standby-stays-in-its-group" "Closes the client without giving its subscription up, as if that left the group."
    ForgottenBrokers "forgotten-brokers" "Waits for a client that knows no broker any more."
    LatePauseBelieved "late-pause-believed" "Goes on after a pause that failed at first as if it had been done at once."
    HalfDrainedQueueSleeps "half-drained-queue-sleeps" "Parks after every batch, whatever the queue still has."
    ShareKnownAtOnce "share-known-at-once" "A bounded run's member ends with its empty first assignment."
    EmptiedPartitionHasNoEnd "emptied-partition-has-no-end" "A bounded run waits for records retention has taken."
    MarkersHideTheEnd "markers-hide-the-end" "A bounded run waits for a record where only control records are."
    SequenceLostWithItsWorker "sequence-lost-with-its-worker" "A worker's panic swallows its batch's number."
    FencedBatchKeptBack "fenced-batch-kept-back" "A batch with nothing left of it does not reach the sink's intake."
    HoleBehindALostBatch "hole-behind-a-lost-batch" "Sends batches behind a lost one until the source has heard of the loss."
    SequenceIgnored "sequence-ignored" "The sink takes batches in the order workers finish them."
    BufferReused "buffer-reused" "The worker's output is overwritten by each next record."
    IgnoreADeliveryError "ignore-a-delivery-error" "Takes every delivery report for an acknowledgement."
    ErrorsReadAsSuccess "errors-read-as-success" "Takes a 200 for the success of all its items."
    OldestWaitedForForEver "oldest-waited-for-for-ever" "Waits without end for the leader of one output partition while others are acknowledged."
    DropOnItem429 "drop-on-item-429" "Takes an item the server was too busy for as done."
    DeadLetterBeforeItsAck "dead-letter-before-its-ack" "Settles a rejected record before its dead letter is acknowledged."
    DeadLetterSkipped "dead-letter-skipped" "Settles a rejected record without a dead letter."
    EditAtAStaleOffset "edit-at-a-stale-offset" "Writes what stands behind a changed value from where the value began."
    NamesakesLeftBehind "namesakes-left-behind" "Of members with one name, takes out only the first."
    RouteOfTheRecordBefore "route-of-the-record-before" "A record that is parsed again has the route of the record before it."
    ItemForgotten "item-forgotten" "Of the items of a record one is not counted, so that the record ends without it."
    RecordResolvedByItsFirstItem "record-resolved-by-its-first-item" "A record has ended when one of its items has."
    IndexSharedByTwoItems "index-shared-by-two-items" "Two items of a record have one number."
    LetterOfOneItemForAll "letter-of-one-item-for-all" "A dead letter of one item stands for those of all others of its record."
    NumbersAsDoubles "numbers-as-doubles" "Compares numbers as doubles, in which neighbours beyond 2^53 are one."
    MissingTopicTrusted "missing-topic-trusted" "Produces to every topic that records name, there or not."
    WaitingRecordsOvertaken "waiting-records-overtaken" "Records overtake those that wait for their topic once it is found."
    RetryOutOfKeyOrder "retry-out-of-key-order" "Sends a newer operation of an id before an older one that is to be repeated."
    LaneHashIgnoresTheId "lane-hash-ignores-the-id" "Operations of one id go to several lanes."
    SettleAheadOfAnEarlier "settle-ahead-of-an-earlier" "Settles an acknowledged operation while an earlier one of its id is repeated."
    SendAfterARevoke "send-after-a-revoke" "Sends residue of partitions that were given up."
    TargetFaultBlamesTheRecord "target-fault-blames-the-record" "Rejects records for faults of their index, alias or pipeline."
    AlikeIsNoFault "alike-is-no-fault" "Rejects every record of a request an index refuses alike."
    TiesLoseTheLater "ties-lose-the-later" "Of two records with one version the later one is dropped as superseded."
    RedirectedIsDelivered "redirected-is-delivered" "Counts a document in a failure store as delivered."
    FencedLeavesSuccessorsOpen "fenced-leaves-successors-open" "What waits behind a fenced operation of its id waits for ever."
}

/// Whether this bug is switched on.
#[cfg(not(feature = "mutants"))]
#[must_use]
#[inline(always)]
pub const fn on(_mutant: Mutant) -> bool {
    false
}

/// Whether this bug is switched on. An unknown name switches nothing on; the command knows all names.
#[cfg(feature = "mutants")]
#[must_use]
pub fn on(mutant: Mutant) -> bool {
    static CHOSEN: std::sync::LazyLock<Option<Mutant>> = std::sync::LazyLock::new(|| {
        let name = std::env::var(VARIABLE).ok()?;
        Mutant::ALL.iter().copied().find(|mutant| mutant.name() == name)
    });
    *CHOSEN == Some(mutant)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_differ() {
        let names: BTreeSet<_> = Mutant::ALL.iter().map(|mutant| mutant.name()).collect();
        assert_eq!(names.len(), Mutant::ALL.len());
    }
}
