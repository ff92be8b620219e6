//! How the memory of a pipeline is shared out.

/// Parts of a pipeline's memory: librdkafka's prefetch, the source's hold, and what is in flight between source and
/// sink.
const PREFETCH_PARTS: usize = 4;
const HOLD_PARTS: usize = 1;
const IN_FLIGHT_PARTS: usize = 11;
const PARTS: usize = PREFETCH_PARTS + HOLD_PARTS + IN_FLIGHT_PARTS;

/// A message that librdkafka has prefetched takes about 14 bytes for every 10 it has (measured).
const PREFETCHED: (usize, usize) = (14, 10);

/// A pipeline's share of `limits.memory`, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryShare(pub usize);

impl MemoryShare {
    /// Records drained while there was no room.
    #[must_use]
    pub fn hold_bytes(self) -> usize {
        self.0 / PARTS * HOLD_PARTS
    }

    /// Records between source and sink.
    #[must_use]
    pub fn in_flight_bytes(self) -> usize {
        self.0 / PARTS * IN_FLIGHT_PARTS
    }

    /// Bytes of messages that one fetch may bring where the prefetch has room for one of each broker and for a queue of
    /// as much: librdkafka overshoots its queue by one response of each broker.
    #[must_use]
    pub fn fetch_bytes(self, brokers: usize) -> usize {
        self.0 / PARTS * PREFETCH_PARTS / PREFETCHED.0 * PREFETCHED.1 / (1 + brokers.max(1))
    }

    /// The least share whose [`Self::fetch_bytes`] are as many as this.
    #[must_use]
    pub fn of_fetch_bytes(bytes: usize, brokers: usize) -> Self {
        let prefetch = bytes.saturating_mul(1 + brokers.max(1)).div_ceil(PREFETCHED.1).saturating_mul(PREFETCHED.0);
        Self(prefetch.div_ceil(PREFETCH_PARTS).saturating_mul(PARTS))
    }

    /// The least share whose [`Self::in_flight_bytes`] are as many as this.
    #[must_use]
    pub fn of_in_flight_bytes(bytes: usize) -> Self {
        Self(bytes.div_ceil(IN_FLIGHT_PARTS).saturating_mul(PARTS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_fit_into_the_whole() {
        for share in [64 << 20, 128 << 20, (1 << 30) + 7].map(MemoryShare) {
            for brokers in 0..5 {
                let prefetch = share.fetch_bytes(brokers) * (1 + brokers.max(1)) * 14 / 10;
                assert!(prefetch <= share.0 / 4 && prefetch >= share.0 / 4 - 100, "{share:?} {brokers} {prefetch}");
                assert!(prefetch + share.hold_bytes() + share.in_flight_bytes() <= share.0);
            }
        }
    }

    #[test]
    fn the_least_share_for_so_many_bytes_has_room_for_them() {
        for bytes in [1, 1_000, 1 << 20, 5_000_001] {
            for brokers in 0..5 {
                let least = MemoryShare::of_fetch_bytes(bytes, brokers);
                assert!(
                    least.fetch_bytes(brokers) >= bytes
                        && MemoryShare(least.0.saturating_sub(200)).fetch_bytes(brokers) < bytes
                );
            }
            let least = MemoryShare::of_in_flight_bytes(bytes);
            assert!(
                least.in_flight_bytes() >= bytes && MemoryShare(least.0.saturating_sub(32)).in_flight_bytes() < bytes
            );
        }
    }
}
