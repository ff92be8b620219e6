//! Taking in what workers and sink report: parts of tickets, orders to go back, halts.

use std::time::Instant;

use crate::model::{Part, Report, RewindCause};

use super::client::Client;
use super::control::Source;
use super::ledger::Settled;
use super::pauses::PauseReason;

/// Most reports taken in one turn, so that drains get their turn too.
const REPORTS_A_TURN: usize = 1024;

impl<C: Client> Source<C> {
    /// Takes what workers and sink reported. Returns whether the bound was reached, so that more may wait.
    pub(super) fn take_reports(&mut self, now: Instant) -> bool {
        for taken in 0..REPORTS_A_TURN {
            let Ok(report) = self.cx.reports.try_recv() else { return taken > 0 };
            self.take_report(report, now);
        }
        true
    }

    fn take_report(&mut self, report: Report, now: Instant) {
        match report {
            Report::Split(records) => records.into_iter().for_each(|record| self.ledger.split(record)),
            Report::Settled(parts) => parts.into_iter().for_each(|part| self.settle(part, now)),
            Report::Rewind { tickets, cause } => {
                let current: std::collections::BTreeSet<_> = tickets
                    .into_iter()
                    .filter(|ticket| self.ledger.epoch(ticket.slot) == ticket.epoch)
                    .map(|ticket| ticket.slot)
                    .collect();
                current.into_iter().for_each(|slot| self.rewind(slot, cause, now));
            }
            Report::GaveUp(why) => self.gave_up(why.cause(), now),
            Report::SinkAnswers => {
                self.probing = false;
                self.pause_all(PauseReason::Probe, false);
            }
            Report::Quiet(slot) => self.rebalance.heard_quiet(slot),
            Report::Halt(halt) => {
                self.halt.get_or_insert(halt);
            }
        }
    }

    fn settle(&mut self, part: Part, now: Instant) {
        let slot = part.ticket.slot;
        match self.ledger.settle(part) {
            Settled::Part => self.last_progress = now,
            Settled::Closed { parts, advanced } => {
                self.last_progress = now;
                for (outcome, records) in parts {
                    self.cx.pipeline.metrics.outcome(outcome).add(u64::from(records));
                }
                if advanced && let Some(partition) = self.partitions.get_mut(&slot) {
                    partition.progressed();
                    if self.ledger.span(slot) <= self.cx.plan.span_records as u64 / 2 {
                        partition.pauses.remove(PauseReason::Span);
                    }
                }
            }
            Settled::Stale => self.cx.pipeline.metrics.stale_parts.add(u64::from(part.records)),
            Settled::Excess => {
                self.cx.pipeline.metrics.conservation_errors.add(1);
                tracing::error!(pipeline = %self.cx.plan.name, ?part, "more records settled than read: a bug; rewinding");
                self.rewind(slot, RewindCause::Lost, now);
            }
        }
    }

    fn gave_up(&mut self, cause: RewindCause, now: Instant) {
        self.probing = true;
        self.pause_all(PauseReason::Probe, true);
        let unresolved: Vec<_> = self.ledger.unresolved().collect();
        unresolved.into_iter().for_each(|slot| self.rewind(slot, cause, now));
    }
}
