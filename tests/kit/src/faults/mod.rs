//! The fault campaign: every fault production brings, by name, each judged by one offline checker.
//!
//! A [`scenario::Scenario`] says what breaks and how it ends. [`play::play`] runs it: servers in this process or real
//! ones, the engine as a process of its own, a steady feed, the fault at a seeded moment, its end, the drain, the stop,
//! and then [`crate::checker::check`] over what was logged on the way. `cargo faults` plays all of them, `cargo test` a
//! few.

pub mod broker_faults;
pub mod buffer_faults;
pub mod clock_faults;
pub mod damaged_log;
pub mod engine;
pub mod group_faults;
pub mod growth;
pub mod item_faults;
pub mod journal;
pub mod kills;
pub mod letter_faults;
pub mod lookup_faults;
pub mod play;
pub mod preload;
pub mod real_faults;
pub mod scenario;
pub mod search_faults;
pub mod stage;
pub mod topic_faults;
