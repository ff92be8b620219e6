//! What the components behind the source report back to it.

use std::sync::Arc;

use enum_map::Enum;
use strum::{IntoStaticStr, VariantArray};

use super::exit::Exit;
use super::item::Place;
use super::partition::{Offset, PartitionId};
use super::run::Ticket;
use super::stop::Wake;

/// How a record ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Enum, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Outcome {
    /// The sink acknowledged it.
    Delivered,
    /// The sink already had it or something newer.
    Superseded,
    /// An explicit rule dropped it.
    Dropped,
    /// A dead letter holds it, acknowledged.
    DeadLettered,
    /// The sink acknowledged it, and it is not where it was sent: in a failure store, or dropped by an ingest pipeline.
    Redirected,
}

impl Outcome {
    /// The label value of `records_total`.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        self.into()
    }

    /// How a record ended of which one item ended so and another one otherwise: what most needs to be known of it. It
    /// is dropped only when nothing of it went anywhere.
    #[must_use]
    pub(crate) fn and(self, other: Self) -> Self {
        let weight = |outcome| match outcome {
            Self::Dropped => 0,
            Self::Superseded => 1,
            Self::Delivered => 2,
            Self::Redirected => 3,
            Self::DeadLettered => 4,
        };
        if weight(other) > weight(self) { other } else { self }
    }
}

/// A part of a ticket that has ended: `records` of its records ended with `outcome`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Whose records.
    pub ticket: Ticket,
    /// How they ended.
    pub outcome: Outcome,
    /// How many, at least 1.
    pub records: u32,
    /// The record whose items these are: then `records` counts them, and the record ends with the last one.
    pub items_of: Option<Offset>,
}

impl Part {
    /// So many whole records of a ticket.
    #[must_use]
    pub fn of_records(ticket: Ticket, outcome: Outcome, records: u32) -> Self {
        Self { ticket, outcome, records, items_of: None }
    }

    /// One record, or one item of a record.
    #[must_use]
    #[inline]
    pub fn one(place: &Place, outcome: Outcome) -> Self {
        let items_of = if place.item.is_whole() { None } else { Some(place.offset) };
        Self { ticket: place.ticket, outcome, records: 1, items_of }
    }

    /// Takes in another one that counts the same: records of one ticket, or items of one record. Whether it did.
    #[inline]
    pub fn absorb(&mut self, other: &Self) -> bool {
        let same = self.ticket == other.ticket && self.outcome == other.outcome && self.items_of == other.items_of;
        if same {
            self.records += other.records;
        }
        same
    }

    /// Adds one record or item to the last of `parts`, where that counts the same.
    #[inline]
    pub fn add(parts: &mut Vec<Self>, place: &Place, outcome: Outcome) {
        let part = Self::one(place, outcome);
        if !parts.last_mut().is_some_and(|last| last.absorb(&part)) {
            parts.push(part);
        }
    }
}

/// A record of which steps made several items: it ends with the last of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SplitRecord {
    /// Its ticket.
    pub ticket: Ticket,
    /// Its offset.
    pub offset: Offset,
    /// How many items there are, at least 1.
    pub items: u32,
}

/// Why a partition goes back to its lowest unresolved offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Enum, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum RewindCause {
    /// A delivery report failed.
    Delivery,
    /// The sink acknowledged nothing for `retry.in_place`.
    Exhausted,
    /// The producer failed for good and was recreated.
    Producer,
    /// A batch was lost with its worker.
    Lost,
    /// The client went back unasked, or may have gone anywhere after a call that failed.
    Redelivered,
    /// The log was truncated or the topic recreated.
    Truncated,
}

impl RewindCause {
    /// The label value of `rewinds_total`.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        self.into()
    }
}

/// Why a sink gives up what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GiveUp {
    /// Nothing was acknowledged for `retry.in_place`.
    Unacknowledged,
    /// The one topic all records go to is not there.
    MissingTopic,
}

impl GiveUp {
    /// The cause of the rewinds that follow.
    #[must_use]
    pub(crate) fn cause(self) -> RewindCause {
        match self {
            Self::Unacknowledged => RewindCause::Exhausted,
            Self::MissingTopic => RewindCause::Delivery,
        }
    }
}

/// Why a pipeline must stop; ends the process with `exit` unless `on_halt: keep_others`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Halt {
    /// The exit code of this cause.
    pub exit: Exit,
    /// What happened, where, why and what to do; no secrets, no payload.
    pub message: String,
}

/// A message to the source thread, over one bounded channel a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// Steps made items of these records. Comes before the first of their items ends.
    Split(Vec<SplitRecord>),
    /// Records ended.
    Settled(Vec<Part>),
    /// Some records of these tickets will never be settled: rewind their partitions (tickets of an old epoch are
    /// ignored).
    Rewind {
        /// Any ticket of each partition concerned.
        tickets: Vec<Ticket>,
        /// Why.
        cause: RewindCause,
    },
    /// The sink gives its memory back: rewind every partition with unresolved records and keep all partitions paused
    /// until [`Report::SinkAnswers`].
    GaveUp(GiveUp),
    /// After [`Report::GaveUp`] the sink answered a probe.
    SinkAnswers,
    /// The sink holds nothing any more of this partition's epochs before the current one (asked for at revoke).
    Quiet(PartitionId),
    /// The pipeline cannot go on.
    Halt(Halt),
}

/// The way to the source thread: one bounded channel a pipeline, and the source's wake-up.
#[derive(Clone)]
pub struct ReportSender {
    channel: flume::Sender<Report>,
    wake: Arc<Wake>,
}

impl ReportSender {
    /// A sender into `channel` that wakes its receiver.
    #[must_use]
    pub fn new(channel: flume::Sender<Report>, wake: Arc<Wake>) -> Self {
        Self { channel, wake }
    }

    /// Sends and wakes. Blocks only while the channel is full: the source empties it in every turn, also while it
    /// drains for a revoke or a stop. A source that is gone needs no reports.
    pub fn send(&self, report: Report) {
        self.wake.wake();
        if self.channel.send(report).is_ok() {
            self.wake.wake();
        }
    }

    /// Wakes the source without a message: a ring place was freed.
    pub(crate) fn wake(&self) {
        self.wake.wake();
    }
}
