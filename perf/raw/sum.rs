//! The least a consumer can do: take batches, read every byte, give the batches back.

use super::Task;
use super::progress::{self, Progress};
use super::reader::Reader;

/// See the module.
///
/// # Errors
/// Reading fails.
pub fn run(task: &Task) -> anyhow::Result<()> {
    let progress = Progress::start(task.progress.as_deref())?;
    let mut reader = Reader::open(task)?;
    while let Some(batch) = reader.next()? {
        let sum = (0..batch.len()).filter_map(|index| batch.value(index)).map(progress::sum).sum();
        progress.add(batch.len() as u64, sum);
    }
    progress.finish()
}
