//! What keyed look-ups remember: bounded in entries and bytes, hits and misses with their own lifetimes.
//!
//! A map, a slab and a clock hand. Workers take the lock once a batch, not once a key: that is what makes a warm look-up
//! cost little, and it is why this is not a concurrent cache from a library, which pays for every single key (measured:
//! a quarter of a whole pipeline's CPU).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use foldhash::quality::RandomState;

use crate::config::plan::CachePlan;

/// Bytes an entry costs beside its key and text: its places in map and slab, two reference counts, allocator rounding.
const ENTRY_OVERHEAD: u64 = 192;

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Known {
    /// JSON text.
    Found(Bytes),
    /// Not there.
    Missing,
}

/// The cache of one keyed look-up, shared by the workers. Each look-up has its own, so keys need no number.
pub(super) struct Cache {
    entries: u64,
    bytes: u64,
    found: Duration,
    missing: Duration,
    store: Mutex<Store>,
}

/// One worker's turn with the cache.
pub(super) struct Turn<'c> {
    cache: &'c Cache,
    store: MutexGuard<'c, Store>,
    now: Instant,
}

#[derive(Default)]
struct Store {
    places: HashMap<Arc<[u8]>, usize, RandomState>,
    slab: Vec<Option<Entry>>,
    free: Vec<usize>,
    /// Where the search for something to forget goes on.
    hand: usize,
    bytes: u64,
}

struct Entry {
    key: Arc<[u8]>,
    known: Known,
    bytes: u64,
    expires: Instant,
    /// It was asked for since the hand last passed.
    used: bool,
}

impl Cache {
    /// An empty cache; with `entries` or `bytes` 0 it holds nothing.
    pub(super) fn new(plan: &CachePlan) -> Self {
        let (entries, bytes) = (plan.entries, plan.bytes);
        Self { entries, bytes, found: plan.ttl, missing: plan.miss_ttl, store: Mutex::default() }
    }

    /// Takes the lock for a batch of keys. Short: nothing in a turn waits.
    pub(super) fn turn(&self, now: Instant) -> Turn<'_> {
        Turn { cache: self, store: self.store.lock().unwrap_or_else(PoisonError::into_inner), now }
    }
}

impl Turn<'_> {
    /// What is known of `key`. A hit clones a reference, nothing else.
    pub(super) fn get(&mut self, key: &[u8]) -> Option<Known> {
        let place = *self.store.places.get(key)?;
        let entry = self.store.slab.get_mut(place)?.as_mut()?;
        if entry.expires <= self.now {
            self.store.forget(place);
            return None;
        }
        entry.used = true;
        Some(entry.known.clone())
    }

    /// Remembers, from now on for the lifetime of a hit or a miss; forgets what was not asked for lately where room is
    /// needed.
    pub(super) fn put(&mut self, key: &[u8], known: Known) {
        let (text, lifetime) = match &known {
            Known::Found(json) => (json.len(), self.cache.found),
            Known::Missing => (0, self.cache.missing),
        };
        let bytes = (key.len() + text) as u64 + ENTRY_OVERHEAD;
        if let Some(place) = self.store.places.get(key).copied() {
            self.store.forget(place);
        }
        let Some(expires) = self.now.checked_add(lifetime) else { return };
        if bytes > self.cache.bytes || self.cache.entries == 0 {
            return;
        }
        while self.store.bytes + bytes > self.cache.bytes || self.store.places.len() as u64 >= self.cache.entries {
            self.store.forget_one();
        }
        self.store.keep(Entry { key: key.into(), known, bytes, expires, used: false });
    }
}

impl Store {
    fn keep(&mut self, entry: Entry) {
        let key = entry.key.clone();
        self.bytes += entry.bytes;
        let place = match self.free.pop() {
            Some(place) => {
                self.slab[place] = Some(entry);
                place
            }
            None => {
                self.slab.push(Some(entry));
                self.slab.len() - 1
            }
        };
        self.places.insert(key, place);
    }

    fn forget(&mut self, place: usize) {
        if let Some(entry) = self.slab.get_mut(place).and_then(Option::take) {
            self.bytes -= entry.bytes;
            self.places.remove(&entry.key);
            self.free.push(place);
        }
    }

    /// Forgets the next entry that was not asked for since the hand passed it last. Ends within two rounds, because the
    /// first takes every mark away; called only while there is an entry.
    fn forget_one(&mut self) {
        loop {
            self.hand = if self.hand + 1 < self.slab.len() { self.hand + 1 } else { 0 };
            match self.slab.get_mut(self.hand) {
                Some(Some(entry)) if entry.used => entry.used = false,
                Some(Some(_)) => return self.forget(self.hand),
                Some(None) => {}
                None => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plan(entries: u64, bytes: u64) -> CachePlan {
        CachePlan { entries, bytes, ttl: Duration::from_secs(60), miss_ttl: Duration::from_secs(10) }
    }

    fn text(size: usize) -> Known {
        Known::Found(Bytes::from(vec![b'x'; size]))
    }

    /// Entries, and bytes as the store counts them, which must be what it holds.
    fn held(cache: &Cache) -> (u64, u64) {
        let turn = cache.turn(Instant::now());
        let entries: Vec<&Entry> = turn.store.slab.iter().flatten().collect();
        assert_eq!(entries.len(), turn.store.places.len());
        assert_eq!(entries.len() + turn.store.free.len(), turn.store.slab.len());
        assert_eq!(entries.iter().map(|entry| entry.bytes).sum::<u64>(), turn.store.bytes);
        (entries.len() as u64, turn.store.bytes)
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
