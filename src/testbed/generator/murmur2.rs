//! The partitioner of Kafka's Java client: MurmurHash2 (Austin Appleby) with Kafka's seed, sign bit dropped, modulo.
//!
//! Written apart from librdkafka so that a checker does not trust the client it checks.

const SEED: u32 = 0x9747_b28c;
const M: u32 = 0x5bd1_e995;

/// The partition of `key` among `partitions` (at least 1).
#[must_use]
pub fn partition(key: &[u8], partitions: i32) -> i32 {
    let positive = hash(key) & 0x7fff_ffff;
    i32::try_from(positive % partitions.unsigned_abs().max(1)).unwrap_or(0)
}

/// MurmurHash2, 32 bits, as Kafka uses it.
#[must_use]
pub fn hash(data: &[u8]) -> u32 {
    let mut h = SEED ^ data.len() as u32;
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        h = h.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (place, byte) in rest.iter().enumerate() {
            h ^= u32::from(*byte) << (8 * place);
        }
        h = h.wrapping_mul(M);
    }
    h ^= h >> 13;
    h = h.wrapping_mul(M);
    h ^ (h >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of the Java client's own unit test.
    #[test]
    fn hashes_as_the_java_client_does() {
        let table: [(&[u8], i32); 5] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"abc", 479_470_107),
        ];
        for (key, expected) in table {
            assert_eq!(hash(key) as i32, expected, "{}", String::from_utf8_lossy(key));
        }
    }
}
