//! The look-up cache of one keyed look-up, as one worker sees it.

use std::time::{Duration, Instant};

use sluicegate::internals::config::plan::CachePlan;
use sluicegate::internals::enrich::{Cache, CacheTurn, CachedKey};
use sluicegate::internals::testbed::generator::LookupUser;

use crate::input;
use crate::stage::Stage;

/// Keys known, keys not known, and keys written again; one key stands for one record.
pub fn stages() -> impl Iterator<Item = Stage> {
    type Work = fn(&mut CacheTurn<'_>, &[u8]) -> usize;
    let hit: Work = |cache, key| usize::from(matches!(cache.get(key), Some(CachedKey::Found(_))));
    let miss: Work = |cache, key| usize::from(cache.get(&key[1..]).is_none());
    let put: Work = |cache, key| usize::from(matches!(cache.put(key, Some(b"{}")), CachedKey::Found(_)));
    [("hit", hit), ("miss", miss), ("put", put)].into_iter().map(|(case, work)| {
        let (cache, users) = filled();
        let records = users.len() as u64;
        let run = move || {
            let mut turn = cache.turn(Instant::now());
            let done: usize = users.iter().map(|user| work(&mut turn, user.key.as_bytes())).sum();
            drop(turn);
            assert_eq!(done, users.len(), "every key is known or not, as it should be");
            done
        };
        Stage { group: "cache".to_owned(), case: case.to_owned(), records, bytes: None, run: Box::new(run) }
    })
}

fn filled() -> (Cache, Vec<LookupUser>) {
    let hour = Duration::from_secs(3600);
    let cache = Cache::new(&CachePlan { entries: 100_000, bytes: 64 << 20, ttl: hour, miss_ttl: hour });
    let users: Vec<_> = input::generator(1_000).users().collect();
    for user in &users {
        let fields = format!(r#"{{"name":"{}","tier":"{}"}}"#, user.name, user.tier);
        cache.turn(Instant::now()).put(user.key.as_bytes(), Some(fields.as_bytes()));
    }
    (cache, users)
}
