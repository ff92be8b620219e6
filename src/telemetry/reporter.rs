//! The one thread that reads all counters: four times a second it takes the histograms, judges every pipeline,
//! publishes the judgement, logs, and collects what the run files need. Rooms never wait for it.

use std::io::{self, Write};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use enum_map::EnumMap;
use hdrhistogram::Histogram;
use strum::VariantArray;

use super::board::{Board, PipelineView};
use super::health::State;
use super::latency::{Stage, empty_histogram};
use super::latency_log::{LatencyLog, StageHistograms};
use super::metrics::Counter;
use super::notice::About;
use super::percentiles::Percentiles;
use super::sampler::{FIRST_STEP, Levels, Sampler, SeriesPoint};
use super::watch::{Judgement, Observation, StageTime, Stalled, Watch, WatchLimits};
use super::{lag, summary, unix_ms};
use crate::model::TopicPartition;

/// Time between two turns of the reporter.
pub const TURN: Duration = FIRST_STEP;
/// Time between two summary lines of a pipeline, and length of the window of published percentiles.
const SUMMARY_EVERY: Duration = Duration::from_secs(10);
/// Stalled partitions named in one line of the log.
const STALLED_NAMED: usize = 10;
/// Percentiles of the window are computed this often.
const PERCENTILES_EVERY: Duration = Duration::from_secs(1);

/// Where `latency.hlog` goes.
pub type LogFile = Box<dyn Write + Send>;

/// Reads, judges, publishes, logs, collects.
pub struct Reporter {
    board: Arc<Board>,
    desks: Vec<PipelineReport>,
    log: LatencyLog<LogFile>,
    /// During a warm-up: the file the log will be written to.
    log_to_come: Option<LogFile>,
    warming_up: bool,
    spare: Histogram<u64>,
    started: Instant,
    next_summary: Instant,
    next_percentiles: Instant,
}

/// What is remembered of one pipeline.
struct PipelineReport {
    watch: Watch,
    sampler: Sampler,
    before: Levels,
    window: StageHistograms,
    window_before: StageHistograms,
    latency: EnumMap<Stage, Percentiles>,
    state: State,
    broken: bool,
    stalled: Vec<TopicPartition>,
    noticed: Vec<About>,
}

/// What a run leaves behind.
pub struct Collected {
    /// Duration of the run, without its warm-up.
    pub duration: Duration,
    /// By pipeline, in the board's order.
    pub pipelines: Vec<CollectedPipeline>,
}

/// What a run leaves behind of one pipeline.
pub struct CollectedPipeline {
    /// Its handles, for the final counters.
    pub view: Arc<PipelineView>,
    /// The last judgement.
    pub judgement: Arc<Judgement>,
    /// Histograms of the whole run, without its warm-up.
    pub totals: StageHistograms,
    /// The time series.
    pub series: Vec<SeriesPoint>,
    /// What there was before, in a warm-up.
    pub before: Levels,
}

impl Reporter {
    /// A reporter of all pipelines on the board. `log` is `latency.hlog`, when one is wanted.
    ///
    /// # Errors
    /// What writing the log's head answers.
    pub fn new(board: Arc<Board>, limits: WatchLimits, log: Option<LogFile>, now: Instant) -> io::Result<Self> {
        let desk = |view: &Arc<PipelineView>| PipelineReport {
            watch: Watch::new(limits, view.workers, view.lanes),
            sampler: Sampler::new(now, Levels::default()),
            before: Levels::default(),
            window: EnumMap::from_fn(|_| empty_histogram()),
            window_before: EnumMap::from_fn(|_| empty_histogram()),
            latency: Default::default(),
            state: State::Starting,
            broken: false,
            stalled: Vec::new(),
            noticed: Vec::new(),
        };
        let warming_up = board.is_warming_up();
        let (log, log_to_come) = if warming_up { (None, log) } else { (log, None) };
        Ok(Self {
            desks: board.pipelines.iter().map(desk).collect(),
            log: LatencyLog::new(log, &names(&board), now, board.started_at)?,
            log_to_come,
            warming_up,
            board,
            spare: empty_histogram(),
            started: now,
            next_summary: now + SUMMARY_EVERY,
            next_percentiles: now,
        })
    }

    /// One turn. Names the pipelines whose watchdog has run out: the process ends with exit 75.
    pub fn turn(&mut self, now: Instant, wall: SystemTime) -> Vec<Arc<str>> {
        let summary_due = now >= self.next_summary;
        let percentiles_due = now >= self.next_percentiles;
        let mut stuck = Vec::new();
        for index in 0..self.desks.len() {
            let view = self.board.pipelines[index].clone();
            self.collect(index, &view, now);
            let desk = &mut self.desks[index];
            if percentiles_due || summary_due {
                desk.refresh_percentiles();
            }
            let mut judged = desk.watch.observe(now, view.pipeline.health.state(), &observe(&view, unix_ms(wall)));
            judged.latency = desk.latency;
            desk.tell_changes(&view, &judged);
            if summary_due && !judged.state.has_ended() {
                summary::log_interval(&view, &judged);
            }
            if summary_due {
                desk.turn_window();
            }
            if judged.give_up {
                stuck.push(view.pipeline.name.clone());
            }
            view.publish(Arc::new(judged));
        }
        if summary_due {
            self.next_summary = now + SUMMARY_EVERY;
        }
        if percentiles_due {
            self.next_percentiles = now + PERCENTILES_EVERY;
        }
        if self.warming_up && !self.board.is_warming_up() {
            self.begin_measurement(now, wall);
        }
        if let Err(error) = self.log.turn(now) {
            tracing::error!("failed to write latency.hlog: {error}; the run goes on without it");
        }
        stuck
    }

    /// Forgets what the warm-up has left in the log, the totals and the series.
    fn begin_measurement(&mut self, now: Instant, wall: SystemTime) {
        self.warming_up = false;
        match LatencyLog::new(self.log_to_come.take(), &names(&self.board), now, wall) {
            Ok(log) => self.log = log,
            Err(error) => {
                tracing::error!("failed to write latency.hlog: {error}; the run goes on without it");
            }
        }
        self.started = now;
        for (desk, view) in self.desks.iter_mut().zip(&self.board.pipelines) {
            desk.before = levels(view);
            desk.sampler = Sampler::new(now, desk.before);
        }
    }

    /// The last turn, and everything collected.
    #[must_use]
    pub fn finish(mut self, now: Instant, wall: SystemTime) -> Collected {
        self.turn(now, wall);
        let (totals, written) = self.log.finish(now);
        if let Err(error) = written {
            tracing::error!("failed to write latency.hlog: {error}");
        }
        let views = self.board.pipelines.iter();
        let finished = views.zip(self.desks).zip(totals).filter_map(|((view, desk), totals)| {
            let series = desk.sampler.finish(now, levels(view));
            let (view, judgement, before) = (view.clone(), view.judgement()?, desk.before);
            Some(CollectedPipeline { view, judgement, totals, series, before })
        });
        Collected { duration: now.saturating_duration_since(self.started), pipelines: finished.collect() }
    }

    /// Runs on a thread of its own until [`ReporterHandle::finish`]; `after_turn` is given the names of the pipelines
    /// whose watchdog has run out, every turn anew.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn spawn(
        mut self,
        mut after_turn: impl FnMut(Instant, &[Arc<str>]) + Send + 'static,
    ) -> io::Result<ReporterHandle> {
        let (stop, stopped) = flume::bounded::<()>(1);
        let run = move || {
            while let Err(flume::RecvTimeoutError::Timeout) = stopped.recv_timeout(TURN) {
                let now = Instant::now();
                let stuck = self.turn(now, SystemTime::now());
                after_turn(now, &stuck);
            }
            self.finish(Instant::now(), SystemTime::now())
        };
        let thread = std::thread::Builder::new().name("reporter".into()).spawn(run)?;
        Ok(ReporterHandle { stop, thread })
    }

    fn collect(&mut self, index: usize, view: &PipelineView, now: Instant) {
        let desk = &mut self.desks[index];
        for &stage in Stage::VARIANTS {
            view.pipeline.latency.take_into(stage, &mut self.spare);
            if !self.spare.is_empty() {
                self.log.add(index, stage, &self.spare);
                merge(&mut desk.window[stage], &self.spare);
            }
            if stage == Stage::EndToEnd {
                desk.sampler.push(now, levels(view), &self.spare);
            }
        }
    }
}

/// A running reporter.
pub struct ReporterHandle {
    stop: flume::Sender<()>,
    thread: JoinHandle<Collected>,
}

impl ReporterHandle {
    /// Stops the reporter; `None` when its thread panicked, which its message on stderr has told.
    #[must_use]
    pub fn finish(self) -> Option<Collected> {
        drop(self.stop);
        self.thread.join().ok()
    }
}

impl PipelineReport {
    fn refresh_percentiles(&mut self) {
        for &stage in Stage::VARIANTS {
            let (now, before) = (&self.window[stage], &self.window_before[stage]);
            self.latency[stage] = match (now.is_empty(), before.is_empty()) {
                (true, _) => Percentiles::of(before),
                (false, true) => Percentiles::of(now),
                (false, false) => {
                    let mut both = now.clone();
                    merge(&mut both, before);
                    Percentiles::of(&both)
                }
            };
        }
    }

    fn turn_window(&mut self) {
        std::mem::swap(&mut self.window, &mut self.window_before);
        self.window.values_mut().filter(|window| !window.is_empty()).for_each(Histogram::reset);
    }

    /// One line a change, none while nothing changes.
    fn tell_changes(&mut self, view: &PipelineView, judged: &Judgement) {
        if judged.state != self.state {
            summary::log_change(&view.pipeline.name, self.state, judged);
            self.state = judged.state;
        }
        if judged.conservation_broken && !self.broken {
            view.pipeline.metrics.conservation_errors.add(1);
            tracing::error!(pipeline = &*view.pipeline.name, "the conservation sum does not hold: {}", judged.sum);
        }
        self.broken = judged.conservation_broken;
        for notice in judged.notices.iter().filter(|notice| !self.noticed.contains(&notice.about)) {
            tracing::warn!(pipeline = &*view.pipeline.name, "{}", notice.text);
        }
        self.noticed = judged.notices.iter().map(|notice| notice.about).collect();
        if others_stalled(&mut self.stalled, &judged.stalled) {
            let names: Vec<String> = self.stalled.iter().take(STALLED_NAMED).map(TopicPartition::to_string).collect();
            tracing::warn!(
                pipeline = &*view.pipeline.name,
                partitions = self.stalled.len(),
                "stalled: {}",
                names.join(", ")
            );
        }
    }
}

/// Whether other partitions are stalled than those known; then these are the known ones.
fn others_stalled(known: &mut Vec<TopicPartition>, stalled: &[Stalled]) -> bool {
    let others = !stalled.iter().map(|one| &one.partition).eq(known.iter());
    if others {
        *known = stalled.iter().map(|one| one.partition.clone()).collect();
    }
    others
}

fn names(board: &Board) -> Vec<Arc<str>> {
    board.pipelines.iter().map(|view| view.pipeline.name.clone()).collect()
}

fn merge(into: &mut Histogram<u64>, from: &Histogram<u64>) {
    if !from.is_empty()
        && let Err(error) = into.add(from)
    {
        tracing::error!("failed to merge latency histograms: {error}");
    }
}

fn levels(view: &PipelineView) -> Levels {
    let sum = view.pipeline.metrics.conservation();
    Levels {
        consumed: sum.consumed,
        resolved: sum.resolved(),
        bytes: view.pipeline.metrics.source_bytes.get(),
        open: sum.open,
        lag: view.pipeline.lag.records(),
        budget_bytes: view.pipeline.budget.used() as u64,
    }
}

fn observe(view: &PipelineView, now_ms: i64) -> Observation {
    let metrics = &view.pipeline.metrics;
    let lag = view.pipeline.lag.snapshot();
    let time = |stage| StageTime { busy_nanos: metrics.busy(stage).get(), blocked_nanos: metrics.blocked(stage).get() };
    let rewinds: u64 = metrics.rewinds.values().map(Counter::get).sum();
    Observation {
        sum: metrics.conservation(),
        bytes: metrics.source_bytes.get(),
        repeats: metrics.retries.get() + rewinds,
        stages: EnumMap::from_fn(time),
        lag_seconds: lag::total(&lag, now_ms).and_then(|(_, seconds)| seconds),
        lag,
        faults: view
            .pipeline
            .health
            .faults()
            .into_iter()
            .map(|(room, fault)| format!("{}: {}", room.name(), fault.message))
            .collect(),
        joined: view.has_joined(),
        sink_slots: usize::try_from(metrics.requests_in_flight_limit.get()).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Outcome, Position};
    use crate::telemetry::board::tests::board_of_two;
    use crate::telemetry::exposition;
    use crate::telemetry::health::Component;
    use crate::telemetry::lag::Lag;

    #[test]
    fn a_turn_publishes_and_the_end_keeps_everything() {
        let board = board_of_two();
        let start = Instant::now();
        let wall = SystemTime::now();
        let mut reporter = Reporter::new(board.clone(), WatchLimits::default(), None, start).expect("no log");
        let relay = &board.pipelines[0];
        relay.pipeline.metrics.assigned_partitions.set(1);
        for turn in 1..=40_u32 {
            relay.pipeline.metrics.drained(&"events".into(), 100, 1_000);
            relay.pipeline.metrics.outcome(Outcome::Delivered).add(100);
            relay.pipeline.metrics.balance(0);
            relay.pipeline.latency.record(Stage::EndToEnd, Duration::from_millis(u64::from(turn)), 100);
            assert_eq!(reporter.turn(start + TURN * turn, wall), Vec::<Arc<str>>::new());
        }
        let judged = relay.judgement().expect("published");
        assert_eq!((judged.state, judged.rates.resolved), (State::Running, 400.0));
        assert!(judged.latency[Stage::EndToEnd].count > 3_000);
        assert_eq!(board.pipelines[1].judgement().expect("published").state, State::Starting);

        let collected = reporter.finish(start + TURN * 41, wall);
        assert_eq!(collected.duration, TURN * 41);
        assert_eq!(collected.pipelines[0].totals[Stage::EndToEnd].len(), 4_000, "nothing is lost between turns");
        assert_eq!(collected.pipelines[0].series.len(), 41);
        assert_eq!(collected.pipelines[1].totals[Stage::EndToEnd].len(), 0);
    }

    #[test]
    fn nothing_of_a_warm_up_is_kept() {
        let board = board_of_two();
        let (start, wall) = (Instant::now(), SystemTime::now());
        board.warm_up();
        let file = Written::default();
        let log: LogFile = Box::new(file.clone());
        let mut reporter = Reporter::new(board.clone(), WatchLimits::default(), Some(log), start).expect("a log");
        let relay = &board.pipelines[0];
        for turn in 1..=20_u32 {
            if turn == 8 {
                board.measure();
            }
            relay.pipeline.metrics.outcome(Outcome::Delivered).add(100);
            relay.pipeline.metrics.balance(0);
            relay.pipeline.latency.record(Stage::Age, Duration::from_millis(if turn <= 8 { 900 } else { 5 }), 100);
            let _ = reporter.turn(start + TURN * turn, wall);
        }
        let collected = reporter.finish(start + TURN * 21, wall);
        assert_eq!(collected.duration, TURN * 13);
        let one = &collected.pipelines[0];
        let ages = &one.totals[Stage::Age];
        assert_eq!((ages.len(), ages.max() / 1_000), (1_200, 5));
        assert_eq!((one.before.resolved, one.series.len()), (800, 13));
        assert!(one.series.iter().take(12).all(|point| (point.resolved_per_second - 400.0).abs() < 1.0));
        let lines = String::from_utf8(file.0.lock().expect("unpoisoned").clone()).expect("text");
        let first = lines.lines().find(|line| line.contains("Tag=")).expect("a line");
        assert!(first.starts_with("Tag=relay.age,0."), "times are of the measurement: {first}");
    }

    #[derive(Clone, Default)]
    struct Written(Arc<std::sync::Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("unpoisoned").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stuck_pipeline_is_named_and_a_broken_sum_is_counted_once() {
        let board = board_of_two();
        let start = Instant::now();
        let limits = WatchLimits { watchdog: Duration::from_secs(30), ..WatchLimits::default() };
        let mut reporter = Reporter::new(board.clone(), limits, None, start).expect("no log");
        let index = &board.pipelines[1];
        index.pipeline.metrics.balance(3);
        let mut named = Vec::new();
        for second in 0..40 {
            named = reporter.turn(start + Duration::from_secs(second), SystemTime::now());
        }
        assert_eq!(named, [Arc::<str>::from("index")]);
        assert_eq!(index.pipeline.metrics.conservation_errors.get(), 1, "3 open of 0 consumed");
        index.pipeline.health.raise(Component::Sink, "connection refused");
        reporter.turn(start + Duration::from_secs(41), SystemTime::now());
        let judged = index.judgement().expect("published");
        assert!(judged.why.contains(&"sink: connection refused".to_owned()), "{:?}", judged.why);
    }

    #[test]
    fn a_stalled_partition_is_counted_and_told_again_when_it_is_another() {
        let partition = |partition| TopicPartition { topic: "events".into(), partition };
        let stalled = |number| Stalled { partition: partition(number), stood: Duration::from_secs(60), lag_records: 1 };
        let mut known = Vec::new();
        let told = [vec![], vec![stalled(1)], vec![stalled(1)], vec![stalled(2)], vec![]];
        let told = told.map(|now| others_stalled(&mut known, &now));
        assert_eq!(told, [false, true, false, true, true]);

        let board = board_of_two();
        let start = Instant::now();
        let mut reporter = Reporter::new(board.clone(), WatchLimits::default(), None, start).expect("no log");
        let lag = Lag { records: 5, position: Position(7), oldest_timestamp_ms: None };
        board.pipelines[1].pipeline.lag.set(&partition(3), lag);
        let shown = |text: &str, pipeline: &str| {
            let series = format!("sluicegate_stalled_partitions{{pipeline=\"{pipeline}\"}} ");
            text.lines().find_map(|line| line.strip_prefix(&series)).map(str::to_owned)
        };
        for (second, expected) in [(0, "0"), (59, "0"), (60, "1")] {
            reporter.turn(start + Duration::from_secs(second), SystemTime::now());
            let text = exposition::render(&board, SystemTime::now()).expect("formats");
            assert_eq!(shown(&text, "index").as_deref(), Some(expected), "after {second} s");
            assert_eq!(shown(&text, "relay").as_deref(), Some("0"));
        }
    }

    #[test]
    fn the_thread_stops_when_asked() {
        let board = board_of_two();
        let reporter = Reporter::new(board, WatchLimits::default(), None, Instant::now()).expect("no log");
        let handle = reporter.spawn(|_, _| ()).expect("a thread");
        assert_eq!(handle.finish().expect("no panic").pipelines.len(), 2);
    }
}
