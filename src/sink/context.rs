//! What every sink of a pipeline is given.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::model::{Report, ReportSender, RewindCause, Ticket};
use crate::mutants::{self, Mutant};
use crate::telemetry::handles::Handles;

use super::reject::Rejects;

/// What a sink's threads and tasks share. That the pipeline drains is told by the intake channel closing.
#[derive(Clone)]
pub struct SinkContext {
    /// What all threads of the pipeline share.
    pub pipeline: Arc<Handles>,
    /// To the source thread.
    pub reports: ReportSender,
    /// Lowest sequence number the intake has not taken yet. The source hands out no number at or above this plus the
    /// ring's size. Wake the source after moving it.
    pub released: Arc<AtomicU64>,
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
            tickets.iter().for_each(|ticket| self.pipeline.table.bar(ticket.slot, ticket.epoch));
        }
        self.report(Report::Rewind { tickets, cause: RewindCause::Lost });
    }

    /// Sends a report to the source and wakes it. Blocks only while the bounded channel is full, which the source
    /// empties in every turn.
    pub fn report(&self, report: Report) {
        self.reports.send(report);
    }
}
