//! Opens the components, joins them with bounded channels, names and joins the threads, and stops them in order.
//!
//! [`engine`] owns the process: signals, deadlines, exit codes. [`assemble`] builds one pipeline. [`observe`] opens
//! what watches it. [`startup`] waits for the servers. [`in_flight`] answers what a revoke asks of a sink.
//! [`offline`] runs a pipeline's program and encoder without any of them.

mod assemble;
pub mod engine;
mod freed_pages;
mod in_flight;
mod observe;
mod offline;
mod parts;
mod program;
mod startup;

pub use crate::source::Until;
pub use engine::{Ending, Engine, EngineOptions, PipelineTally};
pub use offline::{OfflineEnd, OfflinePipeline, OfflineRun, SinkForm, SinkOutput};
pub(crate) use program::compile;
