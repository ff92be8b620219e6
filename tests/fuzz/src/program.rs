//! Steps and templates of a configuration, run over one record.

use std::collections::HashMap;
use std::time::Instant;

use bytes::Bytes;
use sluicegate::internals::config::plan::{Pointer, StepPlan, Template};
use sluicegate::internals::config::{Surroundings, load_text};
use sluicegate::internals::enrich::{Enricher, Lookups};
use sluicegate::internals::model::{
    Charge, Encode, Epoch, Kept, Offset, OwnedRecord, PartitionTable, Place, Position, Prepared, Record, Reject, Run,
    Ticket, TicketId, TopicPartition,
};
use sluicegate::internals::preprocess::worker::Preprocessor;
use sluicegate::internals::preprocess::{Program, Tombstones};

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Kept: the value as it would travel, and the rendered templates.
    Kept(Option<Vec<u8>>, Vec<Option<Vec<u8>>>),
    /// Dropped by a rule.
    Dropped,
    /// Rejected, and why.
    Rejected(Reject),
}

/// An encoder that keeps what it is given.
pub struct Keep;

impl Encode for Keep {
    type Item = (Option<Vec<u8>>, Vec<Option<Vec<u8>>>);
    fn encode(&mut self, _: Place, _: &Record<'_>, kept: &Kept<'_>, _: &mut Vec<u8>) -> Result<Self::Item, Reject> {
        let rendered = kept.rendered.iter().map(|bytes| bytes.map(<[u8]>::to_vec)).collect();
        Ok((kept.value.map(<[&[u8]]>::concat), rendered))
    }
}

/// A worker's preprocessor and what it needs around it.
pub struct Bench {
    preprocessor: Preprocessor<Keep>,
    table: PartitionTable,
    ticket: Ticket,
}

impl Bench {
    /// `steps` with look-ups answered by `tables`.
    pub fn new(steps: &[StepPlan], templates: &[Template], tables: Vec<HashMap<Vec<u8>, Bytes>>) -> Option<Self> {
        let program = Program::compile(steps, templates, Tombstones::PassOn).ok()?;
        let preprocessor = Preprocessor::new(program, Enricher::new(Lookups::in_memory(tables)), Keep);
        let table = PartitionTable::default();
        let slot = table.slot(&TopicPartition { topic: "events".into(), partition: 0 }).expect("room");
        let ticket = Ticket { id: TicketId(1), slot, epoch: Epoch(1) };
        table.set_current(slot, ticket.epoch);
        Some(Self { preprocessor, table, ticket })
    }

    /// Runs one record through.
    pub fn run(&mut self, record: OwnedRecord) -> End {
        let run = Run {
            ticket: self.ticket,
            first: Offset(record.offset),
            next: Position(record.offset + 1),
            start: 0,
            end: 1,
        };
        let mut prepared = Prepared::empty(0, Charge::none(), Instant::now());
        let records = [record];
        self.preprocessor.prepare(&[run], &records[..], &self.table, &|| true, &mut prepared).expect("in memory");
        let ends = prepared.items.len() + prepared.rejects.len() + prepared.ended.len();
        assert_eq!(ends, 1, "a record ends exactly once");
        match (prepared.items.pop(), prepared.rejects.pop()) {
            (Some((value, rendered)), _) => End::Kept(value, rendered),
            (None, Some(rejected)) => End::Rejected(rejected.reject),
            (None, None) => End::Dropped,
        }
    }
}

/// The steps of a pipeline written as YAML, each look-up with connection `l`.
pub fn steps(yaml: &str) -> Vec<StepPlan> {
    let text = format!(
        "connections:\n  kafka: {{ k: {{ brokers: [\"h:1\"] }} }}\n  redis: {{ l: {{ url: \"redis://h:1\" }} }}\npipelines:\n  p:\n    \
         source: {{ kafka: {{ connection: k, topics: [t], group: g }} }}\n    steps: {yaml}\n    \
         sink: {{ kafka: {{ connection: k, topic: out }} }}\n"
    );
    let around = Surroundings { environment: &|_| None, property: &|_, _| Ok(()), tls: false, cores: 1 };
    let mut loaded = load_text(&text, "fuzz.yaml", around).unwrap_or_else(|findings| panic!("{findings}"));
    loaded.plan.pipelines.remove(0).steps
}

/// A pointer from its members.
pub fn pointer(members: &[&str]) -> Pointer {
    Pointer { members: members.iter().map(|&member| member.to_owned()).collect() }
}

/// A record of topic `events`.
pub fn record(key: Option<&[u8]>, value: Option<&[u8]>) -> OwnedRecord {
    OwnedRecord {
        topic: "events".to_owned(),
        partition: 3,
        offset: 77,
        timestamp_ms: Some(1_700_000_000_000),
        key: key.map(<[u8]>::to_vec),
        value: value.map(<[u8]>::to_vec),
        headers: vec![("h".to_owned(), Some(b"head".to_vec())), ("n".to_owned(), None)],
    }
}
