//! A worker thread: takes the next batch, prepares it, passes it on. Every sequence number it takes reaches the sink's
//! intake exactly once, also when the batch is fenced, a look-up is interrupted, or preparing it panics.

mod batch;
mod ends;
mod output;
mod prepare;

pub use prepare::Preprocessor;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use crate::enrich::LookupStop;
use crate::librdkafka::{RecordBatch, SharedBatch};
use crate::model::{Charge, Encode, Prepared, Report, ReportSender, Run, Sequence, Ticket};
use crate::mutants::{self, Mutant};
use crate::telemetry::handles::Handles;
use crate::telemetry::latency::Stage;
use crate::telemetry::metrics::StageName;

/// What a record held for a dead letter costs beyond its bytes: librdkafka's operation and its place in our lists.
const KEPT_OVERHEAD: usize = 400;

/// What a worker is given.
pub struct Worker<E: Encode> {
    /// From the source; shared by all workers.
    pub batches: flume::Receiver<RecordBatch>,
    /// To the sink. Has a place for every sequence number that may be out, so sending never waits.
    pub intake: flume::Sender<Prepared<E::Item>>,
    /// Makes a preprocessor: at start, and anew after a panic, whose state is not to be trusted.
    pub make: Box<dyn Fn() -> Preprocessor<E> + Send>,
    /// What all threads of the pipeline share.
    pub pipeline: Arc<Handles>,
    /// To the source, for halts, and for records of which steps made several items.
    pub reports: ReportSender,
    /// Whether originals must outlive preparation (`on_reject: dead_letter`).
    pub keep_originals: bool,
}

impl<E: Encode> Worker<E> {
    /// Runs until the source has closed the channel and it is empty.
    pub fn run(self) {
        let mut preprocessor = (self.make)();
        while let Ok(batch) = self.batches.recv() {
            let started = Instant::now();
            if !self.pass_on(&mut preprocessor, batch) {
                preprocessor = (self.make)();
            }
            self.pipeline.metrics.busy(StageName::Preprocess).add(started.elapsed().as_nanos() as u64);
        }
    }

    /// Prepares one batch and sends it. Returns whether the preprocessor may be used again.
    fn pass_on(&self, preprocessor: &mut Preprocessor<E>, batch: RecordBatch) -> bool {
        let RecordBatch { sequence, messages, runs, charge, polled } = batch;
        let mut promise = Promise::new(self, sequence, &runs, polled);
        let mut prepared = Prepared::empty(sequence, charge, polled);
        prepared.oldest_timestamp_ms = runs.iter().filter_map(|run| messages.timestamp_ms(run.start as usize)).min();
        let still_wanted = || !self.pipeline.stop.is_aborting() && runs.iter().any(|run| self.is_current(run));
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            preprocessor.prepare(&runs, &messages, &self.pipeline.table, &still_wanted, &mut prepared)
        }));
        match outcome {
            Ok(Ok(())) => {
                if !prepared.splits.is_empty() {
                    // Before the sink has the batch: no item of it can end earlier.
                    let records = prepared.splits.drain(..).map(|(_, record)| record).collect();
                    self.reports.send(Report::Split(records));
                }
                let kept = if self.keep_originals {
                    let bytes = (0..messages.len()).map(|index| messages.bytes_at(index) + KEPT_OVERHEAD).sum();
                    prepared.originals = Some(SharedBatch::new(messages));
                    bytes
                } else {
                    drop(messages);
                    0
                };
                // What is allocated, not only what is used of it.
                let items = prepared.items.capacity() * size_of::<E::Item>();
                prepared.charge.set(prepared.payload.capacity() + items + kept);
                self.pipeline.latency.record(Stage::Preprocess, polled.elapsed(), prepared.items.len() as u64);
                promise.keep(prepared);
                true
            }
            Ok(Err(stop)) => {
                if let LookupStop::Halt(halt) = stop {
                    self.reports.send(Report::Halt(halt));
                }
                // What is left of it is read again; the sink must send nothing behind it before.
                drop(promise);
                true
            }
            Err(_) => {
                tracing::error!(pipeline = %self.pipeline.metrics.pipeline, sequence,
                    "preparing a batch panicked: this is a bug; its partitions are read again");
                drop(promise);
                false
            }
        }
    }

    fn is_current(&self, run: &Run) -> bool {
        self.pipeline.table.is_current(run.ticket.slot, run.ticket.epoch)
    }
}

/// Holds a sequence number: if it is dropped without a batch, an empty one goes out that tells what was lost.
struct Promise<'a, E: Encode> {
    worker: &'a Worker<E>,
    sequence: Sequence,
    tickets: Vec<Ticket>,
    polled: Instant,
    kept: bool,
}

impl<'a, E: Encode> Promise<'a, E> {
    fn new(worker: &'a Worker<E>, sequence: Sequence, runs: &[Run], polled: Instant) -> Self {
        Self { worker, sequence, tickets: runs.iter().map(|run| run.ticket).collect(), polled, kept: false }
    }

    fn keep(&mut self, prepared: Prepared<E::Item>) {
        self.kept = true;
        // The sink is gone only when the process ends.
        drop(self.worker.intake.send(prepared));
    }
}

impl<E: Encode> Drop for Promise<'_, E> {
    fn drop(&mut self) {
        if !self.kept && !mutants::on(Mutant::SequenceLostWithItsWorker) {
            let mut empty = Prepared::empty(self.sequence, Charge::none(), self.polled);
            empty.lost = std::mem::take(&mut self.tickets);
            drop(self.worker.intake.send(empty));
        }
    }
}
