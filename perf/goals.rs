//! What the runs of a session say about the goals: ratios of pairs, their spread, a verdict. Pure.

use crate::curve;
use crate::history::Line;
use crate::latency::{self, ADAPTIVE, LINGER, PIPELINES, STALL_MS, half, stalled};
use crate::lookups;
use crate::open_loop::{LARGEST, P50, P99, P999};
use crate::outage::{CATCH_UP, FIRST};
use crate::paired::SERVER_CPU;
use crate::peers::Peer;
use crate::scale::{TENFOLD, TENTH, TWO, partitions};
use crate::scenario::Scenario;
use crate::statistics::percentile;
use crate::subject::{BUDGET_MIB, Subject};

/// What the process may use beyond the budget, in MiB.
const MARGIN_MIB: u64 = 64;

/// Where others took more than this share of the subjects' core, as the median of the runs, rates are not compared.
const OTHERS: f64 = 0.5;

/// A bound, or none where a value is only reported.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    /// Larger is missed.
    AtMost(f64),
    /// Smaller is missed.
    AtLeast(f64),
    /// No goal.
    Reported,
}

/// One row.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The goal's name; empty for a value that only explains.
    pub goal: &'static str,
    /// What against what.
    pub what: String,
    /// Its values, one a pair or run.
    pub values: Vec<f64>,
    /// Where it must be.
    pub bound: Bound,
    /// It compares rates of runs whose core others took for most of the time: no verdict.
    pub void: bool,
}

impl Row {
    /// Whether it has a goal, whatever came of it.
    pub fn has_goal(&self) -> bool {
        self.bound != Bound::Reported
    }

    /// CPU per record stands up to a busy machine, records a second do not.
    fn is_of_rates(&self) -> bool {
        ["records/s", "documents/s"].iter().any(|unit| self.what.starts_with(unit))
    }

    fn new(goal: &'static str, what: impl Into<String>, bound: Bound, values: Vec<f64>) -> Self {
        Self { goal, what: what.into(), values, bound, void: false }
    }

    /// Whether its median is where it must be; `None` without a goal or a value, or when it is void.
    pub fn is_met(&self) -> Option<bool> {
        let median = percentile(&self.values, 0.5).filter(|_| !self.void)?;
        match self.bound {
            Bound::AtMost(limit) => Some(median <= limit),
            Bound::AtLeast(limit) => Some(median >= limit),
            Bound::Reported => None,
        }
    }
}

type Figure = fn(&Line) -> f64;

const RATE: Figure = |line| line.records_per_second;
const CPU: Figure = |line| line.cpu_s_per_million;
const CPU_ALL: Figure = |line| line.cpu_s_per_million_all;

/// The rows of one session of a scenario; a row whose subjects did not run has no values and is left out.
pub fn rows(scenario: Scenario, lines: &[Line]) -> Vec<Row> {
    let mut rows = match scenario {
        Scenario::Consume => consume(lines),
        Scenario::Relay => relay(lines),
        Scenario::IndexStub => index_stub(lines),
        Scenario::IndexEs => index_es(lines),
        Scenario::Lookups => look_ups(lines),
        Scenario::PeersKafka | Scenario::PeersBulk => peers(scenario, lines),
        Scenario::Outage => outage(lines),
        Scenario::Scale => scale(lines),
        Scenario::Curves => return curves(lines),
        Scenario::Latency => at_half(lines),
        Scenario::Concurrency => concurrency(lines),
        Scenario::Memory => Vec::new(),
    };
    let peaks = lines.iter().filter(|line| is_ours(line)).map(|line| line.peak_mib).collect();
    rows.push(Row::new(
        "P10",
        "peak memory of one engine, MiB",
        Bound::AtMost((BUDGET_MIB + MARGIN_MIB) as f64),
        peaks,
    ));
    rows.extend(controls(scenario, lines));
    rows.retain(|row| !row.values.is_empty());
    let others: Vec<f64> = lines.iter().map(|line| line.others).collect();
    if percentile(&others, 0.5).is_some_and(|others| others > OTHERS) {
        rows.iter_mut().filter(|row| row.is_of_rates()).for_each(|row| row.void = true);
    }
    rows
}

/// Whether a line is of one whole engine process.
fn is_ours(line: &Line) -> bool {
    let ours = [Subject::Engine, Subject::WarmLookups, Subject::ColdLookups];
    ours.iter().any(|one| one.name() == line.subject)
        || (line.scenario == Scenario::Scale.name() && line.subject != TWO)
}

fn consume(lines: &[Line]) -> Vec<Row> {
    use Subject::{EngineSource, RawPoll, RawSum};
    let ratio = |a: Subject, b: Subject, of| ratios(lines, a.name(), b.name(), of);
    vec![
        Row::new("P2", "CPU, engine-source / raw-sum", Bound::AtMost(1.15), ratio(EngineSource, RawSum, CPU_ALL)),
        Row::new("P2", "CPU, engine-source / raw-poll", Bound::AtMost(1.0), ratio(EngineSource, RawPoll, CPU_ALL)),
        Row::new(
            "",
            "CPU between 10 % and 100 %, engine-source / raw-sum",
            Bound::Reported,
            ratio(EngineSource, RawSum, CPU),
        ),
        Row::new("", "records/s, engine-source / raw-sum", Bound::Reported, ratio(EngineSource, RawSum, RATE)),
    ]
}

fn relay(lines: &[Line]) -> Vec<Row> {
    use Subject::{Engine, RawCopy, RawResult};
    let ratio = |a: Subject, b: Subject, of| ratios(lines, a.name(), b.name(), of);
    let mut rows = script(lines, Bound::AtLeast(100.0), 100.0);
    rows.extend([
        Row::new("P4", "CPU, engine / raw-result", Bound::AtMost(1.10), ratio(Engine, RawResult, CPU_ALL)),
        Row::new("P4", "records/s, engine / raw-result", Bound::AtLeast(0.9), ratio(Engine, RawResult, RATE)),
        Row::new("", "CPU, engine / raw-copy", Bound::Reported, ratio(Engine, RawCopy, CPU_ALL)),
        Row::new("", "CPU, raw-result / raw-copy", Bound::Reported, ratio(RawResult, RawCopy, CPU_ALL)),
    ]);
    rows
}

fn index_stub(lines: &[Line]) -> Vec<Row> {
    use Subject::{Engine, RawBulk, Replay};
    let ratio = |a: Subject, b: Subject, of| ratios(lines, a.name(), b.name(), of);
    let mut rows = script(lines, Bound::AtLeast(100.0), 120.0);
    rows.extend([
        Row::new("P6", "CPU, engine / raw-bulk", Bound::AtMost(1.15), ratio(Engine, RawBulk, CPU_ALL)),
        Row::new("P6", "documents/s, engine / replay", Bound::AtLeast(0.8), ratio(Engine, Replay, RATE)),
        Row::new("", "documents/s, raw-bulk / replay", Bound::Reported, ratio(RawBulk, Replay, RATE)),
        Row::new("", "documents/s, engine / raw-bulk", Bound::Reported, ratio(Engine, RawBulk, RATE)),
    ]);
    rows
}

fn index_es(lines: &[Line]) -> Vec<Row> {
    let engines = || lines.iter().filter(|line| line.subject == Subject::Engine.name());
    let share = |line: &Line| Some(line.cpu_s_per_million_all / line.figures.get(SERVER_CPU)?);
    let mut rows = vec![
        Row::new(
            "P5",
            "documents/s, engine / replay",
            Bound::AtLeast(0.95),
            ratios(lines, Subject::Engine.name(), Subject::Replay.name(), RATE),
        ),
        Row::new("P5", "CPU, engine / server", Bound::AtMost(0.1), engines().filter_map(share).collect()),
    ];
    rows.extend(script(lines, Bound::Reported, 100.0));
    rows
}

fn look_ups(lines: &[Line]) -> Vec<Row> {
    use Subject::{ColdLookups, Engine, WarmLookups};
    let trips = |line: &Line| Some(line.figures.get(lookups::TRIPS)? / line.figures.get(lookups::ALLOWED)?);
    let cold = lines.iter().filter(|line| line.subject == ColdLookups.name());
    vec![
        Row::new(
            "P8",
            "CPU, warm look-ups / none",
            Bound::AtMost(1.15),
            ratios(lines, WarmLookups.name(), Engine.name(), CPU_ALL),
        ),
        Row::new("P8", "round trips a batch, cold / allowed", Bound::AtMost(1.0), cold.filter_map(trips).collect()),
        Row::new(
            "",
            "CPU, cold look-ups / none",
            Bound::Reported,
            ratios(lines, ColdLookups.name(), Engine.name(), CPU_ALL),
        ),
    ]
}

/// The rows against other programs. They are read as the script's are: their CPU without their start, all of the
/// engine's.
fn peers(scenario: Scenario, lines: &[Line]) -> Vec<Row> {
    let engine = Subject::Engine.name();
    let mut rows = Vec::new();
    for (peer, goal) in Peer::ALL.into_iter().filter_map(|peer| Some((peer, peer.goal(scenario)?))) {
        let name = peer.name();
        let weaker = if peer.commits_before_delivery() { " (commits before delivery)" } else { "" };
        let both = pairs(lines, name, engine);
        let of =
            |figure: Figure| both.iter().map(|(peer, engine)| figure(peer) / engine.cpu_s_per_million_all).collect();
        rows.extend([
            Row::new("P7", format!("CPU, {name}{weaker} / engine"), Bound::AtLeast(goal), of(CPU)),
            Row::new("", format!("CPU with all starts, {name} / engine"), Bound::Reported, of(CPU_ALL)),
            Row::new("", format!("records/s, engine / {name}"), Bound::Reported, ratios(lines, engine, name, RATE)),
        ]);
    }
    rows
}

fn outage(lines: &[Line]) -> Vec<Row> {
    let figure = |name: &str| lines.iter().filter_map(|line| line.figures.get(name).copied()).collect();
    vec![
        Row::new("P10", "seconds from the sink's return to the first delivery", Bound::AtMost(2.0), figure(FIRST)),
        Row::new("P10", "records/s after the return / before the outage", Bound::AtLeast(0.9), figure(CATCH_UP)),
    ]
}

fn scale(lines: &[Line]) -> Vec<Row> {
    let usual = partitions(4);
    let against = |name: &str, of| ratios(lines, name, &usual, of);
    let mut rows: Vec<Row> = [1, 16, 64]
        .map(|count| {
            let what = format!("CPU, {} / {usual}", partitions(count));
            Row::new("P11", what, Bound::AtMost(1.1), against(&partitions(count), CPU_ALL))
        })
        .into();
    rows.extend([
        Row::new(
            "P11",
            "CPU between 10 % and 100 %, a tenth of the records / all",
            Bound::AtMost(1.1),
            against(TENTH, CPU),
        ),
        Row::new("", "CPU, a tenth of the records / all", Bound::Reported, against(TENTH, CPU_ALL)),
        Row::new("P11", "CPU, tenfold records / all", Bound::AtMost(1.1), against(TENFOLD, CPU_ALL)),
        Row::new("P11", "records/s, two processes / one", Bound::AtLeast(1.0), against(TWO, RATE)),
        Row::new("", "CPU, two processes / one", Bound::Reported, against(TWO, CPU_ALL)),
    ]);
    rows
}

/// Each point is another setting, so a median would hide the one that takes too much.
fn curves(lines: &[Line]) -> Vec<Row> {
    let engine_alone = lines.iter().filter(|line| !curve::is_open_loop(&line.subject));
    let largest = engine_alone.map(|line| line.peak_mib).reduce(f64::max);
    let bound = Bound::AtMost((BUDGET_MIB + MARGIN_MIB) as f64);
    let row = |largest| Row::new("P10", "largest peak memory of one engine at any point, MiB", bound, vec![largest]);
    largest.map(row).into_iter().collect()
}

/// P3, from the committed instruction counts: `stage/bytes count` a line.
pub fn instructions(counts: &str) -> Vec<Row> {
    let count = |stage: &str, bytes: u32| {
        let line = counts.lines().find_map(|line| line.strip_prefix(&format!("preprocess/{stage}/{bytes} ")))?;
        line.trim().parse::<f64>().ok()
    };
    let row = |bytes: u32| {
        let ratio = Some(count("select", bytes)? / count("bare", bytes)?);
        let what = format!("instructions, select / bare parse, {bytes} bytes");
        Some(Row::new("P3", what, Bound::AtMost(1.15), ratio.into_iter().collect()))
    };
    [200, 1_000, 8_000, 64_000].into_iter().filter_map(row).collect()
}

fn at_half(lines: &[Line]) -> Vec<Row> {
    let figure = |line: &Line, name: &str| line.figures.get(name).copied();
    let of = |subject: String, value: &dyn Fn(&Line) -> Option<f64>| -> Vec<f64> {
        lines.iter().filter(|line| line.subject == subject).filter_map(value).collect()
    };
    let allowed = |line: &Line| Some(figure(line, LINGER)? + 3.0 * figure(line, P50)?);
    let mut rows = Vec::new();
    for pipeline in PIPELINES {
        let share = of(half(pipeline), &|line| Some(figure(line, P99)? / allowed(line)?));
        let tail = of(half(pipeline), &|line| figure(line, P999));
        let stall = of(stalled(pipeline), &|line| figure(line, LARGEST));
        rows.extend([
            Row::new("P9", format!("{pipeline}: p99 / (linger + 3 × p50)"), Bound::AtMost(1.0), share),
            Row::new("P9", format!("{pipeline}: p99.9, ms"), Bound::AtMost(250.0), tail),
            Row::new(
                "P9",
                format!("{pipeline}: largest latency with a stall of {STALL_MS} ms, ms"),
                Bound::AtLeast(f64::from(STALL_MS) * 0.9),
                stall,
            ),
        ]);
    }
    rows
}

/// One value a round: a round holds every kind of run once.
fn concurrency(lines: &[Line]) -> Vec<Row> {
    let rate =
        |round: &[Line], name: &str| round.iter().find(|line| line.subject == name).map(|line| line.records_per_second);
    let fixed = latency::all_fixed();
    let against_best = lines.chunks(fixed.len() + 1).filter_map(|round| {
        let best = fixed.iter().filter_map(|name| rate(round, name)).fold(f64::NAN, f64::max);
        Some(rate(round, ADAPTIVE)? / best)
    });
    let values = against_best.filter(|ratio| ratio.is_finite()).collect();
    vec![Row::new("P12", "records/s, adaptive / best fixed number", Bound::AtLeast(0.9), values)]
}

/// The rows against the script. All of the engine's CPU from start to end is set against the script's without its
/// start: the reading least kind to the engine.
fn script(lines: &[Line], rate: Bound, per_cpu: f64) -> Vec<Row> {
    let (engine, script) = (Subject::Engine.name(), Subject::Script.name());
    let all = pairs(lines, engine, script);
    let whole = all.iter().map(|(engine, script)| script.cpu_s_per_million / engine.cpu_s_per_million_all).collect();
    vec![
        Row::new("P1", "records/s, engine / script", rate, ratios(lines, engine, script, RATE)),
        Row::new("P1", "records per CPU-second, engine / script", Bound::AtLeast(per_cpu), whole),
    ]
}

/// Runs of equals next to each other.
fn controls(scenario: Scenario, lines: &[Line]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for pair in lines.windows(2).filter(|pair| pair[0].subject == pair[1].subject && scenario != Scenario::Scale) {
        for (name, of) in [("CPU", CPU_ALL), ("records/s", RATE)] {
            let what = format!("control: {name}, {0} / {0}", pair[0].subject);
            let value = of(&pair[0]) / of(&pair[1]);
            match rows.iter_mut().find(|row| row.what == what) {
                Some(row) => row.values.push(value),
                None => rows.push(Row::new("", what, Bound::Reported, vec![value])),
            }
        }
    }
    rows
}

/// One value a pair.
fn ratios(lines: &[Line], a: &str, b: &str, of: Figure) -> Vec<f64> {
    pairs(lines, a, b).iter().map(|(a, b)| of(a) / of(b)).collect()
}

/// Pairs of two subjects: of each half round, which holds every subject once.
fn pairs<'l>(lines: &'l [Line], a: &str, b: &str) -> Vec<(&'l Line, &'l Line)> {
    let mut names: Vec<&str> = lines.iter().map(|line| line.subject.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let find = |half: &'l [Line], name: &str| half.iter().find(|line| line.subject == name);
    lines.chunks(names.len().max(1)).filter_map(|half| Some((find(half, a)?, find(half, b)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::fixtures::line;

    fn run(lines: &mut Vec<Line>, subject: &str, rate: f64, cpu: f64) {
        let place = lines.len() as u32;
        lines.push(line("relay", subject, place, rate, cpu));
    }

    fn row<'r>(rows: &'r [Row], what: &str) -> &'r Row {
        rows.iter().find(|row| row.what == what).unwrap_or_else(|| panic!("no row {what} in {rows:?}"))
    }

    #[test]
    fn each_half_round_is_a_pair_and_its_ends_are_controls() {
        let mut lines = Vec::new();
        for (subject, rate, cpu) in [
            ("engine", 200.0, 4.0),
            ("raw-result", 250.0, 4.0),
            ("script", 1.0, 500.0),
            ("script", 2.0, 400.0),
            ("raw-result", 300.0, 4.0),
            ("engine", 300.0, 5.0),
            ("engine", 330.0, 4.0),
        ] {
            run(&mut lines, subject, rate, cpu);
        }
        let rows = rows(Scenario::Relay, &lines);
        assert_eq!(row(&rows, "records/s, engine / script").values, [200.0, 150.0]);
        assert_eq!(row(&rows, "records per CPU-second, engine / script").values, [125.0, 80.0]);
        let cpu = row(&rows, "CPU, engine / raw-result");
        assert_eq!((cpu.values.as_slice(), cpu.is_met()), ([1.0, 1.25].as_slice(), Some(false)));
        assert_eq!(row(&rows, "records/s, engine / raw-result").is_met(), Some(true));
        assert_eq!(row(&rows, "control: records/s, engine / engine").values, [300.0 / 330.0]);
        assert_eq!(row(&rows, "control: CPU, script / script").values, [1.25]);
        assert!(rows.iter().all(|row| row.what != "CPU, engine / raw-copy"), "it did not run");
    }

    #[test]
    fn the_engines_start_counts_against_it() {
        let mut lines = Vec::new();
        run(&mut lines, "engine", 1.0, 2.0);
        run(&mut lines, "script", 1.0, 400.0);
        lines[0].cpu_s_per_million_all = 8.0;
        let rows = rows(Scenario::Relay, &lines);
        assert_eq!(row(&rows, "records per CPU-second, engine / script").values, [50.0]);
    }

    #[test]
    fn rates_of_a_busy_core_get_no_verdict() {
        let mut lines = Vec::new();
        run(&mut lines, "engine", 200.0, 4.0);
        run(&mut lines, "script", 1.0, 500.0);
        for (others, verdict) in [(0.5, Some(true)), (0.6, None)] {
            lines.iter_mut().for_each(|line| line.others = others);
            let rows = rows(Scenario::Relay, &lines);
            assert_eq!(row(&rows, "records/s, engine / script").is_met(), verdict);
            assert_eq!(row(&rows, "records per CPU-second, engine / script").is_met(), Some(true));
        }
    }

    #[test]
    fn peers_are_compared_without_their_starts_and_weak_ones_are_marked() {
        let mut lines = Vec::new();
        for (subject, cpu) in
            [("bento", 50.0), ("arroyo", 9.0), ("engine", 4.0), ("engine", 5.0), ("arroyo", 8.0), ("bento", 60.0)]
        {
            run(&mut lines, subject, 1.0, cpu);
            lines.last_mut().expect("a line").cpu_s_per_million_all = cpu + 1.0;
        }
        let kafka = rows(Scenario::PeersKafka, &lines);
        let bento = row(&kafka, "CPU, bento / engine");
        assert_eq!((bento.values.as_slice(), bento.is_met()), ([10.0, 10.0].as_slice(), Some(true)));
        assert_eq!((bento.goal, bento.bound), ("P7", Bound::AtLeast(10.0)));
        assert_eq!(row(&kafka, "CPU, arroyo (commits before delivery) / engine").is_met(), Some(false));
        assert_eq!(row(&kafka, "control: CPU, engine / engine").values, [5.0 / 6.0]);
        assert!(kafka.iter().all(|row| !row.what.contains("mirror")), "it did not run");
        let bulk = rows(Scenario::PeersBulk, &lines);
        assert_eq!(row(&bulk, "CPU, bento / engine").bound, Bound::AtLeast(24.0));
        assert!(bulk.iter().all(|row| !row.what.contains("arroyo")), "it takes no part");
    }

    #[test]
    fn one_point_of_a_curve_that_takes_too_much_is_a_miss() {
        let of = |subject: &str, peak_mib| Line { peak_mib, ..line("curves", subject, 0, 1.0, 2.0) };
        let mut lines = vec![of("record-size/relay/128 B", 100.0), of("linger/relay/0 ms", 100.0)];
        lines.push(of("latency/relay/10 %", 999.0));
        let met = |lines: &[Line]| rows(Scenario::Curves, lines).iter().map(Row::is_met).collect::<Vec<_>>();
        assert_eq!(met(&lines), [Some(true)], "servers and generator are in the process of an open loop");
        lines.push(of("cores/index/2", 320.5));
        assert_eq!(met(&lines), [Some(false)]);
        assert_eq!(met(&[]), []);
    }

    #[test]
    fn instruction_counts_are_compared_by_size() {
        let rows =
            instructions("path AVX2\npreprocess/bare/200 100.0\npreprocess/select/200 120.0\nother/bare/1000 1.0\n");
        let seen: Vec<_> = rows.iter().map(|row| (row.values.as_slice(), row.is_met())).collect();
        assert_eq!(seen, [([1.2].as_slice(), Some(false))]);
        assert_eq!(instructions(include_str!("../benches/instructions.txt")).len(), 4);
    }

    #[test]
    fn a_round_is_compared_with_its_best_fixed_number() {
        let mut lines = Vec::new();
        for (adaptive, best) in [(90.0, 100.0), (99.0, 90.0)] {
            run(&mut lines, ADAPTIVE, adaptive, 1.0);
            for (number, name) in latency::all_fixed().iter().enumerate() {
                run(&mut lines, name, best - number as f64, 1.0);
            }
        }
        assert_eq!(rows(Scenario::Concurrency, &lines)[0].values, [0.9, 1.1]);
    }

    #[test]
    fn a_tail_is_compared_with_linger_and_median() {
        let mut lines = Vec::new();
        run(&mut lines, &half("relay"), 1.0, 1.0);
        lines[0].figures =
            [(P50, 10.0), (P99, 75.0), (P999, 251.0), (LINGER, 20.0)].map(|(k, v)| (k.to_owned(), v)).into();
        let rows = rows(Scenario::Latency, &lines);
        let seen: Vec<_> = rows.iter().map(|row| (row.values[0], row.is_met())).collect();
        assert_eq!(seen, [(1.5, Some(false)), (251.0, Some(false))]);
    }

    #[test]
    fn memory_above_the_margin_is_missed() {
        let mut lines = Vec::new();
        run(&mut lines, "engine", 1.0, 2.0);
        for (peak, met) in [(320.0, true), (320.5, false)] {
            lines[0].peak_mib = peak;
            assert_eq!(row(&rows(Scenario::Memory, &lines), "peak memory of one engine, MiB").is_met(), Some(met));
        }
    }
}
