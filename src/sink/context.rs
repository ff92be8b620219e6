//! What every sink of a pipeline is given.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::model::{Budget, PartitionTable, Report, ReportSender, RewindCause, Stop, Ticket};
use crate::mutants::{self, Mutant};
use crate::telemetry::health::Health;
use crate::telemetry::latency::LatencyBook;
use crate::telemetry::metrics::PipelineMetrics;

use super::reject::Rejects;

/// Handles of one pipeline, shared by its sink's threads and tasks.
#[derive(Clone)]
pub struct SinkContext {
    /// Pipeline name, for messages.
    pub pipeline: Arc<str>,
    /// The fence: asked before every send and re-send.
    pub table: Arc<PartitionTable>,
    /// To the source thread.
    pub reports: ReportSender,
    /// Lowest sequence number the intake has not taken yet. The source hands out no number at or above this plus the
    /// ring's size. Wake the source after moving it.
    pub released: Arc<AtomicU64>,
    /// The byte budget, for charges that do not come out of a batch's own.
    pub budget: Arc<Budget>,
    /// Counters.
    pub metrics: Arc<PipelineMetrics>,
    /// Histograms.
    pub latency: Arc<LatencyBook>,
    /// Named faults.
    pub health: Arc<Health>,
    /// How patient retries may be. Draining itself is told by the intake channel closing.
    pub stop: Arc<Stop>,
    /// Where rejects go.
    pub desk: Arc<Rejects>,
}

impl SinkContext {
    /// Tells of tickets whose batch was lost on the way, in sequence: nothing behind them may be sent before they were
    /// read again (I10), and the source may hear of it only after the next batches have come.
    pub fn lost(&self, tickets: Vec<Ticket>) {
        if tickets.is_empty() {
            return;
        }
        if !mutants::on(Mutant::HoleBehindALostBatch) {
            tickets.iter().for_each(|ticket| self.table.bar(ticket.slot, ticket.epoch));
        }
        self.report(Report::Rewind { tickets, cause: RewindCause::Lost });
    }

    /// Sends a report to the source and wakes it. Blocks only while the bounded channel is full, which the source
    /// empties in every turn.
    pub fn report(&self, report: Report) {
        self.reports.send(report);
    }
}
