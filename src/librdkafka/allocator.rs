//! Whether librdkafka's own allocations are served by the allocator of this process.

use rdkafka::bindings as rd;

/// Asks librdkafka to allocate and looks whether jemalloc's count for this thread moved. The plain
/// `#[global_allocator]` would leave C on the system's malloc, where the fetch thread costs a third more CPU
/// (measured).
#[must_use]
pub fn serves_librdkafka() -> bool {
    const BYTES: usize = 1 << 20;
    let Ok(counter) = jemalloc_ctl::thread::allocatedp::read() else { return false };
    let before = counter.get();
    // SAFETY: a null client means librdkafka's plain allocator; the pointer is freed once by its counterpart.
    unsafe {
        let bytes = rd::rd_kafka_mem_malloc(std::ptr::null_mut(), BYTES);
        rd::rd_kafka_mem_free(std::ptr::null_mut(), bytes);
    }
    counter.get() - before >= BYTES as u64
}

#[cfg(test)]
mod tests {
    /// The test binary links the same allocator for C, whatever Rust uses.
    #[test]
    #[cfg(target_os = "linux")]
    fn librdkafka_allocates_from_jemalloc() {
        assert!(super::serves_librdkafka());
    }
}
