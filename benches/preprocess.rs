//! Preprocess: the bare parse, parse and select, the steps, templates, splice, and a whole worker.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use simd_json::{Buffers, INPUT_PADDING, Tape};
use sluicegate::internals::config::plan::{
    CachePlan, ConditionPlan, LookupPlan, LookupSource, NumberTest, OnLookupError, OnMiss, Otherwise, Pointer,
    RedisConnection, RequirePlan, SelectPlan, StepKind, StepPlan, Template, TemplateSegment, Test, WherePlan,
};
use sluicegate::internals::enrich::{Enricher, Lookups};
use sluicegate::internals::model::{
    Charge, Decimal, Encode, Epoch, Kept, Offset, OwnedRecord, PartitionTable, Place, Position, Prepared, Record,
    Reject, Run, Ticket, TicketId, TopicPartition,
};
use sluicegate::internals::preprocess::tape::Parser;
use sluicegate::internals::preprocess::worker::Preprocessor;
use sluicegate::internals::preprocess::{Program, Tombstones};

use crate::input::{self, SIZES};
use crate::stage::Stage;

/// What [`SELECT`] is compared with: a copy into reused scratch and a padded tape in reused buffers.
pub const BARE: &str = "preprocess/bare";
/// `select` alone, from a record to its place in the payload.
pub const SELECT: &str = "preprocess/select";

const CASES: [&str; 7] = [BARE, "preprocess/parse", SELECT, FILTER, TEMPLATE, SPLICE, PREPARE];
const FILTER: &str = "preprocess/filter";
const TEMPLATE: &str = "preprocess/template";
const SPLICE: &str = "preprocess/splice";
const PREPARE: &str = "preprocess/prepare";

/// Every case over every size.
pub fn stages() -> impl Iterator<Item = Stage> {
    CASES.into_iter().flat_map(|name| SIZES.into_iter().map(move |bytes| stage(name, bytes)))
}

fn stage(name: &str, value_bytes: usize) -> Stage {
    let records = input::records(value_bytes);
    let (count, bytes) = (records.len() as u64, input::bytes(&records));
    let id = || template(vec![field("id")]);
    let day = || {
        template(vec![
            TemplateSegment::Literal("items-".to_owned()),
            TemplateSegment::Timestamp(Some("%Y.%m.%d".to_owned())),
        ])
    };
    let templates = || vec![id(), day(), template(vec![TemplateSegment::Key])];
    let batch = |kinds, templates: &[Template]| {
        let mut batch = Batch::new(kinds, templates, records.clone(), value_bytes);
        Box::new(move || batch.run())
    };
    let run: Box<dyn FnMut() -> usize> = match name {
        BARE => bare(records),
        SELECT => batch(vec![select()], &[]),
        FILTER => batch(vec![select(), require(), condition()], &[]),
        TEMPLATE => batch(vec![select()], &templates()),
        SPLICE => batch(vec![select(), lookup()], &[]),
        PREPARE => batch(vec![select(), require(), condition(), lookup()], &templates()),
        _ => parse(records),
    };
    Stage { group: name.to_owned(), case: value_bytes.to_string(), records: count, bytes: Some(bytes), run }
}

fn pointer(member: &str) -> Pointer {
    Pointer { members: vec![member.to_owned()] }
}

fn field(member: &str) -> TemplateSegment {
    TemplateSegment::Field { pointer: pointer(member), fallback: None }
}

fn template(segments: Vec<TemplateSegment>) -> Template {
    Template { text: "bench".to_owned(), segments }
}

fn select() -> StepKind {
    StepKind::Select(SelectPlan { pointer: pointer("result") })
}

fn require() -> StepKind {
    StepKind::Require(RequirePlan { pointers: vec![pointer("id"), pointer("user")], otherwise: Otherwise::Reject })
}

fn condition() -> StepKind {
    let positive = ConditionPlan {
        pointer: pointer("seq"),
        test: Test::Number(NumberTest::Greater, Decimal::new("0").expect("a number")),
    };
    let named = ConditionPlan { pointer: pointer("user"), test: Test::Prefix("u-".to_owned()) };
    StepKind::Where(WherePlan { conditions: vec![positive, named], otherwise: Otherwise::Drop })
}

fn lookup() -> StepKind {
    let key = template(vec![TemplateSegment::Literal("user:".to_owned()), field("user")]);
    StepKind::Lookup(Box::new(LookupPlan {
        connection: RedisConnection {
            name: "lookups".into(),
            url: "redis://127.0.0.1".into(),
            timeout: Duration::from_secs(1),
            ca_file: None,
            client: None,
            verify: true,
        },
        source: LookupSource::Keyed { key, fields: Vec::new() },
        into: pointer("user_info"),
        on_miss: OnMiss::Keep,
        on_error: OnLookupError::Retry,
        cache: CachePlan { entries: 1, bytes: 1, ttl: Duration::ZERO, miss_ttl: Duration::ZERO },
    }))
}

/// Appends what a record brings, as a sink would.
struct Append;

impl Encode for Append {
    type Item = u32;

    #[inline]
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
    fn new(kinds: Vec<StepKind>, templates: &[Template], records: Vec<OwnedRecord>, value_bytes: usize) -> Self {
        let step = |kind| StepPlan { place: "steps".into(), kind };
        let steps: Vec<_> = kinds.into_iter().map(step).collect();
        let program = Program::compile(&steps, templates, Tombstones::PassOn).expect("compiles");
        let lookups = Lookups::in_memory(vec![input::generator(value_bytes).lookup_table()]);
        let table = PartitionTable::default();
        let slot = table.slot(&TopicPartition { topic: "events".into(), partition: 0 }).expect("room");
        let epoch = Epoch::fresh();
        table.set_current(slot, epoch);
        let end = records.len() as u32;
        let ticket = Ticket { id: TicketId(0), slot, epoch };
        let run = Run { ticket, first: Offset(0), next: Position(i64::from(end)), start: 0, end };
        Self {
            preprocessor: Preprocessor::new(Arc::clone(&program), Enricher::new(lookups), Append),
            records,
            table,
            runs: vec![run],
            prepared: Prepared::empty(0, Charge::none(), Instant::now()),
        }
    }

    fn run(&mut self) -> usize {
        self.prepared.payload.clear();
        self.prepared.items.clear();
        let Self { preprocessor, records, table, runs, prepared } = self;
        let done = preprocessor.prepare(runs, &records[..], table, &|| true, prepared);
        assert!(done.is_ok() && prepared.items.len() == records.len(), "every record is kept");
        prepared.payload.len()
    }
}

fn bare(records: Vec<OwnedRecord>) -> Box<dyn FnMut() -> usize> {
    let longest = input::values(&records).map(<[u8]>::len).max().unwrap_or(0);
    let mut scratch = vec![0_u8; longest + INPUT_PADDING];
    let mut buffers = Buffers::new(longest);
    let mut kept = Tape(Vec::new());
    Box::new(move || {
        let mut nodes = 0;
        for value in input::values(&records) {
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
        for value in input::values(&records) {
            let range = parser.read(value, |doc| doc.find(doc.root(), &path).map(|found| doc.range(found)));
            bytes += range.ok().flatten().map_or(0, |range| range.len());
        }
        bytes
    })
}
