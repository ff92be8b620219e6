//! `perf/REPORT.md`: the goals with their verdicts, then the last session of each scenario as tables.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use crate::curve_tables;
use crate::goals::{self, Bound, Row};
use crate::history::Line;
use crate::machine::below_perf;
use crate::paired::{LEFT_OUT, VERSION};
use crate::peers::Peer;
use crate::scenario::Scenario;
use crate::statistics::percentile;
use crate::subject::Subject;

const FILE: &str = "REPORT.md";

const PREFACE: &str = "# What sluicegate costs, beside raw loops, the script it replaces and its peers

Made by `cargo perf all`; not edited by hand. The subject has core 0 to itself, servers and
observer have the others. Records are 912 bytes of JSON with 787 bytes of `result`, a key each, 4 partitions, no
compression, acks=all, unless a section says otherwise. Figures come from the sink's side, between 10 % and 100 % of the
records; CPU is user and system time of the subject's process tree from `/proc`, `all` is from its start to its end, and
that is what the raw loops are compared by. *allocations* are requests for memory per record from start to end of the
process, counted by jemalloc at its end; librdkafka's C code is served by the same jemalloc, so its requests are in
them, and so are those of the start (about six thousand in all). Where another program is the subject there is no such
count (`-`). A run that is not counted warms the servers up. Then subjects run in order and backwards; each half round
gives one pair of any two. *others* is the share of the subject's core that other programs took: rates of runs with much of
it say little, and CPU per record swells with it too. The controls are pairs of equals: a ratio nearer to 1 than theirs is
no finding. Where others had more than half of the core, rates get no verdict (*void*).
";

/// What the gate of the benches has counted last, and holds every change to.
const INSTRUCTIONS: &str = include_str!("../benches/instructions.txt");

const ELSEWHERE: &str = "
P3 compares instruction counts, which do not vary: `cargo bench --bench stages -- instructions` counts them by callgrind and
fails where one grew by more than 5 %. That the stage allocates nothing per record is a unit test
(`src/preprocess/allocation_tests.rs`). `select` adds some 580 instructions to the 2,840 of the parse at 200
bytes, and some 690 to 12,220 at 1,000: most of what it adds does not shrink with the record. It has not been taken apart
further.
";

/// Writes the report of these lines.
///
/// # Errors
/// The file cannot be written.
pub fn write(lines: &[Line]) -> anyhow::Result<()> {
    let sessions: Vec<(Scenario, Vec<Line>)> = Scenario::ALL
        .into_iter()
        .filter_map(|scenario| {
            let of = || lines.iter().filter(move |line| line.scenario == scenario.name());
            let last = of().map(|line| line.session).max()?;
            Some((scenario, of().filter(|line| line.session == last).cloned().collect()))
        })
        .collect();
    let mut text = PREFACE.to_owned() + &summary(&sessions) + ELSEWHERE + &not_run(&sessions);
    for (scenario, session) in &sessions {
        let _ = write!(text, "\n{}", section(*scenario, session));
        if *scenario == Scenario::Curves {
            draw(session)?;
        }
    }
    Ok(fs::write(below_perf(FILE), text)?)
}

/// The scenarios nobody has run yet: their goals have no row above.
fn not_run(sessions: &[(Scenario, Vec<Line>)]) -> String {
    let is_missing = |scenario: &Scenario| sessions.iter().all(|(one, _)| one != scenario);
    let names: Vec<&str> = Scenario::ALL.into_iter().filter(is_missing).map(Scenario::name).collect();
    if names.is_empty() { String::new() } else { format!("\nNo run yet of: {}.\n", names.join(", ")) }
}

/// Writes the pictures of the curves; those of curves that were not measured this time are taken away.
fn draw(lines: &[Line]) -> anyhow::Result<()> {
    let folder = below_perf(curve_tables::FOLDER);
    fs::create_dir_all(&folder)?;
    for file in fs::read_dir(&folder)? {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "svg") {
            fs::remove_file(path)?;
        }
    }
    for (name, svg) in curve_tables::pictures(lines) {
        fs::write(folder.join(name), svg)?;
    }
    Ok(())
}

/// Every goal's row, by goal.
fn summary(sessions: &[(Scenario, Vec<Line>)]) -> String {
    let measured = sessions
        .iter()
        .flat_map(|(scenario, lines)| goals::rows(*scenario, lines).into_iter().map(|row| (scenario.name(), row)));
    let counted = goals::instructions(INSTRUCTIONS).into_iter().map(|row| ("instructions", row));
    let mut rows: Vec<(&str, Row)> = measured.chain(counted).filter(|(_, row)| row.has_goal()).collect();
    let number = |row: &Row| row.goal.trim_start_matches('P').parse::<u32>().unwrap_or(u32::MAX);
    rows.sort_by_key(|(_, row)| number(row));
    let mut text =
        "\n## Goals\n\n| goal | scenario | what | pairs or runs | median | 10th to 90th percentile | bound | |\n\
                    |---|---|---|---|---|---|---|---|\n"
            .to_owned();
    for (scenario, row) in &rows {
        let _ = writeln!(text, "| {} | {scenario} {}", row.goal, cells(row));
    }
    text
}

/// One scenario's section: its text, the runs, the ratios.
pub fn section(scenario: Scenario, lines: &[Line]) -> String {
    let mut text = format!("## {}\n\n{}\n", scenario.name(), scenario.text());
    let Some(first) = lines.first() else { return text + "No run.\n" };
    let _ = writeln!(text, "Commit {}, `perf -- {}`, {}.", first.commit, first.command, first.machine);
    if scenario == Scenario::Curves {
        return text + &curve_tables::tables(lines) + "\n" + &goal_rows(scenario, lines);
    }
    text.push_str(
        "\n| subject | runs | records | records/s | CPU-s/M | CPU-s/M, all | allocations | peak MiB | missing / extra / changed | others |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    let subjects = subjects(lines);
    for (name, of) in &subjects {
        text.push_str(&run_row(name, of));
    }
    text.push('\n');
    text.push_str(&goal_rows(scenario, lines));
    for (name, of) in &subjects {
        text.push_str(&threads(name, of));
        text.push_str(&figures(name, of));
    }
    text.push_str(&beside(&subjects));
    text.push_str(&left_out(lines));
    text.push_str(&memory(lines));
    text
}

fn goal_rows(scenario: Scenario, lines: &[Line]) -> String {
    let mut text =
        "| goal | what | pairs or runs | median | 10th to 90th percentile | bound | |\n|---|---|---|---|---|---|---|\n"
            .to_owned();
    for row in goals::rows(scenario, lines) {
        let _ = writeln!(text, "| {} {}", row.goal, cells(&row));
    }
    text
}

/// The runs by subject, in the order of their first runs.
fn subjects(lines: &[Line]) -> Vec<(&str, Vec<&Line>)> {
    let mut all: Vec<(&str, Vec<&Line>)> = Vec::new();
    for line in lines {
        match all.iter_mut().find(|(name, _)| *name == line.subject) {
            Some((_, of)) => of.push(line),
            None => all.push((&line.subject, vec![line])),
        }
    }
    all
}

fn run_row(name: &str, lines: &[&Line]) -> String {
    let spread = |of: fn(&Line) -> f64, digits: usize| {
        let values: Vec<f64> = lines.iter().map(|line| of(line)).collect();
        let at = |share| percentile(&values, share).unwrap_or_default();
        format!("**{:.digits$}** ({:.digits$}..{:.digits$})", at(0.5), at(0.0), at(1.0))
    };
    format!(
        "| {name} | {} | {} | {} | {} | {} | {} | {} | {} / {} / {} | {} |\n",
        lines.len(),
        lines[0].records,
        spread(|line| line.records_per_second, 0),
        spread(|line| line.cpu_s_per_million, 2),
        spread(|line| line.cpu_s_per_million_all, 2),
        allocations(lines),
        spread(|line| line.peak_mib, 0),
        lines.iter().map(|line| line.missing).sum::<u64>(),
        lines.iter().map(|line| line.extra).sum::<u64>(),
        lines.iter().map(|line| line.changed).sum::<u64>(),
        spread(|line| line.others, 2),
    )
}

/// Requests for memory per record, as the median of the runs that counted them.
pub fn allocations(lines: &[&Line]) -> String {
    let values: Vec<f64> = lines.iter().filter_map(|line| line.allocations_per_record).collect();
    percentile(&values, 0.5).map_or_else(|| "-".to_owned(), |median| format!("{median:.2}"))
}

/// A row from what it compares on.
fn cells(row: &Row) -> String {
    let at = |share| percentile(&row.values, share).unwrap_or_default();
    let median = at(0.5);
    let digits = if median < 10.0 { 2 } else { 0 };
    let bound = match row.bound {
        Bound::AtMost(limit) => format!("at most {limit}"),
        Bound::AtLeast(limit) => format!("at least {limit}"),
        Bound::Reported => String::new(),
    };
    let verdict = match row.is_met() {
        Some(true) => "met",
        Some(false) => "**not met**",
        None if row.void => "void",
        None => "",
    };
    format!(
        "| {} | {} | {median:.digits$} | {:.digits$} to {:.digits$} | {bound} | {verdict} |",
        row.what,
        row.values.len(),
        at(0.1),
        at(0.9)
    )
}

/// Where a subject's CPU goes, by thread, as the median of its runs.
fn threads(name: &str, runs: &[&Line]) -> String {
    if name == Subject::Script.name() {
        return String::new();
    }
    let parts = medians(runs, |run| {
        run.threads.iter().map(|(name, cpu_s)| (name.as_str(), cpu_s / run.records as f64 * 1e6)).collect()
    });
    let parts: Vec<String> =
        parts.iter().filter(|(_, cpu)| *cpu >= 0.01).map(|(name, cpu)| format!("`{name}` {cpu:.2}")).collect();
    if parts.is_empty() {
        return String::new();
    }
    format!("\nCPU-s/M by thread of {name}, the last half second left out: {}.\n", parts.join(", "))
}

/// What else was measured of a subject.
fn figures(name: &str, runs: &[&Line]) -> String {
    let parts = medians(runs, |run| run.figures.iter().map(|(name, value)| (name.as_str(), *value)).collect());
    if parts.is_empty() {
        return String::new();
    }
    let parts: Vec<String> = parts.iter().map(|(name, value)| format!("{name} {value:.2}")).collect();
    format!("\nOf {name}, medians: {}.\n", parts.join("; "))
}

/// The median of each name's values, largest first.
fn medians<'l>(runs: &[&'l Line], of: impl Fn(&'l Line) -> Vec<(&'l str, f64)>) -> Vec<(&'l str, f64)> {
    let mut names: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (name, value) in runs.iter().flat_map(|run| of(run)) {
        names.entry(name).or_default().push(value);
    }
    let median = |values: Vec<f64>| percentile(&values, 0.5).unwrap_or_default();
    let mut medians: Vec<_> = names.into_iter().map(|(name, values)| (name, median(values))).collect();
    medians.sort_by(|a, b| b.1.total_cmp(&a.1));
    medians
}

/// What the peers that ran are, and what they promise.
fn beside(subjects: &[(&str, Vec<&Line>)]) -> String {
    let row = |(name, runs): &(&str, Vec<&Line>)| {
        let version = runs[0].notes.get(VERSION)?;
        Some(format!("| {name} | {version} | {} |\n", Peer::of(name)?.guarantee()))
    };
    let rows: String = subjects.iter().filter_map(row).collect();
    if rows.is_empty() {
        return rows;
    }
    let engine =
        "| engine | this commit | commits after delivery; a record is delivered at least once, in order per key |\n";
    format!("\n| | version | guarantees |\n|---|---|---|\n{engine}{rows}")
}

fn left_out(lines: &[Line]) -> String {
    let notes = lines.iter().flat_map(|line| &line.notes);
    let why = notes.filter_map(|(name, why)| Some(format!("\nLeft out: {}: {why}.\n", name.strip_prefix(LEFT_OUT)?)));
    why.collect()
}

fn memory(lines: &[Line]) -> String {
    let mut text = String::new();
    for line in lines.iter().filter(|line| line.resident_mib.len() > 1) {
        let half = line.resident_mib.len() / 2;
        let largest = |part: &[f64]| part.iter().copied().fold(0.0, f64::max);
        let growth = largest(&line.resident_mib[half..]) - largest(&line.resident_mib[..half]);
        let curve: Vec<String> = line.resident_mib.iter().map(|mib| format!("{mib:.0}")).collect();
        let _ = writeln!(
            text,
            "\nLargest resident set of the second half less largest of the first: {growth:.0} MiB. In each twentieth of the \
             records, MiB: {}.",
            curve.join(" ")
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::fixtures::line;

    #[test]
    fn a_section_has_runs_goals_threads_and_figures() {
        let mut lines = vec![
            line("relay", "engine", 0, 200.0, 4.0),
            line("relay", "script", 1, 1.0, 500.0),
            line("relay", "script", 2, 2.0, 400.0),
            line("relay", "engine", 3, 300.0, 5.0),
        ];
        lines[0].threads.insert("relay-source".to_owned(), 1.5);
        lines[0].figures.insert("answers".to_owned(), 42.0);
        let text = section(Scenario::Relay, &lines);
        assert!(text.contains("| engine | 2 | 1000000 | **250** (200..300) |"), "{text}");
        assert!(
            text.contains("| P1 | records/s, engine / script | 2 | 175 | 155 to 195 | at least 100 | met |"),
            "{text}"
        );
        assert!(text.contains("of engine, the last half second left out: `relay-source` 1.50"), "{text}");
        assert!(text.contains("Of engine, medians: answers 42.00."), "{text}");
        let text = summary(&[(Scenario::Relay, lines)]);
        assert!(text.contains("| P1 | relay | records/s, engine / script |"), "{text}");
        assert!(!text.contains("control"), "{text}");
    }

    #[test]
    fn peers_are_named_with_version_and_guarantees_or_with_the_reason() {
        let mut lines = vec![line("peers-bulk", "rsyslog", 0, 1.0, 40.0), line("peers-bulk", "engine", 1, 10.0, 2.0)];
        lines[0].notes.insert(VERSION.to_owned(), "rsyslog 8".to_owned());
        lines[0].notes.insert(format!("{LEFT_OUT}bento"), "there is no Go".to_owned());
        lines[0].changed = 7;
        let text = section(Scenario::PeersBulk, &lines);
        assert!(text.contains("| rsyslog | rsyslog 8 | commits **before** delivery"), "{text}");
        assert!(text.contains("Left out: bento: there is no Go.") && text.contains(" 0 / 0 / 7 "), "{text}");
        assert!(text.contains("| P7 | CPU, rsyslog (commits before delivery) / engine | 1 | 20 |"), "{text}");
    }

    #[test]
    fn scenarios_without_a_run_are_named() {
        let sessions = Scenario::ALL.map(|scenario| (scenario, Vec::new()));
        assert_eq!(not_run(&sessions), "");
        let text = not_run(&sessions[1..]);
        assert!(text.contains("No run yet of: consume."), "{text}");
    }

    #[test]
    fn growth_is_told() {
        let mut one = line("memory", "engine", 0, 1.0, 1.0);
        one.resident_mib = vec![100.0, 200.0, 210.0, 205.0];
        assert!(memory(&[one]).contains("less largest of the first: 10 MiB"));
    }
}
