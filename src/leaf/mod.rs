//! What a configuration is made of below its sections: values that mean the same to whoever writes, checks and runs
//! them (pointers, templates, quantities, constants, secrets), the tree that knows where each was written, and
//! findings.
//!
//! The component stands below `preprocess`, so that a step's file can hold the step's written form and its check, and
//! below `config`, which puts the sections together.

pub mod action;
pub mod context;
pub mod exact;
pub mod finding;
pub mod format;
pub mod nearest;
pub mod null_name;
pub mod pointer;
pub mod policy;
pub mod quantity;
pub mod secret;
pub mod segment;
pub mod server;
pub mod short;
pub mod template;
pub mod tree;

pub use context::CheckContext;
pub use exact::{Bound, Constant, JsonText};
pub use pointer::Pointer;
pub use segment::{Template, TemplateSegment, ValueForm};
