//! From the ring to the producer: what is fenced is left, what is guilty is rejected, the rest is produced in order.

use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use crate::librdkafka::ErrorCode;
use crate::librdkafka::producer::ProduceRefusal;
use crate::librdkafka::producer::buffers::BufferId;
use crate::model::{Place, Prepared, Reject, RejectReason, Report, Ticket};
use crate::sink::sequencer::Sequencer;

use super::KafkaItem;
use super::flight::Flight;
use super::patience::HandedOver;
use super::roll::Roll;
use super::sink::{KafkaSink, SinkPhase};
use super::targets::TopicPlan;
use super::verdict::{Verdict, judge_refusal};

/// What became of one step.
enum HandOverStep {
    /// Go on.
    Moved,
    /// Nothing can be handed over now: the queue is full, a probe or answers are awaited.
    Held,
}

impl KafkaSink {
    /// Hands over what is there, in sequence, until it is all gone or something holds.
    pub(super) fn hand_over(&mut self, ring: &mut Sequencer<(Instant, Prepared<KafkaItem>)>) {
        loop {
            while let Some((buffer, next)) = self.handing {
                match self.step(buffer, next) {
                    HandOverStep::Moved => {}
                    HandOverStep::Held => return,
                }
            }
            if let Some(batch) = self.roll.as_mut().and_then(Roll::take_found) {
                let (arrived, mut batch) = (batch.polled, batch);
                let (mut flight, payload) = Flight::new(std::mem::take(&mut batch.items), batch, arrived);
                flight.found = true;
                self.handing = Some((self.lend(flight, payload), 0));
                continue;
            }
            let Some((arrived, batch)) = self.next_batch(ring) else { return };
            self.admit(arrived, batch);
        }
    }

    /// Takes a batch in: tells what ended before the sink, lends its payload.
    fn admit(&mut self, arrived: Instant, mut batch: Prepared<KafkaItem>) {
        if !batch.ended.is_empty() {
            self.ctx.report(Report::Settled(std::mem::take(&mut batch.ended)));
        }
        self.ctx.lost(std::mem::take(&mut batch.lost));
        let items = std::mem::take(&mut batch.items);
        let rejects = std::mem::take(&mut batch.rejects);
        if self.phase == SinkPhase::Halted {
            self.ctx.pipeline.metrics.queue_records.add(-(items.len() as i64));
            return;
        }
        self.ctx.desk.admit(items.len() as u32, rejects, batch.originals.as_ref());
        if !items.is_empty() {
            let (flight, payload) = Flight::new(items, batch, arrived);
            let buffer = self.lend(flight, payload);
            self.handing = Some((buffer, 0));
        }
    }

    /// Lends a payload and keeps its flight under the buffer's name.
    pub(super) fn lend(&mut self, mut flight: Flight, payload: Vec<u8>) -> BufferId {
        flight.number = self.next_number;
        self.next_number = HandedOver(flight.number.0 + 1);
        let buffer = self.line.producer.lend(payload);
        let place = buffer.0 as usize;
        if self.flights.len() <= place {
            self.flights.resize_with(place + 1, || None);
        }
        self.flights[place] = Some(flight);
        buffer
    }

    pub(super) fn flight(&self, buffer: BufferId) -> Option<&Flight> {
        self.flights.get(buffer.0 as usize)?.as_ref()
    }

    pub(super) fn flight_mut(&mut self, buffer: BufferId) -> Option<&mut Flight> {
        self.flights.get_mut(buffer.0 as usize)?.as_mut()
    }

    /// Moves the batch in hand on by one run, one record or one producer.
    fn step(&mut self, buffer: BufferId, next: usize) -> HandOverStep {
        let Some(item) = self.flight(buffer).and_then(|flight| flight.items.get(next)).copied() else {
            self.finish_handing(buffer);
            return HandOverStep::Moved;
        };
        let ticket = item.place.ticket;
        if self.phase == SinkPhase::Halted || !self.may_send(ticket) {
            self.advance(buffer, self.end_of_run(buffer, next));
            return HandOverStep::Moved;
        }
        if self.phase != SinkPhase::Running {
            return HandOverStep::Held;
        }
        let mut end = self.end_of_stretch(buffer, next);
        if !self.suspects.is_empty() {
            if let Some(reject) = self.sentence(buffer, &item) {
                self.reject(buffer, next as u32, item.place, reject);
                self.advance(buffer, next + 1);
                return HandOverStep::Moved;
            }
            if let Some(change) = self.suspects.next_change(&item.place) {
                end = self.flight(buffer).map_or(end, |flight| {
                    next + flight.items[next..end].iter().take_while(|item| item.place.order() < change).count()
                });
            }
        }
        let topic = match self.target(buffer, next, end, &item) {
            TopicPlan::To(topic) => topic,
            TopicPlan::Done => return HandOverStep::Moved,
            TopicPlan::Full => return HandOverStep::Held,
        };
        let alone = self.suspects.is_suspect(&item.place);
        if alone != self.line.alone {
            // The other producer must not overtake this one.
            if !self.open.is_empty() {
                return HandOverStep::Held;
            }
            self.renew(alone);
            return HandOverStep::Moved;
        }
        self.produce(buffer, next..end, &item, &topic)
    }

    /// Produces items of one ticket and topic.
    fn produce(&mut self, buffer: BufferId, range: Range<usize>, item: &KafkaItem, topic: &Arc<str>) -> HandOverStep {
        let Range { start: next, end } = range;
        let mut refused = std::mem::take(&mut self.scratch.refused);
        let Some(Some(flight)) = self.flights.get_mut(buffer.0 as usize) else { return HandOverStep::Held };
        let items = &flight.items[next..end];
        let considered =
            self.line.producer.produce(topic, buffer, next as u32, items, |item| item.message, &mut refused);
        let taken = (considered - refused.len()) as u32;
        flight.handed(taken, Instant::now(), &self.ctx.pipeline.latency);
        self.open.open(item.place.ticket, taken);
        self.advance(buffer, next + considered);
        for refusal in refused.drain(..) {
            self.refuse(buffer, refusal, topic);
        }
        self.scratch.refused = refused;
        self.act();
        // A give-up or a new producer on the way may have taken the batch out of our hands.
        if next + considered < end && self.handing.is_some() { HandOverStep::Held } else { HandOverStep::Moved }
    }

    fn refuse(&mut self, buffer: BufferId, ProduceRefusal { index, code }: ProduceRefusal, topic: &Arc<str>) {
        let Some(place) =
            self.flight(buffer).and_then(|flight| flight.items.get(index as usize)).map(|item| item.place)
        else {
            return;
        };
        match judge_refusal(code) {
            Verdict::Reject(reason) => {
                let reject = self.refusal_reject(reason, code, 0, topic);
                self.reject(buffer, index, place, reject);
            }
            verdict @ (Verdict::Rewind
            | Verdict::Suspect
            | Verdict::MissingTopic
            | Verdict::Fatal
            | Verdict::Halt(_)) => self.fail(verdict, code, place, Some(topic)),
        }
    }

    /// The reject of a record the producer or the broker refused.
    pub(super) fn refusal_reject(&self, reason: RejectReason, code: ErrorCode, attempts: u32, topic: &str) -> Reject {
        let detail = format!("topic {topic} of connection {}: {code}", self.setup.plan.connection.name);
        Reject { attempts, ..Reject::new(reason, &"sink".into(), detail) }
    }

    /// Files a reject with the record's original bytes; the item needs no answer any more.
    pub(super) fn reject(&mut self, buffer: BufferId, index: u32, place: Place, reject: Reject) {
        let original = self.flight(buffer).and_then(|flight| self.ctx.desk.original(place, flight.originals.as_ref()));
        if let Some(flight) = self.flight_mut(buffer) {
            flight.answer(index);
        }
        self.ctx.desk.file(place, reject, original);
    }

    /// Whether records of this ticket may still be produced.
    pub(super) fn may_send(&self, ticket: Ticket) -> bool {
        self.ctx.pipeline.table.is_current(ticket.slot, ticket.epoch)
            && self.doomed.get(&ticket.slot) != Some(&ticket.epoch)
    }

    fn end_of_run(&self, buffer: BufferId, next: usize) -> usize {
        let Some(flight) = self.flight(buffer) else { return next };
        let ticket = flight.items[next].place.ticket;
        next + flight.items[next..].iter().take_while(|item| item.place.ticket.id == ticket.id).count()
    }

    /// The end of the items from `next` on that have one ticket and one topic.
    fn end_of_stretch(&self, buffer: BufferId, next: usize) -> usize {
        let end = self.end_of_run(buffer, next);
        let (Some(flight), None) = (self.flight(buffer), &self.topic) else { return end };
        let payload = self.line.producer.payload(buffer).unwrap_or_default();
        let name = |item: &KafkaItem| item.topic.and_then(|span| span.of(payload));
        let first = name(&flight.items[next]);
        next + flight.items[next..end].iter().take_while(|item| name(item) == first).count()
    }

    /// The topic an item goes to.
    pub(super) fn topic_of(&self, buffer: BufferId, item: &KafkaItem) -> Option<Arc<str>> {
        if let Some(topic) = &self.topic {
            return Some(topic.clone());
        }
        let name = item.topic?.of(self.line.producer.payload(buffer)?)?;
        std::str::from_utf8(name).ok().map(Arc::from)
    }

    fn sentence(&self, buffer: BufferId, item: &KafkaItem) -> Option<Reject> {
        let print = || self.print(buffer, item);
        self.suspects.sentence(&item.place, print).cloned()
    }

    /// A print of what is produced for an item.
    pub(super) fn print(&self, buffer: BufferId, item: &KafkaItem) -> u64 {
        let payload = self.line.producer.payload(buffer).unwrap_or_default();
        let bytes = |span: Option<crate::librdkafka::producer::message::Span>| span.and_then(|span| span.of(payload));
        let hasher = foldhash::fast::FixedState::default();
        hasher.hash_one((bytes(item.message.value), bytes(item.message.key), bytes(item.topic)))
    }

    pub(super) fn advance(&mut self, buffer: BufferId, next: usize) {
        // The batch in hand may have been let go by a give-up on the way.
        if let Some((in_hand, at)) = &mut self.handing
            && *in_hand == buffer
        {
            self.ctx.pipeline.metrics.queue_records.add(-(next.saturating_sub(*at) as i64));
            *at = next;
        }
    }

    fn finish_handing(&mut self, buffer: BufferId) {
        self.handing = None;
        self.line.producer.seal(buffer);
        if let Some(flight) = self.flight_mut(buffer) {
            flight.complete = true;
            if flight.is_done() {
                self.flights[buffer.0 as usize] = None;
            }
        }
    }
}
