//! Commits as requests: sent by the loop, and answered. When one may be sent, and what an answer means, is decided in
//! [`super::commit`]; which positions, in the [`super::ledger`].

use std::time::Instant;

use crate::librdkafka::CommitAnswer;
use crate::model::PartitionId;

use super::client::Client;
use super::commit::{CommitFate, Sent};
use super::control::Source;

impl<C: Client> Source<C> {
    /// Sends what is resolved and not asked for yet, when the interval and the one in flight allow it.
    pub(super) fn commit_due(&mut self, now: Instant, urgent: bool) {
        if self.cx.dry_run || !self.commits.may_send(now, urgent) {
            return;
        }
        let due: Vec<Sent> = self
            .ledger
            .committable()
            .filter_map(|(slot, position)| {
                let name = self.partitions.get(&slot)?.name.clone();
                Some(Sent { slot, name, position })
            })
            .collect();
        if due.is_empty() {
            return;
        }
        let positions: Vec<_> = due.iter().map(|sent| (sent.name.clone(), sent.position.0)).collect();
        due.iter().for_each(|sent| self.ledger.asked(sent.slot, sent.position));
        let request = self.commits.start(due, now);
        if self.consumer.commit(&positions, request).is_err() {
            let again = self.commits.failed(now);
            again.iter().for_each(|sent| self.ledger.not_committed(sent.slot));
        }
    }

    /// Takes an answer. A position that was not stored is sent again.
    pub(super) fn commit_answered(&mut self, answer: &CommitAnswer, now: Instant) {
        let fates = self.commits.answered(answer, now);
        let mut failed = None;
        for (sent, fate) in &fates {
            match fate {
                CommitFate::Stored => self.resets.stored(&sent.name),
                CommitFate::Again(code) | CommitFate::NotOurs(code) => {
                    failed = Some(code);
                    self.ledger.not_committed(sent.slot);
                }
            }
        }
        self.last_commit_error = failed.copied();
        match failed {
            None if fates.is_empty() => {}
            None => {
                self.credentials.accepted();
                self.cx.pipeline.metrics.commits.add(1);
            }
            Some(code) => {
                self.cx.pipeline.metrics.commit_failures.add(1);
                tracing::debug!(pipeline = %self.cx.plan.name, %code, "commit failed; positions are kept and sent again");
            }
        }
    }

    /// When a commit that waits for its interval may be sent.
    pub(super) fn commit_wake(&self) -> Option<Instant> {
        if self.cx.dry_run || self.commits.is_waiting() || self.ledger.committable().next().is_none() {
            return None;
        }
        self.commits.next_due()
    }

    /// Whether nothing of these partitions is left to be committed.
    pub(super) fn committed_all(&self, slots: &[PartitionId]) -> bool {
        !self.commits.is_waiting() && !self.ledger.committable().any(|(slot, _)| slots.contains(&slot))
    }
}
