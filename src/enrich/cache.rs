//! What keyed look-ups remember: bounded in entries and bytes, hits and misses with their own lifetimes.
//!
//! Workers take one lock a batch, not one a key: that is what makes a warm look-up cost little. A concurrent cache pays for
//! every single key (measured: a quarter of a whole pipeline's CPU).

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::unsync;

use crate::config::plan::CachePlan;

/// Bytes an entry costs beside its key and text: its place in the cache, allocator rounding.
const ENTRY_OVERHEAD: u64 = 192;

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// JSON text.
    Found(Bytes),
    /// Not there.
    Missing,
}

/// The cache of one keyed look-up, shared by the workers. Each look-up has its own, so keys need no number.
pub struct Cache {
    bytes: u64,
    found: Duration,
    missing: Duration,
    /// `None`: it holds nothing.
    store: Option<Mutex<Store>>,
}

type Store = unsync::Cache<Box<[u8]>, Entry, Weight>;

#[derive(Clone)]
struct Entry {
    known: Known,
    expires: Instant,
}

/// Bytes of an entry, and at least its share of them: so the bound in bytes is one in entries as well.
#[derive(Clone)]
struct Weight {
    least: u64,
}

impl Weighter<Box<[u8]>, Entry> for Weight {
    fn weight(&self, key: &Box<[u8]>, entry: &Entry) -> u64 {
        bytes_of(key, &entry.known).max(self.least)
    }
}

fn bytes_of(key: &[u8], known: &Known) -> u64 {
    let text = match known {
        Known::Found(json) => json.len(),
        Known::Missing => 0,
    };
    (key.len() + text) as u64 + ENTRY_OVERHEAD
}

/// One worker's turn with the cache.
pub struct Turn<'c> {
    cache: &'c Cache,
    store: Option<MutexGuard<'c, Store>>,
    now: Instant,
}

impl Cache {
    /// An empty cache; with `entries` or `bytes` 0 it holds nothing.
    #[must_use]
    pub fn new(plan: &CachePlan) -> Self {
        let (entries, bytes) = (plan.entries, plan.bytes);
        let store = (entries > 0 && bytes > 0).then(|| {
            let likely = entries.min(bytes / ENTRY_OVERHEAD);
            let weight = Weight { least: bytes.div_ceil(entries) };
            Mutex::new(Store::with_weighter(usize::try_from(likely).unwrap_or(usize::MAX), bytes, weight))
        });
        Self { bytes, found: plan.ttl, missing: plan.miss_ttl, store }
    }

    /// Takes the lock for a batch of keys. Short: nothing in a turn waits.
    #[must_use]
    pub fn turn(&self, now: Instant) -> Turn<'_> {
        let store = self.store.as_ref().map(|store| store.lock().unwrap_or_else(PoisonError::into_inner));
        Turn { cache: self, store, now }
    }
}

impl Turn<'_> {
    /// What is known of `key`. A hit clones a reference, nothing else.
    pub fn get(&mut self, key: &[u8]) -> Option<Known> {
        let store = self.store.as_mut()?;
        let entry = store.get(key)?;
        if entry.expires > self.now {
            return Some(entry.known.clone());
        }
        store.remove(key);
        None
    }

    /// Remembers, from now on for the lifetime of a hit or a miss; forgets what was not asked for lately where room is
    /// needed.
    pub fn put(&mut self, key: &[u8], known: Known) {
        let Some(store) = &mut self.store else { return };
        let lifetime = match known {
            Known::Found(_) => self.cache.found,
            Known::Missing => self.cache.missing,
        };
        match self.now.checked_add(lifetime).filter(|_| bytes_of(key, &known) <= self.cache.bytes) {
            Some(expires) => store.insert(key.into(), Entry { known, expires }),
            // What was known before is out of date.
            None => drop(store.remove(key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn plan(entries: u64, bytes: u64) -> CachePlan {
        CachePlan { entries, bytes, ttl: Duration::from_secs(60), miss_ttl: Duration::from_secs(10) }
    }

    fn text(size: usize) -> Known {
        Known::Found(Bytes::from(vec![b'x'; size]))
    }

    /// Entries and bytes.
    fn held(cache: &Cache) -> (u64, u64) {
        let turn = cache.turn(Instant::now());
        let entries = turn.store.iter().flat_map(|store| store.iter());
        entries.fold((0, 0), |(count, bytes), (key, entry)| (count + 1, bytes + bytes_of(key, &entry.known)))
    }

    #[test]
    fn holds_neither_more_entries_nor_more_bytes_than_planned() {
        for (entries, bytes, size) in [(10, 1 << 20, 1), (1_000_000, 100_000, 5_000), (50, 50_000, 900), (7, 10, 1)] {
            let cache = Cache::new(&plan(entries, bytes));
            for number in 0..300u32 {
                cache.turn(Instant::now()).put(&number.to_be_bytes(), text(size));
            }
            let (count, total) = held(&cache);
            assert!(count <= entries, "{count} entries of {entries}");
            assert!(total <= bytes, "{total} bytes of {bytes}");
            assert!(count > 0 || bytes < ENTRY_OVERHEAD, "holds something: {entries} {bytes}");
        }
    }

    #[test]
    fn nothing_is_held_when_a_bound_is_zero() {
        for (entries, bytes) in [(0, 1 << 20), (10, 0)] {
            let cache = Cache::new(&plan(entries, bytes));
            let mut turn = cache.turn(Instant::now());
            turn.put(b"k", Known::Missing);
            assert_eq!(turn.get(b"k"), None);
        }
    }

    #[test]
    fn hits_and_misses_live_for_their_own_time_from_their_last_write() {
        let cache = Cache::new(&plan(10, 1 << 20));
        let start = Instant::now();
        // One turn at a time: a turn holds the lock.
        let put = |seconds, key: &[u8], known| cache.turn(start + Duration::from_secs(seconds)).put(key, known);
        let get = |seconds, key: &[u8]| cache.turn(start + Duration::from_secs(seconds)).get(key);
        put(0, b"hit", text(1));
        put(0, b"miss", Known::Missing);
        for (seconds, hit, miss) in [(9, Some(text(1)), Some(Known::Missing)), (10, Some(text(1)), None)] {
            assert_eq!((get(seconds, b"hit"), get(seconds, b"miss")), (hit, miss), "after {seconds} s");
        }
        put(50, b"hit", text(2));
        assert_eq!(get(109, b"hit"), Some(text(2)), "the last write counts");
        assert_eq!(get(110, b"hit"), None);
        assert_eq!(held(&cache), (0, 0), "what has expired is let go when it is asked for");
    }

    #[test]
    fn what_is_asked_for_stays_when_others_pass_through() {
        let cache = Cache::new(&plan(100, 1 << 20));
        let mut turn = cache.turn(Instant::now());
        turn.put(b"wanted", text(1));
        for number in 0..10_000u32 {
            assert!(turn.get(b"wanted").is_some(), "forgotten after {number}");
            turn.put(&number.to_be_bytes(), Known::Missing);
        }
    }

    proptest! {
        /// Against a map without bounds: what is answered was written last, and the bounds hold after every step.
        #[test]
        fn answers_are_never_wrong(steps in prop::collection::vec((any::<bool>(), 0u8..40, 0usize..600), 1..400)) {
            let cache = Cache::new(&plan(12, 6_000));
            let mut model = HashMap::new();
            for (write, key, size) in steps {
                if write {
                    cache.turn(Instant::now()).put(&[key], text(size));
                    model.insert(key, size);
                } else if let Some(known) = cache.turn(Instant::now()).get(&[key]) {
                    prop_assert_eq!(Some(known), model.get(&key).map(|size| text(*size)));
                }
                let (count, bytes) = held(&cache);
                prop_assert!(count <= 12 && bytes <= 6_000);
            }
        }
    }
}
