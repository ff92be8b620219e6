//! `sluicegate run`: all or the named pipelines, until a signal, a halt, or the end of a bounded run.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config::plan::Plan;
use crate::model::{Exit, Stop};
use crate::pipeline::{Engine, EngineOptions};

/// Arguments of `run`.
#[derive(Debug, Clone, clap::Args)]
pub struct RunArgs {
    /// Pipelines to run [default: all]
    #[arg(value_name = "PIPELINE")]
    pub pipelines: Vec<String>,
    /// Stop at the ends of the partitions as they are at start, flush, commit, exit
    #[arg(long, value_enum, value_name = "WHEN")]
    pub until: Option<UntilArg>,
    /// Read by assignment, without joining the group, and transform; neither write nor commit
    #[arg(long)]
    pub dry_run: bool,
    /// Write the run's report into this directory on exit
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
}

/// Where a bounded run stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum UntilArg {
    /// The last stable offset of each partition, pinned at start.
    End,
}

/// Runs the pipelines of a checked configuration. `settings` is the configuration with secrets masked, for the report.
#[must_use]
pub fn run(args: &RunArgs, mut plan: Plan, settings: serde_json::Value) -> Exit {
    if let Err(unknown) = choose(&mut plan, &args.pipelines) {
        tracing::error!("{unknown}");
        return Exit::Usage;
    }
    let names: Vec<Arc<str>> = plan.pipelines.iter().map(|pipeline| pipeline.name.clone()).collect();
    let stops: Vec<Arc<Stop>> = names.iter().map(|_| Arc::default()).collect();
    if let Err(error) = hear_signals(stops.clone()) {
        tracing::error!("cannot listen for signals: {error}");
        return Exit::Failure;
    }
    let options = EngineOptions {
        until_end: args.until.is_some(),
        dry_run: args.dry_run,
        lookups: None,
        report: args.report.clone(),
        settings,
    };
    let engine = match Engine::start_stoppable(plan, options, stops.clone()) {
        Ok(engine) => engine,
        Err(_) if stops.iter().any(|stop| stop.is_draining()) => return Exit::Done,
        Err(error) => {
            tracing::error!(exit = error.0.exit.code(), "{error}");
            return error.0.exit;
        }
    };
    let ending = engine.join();
    for one in &ending.tallies {
        let tally = one.tally;
        let [delivered, superseded, dropped, dead_lettered] = tally.ended;
        tracing::info!(pipeline = %one.name, consumed = tally.consumed, delivered, superseded, dropped, dead_lettered,
            rewound = tally.rewound, open = tally.open, "ended");
    }
    ending.exit
}

/// Keeps only the named pipelines; all when none is named.
fn choose(plan: &mut Plan, names: &[String]) -> Result<(), String> {
    for name in names {
        if !plan.pipelines.iter().any(|pipeline| *pipeline.name == **name) {
            let known: Vec<_> = plan.pipelines.iter().map(|pipeline| &*pipeline.name).collect();
            return Err(format!("there is no pipeline `{name}`; the configuration has: {}", known.join(", ")));
        }
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
