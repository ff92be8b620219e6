//! What went in must come out: every record once, recognised by its id, which is its number, and with its value.

use std::time::{Duration, Instant};

use anyhow::bail;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Message as _, Offset, TopicPartitionList};
use sluicegate::internals::testbed::bulk_endpoint::id_digest;
use sluicegate_testkit::services::KafkaClient;

use crate::expected::{Expected, Values, number};

/// How long reading an output topic may stand still.
const SILENCE: Duration = Duration::from_secs(60);

/// Records that came out, against those that went in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Verdict {
    /// Records that did not come out.
    pub missing: u64,
    /// Records that came out again, or that never went in.
    pub extra: u64,
    /// Records that came out with another value than they must have.
    pub changed: u64,
}

/// The sum of the digests of the ids of records 0 to `records`.
pub fn digests(records: u64) -> u64 {
    (0..records).fold(0, |sum: u64, number| sum.wrapping_add(id_digest(format!("k-{number:010}").as_bytes())))
}

/// Judges an endpoint that counts items and digests only: which records are wrong is not known, only that some are.
pub fn counted(records: u64, items: u64, ids: u64, changed: u64) -> Verdict {
    let (missing, extra) = (records.saturating_sub(items), items.saturating_sub(records));
    let wrong = u64::from(missing == 0 && extra == 0 && ids != digests(records));
    Verdict { missing: missing + wrong, extra: extra + wrong, changed }
}

/// Reads a topic whole and judges it.
///
/// # Errors
/// The topic cannot be read to its end.
pub fn topic(client: &KafkaClient, topic: &str, values: Values, records: u64) -> anyhow::Result<Verdict> {
    let ends = client.offsets(topic)?;
    let mut config = client.config();
    config.set("group.id", "perf-check").set("enable.auto.commit", "false").set("auto.offset.reset", "earliest");
    let consumer: BaseConsumer = config.create()?;
    let mut assignment = TopicPartitionList::new();
    for partition in 0..ends.len() {
        assignment.add_partition_offset(topic, i32::try_from(partition)?, Offset::Beginning)?;
    }
    consumer.assign(&assignment)?;
    let mut left: u64 = ends.iter().map(|(low, high)| (high - low).unsigned_abs()).sum();
    let (mut seen, mut expected) = (Seen::new(records), Expected::new(values));
    let mut heard = Instant::now();
    while left > 0 {
        if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
            let value = message.payload().unwrap_or_default();
            let number = number(values, value);
            seen.add(number, |number| expected.is(number, values, value));
            left -= 1;
            heard = Instant::now();
        } else if heard.elapsed() > SILENCE {
            bail!("topic {topic}: {left} records did not come within {} s", SILENCE.as_secs());
        }
    }
    Ok(seen.verdict())
}

/// One bit a record.
struct Seen {
    bits: Vec<u64>,
    records: u64,
    distinct: u64,
    extra: u64,
    changed: u64,
}

impl Seen {
    fn new(records: u64) -> Self {
        Self { bits: vec![0; records.div_ceil(64) as usize], records, distinct: 0, extra: 0, changed: 0 }
    }

    fn add(&mut self, number: Option<u64>, is_right: impl FnOnce(u64) -> bool) {
        let Some(number) = number.filter(|number| *number < self.records) else {
            self.extra += 1;
            return;
        };
        let (word, bit) = (&mut self.bits[(number / 64) as usize], 1 << (number % 64));
        if *word & bit == 0 {
            self.distinct += 1;
            self.changed += u64::from(!is_right(number));
        } else {
            self.extra += 1;
        }
        *word |= bit;
    }

    fn verdict(&self) -> Verdict {
        Verdict { missing: self.records - self.distinct, extra: self.extra, changed: self.changed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_repeated_and_foreign_records_are_told_apart() {
        let mut seen = Seen::new(70);
        (0..70).filter(|number| *number != 65).for_each(|number| seen.add(Some(number), |_| true));
        assert_eq!(seen.verdict(), Verdict { missing: 1, ..Verdict::default() });
        [Some(3), Some(70), None].into_iter().for_each(|number| seen.add(number, |_| true));
        assert_eq!(seen.verdict(), Verdict { missing: 1, extra: 3, changed: 0 });
        seen.add(Some(65), |number| number != 65);
        assert_eq!(seen.verdict(), Verdict { missing: 0, extra: 3, changed: 1 });
    }

    #[test]
    fn one_id_in_the_place_of_another_is_found() {
        let right = digests(1_000);
        assert_eq!(counted(1_000, 1_000, right, 0), Verdict::default());
        let swapped = right.wrapping_sub(id_digest(b"k-0000000001")).wrapping_add(id_digest(b"k-0000000002"));
        assert_eq!(counted(1_000, 1_000, swapped, 0), Verdict { missing: 1, extra: 1, changed: 0 });
        assert_eq!(counted(1_000, 998, right, 0), Verdict { missing: 2, ..Verdict::default() });
        assert_eq!(counted(1_000, 1_003, right, 4), Verdict { missing: 0, extra: 3, changed: 4 });
    }
}
