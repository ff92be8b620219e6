//! What stands behind the source in one life of the engine: workers that finish in any order, the ring, a sink, the
//! desk.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::librdkafka::RecordBatch;
use crate::model::{
    Budget, Charge, ItemPath, Offset, Outcome, Part, PartitionId, PartitionTable, Place, Prepared, Reject,
    RejectReason, Rejected, Report, Run, SplitRecord, Stop, Wake,
};
use crate::sink::elasticsearch::pure::{BulkItem, ItemAction};
use crate::sink::elasticsearch::{self};
use crate::sink::sequencer::Sequencer;
use crate::source::InFlight;

use super::desk::{Letter, SimulatedRejects};
use super::lanes::Lanes;
use super::log::Fate;
use super::messages::{Batch, Message};
use super::relay::{Command, Produced, Relay};
use super::server::{Write, line};

/// Places of the ring.
pub const RING: u64 = 6;

/// The sink.
pub enum Sink {
    /// Elasticsearch.
    Lanes(Lanes),
    /// Kafka, and what the source asks of it.
    Relay(Relay, flume::Receiver<Command>),
}

/// See the module.
pub struct Engine {
    /// From the source.
    pub batches: flume::Receiver<RecordBatch<Batch>>,
    /// Batches being prepared.
    pub preparing: Vec<RecordBatch<Batch>>,
    /// Prepared, not yet taken in by the sink.
    pub intake: Vec<Prepared<BulkItem>>,
    ring: Sequencer<Prepared<BulkItem>>,
    /// The sink.
    pub sink: Sink,
    /// The reject desk.
    pub desk: SimulatedRejects,
    /// To the source.
    pub reports: flume::Sender<Report>,
    /// The fence.
    pub table: Arc<PartitionTable>,
    /// The byte budget.
    pub budget: Arc<Budget>,
    /// Lowest sequence number not taken in.
    pub released: Arc<AtomicU64>,
    /// The stop switch.
    pub stop: Arc<Stop>,
    /// Sent, and not yet in the channel: nothing may be lost of it.
    pub unsent: VecDeque<Report>,
}

/// How many batches the workers prepare at a time.
pub const WORKERS: usize = 3;

impl Engine {
    /// An engine that has read nothing.
    pub fn new(
        batches: flume::Receiver<RecordBatch<Batch>>,
        sink: Sink,
        reports: flume::Sender<Report>,
        table: Arc<PartitionTable>,
        budget: Arc<Budget>,
    ) -> Self {
        Self {
            batches,
            preparing: Vec::new(),
            intake: Vec::new(),
            ring: Sequencer::new(RING as usize),
            sink,
            desk: SimulatedRejects::default(),
            reports,
            table,
            budget,
            released: Arc::new(AtomicU64::new(0)),
            stop: Arc::new(Stop::default()),
            unsent: VecDeque::new(),
        }
    }

    /// Reports to the source.
    pub fn report(&mut self, report: Report) {
        self.unsent.push_back(report);
        while let Some(report) = self.unsent.pop_front() {
            if let Err(flume::TrySendError::Full(report)) = self.reports.try_send(report) {
                self.unsent.push_front(report);
                return;
            }
        }
    }

    /// Whether nothing is on its way between source and sink, nor in it.
    pub fn is_idle(&self) -> bool {
        let sink = match &self.sink {
            Sink::Lanes(lanes) => lanes.is_empty(),
            Sink::Relay(relay, _) => !relay.is_busy(),
        };
        sink && self.batches.is_empty() && self.preparing.is_empty() && self.intake.is_empty()
    }

    /// The number of a slot's partition.
    pub fn partition(&self, slot: PartitionId) -> i32 {
        self.table.name(slot).map_or(-1, |name| name.partition)
    }

    /// A worker takes the next batch.
    pub fn take_batch(&mut self) -> bool {
        if self.preparing.len() >= WORKERS {
            return false;
        }
        let Ok(batch) = self.batches.try_recv() else { return false };
        self.preparing.push(batch);
        true
    }

    /// A worker is done with a batch, or panics over it. Returns the records that a rule dropped.
    pub fn finish_batch(&mut self, at: usize, panics: bool) -> Vec<(i32, i64, Option<u32>)> {
        let RecordBatch { sequence, messages, runs, charge, polled } = self.preparing.swap_remove(at);
        let mut prepared = Prepared::empty(sequence, charge, polled);
        let mut dropped = Vec::new();
        if panics {
            prepared.charge = Charge::none();
            prepared.lost = runs.iter().map(|run| run.ticket).collect();
        } else {
            for run in runs.iter().filter(|run| self.table.is_current(run.ticket.slot, run.ticket.epoch)) {
                for index in run.start..run.end {
                    dropped.extend(prepare(run, index, &messages.messages[index as usize], &mut prepared));
                }
            }
            if !prepared.splits.is_empty() {
                self.report(Report::Split(prepared.splits.drain(..).map(|(_, record)| record).collect()));
            }
            prepared.charge.set(prepared.payload.capacity());
        }
        self.intake.push(prepared);
        dropped
    }

    /// The sink's intake takes one prepared batch in. `Err`: what must not be.
    pub fn take_in(&mut self, at: usize, now: std::time::Instant) -> Result<(), String> {
        let batch = self.intake.swap_remove(at);
        self.ring.insert(batch.sequence, batch).map_err(|fault| fault.to_string())?;
        while let Some(mut batch) = self.ring.pop() {
            self.released.store(self.ring.next(), Ordering::Release);
            if !batch.lost.is_empty() {
                let tickets = std::mem::take(&mut batch.lost);
                tickets.iter().for_each(|ticket| self.table.bar(ticket.slot, ticket.epoch));
                self.report(Report::Rewind { tickets, cause: crate::model::RewindCause::Lost });
            }
            if !batch.ended.is_empty() {
                let ended = std::mem::take(&mut batch.ended);
                self.report(Report::Settled(ended));
            }
            for rejected in std::mem::take(&mut batch.rejects) {
                let partition = self.partition(rejected.place.ticket.slot);
                self.desk.file(Letter { place: rejected.place, partition });
            }
            match &mut self.sink {
                Sink::Lanes(lanes) => lanes.take(batch, now),
                Sink::Relay(relay, _) => relay.waiting.extend(produced(&batch)),
            }
        }
        Ok(())
    }
}

/// Prepares a record; what of it a rule dropped.
fn prepare(
    run: &Run,
    index: u32,
    message: &Message,
    prepared: &mut Prepared<BulkItem>,
) -> Vec<(i32, i64, Option<u32>)> {
    let Message { partition, offset, input } = *message;
    let mut dropped = Vec::new();
    if input.items > 0 {
        let split = SplitRecord { ticket: run.ticket, offset: Offset(offset), items: u32::from(input.items) };
        prepared.splits.push((index, split));
    }
    for (item, leaf) in input.leaves() {
        let path = item.and_then(|number| ItemPath::WHOLE.below(number)).unwrap_or_default();
        let place = Place { ticket: run.ticket, offset: Offset(offset), item: path, index };
        match leaf.fate {
            Fate::Dropped => {
                prepared.ended.push(Part::one(&place, Outcome::Dropped));
                dropped.push((partition, offset, item));
            }
            Fate::Poison => {
                let reject = Reject::new(RejectReason::InvalidJson, &"parse".into(), "");
                prepared.rejects.push(Rejected { place, reject });
            }
            Fate::Good | Fate::Refused => {
                let start = prepared.payload.len() as u32;
                let write = Write { partition, offset, item, epoch: run.ticket.epoch.0, input: leaf };
                let entry = format!("{{\"index\":{{\"_id\":\"{}\"}}}}\n{}\n", leaf.key, line(write));
                prepared.payload.extend_from_slice(entry.as_bytes());
                let end = prepared.payload.len() as u32;
                let (id_hash, action) = (leaf.key, ItemAction::Index);
                prepared.items.push(BulkItem { place, start, end, id_hash, action, versioned: true });
            }
        }
    }
    dropped
}

fn produced(batch: &Prepared<BulkItem>) -> Vec<Produced> {
    let read = |item: &BulkItem| {
        let entry = std::str::from_utf8(&batch.payload[item.start as usize..item.end as usize]).ok()?;
        let write = super::server::parse(entry.lines().nth(1)?)?;
        Some(Produced { place: item.place, write })
    };
    batch.items.iter().filter_map(read).collect()
}

/// As `pipeline` joins the lanes' wire to the source.
pub struct LanesInFlight(pub Arc<elasticsearch::InFlightCounts>);

impl InFlight for LanesInFlight {
    fn ask(&self, _slot: PartitionId) {}
    fn is_quiet(&self, slot: PartitionId) -> bool {
        self.0.is_quiet(slot)
    }
    fn purge(&self) {}
}

/// As `pipeline` joins the producer's.
pub struct RelayInFlight(pub flume::Sender<Command>);

impl InFlight for RelayInFlight {
    fn ask(&self, slot: PartitionId) {
        let _ = self.0.try_send(Command::Quiesce(slot));
    }
    fn is_quiet(&self, _slot: PartitionId) -> bool {
        false
    }
    fn purge(&self) {
        let _ = self.0.try_send(Command::Purge);
    }
}

/// A wake-up nobody waits for: the scheduler turns the source by itself.
pub fn no_wake() -> Arc<Wake> {
    Arc::new(Wake::default())
}
