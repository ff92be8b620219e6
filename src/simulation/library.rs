//! What librdkafka keeps inside: the queue, and where each partition is being read. After its source (2.12.1).
//!
//! Every control call gives a partition a new version; messages of older versions are dropped when they are popped.
//! Reading goes on at the *control position* (`next_fetch_start`) after each new version; a pause saves the
//! application's position there, a seek forgets that one. So a resume of what was never paused goes back to where the
//! last control call was.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::librdkafka::{ErrorCode, Event, START_STORED};
use crate::model::TopicPartition;

use super::log::{Entry, Log, Then};
use super::messages::Message;

/// Messages the queue holds at most.
const PREFETCH: usize = 24;

/// One partition of the client (`rd_kafka_toppar_t`). It outlives its assignment, and so does the application's pause.
#[derive(Debug, Default)]
pub struct Toppar {
    /// Part of the assignment.
    pub assigned: bool,
    /// Fetching starts then; before, a seek answers `State`.
    pub starts_at: Duration,
    version: u32,
    fetch_version: u32,
    control: i64,
    control_changed: bool,
    fetch_at: i64,
    /// Behind the last message handed out.
    pub handed_out: Option<i64>,
    handed_out_before: Option<i64>,
    paused: bool,
    held_by_library: bool,
    /// Oldest offset as of the last fetch.
    pub low: Option<i64>,
    /// Since when statistics tell the position of before the last change.
    stale_since: Option<Duration>,
    /// When the control position was asked of the group and is not known yet.
    pub stored_wanted: bool,
}

/// Something in the consumer queue.
#[derive(Debug, Clone)]
pub enum Op {
    /// A record, and the version it was fetched in.
    Message(Message, u32),
    /// A control record, likewise: partition, offset, version.
    Control(i32, i64, u32),
    /// An error in the place of records: the first offset of the batch, and the version.
    Unreadable(i32, i64, u32),
    /// A callback's event.
    Event(Event),
}

/// The consumer queue and the partitions.
#[derive(Debug, Default)]
pub struct Library {
    /// The queue.
    pub queue: VecDeque<Op>,
    /// Every partition it has ever known.
    pub toppars: BTreeMap<i32, Toppar>,
    /// What the callbacks recorded.
    pub events: Vec<Event>,
    /// Fetches sent.
    pub fetches: u64,
    /// It knows no broker any more, until it is told the bootstrap servers again.
    pub forgot_brokers: bool,
}

impl Toppar {
    fn control(&mut self, position: i64) {
        self.control = position;
        self.control_changed = true;
    }

    fn pause(&mut self) {
        self.version += 1;
        if let Some(at) = self.handed_out {
            self.control(at);
        }
    }

    /// Whether it is being read now.
    pub fn is_fetched(&self, now: Duration) -> bool {
        self.assigned && !self.paused && !self.held_by_library && now >= self.starts_at && !self.stored_wanted
    }

    /// What statistics say of the next offset. The thread that fetches takes a new position over when it next turns,
    /// which may be a second later.
    pub fn told_next_fetch(&mut self, now: Duration) -> i64 {
        if self.fetch_version == self.version && !self.control_changed {
            self.stale_since = None;
            return self.fetch_at;
        }
        let since = *self.stale_since.get_or_insert(now);
        if now.saturating_sub(since) < Duration::from_secs(1) && self.fetch_version > 0 {
            self.fetch_at
        } else {
            self.control
        }
    }

    /// The next offset it will fetch.
    pub fn next_fetch(&self) -> i64 {
        if self.fetch_version < self.version || self.control_changed { self.control } else { self.fetch_at }
    }
}

impl Library {
    /// Fetches at most `most` entries of a partition.
    pub fn fetch(&mut self, partition: i32, log: &Log, now: Duration, most: usize) {
        if self.forgot_brokers {
            return;
        }
        self.fetches += 1;
        let room = PREFETCH.saturating_sub(self.queue.len());
        let Some(toppar) = self.toppars.get_mut(&partition).filter(|toppar| toppar.is_fetched(now)) else { return };
        if toppar.fetch_version < toppar.version || toppar.control_changed {
            toppar.fetch_version = toppar.version;
            toppar.control_changed = false;
            toppar.fetch_at = toppar.control;
        }
        toppar.low = Some(log.low);
        if toppar.fetch_at < log.low || toppar.fetch_at > log.end() {
            // auto.offset.reset is earliest.
            toppar.control(log.low);
            return;
        }
        for _ in 0..most.min(room) {
            if let Some(batch) = log.unreadable_at(toppar.fetch_at) {
                match batch.then {
                    Then::Silence => return,
                    Then::Again => {}
                    Then::GoesOn(on) => toppar.fetch_at = toppar.fetch_at.max(batch.first.saturating_add(on)),
                }
                self.queue.push_back(Op::Unreadable(partition, batch.first, toppar.version));
                return;
            }
            let Some(entry) = log.at(toppar.fetch_at) else { return };
            match entry {
                Entry::Record(input) => {
                    let message = Message { partition, offset: toppar.fetch_at, input };
                    self.queue.push_back(Op::Message(message, toppar.version));
                }
                Entry::Control => self.queue.push_back(Op::Control(partition, toppar.fetch_at, toppar.version)),
                Entry::Nothing => {}
            }
            toppar.fetch_at += 1;
        }
    }

    /// The batch call.
    pub fn drain(&mut self, max: usize, name: impl Fn(i32) -> TopicPartition) -> Vec<Message> {
        let (mut messages, mut passed) = (Vec::new(), Vec::new());
        let mut broken_off = BTreeSet::new();
        while messages.len() < max {
            let Some(op) = self.queue.pop_front() else { break };
            let is_current = |partition: i32, version| {
                self.toppars.get(&partition).is_some_and(|toppar: &Toppar| toppar.version == version)
            };
            match op {
                Op::Message(message, version) => {
                    if is_current(message.partition, version) {
                        passed.push((message.partition, message.offset + 1));
                        if !broken_off.contains(&message.partition) {
                            messages.push(message);
                        }
                    }
                }
                Op::Control(partition, offset, version) => {
                    if is_current(partition, version) {
                        passed.push((partition, offset + 1));
                    }
                }
                // The application's position counts the error as a record.
                Op::Unreadable(partition, offset, version) => {
                    if is_current(partition, version) {
                        passed.push((partition, offset + 1));
                        if broken_off.insert(partition) {
                            self.events.push(Event::InPlaceOfRecord {
                                partition: Some(name(partition)),
                                offset: Some(offset),
                                code: ErrorCode::BAD_MSG,
                                message: String::new(),
                            });
                        }
                    }
                }
                Op::Event(event) => {
                    if matches!(event, Event::Statistics(_)) {
                        self.events.retain(|kept| !matches!(kept, Event::Statistics(_)));
                    }
                    self.events.push(event);
                }
            }
        }
        for (partition, at) in passed {
            if let Some(toppar) = self.toppars.get_mut(&partition)
                && toppar.handed_out < Some(at)
            {
                toppar.handed_out_before = toppar.handed_out;
                toppar.handed_out = Some(at);
            }
        }
        messages
    }

    /// Whether something of a partition, from an offset on, is in the queue.
    pub fn holds_from(&self, partition: i32, offset: i64) -> bool {
        self.queue.iter().any(|op| match op {
            Op::Message(message, _) => message.partition == partition && message.offset >= offset,
            Op::Control(of, at, _) | Op::Unreadable(of, at, _) => *of == partition && *at >= offset,
            Op::Event(_) => false,
        })
    }

    /// A rebalance event is queued: the library pauses everything. `raced`: a batch call was under way, and its
    /// messages were handed out although the position saved is the one before them.
    pub fn announce(&mut self, event: Event, raced: bool) {
        for toppar in self.toppars.values_mut().filter(|toppar| toppar.assigned) {
            toppar.pause();
            toppar.held_by_library = true;
            if let (true, Some(before)) = (raced, toppar.handed_out_before) {
                toppar.control(before);
            }
        }
        self.queue.push_back(Op::Event(event));
    }

    fn release_all(&mut self) {
        for toppar in self.toppars.values_mut().filter(|toppar| toppar.held_by_library) {
            toppar.version += 1;
            toppar.held_by_library = false;
        }
    }

    /// `rd_kafka_assign` or its incremental sister.
    pub fn assign(
        &mut self,
        positions: &[(i32, i64)],
        incremental: bool,
        starts_at: Duration,
    ) -> Result<(), ErrorCode> {
        if incremental && positions.iter().any(|(partition, _)| self.is_assigned(*partition)) {
            return Err(ErrorCode::CONFLICT);
        }
        if !incremental {
            self.unassign_where(|partition| !positions.iter().any(|(kept, _)| *kept == partition));
        }
        for (partition, at) in positions {
            let toppar = self.toppars.entry(*partition).or_default();
            toppar.version += 1;
            toppar.assigned = true;
            toppar.starts_at = starts_at;
            toppar.handed_out = None;
            toppar.handed_out_before = None;
            toppar.control(*at);
            toppar.stored_wanted = *at < 0;
        }
        self.release_all();
        Ok(())
    }

    /// `rd_kafka_assign(NULL)` or its incremental sister.
    pub fn unassign(&mut self, partitions: &[i32], incremental: bool) -> Result<(), ErrorCode> {
        if incremental && partitions.iter().any(|partition| !self.is_assigned(*partition)) {
            return Err(ErrorCode::INVALID_ARG);
        }
        self.unassign_where(|partition| !incremental || partitions.contains(&partition));
        self.release_all();
        Ok(())
    }

    fn unassign_where(&mut self, gone: impl Fn(i32) -> bool) {
        for (partition, toppar) in &mut self.toppars {
            if toppar.assigned && gone(*partition) {
                toppar.version += 1;
                toppar.assigned = false;
                toppar.held_by_library = false;
                toppar.handed_out = None;
                toppar.handed_out_before = None;
            }
        }
    }

    /// Whether a partition is part of the assignment.
    pub fn is_assigned(&self, partition: i32) -> bool {
        self.toppars.get(&partition).is_some_and(|toppar| toppar.assigned)
    }

    /// What the group or the log say for a logical start.
    pub fn starts(&mut self, partition: i32, at: i64) {
        if let Some(toppar) = self.toppars.get_mut(&partition).filter(|toppar| toppar.stored_wanted) {
            toppar.stored_wanted = false;
            toppar.control(at);
        }
    }

    /// `rd_kafka_seek_partitions` for one partition.
    pub fn seek(&mut self, partition: i32, at: i64, now: Duration) -> Option<ErrorCode> {
        let Some(toppar) = self.toppars.get_mut(&partition).filter(|toppar| toppar.assigned) else {
            return Some(ErrorCode::UNKNOWN_PARTITION);
        };
        if now < toppar.starts_at {
            return Some(ErrorCode::STATE);
        }
        if at == START_STORED {
            return Some(ErrorCode::INVALID_ARG);
        }
        toppar.version += 1;
        toppar.handed_out = None;
        toppar.handed_out_before = None;
        toppar.stored_wanted = at < 0;
        toppar.control(at);
        None
    }

    /// `rd_kafka_pause_partitions` or `rd_kafka_resume_partitions` for one partition.
    pub fn pause(&mut self, partition: i32, on: bool) -> Option<ErrorCode> {
        let Some(toppar) = self.toppars.get_mut(&partition) else { return Some(ErrorCode::UNKNOWN_PARTITION) };
        if on {
            toppar.pause();
        } else {
            toppar.version += 1;
        }
        toppar.paused = on;
        None
    }
}
