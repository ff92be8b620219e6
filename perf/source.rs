//! Topics to read from, filled once a session and shared by its scenarios.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Instant;

use sluicegate::internals::testbed::generator::{Generator, GeneratorScratch, LoadShape};
use sluicegate_testkit::services::{KafkaClient, NewRecord};

use crate::raw::progress;

/// What all scenarios read: 912 bytes, a key of its own for every record.
pub fn shape() -> LoadShape {
    LoadShape { keys: 0, ..LoadShape::default() }
}

/// What is in a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Contents {
    /// Partitions.
    pub partitions: u16,
    /// Records.
    pub records: u64,
    /// Size of each value.
    pub value_bytes: usize,
    /// The broker stores, and sends, its batches with this codec.
    pub codec: &'static str,
}

/// A filled topic.
#[derive(Debug, Clone)]
pub struct Filled {
    /// Its name.
    pub topic: String,
    /// Its partitions.
    pub partitions: u16,
    /// Records in it.
    pub records: u64,
    contents: Contents,
    /// The sum of all bytes of all values.
    pub sum: u64,
}

/// The topics of a session.
#[derive(Default)]
pub struct Topics {
    filled: RefCell<BTreeMap<Contents, Filled>>,
}

impl Topics {
    /// A topic with so many partitions and records of the usual shape.
    ///
    /// # Errors
    /// The cluster refuses.
    pub fn get(&self, client: &KafkaClient, partitions: u16, records: u64) -> anyhow::Result<Filled> {
        self.with(client, Contents { partitions, records, value_bytes: shape().value_bytes, codec: "none" })
    }

    /// A topic with these contents.
    ///
    /// # Errors
    /// The cluster refuses.
    pub fn with(&self, client: &KafkaClient, contents: Contents) -> anyhow::Result<Filled> {
        if let Some(filled) = self.filled.borrow().get(&contents) {
            return Ok(filled.clone());
        }
        let filled = fill(client, contents)?;
        self.filled.borrow_mut().insert(contents, filled.clone());
        Ok(filled)
    }

    /// Deletes one that is not needed any more, once: several subjects may have shared it.
    ///
    /// # Errors
    /// The cluster refuses.
    pub fn forget(&self, client: &KafkaClient, filled: &Filled) -> anyhow::Result<()> {
        self.forget_contents(client, filled.contents)
    }

    /// Deletes the one with these contents, if there is one.
    ///
    /// # Errors
    /// The cluster refuses.
    pub fn forget_contents(&self, client: &KafkaClient, contents: Contents) -> anyhow::Result<()> {
        let filled = self.filled.borrow_mut().remove(&contents);
        Ok(filled.map_or(Ok(()), |filled| client.delete_topic(&filled.topic))?)
    }
}

fn fill(client: &KafkaClient, contents: Contents) -> anyhow::Result<Filled> {
    let Contents { partitions, records, value_bytes, codec } = contents;
    let topic = format!("perf-in-{partitions}-{records}-{:08x}", fastrand::u32(..));
    let generator = Generator::new(LoadShape { value_bytes, ..shape() });
    let (mut scratch, mut sum) = (GeneratorScratch::default(), 0);
    let started = Instant::now();
    // The producer sends its batches as they are; the broker stores them anew for a topic with a codec.
    let stored = if codec == "none" { "producer" } else { codec };
    client.create_topic(&topic, partitions, &[("compression.type", stored)])?;
    let produced = (0..records).map(|number| {
        let record = generator.record(number, &mut scratch);
        sum += record.value.map_or(0, progress::sum);
        NewRecord {
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            ..NewRecord::default()
        }
    });
    client.produce(&topic, produced)?;
    let seconds = started.elapsed().as_secs_f64();
    eprintln!("{records} records of {value_bytes} bytes, codec {codec}, in {topic} after {seconds:.1} s");
    Ok(Filled { topic, partitions, records, contents, sum })
}
