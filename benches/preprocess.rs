//! Preprocess, per record: the bare parse, parse and select, templates, splice, a whole batch; over 0.2, 1, 8 and 64 KB.
//!
//! `cargo bench --bench preprocess` measures time. Instructions do not depend on the machine's load: run the bench's binary
//! under `valgrind --tool=callgrind … count CASE BYTES RECORDS` with two numbers of records; the difference of the counts
//! divided by that of the records is one record's cost, start-up left out.

use std::collections::HashMap;
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use simd_json::{Buffers, INPUT_PADDING, Tape};
use sluicegate::config::plan::{
    CachePlan, LookupPlan, LookupSource, OnLookupError, OnMiss, Pointer, RedisConnection, Segment, StepKind, StepPlan,
    Template,
};
use sluicegate::enrich::{Enricher, Lookups};
use sluicegate::model::{
    Charge, Encode, Epoch, Kept, Offset, OwnedRecord, PartitionTable, Place, Position, Prepared, Record, Reject, Run,
    Ticket, TicketId, TopicPartition,
};
use sluicegate::preprocess::tape::Parser;
use sluicegate::preprocess::{Preprocessor, Program, Tombstones};

const SEED: u64 = 0x5106_ce6a;
const SIZES: [usize; 4] = [200, 1_000, 8_000, 64_000];
const CASES: [&str; 6] = ["bare", "parse", "select", "template", "splice", "prepare"];
/// Different records per size, so that no branch predictor learns one by heart; few enough to stay in the cache.
const RECORDS: usize = 64;

/// One record of about `bytes` bytes: most of them in `result`, as in the script this engine replaces.
fn value(random: &mut fastrand::Rng, id: usize, bytes: usize) -> String {
    let mut text = format!(
        r#"{{"meta":{{"source":"sensor-{}","ok":true}},"result":{{"id":{id},"user":{}"#,
        random.u8(..),
        random.u16(0..50)
    );
    let mut member = 0;
    while text.len() + 30 < bytes {
        text.push_str(&format!(r#","field{member}":"#));
        match random.u8(0..6) {
            0 => text.push_str(&random.u32(..).to_string()),
            1 => text.push_str(&format!("{:.3}", random.f64() * 1e4)),
            2 => text.push_str("null"),
            3 => text.push_str(&format!(r#"{{"a":{},"b":[1,2,{}]}}"#, random.u8(..), random.bool())),
            4 => text.push_str(r#""a \"quoted\" text\n""#),
            _ => {
                let length = random.usize(4..60);
                let word: String = (0..length).map(|_| random.lowercase()).collect();
                text.push_str(&format!("\"{word}\""));
            }
        }
        member += 1;
    }
    text.push_str(r#"},"version":1}"#);
    text
}

fn records(bytes: usize) -> Vec<OwnedRecord> {
    let mut random = fastrand::Rng::with_seed(SEED);
    let record = |offset: usize| OwnedRecord {
        topic: "events".to_owned(),
        partition: 0,
        offset: offset as i64,
        timestamp_ms: Some(1_700_000_000_000 + offset as i64),
        key: Some(format!("key-{offset}").into_bytes()),
        value: Some(value(&mut random, offset, bytes).into_bytes()),
        headers: Vec::new(),
    };
    (0..RECORDS).map(record).collect()
}

fn pointer(members: &[&str]) -> Pointer {
    Pointer { members: members.iter().map(|member| (*member).to_owned()).collect() }
}

fn field(member: &str) -> Segment {
    Segment::Field { pointer: pointer(&[member]), fallback: None }
}

fn template(segments: Vec<Segment>) -> Template {
    Template { text: "bench".to_owned(), segments }
}

fn select() -> StepKind {
    StepKind::Select { pointer: pointer(&["result"]) }
}

fn lookup() -> StepKind {
    let key = template(vec![Segment::Literal("user:".to_owned()), field("user")]);
    StepKind::Lookup(Box::new(LookupPlan {
        connection: RedisConnection {
            name: "lookups".into(),
            url: "redis://127.0.0.1".into(),
            timeout: Duration::from_secs(1),
        },
        source: LookupSource::Keyed { key, fields: Vec::new() },
        into: pointer(&["user_info"]),
        on_miss: OnMiss::Keep,
        on_error: OnLookupError::Retry,
        cache: CachePlan { entries: 1, bytes: 1, ttl: Duration::ZERO, miss_ttl: Duration::ZERO },
    }))
}

/// Appends what a record brings, as a sink would.
struct Append;

impl Encode for Append {
    type Item = u32;
    fn encode(&mut self, place: Place, _: &Record<'_>, kept: &Kept<'_>, payload: &mut Vec<u8>) -> Result<u32, Reject> {
        kept.rendered.iter().flatten().for_each(|text| payload.extend_from_slice(text));
        kept.value.into_iter().flatten().for_each(|piece| payload.extend_from_slice(piece));
        Ok(place.index)
    }
}

/// A whole worker over one batch.
struct Batch {
    preprocessor: Preprocessor<Append>,
    records: Vec<OwnedRecord>,
    table: PartitionTable,
    runs: Vec<Run>,
    prepared: Prepared<u32>,
}

impl Batch {
    fn new(kinds: Vec<StepKind>, templates: &[Template], records: Vec<OwnedRecord>) -> Option<Self> {
        let step = |kind| StepPlan { place: "steps".into(), kind };
        let steps: Vec<_> = kinds.into_iter().map(step).collect();
        let program = Program::compile(&steps, templates, Tombstones::PassOn).ok()?;
        let user = |user: u16| (format!("user:{user}").into_bytes(), r#"{"name":"ada","tier":"gold"}"#.into());
        let lookups = Lookups::in_memory(vec![(0..40).map(user).collect::<HashMap<_, _>>()]);
        let table = PartitionTable::default();
        let slot = table.slot(&TopicPartition { topic: "events".into(), partition: 0 })?;
        let epoch = Epoch::fresh();
        table.set_current(slot, epoch);
        let end = records.len() as u32;
        let ticket = Ticket { id: TicketId(0), slot, epoch };
        let run = Run { ticket, first: Offset(0), next: Position(i64::from(end)), start: 0, end };
        Some(Self {
            preprocessor: Preprocessor::new(Arc::clone(&program), Enricher::new(lookups), Append),
            records,
            table,
            runs: vec![run],
            prepared: Prepared::empty(0, Charge::none(), Instant::now()),
        })
    }

    /// Prepares the batch once; the payload's length, so that nothing is optimised away.
    fn run(&mut self) -> usize {
        self.prepared.payload.clear();
        self.prepared.items.clear();
        let Self { preprocessor, records, table, runs, prepared } = self;
        let done = preprocessor.prepare(runs, &records[..], table, &|| true, prepared);
        assert!(done.is_ok() && prepared.items.len() == records.len(), "every record is kept");
        prepared.payload.len()
    }
}

/// One call runs all records of a size once.
fn case(name: &str, bytes: usize) -> Option<Box<dyn FnMut() -> usize>> {
    let records = records(bytes);
    let id = || template(vec![field("id")]);
    let index = || {
        let day = Segment::Timestamp(Some("%Y.%m.%d".to_owned()));
        template(vec![Segment::Literal("items-".to_owned()), day])
    };
    let steps_and_templates = match name {
        "bare" => return Some(bare(records)),
        "parse" => return Some(parse(records)),
        "select" => (vec![select()], vec![]),
        "template" => (vec![select()], vec![id(), index(), template(vec![Segment::Key])]),
        "splice" => (vec![select(), lookup()], vec![]),
        "prepare" => (vec![select(), lookup()], vec![id(), index(), template(vec![Segment::Key])]),
        _ => return None,
    };
    let (kinds, templates) = steps_and_templates;
    let mut batch = Batch::new(kinds, &templates, records)?;
    Some(Box::new(move || batch.run()))
}

/// Copy and `fill_tape_padded` alone: what the rest is compared with.
fn bare(records: Vec<OwnedRecord>) -> Box<dyn FnMut() -> usize> {
    let longest = records.iter().filter_map(|record| Some(record.value.as_ref()?.len())).max().unwrap_or(0);
    let mut scratch = vec![0_u8; longest + INPUT_PADDING];
    let mut buffers = Buffers::new(longest);
    let mut kept = Tape(Vec::new());
    Box::new(move || {
        let mut nodes = 0;
        for value in records.iter().filter_map(|record| record.value.as_ref()) {
            scratch[..value.len()].copy_from_slice(value);
            let mut tape = std::mem::replace(&mut kept, Tape(Vec::new())).reset();
            assert!(simd_json::fill_tape_padded(&mut scratch, value.len(), &mut buffers, &mut tape).is_ok(), "valid");
            nodes += black_box(&tape).0.len();
            kept = tape.reset();
        }
        nodes
    })
}

/// Our parser, and the range of one member.
fn parse(records: Vec<OwnedRecord>) -> Box<dyn FnMut() -> usize> {
    let mut parser = Parser::default();
    let path = ["result".to_owned()];
    Box::new(move || {
        let mut bytes = 0;
        for value in records.iter().filter_map(|record| record.value.as_ref()) {
            let range = parser.read(value, |doc| doc.find(doc.root(), &path).map(|found| doc.range(found)));
            bytes += range.ok().flatten().map_or(0, |range| range.len());
        }
        bytes
    })
}

fn measure(criterion: &mut Criterion) {
    for name in CASES {
        for bytes in SIZES {
            let total: usize = records(bytes).iter().filter_map(|record| Some(record.value.as_ref()?.len())).sum();
            let mut group = criterion.benchmark_group(format!("preprocess/{name}"));
            group.throughput(Throughput::ElementsAndBytes { elements: RECORDS as u64, bytes: total as u64 });
            if let Some(mut run) = case(name, bytes) {
                group.bench_function(BenchmarkId::from_parameter(bytes), |bencher| bencher.iter(&mut run));
            }
            group.finish();
        }
    }
}

/// `count CASE BYTES RECORDS`: runs a case over at least this many records, for an instruction counter.
fn count(arguments: &[String]) -> Option<ExitCode> {
    let [name, bytes, wanted] = arguments else { return None };
    let (bytes, wanted) = (bytes.parse::<usize>().ok()?, wanted.parse::<usize>().ok()?);
    let mut run = case(name, bytes)?;
    let sum: usize = (0..wanted.div_ceil(RECORDS)).map(|_| run()).sum();
    println!("{}", black_box(sum));
    Some(ExitCode::SUCCESS)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(("count", rest)) = arguments.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return count(rest).unwrap_or_else(|| {
            eprintln!("count CASE BYTES RECORDS, with CASE one of {}", CASES.join(" "));
            ExitCode::from(2)
        });
    }
    let mut criterion = Criterion::default().configure_from_args();
    measure(&mut criterion);
    criterion.final_summary();
    ExitCode::SUCCESS
}
