//! The far side: documents by key, what may land on them, and the dead letters. The checks that need no knowledge of
//! the engine stand here.

use std::collections::{BTreeMap, BTreeSet};

use super::log::{Fate, Input};

/// One write of one record, or of one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Write {
    /// Where the record stands.
    pub partition: i32,
    /// See `partition`.
    pub offset: i64,
    /// Which item of it, where there are several.
    pub item: Option<u32>,
    /// The tenure it was read in; the other member's writes carry epochs too.
    pub epoch: u64,
    /// What is written.
    pub input: Input,
}

#[derive(Debug, Clone, Copy)]
struct Document {
    version: u64,
    epoch: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Server {
    /// Writes carry external versions: older ones are refused.
    pub versioned: bool,
    documents: BTreeMap<u64, Document>,
    /// Highest version acknowledged and settled by key, in the epoch it was.
    settled: BTreeMap<u64, (u64, u64)>,
    /// Dead letters by partition, offset and item.
    pub letters: BTreeSet<(i32, i64, Option<u32>)>,
    /// Writes that landed.
    pub landed: u64,
    /// The first thing that must not be.
    pub violation: Option<String>,
}

impl Server {
    /// Something that must not be.
    pub fn violated(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }

    /// A write lands; the item's status. `ordered`: the partition's order is looked at.
    pub fn land(&mut self, write: Write, ordered: bool) -> u16 {
        let Write { epoch, input, .. } = write;
        if input.fate != Fate::Good {
            self.violated(format!("{write:?} was sent"));
        }
        self.landed += 1;
        let document = self.documents.get(&input.key).copied();
        if self.versioned {
            if document.is_some_and(|document| document.version >= input.version) {
                return 409;
            }
        } else if let (Some(document), true) = (document, ordered) {
            if epoch < document.epoch {
                self.violated(format!("{write:?} of an old epoch lands on {document:?}"));
            }
            if self.settled.get(&input.key).is_some_and(|(at, version)| *at == epoch && *version > input.version) {
                self.violated(format!("{write:?} lands after {:?} was settled", self.settled.get(&input.key)));
            }
        }
        self.documents.insert(input.key, Document { version: input.version, epoch });
        200
    }

    /// The engine settled this record as delivered.
    pub fn settled(&mut self, write: Write) {
        let highest = self.settled.entry(write.input.key).or_insert((write.epoch, write.input.version));
        if highest.0 < write.epoch || (highest.0 == write.epoch && highest.1 < write.input.version) {
            *highest = (write.epoch, write.input.version);
        }
    }

    /// The version a key has.
    pub fn version(&self, key: u64) -> Option<u64> {
        self.documents.get(&key).map(|document| document.version)
    }
}

/// The line a write is sent as. Of one width whatever the epoch, so that a seed replays byte for byte.
pub fn line(write: Write) -> String {
    let Write { partition, offset, item, epoch, input } = write;
    let (fate, item) = (input.fate as u8, item.map_or(String::new(), |number| format!(" {number}")));
    format!("{partition} {offset} {epoch:020} {} {} {fate}{item}", input.key, input.version)
}

/// Reads what [`line`] wrote.
pub fn parse(line: &str) -> Option<Write> {
    let mut numbers = line.split(' ').map(|word| word.parse::<u64>().ok());
    let mut next = || numbers.next().flatten();
    let (partition, offset, epoch) = (next()? as i32, next()? as i64, next()?);
    let (key, version) = (next()?, next()?);
    let fate = match next()? {
        0 => Fate::Good,
        1 => Fate::Dropped,
        2 => Fate::Poison,
        _ => Fate::Refused,
    };
    let item = next().map(|number| number as u32);
    Some(Write { partition, offset, item, epoch, input: Input { key, version, fate, items: 0 } })
}
