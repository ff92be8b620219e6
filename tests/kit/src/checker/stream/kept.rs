//! What a checker that follows a run keeps: records that may still change, keys, partitions (pure).

use std::collections::VecDeque;

/// No record, no time.
pub(super) const NONE: u64 = u64::MAX;
/// A record of the input.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    pub key: u32,
    pub partition: u32,
    pub offset: i64,
    /// The record of its key before it.
    pub before: u64,
    /// Last seen at the sink.
    pub last_us: u64,
    /// Last written; [`NONE`]: never.
    pub written_us: u64,
    /// First acknowledged; once everything before it is: when the last of these was. [`NONE`]: not yet.
    pub done_us: u64,
    /// The request of the last write.
    pub request: u64,
    /// Nobody was told of the last write.
    pub is_untold: bool,
    /// It was refused, or had to be written again because nobody was told.
    pub has_failed: bool,
}

/// What is known of a key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    pub fed: u64,
    pub seen: u64,
    pub written: u64,
    pub newest: u64,
}

/// A partition: its records by offset from `base` on.
#[derive(Debug, Default)]
pub(super) struct Partition {
    pub base: i64,
    pub order: VecDeque<u64>,
    /// Everything below was acknowledged, the last of it at `resolved_us`.
    pub resolved: i64,
    pub resolved_us: u64,
    /// Commits of late.
    pub commits: VecDeque<(u64, i64)>,
    /// Commits beyond `resolved`, by position.
    pub ahead: Vec<(i64, u64)>,
}

impl Partition {
    pub fn end(&self) -> i64 {
        self.base + self.order.len() as i64
    }

    pub fn at(&self, offset: i64) -> Option<u64> {
        usize::try_from(offset - self.base).ok().and_then(|at| self.order.get(at)).copied()
    }

    /// The highest position known to be committed by `at_us`.
    pub fn committed_by(&self, at_us: u64) -> i64 {
        self.commits.iter().filter(|(at, _)| *at <= at_us).map(|(_, next)| *next).max().unwrap_or(0)
    }
}
