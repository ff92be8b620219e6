//! The configuration: as written (serde) → as true (checked), with errors that name file, line, key, reason and remedy.

mod decode;
mod expand;
pub mod finding;
mod merge;
mod nearest;
pub mod plan;
mod quantity;
mod read;
mod secret;
mod set;
pub mod tree;
pub mod written;
