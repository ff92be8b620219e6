//! Drives the real lanes of the Elasticsearch sink against a fake server: what `drive.rs` does with tokio and HTTP, step by
//! step with the clock of the simulation.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::config::plan::{OnIndexFault, RetryPlan};
use crate::model::{Budget, PartitionTable, Prepared, Ticket};
use crate::sink::elasticsearch::Wire;
use crate::sink::elasticsearch::pure::{
    BulkItem, Effects, Lane, PROBE_EVERY, Pace, Patience, Ready, Reply, Rules, Tenure, Terms, Trouble, backoff,
    is_probed, split,
};

/// How often a lane looks at the fence by itself.
const TICK: Duration = Duration::from_millis(250);

/// A request that was sent.
pub struct Flight {
    /// Its body.
    pub body: Bytes,
    tenures: Vec<Tenure>,
    /// When it is answered.
    pub due: Instant,
    /// Decides what goes wrong.
    pub dice: f64,
    /// It has landed: the status of each item.
    pub landed: Option<Vec<u16>>,
}

/// One lane and its waiting.
pub struct Driver {
    lane: Lane,
    hold_until: Option<Instant>,
    probed: bool,
    probing: bool,
    residue_due: Instant,
    failures: u32,
    swept: Instant,
    /// The request on the wire.
    pub flight: Option<Flight>,
}

impl Driver {
    /// Whether the answer to its request is due for so long.
    pub fn is_overdue(&self, now: Instant, by: Duration) -> bool {
        self.flight.as_ref().is_some_and(|flight| flight.due + by <= now)
    }
}

/// All lanes of the sink.
pub struct Lanes {
    /// By number.
    pub drivers: Vec<Driver>,
    patience: Patience,
    retry: RetryPlan,
    wire: Arc<Wire>,
    table: Arc<PartitionTable>,
    next_keep: Instant,
    halted: bool,
}

/// What the sink has to say besides effects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Nothing was acknowledged for too long.
    GaveUp,
    /// It answers again.
    Answers,
    /// It cannot go on.
    Halt(String),
}

impl Lanes {
    /// Idle lanes.
    pub fn new(
        lanes: usize,
        records: usize,
        retry: RetryPlan,
        budget: &Arc<Budget>,
        table: Arc<PartitionTable>,
        wire: Arc<Wire>,
        now: Instant,
    ) -> Self {
        let rules = Rules {
            records,
            bytes: 2000,
            linger: Duration::from_millis(10),
            terms: Terms { on_index_fault: OnIndexFault::Hold, fixed_index: true, routed: false, in_a_row: 100 },
            needs_original: false,
        };
        let driver = || Driver {
            lane: Lane::new(rules, budget.charge(0)),
            hold_until: None,
            probed: false,
            probing: false,
            residue_due: now,
            failures: 0,
            swept: now,
            flight: None,
        };
        let drivers = (0..lanes).map(|_| driver()).collect();
        Self { drivers, patience: Patience::new(retry), retry, wire, table, next_keep: now, halted: false }
    }

    /// Takes a batch in sequence.
    pub fn take(&mut self, batch: Prepared<BulkItem>, now: Instant) {
        if batch.items.is_empty() {
            return;
        }
        for (number, chunk) in split(batch, self.drivers.len(), now) {
            self.drivers[number].lane.push(chunk);
        }
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.drivers.iter().all(|driver| driver.lane.is_empty())
    }

    /// One look of a lane: sweeps, and sends when it may. Returns what was decided.
    pub fn look(&mut self, number: usize, now: Instant, due: Instant, dice: f64) -> Effects {
        let table = self.table.clone();
        let current = |ticket: Ticket| table.is_current(ticket.slot, ticket.epoch);
        let driver = &mut self.drivers[number];
        if now.duration_since(driver.swept) >= TICK {
            driver.swept = now;
            driver.lane.purge(driver.flight.is_some(), &current);
        }
        if driver.flight.is_none() && !self.halted && self.may_send(number, now) {
            let driver = &mut self.drivers[number];
            driver.hold_until = None;
            let with_residue = driver.residue_due <= now;
            if let Some(request) = driver.lane.next(with_residue, &current) {
                self.wire.add(&request.tenures);
                let (body, tenures) = (request.body, request.tenures);
                driver.flight = Some(Flight { body, tenures, due, dice, landed: None });
            } else if std::mem::take(&mut driver.probing) {
                self.patience.probe_returned(now);
            }
        }
        self.drivers[number].lane.take_effects()
    }

    fn may_send(&mut self, number: usize, now: Instant) -> bool {
        if self.patience.has_given_up() {
            return false;
        }
        let driver = &mut self.drivers[number];
        let ready = driver.lane.ready(now, driver.residue_due, false);
        if let (Some(until), true) = (driver.hold_until, ready != Ready::Idle) {
            if now < until {
                driver.probing = driver.probed && self.patience.may_probe(now);
                return driver.probing;
            }
            driver.probed = false;
        }
        match ready {
            Ready::Now => true,
            Ready::At(when) => when <= now,
            Ready::Idle => false,
        }
    }

    /// The answer to the request of a lane.
    pub fn answered(&mut self, number: usize, reply: &Reply, now: Instant, chance: f64) -> (Effects, Vec<Said>) {
        let mut said = Vec::new();
        let driver = &mut self.drivers[number];
        let Some(flight) = driver.flight.take() else { return (Effects::default(), said) };
        self.wire.remove(&flight.tenures);
        if std::mem::take(&mut driver.probing) {
            self.patience.probe_returned(now);
        }
        let failures_before = driver.failures;
        let pace = driver.lane.answered(reply);
        if matches!(pace, Pace::Go | Pace::Residue { .. } | Pace::Split)
            && (self.patience.answered() || failures_before > 0)
        {
            self.wake_all();
        }
        self.keep_pace(number, pace, now, chance, &mut said);
        (self.drivers[number].lane.take_effects(), said)
    }

    fn keep_pace(&mut self, number: usize, pace: Pace, now: Instant, chance: f64, said: &mut Vec<Said>) {
        let retry = self.retry;
        let driver = &mut self.drivers[number];
        match pace {
            Pace::Go | Pace::Split => {
                driver.hold_until = None;
                driver.probed = false;
                if !driver.lane.has_residue() {
                    driver.failures = 0;
                }
            }
            Pace::Residue { overload, alert } => {
                driver.failures += 1;
                let failures = if overload || alert.is_some() { driver.failures } else { driver.failures - 1 };
                let wait = if failures == 0 { Duration::ZERO } else { backoff(retry, failures, chance) };
                driver.residue_due = now + wait;
                driver.probed = false;
                driver.hold_until = (failures > 0 && overload).then_some(now + wait);
            }
            Pace::Whole { trouble, .. } => {
                driver.failures += 1;
                self.patience.failed(now, trouble, driver.failures);
                driver.probed = is_probed(trouble);
                let wait = backoff(retry, driver.failures, chance);
                let wait = if trouble == Trouble::Timeout { wait.max(retry.first) } else { wait };
                driver.hold_until = Some(now + wait);
                self.give_up_if_exhausted(now, said);
            }
            Pace::Refused(message) => self.halt(message, said),
            Pace::Halt(halt) => self.halt(halt.message, said),
        }
    }

    fn halt(&mut self, message: String, said: &mut Vec<Said>) {
        self.halted = true;
        said.push(Said::Halt(message));
    }

    fn wake_all(&mut self) {
        for driver in self.drivers.iter_mut().filter(|driver| driver.probed && driver.flight.is_none()) {
            driver.hold_until = None;
            driver.failures = 0;
        }
    }

    fn give_up_if_exhausted(&mut self, now: Instant, said: &mut Vec<Said>) {
        if self.patience.gives_up(now) {
            said.push(Said::GaveUp);
            self.patience.announced();
        }
    }

    /// What the keeper does every second. `answers`: the server does.
    pub fn keep(&mut self, now: Instant, answers: bool) -> Vec<Said> {
        let mut said = Vec::new();
        self.give_up_if_exhausted(now, &mut said);
        if now >= self.next_keep {
            self.next_keep = now + PROBE_EVERY;
            if self.patience.may_resume() && answers {
                self.patience.resume();
                self.wake_all();
                said.push(Said::Answers);
            }
        }
        said
    }
}
