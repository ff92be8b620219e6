//! What the loop tells others: the sums, how far partitions are behind, and what it waits for.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::model::{PartitionId, TopicPartition};
use crate::telemetry::health::Component;
use crate::telemetry::lag::Lag;

use super::client::Client;
use super::control::Source;
use super::group_waits::{Say, Unanswered};

/// Between two tellings of how far partitions are behind: as often as the reporter looks.
const LAG_EVERY: Duration = Duration::from_millis(250);

impl<C: Client> Source<C> {
    /// Names what only the group can end: a wait for partitions, or for the answer to a commit.
    pub(super) fn look_at_group(&mut self, now: Instant) {
        let since = self.commits.unanswered_since();
        self.cx.pipeline.metrics.commit_unanswered_since_ms.set(since.map_or(0, |since| unix_ms(since, now)));
        if self.cx.dry_run {
            return;
        }
        let source = &self.cx.plan.source;
        let unanswered = since.map(Unanswered::Commit).or(self.rebalance.asks_since().map(Unanswered::Offsets));
        match self.group_waits.say(&source.group, source.session_timeout, unanswered, now) {
            Say::Nothing => {}
            Say::Alert(text) => self.cx.pipeline.health.raise(Component::Group, text),
            Say::Over => self.cx.pipeline.health.clear(Component::Group),
        }
    }

    /// How far each partition is behind, from the books: the end of its log is what the client last told, or what was
    /// read.
    pub(super) fn publish_lag(&self) {
        for (slot, partition) in &self.partitions {
            let Some((position, end)) = self.ledger.position(*slot).zip(partition.end) else { continue };
            let end = self.ledger.expected(*slot).map_or(end, |read| read.max(end));
            let records = end.0.saturating_sub(position.0).max(0) as u64;
            let oldest_timestamp_ms = self.ledger.oldest_timestamp(*slot);
            self.cx.pipeline.lag.set(&partition.name, Lag { records, position, oldest_timestamp_ms });
        }
    }

    /// Lets others see the books.
    pub(super) fn publish(&mut self, now: Instant) {
        self.balance();
        if now >= self.next_lag {
            self.next_lag = now + LAG_EVERY;
            self.publish_lag();
        }
        if self.cx.view.wants() {
            let since = self.ledger.oldest_polled().map_or(0, |at| unix_ms(at, now));
            self.cx.pipeline.metrics.oldest_unresolved_since_ms.set(since);
        }
        self.cx.view.publish(&self.ledger, &self.assigned_names(), self.last_progress);
    }

    /// Strikes the balance of the counters: a turn's changes are seen together.
    pub(super) fn balance(&self) {
        let tally = self.ledger.tally();
        self.cx.pipeline.metrics.balance(tally.open);
        if !tally.holds() {
            self.cx.pipeline.metrics.conservation_errors.add(1);
        }
    }

    fn assigned_names(&self) -> Vec<(PartitionId, TopicPartition)> {
        if !self.cx.view.wants() {
            return Vec::new();
        }
        self.partitions.iter().map(|(slot, partition)| (*slot, partition.name.clone())).collect()
    }
}

/// Milliseconds since the epoch at a moment of the past.
fn unix_ms(at: Instant, now: Instant) -> i64 {
    let past = SystemTime::now()
        .checked_sub(now.saturating_duration_since(at))
        .and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    past.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
