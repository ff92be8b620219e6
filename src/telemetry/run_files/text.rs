//! A run, or two, as text for a terminal.

use std::fmt::Write;

use strum::VariantArray;

use super::super::latency::Stage;
use super::super::percentiles::Percentiles;
use super::super::summary::{milliseconds, si, three_digits};
use super::compare::{ComparedRow, Comparison};
use super::model::{PipelineRun, RunFile};

/// One run.
#[must_use]
pub fn run(run: &RunFile) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}", headline(run));
    let _ = writeln!(out, "{}", machine(run));
    let _ = writeln!(out, "{}", used(run));
    for (name, pipeline) in &run.pipelines {
        let _ = writeln!(out);
        out.push_str(&of_pipeline(name, pipeline));
    }
    out
}

/// Start, duration, versions.
#[must_use]
pub fn headline(run: &RunFile) -> String {
    let versions = &run.versions;
    format!(
        "run of {}, {} s, sluicegate {} ({}), librdkafka {}",
        run.started_at,
        three_digits(run.seconds),
        versions.version,
        versions.commit,
        versions.librdkafka
    )
}

/// Processor, cores, memory, system.
#[must_use]
pub fn machine(run: &RunFile) -> String {
    let machine = &run.machine;
    let cpu = machine.cpu.as_deref().unwrap_or("unknown processor");
    let memory = machine.memory_bytes.map_or_else(|| "unknown memory".to_owned(), bytes);
    format!("{cpu}, {} cores, {memory}, {} {}", machine.cores, machine.system, machine.architecture)
}

/// CPU time and memory.
#[must_use]
pub fn used(run: &RunFile) -> String {
    let seconds =
        |value: Option<f64>| value.map_or_else(|| "unknown".to_owned(), |value| format!("{} s", three_digits(value)));
    let memory = run.peak_memory_bytes.map_or_else(|| "unknown".to_owned(), bytes);
    let per_million = seconds(run.cpu_seconds_per_million_records);
    format!("CPU {} ({per_million} per million records), peak memory {memory}", seconds(run.cpu_seconds))
}

/// `1.5 MiB`.
#[must_use]
pub fn bytes(value: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = UNITS.iter().find(|(size, _)| value >= *size);
    unit.map_or_else(
        || format!("{value} B"),
        |(size, name)| format!("{} {name}", three_digits(value as f64 / *size as f64)),
    )
}

/// Retries, rewinds and rejects in words; only what occurred.
#[must_use]
pub fn troubles(pipeline: &PipelineRun) -> Option<String> {
    let mut words = Vec::new();
    if pipeline.retries > 0 {
        words.push(format!("{} retries", pipeline.retries));
    }
    words.extend(pipeline.rewinds.iter().map(|(cause, n)| format!("{n} rewinds ({cause})")));
    words.extend(pipeline.rejects.iter().map(|(reason, n)| format!("{n} rejects ({reason})")));
    (!words.is_empty()).then(|| words.join(", "))
}

fn of_pipeline(name: &str, pipeline: &PipelineRun) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{name} ({})", pipeline.state);
    let _ = writeln!(out, "  {}", pipeline.sum);
    let rate = si(pipeline.records_per_second.round() as u64);
    let _ = writeln!(out, "  {rate} records/s, {}/s read", bytes(pipeline.bytes_per_second.round() as u64));
    if let Some(troubles) = troubles(pipeline) {
        let _ = writeln!(out, "  {troubles}");
    }
    let timed =
        Stage::VARIANTS.iter().filter_map(|stage| Some((stage.name(), pipeline.percentiles.get(stage.name())?)));
    for (index, (stage, percentiles)) in timed.enumerate() {
        if index == 0 {
            let _ = writeln!(out, "  {}", head());
        }
        let _ = writeln!(out, "  {}", row(stage, percentiles));
    }
    out
}

fn head() -> String {
    let names = Percentiles::default().rows().map(|(name, _)| format!("{name:>10}"));
    format!("{:<11}{:>12}{}", "latency", "records", names.concat())
}

fn row(stage: &str, percentiles: &Percentiles) -> String {
    let values = percentiles.rows().map(|(_, value)| format!("{:>10}", milliseconds(value)));
    format!("{stage:<11}{:>12}{}", percentiles.count, values.concat())
}

/// Two runs.
#[must_use]
pub fn comparison(both: &Comparison) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "first:  {}\nsecond: {}\n", both.first, both.second);
    let _ = writeln!(out, "{:<28}{:>14}{:>14}{:>9}", "", "first", "second", "ratio");
    rows(&both.process, &mut out);
    for (name, pipeline) in &both.pipelines {
        let _ = writeln!(out, "\n{name}");
        rows(&pipeline.figures, &mut out);
        for (stage, percentiles) in &pipeline.stages {
            let _ = writeln!(out, "  {stage}");
            rows(percentiles, &mut out);
        }
    }
    if !both.unmatched.is_empty() {
        let _ = writeln!(out, "\nonly in one of the runs: {}", both.unmatched.join(", "));
    }
    out
}

fn rows(rows: &[ComparedRow], out: &mut String) {
    for row in rows {
        let ratio = row.ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.3}"));
        let (first, second) = (figure(row.first, row.unit), figure(row.second, row.unit));
        let _ = writeln!(out, "    {:<24}{first:>14}{second:>14}{ratio:>9}", row.name);
    }
}

/// A figure with its unit.
#[must_use]
pub fn figure(value: f64, unit: &str) -> String {
    match unit {
        "ms" => milliseconds(value),
        "bytes" => bytes(value.round() as u64),
        "bytes/s" => format!("{}/s", bytes(value.round() as u64)),
        "records/s" => format!("{}/s", si(value.round() as u64)),
        other => format!("{} {other}", three_digits(value)),
    }
}
