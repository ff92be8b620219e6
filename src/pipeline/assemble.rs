//! One pipeline: its threads and the channels between them.
//!
//! ```text
//! source ──batches──▶ workers ──intake──▶ sink ──▶ servers
//!    ▲                   │ reports          │ reports
//!    └───────────────────┴──────────────────┘
//! ```
//! The source closes `batches`; the workers end and close `intake`; the sink ends and closes the dead letters; the last
//! report sender goes. So a drain needs no other signal.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;

use crate::config::plan::{ElasticsearchSinkPlan, KafkaSinkPlan, OnReject, PipelinePlan, SinkPlan};
use crate::enrich::{Enricher, Lookups};
use crate::librdkafka::RecordBatch;
use crate::model::{Encode, Exit, Halt, Place, Prepared, Report, ReportSender};
use crate::preprocess::Program;
use crate::preprocess::steps;
use crate::preprocess::worker::{Preprocessor, Worker};
use crate::sink::context::SinkContext;
use crate::sink::elasticsearch::{BulkEncoder, ElasticsearchSink};
use crate::sink::kafka::{self, KafkaEncoder, KafkaSink};
use crate::sink::null;
use crate::sink::reject::Rejects;
use crate::source::view::SourceView;
use crate::source::{InFlight, Source, SourceContext, SourceEnd, Until};
use crate::telemetry::board::PipelineView;
use crate::telemetry::handles::Handles;

use super::in_flight::{BulkInFlight, NothingInFlight, ProducerInFlight};
use super::parts::PipelineParts;
use super::program;

/// Places of the sink's ring, and of its intake channel: batches between the source and the intake.
const RING: usize = 64;
/// Places of the report channel: one report is a bulk answer or a group of delivery reports.
const REPORTS: usize = 4096;
/// Commands to the Kafka sink: at most one a partition of a revoke.
const COMMANDS: usize = 4096;

/// What a thread of a pipeline is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ThreadRole {
    Source,
    Worker(usize),
    Sink,
}

impl fmt::Display for ThreadRole {
    /// The end of the thread's name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source => f.write_str("source"),
            Self::Worker(number) => write!(f, "worker-{number}"),
            Self::Sink => f.write_str("sink"),
        }
    }
}

/// What threads tell the engine.
pub(super) enum ThreadNotice {
    /// A thread ended; the source's end carries its account.
    Ended {
        /// Which pipeline.
        pipeline: usize,
        /// What the thread was for.
        role: ThreadRole,
        /// Its name.
        thread: String,
        /// It panicked.
        panicked: bool,
        /// The source's account.
        source: Option<SourceEnd>,
    },
    /// The watchdog of this pipeline has run out.
    Stuck(String),
}

/// A running pipeline, as the engine sees it.
pub(super) struct RunningPipeline {
    pub(super) plan: Arc<PipelinePlan>,
    pub(super) pipeline: Arc<Handles>,
    /// Weak: the source must see when everyone who could settle has gone.
    pub(super) reports: flume::WeakSender<Report>,
    pub(super) view: Arc<SourceView>,
    pub(super) board: Arc<PipelineView>,
    pub(super) threads: Vec<(String, JoinHandle<()>)>,
}

/// How far a run goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Where a bounded run stops.
    pub(super) until: Option<Until>,
    /// Neither write nor commit.
    pub(super) dry_run: bool,
}

/// A pipeline whose threads are about to start.
struct Assembly<'a> {
    shared: &'a PipelineParts,
    lookups: Option<Arc<Lookups>>,
    runtime: &'a tokio::runtime::Handle,
    notices: flume::Sender<ThreadNotice>,
    bounds: Bounds,
    context: SinkContext,
    reports: (flume::Sender<Report>, flume::Receiver<Report>),
    threads: Vec<(String, JoinHandle<()>)>,
}

/// Starts the threads of one pipeline.
///
/// # Errors
/// A property or address that cannot work, as a halt with its exit code.
pub(super) fn start(
    shared: &PipelineParts,
    lookups: Option<Arc<Lookups>>,
    runtime: &tokio::runtime::Handle,
    notices: flume::Sender<ThreadNotice>,
    bounds: Bounds,
) -> Result<RunningPipeline, Halt> {
    let reports = flume::bounded(REPORTS);
    let sender = ReportSender::new(reports.0.clone(), shared.pipeline.wake.clone());
    let desk = Rejects::open(&desk_plan(shared, bounds), shared.pipeline.clone(), sender.clone())
        .map_err(|message| invalid(shared, &message))?;
    let released = Arc::new(AtomicU64::new(0));
    let context = SinkContext { pipeline: shared.pipeline.clone(), reports: sender, released, desk };
    if let Some(lookups) = &lookups {
        // Nothing joins that thread, for it keeps nothing alive: it ends with a drain, or with the workers.
        drop(lookups.spawn_refresh()?);
    }
    let threads = Vec::new();
    let mut assembly = Assembly { shared, lookups, runtime, notices, bounds, context, reports, threads };
    match &shared.plan.sink {
        SinkPlan::Kafka(plan) => assembly.kafka(plan)?,
        SinkPlan::Elasticsearch(plan) => assembly.elasticsearch(plan)?,
    }
    let Assembly { reports, threads, .. } = assembly;
    Ok(RunningPipeline {
        plan: shared.plan.clone(),
        pipeline: shared.pipeline.clone(),
        reports: reports.0.downgrade(),
        view: shared.view.clone(),
        board: shared.board.clone(),
        threads,
    })
}

/// A dry run writes no dead letters and stops at no reject.
fn desk_plan(shared: &PipelineParts, bounds: Bounds) -> PipelinePlan {
    let mut plan = (*shared.plan).clone();
    if bounds.dry_run {
        plan.on_reject = OnReject::Drop;
    }
    plan
}

fn invalid(shared: &PipelineParts, message: &str) -> Halt {
    Halt { exit: Exit::Config, message: format!("pipeline {}: {message}", shared.plan.name) }
}

impl Assembly<'_> {
    fn kafka(&mut self, plan: &KafkaSinkPlan) -> Result<(), Halt> {
        let program = self.compile()?;
        let encoder = plan.clone();
        let encoder = move || KafkaEncoder::new(&encoder);
        if self.bounds.dry_run {
            return self.discard(&program, encoder, |item| item.place);
        }
        let setup = kafka::Setup {
            plan: plan.clone(),
            retry: self.shared.plan.retry,
            memory_bytes: self.shared.plan.memory.0,
            ring: RING,
        };
        let sink = KafkaSink::open(setup, self.context.clone()).map_err(|message| invalid(self.shared, &message))?;
        let (commands, ordered) = flume::bounded(COMMANDS);
        let intake = self.front(&program, encoder, Arc::new(ProducerInFlight(commands)))?;
        let desk = self.context.desk.clone();
        self.spawn(ThreadRole::Sink, move || {
            sink.run(intake, ordered);
            desk.close();
            None
        })
    }

    fn elasticsearch(&mut self, plan: &ElasticsearchSinkPlan) -> Result<(), Halt> {
        let program = self.compile()?;
        let encoder = plan.clone();
        let encoder = move || BulkEncoder::new(&encoder);
        if self.bounds.dry_run {
            return self.discard(&program, encoder, |item| item.place);
        }
        let sink = ElasticsearchSink::new(plan.clone(), self.shared.plan.retry, RING, self.context.clone())
            .map_err(|fault| invalid(self.shared, &fault.to_string()))?;
        let in_flight = Arc::new(BulkInFlight(sink.in_flight()));
        let intake = self.front(&program, encoder, in_flight)?;
        let (desk, runtime) = (self.context.desk.clone(), self.runtime.clone());
        self.spawn(ThreadRole::Sink, move || {
            runtime.block_on(sink.run(intake));
            desk.close();
            None
        })
    }

    /// A dry run: everything but the sink.
    fn discard<E: Encode>(
        &mut self,
        program: &Arc<Program>,
        encoder: impl Fn() -> E + Clone + Send + 'static,
        place: impl Fn(&E::Item) -> Place + Send + 'static,
    ) -> Result<(), Halt> {
        let intake = self.front(program, encoder, Arc::new(NothingInFlight))?;
        let context = self.context.clone();
        self.spawn(ThreadRole::Sink, move || {
            null::run(&intake, RING, &context, place);
            None
        })
    }

    fn compile(&self) -> Result<Arc<Program>, Halt> {
        program::compile(&self.shared.plan)
            .map_err(|error| invalid(self.shared, &format!("{}: {}", error.place, error.problem)))
    }

    /// The source and the workers; returns what the sink takes in.
    fn front<E: Encode>(
        &mut self,
        program: &Arc<Program>,
        encoder: impl Fn() -> E + Clone + Send + 'static,
        in_flight: Arc<dyn InFlight>,
    ) -> Result<flume::Receiver<Prepared<E::Item>>, Halt> {
        let workers = self.shared.plan.workers.max(1);
        let (batches, waiting) = flume::bounded::<RecordBatch>(workers * 2);
        let (prepared, intake) = flume::bounded(RING);
        for number in 0..workers {
            let worker = self.worker(program, encoder.clone(), waiting.clone(), prepared.clone());
            self.spawn(ThreadRole::Worker(number), move || {
                worker.run();
                None
            })?;
        }
        let source = Source::open(self.source_context(batches, in_flight))
            .map_err(|error| invalid(self.shared, &error.to_string()))?;
        self.spawn(ThreadRole::Source, move || Some(source.run()))?;
        Ok(intake)
    }

    fn worker<E: Encode>(
        &self,
        program: &Arc<Program>,
        encoder: impl Fn() -> E + Send + 'static,
        batches: flume::Receiver<RecordBatch>,
        intake: flume::Sender<Prepared<E::Item>>,
    ) -> Worker<E> {
        let (program, lookups) = (program.clone(), self.lookups.clone());
        let lookups = lookups.unwrap_or_else(|| Lookups::in_memory(Vec::new()));
        let (value_bytes, most_items) = (self.shared.plan.value_bytes, self.shared.plan.most_items);
        let make = move || {
            Preprocessor::new(program.clone(), Enricher::new(lookups.clone()), encoder())
                .with_value_limit(value_bytes)
                .with_item_limit(most_items)
        };
        Worker {
            batches,
            intake,
            make: Box::new(make),
            pipeline: self.shared.pipeline.clone(),
            reports: self.context.reports.clone(),
            keep_originals: self.context.desk.needs_original(),
        }
    }

    fn source_context(&self, batches: flume::Sender<RecordBatch>, in_flight: Arc<dyn InFlight>) -> SourceContext {
        let shared = self.shared;
        SourceContext {
            plan: shared.plan.clone(),
            pipeline: shared.pipeline.clone(),
            reports: self.reports.1.clone(),
            batches,
            released: self.context.released.clone(),
            ring: RING as u64,
            view: shared.view.clone(),
            in_flight,
            until: self.bounds.until,
            dry_run: self.bounds.dry_run,
        }
    }

    /// Starts a named thread that tells the engine when it ends, also by a panic.
    fn spawn(
        &mut self,
        role: ThreadRole,
        body: impl FnOnce() -> Option<SourceEnd> + Send + 'static,
    ) -> Result<(), Halt> {
        let name = format!("{}-{role}", self.shared.plan.name);
        let (notices, pipeline, thread) = (self.notices.clone(), self.shared.index, name.clone());
        let builder = std::thread::Builder::new().name(name.clone());
        let builder = match role {
            ThreadRole::Worker(_) if self.shared.plan.runs_programs() => builder.stack_size(steps::STACK_BYTES),
            ThreadRole::Worker(_) | ThreadRole::Source | ThreadRole::Sink => builder,
        };
        let started = builder.spawn(move || {
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
            let panicked = ended.is_err();
            drop(notices.send(ThreadNotice::Ended { pipeline, role, thread, panicked, source: ended.ok().flatten() }));
        });
        match started {
            Ok(handle) => {
                self.threads.push((name, handle));
                Ok(())
            }
            Err(error) => Err(Halt { exit: Exit::Failure, message: format!("cannot start thread {name}: {error}") }),
        }
    }
}
