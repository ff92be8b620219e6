//! `sluicegate config show|schema|reference`.

use super::output::{print, print_json};
use super::{DataFormat, Failure, Global};
use crate::config::{reference, schema, show};
use crate::model::Exit;

/// Subcommands of `config`.
#[derive(Debug, clap::Subcommand)]
pub enum ConfigCommand {
    /// The effective configuration: defaults filled in, secrets masked, each value's origin
    Show {
        /// YAML with origins in comments, or JSON
        #[arg(long, value_enum, default_value_t)]
        format: DataFormat,
    },
    /// The JSON Schema of the configuration, for editors
    Schema,
    /// The reference of all keys, as Markdown
    Reference,
}

/// Prints what is asked for.
///
/// # Errors
/// When the configuration to show is invalid, or stdout cannot be written.
pub fn run(global: &Global, command: &ConfigCommand) -> Result<Exit, Failure> {
    match command {
        ConfigCommand::Show { format } => {
            let loaded = global.load()?;
            match format {
                DataFormat::Text => print(&show::text(&loaded))?,
                DataFormat::Json => print_json(&show::json(&loaded))?,
            }
        }
        ConfigCommand::Schema => print_json(&schema::schema())?,
        ConfigCommand::Reference => print(&reference::markdown())?,
    }
    Ok(Exit::Done)
}
