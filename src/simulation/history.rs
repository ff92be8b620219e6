//! One history: a world, one or more lives of the engine, faults, then calm; and what must hold all along.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::config::plan::{OnDamaged, Start};
use crate::model::{Budget, PartitionTable};
use crate::sink::elasticsearch::InFlightCounts;
use crate::source::snapshot::Snapshot;
use crate::source::{InFlight, Source, SourceContext, Until};
use crate::telemetry::handles::Handles;
use crate::telemetry::health::{Component, Health};
use crate::telemetry::lag::LagTable;
use crate::telemetry::latency::LatencyBook;
use crate::telemetry::metrics::PipelineMetrics;

use super::client::SimulatedClient;
use super::draw::{Settings, draw, quiet};
use super::engine::{Engine, LanesInFlight, RING, RelayInFlight, Sink, no_wake};
use super::kafka::Membership;
use super::lanes::Lanes;
use super::log::{Entry, Log, Then, Unreadable};
use super::messages::Batch;
use super::plan::{plan, retry};
use super::relay::Relay;
use super::world::World;

/// Steps in calm after which a partition has stalled.
const CALM_STEPS: usize = 4000;

/// A commit without an answer is named after five seconds, and a turn of grace.
const UNANSWERED_SAID: Duration = Duration::from_secs(6);

/// Bytes above twice the budget that may be charged: a batch that was drained when there was still room.
const SLACK: usize = 16 << 10;

/// What all histories of a thread share: making them is dear and they decide nothing.
pub struct Instruments {
    /// Counters.
    pub metrics: Arc<PipelineMetrics>,
    latency: Arc<LatencyBook>,
}

impl Instruments {
    /// Fresh ones.
    pub fn new() -> Self {
        Self { metrics: PipelineMetrics::new("simulated"), latency: LatencyBook::new() }
    }

    /// What the engine counted.
    pub fn counts(&self) -> Vec<(&'static str, u64)> {
        let metrics = &self.metrics;
        let mut counts: Vec<_> = metrics.rewinds.iter().map(|(cause, counter)| (cause.name(), counter.get())).collect();
        counts.push(("redelivered", metrics.redelivered.get()));
        counts.push(("rebalances", metrics.rebalances.get()));
        counts.push(("commit failures", metrics.commit_failures.get()));
        counts.push(("stale parts", metrics.stale_parts.get()));
        counts.push(("gap records", metrics.gap_records.get()));
        counts
    }
}

/// What a history did, for those who want to know whether it did anything.
#[derive(Debug, Clone, Copy, Default)]
pub struct Account {
    /// Steps taken.
    pub steps: u64,
    /// Records read.
    pub consumed: u64,
    /// Of these given back.
    pub rewound: u64,
    /// Writes that landed.
    pub landed: u64,
    /// Lives of the engine.
    pub lives: u64,
}

impl Account {
    /// Adds another history's.
    pub fn add(&mut self, other: Self) {
        self.steps += other.steps;
        self.consumed += other.consumed;
        self.rewound += other.rewound;
        self.landed += other.landed;
        self.lives += other.lives;
    }
}

/// Why a history failed, and its steps if they were wanted.
#[derive(Debug)]
pub struct Failure {
    /// What must not be.
    pub what: String,
    /// Step by step.
    pub trace: Vec<String>,
}

pub struct History<'a> {
    /// Everything but the source.
    pub world: Rc<RefCell<World>>,
    /// The engine's source, while it lives.
    pub source: Option<Source<SimulatedClient>>,
    settings: Settings,
    instruments: &'a Instruments,
    account: Account,
}

/// Runs the history of a seed.
pub fn run(seed: u64, instruments: &Instruments, traced: bool) -> Result<Account, Failure> {
    let mut history = History::new(seed, instruments, traced);
    let ended = catch_unwind(AssertUnwindSafe(|| history.run()));
    let what = match ended {
        Ok(Ok(())) => return Ok(history.account),
        Ok(Err(what)) => what,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or("a panic".to_owned())
        }
    };
    let trace = history.world.try_borrow_mut().map_or(None, |mut world| world.trace.take());
    Err(Failure { what, trace: trace.unwrap_or_default() })
}

impl<'a> History<'a> {
    /// The history of a seed.
    fn new(seed: u64, instruments: &'a Instruments, traced: bool) -> Self {
        Self::of(draw(seed, traced), instruments)
    }

    /// See [`quiet`].
    pub fn quiet(instruments: &'a Instruments) -> Self {
        let mut history = Self::of(quiet(), instruments);
        history.start();
        history
    }

    /// The same, as a bounded run over `entries`.
    pub fn quiet_until_end(entries: &[Entry], instruments: &'a Instruments) -> Self {
        let (mut settings, world) = quiet();
        settings.until = true;
        let mut history = Self::of((settings, world), instruments);
        entries.iter().for_each(|entry| history.world.borrow_mut().kafka.logs[0].append(*entry));
        history.start();
        history
    }

    /// Over a batch that cannot be read and is to be skipped; `until`: a bounded run.
    pub fn quiet_over(batch: Unreadable, entries: &[Entry], until: bool, instruments: &'a Instruments) -> Self {
        let (mut settings, mut world) = quiet();
        settings.until = until;
        world.mix.skips = true;
        entries.iter().for_each(|entry| world.kafka.logs[0].append(*entry));
        world.kafka.logs[0].unreadable.push(batch);
        let mut history = Self::of((settings, world), instruments);
        history.start();
        history
    }

    fn of((settings, world): (Settings, World), instruments: &'a Instruments) -> Self {
        let world = Rc::new(RefCell::new(world));
        Self { world, source: None, settings, instruments, account: Account::default() }
    }

    fn run(&mut self) -> Result<(), String> {
        if self.settings.until || self.world.borrow().mix.latest {
            (0..6).for_each(|_| self.world.borrow_mut().append());
        }
        let ends: Vec<i64> = self.world.borrow().kafka.logs.iter().map(Log::end).collect();
        self.start();
        for _ in 0..self.settings.steps {
            self.step()?;
            if self.is_over() {
                return self.end_of_bounded_run(&ends);
            }
        }
        self.world.borrow_mut().calm_down();
        if self.source.is_none() {
            self.start();
        }
        let mut steps = 0;
        while self.settings.until || !self.is_all_resolved() {
            steps += 1;
            if steps > self.longest_calm() {
                return Err(self.stalled());
            }
            self.world.borrow_mut().step();
            self.turn()?;
            if self.is_over() {
                return self.end_of_bounded_run(&ends);
            }
        }
        self.stop(false)?;
        self.world.borrow_mut().late.clear();
        self.check_end()
    }

    /// Stepping over a batch takes seconds, and one that is not told of is noticed after 15 s, three times. A record
    /// may take a step.
    fn longest_calm(&self) -> usize {
        let world = self.world.borrow();
        let steps = |batch: &Unreadable| if batch.then == Then::Silence { 3000 } else { 200 };
        let all = world.kafka.logs.iter().flat_map(|log| &log.unreadable).map(steps);
        CALM_STEPS + all.sum::<usize>() + world.kafka.logs.iter().map(|log| log.end() as usize).sum::<usize>()
    }

    /// Whether a bounded run has ended by itself.
    pub fn is_over(&mut self) -> bool {
        self.settings.until && self.source.as_mut().is_some_and(|source| source.is_over())
    }

    /// A bounded run ends by itself, with everything below its marks resolved and committed, and nothing above.
    pub fn end_of_bounded_run(&mut self, ends: &[i64]) -> Result<(), String> {
        let source = self.source.as_ref().map(Source::snapshot);
        let is_damaged = |source: &Snapshot| source.partitions.iter().any(|one| one.is_damaged);
        if source.as_ref().is_some_and(|source| source.halt.is_some() && is_damaged(source)) {
            return self.end_at_damage();
        }
        let partitions = source.map(|source| source.partitions).unwrap_or_default();
        let marks: Vec<_> =
            partitions.iter().map(|one| (one.name.partition, one.mark.map_or(-1, |mark| mark.0))).collect();
        self.world.borrow_mut().calm_down();
        self.stop(false)?;
        let world = &mut *self.world.borrow_mut();
        for (partition, log) in world.kafka.logs.iter_mut().enumerate() {
            let mark = marks.iter().find(|(number, _)| *number == partition as i32).map_or(-1, |(_, mark)| *mark);
            let committed = world.kafka.committed.get(&(partition as i32)).copied().unwrap_or(0);
            let last = log.behind_last_record_below(mark);
            if mark < ends[partition]
                || log.resolved_below() < last
                || committed > mark.max(log.low)
                || committed < last
            {
                return Err(format!(
                    "the bounded run ended with {partition} committed at {committed}, resolved below {}, mark {mark}, \
                     last record {last}, end at start {}",
                    log.resolved_below(),
                    ends[partition]
                ));
            }
        }
        Ok(())
    }

    /// A bounded run that cannot read all says so at its end, and has committed nothing that it could not read.
    fn end_at_damage(&mut self) -> Result<(), String> {
        if !self.world.borrow().was_damaged {
            return Err("the run ends at damage, and there is none".to_owned());
        }
        self.stop(true)?;
        let world = &mut *self.world.borrow_mut();
        for (partition, log) in world.kafka.logs.iter_mut().enumerate() {
            let committed = world.kafka.committed.get(&(partition as i32)).copied().unwrap_or(0);
            if committed > log.resolved_below() {
                return Err(format!("{partition}: {committed} is committed, {} is not resolved", log.resolved_below()));
            }
        }
        Ok(())
    }

    /// A new life of the engine.
    fn start(&mut self) {
        self.account.lives += 1;
        let context = self.engine();
        let mut source = Source::with(SimulatedClient::new(&self.world), context);
        source.begin();
        self.source = Some(source);
    }

    fn engine(&self) -> SourceContext<Batch> {
        let world = &mut *self.world.borrow_mut();
        world.note(|| "the engine starts".to_owned());
        let mut plan = plan(self.settings.span, self.settings.memory, self.settings.interval, self.settings.revoke);
        if world.mix.skips {
            plan.source.on_damaged = OnDamaged::Skip;
        }
        if world.mix.latest {
            plan.source.start = Start::Latest;
        }
        let plan = Arc::new(plan);
        let wake = no_wake();
        let budget = Budget::new(self.settings.memory, wake.clone());
        let table = Arc::new(PartitionTable::default());
        let (batches, waiting) = flume::bounded(self.settings.channel);
        let (reports, reported) = flume::bounded(4096);
        let (sink, in_flight): (Sink, Arc<dyn InFlight>) = if self.settings.relay {
            let (commands, ordered) = flume::bounded(4096);
            (Sink::Relay(Relay::default(), ordered), Arc::new(RelayInFlight(commands)))
        } else {
            let in_flight = Arc::new(InFlightCounts::default());
            let (now, lanes, records) = (world.instant(), self.settings.lanes, self.settings.records);
            let lanes = Lanes::new(lanes, records, retry(), &budget, table.clone(), in_flight.clone(), now);
            (Sink::Lanes(lanes), Arc::new(LanesInFlight(in_flight)))
        };
        let engine = Engine::new(waiting, sink, reports, table.clone(), budget.clone());
        let pipeline = Handles {
            name: plan.name.clone(),
            metrics: self.instruments.metrics.clone(),
            latency: self.instruments.latency.clone(),
            health: Health::new(),
            lag: LagTable::new(),
            budget,
            table,
            stop: engine.stop.clone(),
            wake,
        };
        let context = SourceContext {
            plan,
            pipeline: Arc::new(pipeline),
            reports: reported,
            batches,
            released: engine.released.clone(),
            ring: RING,
            view: Arc::default(),
            in_flight,
            until: self.settings.until.then_some(Until::End),
            dry_run: false,
        };
        world.engine = Some(engine);
        world.lost.clear();
        let joined = world.now + world.up_to(Duration::from_millis(100));
        world.kafka.join(joined);
        world.kafka.target.clear();
        context
    }

    fn step(&mut self) -> Result<(), String> {
        self.account.steps += 1;
        self.world.borrow_mut().step();
        if self.source.is_none() {
            if self.world.borrow_mut().chance(0.2) {
                self.start();
            }
            return self.look();
        }
        if self.settings.crashes && self.world.borrow_mut().chance(0.02) {
            self.crash();
            return self.look();
        }
        if self.settings.stops && self.world.borrow_mut().chance(0.02) {
            return self.stop(true);
        }
        if self.world.borrow_mut().chance(0.85) { self.turn() } else { self.look() }
    }

    /// The source turns, and is looked at.
    pub fn turn(&mut self) -> Result<(), String> {
        let now = self.world.borrow().instant();
        if let Some(source) = &mut self.source {
            source.turn(now);
            source.turn(now);
            let since = source.snapshot().commit_unanswered_since;
            let waits = since.is_some_and(|since| now >= since + UNANSWERED_SAID);
            if waits && !source.has_fault(Component::Group) {
                return Err("nothing is said of a commit that is not answered".to_owned());
            }
        }
        self.look()
    }

    fn crash(&mut self) {
        if let Some(source) = self.source.take() {
            self.close_books(&source);
            drop(source);
        }
        self.world.borrow_mut().crash();
    }

    fn close_books(&mut self, source: &Source<SimulatedClient>) {
        let tally = source.snapshot().tally;
        self.account.consumed += tally.consumed;
        self.account.rewound += tally.rewound;
    }

    /// A stop as by SIGTERM; `under_fire` with faults, and perhaps a deadline.
    fn stop(&mut self, under_fire: bool) -> Result<(), String> {
        let Some(source) = self.source.take() else { return Ok(()) };
        self.close_books(&source);
        let expelled;
        {
            let mut world = self.world.borrow_mut();
            world.note(|| "stop".to_owned());
            world.begin_stop();
            let hurry = world.chance(0.3);
            // It is told when it wants to commit: whatever it has not committed by then, another member repeats.
            expelled = world.kafka.is_expelled();
            if let Some(engine) = &world.engine {
                engine.stop.drain();
                if hurry {
                    engine.stop.abort();
                }
            }
        }
        let end = source.finish();
        let mut world = self.world.borrow_mut();
        world.note(|| format!("stopped: {end:?}"));
        if !under_fire && (end.halt.is_some() || end.left_open > 0 || !(end.committed || expelled)) {
            return Err(format!("a calm stop ends with {end:?}"));
        }
        if world.kafka.stays {
            return Err("a member that was stopped has not left its group".to_owned());
        }
        world.crash();
        drop(world);
        self.look()
    }

    /// What must hold after every step.
    fn look(&mut self) -> Result<(), String> {
        let mut world = self.world.borrow_mut();
        if let Some(violation) = world.server.violation.take() {
            return Err(violation);
        }
        let Some(source) = self.source.as_ref().map(Source::snapshot) else { return Ok(()) };
        let tally = source.tally;
        if !tally.holds() {
            return Err(format!("the sum does not hold: {tally:?}"));
        }
        if let Some(halt) = &source.halt {
            return Err(format!("the source halts: {halt:?}"));
        }
        let most = (self.settings.span + 2 * world.largest_drain + 64) as u64;
        for one in &source.partitions {
            if one.span > most {
                return Err(format!("span {} of {}", one.span, one.name));
            }
            if let (Some(position), Some(expected), false) = (one.position, one.expected, one.is_held) {
                world.kafka.may_thaw(one.name.partition, position.max(expected).0);
            }
        }
        let Some(engine) = &world.engine else { return Ok(()) };
        let (peak, limit) = (engine.budget.peak(), 2 * engine.budget.limit() + SLACK);
        if peak > limit {
            return Err(format!("{peak} bytes were charged, {limit} is too much"));
        }
        if tally.open == 0 && engine.budget.used() > 0 && engine.is_idle() {
            return Err(format!("{} bytes are charged and nothing is open", engine.budget.used()));
        }
        Ok(())
    }

    /// Whether all there is was resolved and committed.
    pub fn is_all_resolved(&self) -> bool {
        let world = &mut *self.world.borrow_mut();
        let resolved = world.kafka.logs.iter_mut().enumerate().all(|(partition, log)| {
            let behind = log.behind_last_record();
            let committed = world.kafka.committed.get(&(partition as i32)).copied().unwrap_or(0);
            log.resolved_below() >= behind && committed >= behind && (committed <= log.end().max(log.low) || log.frozen)
        });
        resolved
            && world.kafka.logs.iter().all(|log| !log.unsure)
            && world.kafka.membership == Membership::Stable
            && self.source.as_ref().is_some_and(|source| source.snapshot().tally.open == 0)
    }

    fn stalled(&self) -> String {
        let world = &mut *self.world.borrow_mut();
        let mut text = format!("no end in calm: {:?}", world.kafka.membership);
        for (partition, log) in world.kafka.logs.iter_mut().enumerate() {
            let committed = world.kafka.committed.get(&(partition as i32)).copied();
            text += &format!(
                "; {partition}: resolved below {} of {}, committed {committed:?}, frozen {}",
                log.resolved_below(),
                log.behind_last_record(),
                log.frozen
            );
        }
        if let Some(source) = &self.source {
            text += &format!("; {}", source.describe());
        }
        text + &format!("; {:?}", world.kafka.library)
    }

    fn check_end(&mut self) -> Result<(), String> {
        let mut world = self.world.borrow_mut();
        self.account.landed = world.server.landed;
        let mut faults = Vec::new();
        for (partition, log) in world.kafka.logs.iter().enumerate() {
            // A log found to begin anew after the calm, read again, and then the stop: the next start reads the rest.
            let committed = world.kafka.committed.get(&(partition as i32));
            if committed.is_some_and(|committed| *committed < log.behind_last_record()) {
                continue;
            }
            for (key, version) in log.newest() {
                let holds = world.server.version(key);
                let lost = holds.is_some_and(|holds| log.lost_versions.contains(&holds));
                if holds != Some(version) && !lost {
                    faults.push(format!("key {key} holds {holds:?} at the end, not {version}"));
                }
            }
        }
        match faults.into_iter().next().or_else(|| world.server.violation.take()) {
            Some(fault) => Err(fault),
            None => Ok(()),
        }
    }
}
