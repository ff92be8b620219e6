//! Topics to read from, filled once a session and shared by its scenarios.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Instant;

use sluicegate::testbed::generator::{Generator, Scratch, Shape};
use sluicegate::testbed::services::{KafkaClient, NewRecord};

use crate::raw::progress;

/// What all scenarios read: 912 bytes, a key of its own for every record.
pub fn shape() -> Shape {
    Shape { keys: 0, ..Shape::default() }
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
    /// The sum of all bytes of all values.
    pub sum: u64,
}

/// The topics of a session.
#[derive(Default)]
pub struct Topics {
    filled: RefCell<BTreeMap<(u16, u64), Filled>>,
}

impl Topics {
    /// A topic with so many partitions and records.
    ///
    /// # Errors
    /// The cluster refuses.
    pub fn get(&self, client: &KafkaClient, partitions: u16, records: u64) -> anyhow::Result<Filled> {
        if let Some(filled) = self.filled.borrow().get(&(partitions, records)) {
            return Ok(filled.clone());
        }
        let filled = fill(client, partitions, records)?;
        self.filled.borrow_mut().insert((partitions, records), filled.clone());
        Ok(filled)
    }

    /// Deletes one that is not needed any more, once: several subjects may have shared it.
    ///
    /// # Errors
    /// The cluster refuses.
    pub fn forget(&self, client: &KafkaClient, filled: &Filled) -> anyhow::Result<()> {
        match self.filled.borrow_mut().remove(&(filled.partitions, filled.records)) {
            Some(filled) => Ok(client.delete_topic(&filled.topic)?),
            None => Ok(()),
        }
    }
}

fn fill(client: &KafkaClient, partitions: u16, records: u64) -> anyhow::Result<Filled> {
    let topic = format!("perf-in-{partitions}-{records}-{:08x}", fastrand::u32(..));
    let generator = Generator::new(shape());
    let (mut scratch, mut sum) = (Scratch::default(), 0);
    let started = Instant::now();
    client.create_topic(&topic, partitions, &[])?;
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
    eprintln!("{records} records in {topic} after {:.1} s", started.elapsed().as_secs_f64());
    Ok(Filled { topic, partitions, records, sum })
}
