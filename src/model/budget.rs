//! The byte budget of a pipeline: records drained but not resolved, whatever form they have.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::mutants::{self, Mutant};

use super::stop::Wake;

/// Bytes a pipeline may hold between drain and resolution. Only the source asks before it drains; everything later
/// charges without asking and never waits, so nothing downstream can deadlock on it.
pub struct Budget {
    limit: usize,
    used: AtomicUsize,
    peak: AtomicUsize,
    wake: Arc<Wake>,
}

impl Budget {
    /// A budget of `limit` bytes; `wake` is notified when a charge is released while the budget was spent.
    #[must_use]
    pub fn new(limit: usize, wake: Arc<Wake>) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicUsize::new(0), peak: AtomicUsize::new(0), wake })
    }

    /// Bytes charged now.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Acquire)
    }

    /// The largest value [`Budget::used`] has had.
    #[must_use]
    pub fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    /// The limit in bytes.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Whether the source may drain.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.used() < self.limit || mutants::on(Mutant::BudgetIgnored)
    }

    /// Charges without asking.
    #[must_use]
    pub(crate) fn charge(self: &Arc<Self>, bytes: usize) -> Charge {
        self.add(bytes);
        Charge { budget: Some(self.clone()), bytes }
    }

    fn add(&self, bytes: usize) {
        let now = self.used.fetch_add(bytes, Ordering::AcqRel) + bytes;
        self.peak.fetch_max(now, Ordering::Relaxed);
    }

    fn release(&self, bytes: usize) {
        let before = self.used.fetch_sub(bytes, Ordering::AcqRel);
        if before >= self.limit && before - bytes < self.limit {
            self.wake.wake();
        }
    }
}

/// Bytes held of a [`Budget`]; given back on drop.
#[derive(Default)]
pub struct Charge {
    budget: Option<Arc<Budget>>,
    bytes: usize,
}

impl Charge {
    /// A charge of nothing, for records outside any budget (`try`, benches).
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Bytes held.
    #[must_use]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Holds `bytes` from now on, more or less than before.
    pub(crate) fn set(&mut self, bytes: usize) {
        if let Some(budget) = &self.budget {
            if bytes > self.bytes {
                budget.add(bytes - self.bytes);
            } else {
                budget.release(self.bytes - bytes);
            }
        }
        self.bytes = bytes;
    }

    /// Splits `bytes` off into a charge of their own (at most what is held).
    #[must_use]
    pub(crate) fn split(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self { budget: self.budget.clone(), bytes }
    }

    /// A further charge on the same budget, without asking.
    #[must_use]
    pub(crate) fn another(&self, bytes: usize) -> Self {
        self.budget.as_ref().map_or_else(Self::none, |budget| budget.charge(bytes))
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if let Some(budget) = &self.budget
            && !mutants::on(Mutant::BudgetLeak)
        {
            budget.release(self.bytes);
        }
    }
}

impl std::fmt::Debug for Charge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Charge({})", self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charge_gives_back_exactly_what_it_took() {
        let budget = Budget::new(100, Arc::new(Wake::default()));
        let mut first = budget.charge(80);
        assert!(budget.has_room());
        let second = first.another(30);
        assert!(!budget.has_room());
        let part = first.split(50);
        assert_eq!((first.bytes(), part.bytes(), budget.used()), (30, 50, 110));
        first.set(5);
        assert_eq!(budget.used(), 85);
        drop((first, second, part));
        assert_eq!((budget.used(), budget.peak()), (0, 110));
    }
}
