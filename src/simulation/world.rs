//! Everything but the source, and the clock: one step at a time, chosen by the dice.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use crate::model::Position;
use crate::source::start::History;

use super::engine::Engine;
use super::kafka::{Kafka, Trouble};
use super::log::{Entry, Fate, Input, Then, Unreadable};
use super::server::{Server, Write};

/// Waits of one stop before it counts as hung.
const WAITS: u32 = 20_000;

/// Bound of the wait for an answer to a commit.
const LONGEST_SILENCE: Duration = Duration::from_secs(20);

/// How often things happen in a history.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mix {
    /// The other member exists.
    pub rival: bool,
    /// Our member may be expelled.
    pub expels: bool,
    /// Requests fail as a whole, from 0 to 1.
    pub requests: f64,
    /// Items fail, from 0 to 1.
    pub items: f64,
    /// Workers panic, from 0 to 1.
    pub panics: f64,
    /// Writes may land after the client has given up on them.
    pub late: bool,
    /// Records that are not plainly good, from 0 to 1.
    pub odd: f64,
    /// Retention removes what was not read.
    pub retention: bool,
    /// Logs lose their ends.
    pub truncation: bool,
    /// Partitions are added.
    pub growth: bool,
    /// The sink goes away for a while.
    pub outages: bool,
    /// The topic is deleted and made again.
    pub recreation: bool,
    /// Every rebalance gives us everything.
    pub whole: bool,
    /// Longest time between two steps.
    pub pace_ms: u64,
    /// Workers are slow.
    pub lazy: bool,
    /// Batches that cannot be read, from 0 to 1.
    pub damage: f64,
    /// They are never mended, and the engine is to skip them.
    pub skips: bool,
    /// The engine starts at the end, and some partitions hold records from before.
    pub latest: bool,
    /// Commits that nobody answers for seconds, from 0 to 1.
    pub silence: f64,
    /// Most shares of our member are empty.
    pub standby: bool,
    /// Of good records, how many become several items, from 0 to 1.
    pub splits: f64,
}

/// See the module.
pub struct World {
    /// Time since the history began.
    pub now: Duration,
    base: Instant,
    /// Chance.
    pub dice: fastrand::Rng,
    /// Some batch could not be read for a while.
    pub was_damaged: bool,
    /// Chance of what only some histories have, so that the others stay as they are.
    pub more_dice: fastrand::Rng,
    /// Faults are over: everything that waits is served in every step.
    pub calm: bool,
    /// How often things happen.
    pub mix: Mix,
    /// The cluster.
    pub kafka: Kafka,
    /// The far side.
    pub server: Server,
    /// One life of the engine, without its source.
    pub engine: Option<Engine>,
    /// Partitions our client was told it has lost.
    pub lost: BTreeSet<i32>,
    /// Writes that land although their client has given up on them.
    pub late: Vec<(Duration, Write)>,
    /// The sink does not answer.
    pub down: bool,
    /// The next request fails, for scripts.
    fails_next: bool,
    /// Whether the next seeks are lost, for scripts.
    pub lost_seeks: VecDeque<bool>,
    /// Partitions whose last seek was lost.
    seek_was_lost: BTreeSet<i32>,
    /// How many of the next pauses fail, for scripts.
    pub refused_pauses: usize,
    /// Most records a drain returns.
    pub largest_drain: usize,
    /// Bounds of answers.
    pub slowest_commit: Duration,
    /// See `slowest_commit`.
    pub slowest_answer: Duration,
    /// See `slowest_commit`.
    pub slowest_request: Duration,
    /// Keys by partition.
    pub keys: u64,
    next_version: u64,
    pub(super) next_statistics: Duration,
    waits: u32,
    /// Steps, when somebody wants to read them.
    pub trace: Option<Vec<String>>,
}

impl World {
    /// A world at rest.
    pub fn new(dice: fastrand::Rng, kafka: Kafka, mix: Mix, traced: bool) -> Self {
        Self {
            now: Duration::from_secs(1),
            base: Instant::now(),
            was_damaged: false,
            more_dice: fastrand::Rng::with_seed(dice.clone().u64(..)),
            dice,
            calm: false,
            mix,
            kafka,
            server: Server::default(),
            engine: None,
            lost: BTreeSet::new(),
            late: Vec::new(),
            down: false,
            fails_next: false,
            lost_seeks: VecDeque::new(),
            seek_was_lost: BTreeSet::new(),
            refused_pauses: 0,
            largest_drain: 16,
            slowest_commit: Duration::from_millis(60),
            slowest_answer: Duration::from_millis(60),
            slowest_request: Duration::from_millis(300),
            keys: 4,
            next_version: 1,
            next_statistics: Duration::ZERO,
            waits: 0,
            trace: traced.then(Vec::new),
        }
    }

    /// The time as the engine sees it.
    pub fn instant(&self) -> Instant {
        self.base + self.now
    }

    /// Whether something that happens with this probability happens. Never in calm.
    pub fn chance(&mut self, probability: f64) -> bool {
        !self.calm && self.dice.f64() < probability
    }

    /// A time up to `most`.
    pub fn up_to(&mut self, most: Duration) -> Duration {
        most.mul_f64(self.dice.f64())
    }

    /// The next request of the sink fails.
    pub fn fail_next_request(&mut self) {
        self.fails_next = true;
    }

    /// Whether a pause is refused.
    pub fn refuses_pause(&mut self) -> bool {
        let planned = self.refused_pauses > 0;
        self.refused_pauses = self.refused_pauses.saturating_sub(1);
        planned || self.chance(self.kafka.trouble.call)
    }

    /// Whether a request fails as a whole.
    pub fn fails_request(&mut self) -> bool {
        std::mem::take(&mut self.fails_next) || self.chance(self.mix.requests)
    }

    /// A seek that was answered well and never happened (never seen of librdkafka). Where no record follows, nobody
    /// could tell; so not where logs lose their ends either. Not in bounded runs, which believe the client's statistics
    /// of a partition behind its last record: seeds 3313 and 6370 ended such a run early when this happened there. Not
    /// twice in a row, which looks like a log that has nothing between (seed 1115912).
    pub fn loses_seek(&mut self, partition: i32) -> bool {
        let planned = self.lost_seeks.pop_front().unwrap_or(false);
        let lost = planned || self.chance(self.kafka.trouble.call / 2.0);
        let behind = self.kafka.library.toppars.get(&partition).and_then(|toppar| toppar.handed_out);
        let lost = lost
            && !self.mix.whole
            && !self.mix.truncation
            && !self.seek_was_lost.contains(&partition)
            && behind.is_some_and(|behind| self.kafka.logs[partition as usize].behind_last_record() > behind);
        if lost {
            self.seek_was_lost.insert(partition);
        } else {
            self.seek_was_lost.remove(&partition);
        }
        lost
    }

    /// When a commit that is due then reaches the coordinator, and when it is answered: some wait for seconds before
    /// the one or the other.
    pub fn silence(&mut self, due: Duration) -> (Duration, Duration) {
        if self.mix.silence == 0.0 || self.calm || self.more_dice.f64() >= self.mix.silence {
            return (due, due);
        }
        let answered = due + LONGEST_SILENCE.mul_f64(self.more_dice.f64());
        (if self.more_dice.bool() { due } else { answered }, answered)
    }

    /// Writes a step down.
    pub fn note(&mut self, step: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>7.3} {}", self.now.as_secs_f64(), step()));
        }
    }

    /// The source waits: time passes and everything else moves.
    pub fn wait(&mut self, limit: Duration) {
        self.waits += 1;
        if self.waits > WAITS {
            self.server.violated("a stop does not end".to_owned());
            if let Some(engine) = &self.engine {
                engine.stop.abort();
            }
        }
        let before = self.now;
        self.step();
        self.now = self.now.min(before + limit.max(Duration::from_millis(1)));
        self.now = self.now.max(before + Duration::from_millis(1));
    }

    /// A stop begins: its waits are counted from here.
    pub fn begin_stop(&mut self) {
        self.waits = 0;
    }

    /// Faults are over.
    pub fn calm_down(&mut self) {
        self.note(|| "faults are over".to_owned());
        self.calm = true;
        self.down = false;
        self.kafka.trouble = Trouble::default();
        if !self.mix.skips {
            self.kafka.logs.iter_mut().for_each(|log| log.unreadable.clear());
        }
    }

    /// Adds an entry to a log.
    pub fn append(&mut self) {
        let partition = self.dice.usize(0..self.kafka.logs.len());
        if self.kafka.logs[partition].frozen {
            return;
        }
        let odd = self.mix.odd;
        let first = self.kafka.logs[partition].end();
        let damaged = self.mix.damage > 0.0 && !self.calm && self.more_dice.f64() < self.mix.damage;
        for _ in 0..self.dice.usize(1..8) {
            let roll = self.dice.f64();
            let entry = if damaged && self.mix.skips {
                Entry::Nothing
            } else if roll < 0.08 {
                Entry::Control
            } else if roll < 0.14 {
                Entry::Nothing
            } else {
                let fate = match self.dice.f64() {
                    roll if roll < odd / 3.0 => Fate::Dropped,
                    roll if roll < odd * 2.0 / 3.0 => Fate::Poison,
                    roll if roll < odd => Fate::Refused,
                    _ => Fate::Good,
                };
                let key = partition as u64 * 10 + self.dice.u64(0..self.keys);
                self.next_version += 1;
                let splits = fate == Fate::Good && self.mix.splits > 0.0 && self.more_dice.f64() < self.mix.splits;
                let items = if splits { self.more_dice.u8(1..5) } else { 0 };
                Entry::Record(Input { key, version: self.next_version, fate, items })
            };
            let at = self.kafka.logs[partition].end();
            self.note(|| format!("append {partition} {at} {entry:?}"));
            self.kafka.logs[partition].append(entry);
        }
        if damaged {
            self.damage(partition, first);
        }
    }

    /// What was appended from `first` on cannot be read.
    fn damage(&mut self, partition: usize, first: i64) {
        let then = match self.more_dice.u32(0..4) {
            0 | 1 => Then::Again,
            2 => Then::GoesOn(self.more_dice.i64(1..12)),
            // What is not told of cannot be skipped.
            _ if !self.mix.skips && self.more_dice.bool() => Then::Silence,
            _ => Then::GoesOn(1 << 40),
        };
        self.was_damaged = true;
        let log = &mut self.kafka.logs[partition];
        let end = log.end();
        log.unreadable.push(Unreadable { first, end, then });
        self.note(|| format!("{partition} cannot be read from {first} to {end}: {then:?}"));
    }

    /// What lies in the topic, for a group that may be new. If it is, whoever starts at the end owes nothing of it.
    pub fn history(&mut self) -> History {
        let group_has_read = !self.kafka.committed.is_empty();
        let mut history = History { group_has_read, ..History::default() };
        for partition in 0..self.kafka.logs.len() {
            let name = self.kafka.name(partition as i32);
            let log = &mut self.kafka.logs[partition];
            history.ends.insert(name, Position(log.end()));
            if !group_has_read {
                (0..log.end()).for_each(|offset| log.resolve(offset, None));
                log.history = log.end();
            }
        }
        history
    }

    /// A write lands.
    pub fn land(&mut self, write: Write) -> u16 {
        let ordered = self.kafka.logs.get(write.partition as usize).is_some_and(|log| !log.anew);
        self.server.land(write, ordered)
    }

    /// The sink acknowledged a record, or an item of one, or somebody else is done with it.
    pub fn resolve(&mut self, partition: i32, offset: i64, item: Option<u32>) {
        self.note(|| format!("resolve {partition} {offset} {item:?}"));
        if let Some(log) = self.kafka.logs.get_mut(partition as usize) {
            log.resolve(offset, item);
        }
    }

    /// Whether an entry of a log still is what was read.
    pub fn is_there(&self, write: Write) -> bool {
        let entry = self.kafka.logs.get(write.partition as usize).and_then(|log| log.at(write.offset));
        matches!(entry, Some(Entry::Record(input)) if input.leaf(write.item) == write.input)
    }

    /// I1: everything below these positions is resolved, and they are ours.
    pub fn expect_resolved(&mut self, positions: &[(i32, i64)]) {
        for (partition, at) in positions {
            let log = &mut self.kafka.logs[*partition as usize];
            let resolved = log.resolved_below();
            if *at > resolved && !log.is_doubtful() {
                self.server.violated(format!("partition {partition}: {at} is committed, {resolved} is not resolved"));
            }
            if !self.kafka.library.is_assigned(*partition) {
                self.server.violated(format!("partition {partition}: committed, but not assigned"));
            }
            if self.lost.contains(partition) {
                self.server.violated(format!("partition {partition}: committed after it was lost"));
            }
        }
    }

    /// An assignment begins nowhere behind an unresolved record.
    pub fn expect_no_lost_record(&mut self, positions: &[(i32, i64)]) {
        for (partition, at) in positions {
            let log = &mut self.kafka.logs[*partition as usize];
            let resolved = log.resolved_below();
            if *at > resolved && !log.is_doubtful() {
                self.server.violated(format!("partition {partition}: assigned at {at}, {resolved} is not resolved"));
            }
        }
    }

    /// A commit reached the coordinator and was stored.
    pub fn store(&mut self, positions: &[(i32, i64)]) {
        for (partition, at) in positions {
            let anew = self.kafka.logs[*partition as usize].anew;
            let before = self.kafka.committed.insert(*partition, *at);
            if before.is_some_and(|before| before > *at) && !anew {
                self.server.violated(format!("partition {partition}: committed {at} after {before:?}"));
            }
        }
    }
}
