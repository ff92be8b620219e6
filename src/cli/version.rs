//! `sluicegate version`: what this build is made of.

use serde_json::json;

use super::output::{print, print_json};
use super::{DataFormat, Failure};
use crate::model::Exit;

/// Whether this build speaks TLS and SASL-SCRAM to Kafka.
pub const HAS_TLS: bool = cfg!(any(feature = "tls", feature = "tls-vendored"));

/// Arguments of `version`.
#[derive(Debug, clap::Args)]
pub struct VersionArgs {
    /// Also librdkafka, features, allocator and target
    #[arg(short, long)]
    pub verbose: bool,
    /// Form of what is printed
    #[arg(long, value_enum, default_value_t)]
    pub format: DataFormat,
}

/// Prints the version.
///
/// # Errors
/// When stdout cannot be written.
pub fn run(args: &VersionArgs) -> Result<Exit, Failure> {
    let version = env!("CARGO_PKG_VERSION");
    if !args.verbose {
        match args.format {
            DataFormat::Text => print(&format!("sluicegate {version}\n"))?,
            DataFormat::Json => print_json(&json!({ "version": version }))?,
        }
        return Ok(Exit::Done);
    }
    let librdkafka = crate::librdkafka::version();
    let features = features();
    let allocator = jemalloc_ctl::version::read().map_or_else(
        |_| "system".to_owned(),
        |version| format!("jemalloc {}", version.split('-').next().unwrap_or(version)),
    );
    let target = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
    match args.format {
        DataFormat::Json => print_json(&json!({
            "version": version, "librdkafka": librdkafka, "features": features, "allocator": allocator, "target": target,
        }))?,
        DataFormat::Text => {
            let features = if features.is_empty() { "none".to_owned() } else { features.join(", ") };
            print(&format!(
                "sluicegate {version}\nlibrdkafka: {librdkafka}\nfeatures:   {features}\nallocator:  {allocator}\ntarget:     {target}\n"
            ))?;
        }
    }
    Ok(Exit::Done)
}

fn features() -> Vec<&'static str> {
    [("tls", cfg!(feature = "tls")), ("tls-vendored", cfg!(feature = "tls-vendored"))]
        .into_iter()
        .filter_map(|(name, on)| on.then_some(name))
        .collect()
}
