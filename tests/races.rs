//! Races: each test here fails without the remedy it is about, which the mutant named beside it takes away (see
//! `src/mutants.rs` and `tests/mutants.rs`).
//!
//! | race | tests | mutant |
//! |---|---|---|
//! | records drained during a rewind's backoff | [`source`]: `records_drained_during_a_rewinds_backoff_…` | `drain-during-a-backoff` |
//! | an acknowledged item behind a retried one of the same id | [`engine`]: `an_acknowledged_item_behind_…`; `sink::elasticsearch::lane_tests`: `an_acknowledged_item_is_sent_again_…` and the random one | `settle-ahead-of-an-earlier` |
//! | residue sent after a revoke | [`engine`]: `residue_of_a_revoked_partition_is_not_sent` | `send-after-a-revoke` |
//! | a lower commit after a higher one | [`source`]: `a_later_batch_resolved_first_…`; `source::ledger`: `committable_positions_only_grow` | `commit-out-of-order` |
//! | a half-drained queue that never wakes again | [`source`]: `a_half_drained_queue_…` | `half-drained-queue-sleeps` |
//! | budget full while only retry residue is left | [`engine`]: `a_budget_full_of_nothing_but_residue_…` | `budget-ignored`, `budget-leak` |
//! | records only in the drip hold, beside a blocked partition, then kill -9 | [`source`]: `a_partition_with_records_only_in_the_hold_…` | `adopt-with-records-held` |
//! | a rewind of a partition that has held records | [`source`]: `a_rewind_destroys_what_the_hold_has_…` | `release-held-of-an-old-epoch` |
//! | a paused partition revoked and assigned again | [`source`]: `a_paused_partition_revoked_…`; `source::pauses` | `pause-survives-a-revoke` |
//! | a sequence number whose worker panicked | [`workers`]: `a_panicking_worker_…` | `sequence-lost-with-its-worker` |
//! | a sequence number whose batch was fenced empty | [`workers`]: `batches_fenced_before_…` | `fenced-batch-kept-back` |
//! | a chain of one id whose first item is fenced | `sink::elasticsearch::lane_tests`: `a_chain_whose_first_item_is_fenced_…` and the random one | `fenced-leaves-successors-open` |
//! | `--until end`: emptied by retention, transactional tail, two members | [`bounded`]: `a_bounded_run_ends_…` (real broker), `two_members_…` | `emptied-partition-has-no-end`, `markers-hide-the-end`, `share-known-at-once` |
//! | a topic deleted and recreated: shorter, as long, longer, between two runs | [`bounded`]: `a_topic_recreated_…` (real broker) | `truncation-unnoticed`, `recreated-topic-unnoticed`, `position-beyond-the-end` |
//! | the replaced script's hole: 4 partitions × 10 records, failure at (2, 3) | [`engine::the_scripts_own_hole`], [`source`]: `a_failure_takes_back_…` | `seek-only-the-failing`, `ignore-a-delivery-error`, `drop-on-item-429` |
//! | every kind of bad record: one dead letter, original bytes, the partition goes on | [`bad_input`] (megabytes: real brokers) | `dead-letter-skipped` |
//! | an answer for metadata that names no broker | [`forgotten_brokers`]: source, Kafka sink, dead letters, the tests' feeder | `forgotten-brokers` |
//! | one output partition without a leader, beside others | `sink::kafka::tests::waits::records_that_wait_…_are_sent_again_…` | `oldest-waited-for-for-ever` |
//! | a pause that is done only after it has failed | `simulation::scripts::a_partition_that_is_paused_at_last_is_rewound` | `late-pause-believed` |

mod bad_input;
mod bounded;
mod engine;
mod engine_rig;
mod forgotten_brokers;
mod last_commit;
mod plans;
mod source;
mod source_rig;
mod waiting;
mod workers;
