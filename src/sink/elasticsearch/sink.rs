//! The Elasticsearch sink: intake, lanes, probes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::config::plan::{ElasticsearchSinkPlan, RetryPlan};
use crate::model::{Exit, Halt, Outcome, Part, Prepared, Report};
use crate::sink::context::SinkContext;
use crate::sink::sequencer::Sequencer;
use crate::telemetry::health::Component;

use super::batch::{Chunk, HeldBytes, OpenBatch};
use super::bulk::{BulkItem, ItemAction};
use super::client::Cluster;
use super::connect_fault::{ConnectFault, Unidentified};
use super::drive::Drive;
use super::in_flight::InFlightCounts;
use super::op::{Effects, Op};
use super::patience::PROBE_EVERY;
use super::server::ServerVersion;
use super::shared::LanesShared;
use super::verdict::Trouble;

/// Chunks between intake and a lane. A lane takes them at once; what it holds is bounded by the byte budget.
const INBOX_CHUNKS: usize = 16;
/// How often a waiting intake looks at the stop switch.
const TICK: Duration = Duration::from_millis(250);

/// The Elasticsearch sink of one pipeline.
pub struct ElasticsearchSink {
    shared: Arc<LanesShared>,
    ring: usize,
}

impl ElasticsearchSink {
    /// A sink that has connected to nothing yet. `ring` is the number of batches that may be out of sequence.
    ///
    /// # Errors
    /// [`ConnectFault`] when the connection's configuration cannot work (exit 78).
    pub fn new(
        plan: ElasticsearchSinkPlan,
        retry: RetryPlan,
        ring: usize,
        ctx: SinkContext,
    ) -> Result<Self, ConnectFault> {
        let cluster = Cluster::new(&plan.connection)?;
        ctx.pipeline.health.needs(Component::Sink);
        // Every record here is charged at least its operation.
        ctx.pipeline.metrics.queue_records_limit.set((ctx.pipeline.budget.limit() / size_of::<Op>()) as i64);
        ctx.pipeline.metrics.queue_bytes_limit.set(ctx.pipeline.budget.limit() as i64);
        let shared = Arc::new(LanesShared::new(plan, retry, cluster, Arc::new(InFlightCounts::default()), ctx));
        Ok(Self { shared, ring })
    }

    /// Lets the source know whether anything of a partition is in flight.
    #[must_use]
    pub fn in_flight(&self) -> Arc<InFlightCounts> {
        self.shared.in_flight.clone()
    }

    /// Runs until `intake` is closed and everything taken is answered, or the process aborts. Must be called inside a
    /// tokio runtime with time and I/O. Faults are reported through the context.
    pub async fn run(self, intake: flume::Receiver<Prepared<BulkItem>>) {
        let Self { shared, ring } = self;
        let mut lanes = JoinSet::new();
        let mut inboxes = Vec::new();
        for number in 0..shared.plan.lanes.max(1) {
            let (inbox, chunks) = flume::bounded(INBOX_CHUNKS);
            inboxes.push(inbox);
            lanes.spawn(Drive::new(number, shared.clone(), chunks).run());
        }
        let mut keeper = JoinSet::new();
        keeper.spawn(keep(shared.clone()));
        let taking = Intake { shared: shared.clone(), ring: Sequencer::new(ring), inboxes }.run(intake);
        let mut taking = std::pin::pin!(taking);
        let mut taken = false;
        while !taken || !lanes.is_empty() {
            // The keeper never ends by itself, a lane only with its inbox.
            let lost = tokio::select! {
                () = &mut taking, if !taken => {
                    taken = true;
                    None
                }
                Some(ended) = lanes.join_next() => ended.err(),
                Some(ended) = keeper.join_next() => ended.err(),
            };
            if let Some(error) = lost {
                shared.halt(task_lost(&error.to_string()));
            }
        }
        keeper.shutdown().await;
    }
}

fn task_lost(how: &str) -> Halt {
    let message = format!("a task of the Elasticsearch sink ended unexpectedly ({how}): this is a bug; see the log");
    Halt { exit: Exit::Failure, message }
}

/// Finds out what the servers are, then looks after dead nodes and, after giving up, for the sink's return.
async fn keep(shared: Arc<LanesShared>) {
    identify(&shared).await;
    loop {
        tokio::time::sleep(PROBE_EVERY).await;
        shared.cluster.probe_the_dead().await;
        if shared.patience(|patience| patience.may_resume()) && shared.cluster.answers().await {
            resume(&shared);
        }
    }
}

fn resume(shared: &LanesShared) {
    shared.patience(|patience| patience.resume());
    shared.ctx.report(Report::SinkAnswers);
    shared.wake_all();
}

/// Sets the path of bulk requests. Unreachable servers are asked again every second; servers that answer without naming
/// their version are taken for what the configuration or common sense says, which never stops ingest.
async fn identify(shared: &LanesShared) {
    let configured = ServerVersion::configured(shared.plan.connection.server);
    let mut asked: u32 = 0;
    let server = loop {
        if let Some(server) = configured {
            break server;
        }
        let now = Instant::now();
        match shared.cluster.identify().await {
            Ok(server) => break server,
            Err(Unidentified::Unclear(why) | Unidentified::Refused(why)) => {
                tracing::warn!(
                    "{why}; taken for {}: set `server` of connection {} if that is wrong",
                    ServerVersion::ASSUMED,
                    shared.plan.connection.name
                );
                break ServerVersion::ASSUMED;
            }
            Err(Unidentified::Unreachable(why)) => {
                asked += 1;
                let gives_up = shared.patience(|patience| {
                    patience.failed(now, Trouble::Connection, asked);
                    patience.gives_up(Instant::now())
                });
                if gives_up {
                    shared.announce_give_up();
                }
                shared.set_fault(shared.servers(), Some(format!("no server answers: {why}; asked again every second")));
                tokio::time::sleep(PROBE_EVERY).await;
            }
        }
    };
    if server.ignores_require_alias(&shared.plan) {
        tracing::warn!("{server} does not know require_alias; it is left out");
    }
    if configured.is_none() {
        shared.ctx.pipeline.health.reached(Component::Sink);
    }
    // Set once, here.
    let _ = shared.path.set(server.bulk_path(&shared.plan));
    let may_resume = shared.patience(|patience| {
        patience.answered();
        patience.may_resume()
    });
    shared.set_fault(shared.servers(), None);
    if may_resume {
        resume(shared);
    }
    shared.wake_all();
}

struct Intake {
    shared: Arc<LanesShared>,
    ring: Sequencer<Prepared<BulkItem>>,
    inboxes: Vec<flume::Sender<Chunk>>,
}

impl Intake {
    async fn run(mut self, intake: flume::Receiver<Prepared<BulkItem>>) {
        loop {
            let batch = match tokio::time::timeout(TICK, intake.recv_async()).await {
                Ok(Ok(batch)) => batch,
                Ok(Err(flume::RecvError::Disconnected)) => return,
                Err(_) if self.shared.ctx.pipeline.stop.is_aborting() => return,
                Err(_) => continue,
            };
            if let Err(fault) = self.ring.insert(batch.sequence, batch) {
                let message = format!("{fault}: this is a bug");
                self.shared.halt(Halt { exit: Exit::Failure, message });
                continue;
            }
            while let Some(batch) = self.ring.pop() {
                self.shared.ctx.released.store(self.ring.next(), Ordering::Release);
                self.shared.ctx.reports.wake();
                self.take(batch).await;
            }
        }
    }

    /// Settles what ended before the sink and spreads the rest over the lanes.
    async fn take(&mut self, mut batch: Prepared<BulkItem>) {
        let ctx = &self.shared.ctx;
        ctx.lost(std::mem::take(&mut batch.lost));
        let mut ended = std::mem::take(&mut batch.ended);
        ended.extend(drop_tombstones(&mut batch.items));
        if !ended.is_empty() {
            ctx.report(Report::Settled(ended));
        }
        let rejects = std::mem::take(&mut batch.rejects);
        ctx.desk.admit(batch.items.len() as u32, rejects, batch.originals.as_ref());
        if batch.items.is_empty() || self.shared.is_halted() {
            return;
        }
        ctx.pipeline.metrics.queue_records.add(batch.items.len() as i64);
        ctx.pipeline.metrics.queue_bytes.add(batch.items.iter().map(|item| item.bytes() as i64).sum());
        for (number, chunk) in split(batch, self.inboxes.len(), Instant::now()) {
            // A lane ends before its inbox only when the process aborts.
            let _ = self.inboxes[number].send_async(chunk).await;
        }
    }
}

/// Takes tombstones that a rule drops out of the items.
fn drop_tombstones(items: &mut Vec<BulkItem>) -> Vec<Part> {
    let mut dropped = Effects::default();
    items.retain(|item| {
        let kept = item.action != ItemAction::Drop;
        if !kept {
            dropped.part(&item.place, Outcome::Dropped);
        }
        kept
    });
    dropped.parts
}

/// One chunk for each lane that has items of this batch, with the charge shared out between payload and the rest.
pub fn split(batch: Prepared<BulkItem>, lanes: usize, now: Instant) -> Vec<(usize, Chunk)> {
    let Prepared { payload, items, originals, mut charge, polled, oldest_timestamp_ms, .. } = batch;
    let mut payload_charge = charge.split(payload.capacity());
    payload_charge.set(payload.capacity());
    let overhead = items.len() * size_of::<Op>();
    let kept_for_originals = if originals.is_some() { charge.bytes() } else { 0 };
    charge.set(overhead + kept_for_originals);
    let shared = OpenBatch::new(&items, originals, charge, overhead, polled, now, oldest_timestamp_ms);
    let payload = HeldBytes::new(Bytes::from(payload), payload_charge);
    let mut by_lane: Vec<Vec<BulkItem>> = Vec::new();
    if lanes == 1 {
        by_lane.push(items);
    } else {
        let share = items.len() / lanes + items.len() / (lanes * 4) + 4;
        by_lane.resize_with(lanes, || Vec::with_capacity(share));
        for item in items {
            by_lane[item.lane(lanes)].push(item);
        }
    }
    let chunk = |items| Chunk { batch: shared.clone(), payload: payload.clone(), items };
    let filled = by_lane.into_iter().enumerate().filter(|(_, items)| !items.is_empty());
    filled.map(|(number, items)| (number, chunk(items))).collect()
}
