//! Preprocess: the bare parse, parse and select, the steps, templates, splice, and a whole worker.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use simd_json::{Buffers, INPUT_PADDING, Tape};
use sluicegate::internals::config::plan::{StepPlan, Template};
use sluicegate::internals::config::{Surroundings, load_text, parse_template};
use sluicegate::internals::enrich::{Enricher, Lookups};
use sluicegate::internals::model::{
    Charge, Encode, Epoch, Kept, Offset, OwnedRecord, PartitionTable, Place, Position, Prepared, Record, Reject, Run,
    Ticket, TicketId, TopicPartition,
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

const CASES: [&str; 14] = [
    BARE,
    "preprocess/parse",
    SELECT,
    FILTER,
    TEMPLATE,
    SPLICE,
    PREPARE,
    DROP,
    KEEP,
    RENAME,
    SET,
    TEN_CHANGES,
    EXPLODE,
    JQ,
];
const DROP: &str = "preprocess/drop";
const KEEP: &str = "preprocess/keep";
const RENAME: &str = "preprocess/rename";
const SET: &str = "preprocess/set";
/// Five items of a record.
const EXPLODE: &str = "preprocess/explode";
/// What [`SET`] does, by a program.
const JQ: &str = "preprocess/jq";
/// Ten steps that change the record, in one program.
const TEN_CHANGES: &str = "preprocess/ten_changes";
const FILTER: &str = "preprocess/filter";
const TEMPLATE: &str = "preprocess/template";
const SPLICE: &str = "preprocess/splice";
const PREPARE: &str = "preprocess/prepare";

/// Steps as a configuration writes them.
const RESULT: &str = "{ select: /result }";
const REQUIRE: &str = "{ require: [/id, /user] }";
const WHERE: &str = "{ where: [{ field: /seq, greater_than: 0 }, { field: /user, prefix: u- }] }";
const LOOKUP: &str = "{ lookup: { redis: l, key: \"user:{/user}\", into: /user_info } }";

const TEN: [&str; 11] = [
    RESULT,
    "{ rename: { /user: /owner } }",
    "{ set: { /label: \"{/owner}-{/seq}\" } }",
    "{ drop: /seq }",
    "{ set: { /meta/source: bench } }",
    "{ rename: { /label: /meta/label } }",
    "{ set: { /copy: \"{/owner}\" } }",
    "{ drop: /meta/source }",
    "{ rename: { /id: /key } }",
    "{ set: { /version: 3 } }",
    "{ drop: /copy }",
];

/// Every case over every size.
pub fn stages() -> impl Iterator<Item = Stage> {
    CASES.into_iter().flat_map(|name| SIZES.into_iter().map(move |bytes| stage(name, bytes)))
}

fn stage(name: &str, value_bytes: usize) -> Stage {
    let records = input::records(value_bytes);
    let (count, bytes) = (records.len() as u64, input::bytes(&records));
    let templates = || ["{/id}", "items-{timestamp:%Y.%m.%d}", "{key}"].map(template);
    let batch = |written: &[&str], templates: &[Template]| {
        let mut batch = Batch::new(&steps(written), templates, records.clone(), value_bytes);
        Box::new(move || batch.run())
    };
    let run: Box<dyn FnMut() -> usize> = match name {
        BARE => bare(records),
        SELECT => batch(&[RESULT], &[]),
        FILTER => batch(&[RESULT, REQUIRE, WHERE], &[]),
        TEMPLATE => batch(&[RESULT], &templates()),
        SPLICE => batch(&[RESULT, LOOKUP], &[]),
        DROP => batch(&[RESULT, "{ drop: /seq }"], &[]),
        KEEP => batch(&[RESULT, "{ keep: [/id, /user, /seq] }"], &[]),
        RENAME => batch(&[RESULT, "{ rename: { /user: /owner } }"], &[]),
        SET => batch(&[RESULT, "{ set: { /label: \"{/user}-{/seq}\" } }"], &[]),
        TEN_CHANGES => batch(&TEN, &[]),
        EXPLODE => batch(
            &[
                RESULT,
                "{ set: { /parts: [{}, {}, {}, {}, {}] } }",
                "{ explode: { from: /parts, with: [/id, /user], index_into: /part } }",
            ],
            &[],
        ),
        JQ => batch(&[RESULT, "{ jq: '.label = \"\\(.user)-\\(.seq)\"' }"], &[]),
        PREPARE => batch(&[RESULT, REQUIRE, WHERE, LOOKUP], &templates()),
        _ => parse(records),
    };
    Stage { group: name.to_owned(), case: value_bytes.to_string(), records: count, bytes: Some(bytes), run }
}

fn template(text: &str) -> Template {
    parse_template(text).expect("a template")
}

/// The plan of steps as a configuration writes them.
fn steps(written: &[&str]) -> Vec<StepPlan> {
    let text = format!(
        "connections:\n  kafka: {{ k: {{ brokers: [\"h:1\"] }} }}\n  redis: {{ l: {{ url: \"redis://h:1\" }} }}\npipelines:\n  p:\n    \
         source: {{ kafka: {{ connection: k, topics: [t], group: g }} }}\n    steps: [{}]\n    \
         sink: {{ kafka: {{ connection: k, topic: out }} }}\n",
        written.join(", ")
    );
    let around = Surroundings { environment: &|_| None, property: &|_, _| Ok(()), tls: false, cores: 1 };
    let mut loaded = load_text(&text, "benches.yaml", around).unwrap_or_else(|findings| panic!("{findings}"));
    loaded.plan.pipelines.remove(0).steps
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
    fn new(steps: &[StepPlan], templates: &[Template], records: Vec<OwnedRecord>, value_bytes: usize) -> Self {
        let program = Program::compile(steps, templates, Tombstones::PassOn).expect("compiles");
        let lookups = Lookups::in_memory(vec![input::generator(value_bytes).lookup_table()]);
        let table = PartitionTable::default();
        let slot = table.slot(&TopicPartition { topic: "events".into(), partition: 0 }).expect("room");
        let epoch = Epoch(1);
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
        self.prepared.splits.clear();
        let Self { preprocessor, records, table, runs, prepared } = self;
        let done = preprocessor.prepare(runs, &records[..], table, &|| true, prepared);
        assert!(done.is_ok() && prepared.items.len() >= records.len(), "every record is kept");
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
