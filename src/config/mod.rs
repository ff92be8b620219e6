//! The configuration: as written (serde) → as true (checked), with errors that name file, line, key, reason and remedy.
//!
//! ```text
//! files → read → tree → merge → --set → ${VAR} → decode → written → check → plan
//! ```

mod check;
mod decode;
mod expand;
mod lists;
mod load;
mod merge;
pub mod pattern;
pub mod pem;
pub mod plan;
mod properties;
mod read;
pub mod reference;
mod rewrite;
pub mod schema;
mod set;
pub mod show;
mod test_files;
pub mod url;
pub mod written;

pub use crate::leaf::finding::{Finding, Findings, Severity};
pub use crate::leaf::template::parse as parse_template;
pub use crate::leaf::{secret, tree};
pub use check::Surroundings;
pub use load::{Inputs, Loaded, load, load_text, load_text_and_sets};
pub use read::FileFormat;
pub use rewrite::{NewExpectation, rewrite};
pub use test_files::{load_lookups, load_tests, same_but_for_expectations, tests_in};

#[cfg(test)]
mod tests;
