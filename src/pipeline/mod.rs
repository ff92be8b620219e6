//! Opens the components, joins them with bounded channels, names and joins the threads, and stops them in order.
//!
//! [`engine`] owns the process: signals, deadlines, exit codes. [`assemble`] builds one pipeline. [`observe`] opens
//! what watches it. [`startup`] waits for the servers. [`in_flight`] answers what a revoke asks of a sink.

mod assemble;
pub mod engine;
mod freed_pages;
mod in_flight;
mod observe;
mod parts;
mod startup;

pub use crate::source::Until;
pub use engine::{Ending, Engine, EngineOptions, PipelineTally};
