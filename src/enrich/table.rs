//! A whole hash as a table: read at start, read again at an interval, swapped as one.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use foldhash::quality::RandomState;

use crate::config::plan::OnLookupError;

use super::fault::LookupFault;
use super::json::Json;
use super::link::ServerLink;
use super::reply::{pairs, push_string};
use super::server::RedisServer;
use super::socket::ExchangeLimits;

/// Bytes an entry costs beside its key and text.
const ENTRY_OVERHEAD: usize = 64;

/// Longest time one reading may take. Redis builds the reply before it sends, so silence gets the same bound.
const READING: Duration = Duration::from_secs(30);

/// A table-form look-up, shared by the workers.
pub(super) struct Table {
    /// Index of its server.
    pub(super) server: usize,
    /// The hash's name.
    pub(super) name: String,
    /// How often it is read again.
    pub(super) refresh: Duration,
    /// Policy while it was never read.
    pub(super) on_error: OnLookupError,
    bytes: usize,
    current: RwLock<Option<Arc<Entries>>>,
}

/// One reading of a table.
pub(super) struct Entries {
    by_key: HashMap<Box<[u8]>, Json, RandomState>,
    /// Entries left out because they cannot become JSON text.
    pub(super) unusable: u64,
    /// When it was read.
    pub(super) read_at: Instant,
}

impl Entries {
    /// The JSON string of a key.
    pub(super) fn get(&self, key: &[u8]) -> Option<&Json> {
        self.by_key.get(key)
    }

    /// Whether the hash is missing or empty.
    pub(super) fn is_empty(&self) -> bool {
        self.by_key.is_empty() && self.unusable == 0
    }

    /// All values as slices of one text. [`LookupFault::TooLarge`] beyond `most` bytes.
    fn of_reply(
        fields: impl Iterator<Item = (Vec<u8>, Vec<u8>)>,
        most: usize,
        now: Instant,
    ) -> Result<Self, LookupFault> {
        let (mut text, mut places, mut held, mut unusable) = (Vec::new(), Vec::new(), 0usize, 0);
        for (key, value) in fields {
            let start = text.len();
            if push_string(&mut text, &value).is_err() {
                unusable += 1;
                continue;
            }
            held += key.len() + text.len() - start + ENTRY_OVERHEAD;
            if held > most {
                return Err(LookupFault::TooLarge);
            }
            places.push((key.into_boxed_slice(), start..text.len()));
        }
        let text: Arc<[u8]> = text.into();
        let by_key = places.into_iter().map(|(key, place)| (key, Json::part(text.clone(), place))).collect();
        Ok(Self { by_key, unusable, read_at: now })
    }
}

impl Table {
    /// A table that was not read yet and may hold `bytes`.
    pub(super) fn new(server: usize, name: &str, refresh: Duration, on_error: OnLookupError, bytes: u64) -> Self {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        Self { server, name: name.to_owned(), refresh, on_error, bytes, current: RwLock::new(None) }
    }

    /// The last reading.
    pub(super) fn current(&self) -> Option<Arc<Entries>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Most bytes it may hold.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Reads the hash with one `HGETALL`, which is a consistent view, and swaps it in. The old one stays on any fault.
    ///
    /// # Errors
    /// The fault; [`LookupFault::TooLarge`] for a hash beyond the table's bytes.
    pub(super) fn read(&self, server: &RedisServer, link: &mut ServerLink) -> Result<Arc<Entries>, LookupFault> {
        let request = redis::cmd("HGETALL").arg(&self.name).get_packed_command();
        let limits = ExchangeLimits { silence: READING, total: READING, bytes: self.bytes.saturating_add(1024) };
        let read = |reply| Entries::of_reply(pairs(reply)?, self.bytes, Instant::now());
        let mut readings = Vec::with_capacity(1);
        link.ask(server, &request, 1, &limits, read, &mut readings)?;
        let entries = Arc::new(readings.pop().ok_or_else(|| LookupFault::Odd("no reply to HGETALL".to_owned()))?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(entries.clone());
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&[u8], &[u8])], most: usize) -> Result<Entries, LookupFault> {
        Entries::of_reply(pairs.iter().map(|(key, value)| (key.to_vec(), value.to_vec())), most, Instant::now())
    }

    #[test]
    fn entries_become_json_strings_and_bad_ones_are_counted() {
        let entries = of(&[(b"a", b"one \"1\""), (b"b", b"\xff"), (b"\xfe", b"")], 10_000).expect("fits");
        assert_eq!(entries.get(b"a").map(|text| &text[..]), Some(&br#""one \"1\"""#[..]));
        assert_eq!(entries.get(b"\xfe").map(|text| &text[..]), Some(&br#""""#[..]), "keys are bytes");
        assert_eq!((entries.get(b"b"), entries.unusable, entries.is_empty()), (None, 1, false));
        assert!(of(&[], 0).expect("fits").is_empty());
    }

    #[test]
    fn a_table_is_bounded_in_bytes() {
        let one = 1 + 3 + ENTRY_OVERHEAD;
        assert!(of(&[(b"a", b"x"), (b"b", b"y")], 2 * one).is_ok());
        assert!(matches!(of(&[(b"a", b"x"), (b"b", b"y")], 2 * one - 1), Err(LookupFault::TooLarge)));
    }
}
