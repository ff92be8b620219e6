//! What the lanes of one sink share: the way to the servers, patience, and what is said of faults.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

use crate::config::plan::{ElasticsearchSinkPlan, RetryPlan};
use crate::model::{GiveUp, Halt, Report};
use crate::sink::context::SinkContext;
use crate::telemetry::health::Component;
use crate::telemetry::metrics::RequestClass;

use super::client::Cluster;
use super::in_flight::InFlightCounts;
use super::patience::GiveUpClock;
use super::permits::Permits;
use super::refused::{RefusedFor, RefusedItems};
use super::verdict::RequestReply;
use super::words;

/// See the module.
pub struct LanesShared {
    /// The pipeline's handles.
    pub ctx: SinkContext,
    /// The servers.
    pub cluster: Cluster,
    /// The sink.
    pub plan: ElasticsearchSinkPlan,
    /// Backoff.
    pub retry: RetryPlan,
    /// What is in flight.
    pub in_flight: Arc<InFlightCounts>,
    /// How many requests may be out.
    pub slots: Arc<Permits>,
    /// Path and query of bulk requests; unset until the servers' kind is known. Nothing is sent before.
    pub path: OnceLock<String>,
    /// Largest request the servers are known to take, learnt from 413.
    pub ceiling: AtomicUsize,
    patience: Mutex<GiveUpClock>,
    /// Changes when waiting lanes should look again: the servers answer, or everything is over.
    pub wakes: watch::Sender<u64>,
    halted: AtomicBool,
    /// One fault a lane, and the last one the servers' own.
    faults: Mutex<Vec<Option<String>>>,
    /// What each lane is refused again and again.
    refusals: Mutex<Vec<LaneRefusal>>,
}

/// How long one lane has been refused the same items, and what its fault tells of.
#[derive(Debug, Clone, Copy, Default)]
struct LaneRefusal {
    refused: RefusedFor,
    names: Names,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Names {
    #[default]
    Nothing,
    /// A fault of the target, named at once.
    Alert,
    /// Items that are refused again and again.
    Refused,
}

impl LanesShared {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new(
        plan: ElasticsearchSinkPlan,
        retry: RetryPlan,
        cluster: Cluster,
        in_flight: Arc<InFlightCounts>,
        ctx: SinkContext,
    ) -> Self {
        Self {
            faults: Mutex::new(vec![None; plan.lanes.max(1) + 1]),
            refusals: Mutex::new(vec![LaneRefusal::default(); plan.lanes.max(1)]),
            ceiling: AtomicUsize::new(plan.batch_bytes),
            patience: Mutex::new(GiveUpClock::new(retry)),
            path: OnceLock::new(),
            wakes: watch::Sender::new(0),
            halted: AtomicBool::new(false),
            slots: Permits::new(plan.concurrency, plan.lanes, Instant::now(), ctx.pipeline.metrics.clone()),
            ctx,
            cluster,
            plan,
            retry,
            in_flight,
        }
    }

    /// Asks or tells the patience all lanes share: once a decision, because each takes the lock.
    pub fn patience<T>(&self, change: impl FnOnce(&mut GiveUpClock) -> T) -> T {
        change(&mut self.patience.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets every waiting lane look again.
    pub fn wake_all(&self) {
        self.wakes.send_modify(|generation| *generation += 1);
    }

    /// Whether the pipeline cannot go on: nothing is sent or settled any more.
    pub fn is_halted(&self) -> bool {
        self.halted.load(Ordering::Acquire)
    }

    /// Whether no lane may send, patience aside: the servers' kind is not known yet, or the pipeline cannot go on.
    pub fn bars_lanes(&self) -> bool {
        self.path.get().is_none() || self.is_halted()
    }

    /// Halts the pipeline; the first cause counts.
    pub fn halt(&self, mut halt: Halt) {
        if !self.halted.swap(true, Ordering::AcqRel) {
            halt.message += &self.ctx.desk.end_filing();
            self.ctx.pipeline.health.raise(Component::Sink, halt.message.clone());
            self.ctx.report(Report::Halt(halt));
            self.wake_all();
        }
    }

    /// The number of the fault that is the servers' own rather than a lane's.
    pub fn servers(&self) -> usize {
        self.plan.lanes.max(1)
    }

    /// Names the fault of one lane, or ends it; the component's fault is over when no lane has one.
    pub fn set_fault(&self, lane: usize, fault: Option<String>) {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let had = faults.iter().any(Option::is_some);
        if let Some(place) = faults.get_mut(lane) {
            place.clone_from(&fault);
        }
        let any = faults.iter().any(Option::is_some);
        drop(faults);
        match fault {
            Some(message) => self.ctx.pipeline.health.raise(Component::Sink, message),
            None if had && !any && !self.is_halted() => self.ctx.pipeline.health.clear(Component::Sink),
            None => {}
        }
    }

    /// Some items of a lane were refused and are sent again: names a fault of the target at once, anything else when it
    /// lasts.
    pub fn hold(&self, lane: usize, now: Instant, alert: Option<String>, refused: Option<&RefusedItems>) {
        let named = self.refusal(lane, |place, index| {
            let named = place.refused.look(now, refused, index);
            place.names = match (&alert, &named) {
                (Some(_), _) => Names::Alert,
                (None, Some(_)) => Names::Refused,
                (None, None) => Names::Nothing,
            };
            named
        });
        self.set_fault(lane, alert.or(named));
    }

    /// Looks at the clocks between two answers: gives up when nothing is answered for long, and names what is refused.
    pub fn look_at_clocks(&self, now: Instant, lane: usize, refused: Option<&RefusedItems>) {
        self.give_up_if_exhausted(now);
        let changed = self.refusal(lane, |place, index| {
            let named = place.refused.look(now, refused, index);
            let names = match (place.names, &named) {
                (Names::Alert, _) if refused.is_some() => Names::Alert,
                (Names::Alert, _) | (_, None) => Names::Nothing,
                (Names::Nothing | Names::Refused, Some(_)) => Names::Refused,
            };
            let before = std::mem::replace(&mut place.names, names);
            let changed = before != names && before != Names::Alert;
            changed.then_some(named)
        });
        if let (Some(named), false) = (changed, self.is_halted()) {
            self.set_fault(lane, named);
        }
    }

    fn refusal<T>(&self, lane: usize, change: impl FnOnce(&mut LaneRefusal, &str) -> Option<T>) -> Option<T> {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.get_mut(lane).and_then(|place| change(place, &self.plan.index.text))
    }

    /// Takes note of the largest request the servers are known to take. A smaller one than before is named while what
    /// was too large is sent in parts: the first part that is taken ends that.
    pub fn learn_ceiling(&self, lane: usize, bytes: usize) {
        if bytes < self.ceiling.fetch_min(bytes, Ordering::AcqRel) {
            self.set_fault(lane, Some(words::TOO_LARGE.to_owned()));
        }
    }

    /// Gives up once when nothing was answered for `retry.in_place`.
    pub fn give_up_if_exhausted(&self, now: Instant) {
        if self.patience(|patience| patience.gives_up(now)) {
            self.announce_give_up();
        }
    }

    /// Tells the source that the sink has given up.
    pub fn announce_give_up(&self) {
        tracing::warn!(
            pipeline = &*self.ctx.pipeline.name,
            in_place = ?self.retry.in_place,
            "nothing was acknowledged for retry.in_place: giving memory back, partitions rewind"
        );
        self.ctx.report(Report::GaveUp(GiveUp::Unacknowledged));
        self.patience(|patience| patience.announced());
    }

    /// Counts an answer by class.
    pub fn count_reply(&self, reply: &RequestReply) {
        let class = match reply {
            RequestReply::Timeout | RequestReply::Broken(_) => RequestClass::NoAnswer,
            RequestReply::Answer { status, .. } => RequestClass::of_http(*status),
            RequestReply::Moved(_) => RequestClass::of_http(302),
        };
        self.ctx.pipeline.metrics.sink_request(class).add(1);
    }
}
