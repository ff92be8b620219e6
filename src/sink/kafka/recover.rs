//! What happens when records do not get through: rewinds, new producers, giving up and probing, halting.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::librdkafka::ErrorCode;
use crate::librdkafka::producer::Probe;
use crate::model::{Backoff, Exit, GiveUp, Halt, Report, RewindCause, Ticket};
use crate::telemetry::health::Component;

use super::flight::Flight;
use super::line::open_line;
use super::patience::HandedOver;
use super::sink::{KafkaSink, SinkDue, SinkPhase};
use super::verdict::{TopicAnswer, Verdict, judge_fatal, judge_probe};

/// Between probes.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// How long one probe may block the thread.
const PROBE_LIMIT: Duration = Duration::from_millis(400);
/// How long the reports of a purge may take.
const PURGE_LIMIT: Duration = Duration::from_secs(2);
const PURGE_GLANCE: Duration = Duration::from_millis(10);
/// Without an acknowledgement for this long the wait becomes a named fault.
const NAMED_AFTER: Duration = Duration::from_secs(2);
/// Records that fail at once, again and again, become a named fault after this long without an acknowledgement.
const FAILING_NAMED_AFTER: Duration = Duration::from_secs(5);
/// Records whose answer comes later than this, although others are acknowledged, become a named fault.
const LATE_NAMED_AFTER: Duration = Duration::from_secs(5);
/// Refused credentials end the pipeline after this long: at start, and after something was acknowledged once.
const REFUSED_AT_START: Duration = Duration::from_secs(10);
const REFUSED_LATER: Duration = Duration::from_secs(300);
/// A refusal older than this is no sign that credentials are still refused.
const REFUSED_RECENTLY: Duration = Duration::from_secs(30);

impl KafkaSink {
    /// Deadlines: faults to name, giving up, probes, thinning, questions.
    pub(super) fn tick(&mut self, now: Instant) {
        self.patience.observe(now, !self.open.is_empty());
        if self.line.producer.fatal().is_some() && self.phase != SinkPhase::Halted {
            self.is_due(SinkDue::Replace);
            self.act();
        }
        if self.patience.waited(now) >= NAMED_AFTER || self.patience.failed_for(now) >= FAILING_NAMED_AFTER {
            self.name_fault();
        }
        self.name_late(now);
        self.oldest.observe(now, self.oldest_open());
        self.look_at_brokers(now);
        if self.phase == SinkPhase::Running && self.patience.is_spent(now) {
            let message = self.fault_text();
            self.give_up(GiveUp::Unacknowledged, self.topic.clone(), &message);
        } else if self.phase == SinkPhase::Running && self.oldest.is_spent(now) {
            self.send_late_again(now);
        }
        self.check_credentials(now);
        self.call_roll(now);
        self.turn_phase(now);
        for flight in self.flights.iter_mut().flatten() {
            flight.thin(now);
        }
        self.answer_quiet();
    }

    /// Names the bootstrap servers again when nothing has been answered for long.
    fn look_at_brokers(&mut self, now: Instant) {
        let probing = matches!(self.phase, SinkPhase::Probing { .. });
        if !probing && self.patience.waited(now) < NAMED_AFTER {
            self.bootstrap.answered();
        } else if self.bootstrap.is_due(now) {
            tracing::info!(pipeline = %self.ctx.pipeline.name, "nothing is answered: the bootstrap servers are tried again");
            self.line.producer.bootstrap_again();
        }
    }

    /// The batch that was handed over first among those with open records, and how many these are.
    fn oldest_open(&self) -> Option<(HandedOver, u32)> {
        let open = self.flights.iter().flatten().filter(|flight| flight.open > 0);
        open.map(|flight| (flight.number, flight.open)).min()
    }

    /// While the sink asked and waited, no answer could be heard: that time does not count.
    pub(super) fn was_deaf_for(&mut self, time: Duration) {
        self.patience.was_deaf_for(time);
        self.oldest.was_deaf_for(time);
    }

    /// Sends what waits while others are acknowledged through a new producer: the one at hand may have lost the leader
    /// of a partition for good (librdkafka issue 5430), and another finds it if there is one.
    fn send_late_again(&mut self, now: Instant) {
        tracing::warn!(
            pipeline = %self.ctx.pipeline.name,
            "some records have waited for `retry.in_place` or longer, while others were acknowledged: a new producer sends \
             them again"
        );
        for ticket in self.renew(self.line.alone) {
            self.rewind(ticket, RewindCause::Producer);
        }
        self.oldest.renewed(now);
    }

    /// Keeps what is due; a halt outweighs a give-up, which outweighs a replacement.
    pub(super) fn is_due(&mut self, due: SinkDue) {
        let rank = |due: &SinkDue| match due {
            SinkDue::Replace => 0,
            SinkDue::GiveUp { .. } => 1,
            SinkDue::Halt(_) => 2,
        };
        if self.due.as_ref().is_none_or(|known| rank(known) < rank(&due)) {
            self.due = Some(due);
        }
    }

    /// Does what is due.
    pub(super) fn act(&mut self) {
        match self.due.take() {
            None => {}
            Some(SinkDue::Replace) => self.replace_fatal(),
            Some(SinkDue::GiveUp { topic, message }) => self.give_up(GiveUp::MissingTopic, topic, &message),
            Some(SinkDue::Halt(halt)) => self.halt(halt),
        }
    }

    /// Tells the source to take a partition back, and produces nothing more of this epoch. Once per epoch.
    pub(super) fn rewind(&mut self, ticket: Ticket, cause: RewindCause) {
        if self.doomed.insert(ticket.slot, ticket.epoch) != Some(ticket.epoch) {
            self.ctx.report(Report::Rewind { tickets: vec![ticket], cause });
        }
    }

    /// Ends the pipeline: nothing is produced or settled any more.
    pub(super) fn halt(&mut self, mut halt: Halt) {
        if self.phase != SinkPhase::Halted {
            self.phase = SinkPhase::Halted;
            halt.message += &self.ctx.desk.end_filing();
            self.ctx.pipeline.health.raise(Component::Sink, halt.message.clone());
            self.ctx.report(Report::Halt(halt));
            self.line.producer.purge();
        }
    }

    /// After a fatal error of the client: a new one, after a growing pause, unless the cause would come again.
    fn replace_fatal(&mut self) {
        let (code, text) = self.line.producer.fatal().unwrap_or((ErrorCode::FATAL, String::new()));
        if let Verdict::Halt(exit) = judge_fatal(code) {
            let message = format!(
                "pipeline {}: the producer for connection {} cannot work: {code}: {text}. Nothing was skipped. An \
                 idempotent producer needs Kafka 0.11 or later and the right to write idempotently",
                self.ctx.pipeline.name, self.setup.plan.connection.name
            );
            self.halt(Halt { exit, message });
            return;
        }
        tracing::warn!(pipeline = %self.ctx.pipeline.name, "the producer is made anew after a fatal error: {code}: {text}");
        self.trouble.last = format!("the producer is made anew after a fatal error: {code}: {text}");
        self.patience.failed(Instant::now());
        for ticket in self.renew(false) {
            self.rewind(ticket, RewindCause::Producer);
        }
        self.renewals += 1;
        let pause = Backoff::new(self.setup.retry.first, self.setup.retry.max).after(self.renewals);
        if matches!(self.phase, SinkPhase::Running | SinkPhase::Resting { .. }) {
            self.phase = SinkPhase::Resting { until: Instant::now() + pause };
        }
    }

    /// Gives all memory back: the producer is purged and made anew, the source rewinds everything and waits for a
    /// probe.
    pub(super) fn give_up(&mut self, why: GiveUp, topic: Option<Arc<str>>, message: &str) {
        if matches!(self.phase, SinkPhase::Halted | SinkPhase::Probing { .. }) {
            return;
        }
        self.trouble.named = true;
        self.ctx.pipeline.health.raise(Component::Sink, message);
        // These have unresolved records, so the source takes them back; until it does, nothing of them is produced.
        for ticket in self.renew(false) {
            self.doomed.insert(ticket.slot, ticket.epoch);
        }
        if self.phase == SinkPhase::Halted {
            return;
        }
        self.ctx.report(Report::GaveUp(why));
        self.phase = SinkPhase::Probing { next: Instant::now() + PROBE_INTERVAL, topic };
    }

    pub(super) fn purge_on_order(&mut self) {
        if self.phase == SinkPhase::Halted {
            self.purge_and_serve();
            return;
        }
        for ticket in self.renew(self.line.alone) {
            if self.ctx.pipeline.table.is_current(ticket.slot, ticket.epoch) {
                self.rewind(ticket, RewindCause::Producer);
            }
        }
    }

    /// Purges the producer, settles what was acknowledged meanwhile, and makes a new one that goes on with the batch in
    /// hand. Returns tickets whose open records are lost.
    pub(super) fn renew(&mut self, alone: bool) -> Vec<Ticket> {
        self.purge_and_serve();
        let mut lost: Vec<Ticket> = self.open.iter().collect();
        self.open.clear();
        let in_hand = self.take_in_hand(&mut lost);
        self.flights.clear();
        match open_line(&self.setup, self.message_max_bytes, alone) {
            Ok(line) => self.line = line,
            Err(error) => self.halt(Halt {
                exit: Exit::Failure,
                message: format!("pipeline {}: the producer cannot be made anew: {error}", self.ctx.pipeline.name),
            }),
        }
        if let Some((flight, payload, next)) = in_hand {
            let buffer = self.lend(flight, payload);
            self.handing = Some((buffer, next));
        }
        lost
    }

    /// Takes the batch in hand out of the producer; one that it still holds is lost.
    fn take_in_hand(&mut self, lost: &mut Vec<Ticket>) -> Option<(Flight, Vec<u8>, usize)> {
        let (buffer, next) = self.handing.take()?;
        let mut flight = self.flights.get_mut(buffer.0 as usize)?.take()?;
        let Some(payload) = self.line.producer.take_back(buffer) else {
            let left = flight.items.get(next..).unwrap_or_default();
            self.ctx.pipeline.metrics.queue_records.add(-(left.len() as i64));
            for item in left {
                if lost.last() != Some(&item.place.ticket) {
                    lost.push(item.place.ticket);
                }
            }
            return None;
        };
        flight.open = 0;
        Some((flight, payload, next))
    }

    /// Purges queue and wire and serves until every report is there, for a bounded time. Failed records stay open.
    pub(super) fn purge_and_serve(&mut self) {
        let end = Instant::now() + PURGE_LIMIT;
        while self.line.producer.open_messages() > 0 && Instant::now() < end {
            self.line.producer.purge();
            let _ = self.line.woken.recv_timeout(PURGE_GLANCE);
            self.serve_only_deliveries(Instant::now());
        }
    }

    fn turn_phase(&mut self, now: Instant) {
        match &self.phase {
            SinkPhase::Resting { until } if now >= *until => self.phase = SinkPhase::Running,
            SinkPhase::Probing { next, topic } if now >= *next => {
                let topic = topic.clone();
                self.probe(topic);
            }
            SinkPhase::Running if !self.reached && self.open.is_empty() && self.handing.is_none() => self.greet(now),
            SinkPhase::Running | SinkPhase::Resting { .. } | SinkPhase::Probing { .. } | SinkPhase::Halted => {}
        }
    }

    fn probe(&mut self, topic: Option<Arc<str>>) {
        match self.line.producer.probe(topic.as_deref(), PROBE_LIMIT) {
            Probe::Answers => {
                self.phase = SinkPhase::Running;
                self.acknowledged(Instant::now());
                self.ctx.report(Report::SinkAnswers);
            }
            Probe::Topic(code) => {
                if let Verdict::Halt(exit) = judge_fatal(code) {
                    let message = format!("pipeline {}: the output topic refuses us: {code}", self.ctx.pipeline.name);
                    self.halt(Halt { exit, message });
                } else {
                    self.phase = SinkPhase::Probing { next: Instant::now() + PROBE_INTERVAL, topic };
                }
            }
            Probe::Silent(_) => self.phase = SinkPhase::Probing { next: Instant::now() + PROBE_INTERVAL, topic },
        }
    }

    /// Before the first record: asks whether the cluster is there, for `/readyz`.
    fn greet(&mut self, now: Instant) {
        if self.next_greeting.is_some_and(|due| now < due) {
            return;
        }
        self.next_greeting = Some(now + PROBE_INTERVAL);
        match self.line.producer.probe(self.topic.clone().as_deref(), PROBE_LIMIT) {
            Probe::Answers => {
                self.arrived_there();
                self.trouble.refused = None;
            }
            Probe::Topic(code) => {
                self.arrived_there();
                let missing = matches!(judge_probe(&Probe::Topic(code), true), TopicAnswer::Missing(_));
                if missing && self.open.is_empty() {
                    self.trouble.last = format!("it does not exist ({code}); create it");
                }
                tracing::warn!(pipeline = %self.ctx.pipeline.name, "the output topic cannot be written yet: {code}");
            }
            Probe::Silent(_) => {}
        }
    }

    fn check_credentials(&mut self, now: Instant) {
        let Some((first, last)) = self.trouble.refused else { return };
        self.name_fault();
        let limit = if self.reached { REFUSED_LATER } else { REFUSED_AT_START };
        let lasts = now.saturating_duration_since(last) < REFUSED_RECENTLY;
        if lasts && now.saturating_duration_since(first) >= limit {
            let message = format!(
                "pipeline {}: connection {} refuses our credentials: {}. Nothing was skipped. Correct them, then start again",
                self.ctx.pipeline.name, self.setup.plan.connection.name, self.trouble.last
            );
            self.halt(Halt { exit: Exit::Permission, message });
        }
    }

    fn name_fault(&mut self) {
        if !self.trouble.named {
            self.trouble.named = true;
            let text = self.fault_text();
            self.ctx.pipeline.health.raise(Component::Sink, text);
        }
    }

    /// Names records that fail again and again, or wait for their answer, while others are acknowledged.
    fn name_late(&mut self, now: Instant) {
        if self.trouble.named || self.phase == SinkPhase::Halted {
            return;
        }
        let waited = self.flights.iter().flatten().map(|flight| flight.waited(now)).max().unwrap_or_default();
        let text = match self.trouble.failing.named(now) {
            Some((slot, offset, said)) => {
                let name = self.ctx.pipeline.table.name(slot).map_or_else(|| "?".to_owned(), ToString::to_string);
                Some(format!("record {name} offset {offset} fails again and again: {said}. It is sent again until it is taken"))
            }
            None => (waited >= LATE_NAMED_AFTER).then(|| {
                format!(
                    "some records wait for their acknowledgement by connection {}, while others get theirs. After \
                     `retry.in_place` a new producer sends them again; check that every partition of the output has a leader and enough replicas in sync",
                    self.setup.plan.connection.name
                )
            }),
        };
        match (text, self.trouble.late_named) {
            (Some(text), _) => {
                self.trouble.late_named = true;
                self.ctx.pipeline.health.raise(Component::Sink, text);
            }
            (None, true) => {
                self.trouble.late_named = false;
                self.ctx.pipeline.health.clear(Component::Sink);
            }
            (None, false) => {}
        }
    }

    fn fault_text(&self) -> String {
        let topic = self.topic.as_deref().unwrap_or(&self.setup.plan.topic.text);
        // What was heard says what to do; the last error may only say that all brokers are away.
        let reason = match (self.trouble.heard.as_str(), self.trouble.last.as_str()) {
            ("", "") => "no answer",
            ("", last) => last,
            (heard, _) => heard,
        };
        format!(
            "topic {topic} of connection {} acknowledges nothing: {reason}. Records wait; check that its brokers can be \
             reached and enough replicas are in sync",
            self.setup.plan.connection.name
        )
    }
}
