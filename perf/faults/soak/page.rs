//! perf/SOAK.md and perf/soak.ndjson: what a soak came to, for people and for programs.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use sluicegate::internals::telemetry::process::Machine;

use super::book::{CALM_US, Figures, LATE_US, Sample, slope};
use super::faults::FAULTS;
use super::{Args, Outcome};

/// What goes before the tables.
const HEAD: &str = include_str!("head.md");

/// Where the results go.
pub struct Files {
    folder: PathBuf,
}

impl Files {
    /// The files in this folder, or beside this program's source.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(folder: Option<&Path>) -> anyhow::Result<Self> {
        let folder = folder.unwrap_or(Path::new(env!("CARGO_MANIFEST_DIR"))).to_owned();
        fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        Ok(Self { folder })
    }

    /// A new file for a line a minute.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn lines(&mut self) -> anyhow::Result<File> {
        let path = self.folder.join("soak.ndjson");
        File::create(&path).with_context(|| format!("write {}", path.display()))
    }

    /// Keeps the page.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn page(&self, page: &str) -> anyhow::Result<()> {
        let path = self.folder.join("SOAK.md");
        fs::write(&path, page).with_context(|| format!("write {}", path.display()))
    }
}

/// The whole page.
pub fn page(args: &Args, outcome: &Outcome, figures: &Figures) -> String {
    let mut page = HEAD.to_owned();
    // Writing to a String cannot fail.
    let _ = writeln!(page, "## This run\n\n{}\n", summary(args, outcome, figures));
    page.push_str(&verdicts(outcome));
    page.push_str(&faults(outcome, figures));
    page.push_str(&latencies(outcome, figures));
    page.push_str(&sizes(figures));
    if !outcome.findings.is_empty() {
        let _ = writeln!(page, "## Findings\n\n- {}\n", outcome.findings.join("\n- "));
    }
    page.push_str(&kinds(outcome));
    page
}

fn summary(args: &Args, outcome: &Outcome, figures: &Figures) -> String {
    let machine = Machine::here();
    let loads = &figures.loads;
    let mean = loads.iter().sum::<f64>() / loads.len().max(1) as f64;
    let most = outcome.most.map_or_else(
        || "set by hand".to_owned(),
        |most| format!("half of the {most:.0} that both pipelines took at once when fed flat out for 20 s"),
    );
    format!(
        "`cargo faults soak --minutes {} --rate {} --every {}s --seed {}{}`, commit {}, {} cores, mean \
         load {mean:.1}.\n\n\
         {:.0} records/s were meant: {most}. {} faults. **{}**",
        args.minutes,
        args.rate,
        args.every.as_secs(),
        args.seed,
        args.engine.as_ref().map_or("", |_| " --engine …/release/sluicegate"),
        if figures.commit.is_empty() { "unknown" } else { &figures.commit },
        machine.cores,
        outcome.rate,
        outcome.played.len(),
        if outcome.is_sound() { "Sound." } else { "NOT sound." },
    )
}

fn verdicts(outcome: &Outcome) -> String {
    let mut text =
        "| pipeline | records | lost | repeated | without cause | out of order | keys stale | early commits | \
                    foreign |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|\n"
            .to_owned();
    for (name, found) in &outcome.verdicts {
        let _ = writeln!(
            text,
            "| {name} | {} | {} | {} | {} | {} | {} | {} | {} |",
            found.records,
            found.lost,
            found.duplicates,
            found.unexplained,
            found.disordered,
            found.stale_keys,
            found.early_commits,
            found.foreign
        );
    }
    text.push('\n');
    for (name, found) in outcome.verdicts.iter().filter(|(_, found)| !found.samples.is_empty()) {
        let _ = writeln!(text, "{name}: {}.\n", found.samples.join("; "));
    }
    text
}

fn faults(outcome: &Outcome, figures: &Figures) -> String {
    let mut text = format!(
        "## Faults\n\nRelay / index, in seconds from the fault's end: to the first acknowledgement, and to the last record before the next \
         fault\nthat took longer than {} s. (Anything else the machine does makes records late as well.)\n\n\
         | at minute | fault | lasted, s | first | last late | repeated |\n|--:|---|--:|--:|--:|--:|\n",
        LATE_US / 1_000_000
    );
    let seconds = |us: u64| format!("{:.1}", us as f64 / 1e6);
    for (at, mark) in figures.marks.iter().enumerate() {
        let after = figures.marks.get(at + 1).map_or(figures.duplicates, |next| next.duplicates);
        let both = |part: &dyn Fn(usize) -> String| format!("{} / {}", part(0), part(1));
        let first = both(&|at| mark.recovery_us[at].map_or_else(|| "-".to_owned(), seconds));
        let late = both(&|at| seconds(mark.late_until_us[at].saturating_sub(mark.to_us)));
        let repeated = both(&|at| (after[at] - mark.duplicates[at]).to_string());
        let _ = writeln!(
            text,
            "| {:.1} | {} | {} | {first} | {late} | {repeated} |",
            mark.from_us.saturating_sub(outcome.began_us) as f64 / 6e7,
            mark.name,
            seconds(mark.to_us.saturating_sub(mark.from_us)),
        );
    }
    text.push('\n');
    text
}

fn latencies(outcome: &Outcome, figures: &Figures) -> String {
    let mut text = format!(
        "## Latency\n\nFrom the moment a record was meant to be produced to its acknowledgement, in milliseconds. *Calm*: later \
         than {} s after the end of the last fault.\n\n\
         | pipeline | records | p50 | p90 | p99 | p99.9 | max |\n|---|--:|--:|--:|--:|--:|--:|\n",
        CALM_US / 1_000_000
    );
    for ((name, _), latencies) in outcome.verdicts.iter().zip(&figures.latencies) {
        text.push_str(&latency(name, &latencies.all));
        text.push_str(&latency(&format!("{name}, calm"), &latencies.calm));
    }
    text.push('\n');
    text
}

fn latency(name: &str, of: &Histogram<u64>) -> String {
    let ms = [0.5, 0.9, 0.99, 0.999, 1.0].map(|quantile| format!("{:.0}", of.value_at_quantile(quantile) as f64 / 1e3));
    format!("| {name} | {} | {} |\n", of.len(), ms.join(" | "))
}

fn sizes(figures: &Figures) -> String {
    let grown = figures.grown(10);
    let mut text = "## The engine's size\n\n".to_owned();
    let all = if grown.is_empty() { &figures.samples } else { &grown };
    let span = |part: fn(&Sample) -> u64| {
        let values = || all.iter().map(part);
        format!("{} to {}", values().min().unwrap_or(0), values().max().unwrap_or(0))
    };
    let _ = writeln!(
        text,
        "Resident {} MiB, {} threads, {} descriptors ({} samples{}). Conservation sums looked at: {}, wrong: {}.",
        span(|one| one.rss >> 20),
        span(|one| one.threads),
        span(|one| one.descriptors),
        all.len(),
        if grown.is_empty() { "" } else { ", from minute 10 on, processes older than two minutes" },
        figures.sums,
        figures.wrong_sums.len(),
    );
    if let Some(slope) = slope(&grown) {
        let _ = writeln!(text, "Slope of resident memory from minute 10 to the end: {slope:.1} MiB an hour.");
    }
    let longest =
        grown.iter().map(|one| one.process).collect::<std::collections::BTreeSet<_>>().into_iter().map(|process| {
            let of: Vec<Sample> = grown.iter().filter(|one| one.process == process).copied().collect();
            (of.last().map_or(0, |last| last.at_us - of[0].at_us), of)
        });
    if let Some((took, of)) = longest.max_by_key(|(took, _)| *took)
        && let (Some(slope), Some(first), Some(last)) = (slope(&of), of.first(), of.last())
    {
        let _ = writeln!(
            text,
            "The process that lived longest, over {:.0} minutes: {} MiB at first, {} MiB at last, slope {slope:.1} MiB an hour.",
            took as f64 / 6e7,
            first.rss >> 20,
            last.rss >> 20,
        );
    }
    let _ = writeln!(
        text,
        "The checkers kept {} records at the most; the whole testing program ended with {} MiB.\n",
        figures.most_kept,
        figures.own_rss >> 20,
    );
    text
}

fn kinds(outcome: &Outcome) -> String {
    let mut text =
        "## What each fault is\n\n| fault | played | how it is caused and how it ends |\n|---|--:|---|\n".to_owned();
    for fault in FAULTS {
        let played = outcome.played.iter().filter(|name| **name == fault.name).count();
        let _ = writeln!(text, "| {} | {played} | {} |", fault.name, fault.how);
    }
    text
}
