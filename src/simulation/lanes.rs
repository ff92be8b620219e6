//! Drives the real lanes of the Elasticsearch sink, and their real pacing, against a fake server: what `drive.rs` does
//! with tokio and HTTP, step by step with the clock of the simulation.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::config::plan::{OnIndexFault, RetryPlan};
use crate::model::{Budget, PartitionTable, Prepared, Ticket};
use crate::sink::elasticsearch::InFlightCounts;
use crate::sink::elasticsearch::pure::{
    BulkItem, Effects, GiveUpClock, Lane, LaneAnswer, LaneRules, NextSend, PROBE_EVERY, Pacing, RequestReply, Tenure,
    Terms, split,
};

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
    pacing: Pacing,
    /// Lanes were woken since this one waited last. One with a request out hears of it when it waits again.
    woken: bool,
    /// The request in flight.
    pub flight: Option<Flight>,
}

impl Driver {
    fn may_send(&mut self, now: Instant, halted: bool, patience: &mut GiveUpClock) -> bool {
        loop {
            match self.pacing.next_send(now, &self.lane, halted, false, patience) {
                NextSend::Now => return true,
                NextSend::NotBefore { .. } if std::mem::take(&mut self.woken) => self.pacing.woken(),
                NextSend::NotBefore { .. } => return false,
            }
        }
    }

    /// Whether the answer to its request is due for so long.
    pub fn is_overdue(&self, now: Instant, by: Duration) -> bool {
        self.flight.as_ref().is_some_and(|flight| flight.due + by <= now)
    }
}

/// All lanes of the sink.
pub struct Lanes {
    /// By number.
    pub drivers: Vec<Driver>,
    patience: GiveUpClock,
    in_flight: Arc<InFlightCounts>,
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
        in_flight: Arc<InFlightCounts>,
        now: Instant,
    ) -> Self {
        let rules = LaneRules {
            records,
            bytes: 2000,
            linger: Duration::from_millis(10),
            terms: Terms { on_index_fault: OnIndexFault::Hold, fixed_index: true, routed: false, in_a_row: 100 },
            needs_original: false,
        };
        let driver = || Driver {
            lane: Lane::new(rules, budget.charge(0)),
            pacing: Pacing::new(retry, now),
            woken: false,
            flight: None,
        };
        let drivers = (0..lanes).map(|_| driver()).collect();
        Self { drivers, patience: GiveUpClock::new(retry), in_flight, table, next_keep: now, halted: false }
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
        if driver.pacing.is_sweep_due(now) {
            driver.lane.purge(driver.flight.is_some(), &current);
        }
        if driver.flight.is_none() && driver.may_send(now, self.halted, &mut self.patience) {
            driver.pacing.sends();
            match driver.lane.next(driver.pacing.residue_is_due(now), &current) {
                Some(request) => {
                    self.in_flight.add(&request.tenures);
                    let (body, tenures) = (request.body, request.tenures);
                    driver.flight = Some(Flight { body, tenures, due, dice, landed: None });
                }
                None => driver.pacing.sent_nothing(now, &mut self.patience),
            }
        }
        driver.lane.take_effects()
    }

    /// The answer to the request of a lane.
    pub fn answered(&mut self, number: usize, reply: &RequestReply, now: Instant, chance: f64) -> (Effects, Vec<Said>) {
        let mut said = Vec::new();
        let driver = &mut self.drivers[number];
        let Some(flight) = driver.flight.take() else { return (Effects::default(), said) };
        self.in_flight.remove(&flight.tenures);
        let pace = driver.lane.answered(reply);
        let answer = LaneAnswer { reply, pace: &pace, has_residue: driver.lane.has_residue() };
        let change = driver.pacing.answered(now, answer, chance, &mut self.patience);
        if change.wakes_all {
            self.wake_all();
        }
        if change.gives_up {
            self.give_up(&mut said);
        }
        if let Some(halt) = change.halt {
            self.halt(halt.message, &mut said);
        }
        (self.drivers[number].lane.take_effects(), said)
    }

    fn halt(&mut self, message: String, said: &mut Vec<Said>) {
        self.halted = true;
        said.push(Said::Halt(message));
    }

    fn wake_all(&mut self) {
        self.drivers.iter_mut().for_each(|driver| driver.woken = true);
    }

    fn give_up(&mut self, said: &mut Vec<Said>) {
        said.push(Said::GaveUp);
        self.patience.announced();
    }

    /// What the keeper does every second. `answers`: the server does.
    pub fn keep(&mut self, now: Instant, answers: bool) -> Vec<Said> {
        let mut said = Vec::new();
        if self.patience.gives_up(now) {
            self.give_up(&mut said);
        }
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
