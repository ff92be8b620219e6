//! One step of the world: who moves, and what goes wrong.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;

use crate::model::{Epoch, Outcome, Report, RewindCause};
use crate::sink::elasticsearch::pure::{Effects, Reply};

use super::desk::{Letter, Posted, part};
use super::engine::{Engine, Sink};
use super::kafka::{Membership, Owner};
use super::lanes::Said;
use super::log::{Entry, Fate};
use super::relay::{Command, Produced};
use super::server::{Write, parse};
use super::world::World;

impl World {
    /// Time passes, and somebody moves.
    pub fn step(&mut self) {
        if self.calm {
            self.now += Duration::from_millis(self.dice.u64(5..40));
            self.serve_all();
            return;
        }
        let pause = if self.dice.u32(0..40) == 0 { 900 } else { self.mix.pace_ms };
        self.now += Duration::from_millis(self.dice.u64(1..pause));
        for _ in 0..self.dice.usize(1..6) {
            self.act();
        }
        if self.mix.rival && self.chance(0.4) {
            self.rival();
        }
        if self.mix.truncation && self.chance(0.03) {
            self.truncate();
        }
        if self.mix.recreation && self.chance(0.02) {
            self.make_again();
        }
        self.serve_due();
    }

    fn act(&mut self) {
        match self.dice.u32(0..100) {
            0..10 => self.append(),
            10..34 => self.fetch(),
            34..44 => drop(self.take_batch()),
            44..56 if self.mix.lazy && self.dice.u32(0..4) > 0 => {}
            44..56 => self.prepare(),
            56..66 => self.take_in(),
            66..86 => self.sink(),
            86..89 => self.post(),
            89..93 => self.kafka.statistics(),
            93..97 => self.coordinate(),
            _ => self.disturb(),
        }
    }

    /// What is due at brokers and coordinator.
    fn serve_due(&mut self) {
        self.kafka.resolve_starts();
        while self.chance(0.8) {
            let dice = self.dice.f64();
            if !self.kafka.answer(self.now, dice) {
                break;
            }
        }
        if self.chance(0.8) {
            self.commits();
        }
        self.lands_late();
    }

    fn commits(&mut self) {
        let dice = if self.calm { 0.5 } else { self.dice.f64() };
        if let Some(stored) = self.kafka.take_commit(self.now, dice) {
            self.note(|| format!("stored {stored:?}"));
            self.store(&stored);
        }
    }

    fn serve_all(&mut self) {
        self.kafka.resolve_starts();
        while self.kafka.answer(self.now, 0.5) {}
        self.commits();
        self.lands_late();
        for partition in 0..self.kafka.logs.len() as i32 {
            self.kafka.library.fetch(partition, &self.kafka.logs[partition as usize], self.now, 10);
        }
        while self.take_batch() {
            self.prepare();
        }
        self.prepare();
        for _ in 0..4 {
            self.take_in();
            self.sink();
            self.post();
        }
        if self.now >= self.next_statistics {
            self.next_statistics = self.now + Duration::from_millis(500);
            self.kafka.statistics();
        }
        self.coordinate();
    }

    fn fetch(&mut self) {
        let partition = self.dice.i32(0..self.kafka.logs.len() as i32);
        let most = self.dice.usize(1..9);
        self.kafka.library.fetch(partition, &self.kafka.logs[partition as usize], self.now, most);
    }

    /// A worker takes the next batch. Nothing in it was committed before: a record is read again only when it, or one
    /// before it in its partition, was not.
    fn take_batch(&mut self) -> bool {
        let Some(engine) = self.engine.as_mut() else { return false };
        if !engine.take_batch() {
            return false;
        }
        let mut again = None;
        for run in engine.preparing.last().map_or(&[][..], |batch| &batch.runs) {
            let partition = engine.partition(run.ticket.slot);
            let committed = self.kafka.committed.get(&partition).copied().unwrap_or(0);
            let current = engine.table.is_current(run.ticket.slot, run.ticket.epoch) && self.kafka.is_member();
            if current && run.first.0 < committed && !self.kafka.logs[partition as usize].anew {
                again = Some(format!("partition {partition}: {} is read again, {committed} is committed", run.first));
            }
        }
        if let Some(again) = again {
            self.server.violated(again);
        }
        true
    }

    fn prepare(&mut self) {
        let panics = self.chance(self.mix.panics);
        let Some(engine) = self.engine.as_mut().filter(|engine| !engine.preparing.is_empty()) else { return };
        let at = self.dice.usize(0..engine.preparing.len());
        let dropped = engine.finish_batch(at, panics);
        if panics {
            self.note(|| "a worker panics".to_owned());
        }
        for (partition, offset) in dropped {
            self.resolve(partition, offset);
        }
    }

    fn take_in(&mut self) {
        let now = self.instant();
        let Some(engine) = self.engine.as_mut().filter(|engine| !engine.intake.is_empty()) else { return };
        let at = self.dice.usize(0..engine.intake.len());
        if let Err(fault) = engine.take_in(at, now) {
            self.server.violated(fault);
        }
    }

    fn sink(&mut self) {
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
        for number in (0..count).filter(|number| all || *number == one) {
            let Sink::Lanes(lanes) = &mut engine.sink else { return };
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
                Said::GaveUp => engine.report(Report::GaveUp(RewindCause::Exhausted)),
                Said::Answers => engine.report(Report::SinkAnswers),
                Said::Halt(message) => self.server.violated(format!("the sink halts: {message}")),
            }
        }
    }

    /// Lands the request of a lane, and answers it when it is due.
    fn serve_flight(&mut self, engine: &mut Engine, number: usize) -> Option<Reply> {
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
        let answer = |status, body: String| Reply::Answer { status, retry_after: None, body: Bytes::from(body) };
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
                2 => Reply::Broken("reset".to_owned()),
                _ => Reply::Timeout,
            });
        };
        if dice < bad {
            // It has landed, and the client never learns of it.
            return Some(match kind {
                0 | 1 => Reply::Timeout,
                2 => Reply::Broken("reset".to_owned()),
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
            self.resolve(write.partition, write.offset);
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
                let (offset, epoch) = (place.offset.0, place.ticket.epoch.0);
                self.server.settled(Write { partition, offset, epoch, input });
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
            Some(false) => engine.report(Report::GaveUp(RewindCause::Exhausted)),
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
                parts.push(part(one.place, Outcome::Delivered));
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

    fn post(&mut self) {
        let works = !self.chance(self.mix.requests);
        let Some(engine) = &mut self.engine else { return };
        let table = engine.table.clone();
        if let Posted::Written(letter) =
            engine.desk.post(works, |place| table.is_current(place.ticket.slot, place.ticket.epoch))
        {
            let key = (letter.partition, letter.place.offset.0);
            engine.report(Report::Settled(vec![part(letter.place, Outcome::DeadLettered)]));
            self.server.letters.insert(key);
            self.resolve(key.0, key.1);
        }
    }

    fn lands_late(&mut self) {
        let now = self.now;
        let (due, late) = std::mem::take(&mut self.late).into_iter().partition(|(at, _)| *at <= now);
        self.late = late;
        let due: Vec<(Duration, Write)> = due;
        for (_, write) in due {
            if write.input.fate == Fate::Good {
                self.land(write);
            }
        }
    }

    /// What the group's coordinator does next.
    fn coordinate(&mut self) {
        if self.kafka.is_expelled() {
            if self.calm || self.dice.u32(0..3) == 0 {
                self.note(|| "our member hears that it was expelled".to_owned());
                self.kafka.tell_lost();
            }
            return;
        }
        match self.kafka.membership.clone() {
            Membership::Stable if self.kafka.closing || (self.mix.recreation && self.kafka.is_doubtful()) => {}
            Membership::Stable if self.calm => {
                let all: BTreeSet<i32> = (0..self.kafka.logs.len() as i32).collect();
                if self.kafka.ours() != all {
                    self.kafka.rebalance(all, false, self.now);
                }
            }
            Membership::Stable => {
                if self.mix.expels && self.dice.u32(0..3) == 0 {
                    self.note(|| "our member is expelled".to_owned());
                    self.kafka.expel();
                } else if self.dice.u32(0..2) == 0 {
                    let share = self.share();
                    let raced = self.dice.u32(0..6) == 0;
                    self.note(|| format!("rebalance towards {share:?}"));
                    self.kafka.rebalance(share, raced, self.now);
                }
            }
            Membership::Joining(at) if at <= self.now && !self.kafka.closing => {
                if self.kafka.target.is_empty() || self.calm {
                    self.kafka.target =
                        if self.calm { (0..self.kafka.logs.len() as i32).collect() } else { self.share() };
                }
                for partition in self.kafka.target.clone() {
                    self.rival_gives_up(partition);
                }
                self.kafka.joined();
            }
            Membership::Away | Membership::Joining(_) | Membership::Revoking | Membership::Assigning => {}
        }
    }

    fn share(&mut self) -> BTreeSet<i32> {
        let all = 0..self.kafka.logs.len() as i32;
        if self.mix.whole || (!self.mix.rival && self.dice.u32(0..3) > 0) {
            return all.collect();
        }
        all.filter(|_| self.dice.u32(0..5) > 1).collect()
    }

    fn rival_gives_up(&mut self, partition: i32) {
        let Owner::Rival { at, .. } = self.kafka.owners[partition as usize] else { return };
        self.kafka.owners[partition as usize] = Owner::Nobody;
        if self.calm || self.dice.u32(0..5) > 0 {
            self.rival_commits(partition, at);
        }
    }

    fn rival_commits(&mut self, partition: i32, at: i64) {
        self.note(|| format!("the other member commits {partition} at {at}"));
        self.store(&[(partition, at)]);
    }

    /// The other member takes what nobody has, reads, writes and commits.
    fn rival(&mut self) {
        if !self.mix.rival {
            return;
        }
        let partition = self.dice.i32(0..self.kafka.logs.len() as i32);
        match self.kafka.owners[partition as usize] {
            Owner::Us => {}
            Owner::Nobody => {
                let wanted = self.kafka.target.contains(&partition) && self.kafka.membership != Membership::Away;
                // Until the join is over the old generation may still commit.
                let joining = matches!(self.kafka.membership, Membership::Joining(_));
                if (!wanted && !joining) || self.kafka.is_expelled() {
                    let log = &mut self.kafka.logs[partition as usize];
                    let committed = self.kafka.committed.get(&partition).copied().unwrap_or(0);
                    let at = if committed > log.end() { log.low } else { committed.max(log.low) };
                    log.frozen = false;
                    self.note(|| format!("the other member takes {partition} at {at}"));
                    self.expect_no_lost_record(&[(partition, at)]);
                    self.kafka.owners[partition as usize] = Owner::Rival { at, epoch: Epoch::fresh().0 };
                }
            }
            Owner::Rival { at, epoch } => self.rival_reads(partition, at, epoch),
        }
    }

    fn rival_reads(&mut self, partition: i32, from: i64, epoch: u64) {
        let mut at = from.max(self.kafka.logs[partition as usize].low);
        for _ in 0..self.dice.usize(1..6) {
            let Some(entry) = self.kafka.logs[partition as usize].at(at) else { break };
            if let Entry::Record(input) = entry {
                if input.fate == Fate::Good {
                    self.land(Write { partition, offset: at, epoch, input });
                }
                self.resolve(partition, at);
            }
            at += 1;
        }
        self.kafka.owners[partition as usize] = Owner::Rival { at, epoch };
        if self.dice.bool() {
            self.rival_commits(partition, at);
        }
    }

    /// What happens to logs and servers.
    fn disturb(&mut self) {
        let partition = self.dice.usize(0..self.kafka.logs.len());
        let log = &mut self.kafka.logs[partition];
        match self.dice.u32(0..6) {
            0 if self.mix.retention => {
                let low = log.low + self.dice.i64(0..(log.end() - log.low).max(1));
                log.retain_from(low);
                self.note(|| format!("retention: {partition} begins at {low}"));
            }
            1 | 2 if self.mix.growth && self.kafka.logs.len() < 5 => {
                self.kafka.logs.push(Default::default());
                self.kafka.owners.push(Owner::Nobody);
            }
            3..5 if self.mix.outages => {
                self.down = !self.down;
                let down = self.down;
                self.note(|| format!("the sink is down: {down}"));
            }
            _ => {}
        }
    }

    fn truncate(&mut self) {
        let partition = self.dice.usize(0..self.kafka.logs.len());
        let log = &mut self.kafka.logs[partition];
        if self.kafka.owners[partition] == Owner::Us && !log.is_doubtful() {
            let end = log.end() - self.dice.i64(1..20);
            log.truncate(end);
            self.note(|| format!("{partition} is truncated to {end}"));
        }
    }

    /// The topic is deleted and made again, while we read all of it and know its id.
    fn make_again(&mut self) {
        let all = self.kafka.ours().len() == self.kafka.logs.len() && self.kafka.membership == Membership::Stable;
        if !all || !self.kafka.told_topics || self.kafka.is_doubtful() {
            return;
        }
        self.note(|| "the topic is deleted and made again".to_owned());
        self.kafka.make_again();
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
