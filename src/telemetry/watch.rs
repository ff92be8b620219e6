//! Judges a pipeline from two or more readings: state, rates, conservation, stalled partitions, watchdog. Pure: every
//! call is given `now`; nothing here reads a clock, a counter or a socket.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use enum_map::EnumMap;
use strum::VariantArray;

use super::health::State;
use super::lag::Lag;
use super::latency::Stage;
use super::metrics::StageName;
use super::notice::{Notice, notices};
use super::percentiles::Percentiles;
use crate::model::{Conservation, Position, TopicPartition};

/// What counts as too long.
#[derive(Debug, Clone, Copy)]
pub struct WatchLimits {
    /// Nothing resolved for this long although there is lag: the partition is stalled.
    pub stall: Duration,
    /// Records open, no fault named and nothing resolved for this long: the process ends with exit 75.
    pub watchdog: Duration,
    /// Rates are means over this window.
    pub window: Duration,
    /// Records open, none resolved and nobody's fault named for this long: `why` says so.
    pub silence: Duration,
}

impl Default for WatchLimits {
    fn default() -> Self {
        Self {
            stall: Duration::from_secs(60),
            watchdog: Duration::from_secs(600),
            window: Duration::from_secs(10),
            silence: Duration::from_secs(5),
        }
    }
}

/// One reading of a pipeline.
#[derive(Debug, Clone, Default)]
pub struct Observation {
    /// Conservation counters.
    pub sum: Conservation,
    /// Bytes drained.
    pub bytes: u64,
    /// Sends repeated in place, and rewinds.
    pub repeats: u64,
    /// Nanoseconds busy and blocked by [`StageName`].
    pub stages: EnumMap<StageName, StageTime>,
    /// Lag of the partitions known.
    pub lag: Vec<(TopicPartition, Lag)>,
    /// Age of the oldest record behind, in seconds.
    pub lag_seconds: Option<f64>,
    /// Messages of the faults named now.
    pub faults: Vec<String>,
    /// Whether the group has answered with an assignment.
    pub joined: bool,
    /// Requests the sink may have out at once now; 0 = as many as it has lanes.
    pub sink_slots: usize,
}

/// Busy and blocked time of a stage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StageTime {
    /// Nanoseconds of work.
    pub busy_nanos: u64,
    /// Nanoseconds of waiting for room behind it.
    pub blocked_nanos: u64,
}

/// Means over the window, per second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rates {
    /// Records drained.
    pub consumed: f64,
    /// Records resolved.
    pub resolved: f64,
    /// Bytes drained.
    pub bytes: f64,
    /// Sends repeated, and rewinds.
    pub repeats: f64,
}

/// A partition with lag whose position does not move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stalled {
    /// Which.
    pub partition: TopicPartition,
    /// For how long.
    pub stood: Duration,
    /// Records behind.
    pub lag_records: u64,
}

/// What is known of a pipeline at one moment.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// Lifecycle and progress in one word.
    pub state: State,
    /// Why it is not `running`: one sentence each.
    pub why: Vec<String>,
    /// What to know although nothing fails.
    pub notices: Vec<Notice>,
    /// Means over the window.
    pub rates: Rates,
    /// The reading.
    pub sum: Conservation,
    /// The sum does not hold.
    pub conservation_broken: bool,
    /// Partitions that stand still.
    pub stalled: Vec<Stalled>,
    /// Records behind, when known.
    pub lag_records: Option<u64>,
    /// Age of the oldest record behind, when known.
    pub lag_seconds: Option<f64>,
    /// The busiest stage of the window and its share of a thread's time, when anything was busy.
    pub slowest: Option<(StageName, f64)>,
    /// Time counted by the watchdog.
    pub stuck: Duration,
    /// The watchdog's limit is reached: end the process with exit 75.
    pub give_up: bool,
    /// Percentiles of the window by stage.
    pub latency: EnumMap<Stage, Percentiles>,
}

/// Longer steps between two readings count as this much: a stopped process is not a stuck pipeline.
const LONGEST_STEP: Duration = Duration::from_secs(10);
/// Behind: more seconds than this, by age of the oldest record or by records at the current rate.
const BEHIND_SECONDS: f64 = 10.0;
/// A change between running, catching up and retrying is believed when it has lasted this long, so that a pipeline at
/// the edge of two states does not fill the log.
const SETTLES: Duration = Duration::from_secs(2);
/// Lag below this is never called behind for its number alone.
const BEHIND_RECORDS: f64 = 1_000.0;

#[derive(Debug, Clone, Copy)]
struct Reading {
    at: Instant,
    sum: Conservation,
    bytes: u64,
    repeats: u64,
    stages: EnumMap<StageName, StageTime>,
}

/// Memory of one pipeline between readings. Bounded by the window, and by the partitions assigned.
#[derive(Debug)]
pub struct Watch {
    limits: WatchLimits,
    workers: usize,
    lanes: usize,
    /// Lanes that may have a request out at once.
    slots: usize,
    readings: VecDeque<Reading>,
    standing: BTreeMap<TopicPartition, (Position, Instant)>,
    progress_at: Option<Instant>,
    stuck: Duration,
    /// Since when records have been open and none was resolved.
    waiting_since: Option<Instant>,
    idle_since: Option<Instant>,
    shown: Option<State>,
    changing_since: Option<Instant>,
}

impl Watch {
    /// A watch over a pipeline with `workers` preprocess threads and a sink of `lanes`.
    #[must_use]
    pub fn new(limits: WatchLimits, workers: usize, lanes: usize) -> Self {
        Self {
            limits,
            workers: workers.max(1),
            lanes: lanes.max(1),
            slots: lanes.max(1),
            readings: VecDeque::new(),
            standing: BTreeMap::new(),
            progress_at: None,
            stuck: Duration::ZERO,
            waiting_since: None,
            idle_since: None,
            shown: None,
            changing_since: None,
        }
    }

    /// Judges a reading taken at `now`; `base` is the lifecycle state the components have set. Readings come in time
    /// order.
    pub fn observe(&mut self, now: Instant, base: State, seen: &Observation) -> Judgement {
        self.count_stuck(now, seen);
        self.remember(now, seen);
        self.slots = if seen.sink_slots > 0 { seen.sink_slots } else { self.lanes };
        let stalled = self.stalled(now, &seen.lag);
        let rates = self.rates();
        let lag_records = (!seen.lag.is_empty()).then(|| seen.lag.iter().map(|(_, lag)| lag.records).sum::<u64>());
        let (state, mut why) = self.state(now, base, seen, &stalled, rates, lag_records);
        let state = self.settle(now, state);
        if why.is_empty() {
            why.extend(self.unnamed(now, state, seen));
        }
        Judgement {
            state,
            why,
            notices: notices(&seen.sum),
            rates,
            sum: seen.sum,
            conservation_broken: !seen.sum.holds(),
            stalled,
            lag_records,
            lag_seconds: seen.lag_seconds,
            slowest: self.slowest(),
            stuck: self.stuck,
            give_up: self.stuck >= self.limits.watchdog && !base.has_ended(),
            latency: Default::default(),
        }
    }

    /// The watchdog counts only time in which records are open and no fault is named; any record resolved sets it back,
    /// and so does a pipeline with nothing open for a tenth of the limit. A rewind is no progress.
    fn count_stuck(&mut self, now: Instant, seen: &Observation) {
        let Some(last) = self.readings.back() else {
            self.progress_at = Some(now);
            return;
        };
        if seen.sum.resolved() != last.sum.resolved() {
            self.stuck = Duration::ZERO;
            self.progress_at = Some(now);
            self.waiting_since = None;
        }
        if seen.sum.open > 0 {
            self.waiting_since.get_or_insert(now);
            self.idle_since = None;
            if seen.faults.is_empty() && seen.sum.resolved() == last.sum.resolved() {
                self.stuck += now.saturating_duration_since(last.at).min(LONGEST_STEP);
            }
        } else {
            self.waiting_since = None;
            let since = *self.idle_since.get_or_insert(now);
            if now.saturating_duration_since(since) >= self.limits.watchdog / 10 {
                self.stuck = Duration::ZERO;
                self.progress_at = Some(now);
            }
        }
    }

    fn remember(&mut self, now: Instant, seen: &Observation) {
        let reading = Reading { at: now, sum: seen.sum, bytes: seen.bytes, repeats: seen.repeats, stages: seen.stages };
        self.readings.push_back(reading);
        // The reading just outside the window stays: it is the window's left edge.
        while self.readings.get(1).is_some_and(|next| now.saturating_duration_since(next.at) >= self.limits.window) {
            self.readings.pop_front();
        }
    }

    fn edges(&self) -> Option<(&Reading, &Reading, f64)> {
        let (first, last) = (self.readings.front()?, self.readings.back()?);
        let seconds = last.at.saturating_duration_since(first.at).as_secs_f64();
        (seconds > 0.0).then_some((first, last, seconds))
    }

    fn rates(&self) -> Rates {
        let Some((first, last, seconds)) = self.edges() else { return Rates::default() };
        let rate = |before: u64, after: u64| after.saturating_sub(before) as f64 / seconds;
        Rates {
            consumed: rate(first.sum.consumed, last.sum.consumed),
            resolved: rate(first.sum.resolved(), last.sum.resolved()),
            bytes: rate(first.bytes, last.bytes),
            repeats: rate(first.repeats, last.repeats),
        }
    }

    fn slowest(&self) -> Option<(StageName, f64)> {
        let (first, last, seconds) = self.edges()?;
        let share = |stage: StageName| {
            let nanos = last.stages[stage].busy_nanos.saturating_sub(first.stages[stage].busy_nanos);
            // Slots may have become fewer within the window.
            (nanos as f64 / 1e9 / seconds / self.threads(stage)).min(1.0)
        };
        let busiest = StageName::VARIANTS.iter().map(|stage| (*stage, share(*stage)));
        busiest.filter(|(_, share)| *share > 0.0).max_by(|a, b| a.1.total_cmp(&b.1))
    }

    fn threads(&self, stage: StageName) -> f64 {
        match stage {
            StageName::Source => 1.0,
            StageName::Sink => self.slots as f64,
            StageName::Preprocess | StageName::Lookup => self.workers as f64,
        }
    }

    fn stalled(&mut self, now: Instant, lag: &[(TopicPartition, Lag)]) -> Vec<Stalled> {
        let mut stalled = Vec::new();
        let mut standing = BTreeMap::new();
        for (partition, lag) in lag.iter().filter(|(_, lag)| lag.records > 0) {
            let since = match self.standing.get(partition) {
                Some((position, since)) if *position == lag.position => *since,
                Some(_) | None => now,
            };
            standing.insert(partition.clone(), (lag.position, since));
            let stood = now.saturating_duration_since(since);
            if stood >= self.limits.stall {
                stalled.push(Stalled { partition: partition.clone(), stood, lag_records: lag.records });
            }
        }
        self.standing = standing;
        stalled
    }

    /// What can be said where no component has named anything: no wait is without a word.
    fn unnamed(&self, now: Instant, state: State, seen: &Observation) -> Option<String> {
        let moving = matches!(state, State::Running | State::CatchingUp | State::Retrying | State::Draining);
        let stood = self.waiting_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let open = seen.sum.open;
        if moving && open > 0 && stood >= self.limits.silence {
            return Some(format!("{open} records wait for an answer, none was resolved for {} s", stood.as_secs()));
        }
        (state == State::Retrying).then(|| "some records are sent again".to_owned())
    }

    /// Trouble and ends of life show at once, shades of running when they last.
    fn settle(&mut self, now: Instant, state: State) -> State {
        let moving = |state| matches!(state, State::Running | State::CatchingUp | State::Retrying);
        if self.shown.is_none_or(|shown| shown == state || !moving(shown) || !moving(state)) {
            self.changing_since = None;
            self.shown = Some(state);
            return state;
        }
        let since = *self.changing_since.get_or_insert(now);
        if now.saturating_duration_since(since) >= SETTLES {
            self.changing_since = None;
            self.shown = Some(state);
        }
        self.shown.unwrap_or(state)
    }

    fn state(
        &self,
        now: Instant,
        base: State,
        seen: &Observation,
        stalled: &[Stalled],
        rates: Rates,
        lag_records: Option<u64>,
    ) -> (State, Vec<String>) {
        let faults = seen.faults.clone();
        match base {
            State::Draining | State::Failed | State::Done => return (base, faults),
            State::Starting if !seen.joined && seen.sum.consumed == 0 => return (base, faults),
            State::Starting | State::Running | State::CatchingUp | State::Retrying | State::Blocked => {}
        }
        let mut why = faults;
        let stood = self.progress_at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        if seen.sum.open > 0 && stood >= self.limits.stall {
            why.push(format!("{} records open, none resolved for {} s", seen.sum.open, stood.as_secs()));
        }
        why.extend(stalled.iter().map(|one| {
            format!("{} stands still for {} s, {} records behind", one.partition, one.stood.as_secs(), one.lag_records)
        }));
        let faulty = !seen.faults.is_empty();
        let moves = rates.resolved > 0.0;
        let behind_limit = BEHIND_RECORDS.max(rates.resolved * BEHIND_SECONDS);
        let behind = lag_records.is_some_and(|records| records as f64 > behind_limit)
            || seen.lag_seconds.is_some_and(|seconds| seconds > BEHIND_SECONDS);
        let state = if (faulty && !moves) || why.len() > seen.faults.len() {
            State::Blocked
        } else if faulty || rates.repeats > 0.0 {
            State::Retrying
        } else if behind {
            State::CatchingUp
        } else {
            State::Running
        };
        (state, why)
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
