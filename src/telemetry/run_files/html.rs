//! `report.html`: a run, or two, as one self-contained page. No script, no network; light and dark.

use std::fmt::Write;

use strum::VariantArray;

use super::super::latency::Stage;
use super::super::metrics::StageName;
use super::super::percentiles::Percentiles;
use super::super::sampler::SeriesPoint;
use super::super::summary::{milliseconds, si, three_digits};
use super::axis::{Axis, Unit};
use super::chart::{self, Chart, ChartLine, escape};
use super::compare::{ComparedRow, Comparison};
use super::model::{PipelineRun, RunFile};
use super::text;

const STYLE: &str = include_str!("report.css");

/// The page of one run.
#[must_use]
pub fn page(run: &RunFile) -> String {
    let mut body = String::with_capacity(64 * 1024);
    let _ = write!(
        body,
        "<h1>sluicegate run</h1><p class=quiet>{}<br>{}</p>",
        escape(&text::headline(run)),
        escape(&text::machine(run))
    );
    body.push_str(&tiles(&[
        (if run.conserved { "holds".into() } else { "broken".into() }, "conservation sum"),
        (format!("{} s", three_digits(run.seconds)), "duration"),
        (
            run.cpu_seconds_per_million_records.map_or_else(|| "–".into(), |cpu| format!("{} s", three_digits(cpu))),
            "CPU per million records",
        ),
        (run.peak_memory_bytes.map_or_else(|| "–".into(), text::bytes), "peak memory"),
    ]));
    for (name, pipeline) in &run.pipelines {
        section(name, pipeline, &mut body);
    }
    let settings = serde_json::to_string_pretty(&run.settings).unwrap_or_default();
    let _ = write!(
        body,
        "<section class=card><h2>Settings</h2><p class=quiet>configuration {}</p><details><summary>effective configuration, secrets masked</summary><pre>{}</pre></details></section>",
        escape(&run.config_hash),
        escape(&settings)
    );
    document("sluicegate run", &body)
}

/// The page of two runs.
#[must_use]
pub fn comparison(both: &Comparison, first: &RunFile, second: &RunFile) -> String {
    let mut body = String::with_capacity(32 * 1024);
    let _ = write!(
        body,
        "<h1>sluicegate: two runs</h1><p class=quiet>first: {}<br>second: {}<br>ratios are second by first</p>",
        escape(&both.first),
        escape(&both.second)
    );
    body.push_str("<section class=card><h2>Process</h2>");
    ratio_table("", &both.process, &mut body);
    body.push_str("</section>");
    for (name, pipeline) in &both.pipelines {
        let _ = write!(body, "<section class=card><h2>{}</h2>", escape(name));
        ratio_table("", &pipeline.figures, &mut body);
        let _ = write!(body, "<div class=chartbox>{}</div>", comparison_chart(name, first, second).svg(false));
        for (stage, rows) in &pipeline.stages {
            ratio_table(stage, rows, &mut body);
        }
        body.push_str("</section>");
    }
    if !both.unmatched.is_empty() {
        let _ = write!(body, "<p>Only in one of the runs: {}</p>", escape(&both.unmatched.join(", ")));
    }
    document("sluicegate: two runs", &body)
}

/// The percentile curves of every stage of a run's pipeline.
#[must_use]
pub fn percentile_chart(name: &str, pipeline: &PipelineRun) -> Chart {
    let curves = Stage::VARIANTS.iter().filter_map(|stage| Some((stage.name(), pipeline.curves.get(stage.name())?)));
    let lines = curves.map(|(stage, curve)| ChartLine { name: stage.replace('_', " "), points: known(curve) });
    Chart {
        title: format!("{name}: latency by percentile"),
        x: Axis::Nines,
        y: Axis::Log,
        unit: Unit::Milliseconds,
        lines: lines.collect(),
    }
}

/// Polled → acknowledged of both runs.
#[must_use]
pub fn comparison_chart(name: &str, first: &RunFile, second: &RunFile) -> Chart {
    let pipeline = |run: &RunFile, half: usize| {
        let own = name.split(" / ").nth(half).unwrap_or(name);
        let found = run.pipelines.get(name).or_else(|| run.pipelines.get(own))?;
        found.curves.get(Stage::EndToEnd.name()).cloned()
    };
    let line = |label: &str, curve: Option<Vec<(f64, f64)>>| {
        curve.map(|curve| ChartLine { name: label.into(), points: known(&curve) })
    };
    Chart {
        title: format!("{name}: polled → acknowledged by percentile"),
        x: Axis::Nines,
        y: Axis::Log,
        unit: Unit::Milliseconds,
        lines: [line("first", pipeline(first, 0)), line("second", pipeline(second, 1))].into_iter().flatten().collect(),
    }
}

fn known(curve: &[(f64, f64)]) -> Vec<(f64, Option<f64>)> {
    curve.iter().map(|(quantile, value)| (*quantile, Some(*value))).collect()
}

fn document(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content=\"width=device-width, initial-scale=1\">\
         <title>{title}</title><link rel=icon href=\"data:,\"><style>{STYLE}{}</style></head><body><main>{body}</main></body></html>\n",
        chart::STYLE
    )
}

fn tiles(tiles: &[(String, &str)]) -> String {
    let one = |(value, label): &(String, &str)| format!("<div><b>{}</b><span>{label}</span></div>", escape(value));
    format!("<div class=tiles>{}</div>", tiles.iter().map(one).collect::<String>())
}

fn section(name: &str, pipeline: &PipelineRun, body: &mut String) {
    let _ = write!(
        body,
        "<section class=card><h2>{} <span class=quiet>{}</span></h2>",
        escape(name),
        escape(&pipeline.state)
    );
    let end = pipeline.percentiles.get(Stage::EndToEnd.name());
    let p99 = end.map_or_else(|| "–".into(), |end| milliseconds(end.p99_ms));
    body.push_str(&tiles(&[
        (si(pipeline.records_per_second.round() as u64), "records/s"),
        (format!("{}/s", text::bytes(pipeline.bytes_per_second.round() as u64)), "read"),
        (p99, "p99 polled → acknowledged"),
        (text::bytes(pipeline.peak_budget_bytes), "of the byte budget at most"),
    ]));
    let mark = if pipeline.conserved { "<b class=good>✓</b>" } else { "<b class=bad>✗</b>" };
    let _ = write!(body, "<p class=sum>{mark} {}</p>", escape(&pipeline.sum.to_string()));
    if let Some(troubles) = text::troubles(pipeline) {
        let _ = write!(body, "<p class=sum>{}</p>", escape(&troubles));
    }
    body.push_str("<div class=charts>");
    let charts =
        [percentile_chart(name, pipeline), percentiles_over_time(pipeline), throughput(pipeline), lag(pipeline)];
    for chart in charts.iter().filter(|chart| !chart.is_empty()) {
        let mut chart = chart.clone();
        // The section names the pipeline already.
        chart.title = chart.title.trim_start_matches(&format!("{name}: ")).to_owned();
        let _ = write!(body, "<div class=chartbox>{}</div>", chart.svg(false));
    }
    body.push_str("</div>");
    latency_table(pipeline, body);
    stage_shares(pipeline, body);
    body.push_str("</section>");
}

/// A line over time: its name and what it takes of each point.
type Track = (&'static str, fn(&SeriesPoint) -> Option<f64>);

fn over_time(title: &str, y: Axis, unit: Unit, pipeline: &PipelineRun, lines: &[Track]) -> Chart {
    let line = |(name, value): &Track| ChartLine {
        name: (*name).to_owned(),
        points: pipeline.series.iter().map(|point| (point.seconds, value(point))).collect(),
    };
    let lines = lines.iter().map(line).filter(|line| line.points.iter().any(|(_, y)| y.is_some()));
    Chart { title: title.into(), x: Axis::Time, y, unit, lines: lines.collect() }
}

fn percentiles_over_time(pipeline: &PipelineRun) -> Chart {
    let lines: [Track; 3] =
        [("p50", |point| point.p50_ms), ("p99", |point| point.p99_ms), ("p99.9", |point| point.p999_ms)];
    over_time("polled → acknowledged over time", Axis::Log, Unit::Milliseconds, pipeline, &lines)
}

fn throughput(pipeline: &PipelineRun) -> Chart {
    let lines: [Track; 2] =
        [("resolved", |point| Some(point.resolved_per_second)), ("read", |point| Some(point.consumed_per_second))];
    over_time("records per second", Axis::Linear, Unit::Count, pipeline, &lines)
}

fn lag(pipeline: &PipelineRun) -> Chart {
    let lines: [Track; 2] =
        [("lag", |point| point.lag_records.map(|lag| lag as f64)), ("open", |point| Some(point.open_records as f64))];
    over_time("records behind and open", Axis::Linear, Unit::Count, pipeline, &lines)
}

fn latency_table(pipeline: &PipelineRun, body: &mut String) {
    let timed =
        Stage::VARIANTS.iter().filter_map(|stage| Some((stage.name(), pipeline.percentiles.get(stage.name())?)));
    let mut rows = String::new();
    for (stage, percentiles) in timed {
        let cells = percentiles.rows().map(|(_, value)| format!("<td>{}</td>", milliseconds(value))).concat();
        let _ = write!(rows, "<tr><th>{}</th><td>{}</td>{cells}</tr>", stage.replace('_', " "), percentiles.count);
    }
    if !rows.is_empty() {
        let names = Percentiles::default().rows().map(|(name, _)| format!("<td>{name}</td>")).concat();
        let _ = write!(
            body,
            "<h3>Latency</h3><div class=scroll><table><tr class=head><th>stage</th><td>records</td>{names}</tr>{rows}</table></div>"
        );
    }
}

/// One bar a stage: busy and blocked as shares of the time its threads had.
fn stage_shares(pipeline: &PipelineRun, body: &mut String) {
    let seconds = pipeline.series.last().map_or(0.0, |point| point.seconds);
    let named = StageName::VARIANTS.iter().filter_map(|stage| Some((stage.name(), pipeline.stages.get(stage.name())?)));
    let mut bars = String::new();
    for (stage, share) in named.filter(|(_, share)| share.busy_seconds + share.blocked_seconds > 0.0) {
        let percent = |part: f64| (100.0 * part / (seconds * share.threads as f64).max(1e-9)).clamp(0.0, 100.0);
        let (busy, blocked) = (percent(share.busy_seconds), percent(share.blocked_seconds));
        let blocked = blocked.min(100.0 - busy);
        let _ = write!(
            bars,
            "<div class=share><span>{stage}</span><div class=bar><i class=busy style=\"width:{busy:.1}%\"></i><i class=blocked style=\"width:{blocked:.1}%\"></i></div>\
             <span class=quiet>{busy:.0} % busy, {blocked:.0} % blocked</span></div>"
        );
    }
    if !bars.is_empty() {
        let _ = write!(body, "<h3>Stages</h3>{bars}");
    }
}

fn ratio_table(title: &str, rows: &[ComparedRow], body: &mut String) {
    let mut lines = String::new();
    for row in rows {
        let ratio = row.ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.3}"));
        let (first, second) = (text::figure(row.first, row.unit), text::figure(row.second, row.unit));
        let _ =
            write!(lines, "<tr><th>{}</th><td>{first}</td><td>{second}</td><td>{ratio}</td></tr>", escape(&row.name));
    }
    let title = title.replace('_', " ");
    let _ = write!(
        body,
        "<div class=scroll><table class=ratios><tr class=head><th>{title}</th><td>first</td><td>second</td><td>ratio</td></tr>{lines}</table></div>"
    );
}
