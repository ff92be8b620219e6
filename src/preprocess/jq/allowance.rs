//! What a program has spent on a record.

use std::cell::Cell;

use jaq_core::data::HasLut;
use jaq_core::{DataT, Lut};
use jaq_json::Val;

/// Counts what one run of a program spends. A run is of one thread.
pub(super) struct Allowance {
    steps: Cell<u32>,
    calls: Cell<u32>,
    /// Where the stack was at the beginning.
    stack: usize,
    most_stack: usize,
    /// Bytes this thread had allocated, less those it had given back, at the beginning.
    held: i64,
    most_held: i64,
    spent: Cell<Option<Spent>>,
}

/// What there is no more of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spent {
    Steps,
    Stack,
    Bytes,
}

impl Allowance {
    pub(super) fn new(steps: u32, calls: u32, most_stack: usize, most_bytes: usize) -> Self {
        Self {
            steps: Cell::new(steps),
            calls: Cell::new(calls),
            stack: stack_now(),
            most_stack,
            held: held_now(),
            most_held: i64::try_from(most_bytes).unwrap_or(i64::MAX),
            spent: Cell::new(None),
        }
    }

    /// What was spent to the end, if anything was.
    pub(super) fn spent(&self) -> Option<Spent> {
        self.spent.get()
    }

    /// One more turn of a loop. Whether the program may go on.
    pub(super) fn step(&self) -> bool {
        self.count(&self.steps)
    }

    /// One more call of what was handed to a function. Whether the program may go on.
    pub(super) fn call(&self) -> bool {
        self.count(&self.calls)
    }

    fn count(&self, left: &Cell<u32>) -> bool {
        let spent = if left.get() == 0 {
            Spent::Steps
        } else if self.stack.saturating_sub(stack_now()) > self.most_stack {
            Spent::Stack
        } else if held_now() - self.held > self.most_held {
            Spent::Bytes
        } else {
            left.set(left.get() - 1);
            return true;
        };
        self.spent.set(Some(spent));
        false
    }

    /// Whether a value of so many bytes may be made.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        let fits = i64::try_from(bytes).is_ok_and(|bytes| bytes <= self.most_held);
        if !fits {
            self.spent.set(Some(Spent::Bytes));
        }
        fits
    }

    /// The data that a run of the program has.
    pub(super) fn beside<'a>(&'a self, lut: &'a Lut<Guarded>) -> Guard<'a> {
        Guard { lut, allowance: self }
    }
}

/// About where the stack is; it grows downwards.
#[inline(never)]
fn stack_now() -> usize {
    let here = 0_u8;
    std::ptr::from_ref(std::hint::black_box(&here)) as usize
}

/// Bytes this thread has allocated, less those it has given back; 0 where the allocator does not count.
fn held_now() -> i64 {
    thread_local! {
        static COUNTERS: Option<(
            jemalloc_ctl::thread::ThreadLocal<u64>,
            jemalloc_ctl::thread::ThreadLocal<u64>,
        )> = jemalloc_ctl::thread::allocatedp::read().ok().zip(jemalloc_ctl::thread::deallocatedp::read().ok());
    }
    COUNTERS.with(|counters| counters.as_ref().map_or(0, |(taken, given)| taken.get().wrapping_sub(given.get()) as i64))
}

/// The kind of data that guarded programs run with.
pub(super) struct Guarded;

/// See [`Guarded`].
#[derive(Clone)]
pub(super) struct Guard<'a> {
    lut: &'a Lut<Guarded>,
    pub(super) allowance: &'a Allowance,
}

impl DataT for Guarded {
    type V<'a> = Val;
    type Data<'a> = Guard<'a>;
}

impl<'a> HasLut<'a, Guarded> for Guard<'a> {
    fn lut(&self) -> &'a Lut<Guarded> {
        self.lut
    }
}
