//! What most users of the Rust client write: one message a call.

use std::time::{Duration, Instant};

use anyhow::bail;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Message as _, Offset, TopicPartitionList};
use sluicegate::internals::source::properties;

use super::Task;
use super::progress::{self, Progress};
use super::reader;

/// How long the topic may be silent before its end.
const SILENCE: Duration = Duration::from_secs(60);
/// Records between two words about the progress.
const TELL_EVERY: u64 = 1024;

/// See the module.
///
/// # Errors
/// Reading fails.
pub fn run(task: &Task) -> anyhow::Result<()> {
    let progress = Progress::start(task.progress.as_deref())?;
    let plan = reader::pipeline(task)?;
    let mut config = ClientConfig::new();
    for (name, value) in properties::consumer(&plan.source, plan.memory, false) {
        config.set(name, value);
    }
    let consumer: BaseConsumer = config.create()?;
    let mut all = TopicPartitionList::new();
    for partition in 0..task.partitions {
        all.add_partition_offset(&task.topic, i32::from(partition), Offset::Beginning)?;
    }
    consumer.assign(&all)?;
    let (mut records, mut sum, mut heard) = (0, 0, Instant::now());
    let mut left = task.records;
    while left > 0 {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else {
            if heard.elapsed() > SILENCE {
                bail!("{left} records did not come");
            }
            continue;
        };
        sum += message?.payload().map_or(0, progress::sum);
        records += 1;
        left -= 1;
        if records == TELL_EVERY || left == 0 {
            progress.add(std::mem::take(&mut records), std::mem::take(&mut sum));
            heard = Instant::now();
        }
    }
    progress.finish()
}
