//! Races between source, workers and the sink's intake: both ends of the pipe are real, the sink is the test.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sluicegate::internals::enrich::{Enricher, Lookups};
use sluicegate::internals::model::{
    Encode, Kept, Offset, Outcome, Part, Place, Prepared, Record, Reject, Report, RewindCause,
};
use sluicegate::internals::preprocess::worker::{Preprocessor, Worker};
use sluicegate::internals::preprocess::{Program, Tombstones};
use sluicegate::internals::sink::sequencer::Sequencer;
use sluicegate_testkit::services::KafkaClient;

use super::plans;
use super::source_rig::{Options, SourceRig, TOPIC, cluster};
use super::waiting::{LIMIT, padded, wait_until};

const RING: u64 = 8;
const RECORDS: i64 = 3_000;

/// Panics once, at this offset.
#[derive(Clone)]
struct Fragile(Option<Offset>, Arc<AtomicBool>);

impl Encode for Fragile {
    type Item = Place;

    fn encode(&mut self, place: Place, _: &Record<'_>, _: &Kept<'_>, _: &mut Vec<u8>) -> Result<Place, Reject> {
        let strikes = self.0 == Some(place.offset) && !self.1.swap(true, Ordering::AcqRel);
        assert!(!strikes, "on purpose: offset {} spoils its worker", place.offset);
        Ok(place)
    }
}

fn worker(rig: &SourceRig, encoder: Fragile, intake: flume::Sender<Prepared<Place>>) -> Worker<Fragile> {
    let plan = plans::pipeline("", TOPIC, "", plans::relay("", TOPIC));
    let program = Program::compile(&plan.steps, &[], Tombstones::PassOn).expect("a program");
    Worker {
        batches: rig.batches.clone(),
        intake,
        make: Box::new(move || {
            let enricher = Enricher::new(Lookups::in_memory(Vec::new()));
            Preprocessor::new(program.clone(), enricher, encoder.clone())
        }),
        pipeline: rig.pipeline.clone(),
        reports: rig.reports.clone(),
        keep_originals: false,
    }
}

/// Takes everything in sequence and settles it; a lost ticket rewinds its partition. Ends when all offsets came.
/// Returns the sequence numbers that came without a record.
fn sink(rig: &SourceRig, intake: &flume::Receiver<Prepared<Place>>) -> Vec<u64> {
    let mut ring = Sequencer::new(RING as usize);
    let (mut empty, mut next) = (Vec::new(), 0);
    while next < RECORDS {
        let prepared = intake.recv_timeout(LIMIT).expect("the next sequence number");
        ring.insert(prepared.sequence, prepared).expect("every number comes once");
        while let Some(prepared) = ring.pop() {
            prepared.lost.iter().for_each(|ticket| rig.pipeline.table.bar(ticket.slot, ticket.epoch));
            if !prepared.lost.is_empty() {
                rig.reports.send(Report::Rewind { tickets: prepared.lost, cause: RewindCause::Lost });
            }
            if prepared.items.is_empty() {
                empty.push(prepared.sequence);
            }
            let mut parts: BTreeMap<_, Part> = BTreeMap::new();
            let wanted = |item: &&Place| rig.pipeline.table.is_current(item.ticket.slot, item.ticket.epoch);
            for place in prepared.items.iter().filter(wanted) {
                let part = Part::of_records(place.ticket, Outcome::Delivered, 0);
                parts.entry(place.ticket.id).or_insert(part).records += 1;
                assert_eq!(place.offset.0, next, "a hole, or a repetition within an epoch");
                next += 1;
            }
            rig.reports.send(Report::Settled(parts.into_values().collect()));
            rig.release(prepared.sequence);
        }
    }
    empty
}

#[test]
fn a_panicking_worker_leaves_no_hole_in_the_sequence_and_its_records_come_again() {
    let kafka = cluster(1);
    KafkaClient::at(kafka.brokers()).produce(TOPIC, padded(0, 0, RECORDS)).unwrap();
    let rig = SourceRig::start(&kafka, &Options { ring: RING, ..Options::default() });
    let (prepared, intake) = flume::bounded(RING as usize);
    let struck = Arc::new(AtomicBool::new(false));
    let encoder = Fragile(Some(Offset(777)), struck.clone());
    let start = |_| {
        let worker = worker(&rig, encoder.clone(), prepared.clone());
        std::thread::spawn(move || worker.run())
    };
    let workers = [0, 1].map(start);
    let empty = sink(&rig, &intake);
    assert!(struck.load(Ordering::Acquire) && !empty.is_empty());
    assert!(rig.pipeline.metrics.rewind(RewindCause::Lost).get() >= 1);
    wait_until("everything is committed", || rig.committed() == [Some(RECORDS)]);
    assert!(rig.drain().committed);
    workers.into_iter().for_each(|worker| worker.join().expect("a worker outlives a panic of its batch"));
}

#[test]
fn batches_fenced_before_their_worker_took_them_still_pass_the_ring() {
    let kafka = cluster(1);
    KafkaClient::at(kafka.brokers()).produce(TOPIC, padded(0, 0, RECORDS)).unwrap();
    let rig = SourceRig::start(&kafka, &Options { ring: RING, ..Options::default() });
    wait_until("the ring is full", || rig.batches.len() == RING as usize);
    let first = rig.take();
    rig.rewind(&first.runs[0]);
    wait_until("rewound", || !rig.is_current(&first.runs[0]));
    let (prepared, intake) = flume::bounded(RING as usize);
    // The batch already taken belongs to a worker too: it comes out empty, as the others do.
    prepared.send(Prepared::empty(first.sequence, first.charge, first.polled)).unwrap();
    drop((first.messages, first.runs));
    let worker = worker(&rig, Fragile(None, Arc::default()), prepared);
    let worker = std::thread::spawn(move || worker.run());
    assert_eq!(sink(&rig, &intake), (0..RING).collect::<Vec<_>>());
    wait_until("everything is committed", || rig.committed() == [Some(RECORDS)]);
    assert!(rig.drain().committed);
    worker.join().expect("no panic");
}
