//! How far a loop without a sink has come: records and the sum of their bytes, in a small file that is written over.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;

/// How often it is written.
const TELL: Duration = Duration::from_millis(20);

#[derive(Default)]
struct Counts {
    records: AtomicU64,
    sum: AtomicU64,
    ended: AtomicBool,
}

/// Writes the counts until it is finished.
pub struct Progress {
    counts: Arc<Counts>,
    writer: JoinHandle<std::io::Result<()>>,
}

impl Progress {
    /// Starts writing to this file.
    ///
    /// # Errors
    /// No file was named, or it cannot be written.
    pub fn start(path: Option<&Path>) -> anyhow::Result<Self> {
        let file = File::options().write(true).open(path.context("--progress is missing")?)?;
        let counts = Arc::new(Counts::default());
        let told = counts.clone();
        let writer = std::thread::Builder::new().name("progress".into()).spawn(move || {
            loop {
                let last = told.ended.load(Ordering::Acquire);
                // The sum first: a reader that sees all records sees their whole sum.
                file.write_all_at(&told.sum.load(Ordering::Acquire).to_le_bytes(), 8)?;
                file.write_all_at(&told.records.load(Ordering::Acquire).to_le_bytes(), 0)?;
                if last {
                    return Ok(());
                }
                std::thread::park_timeout(TELL);
            }
        })?;
        Ok(Self { counts, writer })
    }

    /// So many more records with this sum of bytes.
    pub fn add(&self, records: u64, sum: u64) {
        self.counts.sum.fetch_add(sum, Ordering::AcqRel);
        self.counts.records.fetch_add(records, Ordering::AcqRel);
    }

    /// Writes the last counts.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn finish(self) -> anyhow::Result<()> {
        self.counts.ended.store(true, Ordering::Release);
        self.writer.thread().unpark();
        self.writer.join().map_err(|_| anyhow::anyhow!("the progress writer panicked"))??;
        Ok(())
    }
}

/// Records and sum, as last written; zeros before that.
///
/// # Errors
/// The file is gone.
pub fn read(path: &Path) -> anyhow::Result<(u64, u64)> {
    let bytes = std::fs::read(path)?;
    let number =
        |at: usize| bytes.get(at..at + 8).and_then(|eight| eight.try_into().ok()).map_or(0, u64::from_le_bytes);
    Ok((number(0), number(8)))
}

/// The sum of all bytes.
pub fn sum(bytes: &[u8]) -> u64 {
    // 256 bytes add up to less than 2^16: narrow lanes, four times as many of them.
    bytes.chunks(256).map(|chunk| u64::from(chunk.iter().fold(0_u16, |sum, byte| sum + u16::from(*byte)))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_counts() {
        let bytes: Vec<u8> = (0..5_000_u32).map(|at| (at * 7 % 256) as u8).collect();
        assert_eq!(sum(&bytes), bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>());
        assert_eq!(sum(&[255; 256]), 255 * 256);
    }

    #[test]
    fn what_is_written_is_read() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        assert_eq!(read(file.path()).expect("there"), (0, 0));
        let progress = Progress::start(Some(file.path())).expect("started");
        progress.add(3, 10);
        progress.add(4, 1);
        progress.finish().expect("written");
        assert_eq!(read(file.path()).expect("there"), (7, 11));
    }
}
