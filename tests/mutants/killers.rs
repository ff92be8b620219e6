//! Which tests find which known bug.

use sluicegate::internals::mutants::Mutant;

/// A test binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Binary {
    /// Unit tests.
    Unit,
    /// `tests/tests.rs`. Those that need a real server want `SLUICEGATE_TEST_SERVICES=required`.
    Integration,
}
use Binary::{Integration, Unit};

/// What is known to find each bug: parts of test names.
pub fn killers(mutant: Mutant) -> &'static [(Binary, &'static str)] {
    match mutant {
        Mutant::CommitTheReadPosition => &[(Unit, "source::ledger::"), (Integration, "races::source::a_later_batch")],
        Mutant::CommitWithoutPlusOne => &[(Unit, "source::ledger::")],
        Mutant::CommitOutOfOrder => &[(Unit, "source::ledger::"), (Integration, "races::source::a_later_batch")],
        Mutant::RefusedCommitIsStored => &[(Unit, "source::commit::"), (Integration, "races::source::a_later_batch")],
        Mutant::AcceptAnOldEpoch => &[(Unit, "source::ledger::")],
        Mutant::AcceptAfterRevoke => &[(Unit, "source::ledger::")],
        Mutant::AcceptAnOverlappingRun => &[(Unit, "source::ledger::")],
        Mutant::CountAtTheSink => &[(Unit, "source::ledger::")],
        Mutant::ResidueForgottenOnRewind => {
            &[(Unit, "source::ledger::"), (Integration, "the_scripts_own_hole::a_failed_delivery")]
        }
        Mutant::UnboundedSpan => &[(Integration, "a_partition_whose_first_record_stays_open")],
        Mutant::BudgetLeak => &[(Unit, "model::budget::")],
        Mutant::BudgetIgnored => &[(Integration, "a_budget_full_of_nothing_but_residue")],
        Mutant::AdoptWithRecordsHeld => &[(Integration, "a_partition_with_records_only_in_the_hold")],
        Mutant::ReleaseHeldOfAnOldEpoch => &[(Integration, "a_rewind_destroys_what_the_hold_has")],
        Mutant::DrainDuringABackoff => &[(Integration, "records_drained_during_a_rewinds_backoff")],
        Mutant::PauseSurvivesARevoke => &[(Integration, "a_paused_partition_revoked_and_assigned_again")],
        Mutant::SeekOnlyTheFailing => &[(Integration, "a_failure_takes_back_every_partition")],
        Mutant::ResetToLatest => &[(Unit, "source::start::")],
        Mutant::PositionBeyondTheEnd => {
            &[(Integration, "a_topic_recreated_between_two_runs"), (Unit, "source::start::")]
        }
        Mutant::RecreatedTopicUnnoticed => {
            &[(Integration, "a_topic_recreated_longer"), (Integration, "a_topic_recreated_as_long")]
        }
        Mutant::SuspectedTopicBelieved => &[(Unit, "source::recreation::tests::asked_soon")],
        Mutant::LoweredPositionForgotten => &[
            (Unit, "simulation::scripts::a_position_that_a_new_log_lowered"),
            (Unit, "source::recreation::tests::a_lowered"),
        ],
        Mutant::TruncationUnnoticed => &[(Integration, "a_topic_recreated_shorter")],
        Mutant::BeginningSoughtOnFaith | Mutant::TruncatedStartForgotten | Mutant::OldLogsEndsBelieved => {
            &[(Unit, "simulation::histories_that_failed_once")]
        }
        Mutant::StaleStatisticsBelieved => &[(Unit, "simulation::scripts::statistics_of_before_a_seek")],
        Mutant::BornLateIsHistory => &[(Unit, "source::start::"), (Integration, "start_latest::")],
        Mutant::ErrorTakenForARecord => {
            &[(Unit, "simulation::scripts::a_bounded_run_ends_at_a_batch"), (Integration, "damaged_batch::")]
        }
        Mutant::SilentBatchUnnoticed => {
            &[(Unit, "simulation::scripts::a_bounded_run_ends_at_a_batch_of_which"), (Integration, "damaged_batch::")]
        }
        Mutant::WrongNumbersRewound => &[(Integration, "damaged_batch::")],
        Mutant::DamageOfAnotherLog => {
            &[(Unit, "simulation::scripts::nothing_is_skipped_of_a_log"), (Unit, "source::damage::")]
        }
        Mutant::DamageSkippedOnOneWord => &[(Unit, "source::damage::")],
        Mutant::StandbyStaysInItsGroup => &[(Integration, "members::")],
        Mutant::ForgottenBrokers => &[(Unit, "librdkafka::bootstrap::"), (Integration, "races::forgotten_brokers::")],
        Mutant::EditAtAStaleOffset | Mutant::NamesakesLeftBehind => {
            &[(Unit, "preprocess::draft::"), (Unit, "preprocess::steps::")]
        }
        Mutant::RouteOfTheRecordBefore => &[(Unit, "routes_last_through_phases")],
        Mutant::ItemForgotten => &[(Unit, "preprocess::steps::explode::"), (Unit, "simulation::")],
        Mutant::RecordResolvedByItsFirstItem => &[(Unit, "source::ledger::"), (Unit, "simulation::")],
        Mutant::IndexSharedByTwoItems => &[(Unit, "model::item_path::"), (Unit, "preprocess::steps::explode::")],
        Mutant::LetterOfOneItemForAll => &[(Unit, "sink::dead_letter::memory::")],
        Mutant::OldestWaitedForForEver => &[(Unit, "sink::kafka::patience::"), (Unit, "sink::kafka::tests::waits::")],
        Mutant::LatePauseBelieved => &[(Unit, "simulation::scripts::a_partition_that_is_paused_at_last")],
        Mutant::HalfDrainedQueueSleeps => &[(Integration, "a_half_drained_queue")],
        Mutant::ShareKnownAtOnce => &[(Integration, "two_members_share"), (Unit, "source::until::")],
        Mutant::EmptiedPartitionHasNoEnd => &[(Integration, "a_bounded_run_ends_over_partitions_emptied")],
        Mutant::MarkersHideTheEnd => &[(Integration, "a_bounded_run_ends_behind_a_transactional")],
        Mutant::SequenceLostWithItsWorker => &[(Integration, "races::workers::a_panicking_worker")],
        Mutant::FencedBatchKeptBack => &[(Integration, "races::workers::batches_fenced")],
        Mutant::HoleBehindALostBatch => &[(Unit, "nothing_behind_a_lost_batch_is_sent")],
        Mutant::SequenceIgnored => &[(Unit, "sink::sequencer::")],
        Mutant::BufferReused => &[(Unit, "preprocess::")],
        Mutant::IgnoreADeliveryError => {
            &[(Unit, "sink::kafka::"), (Integration, "the_scripts_own_hole::a_failed_delivery")]
        }
        Mutant::ErrorsReadAsSuccess => &[(Unit, "sink::elasticsearch::lane_tests")],
        Mutant::DropOnItem429 => {
            &[(Unit, "sink::elasticsearch::verdict"), (Integration, "the_scripts_own_hole::one_item")]
        }
        Mutant::DeadLetterBeforeItsAck => &[(Unit, "sink::reject::")],
        Mutant::DeadLetterSkipped => &[(Integration, "races::bad_input")],
        Mutant::NumbersAsDoubles => &[(Unit, "model::decimal::"), (Unit, "preprocess::steps::")],
        Mutant::MissingTopicTrusted => &[(Unit, "sink::kafka::tests::targets::"), (Integration, "named_topics::")],
        Mutant::WaitingRecordsOvertaken => &[(Unit, "sink::kafka::")],
        Mutant::RetryOutOfKeyOrder => &[(Unit, "sink::elasticsearch::lane_tests")],
        Mutant::LaneHashIgnoresTheId => &[(Unit, "sink::elasticsearch::bulk")],
        Mutant::SettleAheadOfAnEarlier => {
            &[(Unit, "sink::elasticsearch::lane_tests"), (Integration, "an_acknowledged_item_behind")]
        }
        Mutant::SendAfterARevoke => &[(Integration, "residue_of_a_revoked_partition")],
        Mutant::TargetFaultBlamesTheRecord => &[(Unit, "sink::elasticsearch::target_tests")],
        Mutant::AlikeIsNoFault => &[(Unit, "sink::elasticsearch::alike")],
        Mutant::TiesLoseTheLater => &[(Unit, "sink::elasticsearch::bulk_tests"), (Unit, "of_records_with_one_version")],
        Mutant::RedirectedIsDelivered => &[(Unit, "what_the_server_puts_aside")],
        Mutant::FencedLeavesSuccessorsOpen => &[(Unit, "sink::elasticsearch::lane_tests::a_chain_whose_first")],
    }
}
