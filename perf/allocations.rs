//! How often a subject asked for memory, by jemalloc's own counters: told at its end as a line of its log.
//!
//! Every request counts, those that a thread's own cache served as well, whether Rust or librdkafka made it: one
//! allocator serves both. Growing in place is none.

use jemalloc_ctl::{Access as _, AsName as _, epoch};

/// How the line begins.
const TOLD: &str = "perf: requests for memory: ";

/// Tells the count as the last thing this process does: what threads that still run asked of their own caches since
/// these were last filled is not in it.
pub fn tell() {
    match requests() {
        Ok(count) => eprintln!("{TOLD}{count}"),
        Err(error) => eprintln!("perf: requests for memory cannot be counted: {error}"),
    }
}

/// The count in a log, of all processes that wrote to it; `None` if none told one.
pub fn told(log: &str) -> Option<u64> {
    log.lines().filter_map(|line| line.strip_prefix(TOLD)?.parse::<u64>().ok()).reduce(|sum, count| sum + count)
}

/// Requests of this thread and of all that have ended.
fn requests() -> Result<u64, jemalloc_ctl::Error> {
    // A thread's cache hands its counts to the arena when it is filled or given up.
    "thread.tcache.enabled\0".name().write(false)?;
    epoch::advance()?;
    // 4096 stands for all arenas together.
    let small: u64 = "stats.arenas.4096.small.nrequests\0".name().read()?;
    let large: u64 = "stats.arenas.4096.large.nrequests\0".name().read()?;
    Ok(small + large)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each is freed before the next is asked for, so all but the first few never leave the thread's cache.
    fn ask(times: usize, bytes: usize) {
        for _ in 0..times {
            drop(std::hint::black_box(vec![0_u8; std::hint::black_box(bytes)]));
        }
    }

    #[test]
    fn requests_that_a_threads_cache_serves_count() {
        let asked = |bytes: usize| {
            let before = requests().expect("counted");
            std::thread::spawn(move || ask(1_000_000, bytes)).join().expect("a thread");
            requests().expect("counted") - before
        };
        for bytes in [100, 20_000] {
            let count = asked(bytes);
            // Other tests ask as well, but not half as often.
            assert!((1_000_000..1_500_000).contains(&count), "{bytes} bytes: {count}");
        }
    }

    #[test]
    fn all_processes_of_a_log_are_added_up() {
        let log = format!("started\n{TOLD}40\nwarning\n{TOLD}2\n");
        assert_eq!(told(&log), Some(42));
        assert_eq!(told("started\n"), None);
        assert_eq!(told(""), None);
    }
}
