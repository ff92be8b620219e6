//! `sluicegate run`: all or the named pipelines, until a signal, a halt, or the end of a bounded run.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Failure, Global};
use crate::config::plan::Plan;
use crate::model::{Exit, Stop};
use crate::pipeline::{Engine, EngineOptions, Until};
use crate::telemetry::notice::last_notices;

/// Arguments of `run`.
#[derive(Debug, Clone, clap::Args)]
pub struct RunArgs {
    /// Pipelines to run [default: all]
    #[arg(value_name = "PIPELINE")]
    pub pipelines: Vec<String>,
    /// Stop at `end` (each partition's last record at start), or at the first record from a time on (RFC 3339)
    #[arg(long, value_name = "end|TIME", value_parser = until)]
    pub until: Option<Until>,
    /// Read and transform, but neither write nor commit; does not join the group
    #[arg(long)]
    pub dry_run: bool,
    /// Write the run's report into this directory on exit
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
}

fn until(text: &str) -> Result<Until, String> {
    match text {
        "end" => Ok(Until::End),
        text => text
            .parse::<jiff::Timestamp>()
            .map(|time| Until::Time { unix_ms: time.as_millisecond() })
            .map_err(|_| "write `end`, or a time such as 2026-01-31T12:00:00Z".to_owned()),
    }
}

/// Runs the pipelines of the configuration.
///
/// # Errors
/// An invalid configuration, an unknown pipeline, or no way to hear signals.
pub fn run(global: &Global, args: &RunArgs) -> Result<Exit, Failure> {
    super::logging::init(global, super::logging::RUN)?;
    let mut loaded = global.load_to_run()?;
    choose(&mut loaded.plan, &args.pipelines)?;
    for warning in &loaded.warnings {
        tracing::warn!(place = %warning.origin, key = %warning.path, "{}", warning.reason);
    }
    if !crate::librdkafka::allocator::serves_librdkafka() {
        tracing::warn!(
            "librdkafka is not served by jemalloc in this build: expect more CPU and memory for its threads"
        );
    }
    let settings = crate::config::show::json(&loaded);
    run_plan(args, loaded.plan, settings)
}

/// Runs a checked plan. `settings` is the configuration with secrets masked, for the report.
fn run_plan(args: &RunArgs, plan: Plan, settings: serde_json::Value) -> Result<Exit, Failure> {
    let names: Vec<Arc<str>> = plan.pipelines.iter().map(|pipeline| pipeline.name.clone()).collect();
    let stops: Vec<Arc<Stop>> = names.iter().map(|_| Arc::default()).collect();
    hear_signals(stops.clone()).map_err(|error| Failure::unexpected(format!("cannot listen for signals: {error}")))?;
    let options = EngineOptions {
        until: args.until,
        dry_run: args.dry_run,
        lookups: None,
        report: args.report.clone(),
        settings,
        warm_up: false,
    };
    let engine = match Engine::start_with(plan, options, stops.clone()) {
        Ok(engine) => engine,
        Err(_) if stops.iter().any(|stop| stop.is_draining()) => return Ok(Exit::Done),
        Err(error) => {
            tracing::error!(exit = error.0.exit.code(), "{error}");
            return Ok(error.0.exit);
        }
    };
    let ending = engine.join();
    for one in &ending.tallies {
        let tally = one.tally;
        tracing::info!(pipeline = %one.name, consumed = tally.consumed, delivered = tally.delivered,
            superseded = tally.superseded, dropped = tally.dropped, dead_lettered = tally.dead_lettered,
            redirected = tally.redirected, rewound = tally.rewound, open = tally.open, "ended");
        for notice in last_notices(&tally) {
            tracing::warn!(pipeline = %one.name, "{}", notice.text);
        }
    }
    Ok(ending.exit)
}

/// Keeps only the named pipelines; all when none is named.
fn choose(plan: &mut Plan, names: &[String]) -> Result<(), Failure> {
    for name in names {
        super::pipeline_named(plan, name)?;
    }
    if !names.is_empty() {
        plan.pipelines.retain(|pipeline| names.iter().any(|name| **name == *pipeline.name));
    }
    Ok(())
}

/// How often the switch of a signal thread is looked at by pipelines: their own parks are shorter.
const SIGNAL_PAUSE: Duration = Duration::from_millis(1);

/// First signal: drain. Second: at once.
fn hear_signals(stops: Vec<Arc<Stop>>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut terminate, mut interrupt) = {
        use tokio::signal::unix::{SignalKind, signal};
        let _inside = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
    };
    let hear = move || {
        runtime.block_on(async move {
            for second in [false, true] {
                let name = tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                };
                tracing::info!(
                    "{name}: {}",
                    if second { "stopping at once" } else { "draining; again to stop at once" }
                );
                stops.iter().for_each(|stop| if second { stop.abort() } else { stop.drain() });
                tokio::time::sleep(SIGNAL_PAUSE).await;
            }
            std::future::pending::<()>().await;
        });
    };
    std::thread::Builder::new().name("signals".into()).spawn(hear).map(drop)
}
