//! `perf/REPORT.md`: the last session of each scenario, as tables with ratios.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use crate::history::Line;
use crate::machine::below_perf;
use crate::paired::Subject;
use crate::scenario::Scenario;
use crate::statistics::percentile;
use crate::subject::BUDGET_MIB;

const FILE: &str = "REPORT.md";
/// What the process may use beyond the budget, in MiB.
const MARGIN_MIB: f64 = 64.0;

const PREFACE: &str = "# What sluicegate costs, beside the script it replaces

Made by `cargo run --release --example perf -- all`; not edited by hand. The subject has core 0 to itself, servers and
observer have the others. Records are 912 bytes of JSON with 787 bytes of `result`, a key each, 4 partitions, no
compression, acks=all. Figures come from the sink's side, between 10 % and 100 % of the records; CPU is user and system
time of the subject's process tree from `/proc`, `all` is from its start to its end. A pair is two runs next to each other;
each round holds a pair in either order. *others* is the share of the subject's core that other programs took: rates of
runs with much of it say little, and CPU per record swells with it too. The controls are pairs of equals: a ratio nearer
to 1 than theirs is no finding.
";

/// Writes the report of these lines.
///
/// # Errors
/// The file cannot be written.
pub fn write(lines: &[Line]) -> anyhow::Result<()> {
    let mut text = PREFACE.to_owned();
    for scenario in Scenario::ALL {
        let of = || lines.iter().filter(|line| line.scenario == scenario.name());
        let Some(last) = of().map(|line| line.session).max() else { continue };
        let session: Vec<Line> = of().filter(|line| line.session == last).cloned().collect();
        let _ = write!(text, "\n{}", section(scenario, &session));
    }
    Ok(fs::write(below_perf(FILE), text)?)
}

/// One scenario's section: its text, the runs, the ratios.
pub fn section(scenario: Scenario, lines: &[Line]) -> String {
    let mut text = format!("## {}\n\n{}\n", scenario.name(), scenario.text());
    let Some(first) = lines.first() else { return text + "No run.\n" };
    let _ = writeln!(
        text,
        "Commit {}, `perf -- {}`, {}.\n\n\
         | subject | runs | records | records/s | CPU-s/M | CPU-s/M, all | peak MiB | missing / extra | others |\n\
         |---|---|---|---|---|---|---|---|---|",
        first.commit, first.command, first.machine
    );
    for subject in [Subject::Engine, Subject::Script] {
        let of: Vec<&Line> = lines.iter().filter(|line| line.subject == subject.name()).collect();
        if !of.is_empty() {
            text.push_str(&row(subject, &of));
        }
    }
    let ratios = ratios(scenario, lines);
    if !ratios.is_empty() {
        text.push_str(
            "\n| engine against script | pairs | median | 10th to 90th percentile | goal |\n|---|---|---|---|---|\n",
        );
        text.push_str(&ratios);
    }
    text.push_str(&threads(lines));
    text.push_str(&memory(lines));
    text
}

fn row(subject: Subject, lines: &[&Line]) -> String {
    let spread = |of: fn(&Line) -> f64, digits: usize| {
        let values: Vec<f64> = lines.iter().map(|line| of(line)).collect();
        let at = |share| percentile(&values, share).unwrap_or_default();
        format!("**{:.digits$}** ({:.digits$}..{:.digits$})", at(0.5), at(0.0), at(1.0))
    };
    format!(
        "| {} | {} | {} | {} | {} | {} | {} | {} / {} | {} |\n",
        subject.name(),
        lines.len(),
        lines[0].records,
        spread(|line| line.records_per_second, 0),
        spread(|line| line.cpu_s_per_million, 2),
        spread(|line| line.cpu_s_per_million_all, 2),
        spread(|line| line.peak_mib, 0),
        lines.iter().map(|line| line.missing).sum::<u64>(),
        lines.iter().map(|line| line.extra).sum::<u64>(),
        spread(|line| line.others, 2),
    )
}

/// Two runs next to each other.
type Pair<'l> = (&'l Line, &'l Line);

/// Pairs (engine, script), and pairs of equals in the order they ran.
fn pairs(lines: &[Line]) -> (Vec<Pair<'_>>, Vec<Pair<'_>>) {
    let is_engine = |line: &Line| line.subject == Subject::Engine.name();
    let (mut mixed, mut equal) = (Vec::new(), Vec::new());
    for pair in lines.windows(2) {
        let (first, second) = (&pair[0], &pair[1]);
        match (is_engine(first), is_engine(second)) {
            (true, false) => mixed.push((first, second)),
            (false, true) => mixed.push((second, first)),
            (true, true) | (false, false) => equal.push((first, second)),
        }
    }
    (mixed, equal)
}

fn ratios(scenario: Scenario, lines: &[Line]) -> String {
    let (mixed, equal) = pairs(lines);
    let (rate_goal, cpu_goal) = match scenario {
        Scenario::Relay => (Some(100.0), Some(100.0)),
        Scenario::IndexStub => (Some(100.0), Some(120.0)),
        // The server is the limit: reported, without a goal.
        Scenario::IndexEs => (None, Some(100.0)),
        Scenario::Memory => (None, None),
    };
    let rate: fn(&Line) -> f64 = |line| line.records_per_second;
    let cpu: fn(&Line) -> f64 = |line| 1.0 / line.cpu_s_per_million;
    // All of the engine's CPU from start to end, the script's without its start: the reading least kind to the engine.
    let whole: Vec<f64> = mixed.iter().map(|(a, b)| b.cpu_s_per_million / a.cpu_s_per_million_all).collect();
    let engines =
        || equal.iter().filter(|(first, _)| first.subject == Subject::Engine.name()).copied().collect::<Vec<_>>();
    let scripts =
        || equal.iter().filter(|(first, _)| first.subject == Subject::Script.name()).copied().collect::<Vec<_>>();
    [
        ratio("records/s", &mixed, rate, rate_goal),
        ratio("records per CPU-second", &mixed, cpu, cpu_goal),
        row_of_ratios("records per CPU-second, all of the engine's", &whole, cpu_goal),
        ratio("control, engine and engine: records/s", &engines(), rate, None),
        ratio("control, engine and engine: records per CPU-second", &engines(), cpu, None),
        ratio("control, script and script: records/s", &scripts(), rate, None),
        ratio("control, script and script: records per CPU-second", &scripts(), cpu, None),
    ]
    .concat()
}

fn ratio(name: &str, pairs: &[Pair<'_>], of: fn(&Line) -> f64, goal: Option<f64>) -> String {
    let values: Vec<f64> = pairs.iter().map(|(a, b)| of(a) / of(b)).collect();
    row_of_ratios(name, &values, goal)
}

fn row_of_ratios(name: &str, values: &[f64], goal: Option<f64>) -> String {
    let Some(median) = percentile(values, 0.5) else { return String::new() };
    let at = |share| percentile(values, share).unwrap_or_default();
    let goal = goal.map_or_else(String::new, |goal| {
        let verdict = if median >= goal { "met" } else { "missed" };
        format!("at least {goal:.0}: {verdict}")
    });
    let digits = if median < 10.0 { 2 } else { 0 };
    format!(
        "| {name} | {} | {median:.digits$} | {:.digits$} to {:.digits$} | {goal} |\n",
        values.len(),
        at(0.1),
        at(0.9)
    )
}

/// Where the engine's CPU goes, by thread, as the median of its runs.
fn threads(lines: &[Line]) -> String {
    let runs: Vec<&Line> = lines.iter().filter(|line| line.subject == Subject::Engine.name()).collect();
    let mut names: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for run in &runs {
        for (name, cpu_s) in &run.threads {
            names.entry(name).or_default().push(cpu_s / run.records as f64 * 1e6);
        }
    }
    let mut medians: Vec<(&str, f64)> =
        names.into_iter().map(|(name, values)| (name, percentile(&values, 0.5).unwrap_or_default())).collect();
    medians.sort_by(|a, b| b.1.total_cmp(&a.1));
    let parts: Vec<String> =
        medians.iter().filter(|(_, cpu)| *cpu >= 0.01).map(|(name, cpu)| format!("`{name}` {cpu:.2}")).collect();
    if parts.is_empty() {
        String::new()
    } else {
        format!("\nCPU-s/M by thread of the engine, the last half second left out: {}.\n", parts.join(", "))
    }
}

fn memory(lines: &[Line]) -> String {
    let mut text = String::new();
    for line in lines.iter().filter(|line| line.resident_mib.len() > 1) {
        let limit = BUDGET_MIB as f64 + MARGIN_MIB;
        let verdict = if line.peak_mib <= limit { "met" } else { "missed" };
        let half = line.resident_mib.len() / 2;
        let largest = |part: &[f64]| part.iter().copied().fold(0.0, f64::max);
        let growth = largest(&line.resident_mib[half..]) - largest(&line.resident_mib[..half]);
        let curve: Vec<String> = line.resident_mib.iter().map(|mib| format!("{mib:.0}")).collect();
        let _ = writeln!(
            text,
            "\nPeak {:.0} MiB; budget {BUDGET_MIB} + {MARGIN_MIB:.0} MiB: {verdict}. Largest of the second half less largest of the \
             first: {growth:.0} MiB. Largest resident set in each twentieth of the records, MiB: {}.",
            line.peak_mib,
            curve.join(" ")
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(subject: Subject, place: u32, rate: f64, cpu: f64) -> Line {
        Line {
            session: 1,
            scenario: "relay".into(),
            subject: subject.name().into(),
            place,
            records: 1_000_000,
            records_per_second: rate,
            cpu_s_per_million: cpu,
            cpu_s_per_million_all: cpu,
            peak_mib: 100.0,
            missing: 0,
            extra: 0,
            others: 0.0,
            load: 1.0,
            threads: BTreeMap::from([("relay-source".to_owned(), 1.5)]),
            resident_mib: Vec::new(),
            machine: "m".into(),
            commit: "c".into(),
            command: "relay".into(),
        }
    }

    #[test]
    fn pairs_are_neighbours_in_both_orders_and_equals_are_controls() {
        use Subject::{Engine, Script};
        let runs = [
            (Engine, 200.0, 4.0),
            (Script, 1.0, 500.0),
            (Script, 2.0, 400.0),
            (Engine, 300.0, 5.0),
            (Engine, 330.0, 4.0),
        ];
        let runs = runs.iter().zip(0..);
        let lines: Vec<Line> = runs.map(|((subject, rate, cpu), place)| line(*subject, place, *rate, *cpu)).collect();
        let text = section(Scenario::Relay, &lines);
        // 200/1 and 300/2; 500/4 and 400/5.
        assert!(text.contains("| records/s | 2 | 175 | 155 to 195 | at least 100: met |"), "{text}");
        assert!(text.contains("| records per CPU-second | 2 | 102 | 84 to 120 | at least 100: met |"), "{text}");
        assert!(text.contains("| control, engine and engine: records/s | 1 | 0.91 |"), "{text}");
        assert!(text.contains("| control, script and script: records/s | 1 | 0.50 |"), "{text}");
        assert!(text.contains("| engine | 3 | 1000000 | **300** (200..330) |"), "{text}");
        assert!(text.contains("`relay-source` 1.50"), "{text}");
    }

    #[test]
    fn the_engines_start_counts_against_it() {
        let mut engine = line(Subject::Engine, 0, 1.0, 2.0);
        engine.cpu_s_per_million_all = 8.0;
        let text = section(Scenario::Relay, &[engine, line(Subject::Script, 1, 1.0, 400.0)]);
        assert!(text.contains("| records per CPU-second | 1 | 200 | 200 to 200 | at least 100: met |"), "{text}");
        assert!(text.contains("all of the engine's | 1 | 50 | 50 to 50 | at least 100: missed |"), "{text}");
    }

    #[test]
    fn memory_above_the_margin_is_missed() {
        let mut one = line(Subject::Engine, 0, 1.0, 1.0);
        one.resident_mib = vec![100.0, 200.0, 210.0, 205.0];
        one.peak_mib = 321.0;
        assert!(
            memory(&[one.clone()]).contains("missed. Largest of the second half less largest of the first: 10 MiB")
        );
        one.peak_mib = 320.0;
        assert!(memory(&[one]).contains("64 MiB: met"));
    }
}
