//! The real source on a mock cluster, with the test in the place of workers and sink: it takes the batches and decides
//! what is settled, rewound, or left open, and when there is room.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use sluicegate::internals::config::plan::PipelinePlan;
use sluicegate::internals::librdkafka::RecordBatch;
use sluicegate::internals::model::{Outcome, Part, PartitionId, Report, ReportSender, RewindCause, Run, Sequence};
use sluicegate::internals::source::{InFlight, Source, SourceContext, SourceEnd, Until};
use sluicegate::internals::telemetry::handles::Handles;
use sluicegate::internals::testbed::kafka::MockKafka;
use sluicegate_testkit::services::KafkaClient;

use super::plans;
use super::waiting::LIMIT;

pub const TOPIC: &str = "t";
pub const GROUP: &str = "g";

/// How much room the source has, and how it runs.
pub struct Options {
    /// Batches that may be out.
    pub ring: u64,
    pub span: usize,
    pub until_end: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { ring: 64, span: 200_000, until_end: false }
    }
}

/// A sink that never has anything in flight.
struct NothingInFlight;

impl InFlight for NothingInFlight {
    fn ask(&self, _slot: PartitionId) {}

    fn is_quiet(&self, _slot: PartitionId) -> bool {
        true
    }

    fn purge(&self) {}
}

pub struct SourceRig {
    pub batches: flume::Receiver<RecordBatch>,
    pub reports: ReportSender,
    pub released: Arc<AtomicU64>,
    pub pipeline: Arc<Handles>,
    thread: JoinHandle<SourceEnd>,
    kafka: KafkaClient,
}

/// A cluster with [`TOPIC`].
pub fn cluster(partitions: i32) -> MockKafka {
    MockKafka::start(&[(TOPIC, partitions)]).expect("a mock cluster")
}

impl SourceRig {
    pub fn start(kafka: &MockKafka, options: &Options) -> Self {
        let mut plan: PipelinePlan =
            plans::pipeline(kafka.brokers(), TOPIC, GROUP, plans::relay(kafka.brokers(), TOPIC));
        plan.span_records = options.span;
        let plan = Arc::new(plan);
        let pipeline = Handles::new(&plan.name, plan.memory.0, Arc::default());
        let (send, batches) = flume::bounded(options.ring as usize + 1);
        let (report, reports) = flume::bounded(4096);
        let released: Arc<AtomicU64> = Arc::default();
        let context = SourceContext {
            plan,
            pipeline: pipeline.clone(),
            reports,
            batches: send,
            released: Arc::clone(&released),
            ring: options.ring,
            view: Arc::default(),
            in_flight: Arc::new(NothingInFlight),
            until: options.until_end.then_some(Until::End),
            dry_run: false,
        };
        let source = Source::open(context).expect("a source");
        let thread = std::thread::spawn(move || source.run());
        let (kafka, reports) = (KafkaClient::at(kafka.brokers()), ReportSender::new(report, pipeline.wake.clone()));
        Self { batches, reports, released, pipeline, thread, kafka }
    }

    /// The next batch; room is not given back.
    pub fn take(&self) -> RecordBatch {
        self.batches.recv_timeout(LIMIT).expect("a batch in time")
    }

    /// No batch comes for this long.
    pub fn nothing_for(&self, time: Duration) {
        if let Ok(batch) = self.batches.recv_timeout(time) {
            panic!("unexpected records: {:?}", self.offsets(&batch));
        }
    }

    /// Room for what comes after this batch.
    pub fn release(&self, sequence: Sequence) {
        self.released.fetch_max(sequence + 1, Ordering::AcqRel);
        self.pipeline.wake.wake();
    }

    pub fn partition(&self, run: &Run) -> i32 {
        self.pipeline.table.name(run.ticket.slot).expect("a known partition").partition
    }

    /// Whether the run belongs to the present epoch of its partition.
    pub fn is_current(&self, run: &Run) -> bool {
        self.pipeline.table.is_current(run.ticket.slot, run.ticket.epoch)
    }

    /// Partition and offset of every record of the present epoch.
    pub fn offsets(&self, batch: &RecordBatch) -> Vec<(i32, i64)> {
        let current = batch.runs.iter().filter(|run| self.is_current(run));
        current
            .flat_map(|run| {
                let partition = self.partition(run);
                (run.start..run.end).map(move |at| (partition, batch.messages.offset(at as usize)))
            })
            .collect()
    }

    pub fn settle(&self, runs: &[Run]) {
        let parts = runs.iter().map(|run| Part::of_records(run.ticket, Outcome::Delivered, run.records()));
        self.reports.send(Report::Settled(parts.collect()));
    }

    pub fn rewind(&self, run: &Run) {
        self.reports.send(Report::Rewind { tickets: vec![run.ticket], cause: RewindCause::Lost });
    }

    /// Takes, settles and releases batches until this many different records of present epochs were seen. Checks that
    /// each partition goes on without a hole from where `next` says, or begins at any offset where it says nothing.
    pub fn take_in_order(&self, next: &mut BTreeMap<i32, i64>, records: usize) {
        let mut seen = 0;
        while seen < records {
            let batch = self.take();
            for (partition, offset) in self.offsets(&batch) {
                let expected = next.entry(partition).or_insert(offset);
                assert_eq!(*expected, offset, "partition {partition} has a hole or a repetition");
                *expected += 1;
                seen += 1;
            }
            self.settle(&batch.runs);
            self.release(batch.sequence);
        }
    }

    /// Committed positions of the group.
    pub fn committed(&self) -> Vec<Option<i64>> {
        self.kafka.committed(GROUP, TOPIC).expect("committed positions")
    }

    /// Ends in order. Batches not taken are destroyed.
    pub fn drain(self) -> SourceEnd {
        self.pipeline.stop.drain();
        self.end()
    }

    /// Ends at once, as far as a thread can be killed.
    pub fn abort(self) -> SourceEnd {
        self.pipeline.stop.abort();
        self.end()
    }

    fn end(self) -> SourceEnd {
        let Self { batches, reports, pipeline, thread, .. } = self;
        drop((batches, reports));
        pipeline.wake.wake();
        thread.join().expect("the source ends without a panic")
    }
}
