//! One measurement: start the engine, feed, warm up, measure, wait until everything fed is resolved, stop.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cli::figures::EngineEnding;
use crate::cli::progress::{PATIENCE, Progress, Stillness};
use crate::model::TopicPartition;
use crate::pipeline::{Engine, EngineOptions};
use crate::telemetry::process::ProcessUse;
use crate::testbed::feeder::{Fed, FeedHooks, FeedPlan, Feeder};

use super::account::{BenchAccount, MeasurementEnd};
use super::target::BenchTarget;

const LOOK: Duration = Duration::from_millis(20);

/// What is asked of the pipeline.
#[derive(Debug, Clone)]
pub(super) struct Load {
    /// Records a second in an open loop; `None`: as fast as it goes.
    pub(super) rate: Option<f64>,
    pub(super) warm_up: Duration,
    pub(super) time: Duration,
    /// The sink's server stands still for so long in the middle.
    pub(super) stall: Option<Duration>,
}

/// Feeding and watching one engine.
struct Measurement<'a> {
    target: &'a BenchTarget,
    load: &'a Load,
    engine: Engine,
    progress: Progress,
    trouble: Vec<String>,
}

/// Measures.
///
/// # Errors
/// An engine or feeder that does not start. Everything later is in the account.
pub(super) fn run(target: BenchTarget, load: Load, report: PathBuf) -> Result<BenchAccount, String> {
    let settings = super::settings(&target.args, &load, target.settings.clone());
    let lookups = target.lookups.clone();
    let options = EngineOptions { lookups, report: Some(report), settings, warm_up: true, ..EngineOptions::default() };
    let engine = Engine::start(target.plan.clone(), options).map_err(|error| error.to_string())?;
    let progress = Progress::note("starting");
    let mut measurement = Measurement { target: &target, load: &load, engine, progress, trouble: Vec::new() };
    let (fed, marks) = measurement.feed_and_watch();
    let Measurement { engine, progress, trouble, .. } = measurement;
    progress.note_next("draining");
    engine.stop_handle().drain();
    let ending = EngineEnding::from(engine.join());
    progress.end();
    let arrived = target.testbed.as_ref().map(|testbed| testbed.arrived());
    Ok(BenchAccount { pipeline: target.pipeline, load, fed, marks, arrived, ending, trouble })
}

impl Measurement<'_> {
    fn feed_and_watch(&mut self) -> (Fed, Option<(MeasurementEnd, MeasurementEnd)>) {
        if !self.await_assignment() {
            return (Fed::default(), None);
        }
        let feeder = match self.start_feeder() {
            Ok(feeder) => feeder,
            Err(why) => {
                self.trouble.push(why);
                return (Fed::default(), None);
            }
        };
        let marks = self.watch(&feeder);
        feeder.finish();
        match feeder.join() {
            Ok(fed) => {
                self.await_resolution(&fed);
                (fed, marks)
            }
            Err(error) => {
                self.trouble.push(error.to_string());
                (Fed::default(), marks)
            }
        }
    }

    fn position(&self, partition: i32) -> Option<i64> {
        let name = TopicPartition { topic: self.target.feed.topic.as_str().into(), partition };
        self.engine.positions()(&self.target.pipeline, &name)
    }

    /// Records resolved so far.
    fn resolved(&self) -> u64 {
        self.engine.board().pipelines.iter().map(|one| one.pipeline.metrics.conservation().resolved()).sum()
    }

    /// Records produced before would not be read by a group that starts at the end.
    fn await_assignment(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while (0..self.target.feed.partitions).any(|partition| self.position(partition).is_none()) {
            if Instant::now() >= deadline || self.engine.has_ended() {
                self.trouble.push(format!("the partitions of {} were not assigned", self.target.feed.topic));
                return false;
            }
            std::thread::park_timeout(LOOK);
        }
        true
    }

    fn start_feeder(&self) -> Result<Feeder, String> {
        let position = self.engine.positions();
        let (pipeline, topic): (_, Arc<str>) = (self.target.pipeline.clone(), self.target.feed.topic.as_str().into());
        let consumed = move |partition| position(&pipeline, &TopicPartition { topic: topic.clone(), partition });
        let hooks = FeedHooks { consumed: Box::new(consumed), announce: Box::new(|_, _| {}) };
        let plan = FeedPlan { rate: self.load.rate, ..self.target.feed.clone() };
        Feeder::start(&self.target.brokers, self.target.generator.clone(), plan, hooks)
            .map_err(|error| error.to_string())
    }

    /// The beginning and the end of the measurement; `None` when it did not come to that.
    fn watch(&mut self, feeder: &Feeder) -> Option<(MeasurementEnd, MeasurementEnd)> {
        let Load { warm_up, time, stall, .. } = *self.load;
        self.progress.note_next(&format!("warming up for {} s", warm_up.as_secs()));
        self.pass(feeder, warm_up)?;
        self.await_warmth(feeder)?;
        self.engine.board().measure();
        let begin = self.mark(feeder);
        self.progress.note_next(&format!("measuring for {} s", time.as_secs()));
        if let (Some(stall), Some(testbed)) = (stall, &self.target.testbed) {
            let first = time.saturating_sub(stall) / 2;
            self.pass(feeder, first)?;
            testbed.stall(stall);
            self.pass(feeder, stall)?;
            testbed.end_stall();
            self.pass(feeder, time.saturating_sub(first + stall))?;
        } else {
            self.pass(feeder, time)?;
        }
        Some((begin, self.mark(feeder)))
    }

    /// Lets time pass; `None` when engine or feeder ended meanwhile.
    fn pass(&mut self, feeder: &Feeder, time: Duration) -> Option<()> {
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            if self.engine.has_ended() {
                self.trouble.push("the engine ended by itself".to_owned());
                return None;
            }
            if feeder.is_finished() {
                return None;
            }
            std::thread::park_timeout(left.min(LOOK));
        }
        Some(())
    }

    /// What was fed until now belongs to the warm-up: a consumer that was slow to begin would be in the latencies
    /// otherwise. Not waited for longer than [`PATIENCE`], nor when the warm-up is left out.
    fn await_warmth(&mut self, feeder: &Feeder) -> Option<()> {
        let (fed, deadline) = (feeder.fed(), Instant::now() + PATIENCE);
        while !self.load.warm_up.is_zero() && self.resolved() < fed && Instant::now() < deadline {
            self.pass(feeder, LOOK)?;
        }
        Some(())
    }

    fn mark(&self, feeder: &Feeder) -> MeasurementEnd {
        let (resolved, fed) = (self.resolved(), feeder.fed());
        MeasurementEnd { at: Instant::now(), resolved, fed, cpu_seconds: ProcessUse::now().cpu_seconds }
    }

    /// Whether a partition is not resolved up to its end.
    fn is_behind(&self, ends: &[i64]) -> bool {
        let behind = |(partition, end): (i32, &i64)| self.position(partition).is_none_or(|at| at < *end);
        (0..).zip(ends).any(behind)
    }

    /// Until everything that was fed is resolved, or nothing moves any more.
    fn await_resolution(&mut self, fed: &Fed) {
        let mut stillness = Stillness::new(0, Instant::now());
        while self.is_behind(&fed.ends) {
            let now = Instant::now();
            stillness.look(self.resolved(), now);
            if let Some(why) = stillness.why_over(self.engine.has_ended(), now) {
                self.trouble.push(format!("{why}, with {} records resolved", stillness.at));
                return;
            }
            std::thread::park_timeout(LOOK);
        }
    }
}
