//! Taking records: drain while there is room, drip while there is none, account for what came, hand it to the workers.

use std::time::{Duration, Instant};

use crate::librdkafka::RecordBatch;
use crate::model::{Epoch, Offset, PartitionId, Position, RewindCause, Run, TopicPartition};
use crate::mutants::{self, Mutant};
use crate::telemetry::health::Component;
use crate::telemetry::latency::Stage;
use crate::telemetry::metrics::StageName;

use super::client::{Client, Messages};
use super::control::Source;
use super::damage::{ReadCause, ReadError};
use super::flow::Arrival;
use super::partition::Partition;
use super::pauses::PauseReason;

/// Bytes wanted in a batch: the parser works on a cache-warm scratch, and a batch of 1,024 makes the channel hop free.
const BATCH_BYTES: usize = 256 * 1024;
/// Most records in a batch.
const BATCH_RECORDS: usize = 1024;
/// Between two drips: often enough for a pending rebalance, seldom enough that the hold lasts for minutes.
const DRIP: Duration = Duration::from_millis(300);
/// What a message costs beyond its bytes while it is out: librdkafka's operation (304 bytes, measured) and our entries.
const RECORD_OVERHEAD: usize = 400;

impl<C: Client> Source<C> {
    /// Takes the next records, if there is room and the group is stable. Returns whether there may be more at once.
    pub(super) fn take_records(&mut self, now: Instant) -> bool {
        if !self.rebalance.is_stable() {
            return false;
        }
        if !self.has_room() {
            self.drip(now);
            return false;
        }
        self.unblocked(now);
        if let Some(held) = self.hold.release(|slot| self.ledger.epoch(slot)) {
            self.admit(held, now);
            return true;
        }
        if self.holding {
            self.holding = false;
            self.pause_all(PauseReason::Hold, false);
            self.apply_pauses();
        }
        let max = (BATCH_BYTES / self.mean_record_bytes.max(1)).clamp(1, BATCH_RECORDS);
        let messages = self.consumer.drain(max, 0);
        if messages.is_empty() {
            self.queue_seen_empty = true;
            return false;
        }
        self.queue_seen_empty = false;
        self.admit(messages, now);
        true
    }

    fn unblocked(&mut self, now: Instant) {
        if let Some(since) = self.blocked_since.take() {
            let nanos = now.saturating_duration_since(since).as_nanos();
            self.cx.pipeline.metrics.blocked(StageName::Source).add(nanos as u64);
        }
    }

    /// No room: one record now and then keeps us in the group and runs a pending rebalance; a full hold pauses
    /// everything.
    fn drip(&mut self, now: Instant) {
        self.blocked_since.get_or_insert(now);
        if now < self.next_drip {
            return;
        }
        self.next_drip = now + DRIP;
        if self.hold.is_full() && !self.holding {
            self.holding = true;
            self.pause_all(PauseReason::Hold, true);
            self.apply_pauses();
        }
        // While all is paused nothing comes; what slipped through before the pause took hold is still kept.
        let messages = self.consumer.drain(if self.holding { BATCH_RECORDS } else { 1 }, 0);
        let tags = self.tag(&messages);
        self.hold.keep(messages, tags);
    }

    /// Partition and epoch of each message; `None` where it must be destroyed.
    fn tag(&self, messages: &C::Messages) -> Vec<Option<(PartitionId, Epoch)>> {
        let mut tags = Vec::with_capacity(messages.len());
        for segment in messages.segments() {
            let name = TopicPartition { topic: segment.topic.into(), partition: segment.partition };
            let slot = self.cx.pipeline.table.slot(&name);
            let slot = slot.filter(|slot| self.partitions.get(slot).is_some_and(Partition::keeps));
            let tag = slot.map(|slot| (slot, self.ledger.epoch(slot))).filter(|(_, epoch)| *epoch != Epoch::NONE);
            tags.extend((segment.start..segment.end).map(|_| tag));
        }
        tags
    }

    /// Opens tickets for what may be read and hands the batch to the workers; destroys, uncounted, what may not.
    pub(super) fn admit(&mut self, mut messages: C::Messages, now: Instant) {
        let verdicts = self.judge(&messages, now);
        if verdicts.iter().any(|stretch| stretch.slot.is_none()) {
            let mut refused = vec![false; messages.len()];
            for stretch in verdicts.iter().filter(|stretch| stretch.slot.is_none()) {
                refused[stretch.start..stretch.end].fill(true);
            }
            messages.retain(|index| !refused[index]);
        }
        let runs = self.open_runs(&verdicts, now);
        if runs.is_empty() {
            return;
        }
        let polled = now;
        let mut bytes = 0;
        for run in &runs {
            let (start, end) = (run.start as usize, run.end as usize);
            let run_bytes = (start..end).map(|index| messages.bytes_at(index)).sum::<usize>();
            bytes += run_bytes;
            if let Some(name) = self.cx.pipeline.table.name(run.ticket.slot) {
                self.cx.pipeline.metrics.drained(&name.topic, (end - start) as u64, run_bytes as u64);
            }
            self.ledger.times(run.ticket.slot, polled, messages.timestamp_ms(start));
        }
        self.mean_record_bytes = (self.mean_record_bytes * 7 + bytes / messages.len()) / 8;
        self.cx.pipeline.metrics.batch_records.observe(messages.len() as u64);
        self.cx.pipeline.metrics.batch_bytes.observe(bytes as u64);
        self.cx.pipeline.health.clear(Component::Source);
        self.record_queue_latency(&messages);
        let charge = self.cx.pipeline.budget.charge(bytes + messages.len() * RECORD_OVERHEAD);
        let batch = RecordBatch { sequence: self.next_sequence, messages, runs, charge, polled };
        self.next_sequence += 1;
        // Only this thread sends, and `has_room` saw a free place: the channel cannot be full. A worker that is gone is
        // a thread that ended unexpectedly; the engine stops the process for that cause, and nothing here is committed.
        drop(self.cx.batches.try_send(batch));
    }

    fn record_queue_latency(&self, messages: &C::Messages) {
        if let Some(at) = messages.timestamp_ms(0)
            && let Ok(wall) = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)
        {
            let waited = (wall.as_millis() as i64).saturating_sub(at).max(0);
            self.cx.pipeline.latency.record(Stage::Queue, Duration::from_millis(waited as u64), messages.len() as u64);
        }
    }

    /// Cuts a batch into stretches of one partition and says of each whether it may be read.
    fn judge(&mut self, messages: &C::Messages, now: Instant) -> Vec<Stretch> {
        let mut stretches = Vec::new();
        for segment in messages.segments() {
            let name = TopicPartition { topic: segment.topic.into(), partition: segment.partition };
            let (start, end) = (segment.start, segment.end);
            let (first, last) = (messages.offset(start), Offset(messages.offset(end - 1)));
            let takes = |partition: &mut Partition| partition.takes(Offset(first), last, now);
            let slot = self.cx.pipeline.table.slot(&name);
            let Some(slot) = slot.filter(|slot| self.partitions.get_mut(slot).is_some_and(takes)) else {
                stretches.push(Stretch::refused(start, end));
                continue;
            };
            let before = stretches.iter().rev().find(|before: &&Stretch| before.slot == Some(slot));
            let expected = before.map(|before| before.next).or_else(|| self.ledger.expected(slot));
            if !self.may_follow(slot, expected, first, now) {
                stretches.push(Stretch::refused(start, end));
                continue;
            }
            self.read_behind(slot, last.next());
            self.look_for_gap(slot, expected, first, segment.jump);
            let cut = self
                .until
                .as_ref()
                .and_then(|until| until.mark(slot))
                .map_or(end, |mark| (start..end).find(|index| messages.offset(*index) >= mark.0).unwrap_or(end));
            if cut < end {
                self.set_pause(slot, PauseReason::Until, true);
                self.until.iter_mut().for_each(|until| until.passed(slot));
                stretches.push(Stretch::refused(cut, end));
            }
            if cut > start {
                let (first, last) = (Offset(first), Offset(messages.offset(cut - 1)));
                stretches.push(Stretch { start, end: cut, slot: Some(slot), first, next: last.next() });
            }
        }
        // A partition that went back further on in this batch takes all of its records with it.
        for stretch in &mut stretches {
            stretch.slot = stretch.slot.filter(|slot| !self.partitions.get(slot).is_some_and(Partition::refuses_all));
        }
        stretches
    }

    /// Whether a record at `first` may come now in its partition. One that went back takes the rewind path; a jump
    /// after an assign or rewind is asked about. Where no position is known the beginning was sought, and before offset
    /// 0 is nothing. `expected` is the offset behind the last record, be it in this batch.
    fn may_follow(&mut self, slot: PartitionId, expected: Option<Position>, first: i64, now: Instant) -> bool {
        if let Some(expected) = expected.filter(|expected| first < expected.0) {
            self.went_back(slot, Offset(first), expected, now);
            return false;
        }
        if self.is_behind_wrong_numbers(slot, Offset(first)) {
            let damage = self.partitions.get(&slot).and_then(|partition| partition.damage.as_ref());
            let error = damage.map(|damage| damage.error().clone());
            error.into_iter().for_each(|error| self.broke_off(slot, error, now));
            return false;
        }
        let Some(partition) = self.partitions.get_mut(&slot) else { return true };
        if partition.topic_is_back() {
            self.topic_ids.suspect();
        }
        match partition.arrived(Offset(first), expected, now) {
            Arrival::Taken => true,
            Arrival::AfterJump => {
                expected.into_iter().for_each(|expected| self.ask_gap(slot, expected, Position(first)));
                true
            }
            Arrival::SeekAgain => false,
        }
    }

    /// While a partition is running, offsets jump over what was compacted and over control records; where retention
    /// overtook the reading they jump to the low watermark, which came with the same fetch.
    fn look_for_gap(&mut self, slot: PartitionId, expected: Option<Position>, first: i64, inside: Option<(i64, i64)>) {
        let Some(partition) = self.partitions.get(&slot) else { return };
        let before = expected
            .map(|expected| (expected.0, first))
            .filter(|(expected, _)| partition.has_read() && first > *expected);
        for (expected, first) in before.into_iter().chain(inside) {
            let low = self.consumer.low_watermark(&partition.name).map(Position);
            self.judge_gap(slot, Position(expected), Position(first), low);
        }
    }

    /// A record came that lies before the one that was expected: the client went back by itself, the log is another
    /// one, or it is numbered wrong. The ends are asked for in each case.
    fn went_back(&mut self, slot: PartitionId, first: Offset, expected: Position, now: Instant) {
        self.cx.pipeline.metrics.redelivered.add(1);
        let is_log = self.partitions.get_mut(&slot).is_some_and(|partition| partition.goes_back(first, expected));
        if is_log && !mutants::on(Mutant::WrongNumbersRewound) {
            let cause = ReadCause::WentBack { to: first.0 };
            self.broke_off(slot, ReadError { offset: expected.0, cause }, now);
        } else {
            self.rewind(slot, RewindCause::Redelivered, now);
        }
        self.topic_ids.suspect();
        self.ask_truncation(slot);
    }

    /// Whether a place that is numbered wrong lies between here and a record at `first`. Not where retention has
    /// removed it.
    fn is_behind_wrong_numbers(&mut self, slot: PartitionId, first: Offset) -> bool {
        let Some(partition) = self.partitions.get(&slot) else { return false };
        let Some(damage) = partition.damage.as_ref().filter(|damage| !damage.allows(first)) else { return false };
        self.consumer.low_watermark(&partition.name).is_none_or(|low| low <= damage.place().0)
    }

    fn open_runs(&mut self, stretches: &[Stretch], now: Instant) -> Vec<Run> {
        let mut runs = Vec::with_capacity(stretches.len());
        let mut overlapping = Vec::new();
        let mut at = 0u32;
        for stretch in stretches {
            let Some(slot) = stretch.slot else { continue };
            let records = (stretch.end - stretch.start) as u32;
            match self.ledger.open(slot, stretch.first, stretch.next, records) {
                Ok(ticket) => {
                    let run = Run { ticket, first: stretch.first, next: stretch.next, start: at, end: at + records };
                    runs.push(run);
                }
                Err(_) => overlapping.push(slot),
            }
            if let Some(partition) = self.partitions.get_mut(&slot) {
                partition.read();
            }
            if self.ledger.span(slot) > self.cx.plan.span_records as u64 {
                self.set_pause(slot, PauseReason::Span, true);
            }
            at += records;
        }
        // Two stretches of one partition in one batch that overlap: the fence drops both, the rewind reads them again.
        overlapping.into_iter().for_each(|slot| self.rewind(slot, RewindCause::Redelivered, now));
        runs
    }
}

/// Consecutive records of one partition; `slot` is `None` when they must be destroyed.
struct Stretch {
    start: usize,
    end: usize,
    slot: Option<PartitionId>,
    first: Offset,
    next: Position,
}

impl Stretch {
    fn refused(start: usize, end: usize) -> Self {
        Self { start, end, slot: None, first: Offset(0), next: Position(0) }
    }
}
