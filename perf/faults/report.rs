//! perf/FAULTS.md: what the campaign came to, for people.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::{Args, Played};

/// The page, below the package's root.
const PAGE: &str = "FAULTS.md";
/// What goes before the tables.
const HEAD: &str = include_str!("head.md");

/// All runs of one scenario.
pub struct Row {
    name: &'static str,
    class: &'static str,
    how: &'static str,
    runs: usize,
    records: u64,
    lost: u64,
    duplicates: u64,
    unexplained: u64,
    disordered: u64,
    stale: u64,
    late: u64,
    early: u64,
    foreign: u64,
    kills: u64,
    recoveries_us: Vec<u64>,
    peak_bytes: u64,
    findings: Vec<String>,
    limit: Option<&'static str>,
}

impl Row {
    /// Sums of runs of one scenario; there is at least one.
    pub fn of(runs: &[Played]) -> Self {
        let scenario = &runs[0].scenario;
        let mut row = Self {
            name: scenario.name,
            class: scenario.class,
            how: scenario.how,
            runs: runs.len(),
            records: 0,
            lost: 0,
            duplicates: 0,
            unexplained: 0,
            disordered: 0,
            stale: 0,
            late: 0,
            early: 0,
            foreign: 0,
            kills: 0,
            recoveries_us: Vec::new(),
            peak_bytes: 0,
            findings: Vec::new(),
            limit: scenario.limit,
        };
        runs.iter().for_each(|run| row.add(run));
        row.recoveries_us.sort_unstable();
        row
    }

    fn add(&mut self, run: &Played) {
        let outcome = match &run.outcome {
            Ok(outcome) => outcome,
            Err(error) => {
                self.findings.push(format!("seed {}: {}", run.seed, first_line(error)));
                return;
            }
        };
        let verdict = &outcome.verdict;
        self.records += verdict.records;
        self.lost += verdict.lost;
        self.duplicates += verdict.duplicates;
        self.unexplained += verdict.unexplained;
        self.disordered += verdict.disordered;
        self.stale += verdict.stale_keys;
        self.late += verdict.late;
        self.early += verdict.early_commits;
        self.foreign += verdict.foreign;
        self.kills += outcome.kills;
        self.recoveries_us.extend(&outcome.recoveries_us);
        self.peak_bytes = self.peak_bytes.max(outcome.peak_bytes);
        if !outcome.is_sound(&run.scenario) {
            self.findings.push(format!("seed {}: {}", run.seed, verdict.samples.join("; ")));
        }
    }

    /// Every run ended as it must, and the checker found nothing.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    fn recovery(&self, share: f64) -> String {
        let last = self.recoveries_us.len().saturating_sub(1);
        let at = (last as f64 * share).ceil() as usize;
        self.recoveries_us.get(at).map_or_else(|| "-".to_owned(), |us| format!("{:.2}", *us as f64 / 1e6))
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// The whole page; `planned` runs were to be played.
pub fn page(rows: &[Row], args: &Args, planned: usize) -> String {
    let mut page = HEAD.to_owned();
    let sum = |part: fn(&Row) -> u64| rows.iter().map(part).sum::<u64>();
    let runs: usize = rows.iter().map(|row| row.runs).sum();
    // Writing to a String cannot fail.
    let _ = writeln!(
        page,
        "## This campaign\n\n`cargo faults --seeds {} --kills {} --first-seed {} --jobs {}{}`{}: \
         {} scenarios, {runs} runs, {} kills with signal 9, {} records.\n\n\
         **{} lost, {} duplicates of which {} without a cause, {} out of order, {} keys left stale, {} findings by late writes, \
         {} committed too early, {} foreign; {} runs failed or were not sound.**\n",
        args.seeds,
        args.kills,
        args.first_seed,
        args.jobs,
        args.engine.as_ref().map_or("", |_| " --engine …/release/sluicegate"),
        args.minutes.filter(|_| runs < planned).map_or_else(String::new, |minutes| format!(
            ", cut short after {minutes} minutes ({planned} runs were meant)"
        )),
        rows.len(),
        sum(|row| row.kills),
        sum(|row| row.records),
        sum(|row| row.lost),
        sum(|row| row.duplicates),
        sum(|row| row.unexplained),
        sum(|row| row.disordered),
        sum(|row| row.stale),
        sum(|row| row.late),
        sum(|row| row.early),
        sum(|row| row.foreign),
        sum(|row| row.findings.len() as u64),
    );
    page.push_str(
        "| fault | class | runs | kills | records | lost | duplicates | without cause | out of order | late writes | \
         early commits | recovery p50 / p99 / max, s | peak MiB |\n|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for row in rows {
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} / {} / {} | {} |",
            row.name,
            row.class,
            row.runs,
            row.kills,
            row.records,
            row.lost,
            row.duplicates,
            row.unexplained,
            row.disordered + row.stale,
            row.late,
            row.early,
            row.recovery(0.5),
            row.recovery(0.99),
            row.recovery(1.0),
            row.peak_bytes >> 20,
        );
    }
    page.push_str("\n## What each fault is\n\n| fault | how it is caused and how it ends |\n|---|---|\n");
    for row in rows {
        let _ = writeln!(page, "| {} | {} |", row.name, row.how);
    }
    let limits: Vec<String> =
        rows.iter().filter_map(|row| row.limit.map(|limit| format!("- {}: {limit}.", row.name))).collect();
    if !limits.is_empty() {
        let _ = writeln!(page, "\n## Where order has a limit\n\n{}", limits.join("\n"));
    }
    let findings: Vec<String> =
        rows.iter().flat_map(|row| row.findings.iter().map(|finding| format!("- {}, {finding}", row.name))).collect();
    if !findings.is_empty() {
        let _ = writeln!(page, "\n## Findings\n\n{}", findings.join("\n"));
    }
    page
}

/// Writes the page; a campaign of some scenarios only is shown, not kept.
///
/// # Errors
/// The file cannot be written.
pub fn write(page: &str, whole: bool) -> std::io::Result<()> {
    if !whole {
        return Ok(());
    }
    fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE), page)
}
