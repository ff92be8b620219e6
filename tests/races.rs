//! The races.
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
