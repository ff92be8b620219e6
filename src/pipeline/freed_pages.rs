//! Memory the allocator keeps for reuse: while there is work, freed pages stay; when work pauses, or the process comes
//! near what it may use, they go back to the system.
//!
//! By default jemalloc gives freed pages back within ten seconds, a few at a time, all the time. A pipeline at full
//! speed frees and asks for megabytes a thousand times a second, so that returned pages come back one fault at a time:
//! 125,000 faults for a million records of 0.9 KB instead of 25,000, and a tenth of all CPU time (measured; `cargo perf
//! index-stub`).

use std::time::{Duration, Instant};

use jemalloc_ctl::{Access as _, AsName as _, arenas};

use crate::telemetry::board::Board;
use crate::telemetry::process;

/// Without a record for this long, freed pages go back.
const IDLE: Duration = Duration::from_secs(10);
/// At least this long between two times: a resident set that is large because it is used is not helped by it.
const SELDOM: Duration = Duration::from_secs(10);
/// The process promises to stay within its budget and 64 MiB; freed pages go back from half of that margin on.
const MARGIN_BYTES: u64 = 32 << 20;
/// The setting jemalloc comes with, in milliseconds. Another one was asked for by whoever started the process.
const DEFAULT_DECAY_MS: isize = 10_000;
/// Freed pages stay.
const NEVER: isize = -1;
/// Freed pages go at once, those there are as well.
const NOW: isize = 0;

/// Time between two looks: the allocator adds its numbers up for each.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Decides when freed pages go back.
#[derive(Debug)]
pub(super) struct FreedPages {
    next_look: Instant,
    limit_bytes: u64,
    consumed: u64,
    worked_at: Instant,
    /// Whether there was work since they went back last.
    worked: bool,
    given_back_at: Option<Instant>,
}

impl FreedPages {
    /// For a process whose budget is `memory_bytes`.
    #[must_use]
    pub fn new(memory_bytes: u64, now: Instant) -> Self {
        let limit_bytes = memory_bytes.saturating_add(MARGIN_BYTES);
        Self { next_look: now, limit_bytes, consumed: 0, worked_at: now, worked: true, given_back_at: None }
    }

    /// Gives them back when it is time to.
    pub fn look_after(&mut self, now: Instant, board: &Board) {
        if now < self.next_look {
            return;
        }
        self.next_look = now + LOOK_EVERY;
        let consumed = board.pipelines.iter().map(|view| view.pipeline.metrics.source_records.get()).sum();
        let resident_bytes = process::allocator_bytes().map_or(0, |bytes| bytes.resident);
        if self.are_due(now, consumed, resident_bytes) {
            give_back();
        }
    }

    /// Whether they go back now, with `consumed` records read so far and `resident_bytes` of the process's memory in
    /// use.
    fn are_due(&mut self, now: Instant, consumed: u64, resident_bytes: u64) -> bool {
        if consumed != self.consumed {
            (self.consumed, self.worked_at, self.worked) = (consumed, now, true);
        }
        let idle = self.worked && now.duration_since(self.worked_at) >= IDLE;
        let seldom = self.given_back_at.is_none_or(|at| now.duration_since(at) >= SELDOM);
        let due = idle || (resident_bytes > self.limit_bytes && seldom);
        if due {
            self.worked = false;
            self.given_back_at = Some(now);
        }
        due
    }
}

/// From now on freed pages stay. `false` when they go as the process's environment says (`MALLOC_CONF`), or jemalloc is
/// not the allocator.
#[must_use]
pub(super) fn keep() -> bool {
    let asked_for: Result<isize, _> = "opt.dirty_decay_ms\0".name().read();
    asked_for == Ok(DEFAULT_DECAY_MS) && "arenas.dirty_decay_ms\0".name().write(NEVER).is_ok() && every_arena(NEVER)
}

/// All freed pages go back.
fn give_back() {
    every_arena(NOW);
    every_arena(NEVER);
}

/// Whether at least one arena took it.
fn every_arena(decay_ms: isize) -> bool {
    let arenas = arenas::narenas::read().unwrap_or(0);
    // An arena that was never used refuses.
    (0..arenas)
        .filter(|arena| format!("arena.{arena}.dirty_decay_ms\0").as_str().name().write(decay_ms).is_ok())
        .count()
        > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn they_go_once_when_work_pauses() {
        let start = Instant::now();
        let mut pages = FreedPages::new(1 << 30, start);
        let due: Vec<u32> = (1..=60)
            .filter(|second| {
                let consumed =
                    if (5..=20).contains(second) { u64::from(*second) } else { 20 * u64::from(*second > 20) };
                pages.are_due(start + SECOND * *second, consumed, 1 << 20)
            })
            .collect();
        assert_eq!(due, [30], "ten seconds after the last record, and not again before there was work");
    }

    #[test]
    fn they_go_near_the_limit_but_seldom() {
        let start = Instant::now();
        let mut pages = FreedPages::new(100 << 20, start);
        let mut due = Vec::new();
        for second in 1..=31_u32 {
            let resident = if second < 3 { 132 << 20 } else { (132 << 20) + 1 };
            if pages.are_due(start + SECOND * second, u64::from(second), resident) {
                due.push(second);
            }
        }
        assert_eq!(due, [3, 13, 23]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn freed_pages_stay_until_they_are_given_back() {
        let resident = || process::allocator_bytes().expect("jemalloc").resident;
        assert!(keep());
        let before = resident();
        let used: Vec<Vec<u8>> = (0..64).map(|_| vec![1_u8; 1 << 20]).collect();
        assert!(resident() >= before + (60 << 20));
        drop(used);
        let kept = resident();
        give_back();
        let left = resident();
        // Other tests of this process allocate meanwhile: far less than this.
        assert!(left + (30 << 20) < kept, "{before} {kept} {left}");
    }
}
