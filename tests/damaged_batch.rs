//! Batches that cannot be read, on a real broker: bytes of its log are changed while it is stopped.
//!
//! Each topic has one partition with four batches of five records, and something is wrong with one of the batches.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use sluicegate_testkit::services::kafka::{self, KafkaOptions};
use sluicegate_testkit::services::{KafkaClient, Service};

use crate::support::bench::until;
use crate::support::own;
use crate::support::process::{Ended, Process};

const LIMIT: Duration = Duration::from_secs(180);
const BATCHES: usize = 4;
const RECORDS_A_BATCH: usize = 5;

/// Where a batch of the format version 2 keeps what (Kafka's protocol guide, "Record Batch").
const MAGIC: usize = 16;
const CRC: usize = 17;
const SUMMED: usize = 21;
const PAYLOAD: usize = 61;

/// What is wrong with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    /// A byte of a record, so that the checksum does not hold.
    Record,
    /// The checksum.
    Sum,
    /// The compressed records, though the checksum holds.
    Compressed,
    /// The number of the format.
    Format,
    /// The second half of the compressed records is zeros, though the checksum holds.
    CompressedHalf,
    /// All of it is zeros, as after a broker's machine lost power.
    Zeros,
    /// So is its head.
    ZeroHead,
    /// The first record is longer than its batch, though the checksum holds.
    Length,
    /// The third record has the number of the first, though the checksum holds.
    Numbers,
}

impl Wrong {
    /// How the message goes on that names the place.
    fn said(self, first: usize) -> String {
        match self {
            Wrong::Record
            | Wrong::Sum
            | Wrong::Compressed
            | Wrong::Format
            | Wrong::CompressedHalf
            | Wrong::Zeros
            | Wrong::ZeroHead => format!("the batch at offset {first} failed"),
            Wrong::Length => format!("the client gets nothing it can read from offset {first} on"),
            Wrong::Numbers => format!("is numbered wrong: its offsets go back to {first}"),
        }
    }
}

struct Case {
    topic: &'static str,
    compression: &'static str,
    wrong: Wrong,
    /// Which batch.
    batch: usize,
    /// Whether its end can be found, so that it can be skipped.
    can_be_skipped: bool,
}

const CASES: [Case; 13] = [
    Case { topic: "second", compression: "none", wrong: Wrong::Record, batch: 1, can_be_skipped: true },
    Case { topic: "first", compression: "none", wrong: Wrong::Record, batch: 0, can_be_skipped: true },
    Case { topic: "last", compression: "none", wrong: Wrong::Record, batch: 3, can_be_skipped: true },
    Case { topic: "sum", compression: "none", wrong: Wrong::Sum, batch: 2, can_be_skipped: true },
    Case { topic: "lz4", compression: "lz4", wrong: Wrong::Compressed, batch: 1, can_be_skipped: true },
    Case { topic: "zstd", compression: "zstd", wrong: Wrong::Compressed, batch: 2, can_be_skipped: true },
    // librdkafka says so once, at the first offset, and then asks on behind it without a word.
    Case { topic: "format", compression: "none", wrong: Wrong::Format, batch: 1, can_be_skipped: false },
    Case { topic: "gzip", compression: "gzip", wrong: Wrong::CompressedHalf, batch: 1, can_be_skipped: true },
    // The broker refuses every offset from here on, because it cannot tell where they lie.
    Case { topic: "zeros", compression: "none", wrong: Wrong::Zeros, batch: 1, can_be_skipped: true },
    Case { topic: "head", compression: "lz4", wrong: Wrong::ZeroHead, batch: 2, can_be_skipped: true },
    // The client says nothing of this one and asks again and again.
    Case { topic: "length", compression: "none", wrong: Wrong::Length, batch: 2, can_be_skipped: false },
    // Of the batch its first two records are read.
    Case { topic: "numbers-last", compression: "none", wrong: Wrong::Numbers, batch: 3, can_be_skipped: false },
    Case { topic: "numbers", compression: "none", wrong: Wrong::Numbers, batch: 1, can_be_skipped: false },
];

fn fill(brokers: &str, case: &Case) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("compression.type", case.compression);
    let producer: BaseProducer = config.create().unwrap();
    for number in 0..BATCHES * RECORDS_A_BATCH {
        let value = format!("{{\"number\":{number},\"pad\":\"{}\"}}", "x".repeat(200));
        let key = number.to_string();
        producer.send(BaseRecord::to(case.topic).partition(0).key(&key).payload(&value)).unwrap();
        if number % RECORDS_A_BATCH == RECORDS_A_BATCH - 1 {
            producer.flush(Duration::from_secs(30)).unwrap();
        }
    }
}

fn spoil(folder: &Path, case: &Case) {
    let file = folder.join(format!("{}-0", case.topic)).join("00000000000000000000.log");
    let mut bytes = fs::read(&file).unwrap();
    let mut at = 0;
    for _ in 0..case.batch {
        at += length_of(&bytes[at..]);
    }
    let length = length_of(&bytes[at..]);
    let batch = &mut bytes[at..at + length];
    match case.wrong {
        Wrong::Record => batch[PAYLOAD + 60] ^= 1,
        Wrong::Sum => batch[CRC] ^= 0x55,
        Wrong::Compressed => batch[PAYLOAD] ^= 0xff,
        Wrong::Format => batch[MAGIC] = 7,
        Wrong::CompressedHalf => batch[(PAYLOAD + length) / 2..].fill(0),
        Wrong::Zeros => batch.fill(0),
        Wrong::ZeroHead => batch[..PAYLOAD].fill(0),
        // Lengths and offsets are zigzag numbers of seven bits a byte.
        Wrong::Length => batch[PAYLOAD..PAYLOAD + 2].copy_from_slice(&[0xfe, 0x7f]),
        Wrong::Numbers => {
            let record_length = |at: usize| usize::from(batch[at] & 0x7f) | usize::from(batch[at + 1]) << 7;
            let third = (0..2).fold(PAYLOAD, |at, _| at + 2 + record_length(at) / 2);
            // Behind the length stand attributes and, of one byte here, the time since the first record's.
            assert_eq!(batch[third + 4], 4, "two, the offset since the first record's");
            batch[third + 4] = 0;
        }
    }
    let summed = [Wrong::Compressed, Wrong::CompressedHalf, Wrong::Length, Wrong::Numbers];
    if summed.contains(&case.wrong) {
        let sum = crc32c(&batch[SUMMED..]);
        batch[CRC..CRC + 4].copy_from_slice(&sum.to_be_bytes());
    }
    // In place: the broker may have the file open.
    fs::OpenOptions::new().write(true).open(&file).unwrap().write_all(&bytes).unwrap();
}

/// Bytes of the batch that begins here: what its length field says, and the two fields before.
fn length_of(batch: &[u8]) -> usize {
    12 + u32::from_be_bytes(batch[8..12].try_into().unwrap()) as usize
}

/// CRC-32C (RFC 3720, appendix B.4), which batches are summed with.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ if sum & 1 == 1 { 0x82f6_3b78 } else { 0 })
    })
}

fn yaml(brokers: &str, case: &Case, group: &str, on_damaged: &str) -> String {
    let topic = case.topic;
    format!(
        "version: 1\nconnections:\n  kafka:\n    k: {{ brokers: [\"{brokers}\"] }}\npipelines:\n  copy:\n    source:\n      \
         kafka: {{ connection: k, topics: [{topic}], group: {group}, on_damaged: {on_damaged} }}\n    sink:\n      \
         kafka: {{ connection: k, topic: {topic}-{group} }}\ntelemetry: {{ listen: \"127.0.0.1:0\" }}\n"
    )
}

struct Bench {
    kafka: Service,
    _data: tempfile::TempDir,
}

impl Bench {
    fn start() -> Result<Bench, sluicegate_testkit::services::ServiceError> {
        let data = tempfile::tempdir().unwrap();
        let properties = vec![("log.dirs".to_owned(), data.path().display().to_string())];
        let kafka = kafka::start(&KafkaOptions { properties, ..KafkaOptions::default() })?;
        let client = KafkaClient::new(&kafka);
        for case in &CASES {
            client.create_topic(case.topic, 1, &[])?;
            for group in ["hold", "skip", "stay"] {
                client.create_topic(&format!("{}-{group}", case.topic), 1, &[])?;
            }
            fill(kafka.endpoint(), case);
        }
        kafka.stop()?;
        let is_zero = |case: &&Case| [Wrong::Zeros, Wrong::ZeroHead].contains(&case.wrong);
        CASES.iter().filter(|case| !is_zero(case)).for_each(|case| spoil(data.path(), case));
        kafka.start()?;
        // A broker does not start with a batch of no length in a log that it looks through.
        CASES.iter().filter(is_zero).for_each(|case| spoil(data.path(), case));
        Ok(Bench { kafka, _data: data })
    }

    fn run(&self, case: &Case, group: &str, on_damaged: &str, arguments: &[&str]) -> Process {
        let yaml = yaml(self.kafka.endpoint(), case, group, on_damaged);
        Process::run(&format!("{} {group}", case.topic), &yaml, arguments)
    }

    /// What was committed, and the numbers of the records that came out.
    fn outcome(&self, case: &Case, group: &str) -> (Option<i64>, Vec<usize>) {
        let client = KafkaClient::new(&self.kafka);
        let out = client.read_all(&format!("{}-{group}", case.topic)).unwrap();
        let number = |key: &[u8]| String::from_utf8_lossy(key).parse().unwrap();
        let numbers = out.iter().map(|record| number(record.key.as_deref().unwrap())).collect();
        (client.committed(group, case.topic).unwrap()[0], numbers)
    }
}

fn first_offset(case: &Case) -> usize {
    case.batch * RECORDS_A_BATCH
}

/// The first offset that cannot be read.
fn place(case: &Case) -> usize {
    first_offset(case) + if case.wrong == Wrong::Numbers { 2 } else { 0 }
}

fn assert_names_the_batch(case: &Case, log: &str) {
    let place = format!("{}[0] cannot be read from offset {} on: ", case.topic, place(case));
    let said = case.wrong.said(first_offset(case));
    assert!(log.contains(&place) && log.contains(&said), "{}: {place}… {said}\n{log}", case.topic);
    assert_eq!(log.contains("set `on_damaged: skip`"), case.can_be_skipped, "{}\n{log}", case.topic);
}

#[test]
fn a_batch_that_cannot_be_read_is_never_committed_past_but_where_it_is_to_be_skipped() {
    let Some(bench) = own("damaged batch", Bench::start) else { return };
    // Beside each other: each waits for most of its time.
    let bounded: Vec<_> =
        CASES.iter().map(|case| (case, bench.run(case, "hold", "hold", &["--until", "end"]))).collect();
    let unbounded: Vec<_> = CASES.iter().map(|case| (case, bench.run(case, "stay", "hold", &[]))).collect();
    for (case, process) in bounded {
        let ended: Ended = process.wait(LIMIT).assert_code(76);
        assert_names_the_batch(case, &ended.log);
        assert_stands_before_the_batch(&bench, case, "hold");
    }
    for (case, process) in unbounded {
        look_at_one_that_stands_still(&bench, case, process);
    }
    let runs: Vec<_> = CASES.iter().map(|case| (case, bench.run(case, "skip", "skip", &["--until", "end"]))).collect();
    for (case, process) in runs {
        if !case.can_be_skipped {
            let ended = process.wait(LIMIT).assert_code(76);
            assert!(ended.log.contains("`on_damaged: skip` cannot step over it"), "{}\n{}", case.topic, ended.tail());
            assert_stands_before_the_batch(&bench, case, "skip");
            continue;
        }
        let ended = process.wait(LIMIT).assert_code(0);
        let zeros = [Wrong::Zeros, Wrong::ZeroHead].contains(&case.wrong);
        let lost = if zeros { BATCHES * RECORDS_A_BATCH } else { first_offset(case) + RECORDS_A_BATCH };
        let lost = first_offset(case)..lost;
        assert!(ended.log.contains(" offsets are skipped (`on_damaged: skip`)"), "{}\n{}", case.topic, ended.tail());
        let all = 0..BATCHES * RECORDS_A_BATCH;
        let (committed, numbers) = bench.outcome(case, "skip");
        let wanted = all.clone().filter(|number| !lost.contains(number)).collect();
        assert_eq!((committed, numbers), (Some(all.end as i64), wanted), "{}", case.topic);
    }
}

fn assert_stands_before_the_batch(bench: &Bench, case: &Case, group: &str) {
    let place = place(case);
    let (committed, numbers) = bench.outcome(case, group);
    assert_eq!((committed.unwrap_or(0), numbers), (place as i64, (0..place).collect()), "{} {group}", case.topic);
}

/// It says what is wrong, has committed what lies before it, and stops in order.
fn look_at_one_that_stands_still(bench: &Bench, case: &Case, process: Process) {
    let page = |path: &str| String::from_utf8(process.get(path).body).unwrap();
    let shown = || page("/status").contains("cannot be read from offset");
    until("the batch in /status", LIMIT, shown, || process.tail());
    let committed = || bench.outcome(case, "stay").0.unwrap_or(0) == place(case) as i64;
    until("what lies before it is committed", LIMIT, committed, || process.tail());
    let metrics = page("/metrics");
    assert!(metrics.contains("sluicegate_damaged_partitions{pipeline=\"copy\"} 1"), "{metrics}");
    assert!(!page("/status").contains("\"state\":\"running\""), "{}", page("/status"));
    process.terminate();
    let ended = process.wait(LIMIT).assert_code(0);
    assert_names_the_batch(case, &ended.log);
    assert_stands_before_the_batch(bench, case, "stay");
}
