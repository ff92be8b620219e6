//! Log lines on stderr: text on a terminal, JSON otherwise.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use super::output::colors;
use super::{Failure, Global, LogFormat};

/// What `run` logs unless asked for something else. librdkafka tells of every attempt to connect, several times a
/// second during an outage; the fault is named once by the component that has it.
pub const RUN: &str = "info,librdkafka=error";
/// What `demo` logs unless asked for something else: its progress line must stay readable, and the in-process cluster
/// announces itself.
pub const DEMO: &str = "warn";

/// Sets up logging for the process; `unless_asked` is the level without `--log-level`. Only the first call counts.
///
/// # Errors
/// [`Failure::Usage`] when `--log-level` is not a level or filter.
pub fn init(global: &Global, unless_asked: &str) -> Result<(), Failure> {
    let level = global.log_level.as_deref().unwrap_or(unless_asked);
    let filter = EnvFilter::builder().parse(level).map_err(|_| {
        Failure::Usage(format!(
            "--log-level {level} is not a level; write error, warn, info, debug or trace, or a filter such as info,sluicegate::sink=debug"
        ))
    })?;
    let stderr = std::io::stderr();
    let format = global.log_format.unwrap_or(if stderr.is_terminal() { LogFormat::Text } else { LogFormat::Json });
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second initialisation (tests in one process) keeps the first.
    let _ = match format {
        LogFormat::Text => builder.with_ansi(colors(global.color, &stderr)).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    Ok(())
}
