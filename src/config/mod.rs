//! The configuration: as written (serde) → as true (checked), with errors that name file, line, key, reason and remedy.

pub mod plan;
