//! Drives one lane: the clock, HTTP and the waiting around the pure [`Lane`] and [`Pacing`].

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::model::Ticket;
use crate::telemetry::health::Component;
use crate::telemetry::latency::Stage;
use crate::telemetry::metrics::StageName;

use super::batch::Chunk;
use super::concurrency::Sign;
use super::gzip::compress;
use super::lane::{Lane, LaneRules, Request};
use super::op::Pace;
use super::pacing::{FaultChange, LaneAnswer, NextSend, Pacing, TICK};
use super::permits::Permit;
use super::shared::LanesShared;
use super::target::Terms;
use super::verdict::RequestReply;

/// A batch that old with open records is thinned.
const PINNED_AT_MOST: Duration = Duration::from_secs(1);

/// One lane's task.
pub struct Drive {
    number: usize,
    shared: Arc<LanesShared>,
    lane: Lane,
    inbox: flume::Receiver<Chunk>,
    open: bool,
    wakes: watch::Receiver<u64>,
    pacing: Pacing,
    same_node: Option<usize>,
}

impl Drive {
    /// Lane `number` of the sink.
    #[must_use]
    pub fn new(number: usize, shared: Arc<LanesShared>, inbox: flume::Receiver<Chunk>) -> Self {
        let plan = &shared.plan;
        let rules = LaneRules {
            records: plan.batch_records.max(1),
            bytes: plan.batch_bytes.max(1),
            linger: plan.linger,
            terms: Terms::of(plan, shared.ctx.desk.most_in_a_row()),
            needs_original: shared.ctx.desk.needs_original(),
        };
        let wakes = shared.wakes.subscribe();
        Self {
            number,
            lane: Lane::new(rules, shared.ctx.pipeline.budget.charge(0)),
            inbox,
            open: true,
            wakes,
            pacing: Pacing::new(shared.retry, Instant::now()),
            same_node: None,
            shared,
        }
    }

    /// Runs until the inbox is closed and everything is answered, or the process aborts.
    pub async fn run(mut self) {
        loop {
            let disconnected = self.inbox.is_disconnected();
            while let Ok(chunk) = self.inbox.try_recv() {
                self.lane.push(chunk);
            }
            // In this order: what was sent before the sender went is taken first.
            self.open &= !disconnected;
            if self.shared.ctx.pipeline.stop.is_aborting() {
                break;
            }
            if self.shared.is_halted() {
                self.lane.purge(false, &|_| false);
            }
            self.sweep(false);
            if !self.open && self.lane.is_empty() {
                break;
            }
            match self.next_send() {
                NextSend::NotBefore { at, held } => self.idle(at, held).await,
                NextSend::Now => {
                    if let Some(slot) = self.slot().await {
                        self.send(slot).await;
                    }
                }
            }
        }
        self.lane.purge(false, &|_| false);
        let effects = self.lane.take_effects();
        self.shared.count_left(&effects);
        self.shared.set_fault(self.number, None);
    }

    fn next_send(&mut self) -> NextSend {
        let (lane, pacing, barred, flush) = (&self.lane, &mut self.pacing, self.shared.bars_lanes(), !self.open);
        self.shared.patience(|patience| pacing.next_send(Instant::now(), lane, barred, flush, patience))
    }

    /// Waits for this lane's turn to have a request out, while more comes in: bulks grow. `None`: look again.
    async fn slot(&mut self) -> Option<Permit> {
        let shared = self.shared.clone();
        if let Some(slot) = shared.slots.try_take() {
            return Some(slot);
        }
        let since = Instant::now();
        let turn = shared.slots.clone().take();
        tokio::pin!(turn);
        let slot = loop {
            tokio::select! {
                slot = &mut turn => break slot,
                chunk = self.inbox.recv_async(), if self.open => match chunk {
                    Ok(chunk) => self.lane.push(chunk),
                    Err(_) => self.open = false,
                },
                () = tokio::time::sleep(TICK) => {
                    if shared.ctx.pipeline.stop.is_aborting() || shared.is_halted() {
                        return None;
                    }
                    self.sweep(false);
                }
            }
        };
        shared.ctx.pipeline.metrics.waited(StageName::Sink, since.elapsed());
        Some(slot)
    }

    /// Waits; the time counts as blocked while something is held.
    async fn idle(&mut self, until: Instant, held: bool) {
        let since = Instant::now();
        self.wait(until).await;
        if held {
            self.shared.ctx.pipeline.metrics.waited(StageName::Sink, since.elapsed());
        }
    }

    async fn wait(&mut self, until: Instant) {
        tokio::select! {
            chunk = self.inbox.recv_async(), if self.open => match chunk {
                Ok(chunk) => self.lane.push(chunk),
                Err(_) => self.open = false,
            },
            changed = self.wakes.changed() => {
                // The sender lives in `shared`; a closed watch only means there is nothing left to wake for.
                if changed.is_ok() && !self.shared.is_halted() {
                    self.pacing.woken();
                }
            }
            () = tokio::time::sleep_until(until.into()) => {}
        }
    }

    /// Drops what is fenced, thins what pins fetch buffers, passes on what was decided.
    fn sweep(&mut self, on_wire: bool) {
        let now = Instant::now();
        if self.pacing.is_sweep_due(now) {
            let table = self.shared.ctx.pipeline.table.clone();
            self.lane.purge(on_wire, &|ticket: Ticket| table.is_current(ticket.slot, ticket.epoch));
            self.lane.cap_bytes(self.shared.ceiling.load(Ordering::Acquire));
            for batch in self.lane.batches() {
                if now.duration_since(batch.arrived) >= PINNED_AT_MOST && batch.pins_fetch() {
                    batch.thin();
                }
            }
            self.shared.look_at_clocks(now, self.number, self.lane.refused());
        }
        let effects = self.lane.take_effects();
        self.shared.pass_on(effects);
    }

    /// Sends the next request and takes its answer.
    async fn send(&mut self, mut slot: Permit) {
        self.pacing.sends();
        // While it waited for its slot, all sending may have been barred.
        let barred = self.shared.bars_lanes() || self.shared.patience(|patience| patience.has_given_up());
        let request = if barred { None } else { self.take_request() };
        let reply = match request {
            Some(request) => {
                let since = Instant::now();
                let reply = self.exchange(&request, &mut slot).await;
                self.shared.ctx.pipeline.metrics.worked(StageName::Sink, since.elapsed());
                self.shared.in_flight.remove(&request.tenures);
                reply.map(|reply| (reply, request.records))
            }
            None => None,
        };
        match reply {
            Some((reply, records)) => slot.ended(self.take_answer(&reply, records)),
            None => self.shared.patience(|patience| self.pacing.sent_nothing(Instant::now(), patience)),
        }
        let effects = self.lane.take_effects();
        self.shared.pass_on(effects);
    }

    /// The next request, counted as in flight before the fence is looked at for the last time.
    fn take_request(&mut self) -> Option<Request> {
        let table = self.shared.ctx.pipeline.table.clone();
        let current = |ticket: Ticket| table.is_current(ticket.slot, ticket.epoch);
        let with_residue = self.pacing.residue_is_due(Instant::now());
        loop {
            let request = self.lane.next(with_residue, &current)?;
            self.shared.in_flight.add(&request.tenures);
            if request.tenures.iter().all(|tenure| table.is_current(tenure.slot, tenure.epoch)) {
                return Some(request);
            }
            self.shared.in_flight.remove(&request.tenures);
        }
    }

    /// `None` when the process aborts meanwhile.
    async fn exchange(&mut self, request: &Request, slot: &mut Permit) -> Option<RequestReply> {
        let shared = self.shared.clone();
        let path = shared.path.get()?;
        let (body, gzipped) = if shared.plan.gzip {
            match compress(request.body.clone()).await {
                Some(body) => (body, true),
                None => (request.body.clone(), false),
            }
        } else {
            (request.body.clone(), false)
        };
        let started = Instant::now();
        slot.sends(started, body.len());
        let exchange = shared.cluster.bulk(path, body, gzipped, self.same_node.take());
        tokio::pin!(exchange);
        let (node, reply) = loop {
            tokio::select! {
                done = &mut exchange => break done,
                chunk = self.inbox.recv_async(), if self.open => match chunk {
                    Ok(chunk) => self.lane.push(chunk),
                    Err(_) => self.open = false,
                },
                () = tokio::time::sleep(TICK) => {
                    if shared.ctx.pipeline.stop.is_aborting() {
                        return None;
                    }
                    self.sweep(true);
                }
            }
        };
        shared.count_reply(&reply);
        shared.ctx.pipeline.latency.record(Stage::Request, started.elapsed(), u64::from(request.records));
        // After a timeout the server may still be at work: the same one is asked again first.
        self.same_node = matches!(reply, RequestReply::Timeout).then_some(node);
        Some(reply)
    }

    fn take_answer(&mut self, reply: &RequestReply, records: u32) -> Sign {
        let pace = self.lane.answered(reply);
        let shared = self.shared.clone();
        let answer = LaneAnswer { reply, pace: &pace, has_residue: self.lane.has_residue() };
        let pacing = &mut self.pacing;
        let change = shared.patience(|patience| pacing.answered(Instant::now(), answer, fastrand::f64(), patience));
        if change.reached {
            shared.ctx.pipeline.health.reached(Component::Sink);
        }
        if change.wakes_all {
            shared.wake_all();
        }
        if change.gives_up {
            shared.announce_give_up();
        }
        match (&pace, change.fault) {
            (Pace::Residue { alert, .. }, _) => {
                shared.hold(self.number, Instant::now(), alert.clone(), self.lane.refused());
            }
            (_, FaultChange::Kept) => {}
            (_, FaultChange::Cleared) => shared.set_fault(self.number, None),
            (_, FaultChange::Named(fault)) => shared.set_fault(self.number, Some(fault)),
        }
        if let Some(halt) = change.halt {
            shared.halt(halt);
        }
        match &pace {
            Pace::Split => shared.learn_ceiling(self.number, self.lane.ceiling()),
            Pace::Whole { message, .. } => {
                tracing::debug!(lane = self.number, records, failures = self.pacing.failures(), "{message}");
            }
            Pace::Go | Pace::Residue { .. } | Pace::Refused(_) | Pace::Halt(_) => {}
        }
        if matches!(reply, RequestReply::Answer { .. }) {
            self.thin_open();
        }
        Sign::of(reply, &pace)
    }

    /// What is still held after an answer will be for a while: it must not pin fetch buffers.
    fn thin_open(&mut self) {
        if self.pacing.failures() > 0 {
            self.lane.batches().filter(|batch| batch.pins_fetch()).for_each(|batch| batch.thin());
        }
    }
}
