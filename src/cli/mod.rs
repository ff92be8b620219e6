//! The command line: one file a command.

pub mod connect;
pub mod demo;
pub mod report;
pub mod run;
