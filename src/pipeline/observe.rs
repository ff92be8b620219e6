//! What watches a run: the endpoint, the reporter with its watchdog, and what the binary says of itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::model::{Exit, Halt};
use crate::telemetry::board::{Board, BuildInfo};
use crate::telemetry::http::{Endpoint, EndpointShutdown};
use crate::telemetry::reporter::{Reporter, ReporterHandle};
use crate::telemetry::run_files;
use crate::telemetry::watch::WatchLimits;

use super::assemble::ThreadNotice;
use super::engine::EngineOptions;
use super::freed_pages::{self, FreedPages};

/// Binds the endpoint and serves the board on it.
pub(super) async fn serve(address: std::net::SocketAddr, board: Arc<Board>) -> Result<EndpointShutdown, Halt> {
    let endpoint =
        Endpoint::bind(address).await.map_err(|error| Halt { exit: error.exit(), message: error.to_string() })?;
    Ok(endpoint.serve(board))
}

/// Starts the thread that reads all counters; it tells of a pipeline whose watchdog has run out, and looks after freed
/// pages.
pub(super) fn reporter(
    board: &Arc<Board>,
    options: &EngineOptions,
    (watchdog, memory_bytes): (Duration, u64),
    tell: flume::Sender<ThreadNotice>,
) -> Result<ReporterHandle, Halt> {
    let failed = |message: String| Halt { exit: Exit::Failure, message };
    let log =
        options.report.as_deref().map(run_files::open_log).transpose().map_err(|error| failed(error.to_string()))?;
    if options.warm_up {
        board.warm_up();
    }
    let limits = WatchLimits { watchdog, ..WatchLimits::default() };
    let now = Instant::now();
    let mut pages = freed_pages::keep().then(|| FreedPages::new(memory_bytes, now));
    let watched = board.clone();
    let after_turn = move |now: Instant, stuck: &[Arc<str>]| {
        stuck.iter().for_each(|name| drop(tell.send(ThreadNotice::Stuck(name.to_string()))));
        if let Some(pages) = &mut pages {
            pages.look_after(now, &watched);
        }
    };
    Reporter::new(board.clone(), limits, log, now)
        .and_then(|reporter| reporter.spawn(after_turn))
        .map_err(|error| failed(format!("cannot start the reporter: {error}")))
}

/// What this binary is made of.
#[must_use]
pub fn build_info() -> BuildInfo {
    BuildInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: option_env!("SLUICEGATE_COMMIT").unwrap_or("unknown").to_owned(),
        librdkafka: crate::librdkafka::version(),
    }
}
