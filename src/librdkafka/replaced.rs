//! Two functions of librdkafka 2.12 that are replaced when a program is linked (`build.rs`), because one batch of a
//! damaged log makes the originals stop the whole process:
//!
//! - `rd_slice_narrow_copy_relative` is given the size of a message in the old format less four. Where the log holds
//!   zeros, as after a broker's machine lost power, the size is 0, the sum wraps, and an assertion aborts the process
//!   (`rdkafka_msgset_reader.c`, `rd_kafka_msgset_reader_msg_v0_1`). Ours refuses it, which librdkafka takes for a
//!   batch that was not sent to its end.
//! - `rd_gz_decompress` goes on for ever where the compressed data ends too early and the space is full: `inflate`
//!   answers `Z_BUF_ERROR`, which its loop does not look at. Ours fails, which librdkafka reports as a failed
//!   decompression. It also decompresses once instead of twice.
//!
//! The layouts are those of the exact version in Cargo.toml.

use std::ffi::{c_int, c_void};
use std::mem::{MaybeUninit, size_of};

use libz_sys as z;

/// `rd_segment_t` up to the member that is needed (`rdbuf.h`).
#[repr(C)]
struct SliceSegment {
    links: [*const c_void; 2],
    bytes: *const u8,
    written: usize,
    size: usize,
    /// Where it begins in the whole buffer.
    begins_at: usize,
}

/// `rd_slice_t` (`rdbuf.h`): a part of a buffer with a read position.
#[repr(C)]
#[derive(Clone, Copy)]
struct BufferSlice {
    buffer: *const c_void,
    segment: *const SliceSegment,
    offset_in_segment: usize,
    start: usize,
    end: usize,
}

/// Makes `new` the slice that begins where `original` does and ends `size` bytes behind its read position. Returns 0
/// where it does not reach that far.
///
/// # Safety
/// Called by librdkafka only, with a valid slice and a place for another.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_rd_slice_narrow_copy_relative(
    original: *const BufferSlice,
    new: *mut BufferSlice,
    size: usize,
) -> c_int {
    // SAFETY: the caller's slice is valid, and so is its segment unless it is null (`rd_slice_abs_offset`).
    let (slice, at) = unsafe {
        let slice = *original;
        let at = slice.segment.as_ref().map(|segment| segment.begins_at + slice.offset_in_segment);
        (slice, at.unwrap_or(slice.end))
    };
    let Some(end) = at.checked_add(size).filter(|end| *end <= slice.end) else { return 0 };
    // SAFETY: the caller's place for a slice.
    unsafe { new.write(BufferSlice { end, ..slice }) };
    1
}

/// What is asked of the allocator first, as a multiple of the compressed size.
const EXPANSION: usize = 4;
/// Least size of the space, in bytes.
const LEAST: usize = 4 << 10;
/// `inflateInit2`: the largest window, and zlib's and gzip's heads are both understood.
const WINDOW_BITS: c_int = 15 + 32;

unsafe extern "C" {
    fn realloc(old: *mut c_void, bytes: usize) -> *mut c_void;
    fn free(old: *mut c_void);
}

/// Decompresses one gzip member. Returns the bytes, with a zero behind them and for the caller to `free`, and their
/// number in `length`; null where the data is damaged, ends too early, or there is no memory.
///
/// # Safety
/// Called by librdkafka only: `length` bytes are readable at `compressed`, and `decompressed_length` is valid.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_rd_gz_decompress(
    compressed: *const c_void,
    length: c_int,
    decompressed_length: *mut u64,
) -> *mut c_void {
    let Ok(available) = u32::try_from(length) else { return std::ptr::null_mut() };
    let mut stream = MaybeUninit::<z::z_stream>::zeroed();
    let stream = stream.as_mut_ptr();
    // SAFETY: an all-zero stream is how zlib wants it: no allocator of its own, nothing to read. The version and the
    // size are those of the header that `z_stream` was made from.
    let made = unsafe { z::inflateInit2_(stream, WINDOW_BITS, z::zlibVersion(), size_of::<z::z_stream>() as c_int) };
    if made != z::Z_OK {
        return std::ptr::null_mut();
    }
    // SAFETY: the stream was made, and is ended in here.
    unsafe {
        (*stream).next_in = compressed.cast_mut().cast();
        (*stream).avail_in = available;
        let bytes = inflate_all(stream, (available as usize).saturating_mul(EXPANSION).max(LEAST));
        if !bytes.is_null() {
            *decompressed_length = (*stream).total_out;
        }
        z::inflateEnd(stream);
        bytes
    }
}

/// Decompresses to the end of the stream, into a space that is doubled when it is full.
///
/// # Safety
/// The stream was made by `inflateInit2` and has its input.
unsafe fn inflate_all(stream: *mut z::z_stream, first: usize) -> *mut c_void {
    let mut space: *mut c_void = std::ptr::null_mut();
    let mut bytes = first;
    loop {
        // SAFETY: null or what `realloc` gave; one byte more for the zero behind.
        let grown = unsafe { realloc(space, bytes + 1) };
        if grown.is_null() {
            // SAFETY: as above.
            unsafe { free(space) };
            return grown;
        }
        space = grown;
        // SAFETY: the stream is valid; `total_out` bytes of the space are written, and the rest is for it.
        let (result, written) = unsafe {
            let written = (*stream).total_out as usize;
            (*stream).next_out = space.cast::<u8>().add(written);
            (*stream).avail_out = u32::try_from(bytes - written).unwrap_or(u32::MAX);
            let result = z::inflate(stream, z::Z_NO_FLUSH);
            (result, (*stream).total_out as usize)
        };
        match result {
            z::Z_STREAM_END => {
                // SAFETY: `written` is at most `bytes`, and one more was asked for. A space that cannot be made smaller
                // stays.
                return unsafe {
                    space.cast::<u8>().add(written).write(0);
                    // It lives as long as the messages in it, and nobody counts what lies behind them.
                    let fitting = realloc(space, written + 1);
                    if fitting.is_null() { space } else { fitting }
                };
            }
            // The space is full; where it is not, the input is at its end too early.
            // SAFETY: the stream is valid.
            z::Z_OK | z::Z_BUF_ERROR if unsafe { (*stream).avail_out } == 0 => {
                if written == bytes {
                    bytes = bytes.saturating_mul(2);
                }
            }
            _ => {
                // SAFETY: as above.
                unsafe { free(space) };
                return std::ptr::null_mut();
            }
        }
    }
}

/// Keeps both where a linker takes from an archive only what was asked for before.
pub(super) fn keep() {
    std::hint::black_box((
        __wrap_rd_slice_narrow_copy_relative as *const c_void,
        __wrap_rd_gz_decompress as *const c_void,
    ));
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use rdkafka::bindings as rd;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).expect("into memory");
        encoder.finish().expect("into memory")
    }

    fn decompress(compressed: &[u8]) -> Option<Vec<u8>> {
        let mut length = 0;
        // SAFETY: the slice is readable, and what comes back is ours.
        unsafe {
            let bytes = __wrap_rd_gz_decompress(compressed.as_ptr().cast(), compressed.len() as c_int, &raw mut length);
            if bytes.is_null() {
                return None;
            }
            let copy = std::slice::from_raw_parts(bytes.cast::<u8>(), length as usize + 1).to_vec();
            free(bytes);
            assert_eq!(copy.last(), Some(&0));
            Some(copy[..length as usize].to_vec())
        }
    }

    #[test]
    fn gzip_is_read_to_its_end_or_refused() {
        let mut random = fastrand::Rng::with_seed(7);
        for size in [0, 1, 100, 1023, 1024, 4096, 65_536, 1_000_000] {
            let noise: Vec<u8> = (0..size).map(|_| random.u8(..)).collect();
            for bytes in [noise, vec![7; size]] {
                let compressed = gzip(&bytes);
                assert_eq!(decompress(&compressed).as_deref(), Some(&bytes[..]), "{size}");
                for cut in [1, 8, 9, compressed.len() / 2, compressed.len() - 1] {
                    assert_eq!(decompress(&compressed[..compressed.len() - cut]), None, "{size} less {cut}");
                }
                let mut spoiled = compressed.clone();
                let half = spoiled.len() / 2;
                spoiled[half..].fill(0);
                assert_ne!(decompress(&spoiled).as_deref(), Some(&bytes[..]), "{size}");
            }
        }
        assert_eq!(decompress(b""), None);
        assert_eq!(decompress(b"plain text"), None);
    }

    #[test]
    fn a_size_that_wraps_is_refused() {
        let segment = SliceSegment {
            links: [std::ptr::null(); 2],
            bytes: std::ptr::null(),
            written: 100,
            size: 100,
            begins_at: 0,
        };
        let slice = BufferSlice {
            buffer: std::ptr::null(),
            segment: &raw const segment,
            offset_in_segment: 40,
            start: 10,
            end: 90,
        };
        let narrowed = |size: usize| {
            let mut new = slice;
            // SAFETY: both slices and the segment are ours.
            (unsafe { __wrap_rd_slice_narrow_copy_relative(&raw const slice, &raw mut new, size) } == 1)
                .then_some(new.end)
        };
        assert_eq!([0, 1, 50].map(narrowed), [Some(40), Some(41), Some(90)]);
        assert_eq!([51, usize::MAX, usize::MAX - 3, 0usize.wrapping_sub(4)].map(narrowed), [None; 4]);
    }

    #[test]
    fn the_layouts_are_those_of_this_version() {
        // SAFETY: no preconditions.
        let version = unsafe { rd::rd_kafka_version() };
        assert_eq!(version >> 8, 0x02_0c_01, "compare rdbuf.h and rdgz.c, then write the new version here");
    }
}
