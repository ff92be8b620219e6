//! What keyed look-ups remember: bounded in entries and bytes, hits and misses with their own lifetimes.

use std::time::{Duration, Instant};

use bytes::Bytes;
use foldhash::quality::RandomState;
use moka::Expiry;

use crate::config::plan::CachePlan;

/// Bytes an entry costs beside its key and text: the cache's nodes, two reference counts, allocator rounding.
const ENTRY_OVERHEAD: u64 = 192;

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// JSON text.
    Found(Bytes),
    /// Not there.
    Missing,
}

struct Lifetimes {
    found: Duration,
    missing: Duration,
}

impl Lifetimes {
    fn of(&self, known: &Known) -> Option<Duration> {
        Some(match known {
            Known::Found(_) => self.found,
            Known::Missing => self.missing,
        })
    }
}

impl Expiry<Box<[u8]>, Known> for Lifetimes {
    fn expire_after_create(&self, _key: &Box<[u8]>, known: &Known, _now: Instant) -> Option<Duration> {
        self.of(known)
    }
    fn expire_after_update(
        &self,
        _key: &Box<[u8]>,
        known: &Known,
        _now: Instant,
        _left: Option<Duration>,
    ) -> Option<Duration> {
        self.of(known)
    }
}

/// The cache of one keyed look-up, shared by the workers. Each look-up has its own, so keys need no number.
pub struct Cache {
    inner: moka::sync::Cache<Box<[u8]>, Known, RandomState>,
}

impl Cache {
    /// An empty cache; with `entries` or `bytes` 0 it holds nothing.
    ///
    /// moka knows one bound only. Every entry weighs its bytes, but at least `bytes / entries`: so neither bound is passed.
    #[must_use]
    pub fn new(plan: &CachePlan) -> Self {
        let least = plan.bytes.checked_div(plan.entries).unwrap_or(0).max(1);
        let capacity = if plan.entries == 0 { 0 } else { plan.bytes };
        let inner = moka::sync::Cache::<Box<[u8]>, Known>::builder()
            .max_capacity(capacity)
            .weigher(move |key, known| weight(key, known, least))
            .expire_after(Lifetimes { found: plan.ttl, missing: plan.miss_ttl })
            .build_with_hasher(RandomState::default());
        Self { inner }
    }

    /// What is known of `key`. A hit clones a reference, nothing else.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<Known> {
        self.inner.get(key)
    }

    /// Remembers.
    pub fn put(&self, key: &[u8], known: Known) {
        self.inner.insert(key.into(), known);
    }
}

fn weight(key: &[u8], known: &Known, least: u64) -> u32 {
    let text = match known {
        Known::Found(json) => json.len(),
        Known::Missing => 0,
    };
    let bytes = (key.len() + text) as u64 + ENTRY_OVERHEAD;
    u32::try_from(bytes.max(least)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(entries: u64, bytes: u64) -> CachePlan {
        CachePlan { entries, bytes, ttl: Duration::from_secs(60), miss_ttl: Duration::from_secs(10) }
    }

    fn held(cache: &Cache) -> (u64, u64) {
        cache.inner.run_pending_tasks();
        let bytes = cache.inner.iter().map(|(key, known)| match known {
            Known::Found(json) => (key.len() + json.len()) as u64,
            Known::Missing => key.len() as u64,
        });
        (cache.inner.entry_count(), bytes.sum())
    }

    #[test]
    fn holds_neither_more_entries_nor_more_bytes_than_planned() {
        for (entries, bytes, size) in [(10, 1 << 20, 1), (1_000_000, 100_000, 5_000), (50, 50_000, 900), (7, 10, 1)] {
            let cache = Cache::new(&plan(entries, bytes));
            for number in 0..300u32 {
                cache.put(&number.to_be_bytes(), Known::Found(Bytes::from(vec![b'x'; size])));
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
            cache.put(b"k", Known::Missing);
            assert_eq!(held(&cache).0, 0);
            assert_eq!(cache.get(b"k"), None);
        }
    }

    #[test]
    fn hits_and_misses_live_for_their_own_time_from_their_last_write() {
        let lifetimes = Lifetimes { found: Duration::from_secs(60), missing: Duration::from_secs(10) };
        let (key, now) = (Box::from(&b"k"[..]), Instant::now());
        let found = Known::Found(Bytes::from_static(b"{}"));
        assert_eq!(lifetimes.expire_after_create(&key, &found, now), Some(Duration::from_secs(60)));
        assert_eq!(lifetimes.expire_after_create(&key, &Known::Missing, now), Some(Duration::from_secs(10)));
        let left = Some(Duration::from_secs(1));
        assert_eq!(lifetimes.expire_after_update(&key, &found, now, left), Some(Duration::from_secs(60)));
        assert_eq!(lifetimes.expire_after_update(&key, &Known::Missing, now, left), Some(Duration::from_secs(10)));
    }
}
