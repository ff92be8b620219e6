//! What librdkafka's callbacks recorded, and what follows from it.

use std::time::Instant;

use crate::librdkafka::{ErrorCode, Event};
use crate::model::{Exit, Halt, PartitionId, Position, TopicPartition};
use crate::mutants::{self, Mutant};
use crate::telemetry::health::Component;

use super::client::Client;
use super::control::Source;
use super::credentials;
use super::damage::{ReadCause, ReadError};
use super::partition::Partition;
use super::silence::Fetched;
use super::statistics::{self, PartitionStatistics};
use super::until::{Marks, PartitionFacts};

impl<C: Client> Source<C> {
    pub(super) fn take_events(&mut self, now: Instant) {
        let mut newest = None;
        for event in self.consumer.events() {
            match event {
                Event::Assign(partitions) => {
                    self.all_changed();
                    self.until.iter_mut().for_each(Marks::rebalanced);
                    self.begin_assign(partitions, now);
                }
                Event::Revoke { partitions, lost } => {
                    self.all_changed();
                    self.until.iter_mut().for_each(Marks::rebalanced);
                    self.begin_revoke(partitions, lost, now);
                }
                Event::RebalanceFailed(code) => {
                    self.cx.pipeline.health.raise(
                        Component::Source,
                        format!("joining group `{}` failed: {code}", self.cx.plan.source.group),
                    );
                }
                Event::Statistics(json) => newest = Some(json),
                Event::Error { code, message, fatal } => self.take_error(code, &message, fatal, now),
                Event::InPlaceOfRecord { partition, offset, code, message } => {
                    self.take_in_place(partition, offset, code, message, now);
                }
            }
        }
        // Statistics come in the same call as errors that lie before them in the queue: those say where the client's
        // position, which statistics lead to, must not be believed.
        if let Some(json) = newest {
            self.take_statistics(&json);
        }
    }

    pub(super) fn take_error(&mut self, code: ErrorCode, message: &str, fatal: bool, now: Instant) {
        let group = &self.cx.plan.source.group;
        if fatal {
            self.halt.get_or_insert(Halt {
                exit: Exit::Protocol,
                message: format!(
                    "pipeline {}: the consumer of group `{group}` failed for good ({code}): {message}",
                    self.cx.plan.name
                ),
            });
            return;
        }
        if credentials::is_refusal(code) {
            self.refused(code, message, now);
        } else {
            self.unreachable = true;
            self.cx.pipeline.health.raise(Component::Source, format!("{code}: {message}"));
        }
    }

    fn refused(&mut self, code: ErrorCode, message: &str, now: Instant) {
        let text = format!("the source cluster refused our credentials ({code}) {message}");
        self.cx.pipeline.health.raise(Component::Source, text.trim_end());
        self.credentials.refused(text.trim_end().to_owned(), now);
    }

    /// Ends the pipeline when refused credentials have lasted.
    pub(super) fn look_at_credentials(&mut self, now: Instant) {
        if let Some(refusal) = self.credentials.are_spent(now) {
            let message = format!(
                "pipeline {}: {refusal}. Nothing was skipped. Correct the credentials, or grant READ on the group, then \
                 start again",
                self.cx.plan.name
            );
            self.halt.get_or_insert(Halt { exit: Exit::Permission, message });
        }
    }

    /// An error in the place of a record: of reading, of a topic, of the group, or of our rights.
    fn take_in_place(
        &mut self,
        partition: Option<TopicPartition>,
        offset: Option<i64>,
        code: ErrorCode,
        message: String,
        now: Instant,
    ) {
        // The client's position counts any error that names an offset as a record.
        let slot = partition.as_ref().and_then(|name| self.cx.pipeline.table.slot(name));
        if let Some(partition) = slot.and_then(|slot| self.partitions.get_mut(&slot)).filter(|_| offset.is_some())
            && !mutants::on(Mutant::ErrorTakenForARecord)
        {
            partition.distrust_client();
        }
        let place = partition.as_ref().map_or_else(|| "the source".to_owned(), ToString::to_string);
        match code {
            ErrorCode::UNKNOWN_TOPIC_OR_PART | ErrorCode::UNKNOWN_TOPIC | ErrorCode::UNKNOWN_PARTITION => {
                self.topic_is_gone(partition.as_ref());
                let pattern = partition.as_ref().filter(|gone| gone.topic.starts_with('^'));
                let words = match pattern {
                    Some(pattern) => format!("no topic matches `{}`; waiting for one", self.as_written(&pattern.topic)),
                    None => format!("{place}: the topic does not exist; waiting for it"),
                };
                self.cx.pipeline.health.raise(Component::Source, words);
            }
            ErrorCode::TOPIC_AUTHORIZATION_FAILED => {
                self.halt.get_or_insert(Halt {
                    exit: Exit::Permission,
                    message: format!(
                        "pipeline {}: not allowed to read {place}: grant READ on the topic",
                        self.cx.plan.name
                    ),
                });
            }
            // What the group's coordinator refuses comes this way too.
            code if credentials::is_refusal(code) => self.refused(code, &message, now),
            code => match (slot, offset) {
                (Some(slot), Some(offset)) => {
                    let cause = ReadCause::Told { code, message };
                    self.broke_off(slot, ReadError { offset, cause }, now);
                }
                (Some(_) | None, Some(_) | None) => {
                    self.cx.pipeline.health.raise(Component::Source, format!("{place}: {code}: {message}"));
                }
            },
        }
    }

    /// A pattern as the configuration has it: the client knows it in another spelling.
    fn as_written(&self, subscription: &str) -> String {
        let mut topics = self.cx.plan.source.topics.iter();
        let written = topics.find(|topic| topic.subscription() == subscription);
        written.map_or_else(|| subscription.to_owned(), ToString::to_string)
    }

    /// Lag, bounded runs, and positions behind control records.
    pub(super) fn take_statistics(&mut self, json: &str) {
        let Ok(read) = statistics::read(json) else { return };
        self.look_at_brokers(read.reached);
        self.group_waits.told(read.group);
        if self.unreachable && read.connected {
            self.unreachable = false;
            self.cx.pipeline.health.clear(Component::Source);
        }
        let seen_empty = std::mem::take(&mut self.queue_seen_empty);
        for entry in read.partitions {
            let Some(slot) = self.cx.pipeline.table.slot(&entry.name) else { continue };
            let Some(partition) = self.partitions.get_mut(&slot) else { continue };
            let settled = partition.is_settled(self.consumer.now());
            let running = !partition.is_seeking() && self.rebalance.is_stable() && settled;
            if entry.last_stable >= 0 {
                partition.end = Some(Position(entry.last_stable));
            }
            let told = running && entry.is_served && seen_empty && entry.next_offset >= 0;
            if told {
                self.client_read_on(slot, Position(entry.next_offset), Position(entry.last_stable));
            }
            self.listen(slot, told, &entry);
            let Some(partition) = self.partitions.get(&slot) else { continue };
            if let Some(until) = &mut self.until {
                if until.mark(slot).is_none() && entry.last_stable >= 0 {
                    until.pin(slot, Position(entry.last_stable), None);
                }
                let next_offset =
                    (running && entry.is_served && entry.next_offset >= 0).then_some(Position(entry.next_offset));
                until.next_offset(slot, next_offset, seen_empty);
            }
            if running && !partition.pauses.is_paused() {
                self.adopt(slot);
            }
        }
    }

    /// Notices that nothing comes of a partition that is being read.
    fn listen(&mut self, slot: PartitionId, is_running: bool, entry: &PartitionStatistics) {
        let now = self.consumer.now();
        let Some(partition) = self.partitions.get_mut(&slot) else { return };
        if !is_running || partition.pauses.is_paused() || self.hold.holds(slot) {
            return partition.silence.over();
        }
        let PartitionStatistics { next_offset, last_stable: end, fetches, .. } = *entry;
        if let Some(offset) = partition.silence.told(Fetched { next_offset, end, fetches }, now)
            && !mutants::on(Mutant::SilentBatchUnnoticed)
        {
            self.broke_off(slot, ReadError { offset, cause: ReadCause::Silence }, now);
        }
    }

    /// Names the bootstrap servers again when no broker has been there for long.
    fn look_at_brokers(&mut self, reached: bool) {
        if reached {
            self.bootstrap.answered();
        } else if self.bootstrap.is_due(self.consumer.now()) {
            tracing::info!(pipeline = %self.cx.plan.name, "no broker is connected: the bootstrap servers are tried again");
            self.consumer.bootstrap_again();
        }
    }

    /// Takes over the client's own position, which includes control records, where nothing of ours contradicts it.
    fn adopt(&mut self, slot: PartitionId) {
        let Some(partition) = self.partitions.get(&slot) else { return };
        if !partition.is_client_believed() || self.hold.holds(slot) || !self.ledger.is_quiet(slot) {
            return;
        }
        let at = Position(self.consumer.position(&partition.name));
        let mark = self.until.as_ref().and_then(|until| until.mark(slot));
        self.ledger.adopt(slot, mark.map_or(at, |mark| at.min(mark)));
    }

    /// Whether a bounded run has everything.
    pub(super) fn bounded_run_is_over(&mut self) -> bool {
        let Some(until) = &self.until else { return false };
        if !until.knows_share(!self.partitions.is_empty(), self.consumer.now())
            || !self.rebalance.is_stable()
            || !self.cx.reports.is_empty()
        {
            return false;
        }
        let all: Vec<_> = self
            .partitions
            .iter()
            .map(|(slot, partition)| (*slot, until.is_done(*slot, self.standing(*slot, partition))))
            .collect();
        if !all.iter().all(|(_, done)| *done) {
            return self.only_damaged_are_left(&all);
        }
        // The commit of a partition that ends in control records is its end, not the last record. Where nobody said
        // what the group has stored and nothing was read, that may be behind the mark.
        for (slot, _) in all {
            let mark = self.until.as_ref().and_then(|until| until.mark(slot));
            if let Some(mark) = mark.filter(|_| self.ledger.position(slot).is_some()) {
                self.ledger.adopt(slot, mark);
            }
        }
        true
    }

    fn standing(&self, slot: PartitionId, partition: &Partition) -> PartitionFacts {
        PartitionFacts {
            idle: self.ledger.is_quiet(slot) && !self.hold.holds(slot) && !partition.is_seeking(),
            position: self.ledger.position(slot),
            queue_seen_empty: self.queue_seen_empty,
            damaged: partition.damage.is_some(),
        }
    }
}
