//! A pipeline without threads and servers: its program and its sink's encoder over records at hand, for `test` and
//! `try`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use crate::config::plan::{PipelinePlan, SinkPlan};
use crate::enrich::{Enricher, LookupStop, Lookups};
use crate::librdkafka::producer::message::headers;
use crate::model::{
    Charge, Encode, Epoch, Exit, Halt, ItemPath, Kept, Offset, OwnedRecord, PartitionId, PartitionTable, Place,
    Position, Prepared, Record, Reject, Run, Ticket, TicketId, TopicPartition,
};
use crate::preprocess::Program;
use crate::preprocess::program::CompileError;
use crate::preprocess::steps::STACK_BYTES;
use crate::preprocess::worker::Preprocessor;
use crate::sink::elasticsearch::{BulkEncoder, BulkItem, ItemAction};
use crate::sink::kafka::{KafkaEncoder, KafkaItem};

use super::program;

/// What became of a record, or of one item of it.
#[derive(Debug, Clone, PartialEq)]
pub enum OfflineEnd {
    /// It would be sent.
    Sent(SinkOutput),
    /// A rule dropped it.
    Dropped,
    /// It can never be sent.
    Rejected {
        /// Which item of its record it is.
        item: ItemPath,
        /// Why.
        reject: Reject,
    },
}

/// What would be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkOutput {
    /// The value after all steps; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// What the sink makes of it.
    pub form: SinkForm,
}

/// What a sink makes of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkForm {
    /// A record of a topic.
    Kafka {
        /// The topic.
        topic: String,
        /// The key; `None` is a null key.
        key: Option<Vec<u8>>,
        /// Headers, in order.
        headers: Vec<(String, Option<Vec<u8>>)>,
    },
    /// An entry of a bulk request.
    Elasticsearch {
        /// Action line and, where there is one, the line behind it; each with its line end.
        lines: Vec<u8>,
        /// The index in the request's path; `None` where the action line names it.
        index: Option<String>,
    },
}

/// A compiled pipeline.
pub struct OfflinePipeline {
    plan: PipelinePlan,
    program: Arc<Program>,
}

/// One pipeline with its look-ups, ready for records.
pub struct OfflineRun {
    table: PartitionTable,
    ticket: Ticket,
    bench: Workbench,
    /// Whether steps run programs, which need a large stack.
    runs_programs: bool,
}

enum Workbench {
    Kafka(Box<Preprocessor<Watched<KafkaEncoder>>>, Option<String>),
    Elasticsearch(Box<Preprocessor<Watched<BulkEncoder>>>, Option<String>),
}

impl OfflinePipeline {
    /// Compiles a pipeline.
    ///
    /// # Errors
    /// The first step or template that cannot be compiled.
    pub fn new(plan: &PipelinePlan) -> Result<Self, CompileError> {
        Ok(Self { program: program::compile(plan)?, plan: plan.clone() })
    }

    /// The same with these look-ups.
    #[must_use]
    pub fn with(&self, lookups: Arc<Lookups>) -> OfflineRun {
        let table = PartitionTable::default();
        let name = TopicPartition { topic: "offline".into(), partition: 0 };
        let (slot, epoch) = (table.slot(&name).unwrap_or(PartitionId(0)), Epoch::fresh());
        table.set_current(slot, epoch);
        let (program, limits) = (&self.program, (self.plan.value_bytes, self.plan.most_items));
        let bench = match &self.plan.sink {
            SinkPlan::Kafka(sink) => {
                let constant = sink.topic.fixed_text();
                Workbench::Kafka(Box::new(preprocessor(program, lookups, KafkaEncoder::new(sink), limits)), constant)
            }
            SinkPlan::Elasticsearch(sink) => {
                let constant = sink.index.fixed_text();
                let encoder = BulkEncoder::new(sink);
                Workbench::Elasticsearch(Box::new(preprocessor(program, lookups, encoder, limits)), constant)
            }
        };
        let runs_programs = self.plan.runs_programs();
        OfflineRun { table, ticket: Ticket { id: TicketId(0), slot, epoch }, bench, runs_programs }
    }
}

fn preprocessor<E: Encode>(
    program: &Arc<Program>,
    lookups: Arc<Lookups>,
    encoder: E,
    (value_bytes, most_items): (usize, u32),
) -> Preprocessor<Watched<E>> {
    Preprocessor::new(program.clone(), Enricher::new(lookups), Watched(encoder))
        .with_value_limit(value_bytes)
        .with_item_limit(most_items)
}

impl OfflineRun {
    /// What becomes of each record, in order: one end a record, or one an item where a step makes several of it.
    ///
    /// # Errors
    /// A look-up that says the pipeline must halt.
    pub fn ends(&mut self, records: &[OwnedRecord]) -> Result<Vec<Vec<OfflineEnd>>, Halt> {
        if !self.runs_programs {
            return self.ends_here(records);
        }
        let halt = |what: &str| Halt { exit: Exit::Failure, message: format!("the thread for programs {what}") };
        std::thread::scope(|scope| {
            let builder = std::thread::Builder::new().name("steps".to_owned()).stack_size(STACK_BYTES);
            let thread = builder
                .spawn_scoped(scope, || self.ends_here(records))
                .map_err(|error| halt(&format!("could not be started: {error}")))?;
            thread.join().unwrap_or_else(|_| Err(halt("panicked: this is a bug")))
        })
    }

    /// The same on the stack at hand.
    fn ends_here(&mut self, records: &[OwnedRecord]) -> Result<Vec<Vec<OfflineEnd>>, Halt> {
        let end = u32::try_from(records.len()).unwrap_or(u32::MAX);
        let (first, next) = (Offset(0), Position(i64::from(end)));
        let run = Run { ticket: self.ticket, first, next, start: 0, end };
        let mut gathered = Gathered { ends: records.iter().map(|_| Vec::new()).collect(), ..Gathered::default() };
        match &mut self.bench {
            Workbench::Kafka(preprocessor, topic) => {
                let prepared = prepare(preprocessor, run, records, &self.table)?;
                gathered.take(prepared, |item, payload| (item.place, Some(of_kafka(&item, topic.as_deref(), payload))));
            }
            Workbench::Elasticsearch(preprocessor, index) => {
                let prepared = prepare(preprocessor, run, records, &self.table)?;
                gathered.take(prepared, |item, payload| (item.place, of_bulk(&item, index.as_deref(), payload)));
            }
        }
        gathered.finish()
    }
}

/// What became of records and their items.
#[derive(Default)]
struct Gathered {
    ends: Vec<Vec<(ItemPath, OfflineEnd)>>,
    /// Items that steps made of records, by the record's index.
    items: BTreeMap<usize, usize>,
    /// Records and items that steps dropped.
    dropped: usize,
}

impl Gathered {
    /// Takes in a batch. `form` tells where an item stands, and what is sent of it; nothing where the sink itself drops
    /// it.
    fn take<I>(&mut self, prepared: Prepared<WatchedItem<I>>, form: impl Fn(I, &[u8]) -> (Place, Option<SinkForm>)) {
        let payload = prepared.payload;
        for WatchedItem { item, value } in prepared.items {
            let (place, form) = form(item, &payload);
            let sent = |form| OfflineEnd::Sent(SinkOutput { value, form });
            self.add(place, form.map_or(OfflineEnd::Dropped, sent));
        }
        for rejected in prepared.rejects {
            self.add(rejected.place, OfflineEnd::Rejected { item: rejected.place.item, reject: rejected.reject });
        }
        self.items = prepared.splits.iter().map(|(index, split)| (*index as usize, split.items as usize)).collect();
        self.dropped = prepared.ended.iter().map(|part| part.records as usize).sum();
    }

    fn add(&mut self, place: Place, end: OfflineEnd) {
        if let Some(of_record) = self.ends.get_mut(place.index as usize) {
            of_record.push((place.item, end));
        }
    }

    /// The ends of each record, items in their order. Items that were dropped are not among those of a record of which
    /// others were not.
    fn finish(self) -> Result<Vec<Vec<OfflineEnd>>, Halt> {
        let silent = |(index, ends): (usize, &Vec<(ItemPath, OfflineEnd)>)| {
            self.items.get(&index).map_or(usize::from(ends.is_empty()), |items| items.saturating_sub(ends.len()))
        };
        let silent: usize = self.ends.iter().enumerate().map(silent).sum();
        if silent != self.dropped {
            let message = format!("{silent} records have no output, {} were dropped: this is a bug", self.dropped);
            return Err(Halt { exit: Exit::Failure, message });
        }
        let in_order = |mut ends: Vec<(ItemPath, OfflineEnd)>| {
            ends.sort_by_key(|(item, _)| *item);
            ends.retain(|(item, end)| item.is_whole() || *end != OfflineEnd::Dropped);
            let mut ends: Vec<OfflineEnd> = ends.into_iter().map(|(_, end)| end).collect();
            if ends.is_empty() {
                ends.push(OfflineEnd::Dropped);
            }
            ends
        };
        Ok(self.ends.into_iter().map(in_order).collect())
    }
}

fn prepare<E: Encode>(
    preprocessor: &mut Preprocessor<E>,
    run: Run,
    records: &[OwnedRecord],
    table: &PartitionTable,
) -> Result<Prepared<E::Item>, Halt> {
    let mut prepared = Prepared::empty(0, Charge::none(), Instant::now());
    match preprocessor.prepare(&[run], records, table, &|| true, &mut prepared) {
        Ok(()) => Ok(prepared),
        Err(LookupStop::Halt(halt)) => Err(halt),
        Err(LookupStop::Interrupted) => {
            let message = "a look-up was given up although nobody asked for that: this is a bug".to_owned();
            Err(Halt { exit: Exit::Failure, message })
        }
    }
}

fn of_kafka(item: &KafkaItem, constant: Option<&str>, payload: &[u8]) -> SinkForm {
    let of = |span: Option<crate::librdkafka::producer::message::Span>| span.and_then(|span| span.of(payload));
    let named = of(item.topic).map(|name| String::from_utf8_lossy(name).into_owned());
    let listed = headers(of(item.message.headers).unwrap_or_default());
    let owned =
        |(name, value): (&[u8], Option<&[u8]>)| (String::from_utf8_lossy(name).into_owned(), value.map(<[u8]>::to_vec));
    SinkForm::Kafka {
        topic: named.or_else(|| constant.map(str::to_owned)).unwrap_or_default(),
        key: of(item.message.key).map(<[u8]>::to_vec),
        headers: listed.flatten().map(owned).collect(),
    }
}

fn of_bulk(item: &BulkItem, constant: Option<&str>, payload: &[u8]) -> Option<SinkForm> {
    match item.action {
        ItemAction::Drop => None,
        ItemAction::Index | ItemAction::Create | ItemAction::Update | ItemAction::Delete => {
            let lines = payload.get(item.start as usize..item.end as usize).unwrap_or_default().to_vec();
            Some(SinkForm::Elasticsearch { lines, index: constant.map(str::to_owned) })
        }
    }
}

/// An encoder that also shows the value it was given.
struct Watched<E>(E);

struct WatchedItem<I> {
    item: I,
    value: Option<Vec<u8>>,
}

impl<E: Encode> Encode for Watched<E> {
    type Item = WatchedItem<E::Item>;

    fn encode(
        &mut self,
        place: Place,
        record: &Record<'_>,
        kept: &Kept<'_>,
        payload: &mut Vec<u8>,
    ) -> Result<Self::Item, Reject> {
        let item = self.0.encode(place, record, kept, payload)?;
        Ok(WatchedItem { item, value: kept.value.map(<[&[u8]]>::concat) })
    }
}
