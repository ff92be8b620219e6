//! The engine's source with nothing behind it: its batches are summed and settled by one thread.
//!
//! Consumer, ledger, fence, budget, rebalance and commits are the engine's own and as `sluicegate run --until end` has
//! them; parser, encoder and sink are left out, which no configuration can ask for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use anyhow::bail;
use sluicegate::internals::config::plan::PipelinePlan;
use sluicegate::internals::librdkafka::RecordBatch;
use sluicegate::internals::model::{Outcome, Part, PartitionId, Report, ReportSender, Run};
use sluicegate::internals::source::{InFlight, Source, SourceContext, SourceEnd, Until};
use sluicegate::internals::telemetry::handles::Handles;

use super::progress::{self, Progress};
use super::{Task, reader};

/// As the engine has it.
const RING: u64 = 64;
/// Places of the report channel.
const REPORTS: usize = 4096;

/// Nothing is ever on a wire.
struct NothingInFlight;

impl InFlight for NothingInFlight {
    fn ask(&self, _slot: PartitionId) {}

    fn is_quiet(&self, _slot: PartitionId) -> bool {
        true
    }

    fn purge(&self) {}
}

/// See the module.
///
/// # Errors
/// The source halts, or leaves records open.
pub fn run(task: &Task) -> anyhow::Result<()> {
    let progress = Progress::start(task.progress.as_deref())?;
    let plan = Arc::new(reader::pipeline(task)?);
    let pipeline = Handles::new(&plan.name, plan.memory.in_flight_bytes(), Arc::default());
    let (reports, reported) = flume::bounded(REPORTS);
    let reports = ReportSender::new(reports, pipeline.wake.clone());
    let (batches, drained) = flume::bounded::<RecordBatch>(2);
    let released = Arc::new(AtomicU64::new(0));
    let source = start(plan, pipeline, reported, batches, &released)?;
    for batch in drained {
        let RecordBatch { sequence, messages, runs, charge, .. } = batch;
        let sum = (0..messages.len()).filter_map(|index| messages.value(index)).map(progress::sum).sum();
        progress.add(messages.len() as u64, sum);
        drop(messages);
        released.store(sequence + 1, Ordering::Release);
        reports.send(Report::Settled(runs.iter().map(whole).collect()));
        drop(charge);
    }
    drop(reports);
    let end = source.join().map_err(|_| anyhow::anyhow!("the source panicked"))?;
    if end.halt.is_some() || end.left_open > 0 || !end.committed {
        bail!("the source ended with {end:?}");
    }
    progress.finish()
}

fn whole(run: &Run) -> Part {
    Part::of_records(run.ticket, Outcome::Delivered, run.records())
}

fn start(
    plan: Arc<PipelinePlan>,
    pipeline: Arc<Handles>,
    reports: flume::Receiver<Report>,
    batches: flume::Sender<RecordBatch>,
    released: &Arc<AtomicU64>,
) -> anyhow::Result<JoinHandle<SourceEnd>> {
    let context = SourceContext {
        pipeline,
        reports,
        batches,
        released: released.clone(),
        ring: RING,
        view: Arc::default(),
        in_flight: Arc::new(NothingInFlight),
        until: Some(Until::End),
        dry_run: false,
        plan,
    };
    let source = Source::open(context)?;
    Ok(std::thread::Builder::new().name("source".into()).spawn(move || source.run())?)
}
