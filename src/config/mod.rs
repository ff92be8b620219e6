//! The configuration: as written (serde) → as true (checked), with errors that name file, line, key, reason and remedy.
//!
//! ```text
//! files → read → tree → merge → --set → ${VAR} → decode → written → check → plan
//! ```

mod check;
mod decode;
mod expand;
pub mod finding;
mod lists;
mod load;
mod merge;
mod nearest;
pub mod pattern;
pub mod pem;
pub mod plan;
mod pointer;
mod properties;
mod quantity;
mod read;
pub mod reference;
pub mod schema;
pub mod secret;
mod segment;
mod set;
pub mod show;
mod template;
pub mod tree;
pub mod url;
pub mod written;

pub use check::Surroundings;
pub use finding::{Finding, Findings, Severity};
pub use load::{Inputs, Loaded, load, load_text, load_text_and_sets};
pub use template::parse as parse_template;

#[cfg(test)]
mod tests;
