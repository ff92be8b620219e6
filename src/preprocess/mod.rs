//! The worker's pure core: parses each value, applies the compiled steps, splices look-ups in, renders templates and
//! hands the kept records to the sink's encoder.
//!
//! No DOM, no re-encoding: a record is a window (byte range) of the original value plus a few splices, so bytes no step
//! touches travel unchanged. Nothing here talks to a network except `worker`, through [`crate::enrich`], once per
//! look-up and batch.
//!
//! [`program::Program::compile`] turns a pipeline's steps and its sink's templates into a [`program::Program`], shared
//! by all workers; each worker owns one [`worker::Preprocessor`].

mod compile;
mod constants;
mod decode;
pub mod document;
mod draft;
mod ending;
mod evaluate;
mod items;
mod jq;
mod keys;
mod look;
mod moment;
pub mod program;
mod scan;
pub mod splice;
mod split;
mod stamp;
pub mod steps;
pub mod tape;
mod telltale;
mod template;
#[cfg(test)]
mod test_plans;
pub mod worker;

pub use program::{CostClass, Program, Tombstones};
