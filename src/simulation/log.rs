//! The logs of a topic: records, control records, aborted records, holes; retention, truncation, deletion.

use std::collections::{BTreeMap, BTreeSet};

/// What the engine is to do with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Delivered.
    Good,
    /// Dropped by a rule of the steps.
    Dropped,
    /// Rejected in preprocess.
    Poison,
    /// Rejected by the sink.
    Refused,
}

/// One record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Input {
    /// Keys belong to one partition.
    pub key: u64,
    /// Grows with every record of the topic.
    pub version: u64,
    /// What is to become of it.
    pub fate: Fate,
    /// How many items the steps make of it; 0: none, it stays whole.
    pub items: u8,
}

impl Input {
    /// What is done with each on its own: the record, or its items by number.
    pub fn leaves(self) -> impl Iterator<Item = (Option<u32>, Self)> {
        let whole = (self.items == 0).then_some((None, self));
        whole.into_iter().chain((0..u32::from(self.items)).map(move |number| (Some(number), self.item(number))))
    }

    /// The record itself, or one of its items.
    pub fn leaf(self, item: Option<u32>) -> Self {
        item.map_or(self, |number| self.item(number))
    }

    /// Items of records with one key have keys of their own, by number.
    fn item(self, number: u32) -> Self {
        let fate = match (self.version + u64::from(number)) % 8 {
            0 => Fate::Dropped,
            1 => Fate::Poison,
            2 => Fate::Refused,
            _ => Fate::Good,
        };
        Self { key: self.key + 1_000 * (u64::from(number) + 1), version: self.version, fate, items: 0 }
    }
}

/// What stands at an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// A record of a committed transaction, or of none.
    Record(Input),
    /// A transaction marker: moves a reader's position, is no message.
    Control,
    /// A record of an aborted transaction, or a place that compaction emptied.
    Nothing,
}

/// What a client does at a batch it cannot read, all of them seen of librdkafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It says so, and fetches the batch again.
    Again,
    /// It says nothing, and fetches the batch again.
    Silence,
    /// It says so, and goes on this far behind the batch's first offset, wherever that is.
    GoesOn(i64),
}

/// A batch that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable {
    /// Its first offset.
    pub first: i64,
    /// One past its last offset.
    pub end: i64,
    /// What the client does.
    pub then: Then,
}

/// One partition.
#[derive(Debug, Default)]
pub struct Log {
    /// Batches that cannot be read.
    pub unreadable: Vec<Unreadable>,
    entries: Vec<Entry>,
    /// Oldest offset there is.
    pub low: i64,
    /// Nobody owes what lies below.
    pub history: i64,
    /// Records somebody is done with: acknowledged by the sink, dead-lettered, or dropped by a rule.
    resolved: Vec<bool>,
    /// Items that somebody is done with, by their record's offset.
    ended_items: BTreeMap<i64, BTreeSet<u32>>,
    /// All records below are resolved or gone.
    resolved_below: i64,
    /// The log lost its end or began anew: its order is not looked at any more.
    pub anew: bool,
    /// Nothing is appended before whoever reads it has noticed: what cannot be told apart is nobody's fault.
    pub frozen: bool,
    /// The topic was made again, and whoever reads it does not know yet.
    pub unsure: bool,
    /// Versions that went with a lost end.
    pub lost_versions: BTreeSet<u64>,
}

impl Log {
    /// One past the last entry.
    pub fn end(&self) -> i64 {
        self.entries.len() as i64
    }

    /// Adds an entry.
    pub fn append(&mut self, entry: Entry) {
        self.entries.push(entry);
        self.resolved.push(!matches!(entry, Entry::Record(_)));
    }

    /// The batch that cannot be read and holds this offset.
    pub fn unreadable_at(&self, offset: i64) -> Option<Unreadable> {
        self.unreadable.iter().copied().find(|batch| (batch.first..batch.end).contains(&offset))
    }

    /// The entry at an offset that is still there.
    pub fn at(&self, offset: i64) -> Option<Entry> {
        if offset < self.low {
            return None;
        }
        self.entries.get(usize::try_from(offset).ok()?).copied()
    }

    /// Somebody is done with the record at `offset`.
    pub fn resolve(&mut self, offset: i64, item: Option<u32>) {
        if let (Some(number), Some(Entry::Record(input))) = (item, self.at(offset)) {
            let ended = self.ended_items.entry(offset).or_default();
            ended.insert(number);
            if ended.len() < usize::from(input.items) {
                return;
            }
        }
        if let Some(resolved) = self.resolved.get_mut(offset as usize) {
            *resolved = true;
        }
    }

    /// The first offset below which nothing is unresolved, apart from what retention took.
    pub fn resolved_below(&mut self) -> i64 {
        self.resolved_below = self.resolved_below.max(self.low);
        while self.resolved.get(self.resolved_below as usize) == Some(&true) {
            self.resolved_below += 1;
        }
        self.resolved_below
    }

    /// Retention takes everything below.
    pub fn retain_from(&mut self, low: i64) {
        self.low = self.low.max(low.min(self.end()));
    }

    /// A leader without the newest entries took over.
    pub fn truncate(&mut self, end: i64) {
        let end = end.clamp(self.low, self.end()) as usize;
        for entry in &self.entries[end..] {
            if let Entry::Record(input) = entry {
                self.lost_versions.insert(input.version);
            }
        }
        self.entries.truncate(end);
        self.resolved.truncate(end);
        self.ended_items.split_off(&(end as i64));
        self.resolved_below = self.resolved_below.min(end as i64);
        self.unreadable.retain(|batch| batch.end <= end as i64);
        self.anew = true;
        self.frozen = true;
    }

    /// The topic was deleted and made again.
    pub fn make_again(&mut self) {
        self.low = 0;
        self.history = 0;
        self.truncate(0);
        self.frozen = false;
        self.unsure = true;
    }

    /// Whether what is read of it says nothing about what it holds.
    pub fn is_doubtful(&self) -> bool {
        self.frozen || self.unsure
    }

    /// The newest record of each key that the sink is to hold.
    pub fn newest(&self) -> BTreeMap<u64, u64> {
        let mut newest = BTreeMap::new();
        for offset in self.low.max(self.history)..self.end() {
            let Some(Entry::Record(input)) = self.at(offset) else { continue };
            for (_, leaf) in input.leaves().filter(|(_, leaf)| leaf.fate == Fate::Good) {
                newest.insert(leaf.key, leaf.version);
            }
        }
        newest
    }

    /// One past the last record.
    pub fn behind_last_record(&self) -> i64 {
        self.behind_last_record_below(self.end())
    }

    /// One past the last record below an offset.
    pub fn behind_last_record_below(&self, end: i64) -> i64 {
        let last = (self.low.max(self.history)..end).rev().find(|at| matches!(self.at(*at), Some(Entry::Record(_))));
        last.map_or(0, |last| last + 1)
    }
}
