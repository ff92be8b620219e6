//! The process: starts all pipelines, hears what their threads tell, stops them in order, and names the exit code.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::plan::{OnHalt, Plan};
use crate::enrich::Lookups;
use crate::model::{Conservation, Exit, Halt, Report, Stop, TopicPartition};
use crate::source::{SourceEnd, Until, view::Books};
use crate::telemetry::board::Board;
use crate::telemetry::handles::Handles;
use crate::telemetry::health::State;
use crate::telemetry::http::EndpointShutdown;
use crate::telemetry::reporter::{Collected, ReporterHandle};
use crate::telemetry::run_files::{self, RunFile};

use super::assemble::{self, Bounds, RunningPipeline, ThreadNotice, ThreadRole};
use super::observe::{build_info, reporter, serve};
use super::parts::PipelineParts;
use super::startup;

/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(50);
/// How long threads may take to end after they were told to abort.
const ABORT_WITHIN: Duration = Duration::from_secs(15);
/// How long a thread may take to end after its notice.
const LAST_BREATH: Duration = Duration::from_secs(1);

/// How an engine is run.
#[derive(Default)]
pub struct EngineOptions {
    /// Stop there.
    pub until: Option<Until>,
    /// Read by assignment, transform, neither write nor commit.
    pub dry_run: bool,
    /// Look-ups from memory in the place of Redis, for every pipeline that has any.
    pub lookups: Option<Arc<Lookups>>,
    /// Where the run's report goes.
    pub report: Option<PathBuf>,
    /// The effective configuration with secrets masked, for the report.
    pub settings: serde_json::Value,
    /// Nothing is timed before [`Board::measure`].
    pub warm_up: bool,
}

/// Why an engine did not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.message)]
pub struct StartError(pub Halt);

/// Where the records of a pipeline went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineTally {
    /// Pipeline name.
    pub name: Arc<str>,
    /// The books' sums.
    pub tally: Conservation,
}

/// How a run ended.
pub struct Ending {
    /// The process exit.
    pub exit: Exit,
    /// The first halt.
    pub halt: Option<Halt>,
    /// Final sums.
    pub tallies: Vec<PipelineTally>,
    /// Histograms and time series of the whole run.
    pub(crate) collected: Option<Collected>,
    /// The run file.
    pub run_file: Option<RunFile>,
}

/// Running pipelines.
pub struct Engine {
    pipelines: Vec<RunningPipeline>,
    ended: Vec<Option<SourceEnd>>,
    notices: flume::Receiver<ThreadNotice>,
    board: Arc<Board>,
    reporter: Option<ReporterHandle>,
    endpoint: Option<EndpointShutdown>,
    runtime: tokio::runtime::Runtime,
    options: EngineOptions,
    shutdown_timeout: Duration,
    halt: Option<Halt>,
    drain_deadlines: Vec<Option<Instant>>,
    abort_deadline: Option<Instant>,
    live_threads: usize,
}

/// Asks an engine to stop, from any thread.
#[derive(Clone)]
pub struct StopHandle {
    pipelines: Vec<Arc<Handles>>,
}

impl StopHandle {
    /// Finish what is open, commit, leave.
    pub fn drain(&self) {
        self.pipelines.iter().for_each(|one| one.stop.drain());
        self.pipelines.iter().for_each(|one| one.wake.wake());
    }

    /// At once: nothing unresolved is committed.
    pub fn abort(&self) {
        self.pipelines.iter().for_each(|one| one.stop.abort());
        self.pipelines.iter().for_each(|one| one.wake.wake());
    }
}

impl Engine {
    /// Waits for the servers, then starts every pipeline of the plan.
    ///
    /// # Errors
    /// [`StartError`] with the exit code of its cause; nothing is left running.
    pub fn start(plan: Plan, options: EngineOptions) -> Result<Self, StartError> {
        let stops: Vec<Arc<Stop>> = plan.pipelines.iter().map(|_| Arc::default()).collect();
        Self::start_with(plan, options, stops)
    }

    /// The same with stop switches made before, one a pipeline, so that a signal during start is heard.
    ///
    /// # Errors
    /// See [`Engine::start`].
    pub(crate) fn start_with(plan: Plan, options: EngineOptions, stops: Vec<Arc<Stop>>) -> Result<Self, StartError> {
        let runtime = runtime().map_err(StartError)?;
        let pipelines = plan.pipelines.into_iter().zip(stops).enumerate();
        let handles = |(index, (pipeline, stop))| PipelineParts::new(index, pipeline, stop);
        let shared: Vec<_> = pipelines.map(handles).collect();
        let board = Board::new(build_info(), plan.hash.clone(), shared.iter().map(|one| one.board.clone()).collect());
        let endpoint = plan.listen.map(|address| runtime.block_on(serve(address, board.clone()))).transpose();
        let endpoint = endpoint.map_err(StartError)?;
        let deadline = Instant::now() + plan.startup_timeout;
        let mut lookups = Vec::new();
        for one in &shared {
            let found = match &options.lookups {
                Some(memory) => Some(memory.clone()),
                None => one.lookups().map_err(StartError)?,
            };
            let bounded = options.until.is_some() || options.dry_run;
            let wait = startup::Wait {
                pipeline: &one.plan.name,
                health: &one.pipeline.health,
                stop: &one.pipeline.stop,
                deadline,
                bounded,
            };
            startup::await_servers(&one.plan, found.as_deref(), runtime.handle(), &wait).map_err(StartError)?;
            lookups.push(found);
        }
        let (tell, notices) = flume::unbounded();
        let reporter = reporter(&board, &options, (plan.watchdog_timeout, plan.memory_bytes as u64), tell.clone())
            .map_err(StartError)?;
        let mut pipelines = Vec::new();
        let bounds = Bounds { until: options.until, dry_run: options.dry_run };
        for (one, lookups) in shared.iter().zip(lookups) {
            match assemble::start(one, lookups, runtime.handle(), tell.clone(), bounds) {
                Ok(running) => pipelines.push(running),
                Err(halt) => {
                    abandon(pipelines);
                    return Err(StartError(halt));
                }
            }
        }
        Ok(Self {
            ended: pipelines.iter().map(|_| None).collect(),
            drain_deadlines: pipelines.iter().map(|_| None).collect(),
            live_threads: pipelines.iter().map(|running| running.threads.len()).sum(),
            pipelines,
            notices,
            board,
            reporter: Some(reporter),
            endpoint,
            runtime,
            options,
            shutdown_timeout: plan.shutdown_timeout,
            halt: None,
            abort_deadline: None,
        })
    }

    /// A handle that stops this engine.
    #[must_use]
    pub fn stop_handle(&self) -> StopHandle {
        StopHandle { pipelines: self.pipelines.iter().map(|one| one.pipeline.clone()).collect() }
    }

    /// The sums of every pipeline, as of a moment ago.
    #[must_use]
    pub(crate) fn tallies(&self) -> Vec<PipelineTally> {
        self.pipelines
            .iter()
            .map(|one| PipelineTally { name: one.plan.name.clone(), tally: one.view.tally() })
            .collect()
    }

    /// A reader of the resolved position of a partition, for other threads.
    pub(crate) fn positions(&self) -> impl Fn(&str, &TopicPartition) -> Option<i64> + Send + Sync + 'static {
        let views: Vec<_> = self.pipelines.iter().map(|one| (one.plan.name.clone(), one.view.clone())).collect();
        move |pipeline, name| {
            let (_, view) = views.iter().find(|(known, _)| &**known == pipeline)?;
            let Books { positions, .. } = view.books();
            positions.get(name).map(|position| position.0)
        }
    }

    /// What the endpoint shows.
    #[must_use]
    pub fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// Waits for the end: a signal's drain, a halt, or the end of a bounded run.
    #[must_use]
    pub fn join(mut self) -> Ending {
        while self.live_threads > 0 {
            match self.notices.recv_timeout(TICK) {
                Ok(notice) => self.take(notice),
                Err(flume::RecvTimeoutError::Timeout) => {}
                Err(flume::RecvTimeoutError::Disconnected) => break,
            }
            if self.look_at_deadlines(Instant::now()) {
                break;
            }
        }
        self.conclude()
    }

    /// Whether every thread has ended; takes in what they told.
    #[must_use]
    pub fn has_ended(&mut self) -> bool {
        while let Ok(notice) = self.notices.try_recv() {
            self.take(notice);
        }
        self.look_at_deadlines(Instant::now());
        self.live_threads == 0 || self.halt.is_some()
    }

    fn take(&mut self, notice: ThreadNotice) {
        match notice {
            ThreadNotice::Stuck(pipeline) => {
                let message = format!(
                    "pipeline {pipeline}: records are open, no fault is named, and nothing was resolved for the watchdog's time"
                );
                if let Some(running) = self.pipelines.iter().find(|one| *one.plan.name == *pipeline) {
                    running.board.pipeline.health.set_state(State::Failed);
                }
                self.halted(Halt { exit: Exit::Temporary, message }, OnHalt::Exit);
                self.stop_handle().abort();
            }
            ThreadNotice::Ended { pipeline, role, thread, panicked, source } => {
                self.live_threads = self.live_threads.saturating_sub(1);
                match source {
                    Some(end) => self.source_ended(pipeline, end),
                    None => self.ended_without_account(pipeline, role, &thread, panicked),
                }
            }
        }
    }

    fn source_ended(&mut self, pipeline: usize, end: SourceEnd) {
        let running = &self.pipelines[pipeline];
        let (state, on_halt) = (if end.halt.is_some() { State::Failed } else { State::Done }, running.plan.on_halt);
        running.board.pipeline.health.set_state(state);
        // Whatever of the sink is still waiting has nobody left to report to.
        running.pipeline.stop.abort();
        if let Some(halt) = end.halt.clone() {
            tracing::error!(pipeline = %running.plan.name, exit = halt.exit.code(), "{}", halt.message);
            self.halted(halt, on_halt);
        }
        self.ended[pipeline] = Some(end);
    }

    /// A worker or sink ends after its source, or because a drain has closed its channel; otherwise it is a fault. A
    /// source that leaves no account has panicked.
    fn ended_without_account(&mut self, pipeline: usize, role: ThreadRole, thread: &str, panicked: bool) {
        let running = &self.pipelines[pipeline];
        let expected = running.pipeline.stop.is_draining() || self.ended[pipeline].is_some();
        if panicked || (!expected && role == ThreadRole::Source) {
            let message = format!("thread {thread} ended unexpectedly: this is a bug; see the log above");
            let halt = Halt { exit: Exit::Failure, message };
            match role {
                ThreadRole::Source => {
                    self.ended[pipeline] = Some(SourceEnd { halt: Some(halt.clone()), left_open: 0, committed: false });
                    self.pipelines[pipeline].pipeline.stop.abort();
                }
                ThreadRole::Worker(_) | ThreadRole::Sink => {
                    if let Some(reports) = running.reports.upgrade() {
                        drop(reports.try_send(Report::Halt(halt.clone())));
                    }
                    running.pipeline.wake.wake();
                }
            }
            self.halted(halt, OnHalt::Exit);
        }
    }

    fn halted(&mut self, halt: Halt, on_halt: OnHalt) {
        self.halt.get_or_insert(halt);
        match on_halt {
            OnHalt::Exit => self.stop_handle().drain(),
            OnHalt::KeepOthers => {}
        }
    }

    /// Aborts what drains too long. Returns whether even the abort has taken too long.
    fn look_at_deadlines(&mut self, now: Instant) -> bool {
        let mut aborting = false;
        for (index, running) in self.pipelines.iter().enumerate() {
            if running.pipeline.stop.is_draining() && self.ended[index].is_none() {
                if self.drain_deadlines[index].is_none() {
                    running.board.pipeline.health.set_state(State::Draining);
                    running.pipeline.wake.wake();
                }
                let deadline = *self.drain_deadlines[index].get_or_insert(now + self.shutdown_timeout);
                if now >= deadline && !running.pipeline.stop.is_aborting() {
                    tracing::warn!(pipeline = %running.plan.name, "shutdown.timeout passed: leaving the rest uncommitted");
                    running.pipeline.stop.abort();
                    running.pipeline.wake.wake();
                }
            }
            aborting |= running.pipeline.stop.is_aborting();
        }
        let all_aborting = self.pipelines.iter().all(|running| running.pipeline.stop.is_aborting());
        if aborting && all_aborting {
            return now >= *self.abort_deadline.get_or_insert(now + ABORT_WITHIN);
        }
        false
    }

    fn conclude(mut self) -> Ending {
        let deadline = Instant::now() + LAST_BREATH;
        for running in &mut self.pipelines {
            for (name, thread) in running.threads.drain(..) {
                // Its notice is the last thing a thread does but for ending.
                while self.live_threads == 0 && !thread.is_finished() && Instant::now() < deadline {
                    std::thread::park_timeout(Duration::from_millis(1));
                }
                if thread.is_finished() {
                    drop(thread.join());
                } else {
                    tracing::warn!("thread {name} did not end in time; it ends with the process");
                }
            }
        }
        let exit = self.exit();
        let collected = self.reporter.take().and_then(ReporterHandle::finish);
        let run_file = collected
            .as_ref()
            .map(|collected| RunFile::new(&self.board, collected, std::mem::take(&mut self.options.settings)));
        if let (Some(directory), Some(run), Some(collected)) = (&self.options.report, &run_file, &collected) {
            match run_files::write(directory, run, collected) {
                Ok(_) => tracing::info!("report written to {}", directory.display()),
                Err(error) => tracing::error!("{error}"),
            }
        }
        let tallies = self.tallies();
        if let Some(endpoint) = self.endpoint.take() {
            endpoint.now();
        }
        self.runtime.shutdown_timeout(Duration::from_secs(2));
        Ending { exit, halt: self.halt, tallies, collected, run_file }
    }

    fn exit(&self) -> Exit {
        if let Some(halt) = &self.halt {
            return halt.exit;
        }
        let clean = |end: &Option<SourceEnd>| end.as_ref().is_some_and(|end| end.left_open == 0 && end.committed);
        if self.ended.iter().all(clean) { Exit::Done } else { Exit::Temporary }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Halt> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("io")
        .enable_all()
        .build()
        .map_err(|error| Halt { exit: Exit::Failure, message: format!("cannot start the I/O runtime: {error}") })
}

/// Ends what was started, so that consumers leave their groups.
fn abandon(pipelines: Vec<RunningPipeline>) {
    for running in &pipelines {
        running.pipeline.stop.abort();
        running.pipeline.wake.wake();
    }
    let deadline = Instant::now() + ABORT_WITHIN;
    for (name, thread) in pipelines.into_iter().flat_map(|running| running.threads) {
        while !thread.is_finished() && Instant::now() < deadline {
            std::thread::park_timeout(TICK);
        }
        if !thread.is_finished() {
            tracing::warn!("thread {name} did not end in time; it ends with the process");
        }
    }
}
