//! Races: each test here fails without the remedy it is about.
//!
//! | race | tests |
//! |---|---|
//! | records drained during a rewind's backoff | [`source`]: `records_drained_during_a_rewinds_backoff_…` |
//! | an acknowledged item behind a retried one of the same id | [`engine`]: `an_acknowledged_item_behind_…`; `sink::elasticsearch::lane_tests`: `an_acknowledged_item_is_sent_again_…` and the random one |
//! | residue sent after a revoke | [`engine`]: `residue_of_a_revoked_partition_is_not_sent` |
//! | a lower commit after a higher one | [`source`]: `a_later_batch_resolved_first_…`; `source::ledger`: `committable_positions_only_grow` |
//! | a half-drained queue that never wakes again | [`source`]: `a_half_drained_queue_…` |
//! | budget full while only retry residue is left | [`engine`]: `a_budget_full_of_nothing_but_residue_…` |
//! | records only in the drip hold, beside a blocked partition, then kill -9 | [`source`]: `a_partition_with_records_only_in_the_hold_…` |
//! | a rewind of a partition that has held records | [`source`]: `a_rewind_destroys_what_the_hold_has_…` |
//! | a paused partition revoked and assigned again | [`source`]: `a_paused_partition_revoked_…`; `source::pauses` |
//! | a sequence number whose worker panicked | [`workers`]: `a_panicking_worker_…` |
//! | a sequence number whose batch was fenced empty | [`workers`]: `batches_fenced_before_…` |
//! | a chain of one id whose first item is fenced | `sink::elasticsearch::lane_tests`: `a_chain_whose_first_item_is_fenced_…` and the random one |
//! | `--until end`: emptied by retention, transactional tail, two members | [`bounded`]: `a_bounded_run_ends_…` (real broker), `two_members_…` |
//! | a topic deleted and recreated: shorter, as long, longer, between two runs | [`bounded`]: `a_topic_recreated_…` (real broker) |
//! | the replaced script's hole: 4 partitions × 10 records, failure at (2, 3) | [`engine::the_scripts_own_hole`] |
//! | every kind of bad record: one dead letter, original bytes, the partition goes on | [`bad_input`] (megabytes: real brokers) |

mod bad_input;
mod bounded;
mod engine;
mod engine_rig;
mod last_commit;
mod plans;
mod source;
mod source_rig;
mod waiting;
mod workers;
