//! Drives one lane: the clock, the wire and the waiting around the pure [`Lane`].

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::model::{Exit, Halt, Ticket};
use crate::telemetry::latency::Stage;
use crate::telemetry::metrics::StageName;

use super::batch::Chunk;
use super::concurrency::Sign;
use super::gzip::compress;
use super::lane::{Lane, Ready, Request, Rules};
use super::op::Pace;
use super::patience::{backoff, is_probed};
use super::shared::Shared;
use super::slots::Slot;
use super::target::Terms;
use super::verdict::{Reply, Trouble};

/// How long anything waits before the fence, the stop switch and the clocks are looked at again.
const TICK: Duration = Duration::from_millis(250);
/// A batch that old with open records is thinned.
const PINNED_AT_MOST: Duration = Duration::from_secs(1);

/// One lane's task.
pub struct Drive {
    number: usize,
    shared: Arc<Shared>,
    lane: Lane,
    inbox: flume::Receiver<Chunk>,
    open: bool,
    wakes: watch::Receiver<u64>,
    /// Nothing is sent before this.
    hold_until: Option<Instant>,
    /// Whether waiting for `hold_until` may be cut short by a probe.
    probed: bool,
    /// Whether the request being sent is the probe.
    probing: bool,
    residue_due: Instant,
    /// Failures in a row, of whole requests or of residues.
    failures: u32,
    same_node: Option<usize>,
    swept: Instant,
}

impl Drive {
    /// Lane `number` of the sink.
    #[must_use]
    pub fn new(number: usize, shared: Arc<Shared>, inbox: flume::Receiver<Chunk>) -> Self {
        let plan = &shared.plan;
        let rules = Rules {
            records: plan.batch_records.max(1),
            bytes: plan.batch_bytes.max(1),
            linger: plan.linger,
            terms: Terms::of(plan, shared.ctx.desk.most_in_a_row()),
            needs_original: shared.ctx.desk.needs_original(),
        };
        let wakes = shared.wakes.subscribe();
        let now = Instant::now();
        Self {
            number,
            lane: Lane::new(rules, shared.ctx.budget.charge(0)),
            inbox,
            open: true,
            wakes,
            hold_until: None,
            probed: false,
            probing: false,
            residue_due: now,
            failures: 0,
            same_node: None,
            swept: now,
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
            if self.shared.ctx.stop.is_aborting() {
                break;
            }
            if self.shared.is_halted() {
                self.lane.purge(false, &|_| false);
            }
            self.sweep(false);
            if !self.open && self.lane.is_empty() {
                break;
            }
            match self.next_send(Instant::now()) {
                Some(until) => self.idle(until).await,
                None => {
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

    /// `None`: send now; otherwise when to look again at the latest.
    fn next_send(&mut self, now: Instant) -> Option<Instant> {
        let tick = now + TICK;
        if self.is_barred() {
            return Some(tick);
        }
        let ready = self.lane.ready(now, self.residue_due, !self.open);
        if let (Some(until), true) = (self.hold_until, ready != Ready::Idle) {
            if now < until {
                self.probing = self.probed && self.shared.patience(|patience| patience.may_probe(now));
                return if self.probing { None } else { Some(until.min(tick)) };
            }
            self.probed = false;
        }
        match ready {
            Ready::Now => None,
            Ready::At(when) => Some(when.min(tick)),
            Ready::Idle => Some(tick),
        }
    }

    /// Whether no lane may send anything now.
    fn is_barred(&self) -> bool {
        let shared = &self.shared;
        shared.patience(|patience| patience.has_given_up()) || shared.path.get().is_none() || shared.is_halted()
    }

    /// Waits for this lane's turn to have a request out, while more comes in: bulks grow. `None`: look again.
    async fn slot(&mut self) -> Option<Slot> {
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
                    if shared.ctx.stop.is_aborting() || shared.is_halted() {
                        return None;
                    }
                    self.sweep(false);
                }
            }
        };
        shared.ctx.metrics.waited(StageName::Sink, since.elapsed());
        Some(slot)
    }

    /// Waits; the time counts as blocked while something is there that may not be sent.
    async fn idle(&mut self, until: Instant) {
        let held = !self.lane.is_empty()
            && (self.hold_until.is_some()
                || self.lane.has_residue()
                || self.shared.path.get().is_none()
                || self.shared.patience(|patience| patience.has_given_up()));
        let since = Instant::now();
        self.wait(until).await;
        if held {
            self.shared.ctx.metrics.waited(StageName::Sink, since.elapsed());
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
                if changed.is_ok() && !self.shared.is_halted() && self.probed {
                    self.hold_until = None;
                    self.failures = 0;
                }
            }
            () = tokio::time::sleep_until(until.into()) => {}
        }
    }

    /// Drops what is fenced, thins what pins fetch buffers, passes on what was decided.
    fn sweep(&mut self, on_wire: bool) {
        let now = Instant::now();
        if now.duration_since(self.swept) >= TICK {
            self.swept = now;
            let table = self.shared.ctx.table.clone();
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
    async fn send(&mut self, mut slot: Slot) {
        self.hold_until = None;
        // While it waited for its slot, all sending may have been barred.
        let request = if self.is_barred() { None } else { self.take_request() };
        let reply = match request {
            Some(request) => {
                let since = Instant::now();
                let reply = self.exchange(&request, &mut slot).await;
                self.shared.ctx.metrics.worked(StageName::Sink, since.elapsed());
                self.shared.wire.remove(&request.tenures);
                reply.map(|reply| (reply, request.records))
            }
            None => None,
        };
        if std::mem::take(&mut self.probing) {
            self.shared.patience(|patience| patience.probe_returned(Instant::now()));
        }
        if let Some((reply, records)) = reply {
            let sign = self.take_answer(&reply, records);
            slot.ended(sign);
        }
        let effects = self.lane.take_effects();
        self.shared.pass_on(effects);
    }

    /// The next request, counted as on the wire before the fence is looked at for the last time.
    fn take_request(&mut self) -> Option<Request> {
        let table = self.shared.ctx.table.clone();
        let current = |ticket: Ticket| table.is_current(ticket.slot, ticket.epoch);
        let with_residue = self.residue_due <= Instant::now();
        loop {
            let request = self.lane.next(with_residue, &current)?;
            self.shared.wire.add(&request.tenures);
            if request.tenures.iter().all(|tenure| table.is_current(tenure.slot, tenure.epoch)) {
                return Some(request);
            }
            self.shared.wire.remove(&request.tenures);
        }
    }

    /// `None` when the process aborts meanwhile.
    async fn exchange(&mut self, request: &Request, slot: &mut Slot) -> Option<Reply> {
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
                    if shared.ctx.stop.is_aborting() {
                        return None;
                    }
                    self.sweep(true);
                }
            }
        };
        shared.count_reply(&reply);
        shared.ctx.latency.record(Stage::Request, started.elapsed(), u64::from(request.records));
        // After a timeout the server may still be at work: the same one is asked again first.
        self.same_node = matches!(reply, Reply::Timeout).then_some(node);
        Some(reply)
    }

    fn take_answer(&mut self, reply: &Reply, records: u32) -> Sign {
        let now = Instant::now();
        let shared = self.shared.clone();
        let failures_before = self.failures;
        let pace = self.lane.answered(reply);
        let sign = Sign::of(reply, &pace);
        if matches!(pace, Pace::Go | Pace::Residue { .. } | Pace::Split) {
            shared.ctx.health.reached(crate::telemetry::health::Room::Sink);
            let was_failing = shared.patience(|patience| patience.answered());
            if was_failing || failures_before > 0 {
                shared.wake_all();
            }
        }
        match pace {
            Pace::Go => self.calm(),
            Pace::Split => {
                self.calm();
                shared.learn_ceiling(self.number, self.lane.ceiling());
            }
            Pace::Residue { overload, alert } => self.hold_residue(now, overload, alert, reply),
            Pace::Whole { trouble, message } => self.hold_lane(now, trouble, message, reply, records),
            Pace::Refused(message) => self.refused(now, message),
            Pace::Halt(halt) => shared.halt(halt),
        }
        if matches!(reply, Reply::Answer { .. }) {
            self.thin_open();
        }
        sign
    }

    /// The servers are well. What is held because of an index stays named while anything of it is.
    fn calm(&mut self) {
        self.hold_until = None;
        self.probed = false;
        if !self.lane.has_residue() {
            self.failures = 0;
            self.shared.set_fault(self.number, None);
        }
    }

    /// Some items must be sent again. A busy server gives the whole lane a pause; otherwise only they wait, and a first
    /// failure (a version conflict, say) does not wait at all.
    fn hold_residue(&mut self, now: Instant, overload: bool, alert: Option<String>, reply: &Reply) {
        self.failures += 1;
        self.shared.hold(self.number, now, alert.clone(), self.lane.refused());
        let failures = if overload || alert.is_some() { self.failures } else { self.failures - 1 };
        if failures == 0 {
            self.residue_due = now;
            return;
        }
        let wait = self.pause(failures, reply);
        self.residue_due = now + wait;
        self.probed = false;
        self.hold_until = overload.then_some(now + wait);
    }

    fn hold_lane(&mut self, now: Instant, trouble: Trouble, message: String, reply: &Reply, records: u32) {
        self.failures += 1;
        tracing::debug!(lane = self.number, records, failures = self.failures, "{message}");
        self.shared.patience(|patience| patience.failed(now, trouble, self.failures));
        self.shared.give_up_if_exhausted(now);
        let asked = matches!(reply, Reply::Answer { retry_after: Some(_), .. });
        self.probed = is_probed(trouble) && !asked;
        let wait = self.pause(self.failures, reply);
        // A server may still be at work on what it did not answer, and apply it after newer requests: it gets a moment.
        let wait = match reply {
            Reply::Timeout | Reply::Broken(_) => wait.max(self.shared.retry.first),
            Reply::Answer { .. } => wait,
        };
        self.hold_until = Some(now + wait);
        let what_to_do = "it is sent again until it is answered";
        self.shared.set_fault(self.number, Some(format!("bulk request failed: {message}; {what_to_do}")));
    }

    fn refused(&mut self, now: Instant, message: String) {
        self.failures += 1;
        if self.shared.patience(|patience| patience.refused(now)) {
            let message = format!("{message}; it lasted 5 minutes: correct the credentials or the role's privileges");
            self.shared.halt(Halt { exit: Exit::Permission, message });
            return;
        }
        self.probed = false;
        self.hold_until = Some(now + backoff(self.shared.retry, self.failures, 1.0).max(TICK));
        self.shared.set_fault(self.number, Some(message));
    }

    /// Full jitter, or what the server asked for.
    fn pause(&self, failures: u32, reply: &Reply) -> Duration {
        let own = backoff(self.shared.retry, failures, fastrand::f64());
        match reply {
            Reply::Answer { retry_after: Some(asked), .. } => own.max(*asked),
            Reply::Answer { retry_after: None, .. } | Reply::Timeout | Reply::Broken(_) => own,
        }
    }

    /// What is still held after an answer will be for a while: it must not pin fetch buffers.
    fn thin_open(&mut self) {
        if self.failures > 0 {
            self.lane.batches().filter(|batch| batch.pins_fetch()).for_each(|batch| batch.thin());
        }
    }
}
