//! The sinks' turn: requests land or fail, answers come back, letters are written; and what is left of it all by a
//! crash.

use std::time::Duration;

use bytes::Bytes;

use crate::model::{GiveUp, Outcome, Part, Report, RewindCause};
use crate::sink::elasticsearch::pure::{Effects, RequestReply};

use super::desk::{Letter, Posted, item_of};
use super::engine::{Engine, Sink};
use super::lanes::Said;
use super::log::{Entry, Fate};
use super::relay::{Command, Produced};
use super::server::{Write, parse};
use super::world::World;

/// No answer of the far side is later than this after it is due: what is in flight must come back within the time a
/// revoke waits for it.
const OVERDUE: Duration = Duration::from_millis(500);

impl World {
    /// Chance does not keep answers back for longer than [`OVERDUE`].
    pub(super) fn answer_overdue(&mut self) {
        let now = self.instant();
        let Some(Engine { sink: Sink::Lanes(lanes), .. }) = &self.engine else { return };
        if lanes.drivers.iter().any(|driver| driver.is_overdue(now, OVERDUE)) {
            self.sink();
        }
    }

    pub(super) fn sink(&mut self) {
        let Some(mut engine) = self.engine.take() else { return };
        if let Sink::Relay(..) = engine.sink {
            self.relay(&mut engine);
        } else {
            self.lanes(&mut engine);
        }
        self.engine = Some(engine);
    }

    fn lanes(&mut self, engine: &mut Engine) {
        let now = self.instant();
        let Sink::Lanes(lanes) = &mut engine.sink else { return };
        let mut all_said = lanes.keep(now, !self.down);
        let count = lanes.drivers.len();
        let one = self.dice.usize(0..count);
        let all = self.calm;
        for number in 0..count {
            let Sink::Lanes(lanes) = &mut engine.sink else { return };
            if !all && number != one && !lanes.drivers[number].is_overdue(now, OVERDUE) {
                continue;
            }
            let slowest = if self.calm { Duration::from_millis(5) } else { self.slowest_request };
            let (due, dice) = (now + self.up_to(slowest), self.dice.f64());
            let effects = lanes.look(number, now, due, dice);
            self.pass_on(engine, effects);
            let Some(reply) = self.serve_flight(engine, number) else { continue };
            let Sink::Lanes(lanes) = &mut engine.sink else { return };
            let chance = self.dice.f64();
            let (effects, said) = lanes.answered(number, &reply, now, chance);
            all_said.extend(said);
            self.pass_on(engine, effects);
        }
        for said in all_said {
            self.note(|| format!("the sink says {said:?}"));
            match said {
                Said::GaveUp => engine.report(Report::GaveUp(GiveUp::Unacknowledged)),
                Said::Answers => engine.report(Report::SinkAnswers),
                Said::Halt(message) => self.server.violated(format!("the sink halts: {message}")),
            }
        }
    }

    /// Lands the request of a lane, and answers it when it is due.
    fn serve_flight(&mut self, engine: &mut Engine, number: usize) -> Option<RequestReply> {
        let now = self.instant();
        let Sink::Lanes(lanes) = &mut engine.sink else { return None };
        let flight = lanes.drivers[number].flight.as_mut()?;
        let (due, dice, body) = (flight.due <= now, flight.dice, flight.body.clone());
        let bad = if self.calm { 0.0 } else { self.mix.requests };
        let refused = self.down || dice < bad / 2.0;
        if flight.landed.is_none() && !refused && (due || self.dice.bool()) {
            let writes = read_body(&body);
            let statuses: Vec<u16> = writes.into_iter().map(|write| self.serve_item(write)).collect();
            let Sink::Lanes(lanes) = &mut engine.sink else { return None };
            lanes.drivers[number].flight.as_mut()?.landed = Some(statuses);
        }
        if !due {
            return None;
        }
        let Sink::Lanes(lanes) = &mut engine.sink else { return None };
        let statuses = lanes.drivers[number].flight.as_mut()?.landed.take();
        let answer = |status, body: String| RequestReply::Answer { status, retry_after: None, body: Bytes::from(body) };
        let kind = (dice * 1e6) as u32 % 5;
        let Some(statuses) = statuses else {
            let late = self.mix.late && !self.calm && kind == 4;
            if late {
                for write in read_body(&body) {
                    let at = self.now + self.up_to(Duration::from_secs(3));
                    self.late.push((at, write));
                }
            }
            return Some(match kind {
                0 => answer(503, "<html>".to_owned()),
                1 => answer(429, String::new()),
                2 => RequestReply::Broken("reset".to_owned()),
                _ => RequestReply::Timeout,
            });
        };
        if dice < bad {
            // It has landed, and the client never learns of it.
            return Some(match kind {
                0 | 1 => RequestReply::Timeout,
                2 => RequestReply::Broken("reset".to_owned()),
                3 => answer(200, "{\"errors\":false,\"items\":[".to_owned()),
                _ => answer(200, "{\"errors\":false,\"items\":[{\"index\":{\"status\":200}}]}x".to_owned()),
            });
        }
        for (write, status) in read_body(&body).into_iter().zip(&statuses) {
            if matches!(status, 200 | 409) {
                self.acknowledge(write);
            }
        }
        Some(answer(200, answer_body(&statuses)))
    }

    fn acknowledge(&mut self, write: Write) {
        if self.is_there(write) {
            self.resolve(write.partition, write.offset, write.item);
        }
    }

    fn serve_item(&mut self, write: Write) -> u16 {
        if self.chance(self.mix.items) {
            return if self.dice.bool() { 429 } else { 503 };
        }
        if write.input.fate == Fate::Refused { 400 } else { self.land(write) }
    }

    fn pass_on(&mut self, engine: &mut Engine, effects: Effects) {
        for place in &effects.delivered {
            let partition = engine.partition(place.ticket.slot);
            let log = &self.kafka.logs[partition as usize];
            if let Some(Entry::Record(input)) = log.at(place.offset.0) {
                let (offset, epoch, item) = (place.offset.0, place.ticket.epoch.0, item_of(place));
                self.server.settled(Write { partition, offset, item, epoch, input: input.leaf(item) });
            }
        }
        if !effects.parts.is_empty() {
            engine.report(Report::Settled(effects.parts));
        }
        for refusal in effects.refusals {
            let partition = engine.partition(refusal.place.ticket.slot);
            engine.desk.file(Letter { place: refusal.place, partition });
        }
    }

    fn relay(&mut self, engine: &mut Engine) {
        let batch = self.dice.usize(1..8);
        let (down, now) = (self.down, self.instant());
        let Sink::Relay(relay, commands) = &mut engine.sink else { return };
        let ordered: Vec<_> = commands.try_iter().collect();
        let mut given_up: Vec<Produced> = ordered.into_iter().flat_map(|command| relay.command(command)).collect();
        relay.produce(&engine.table, batch);
        let count = if down { 0 } else { batch.min(relay.flight.len()) };
        let reported: Vec<Produced> = relay.flight.drain(..count).collect();
        let quiet = relay.quiet(&engine.table);
        let patience = relay.patience(now, down);
        if patience == Some(false) {
            given_up.extend(relay.command(Command::Purge));
        }
        let failed = !reported.is_empty() && self.fails_request();
        self.give_up(engine, given_up);
        match patience {
            Some(false) => engine.report(Report::GaveUp(GiveUp::Unacknowledged)),
            Some(true) => engine.report(Report::SinkAnswers),
            None => {}
        }
        if failed {
            // Some landed, all are reported as failed.
            for one in reported.iter().take(self.dice.usize(0..batch)) {
                self.land_produced(one);
            }
            let tickets: Vec<_> = reported.iter().map(|one| one.place.ticket).collect();
            if !tickets.is_empty() {
                engine.report(Report::Rewind { tickets, cause: RewindCause::Delivery });
            }
        } else {
            let mut parts = Vec::new();
            for one in &reported {
                if one.write.input.fate == Fate::Refused {
                    let partition = engine.partition(one.place.ticket.slot);
                    engine.desk.file(Letter { place: one.place, partition });
                    continue;
                }
                self.land_produced(one);
                self.acknowledge(one.write);
                self.server.settled(one.write);
                parts.push(Part::one(&one.place, Outcome::Delivered));
            }
            if !parts.is_empty() {
                engine.report(Report::Settled(parts));
            }
        }
        for slot in quiet {
            engine.report(Report::Quiet(slot));
        }
    }

    fn land_produced(&mut self, one: &Produced) {
        if one.write.input.fate == Fate::Good {
            self.land(one.write);
        }
    }

    /// Purged: some may have landed; whoever still owns them reads them again.
    fn give_up(&mut self, engine: &mut Engine, given_up: Vec<Produced>) {
        if given_up.is_empty() {
            return;
        }
        for one in given_up.iter().take(self.dice.usize(0..=given_up.len())) {
            self.land_produced(one);
        }
        let tickets = given_up.iter().map(|one| one.place.ticket).collect();
        engine.report(Report::Rewind { tickets, cause: RewindCause::Producer });
    }

    pub(super) fn post(&mut self) {
        let works = !self.chance(self.mix.requests);
        let Some(engine) = &mut self.engine else { return };
        let table = engine.table.clone();
        if let Posted::Written(letter) =
            engine.desk.post(works, |place| table.is_current(place.ticket.slot, place.ticket.epoch))
        {
            let key = (letter.partition, letter.place.offset.0, item_of(&letter.place));
            engine.report(Report::Settled(vec![Part::one(&letter.place, Outcome::DeadLettered)]));
            self.server.letters.insert(key);
            self.resolve(key.0, key.1, key.2);
        }
    }

    /// A stop that may not wait gives partitions up with requests out. Those that land do it now: were they to land
    /// after the next owner's, without versions nobody could help it, as docs/guarantees.md says.
    pub(super) fn land_or_lose_what_is_out(&mut self) {
        let Some(mut engine) = self.engine.take() else { return };
        if let Sink::Lanes(lanes) = &mut engine.sink {
            for flight in lanes.drivers.iter_mut().filter_map(|driver| driver.flight.as_mut()) {
                if flight.landed.is_none() {
                    let writes = if self.dice.bool() { read_body(&flight.body) } else { Vec::new() };
                    flight.landed = Some(writes.into_iter().map(|write| self.serve_item(write)).collect());
                }
            }
        }
        self.engine = Some(engine);
    }

    /// The engine dies at once. What it had sent may still arrive.
    pub fn crash(&mut self) {
        self.note(|| "crash".to_owned());
        if self.dice.bool() {
            self.now += self.slowest_commit;
            for _ in 0..3 {
                self.commits();
            }
        }
        let Some(engine) = self.engine.take() else { return };
        match engine.sink {
            Sink::Relay(relay, _) => {
                let landed = self.dice.usize(0..=relay.flight.len());
                for one in relay.flight.iter().take(landed) {
                    self.land_produced(one);
                }
            }
            Sink::Lanes(lanes) => {
                for flight in lanes.drivers.into_iter().filter_map(|driver| driver.flight) {
                    if flight.landed.is_none() && self.dice.bool() {
                        for write in read_body(&flight.body) {
                            self.serve_item(write);
                        }
                    }
                }
            }
        }
        self.kafka.leave();
    }
}

fn read_body(body: &Bytes) -> Vec<Write> {
    let text = std::str::from_utf8(body).unwrap_or_default();
    text.lines().skip(1).step_by(2).filter_map(parse).collect()
}

fn answer_body(statuses: &[u16]) -> String {
    let item = |status: &u16| {
        let kind = match status {
            200 => return "{\"index\":{\"status\":200}}".to_owned(),
            409 => "version_conflict_engine_exception",
            429 => "es_rejected_execution_exception",
            503 => "unavailable_shards_exception",
            _ => "mapper_parsing_exception",
        };
        format!("{{\"index\":{{\"status\":{status},\"error\":{{\"type\":\"{kind}\",\"reason\":\"r\"}}}}}}")
    };
    let items: Vec<String> = statuses.iter().map(item).collect();
    format!("{{\"errors\":{},\"items\":[{}]}}", statuses.iter().any(|status| *status != 200), items.join(","))
}
