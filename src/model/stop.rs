//! Waking the source and stopping the process.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread::Thread;

/// Wakes one thread. Waking before the thread registered, or while it runs, is remembered.
#[derive(Default)]
pub struct Wake {
    ready: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Wake {
    /// Makes the calling thread the one that is woken. Only the first call counts.
    pub fn register(&self) {
        self.thread.get_or_init(std::thread::current);
    }

    /// Sets the ready flag and unparks. Callable from any thread, librdkafka's included.
    pub fn wake(&self) {
        if !self.ready.swap(true, Ordering::AcqRel)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    /// Clears the flag; whether it was set.
    pub fn take(&self) -> bool {
        self.ready.swap(false, Ordering::AcqRel)
    }

    /// Parks the calling thread until woken, at most `limit`; returns at once when the flag is set.
    pub fn park(&self, limit: std::time::Duration) {
        if !self.ready.load(Ordering::Acquire) {
            std::thread::park_timeout(limit);
        }
    }
}

const DRAINING: u8 = 1;
const ABORTING: u8 = 2;

/// The one stop switch of a process or pipeline. Draining is passed on by closing channels; the switch only tells
/// loops that would otherwise wait (retries, look-ups) how patient they may still be.
#[derive(Default)]
pub struct Stop {
    level: AtomicU8,
}

impl Stop {
    /// Finish what is open, take nothing new.
    pub fn drain(&self) {
        self.level.fetch_max(DRAINING, Ordering::AcqRel);
    }

    /// Give up: deadline passed or second signal. Nothing unresolved is committed.
    pub fn abort(&self) {
        self.level.fetch_max(ABORTING, Ordering::AcqRel);
    }

    /// Whether draining or aborting.
    #[must_use]
    pub(crate) fn is_draining(&self) -> bool {
        self.level.load(Ordering::Acquire) >= DRAINING
    }

    /// Whether aborting.
    #[must_use]
    pub(crate) fn is_aborting(&self) -> bool {
        self.level.load(Ordering::Acquire) >= ABORTING
    }
}
