//! The races.
mod engine;
mod engine_rig;
mod plans;
mod source;
mod source_rig;
mod waiting;
mod workers;
