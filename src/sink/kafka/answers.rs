//! From delivery reports to settlements: one report to the source for each served group.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use crate::librdkafka::ErrorCode;
use crate::librdkafka::producer::{ClientEvent, DeliveryReport};
use crate::librdkafka::words;
use crate::model::{Halt, Place, Report, RewindCause};
use crate::mutants::{self, Mutant};
use crate::telemetry::health::Component;

use super::flight::{Flight, wall_clock_ms};
use super::sink::{KafkaSink, SinkDue, SinkPhase};
use super::verdict::{Company, Verdict, class, judge, kind};

impl KafkaSink {
    /// Serves the producer and settles what was acknowledged; judges what failed.
    pub(super) fn serve(&mut self, now: Instant) {
        let mut reports = self.collect(now);
        let named = self.named_partitions(&reports);
        self.count_answers(&reports);
        self.settle(&reports, now);
        let halted = self.phase == SinkPhase::Halted;
        for report in reports.iter().filter(|report| report.error.is_some() && !halted) {
            if mutants::on(Mutant::IgnoreADeliveryError) {
                continue;
            }
            self.judge_failed(*report, &named);
        }
        self.sweep(&reports);
        reports.clear();
        self.scratch.reports = reports;
        self.act();
    }

    /// Serves the producer and settles what was acknowledged; what failed is left open, for the caller to rewind.
    pub(super) fn serve_only_deliveries(&mut self, now: Instant) {
        let mut reports = self.collect(now);
        self.settle(&reports, now);
        self.sweep(&reports);
        reports.clear();
        self.scratch.reports = reports;
    }

    /// A run of reports of one partition and one result is one answer, as far as the client lets us see.
    fn count_answers(&self, reports: &[DeliveryReport]) {
        for run in reports.chunk_by(|one, next| (one.partition, one.error) == (next.partition, next.error)) {
            let class = run.first().map(|report| class(report.error));
            class.into_iter().for_each(|class| self.ctx.pipeline.metrics.sink_request(class).add(1));
        }
    }

    /// Lets flights go whose last report is among these.
    fn sweep(&mut self, reports: &[DeliveryReport]) {
        for report in reports {
            if let Some(place) = self.flights.get_mut(report.buffer.0 as usize)
                && place.as_ref().is_some_and(Flight::is_done)
            {
                *place = None;
            }
        }
    }

    fn collect(&mut self, now: Instant) -> Vec<DeliveryReport> {
        self.scratch.said.clear();
        let mut reports = std::mem::take(&mut self.scratch.reports);
        let mut events = std::mem::take(&mut self.scratch.events);
        self.line.producer.serve(&mut reports, &mut events);
        for event in events.drain(..) {
            self.note(event, now);
        }
        self.scratch.events = events;
        reports
    }

    /// Settles acknowledged records, one part a ticket, and finishes flights.
    fn settle(&mut self, reports: &[DeliveryReport], now: Instant) {
        for group in reports.chunk_by(|one, other| one.buffer == other.buffer) {
            self.count_group(group, now);
        }
        let delivered = self.scratch.delivered.take();
        for part in &delivered {
            self.open.close(part.ticket, part.records);
        }
        let total: u32 = delivered.iter().map(|part| part.records).sum();
        if total == 0 {
            return;
        }
        self.ctx.report(Report::Settled(delivered));
        self.delivered += u64::from(total);
        self.ctx.desk.passed(total);
        self.ctx.pipeline.metrics.last_delivered_ms.set(wall_clock_ms());
        self.acknowledged(now);
    }

    /// Counts the reports of one buffer.
    fn count_group(&mut self, group: &[DeliveryReport], now: Instant) {
        let Some(place) = group.first().map(|report| report.buffer.0 as usize) else { return };
        let Some(Some(flight)) = self.flights.get_mut(place) else { return };
        let mut acknowledged = 0;
        for report in group {
            flight.open = flight.open.saturating_sub(1);
            if report.error.is_some() && !mutants::on(Mutant::IgnoreADeliveryError) {
                continue;
            }
            if let Some(place) = flight.answer(report.index) {
                self.scratch.delivered.add(&place);
                self.trouble.failing.ended(&place);
                acknowledged += 1;
                if self.line.alone {
                    self.suspects.cleared(&place);
                }
            }
        }
        if acknowledged > 0 {
            flight.acknowledged(acknowledged, now, &self.ctx.pipeline.latency);
        }
    }

    /// Partitions of which the broker named the guilty records of a batch: it says so by telling the others.
    fn named_partitions(&self, reports: &[DeliveryReport]) -> BTreeSet<i32> {
        if self.topic.is_none() {
            return BTreeSet::new();
        }
        reports
            .iter()
            .filter(|report| report.error == Some(ErrorCode::INVALID_DIFFERENT_RECORD))
            .map(|report| report.partition)
            .collect()
    }

    fn judge_failed(&mut self, report: DeliveryReport, named: &BTreeSet<i32>) {
        let DeliveryReport { buffer, index, error, partition } = report;
        let Some(code) = error else { return };
        self.ctx.pipeline.metrics.sink_item_errors.count(u16::try_from(code.number()).unwrap_or(0), kind(code), 1);
        let Some(item) = self.flight(buffer).and_then(|flight| flight.items.get(index as usize)).copied() else {
            return;
        };
        let company = if self.line.alone {
            Company::Alone
        } else if named.contains(&partition) {
            Company::Named
        } else {
            Company::Unknown
        };
        let ticket = item.place.ticket;
        self.open.close(ticket, 1);
        let topic = self.topic_of(buffer, &item);
        match judge(code, company) {
            Verdict::Reject(reason) => {
                let mut reject = self.refusal_reject(reason, code, 1, topic.as_deref().unwrap_or("?"));
                if let Some(said) = self.scratch.said.get(&(buffer, index)) {
                    reject.add(said);
                }
                let print = self.print(buffer, &item);
                self.suspects.condemn(&item.place, print, reject.clone());
                self.suspects.cleared(&item.place);
                self.trouble.failing.ended(&item.place);
                self.reject(buffer, index, item.place, reject);
            }
            verdict @ (Verdict::Rewind
            | Verdict::Suspect
            | Verdict::MissingTopic
            | Verdict::Fatal
            | Verdict::Halt(_)) => self.fail(verdict, code, item.place, topic.as_ref()),
        }
    }

    /// Decides on a record that was neither delivered nor rejected. What concerns the whole producer becomes due,
    /// because the group at hand still refers to it.
    pub(super) fn fail(&mut self, verdict: Verdict, code: ErrorCode, place: Place, topic: Option<&Arc<str>>) {
        let connection = self.setup.plan.connection.name.clone();
        let name = topic.map_or("?", |topic| topic);
        let now = Instant::now();
        self.patience.failed(now);
        self.trouble.failing.failed(&place, now, || format!("topic {name}: {code}"));
        match verdict {
            // Decided by the callers, who have the record's bytes.
            Verdict::Reject(_) => {}
            Verdict::Suspect => {
                self.suspects.suspect(&place);
                self.rewind(place.ticket, RewindCause::Delivery);
            }
            Verdict::Rewind => {
                self.trouble.last = format!("topic {name}: {code}");
                if self.line.producer.fatal().is_some() {
                    self.fail(Verdict::Fatal, code, place, topic);
                } else {
                    self.rewind(place.ticket, RewindCause::Delivery);
                }
            }
            Verdict::MissingTopic if self.roll.is_some() => {
                // It was there: what names it is put aside when it is read again.
                if let Some(topic) = topic {
                    self.note_missing(topic, place, code);
                }
                self.trouble.last = format!("topic {name}: {code}");
                self.rewind(place.ticket, RewindCause::Delivery);
            }
            Verdict::MissingTopic => {
                let message = format!(
                    "topic {name} of connection {connection} is not there: {code}. Create it; the pipeline waits and goes on \
                     by itself"
                );
                self.doomed.insert(place.ticket.slot, place.ticket.epoch);
                self.is_due(SinkDue::GiveUp { topic: topic.cloned(), message });
            }
            Verdict::Fatal => {
                self.rewind(place.ticket, RewindCause::Producer);
                self.is_due(SinkDue::Replace);
            }
            Verdict::Halt(exit) => {
                let message = format!(
                    "pipeline {}: topic {name} of connection {connection} refuses every record: {code}. Nothing was \
                     skipped. Correct the rights or the credentials of this user, then start again",
                    self.ctx.pipeline.name
                );
                self.is_due(SinkDue::Halt(Halt { exit, message }));
            }
        }
    }

    /// Something was acknowledged or a probe was answered: troubles are over.
    pub(super) fn acknowledged(&mut self, now: Instant) {
        self.patience.acknowledged(now);
        self.renewals = 0;
        self.trouble.refused = None;
        self.trouble.last.clear();
        self.trouble.heard.clear();
        self.arrived_there();
        if self.trouble.named && self.phase == SinkPhase::Running {
            self.trouble.named = false;
            self.trouble.late_named = false;
            self.ctx.pipeline.health.clear(Component::Sink);
        }
    }

    pub(super) fn arrived_there(&mut self) {
        if !self.reached {
            self.reached = true;
            self.ctx.pipeline.health.reached(Component::Sink);
        }
    }

    fn note(&mut self, event: ClientEvent, now: Instant) {
        match event {
            // The reports of this turn are judged after all of its events.
            ClientEvent::Refused { buffer, index, text } => {
                self.scratch.said.insert((buffer, index), text);
            }
            ClientEvent::Log { level, text } => {
                tracing::debug!(pipeline = %self.ctx.pipeline.name, level, "producer: {text}");
                if words::remedy(&text).is_some() {
                    self.trouble.heard = words::told(text.strip_prefix("FAIL: ").unwrap_or(&text));
                }
            }
            ClientEvent::Error { code, text } => {
                if code == ErrorCode::AUTHENTICATION || code == ErrorCode::SASL_AUTHENTICATION_FAILED {
                    let first = self.trouble.refused.map_or(now, |(first, _)| first);
                    self.trouble.refused = Some((first, now));
                }
                self.trouble.last = format!("{code}: {}", words::told(&text));
            }
        }
    }
}
