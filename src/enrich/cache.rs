//! What keyed look-ups remember: bounded in entries and bytes, hits and misses with their own lifetimes.
//!
//! Workers take one lock a batch, not one a key, and key, text and their count of users are one allocation: that is
//! what makes a warm look-up cost little. A concurrent cache pays for every single key (measured: a quarter of a whole
//! pipeline's CPU), and every allocation of an entry is a cache line that is not there when it is asked for.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use quick_cache::Weighter;
use quick_cache::unsync;

use crate::config::plan::CachePlan;

use super::json::Json;

/// Bytes an entry costs beside its key and text: its place in the cache, allocator rounding.
const ENTRY_OVERHEAD: u64 = 192;

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CachedKey {
    /// JSON text.
    Found(Json),
    /// Not there.
    Missing,
}

/// The cache of one keyed look-up, shared by the workers. Each look-up has its own, so keys need no number.
pub struct Cache {
    bytes: u64,
    found: Duration,
    missing: Duration,
    /// `None`: it holds nothing.
    store: Option<Mutex<CacheStore>>,
}

type CacheStore = unsync::Cache<TableRow, CacheEntry, Weight>;

/// A key, and behind it the text found for it.
#[derive(Clone)]
struct TableRow {
    bytes: Arc<[u8]>,
    key: usize,
}

impl TableRow {
    fn of(key: &[u8], text: &[u8]) -> Self {
        // Both lengths are known, so this is one allocation.
        Self { bytes: key.iter().chain(text).copied().collect(), key: key.len() }
    }

    fn key(&self) -> &[u8] {
        self.bytes.get(..self.key).unwrap_or_default()
    }

    fn json(&self) -> Json {
        Json::part(self.bytes.clone(), self.key..self.bytes.len())
    }
}

/// A row is found by its key alone: it compares and hashes as the key does.
impl Borrow<[u8]> for TableRow {
    fn borrow(&self) -> &[u8] {
        self.key()
    }
}

impl PartialEq for TableRow {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for TableRow {}

impl Hash for TableRow {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

#[derive(Clone)]
struct CacheEntry {
    /// The same as the key; `None`: it is not there.
    found: Option<TableRow>,
    expires: Instant,
}

/// Bytes of an entry, and at least its share of them: so the bound in bytes is one in entries as well.
#[derive(Clone)]
struct Weight {
    least: u64,
}

impl Weighter<TableRow, CacheEntry> for Weight {
    fn weight(&self, row: &TableRow, _: &CacheEntry) -> u64 {
        bytes_of(row.bytes.len()).max(self.least)
    }
}

/// What an entry of so many bytes of key and text costs.
fn bytes_of(row: usize) -> u64 {
    row as u64 + ENTRY_OVERHEAD
}

/// One worker's turn with the cache.
pub struct CacheTurn<'c> {
    cache: &'c Cache,
    store: Option<MutexGuard<'c, CacheStore>>,
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
            Mutex::new(CacheStore::with_weighter(usize::try_from(likely).unwrap_or(usize::MAX), bytes, weight))
        });
        Self { bytes, found: plan.ttl, missing: plan.miss_ttl, store }
    }

    /// Takes the lock for a batch of keys. Short: nothing in a turn waits.
    #[must_use]
    pub fn turn(&self, now: Instant) -> CacheTurn<'_> {
        let store = self.store.as_ref().map(|store| store.lock().unwrap_or_else(PoisonError::into_inner));
        CacheTurn { cache: self, store, now }
    }
}

impl CacheTurn<'_> {
    /// What is known of `key`. A hit clones a reference, nothing else.
    pub fn get(&mut self, key: &[u8]) -> Option<CachedKey> {
        let store = self.store.as_mut()?;
        let entry = store.get(key)?;
        if entry.expires > self.now {
            return Some(entry.found.as_ref().map_or(CachedKey::Missing, |row| CachedKey::Found(row.json())));
        }
        store.remove(key);
        None
    }

    /// Remembers the text found for a key, or that there is none, from now on for the lifetime of a hit or a miss;
    /// forgets what was not asked for lately where room is needed. Gives what is known of the key now.
    pub fn put(&mut self, key: &[u8], text: Option<&[u8]>) -> CachedKey {
        let Some(store) = &mut self.store else {
            return text.map_or(CachedKey::Missing, |text| CachedKey::Found(text.into()));
        };
        let row = TableRow::of(key, text.unwrap_or_default());
        let known = text.map_or(CachedKey::Missing, |_| CachedKey::Found(row.json()));
        let lifetime = if text.is_some() { self.cache.found } else { self.cache.missing };
        match self.now.checked_add(lifetime).filter(|_| bytes_of(row.bytes.len()) <= self.cache.bytes) {
            Some(expires) => store.insert(row.clone(), CacheEntry { found: text.map(|_| row), expires }),
            // What was known before is out of date.
            None => drop(store.remove(key)),
        }
        known
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

    fn text(size: usize) -> Vec<u8> {
        vec![b'x'; size]
    }

    fn known(size: usize) -> Option<CachedKey> {
        Some(CachedKey::Found((&text(size)[..]).into()))
    }

    /// Entries and bytes.
    fn held(cache: &Cache) -> (u64, u64) {
        let turn = cache.turn(Instant::now());
        let entries = turn.store.iter().flat_map(|store| store.iter());
        entries.fold((0, 0), |(count, bytes), (row, _)| (count + 1, bytes + bytes_of(row.bytes.len())))
    }

    #[test]
    fn holds_neither_more_entries_nor_more_bytes_than_planned() {
        for (entries, bytes, size) in [(10, 1 << 20, 1), (1_000_000, 100_000, 5_000), (50, 50_000, 900), (7, 10, 1)] {
            let cache = Cache::new(&plan(entries, bytes));
            for number in 0..300u32 {
                cache.turn(Instant::now()).put(&number.to_be_bytes(), Some(&text(size)));
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
            assert_eq!(turn.put(b"k", None), CachedKey::Missing);
            assert_eq!(Some(turn.put(b"k", Some(&text(3)))), known(3), "but what was found is found");
            assert_eq!(turn.get(b"k"), None);
        }
    }

    #[test]
    fn hits_and_misses_live_for_their_own_time_from_their_last_write() {
        let cache = Cache::new(&plan(10, 1 << 20));
        let start = Instant::now();
        // One turn at a time: a turn holds the lock.
        let put =
            |seconds, key: &[u8], text: Option<&[u8]>| cache.turn(start + Duration::from_secs(seconds)).put(key, text);
        let get = |seconds, key: &[u8]| cache.turn(start + Duration::from_secs(seconds)).get(key);
        put(0, b"hit", Some(&text(1)));
        put(0, b"miss", None);
        for (seconds, hit, miss) in [(9, known(1), Some(CachedKey::Missing)), (10, known(1), None)] {
            assert_eq!((get(seconds, b"hit"), get(seconds, b"miss")), (hit, miss), "after {seconds} s");
        }
        put(50, b"hit", Some(&text(2)));
        assert_eq!(get(109, b"hit"), known(2), "the last write counts");
        assert_eq!(get(110, b"hit"), None);
        assert_eq!(held(&cache), (0, 0), "what has expired is let go when it is asked for");
    }

    #[test]
    fn what_is_asked_for_stays_when_others_pass_through() {
        let cache = Cache::new(&plan(100, 1 << 20));
        let mut turn = cache.turn(Instant::now());
        turn.put(b"wanted", Some(&text(1)));
        for number in 0..10_000u32 {
            assert!(turn.get(b"wanted").is_some(), "forgotten after {number}");
            turn.put(&number.to_be_bytes(), None);
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
                    cache.turn(Instant::now()).put(&[key], Some(&text(size)));
                    model.insert(key, size);
                } else if let Some(known) = cache.turn(Instant::now()).get(&[key]) {
                    prop_assert_eq!(Some(known), model.get(&key).and_then(|size| self::known(*size)));
                }
                let (count, bytes) = held(&cache);
                prop_assert!(count <= 12 && bytes <= 6_000);
            }
        }
    }
}
