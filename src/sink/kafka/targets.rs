//! Topics that records name: asked for before anything is produced to them. What names a missing one waits apart.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::plan::OnMissingTopic;
use crate::librdkafka::ErrorCode;
use crate::librdkafka::producer::buffers::BufferId;
use crate::model::{Place, Reject, RejectReason};
use crate::telemetry::health::Component;

use super::KafkaItem;
use super::roll::{AnswerEffect, NamedBy, Roll, TopicStanding, WAIT};
use super::sink::{KafkaSink, SinkPhase};
use super::verdict::{TopicAnswer, judge_probe};

/// How long one question may block the thread.
const ASK_LIMIT: Duration = Duration::from_millis(400);
/// Between two questions for topics that are missing, whatever their number: many of them must not take the thread.
const PACE: Duration = Duration::from_millis(20);
/// Missing topics from which on all topics are asked for at once instead of each by its name: a question for a name
/// that is missing can take as long as its limit.
const MANY: usize = 16;
/// Between two questions for all topics, and how long one may block the thread.
const LIST_EVERY: Duration = Duration::from_secs(1);
const LIST_LIMIT: Duration = Duration::from_secs(1);
/// Between two looks at what waits: what is fenced, forgotten or to be told.
const LOOK: Duration = Duration::from_millis(100);
/// A topic that is missing for longer is told. One that is made by its first use is there by then.
const TOLD_AFTER: Duration = Duration::from_secs(1);
/// Missing topics told in the log, each with a line of its own, within the time.
const LINES: u32 = 10;
const LINES_WITHIN: Duration = Duration::from_secs(60);

/// What is done with a stretch of records that name one topic.
pub(super) enum TopicPlan {
    /// They are produced.
    To(Arc<str>),
    /// They were put aside or rejected.
    Done,
    /// Too many topics are missing: everything waits.
    Full,
}

/// When what was done last.
#[derive(Default)]
pub(super) struct Rounds {
    next_question: Option<Instant>,
    next_list: Option<Instant>,
    next_look: Option<Instant>,
    /// Since when how many lines were written.
    lines: Option<(Instant, u32)>,
    raised: bool,
}

impl Rounds {
    fn is_due(next: &mut Option<Instant>, now: Instant, pause: Duration) -> bool {
        let due = next.is_none_or(|next| now >= next);
        if due {
            *next = Some(now + pause);
        }
        due
    }

    fn may_write(&mut self, now: Instant) -> bool {
        let (since, lines) = self.lines.unwrap_or((now, 0));
        let fresh = now.saturating_duration_since(since) >= LINES_WITHIN;
        let (since, lines) = if fresh { (now, 0) } else { (since, lines) };
        self.lines = Some((since, lines + 1));
        lines < LINES
    }
}

impl KafkaSink {
    /// Where items `next..end` go, which are of one ticket and name one topic.
    pub(super) fn target(&mut self, buffer: BufferId, next: usize, end: usize, item: &KafkaItem) -> TopicPlan {
        if let (Some(topic), None) = (&self.topic, &self.roll) {
            return TopicPlan::To(topic.clone());
        }
        let payload = self.line.producer.payload(buffer).unwrap_or_default();
        let name = match &self.topic {
            Some(topic) => Some(&**topic),
            None => item.topic.and_then(|span| span.of(payload)).and_then(|name| std::str::from_utf8(name).ok()),
        };
        let (Some(name), Some(roll)) = (name, &self.roll) else {
            let reject = Reject::new(RejectReason::InvalidTarget, &"sink.topic".into(), "the topic's name is lost");
            self.reject_all(buffer, next..end, &reject);
            return TopicPlan::Done;
        };
        let standing = roll.standing(name);
        if let TopicStanding::There(topic) = standing {
            return TopicPlan::To(topic);
        }
        let name: Arc<str> = name.into();
        let standing = self.ask_where_due(standing, &name, item.place);
        match standing {
            TopicStanding::There(topic) => TopicPlan::To(topic),
            // They are what the others wait for.
            TopicStanding::Waits(topic) if self.is_found(buffer, &topic) => TopicPlan::To(topic),
            TopicStanding::Waits(topic) => {
                self.put_aside(buffer, next..end, &topic);
                TopicPlan::Done
            }
            TopicStanding::Rejected(topic) => {
                let reject = self.missing_reject(&topic);
                self.reject_all(buffer, next..end, &reject);
                TopicPlan::Done
            }
            TopicStanding::Unasked => TopicPlan::Full,
        }
    }

    /// Whether these records waited for this topic, and more still do: it is there.
    fn is_found(&self, buffer: BufferId, topic: &str) -> bool {
        self.flight(buffer).is_some_and(|flight| flight.found)
            && self.roll.as_ref().is_some_and(|roll| roll.is_found(topic))
    }

    /// Asks for a topic nobody asked for, and again for one whose records are rejected.
    fn ask_where_due(&mut self, standing: TopicStanding, name: &Arc<str>, place: Place) -> TopicStanding {
        let now = Instant::now();
        match &standing {
            TopicStanding::There(_) | TopicStanding::Waits(_) => standing,
            TopicStanding::Unasked => self.ask_first(name, place, now),
            TopicStanding::Rejected(_) => {
                if self.roll.as_mut().is_some_and(|roll| roll.names_again(name, now)) {
                    self.ask_again(name);
                }
                self.roll.as_ref().map_or(standing, |roll| roll.standing(name))
            }
        }
    }

    fn ask_first(&mut self, name: &Arc<str>, place: Place, now: Instant) -> TopicStanding {
        let there = || TopicStanding::There(name.clone());
        if self.roll.as_ref().is_none_or(|roll| roll.trusts(now)) {
            return there();
        }
        match self.ask(name) {
            TopicAnswer::There => {
                if let Some(roll) = &mut self.roll {
                    roll.is_there(name);
                }
                self.arrived_there();
                there()
            }
            TopicAnswer::Silent => {
                if let Some(roll) = &mut self.roll {
                    roll.trust(Instant::now());
                }
                there()
            }
            TopicAnswer::Missing(code) => {
                self.note_missing(name, place, code);
                self.roll.as_ref().map_or_else(there, |roll| roll.standing(name))
            }
        }
    }

    /// Notes that a topic is missing. `false`: too many are.
    pub(super) fn note_missing(&mut self, name: &Arc<str>, first: Place, code: ErrorCode) -> bool {
        let named = NamedBy { first, code, delivered: self.delivered, charge: self.ctx.pipeline.budget.charge(0) };
        self.roll.as_mut().is_some_and(|roll| roll.is_missing(name, named, Instant::now()))
    }

    fn ask(&mut self, name: &Arc<str>) -> TopicAnswer {
        let knows_others = self.roll.as_ref().is_some_and(Roll::knows_any);
        let asked = Instant::now();
        let probe = self.line.producer.probe(Some(name), ASK_LIMIT);
        self.was_deaf_for(asked.elapsed());
        judge_probe(&probe, knows_others)
    }

    /// Asks for a topic that is missing, and does what follows from the answer.
    fn ask_again(&mut self, name: &Arc<str>) {
        let answer = self.ask(name);
        self.heard(name, answer);
    }

    fn heard(&mut self, name: &Arc<str>, answer: TopicAnswer) {
        let Some(roll) = &mut self.roll else { return };
        match roll.heard(name, answer, Instant::now()) {
            AnswerEffect::None => {}
            AnswerEffect::Found => tracing::info!(
                pipeline = %self.ctx.pipeline.name,
                "topic {name} of connection {} is there now: records that name it go on",
                self.setup.plan.connection.name
            ),
            AnswerEffect::Rejected => self.reject_waiting(name),
        }
    }

    /// Moves items `next..end` behind those that wait for the same topic.
    fn put_aside(&mut self, buffer: BufferId, range: std::ops::Range<usize>, name: &Arc<str>) {
        let now = Instant::now();
        let Some(Some(flight)) = self.flights.get_mut(buffer.0 as usize) else { return };
        let Some(lot) = self.roll.as_mut().and_then(|roll| roll.lot(name, now)) else { return };
        let payload = self.line.producer.payload(buffer).unwrap_or_default();
        for index in range.clone() {
            let Some(item) = flight.items.get(index).copied() else { break };
            let original = self.ctx.desk.original(item.place, flight.originals.as_ref());
            lot.push(&item, payload, original, now);
            flight.answer(index as u32);
        }
        // They are queued until they are handed over, rejected or dropped.
        self.ctx.pipeline.metrics.queue_records.add(range.len() as i64);
        self.advance(buffer, range.end);
    }

    fn reject_all(&mut self, buffer: BufferId, range: std::ops::Range<usize>, reject: &Reject) {
        for index in range {
            let Some(item) = self.flight(buffer).and_then(|flight| flight.items.get(index)).copied() else { return };
            self.reject(buffer, index as u32, item.place, reject.clone());
            self.advance(buffer, index + 1);
        }
    }

    /// Rejects what waits for a topic that did not appear.
    fn reject_waiting(&mut self, name: &Arc<str>) {
        let reject = self.missing_reject(name);
        let Some(absent) = self.roll.as_ref().and_then(|roll| roll.absent(name)) else { return };
        // They were put aside among these, and the breaker must not take them for a row of their own.
        let beside = self.delivered.saturating_sub(absent.delivered);
        self.ctx.desk.passed(u32::try_from(beside).unwrap_or(u32::MAX));
        while let Some((place, original)) = self.roll.as_mut().and_then(|roll| roll.pop(name)) {
            self.ctx.pipeline.metrics.queue_records.add(-1);
            if self.may_send(place.ticket) {
                self.ctx.desk.file(place, reject.clone(), original);
            }
        }
    }

    fn missing_reject(&self, name: &str) -> Reject {
        let connection = &self.setup.plan.connection.name;
        let code = self.roll.as_ref().and_then(|roll| roll.absent(name)).map(|absent| absent.code);
        let code = code.map_or_else(String::new, |code| format!(": {code}"));
        let detail = format!("topic {name} of connection {connection} does not exist{code}");
        Reject { attempts: 1, ..Reject::new(RejectReason::InvalidTarget, &"sink.topic".into(), detail) }
    }

    /// Asks for missing topics, drops what was fenced, tells what waits.
    pub(super) fn call_roll(&mut self, now: Instant) {
        if self.roll.as_ref().is_none_or(|roll| roll.absentees() == 0 && !self.rounds.raised) {
            return;
        }
        if self.phase == SinkPhase::Running {
            self.ask_for_missing(now);
        }
        if Rounds::is_due(&mut self.rounds.next_look, now, LOOK) {
            self.look_at_what_waits(now);
        }
    }

    fn ask_for_missing(&mut self, now: Instant) {
        let Some(roll) = &self.roll else { return };
        if roll.waits() > MANY {
            if Rounds::is_due(&mut self.rounds.next_list, now, LIST_EVERY) {
                let asked = Instant::now();
                let there = self.line.producer.topics(LIST_LIMIT);
                self.was_deaf_for(asked.elapsed());
                there.iter().for_each(|there| self.look_up_in(there));
            }
        } else if let Some(name) = roll.next_to_ask(now)
            && Rounds::is_due(&mut self.rounds.next_question, now, PACE)
        {
            self.ask_again(&name);
        }
    }

    /// Does what follows from a list of all topics there are.
    fn look_up_in(&mut self, there: &HashSet<String>) {
        let waiting: Vec<_> = self.roll.iter().flat_map(Roll::waiting_names).collect();
        for name in waiting {
            let answer = if there.contains(&*name) {
                TopicAnswer::There
            } else {
                let code = self.roll.as_ref().and_then(|roll| roll.absent(&name)).map(|absent| absent.code);
                TopicAnswer::Missing(code.unwrap_or(ErrorCode::UNKNOWN_TOPIC_OR_PART))
            };
            self.heard(&name, answer);
        }
    }

    fn look_at_what_waits(&mut self, now: Instant) {
        let Some(mut roll) = self.roll.take() else { return };
        let halted = self.phase == SinkPhase::Halted;
        let dropped = roll.sweep(&|ticket| !halted && self.may_send(ticket));
        self.ctx.pipeline.metrics.queue_records.add(-(dropped as i64));
        roll.forget(now);
        self.ctx.pipeline.metrics.missing_topics.set(roll.absentees() as i64);
        let holds = roll.policy() == OnMissingTopic::Hold;
        let untold = roll.untold(TOLD_AFTER, now);
        // The first raise of the fault tells of the one that waits longest.
        let told_by_fault =
            if holds && !self.rounds.raised { roll.longest().map(|(name, _)| name.clone()) } else { None };
        self.rounds.raised |= holds && !untold.is_empty();
        for name in untold.iter().filter(|name| told_by_fault.as_ref() != Some(*name)) {
            self.tell_missing(&roll, name, now);
        }
        if self.rounds.raised {
            match roll.longest() {
                Some((name, _)) => self.ctx.pipeline.health.raise(Component::Target, self.missing_text(&roll, name)),
                None => {
                    self.rounds.raised = false;
                    self.ctx.pipeline.health.clear(Component::Target);
                }
            }
        }
        self.roll = Some(roll);
    }

    fn tell_missing(&mut self, roll: &Roll, name: &str, now: Instant) {
        if self.rounds.may_write(now) {
            tracing::warn!(pipeline = %self.ctx.pipeline.name, "{}", self.missing_text(roll, name));
        }
    }

    fn missing_text(&self, roll: &Roll, name: &str) -> String {
        let (connection, template) = (&self.setup.plan.connection.name, &self.setup.plan.topic.text);
        let Some(absent) = roll.absent(name) else {
            return format!("topic {name} of connection {connection} is missing");
        };
        let place = absent.first;
        let source =
            self.ctx.pipeline.table.name(place.ticket.slot).map_or_else(|| "?".to_owned(), ToString::to_string);
        let others = match roll.absentees() - 1 {
            0 => String::new(),
            1 => ", and one more topic is missing".to_owned(),
            others => format!(", and {others} more topics are missing"),
        };
        let next = match roll.policy() {
            OnMissingTopic::Reject => format!(
                "They are rejected when it has not appeared within {} s; `on_missing_topic: hold` would wait",
                WAIT.as_secs()
            ),
            OnMissingTopic::Hold if !self.ctx.pipeline.budget.has_room() => {
                "They fill the pipeline's share of `limits.memory`, so NOTHING ELSE is read until it is there"
                    .to_owned()
            }
            OnMissingTopic::Hold => "They wait; others go on until `limits.span` of a partition or `limits.memory` is \
                                     reached. `on_missing_topic: reject` would put them aside"
                .to_owned(),
        };
        format!(
            "topic {name} of connection {connection} does not exist: {}. Record {source} offset {} names it (topic: \
             {template}), {} records wait{others}. {next}. Create the topic, and it goes on by itself; or correct the \
             producer or the template",
            absent.code,
            place.offset,
            roll.waiting(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_log_are_bounded() {
        let (mut rounds, start) = (Rounds::default(), Instant::now());
        let written = (0..1_000).filter(|_| rounds.may_write(start)).count();
        assert_eq!(written, LINES as usize);
        assert!(rounds.may_write(start + LINES_WITHIN));
    }
}
