//! Judges a run while it goes on, in memory that does not grow with its records (pure).
//!
//! The same rules as [`super::check`], for runs of hours. A record is named by its number, and numbers are given out
//! one after the other; the n-th record of a partition lies at offset n, which the caller must make sure of. Only
//! records that may still change are kept: everything acknowledged whose commit is older than `keep_us` is forgotten,
//! and seeing it again is a repetition without a cause. Times are microseconds of one clock.

use std::collections::{HashMap, VecDeque};

use super::duplicates::{Repetition, explains};
use super::{Committed, Incident, Taken, Verdict};
use kept::{Key, NONE, Partition, Record};

mod kept;

/// A repetition is judged this long after it was seen: its cause may be known later than itself.
const DOUBT_US: u64 = 30_000_000;
/// Committed positions are remembered for this long: incidents ask for what was committed before them.
const REMEMBER_US: u64 = 300_000_000;

/// A checker that follows a run.
pub struct StreamChecker {
    keep_us: u64,
    /// Number of the first record kept.
    first: u64,
    records: VecDeque<Record>,
    keys: Vec<Key>,
    partitions: Vec<Partition>,
    /// Records of requests whose answer is not known to be told.
    open: HashMap<u64, (u64, Vec<u64>)>,
    doubtful: VecDeque<Repetition>,
    incidents: Vec<Incident>,
    acknowledged: Vec<(u64, u64)>,
    verdict: Verdict,
}

impl StreamChecker {
    /// A checker for a topic of so many partitions and keys below `keys`. What is committed is kept for `keep_us`:
    /// longer than anything at the far side may be seen late.
    #[must_use]
    pub fn new(partitions: usize, keys: usize, keep_us: u64) -> Self {
        Self {
            keep_us,
            first: 0,
            records: VecDeque::new(),
            keys: vec![Key { fed: NONE, seen: NONE, written: NONE, newest: NONE }; keys],
            partitions: (0..partitions).map(|_| Partition::default()).collect(),
            open: HashMap::new(),
            doubtful: VecDeque::new(),
            incidents: Vec::new(),
            acknowledged: Vec::new(),
            verdict: Verdict::default(),
        }
    }

    /// The next record is about to be produced. Its number is one above the last.
    pub fn fed(&mut self, key: u32, partition: u32) {
        let number = self.first + self.records.len() as u64;
        let (Some(known), Some(place)) = (self.keys.get_mut(key as usize), self.partitions.get_mut(partition as usize))
        else {
            return self.foreign(number);
        };
        let before = std::mem::replace(&mut known.fed, number);
        let offset = place.end();
        place.order.push_back(number);
        self.verdict.records += 1;
        self.records.push_back(Record {
            key,
            partition,
            offset,
            before,
            last_us: 0,
            written_us: NONE,
            done_us: NONE,
            request: NONE,
            is_untold: false,
            has_failed: false,
        });
    }

    /// The sink worked on a record in a request of this number; whether the answer is told is said later.
    pub fn seen(&mut self, number: u64, taken: Taken, at_us: u64, request: u64) {
        let Some(at) = self.place(number) else { return self.out_of_sight(number, taken) };
        let record = self.records[at];
        self.order_of(number, &record, taken);
        let writes = taken == Taken::Applied;
        if writes && record.written_us != NONE {
            self.repeated(number, &record, at_us);
        }
        let now = &mut self.records[at];
        now.has_failed |= record.is_untold || taken == Taken::Refused;
        now.last_us = at_us;
        if writes {
            (now.written_us, now.request, now.is_untold) = (at_us, request, true);
        }
        if taken != Taken::Refused {
            self.open.entry(request).or_insert_with(|| (at_us, Vec::new())).1.push(number);
        }
    }

    /// The answer of a request began to be told.
    pub fn told(&mut self, request: u64, at_us: u64) {
        let Some((_, numbers)) = self.open.remove(&request) else { return };
        for number in numbers {
            self.acknowledge(number, request, at_us);
        }
    }

    /// A record was written and that was told at once: one of an output topic.
    pub fn stored(&mut self, number: u64, at_us: u64) {
        let Some(at) = self.place(number) else { return self.out_of_sight(number, Taken::Applied) };
        let record = self.records[at];
        self.order_of(number, &record, Taken::Applied);
        if record.written_us != NONE {
            self.repeated(number, &record, at_us);
        }
        (self.records[at].last_us, self.records[at].written_us) = (at_us, at_us);
        self.acknowledge(number, NONE, at_us);
    }

    /// A committed position was seen.
    pub fn committed(&mut self, commit: Committed) {
        let Some(partition) = usize::try_from(commit.partition).ok().and_then(|at| self.partitions.get_mut(at)) else {
            return;
        };
        partition.commits.push_back((commit.at_us, commit.next));
        let known = commit.next <= partition.end();
        if known && commit.next > partition.resolved {
            let at = partition.ahead.partition_point(|(next, _)| *next <= commit.next);
            partition.ahead.insert(at, (commit.next, commit.at_us));
            return;
        }
        let last = partition.at(commit.next - 1).and_then(|number| self.place(number));
        let is_early = !known || last.is_some_and(|at| self.records[at].done_us > commit.at_us);
        if is_early {
            self.early(commit.partition as usize, commit.next);
        }
    }

    /// Something that may repeat records has happened.
    pub fn incident(&mut self, incident: Incident) {
        self.incidents.push(incident);
    }

    /// Records acknowledged for the first time since this was asked last, each with the moment.
    pub fn take_acknowledged(&mut self) -> Vec<(u64, u64)> {
        std::mem::take(&mut self.acknowledged)
    }

    /// Judges what can be judged at `now_us` and forgets what can no longer change.
    pub fn settle(&mut self, now_us: u64) {
        while self.doubtful.front().is_some_and(|one| one.again_us + DOUBT_US <= now_us) {
            self.judge_a_repetition();
        }
        // Nobody will tell of these any more.
        self.open.retain(|_, (at_us, _)| *at_us + REMEMBER_US > now_us);
        for at in 0..self.partitions.len() {
            let old = now_us.saturating_sub(self.keep_us);
            let until = self.partitions[at].committed_by(old);
            self.give_up(at, until);
            let partition = &mut self.partitions[at];
            let until = until.min(partition.resolved);
            while partition.base < until {
                partition.order.pop_front();
                partition.base += 1;
            }
            while partition.commits.len() > 1
                && partition.commits.get(1).is_some_and(|(at, _)| at + REMEMBER_US < now_us)
            {
                partition.commits.pop_front();
            }
        }
        let partitions = &self.partitions;
        let is_old = |record: &Record| record.offset < partitions[record.partition as usize].base;
        while self.records.front().is_some_and(is_old) {
            self.records.pop_front();
            self.first += 1;
        }
    }

    /// What was found so far; a loss may still turn up at the end.
    #[must_use]
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// Repetitions not judged yet.
    #[must_use]
    pub fn doubtful(&self) -> usize {
        self.doubtful.len()
    }

    /// Records now kept.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.records.len()
    }

    /// Records not acknowledged yet, or behind one of these.
    #[must_use]
    pub fn unresolved(&self) -> u64 {
        self.partitions.iter().map(|one| u64::try_from(one.end() - one.resolved).unwrap_or(0)).sum()
    }

    /// Where each partition must end.
    #[must_use]
    pub fn ends(&self) -> Vec<i64> {
        self.partitions.iter().map(Partition::end).collect()
    }

    /// The run has ended, and everything was told: the last judgement.
    #[must_use]
    pub fn finish(mut self) -> Verdict {
        while !self.doubtful.is_empty() {
            self.judge_a_repetition();
        }
        for at in 0..self.partitions.len() {
            self.give_up(at, self.partitions[at].end());
        }
        for at in 0..self.keys.len() {
            let key = self.keys[at];
            if key.written != key.newest {
                self.verdict.stale_keys += 1;
                self.verdict.note(|| format!("key {at} ends with record {}, older than {}", key.written, key.newest));
            }
        }
        self.verdict
    }

    fn place(&self, number: u64) -> Option<usize> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        (at < self.records.len()).then_some(at)
    }

    /// Forgotten, so it was committed long ago; or never fed.
    fn out_of_sight(&mut self, number: u64, taken: Taken) {
        if number >= self.first {
            return self.foreign(number);
        }
        if taken == Taken::Applied {
            self.verdict.duplicates += 1;
            self.verdict.unexplained += 1;
            self.verdict.note(|| format!("record {number} was written again long after it was committed"));
        }
    }

    fn foreign(&mut self, number: u64) {
        self.verdict.foreign += 1;
        self.verdict.note(|| format!("nobody sent record {number}"));
    }

    fn early(&mut self, partition: usize, next: i64) {
        self.verdict.early_commits += 1;
        self.verdict
            .note(|| format!("partition {partition} was committed to {next} before all of that was acknowledged"));
    }

    /// Per key the sink sees the input's order; it may go back and come again.
    fn order_of(&mut self, number: u64, record: &Record, taken: Taken) {
        let key = &mut self.keys[record.key as usize];
        let again = key.seen != NONE && number <= key.seen;
        let is_next = record.before == key.seen;
        let seen = std::mem::replace(&mut key.seen, number);
        if taken == Taken::Applied {
            key.written = number;
            key.newest = if key.newest == NONE { number } else { key.newest.max(number) };
        }
        if !again && !is_next {
            self.verdict.disordered += 1;
            self.verdict
                .note(|| format!("record {number} was sent after {seen} and before {} of its key", record.before));
        }
    }

    /// The record is written again: explained now, or in doubt until its cause may be known.
    fn repeated(&mut self, number: u64, record: &Record, at_us: u64) {
        self.verdict.duplicates += 1;
        let since = record.written_us;
        let mut mate = record.before;
        let mut follows = false;
        while let Some(at) = (mate != NONE).then(|| self.place(mate)).flatten() {
            let earlier = &self.records[at];
            if earlier.has_failed && earlier.last_us >= since {
                follows = true;
                break;
            }
            mate = earlier.before;
        }
        if !record.is_untold && !follows {
            self.doubtful.push_back(Repetition {
                record: number,
                partition: record.partition as i32,
                offset: record.offset,
                before_us: since,
                again_us: at_us,
            });
        }
    }

    fn judge_a_repetition(&mut self) {
        let Some(one) = self.doubtful.pop_front() else { return };
        let partitions = &self.partitions;
        let committed = |partition: i32, at_us| partitions[partition as usize].committed_by(at_us);
        if !self.incidents.iter().any(|incident| explains(incident, &one, committed)) {
            self.verdict.unexplained += 1;
            self.verdict.note(|| format!("repeated without a cause: {one}"));
        }
    }

    fn acknowledge(&mut self, number: u64, request: u64, at_us: u64) {
        let Some(at) = self.place(number) else { return };
        let record = &mut self.records[at];
        if record.request == request {
            record.is_untold = false;
        }
        let partition = record.partition as usize;
        if record.done_us == NONE {
            record.done_us = at_us;
            self.acknowledged.push((number, at_us));
            self.advance(partition);
        }
    }

    /// Moves the end of what was acknowledged, and judges the commits it passes.
    fn advance(&mut self, at: usize) {
        while let Some(place) =
            self.partitions[at].at(self.partitions[at].resolved).and_then(|number| self.place(number))
        {
            let (record, partition) = (&mut self.records[place], &mut self.partitions[at]);
            if record.done_us == NONE {
                return;
            }
            partition.resolved_us = partition.resolved_us.max(record.done_us);
            record.done_us = partition.resolved_us;
            partition.resolved += 1;
            let passed = partition.ahead.partition_point(|(next, _)| *next <= partition.resolved);
            let judged: Vec<(i64, u64)> = partition.ahead.drain(..passed).collect();
            let resolved_us = partition.resolved_us;
            for (next, _) in judged.into_iter().filter(|(_, at_us)| *at_us < resolved_us) {
                self.early(at, next);
            }
        }
    }

    /// What lies below `until` and was never written is lost, and every commit that passed it was early.
    fn give_up(&mut self, at: usize, until: i64) {
        while self.partitions[at].resolved < until {
            let offset = self.partitions[at].resolved;
            let Some(number) = self.partitions[at].at(offset) else { return };
            let Some(place) = self.place(number) else { return };
            if self.records[place].written_us == NONE {
                self.verdict.lost += 1;
                self.verdict.note(|| format!("lost: record {number} (partition {at}, offset {offset})"));
            }
            let passed: Vec<(i64, u64)> = self.partitions[at].ahead.drain(..).collect();
            for (next, _) in passed {
                self.early(at, next);
            }
            self.records[place].done_us = self.partitions[at].resolved_us;
            self.advance(at);
        }
    }
}

#[cfg(test)]
mod tests;
