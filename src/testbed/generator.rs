//! The seeded load generator: one source of records for tests, benches, `demo` and performance runs.
//!
//! Record number `i` is a pure function of the [`LoadShape`] and `i`, so a checker can make any record again instead of
//! keeping it. Values are `{"meta":{…},"result":{…}}`. They are copied from templates built once and patched at fixed
//! places, which costs a copy and a few dozen bytes of writing a record.

pub mod murmur2;
pub mod poison;
mod random;
mod template;

use std::collections::HashMap;

use bytes::Bytes;

pub use poison::{Poison, RecordFate};

use random::Random;
use template::{Patch, ValueTemplate};

/// Smallest value that can be asked for, in bytes.
pub const SMALLEST_VALUE_BYTES: usize = 128;
/// Largest value that can be asked for, in bytes.
pub const LARGEST_VALUE_BYTES: usize = 64 * 1024;

const TEMPLATES: u64 = 64;
/// One user in this many is unknown to the look-up table.
const UNKNOWN_USER_EVERY: u64 = 10;

/// What is generated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadShape {
    /// Everything random follows from it.
    pub seed: u64,
    /// Exact size of each ordinary value, clamped to [`SMALLEST_VALUE_BYTES`]..=[`LARGEST_VALUE_BYTES`]. The default
    /// gives a `result` of about 787 bytes. Below 768 a compact layout is used (2 members in `meta`, 4 in `result`).
    pub value_bytes: usize,
    /// Distinct keys; 0 gives every record a key of its own.
    pub keys: u64,
    /// Keys that get `hot_percent` of all records between them; 0 for none.
    pub hot_keys: u64,
    /// Share of the records, in percent, that goes to the hot keys.
    pub hot_percent: u8,
    /// Distinct values of `result.user`, at most 999,999.
    pub users: u64,
    /// Every record carries the headers `trace` and `origin`.
    pub headers: bool,
    /// Every n-th record has no key; 0 for none.
    pub keyless_every: u64,
    /// Every n-th record has a null value; 0 for none.
    pub tombstone_every: u64,
    /// Every n-th record is poison; 0 for none.
    pub poison_every: u64,
    /// The kinds of poison, taken in turn.
    pub poison: Vec<Poison>,
}

impl Default for LoadShape {
    fn default() -> Self {
        Self {
            seed: 1,
            value_bytes: 912,
            keys: 50_000,
            hot_keys: 0,
            hot_percent: 0,
            users: 10_000,
            headers: false,
            keyless_every: 0,
            tombstone_every: 0,
            poison_every: 0,
            poison: Vec::new(),
        }
    }
}

/// Reused memory of one thread that generates.
#[derive(Debug, Default)]
pub struct GeneratorScratch {
    key: Vec<u8>,
    value: Vec<u8>,
    trace: [u8; 16],
}

/// One record. Borrowed from the [`GeneratorScratch`] it was written into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generated<'s> {
    /// Its number, from 0.
    pub index: u64,
    /// Its key; also `result.id`, except where poison changes the value.
    pub key: Option<&'s [u8]>,
    /// Its value; `None` is a tombstone.
    pub value: Option<&'s [u8]>,
    /// The value of the header `trace`, where the shape has headers.
    pub trace: Option<&'s [u8]>,
    /// What makes it poison.
    pub poison: Option<Poison>,
}

impl Generated<'_> {
    /// Bytes of key and value.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.key.map_or(0, <[u8]>::len) + self.value.map_or(0, <[u8]>::len)
    }

    /// What must become of it.
    #[must_use]
    pub fn fate(&self) -> RecordFate {
        match self.poison {
            Some(poison) => poison.fate(),
            None if self.value.is_none() => RecordFate::Tombstone,
            None => RecordFate::Delivered,
        }
    }
}

/// A user of the look-up table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookupUser {
    /// The name of its Redis hash: `user:u-000042`.
    pub key: String,
    /// Field `name`.
    pub name: String,
    /// Field `tier`.
    pub tier: &'static str,
}

/// Makes records of one shape. Cheap to share between threads: it never changes.
#[derive(Debug)]
pub struct Generator {
    shape: LoadShape,
    templates: Vec<ValueTemplate>,
}

impl Generator {
    /// A generator of `shape`, with its out-of-range members clamped.
    #[must_use]
    pub fn new(mut shape: LoadShape) -> Self {
        shape.value_bytes = shape.value_bytes.clamp(SMALLEST_VALUE_BYTES, LARGEST_VALUE_BYTES);
        shape.users = shape.users.clamp(1, 999_999);
        shape.hot_percent = if shape.hot_keys == 0 { 0 } else { shape.hot_percent.min(100) };
        if shape.poison.is_empty() {
            shape.poison_every = 0;
        }
        let templates =
            (0..TEMPLATES).map(|variant| ValueTemplate::build(shape.seed, variant, shape.value_bytes)).collect();
        Self { shape, templates }
    }

    /// Its shape, as clamped.
    #[must_use]
    pub(crate) fn shape(&self) -> &LoadShape {
        &self.shape
    }

    /// Record number `index`, written into `scratch`.
    pub fn record<'s>(&self, index: u64, scratch: &'s mut GeneratorScratch) -> Generated<'s> {
        let mut random = Random::of(self.shape.seed, index);
        let key_number = self.draw_key(&mut random, index);
        write_key(key_number, &mut scratch.key);
        let user = random.below(self.shape.users);
        write_hex(random.next(), &mut scratch.trace);
        let template = &self.templates[(random.next() % TEMPLATES) as usize];
        let patch =
            Patch { index, key: &scratch.key, user, cents: 1_000_000 + random.below(9_000_000), trace: &scratch.trace };
        template.write(&patch, &mut scratch.value);
        let poison = self.poison_at(index);
        let mut has_value = !is_every(self.shape.tombstone_every, index);
        if let Some(poison) = poison {
            has_value = poison.apply(template, &mut scratch.value);
        }
        Generated {
            index,
            key: (!is_every(self.shape.keyless_every, index)).then_some(&scratch.key[..]),
            value: has_value.then_some(&scratch.value[..]),
            trace: self.shape.headers.then_some(&scratch.trace[..]),
            poison,
        }
    }

    /// The number of the key of record `index`: what shards a checker's work without making the record.
    #[must_use]
    pub fn key_number(&self, index: u64) -> u64 {
        self.draw_key(&mut Random::of(self.shape.seed, index), index)
    }

    /// The partition record `index` belongs to: by its key as Java's default partitioner does it; without a key, in
    /// turn.
    #[must_use]
    pub fn partition(record: &Generated<'_>, partitions: i32) -> i32 {
        match record.key {
            Some(key) => murmur2::partition(key, partitions),
            None => i32::try_from(record.index % u64::from(partitions.unsigned_abs().max(1))).unwrap_or(0),
        }
    }

    /// The users the look-up knows: nine in ten of those the records name.
    pub fn users(&self) -> impl Iterator<Item = LookupUser> + '_ {
        const TIERS: [&str; 3] = ["gold", "silver", "basic"];
        (0..self.shape.users).filter(|user| user % UNKNOWN_USER_EVERY != UNKNOWN_USER_EVERY - 1).map(|user| {
            LookupUser {
                key: format!("user:u-{user:06}"),
                name: format!("{} {user}", template::NAMES[(user % template::NAMES.len() as u64) as usize]),
                tier: TIERS[(user % 3) as usize],
            }
        })
    }

    /// The users as `enrich::Lookups::in_memory` wants them: key → JSON text of the fields `name` and `tier`.
    #[must_use]
    pub fn lookup_table(&self) -> HashMap<Vec<u8>, Bytes> {
        self.users()
            .map(|user| {
                let fields = serde_json::json!({ "name": user.name, "tier": user.tier });
                (user.key.into_bytes(), Bytes::from(fields.to_string()))
            })
            .collect()
    }

    fn draw_key(&self, random: &mut Random, index: u64) -> u64 {
        let (dice, pick) = (random.below(100), random.next());
        let shape = &self.shape;
        if dice < u64::from(shape.hot_percent) {
            return pick % shape.hot_keys;
        }
        shape.hot_keys + if shape.keys == 0 { index } else { pick % shape.keys }
    }

    fn poison_at(&self, index: u64) -> Option<Poison> {
        if !is_every(self.shape.poison_every, index) {
            return None;
        }
        let turn = index / self.shape.poison_every;
        self.shape.poison.get((turn % self.shape.poison.len() as u64) as usize).copied()
    }
}

fn is_every(every: u64, index: u64) -> bool {
    every != 0 && index % every == every - 1
}

fn write_key(number: u64, key: &mut Vec<u8>) {
    key.clear();
    key.extend_from_slice(b"k-0000000000");
    template::write_decimal(number, &mut key[2..]);
}

fn write_hex(number: u64, out: &mut [u8; 16]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (place, byte) in out.iter_mut().enumerate() {
        *byte = DIGITS[((number >> (60 - 4 * place)) & 15) as usize];
    }
}

#[cfg(test)]
mod tests;
