//! One step of the world: who moves, and what happens to the logs.

use std::time::Duration;

use super::kafka::{Membership, Owner};
use super::log::Fate;
use super::server::Write;
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
        self.answer_overdue();
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
            89..93 => self.kafka.statistics(self.now),
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

    pub(super) fn commits(&mut self) {
        let dice = if self.calm { 0.5 } else { self.dice.f64() };
        if let Some(stored) = self.kafka.take_commit(self.now, dice) {
            self.note(|| format!("stored {stored:?}"));
            self.store(&stored);
        }
        self.kafka.answer_commits(self.now);
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
            self.kafka.statistics(self.now);
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
        for (partition, offset, item) in dropped {
            self.resolve(partition, offset, item);
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
}
