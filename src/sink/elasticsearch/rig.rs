//! A sink between a test and bulk endpoints: sends records in, keeps a ledger of what comes out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use crate::config::plan::{ElasticsearchSinkPlan, RetryPlan};
use crate::model::{
    Encode, Epoch, Halt, ItemPath, Kept, NoHeaders, Offset, Outcome, PartitionId, Place, Prepared, Record, Report,
    ReportSender, Ticket, TicketId, TopicPartition,
};
use crate::sink::context::SinkContext;
use crate::telemetry::handles::Handles;
use crate::telemetry::health::Component;
use crate::testbed::bulk_endpoint::BulkEndpoint;

use super::bulk::{BulkEncoder, BulkItem};
use super::fixtures::{desk, sink_plan};
use super::in_flight::InFlightCounts;
use super::sink::ElasticsearchSink;

const DEADLINE: Duration = Duration::from_secs(30);

/// See the module.
pub struct Rig {
    pub ctx: SinkContext,
    pub in_flight: Arc<InFlightCounts>,
    pub slot: PartitionId,
    pub task: tokio::task::JoinHandle<()>,
    intake: Option<flume::Sender<Prepared<BulkItem>>>,
    reports: flume::Receiver<Report>,
    encoder: BulkEncoder,
    sequence: u64,
    offset: i64,
    sent: u64,
    /// Ended records of the current epoch, by outcome.
    pub ended: BTreeMap<Outcome, u64>,
    pub halts: Vec<Halt>,
    pub others: Vec<Report>,
}

/// Short backoffs.
pub fn retry() -> RetryPlan {
    RetryPlan { first: Duration::from_millis(5), max: Duration::from_millis(50), in_place: Duration::from_secs(150) }
}

/// A plan for these endpoints.
pub fn plan_for(endpoints: &[&BulkEndpoint]) -> ElasticsearchSinkPlan {
    let mut plan = sink_plan("items");
    plan.connection.nodes = endpoints.iter().map(|endpoint| endpoint.url()).collect();
    plan
}

impl Rig {
    pub fn start(plan: ElasticsearchSinkPlan, retry: RetryPlan) -> Self {
        let (reports_in, reports) = flume::bounded(10_000);
        let pipeline = Handles::new(&"test".into(), 1 << 30, Arc::default());
        let slot = pipeline.table.slot(&TopicPartition { topic: "events".into(), partition: 0 }).expect("a slot");
        pipeline.table.set_current(slot, Epoch::fresh());
        let reports_in = ReportSender::new(reports_in, pipeline.wake.clone());
        let ctx = SinkContext { pipeline, reports: reports_in, released: Arc::new(AtomicU64::new(0)), desk: desk() };
        let encoder = BulkEncoder::new(&plan);
        let sink = ElasticsearchSink::new(plan, retry, 64, ctx.clone()).expect("a sink");
        let (intake, batches) = flume::bounded(64);
        let in_flight = sink.in_flight();
        let task = tokio::spawn(sink.run(batches));
        Self {
            ctx,
            in_flight,
            slot,
            task,
            intake: Some(intake),
            reports,
            encoder,
            sequence: 0,
            offset: 0,
            sent: 0,
            ended: BTreeMap::new(),
            halts: Vec::new(),
            others: Vec::new(),
        }
    }

    /// The next batch: ids and values (`None` is a tombstone).
    pub fn batch(&mut self, records: &[(&str, Option<&str>)]) -> Prepared<BulkItem> {
        let epoch = self.ctx.pipeline.table.current(self.slot);
        let ticket = Ticket { id: TicketId(self.sequence), slot: self.slot, epoch };
        let (mut payload, mut items) = (Vec::new(), Vec::new());
        for (index, (id, value)) in records.iter().enumerate() {
            let record = Record {
                topic: "events",
                partition: 0,
                offset: self.offset,
                timestamp_ms: Some(1),
                key: Some(id.as_bytes()),
                value: value.map(str::as_bytes),
                headers: &NoHeaders,
            };
            let place = Place { ticket, offset: Offset(self.offset), item: ItemPath::WHOLE, index: index as u32 };
            let pieces = value.map(|value| [value.as_bytes()]);
            // Every template of these tests is the key.
            let rendered = [Some(id.as_bytes()); 2];
            let kept = Kept { value: pieces.as_ref().map(|pieces| &pieces[..]), rendered: &rendered };
            items.push(self.encoder.encode(place, &record, &kept, &mut payload).expect("encodes"));
            self.offset += 1;
        }
        let charge = self.ctx.pipeline.budget.charge(payload.len());
        let mut batch = Prepared::empty(self.sequence, charge, Instant::now());
        self.sequence += 1;
        self.sent += records.len() as u64;
        batch.payload = payload;
        batch.items = items;
        batch.oldest_timestamp_ms = Some(1);
        batch
    }

    pub async fn put(&self, batch: Prepared<BulkItem>) {
        let intake = self.intake.as_ref().expect("open");
        intake.send_async(batch).await.expect("the sink takes batches");
    }

    pub async fn send(&mut self, records: &[(&str, &str)]) {
        let records: Vec<(&str, Option<&str>)> = records.iter().map(|(id, value)| (*id, Some(*value))).collect();
        let batch = self.batch(&records);
        self.put(batch).await;
    }

    /// `count` documents of ids `from..`, each `{"n":<number>}`.
    pub async fn send_numbers(&mut self, numbers: std::ops::Range<u32>) {
        let texts: Vec<(String, String)> = numbers.map(|n| (format!("id{n}"), format!("{{\"n\":{n}}}"))).collect();
        let records: Vec<(&str, &str)> = texts.iter().map(|(id, value)| (id.as_str(), value.as_str())).collect();
        self.send(&records).await;
    }

    /// Moves the fence, as a rewind or a revoke does.
    pub fn fence(&mut self, epoch: Epoch) {
        self.ctx.pipeline.table.set_current(self.slot, epoch);
        self.ended.clear();
        self.sent = 0;
    }

    pub fn close(&mut self) {
        self.intake = None;
    }

    fn take(&mut self, report: Report) {
        match &report {
            Report::Settled(parts) => {
                for part in parts {
                    assert!(part.records > 0);
                    if self.ctx.pipeline.table.is_current(part.ticket.slot, part.ticket.epoch) {
                        *self.ended.entry(part.outcome).or_default() += u64::from(part.records);
                    }
                }
                let ended: u64 = self.ended.values().sum();
                assert!(ended <= self.sent, "more ended than were sent: {:?} of {}", self.ended, self.sent);
            }
            Report::Halt(halt) => self.halts.push(halt.clone()),
            Report::Split(_) | Report::Rewind { .. } | Report::GaveUp(_) | Report::SinkAnswers | Report::Quiet(_) => {
                self.others.push(report)
            }
        }
    }

    pub fn count(&self, outcome: Outcome) -> u64 {
        self.ended.get(&outcome).copied().unwrap_or(0)
    }

    /// Takes reports until `done`; fails with `what` at the deadline.
    pub async fn until(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !done(self) {
            assert!(
                Instant::now() < deadline,
                "{what}: ended {:?} of {}, halts {:?}, faults {:?}, queue {}",
                self.ended,
                self.sent,
                self.halts,
                self.ctx.pipeline.health.faults(),
                self.ctx.pipeline.metrics.queue_records.get()
            );
            if let Ok(Ok(report)) = tokio::time::timeout(Duration::from_millis(20), self.reports.recv_async()).await {
                self.take(report);
            }
            while let Ok(report) = self.reports.try_recv() {
                self.take(report);
            }
        }
    }

    pub async fn until_delivered(&mut self, count: u64) {
        self.until("delivery", |rig| rig.count(Outcome::Delivered) == count).await;
    }

    /// Nothing is held any more: no record, no byte.
    pub async fn until_empty(&mut self) {
        self.until("an empty sink", |rig| {
            let metrics = &rig.ctx.pipeline.metrics;
            (metrics.queue_records.get(), metrics.queue_bytes.get(), rig.ctx.pipeline.budget.used()) == (0, 0, 0)
        })
        .await;
    }

    pub fn fault(&self) -> Option<String> {
        let faults = self.ctx.pipeline.health.faults();
        faults.into_iter().find(|(room, _)| *room == Component::Sink).map(|(_, fault)| fault.message)
    }

    /// Closes the intake and waits for the sink's end.
    pub async fn finish(mut self) -> Self {
        self.close();
        let task = std::mem::replace(&mut self.task, tokio::spawn(async {}));
        tokio::time::timeout(DEADLINE, task).await.expect("the sink ends").expect("without a panic");
        while let Ok(report) = self.reports.try_recv() {
            self.take(report);
        }
        self
    }
}
