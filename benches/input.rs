//! The records all stages work on: those of the seeded generator.

use sluicegate::internals::model::OwnedRecord;
use sluicegate::internals::testbed::generator::{Generator, GeneratorScratch, LoadShape};

/// Bytes of a value. The smallest are of the generator's compact layout, with few members.
pub const SIZES: [usize; 4] = [200, 1_000, 8_000, 64_000];

/// The generator of values with `value_bytes` bytes.
pub fn generator(value_bytes: usize) -> Generator {
    Generator::new(LoadShape { value_bytes, users: 1_000, ..LoadShape::default() })
}

/// Different records, so that no branch predictor learns one by heart; few enough to stay in the cache.
pub fn records(value_bytes: usize) -> Vec<OwnedRecord> {
    let generator = generator(value_bytes);
    let mut scratch = GeneratorScratch::default();
    let count = (512 * 1024 / value_bytes as u64).clamp(8, 64);
    (0..count)
        .map(|index| {
            let record = generator.record(index, &mut scratch);
            OwnedRecord {
                topic: "events".to_owned(),
                partition: 0,
                offset: index as i64,
                timestamp_ms: Some(1_700_000_000_000 + index as i64),
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers: Vec::new(),
            }
        })
        .collect()
}

/// Bytes of the values of `records`.
pub fn bytes(records: &[OwnedRecord]) -> u64 {
    values(records).map(|value| value.len() as u64).sum()
}

/// The values of `records`.
pub fn values(records: &[OwnedRecord]) -> impl Iterator<Item = &[u8]> {
    records.iter().filter_map(|record| record.value.as_deref())
}
