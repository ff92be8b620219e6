//! What other threads may see of the source's books: copies, refreshed a few times a second.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::model::{Conservation, PartitionId, Position, TopicPartition};

use super::ledger::Ledger;

/// Between two copies.
const REFRESH: Duration = Duration::from_millis(50);

/// A copy of the books.
#[derive(Debug, Clone, Default)]
pub struct Books {
    /// The sums since start.
    pub tally: Conservation,
    /// Resolved positions by partition.
    pub positions: BTreeMap<TopicPartition, Position>,
    /// When something was last resolved.
    pub last_progress: Option<Instant>,
}

/// Shared by the source thread (writes) and everybody else (reads).
pub struct SourceView {
    books: Mutex<Books>,
    started: Instant,
    copied_at_ms: AtomicU64,
}

impl Default for SourceView {
    fn default() -> Self {
        Self { books: Mutex::default(), started: Instant::now(), copied_at_ms: AtomicU64::new(0) }
    }
}

impl SourceView {
    /// Whether the copy is old enough to be refreshed.
    #[must_use]
    pub(crate) fn wants(&self) -> bool {
        let age = (self.started.elapsed().as_millis() as u64).saturating_sub(self.copied_at_ms.load(Ordering::Relaxed));
        age >= REFRESH.as_millis() as u64
    }

    /// Copies the books when it is time.
    pub(crate) fn publish(&self, ledger: &Ledger, assigned: &[(PartitionId, TopicPartition)], last_progress: Instant) {
        if !self.wants() {
            return;
        }
        self.copied_at_ms.store(self.started.elapsed().as_millis() as u64, Ordering::Relaxed);
        let positions: BTreeMap<_, _> =
            assigned.iter().filter_map(|(slot, name)| Some((name.clone(), ledger.position(*slot)?))).collect();
        let mut books = self.lock();
        books.tally = ledger.tally();
        books.positions = positions;
        books.last_progress = Some(last_progress);
    }

    /// Copies the sums now: at the end.
    pub(crate) fn publish_now(&self, ledger: &Ledger) {
        self.lock().tally = ledger.tally();
    }

    /// The copy.
    #[must_use]
    pub(crate) fn books(&self) -> Books {
        self.lock().clone()
    }

    /// The sums of the copy.
    #[must_use]
    pub(crate) fn tally(&self) -> Conservation {
        self.lock().tally
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
