//! The curves of a session as tables and pictures (pure).

use std::fmt::Write as _;

use crate::curve::{self, Curve, Point, Route};
use crate::curves::MEGABYTES;
use crate::history::Line;
use crate::open_loop::{PERCENTILES, REACHED};
use crate::picture::{Mark, Panel, Picture, Series};
use crate::report::allocations;
use crate::statistics::percentile;

/// The folder of the pictures, below `perf/`.
pub const FOLDER: &str = "curves";

type Figure = fn(&Line) -> Option<f64>;

const RATE: Figure = |line| Some(line.records_per_second);
const CPU: Figure = |line| Some(line.cpu_s_per_million_all);
const MB: Figure = |line| line.figures.get(MEGABYTES).copied();

/// A table, and the picture's link, of each curve that was measured.
pub fn tables(lines: &[Line]) -> String {
    let mut text = String::new();
    for curve in Curve::ALL.into_iter().filter(|curve| is_there(*curve, lines)) {
        let name = curve.name();
        let _ = writeln!(text, "\n### {name}\n\n![{}]({FOLDER}/{name}.svg)\n", curve.axis());
        let head = if curve == Curve::Latency {
            "| pipeline | load | runs | records/s | MB/s | p50 ms | p99 ms | p99.9 ms | CPU-s/M | peak MiB | missing / extra |\n\
             |---|---|---|---|---|---|---|---|---|---|---|"
        } else {
            "| pipeline | point | runs | records | records/s | MB/s | CPU-s/M | CPU-s/M, all | allocations | peak MiB | \
             missing / extra | others |\n|---|---|---|---|---|---|---|---|---|---|---|---|"
        };
        let _ = writeln!(text, "{head}");
        for route in curve.routes() {
            for point in curve.points() {
                let runs = runs(lines, curve, *route, *point);
                if !runs.is_empty() {
                    text.push_str(&row(curve, *route, *point, &runs));
                }
            }
        }
    }
    text
}

/// Every picture by the name of its file.
pub fn pictures(lines: &[Line]) -> Vec<(String, String)> {
    let there = Curve::ALL.into_iter().filter(|curve| is_there(*curve, lines));
    there.map(|curve| (format!("{}.svg", curve.name()), picture(curve, lines).svg())).collect()
}

fn is_there(curve: Curve, lines: &[Line]) -> bool {
    curve.routes().iter().any(|route| curve.points().iter().any(|point| !runs(lines, curve, *route, *point).is_empty()))
}

fn runs(lines: &[Line], curve: Curve, route: Route, point: Point) -> Vec<&Line> {
    let name = curve::name(curve, route, point);
    lines.iter().filter(|line| line.subject == name).collect()
}

fn median(runs: &[&Line], of: impl Fn(&Line) -> Option<f64>) -> Option<f64> {
    percentile(&runs.iter().filter_map(|line| of(line)).collect::<Vec<_>>(), 0.5)
}

fn row(curve: Curve, route: Route, point: Point, runs: &[&Line]) -> String {
    let cell = |of: &dyn Fn(&Line) -> Option<f64>, digits: usize| {
        median(runs, of).map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
    };
    let (missing, extra): (u64, u64) =
        (runs.iter().map(|line| line.missing).sum(), runs.iter().map(|line| line.extra).sum());
    let (rate, mb) = (cell(&RATE, 0), cell(&MB, 1));
    let (cpu, peak) = (cell(&|line| Some(line.cpu_s_per_million), 2), cell(&|line| Some(line.peak_mib), 0));
    let (pipeline, label, count) = (route.name(), point.label(), runs.len());
    if curve == Curve::Latency {
        let reached = runs.iter().all(|line| line.figures.get(REACHED) == Some(&1.0));
        let mark = if reached { "" } else { ", rate not reached" };
        let [p50, p99, p999] = PERCENTILES.map(|name| cell(&|line| line.figures.get(name).copied(), 1));
        return format!(
            "| {pipeline} | {label}{mark} | {count} | {rate} | {mb} | {p50} | {p99} | {p999} | {cpu} | {peak} | {missing} / {extra} |\n"
        );
    }
    // The first core alone is looked at.
    let others = if point.cores() > 1 { "-".to_owned() } else { cell(&|line| Some(line.others), 2) };
    let (all, allocations, records) = (cell(&CPU, 2), allocations(runs), runs[0].records);
    format!(
        "| {pipeline} | {label} | {count} | {records} | {rate} | {mb} | {cpu} | {all} | {allocations} | {peak} | \
         {missing} / {extra} | {others} |\n"
    )
}

fn picture(curve: Curve, lines: &[Line]) -> Picture {
    let by_route = |title: &str, log: bool, of: Figure| Panel {
        title: title.to_owned(),
        x: curve.axis().to_owned(),
        log,
        series: curve.routes().iter().map(|route| series(lines, curve, *route, route.name(), of)).collect(),
    };
    let (cpu, rate, mb) = ("CPU-seconds per million records, whole run", "records/s", "MB/s of values");
    let panels = match curve {
        Curve::RecordSize => vec![by_route(cpu, true, CPU), by_route(mb, false, MB)],
        Curve::Latency => curve.routes().iter().map(|route| latency(lines, *route)).collect(),
        Curve::Cores | Curve::Compression | Curve::Documents | Curve::BulkBytes | Curve::Linger => {
            vec![by_route(cpu, false, CPU), by_route(rate, false, RATE)]
        }
    };
    Picture { title: format!("{}: {}", curve.name(), curve.axis()), panels }
}

fn latency(lines: &[Line], route: Route) -> Panel {
    let of = |name: &'static str| move |line: &Line| line.figures.get(name).copied();
    let one = |name: &'static str| series(lines, Curve::Latency, route, name.trim_end_matches(", ms"), of(name));
    Panel {
        title: format!("{}: ms since a record was meant to be produced", route.name()),
        x: Curve::Latency.axis().to_owned(),
        log: true,
        series: PERCENTILES.map(one).into(),
    }
}

/// Full speed has no place among shares of it: its latency counts from the poll.
fn series(lines: &[Line], curve: Curve, route: Route, name: &str, of: impl Fn(&Line) -> Option<f64>) -> Series {
    let shown = curve.points().iter().filter(|point| **point != Point::FullSpeed);
    let mark = |point: &Point| Mark {
        label: point.label(),
        place: point.place(),
        value: median(&runs(lines, curve, route, *point), &of),
    };
    Series { name: name.to_owned(), points: shown.map(mark).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::fixtures::line;

    fn measured() -> Vec<Line> {
        let run = |subject: &str, rate: f64, cpu: f64| {
            let mut line = line("curves", subject, 0, rate, cpu);
            line.figures.insert(MEGABYTES.to_owned(), rate * 128.0 / 1e6);
            line
        };
        let mut lines = vec![
            run("record-size/relay/128 B", 200_000.0, 4.0),
            run("record-size/relay/128 B", 300_000.0, 6.0),
            run("record-size/index/64 KiB", 1_000.0, 90.0),
            run("cores/index/2", 1_000.0, 90.0),
            run("latency/relay/10 %", 20_000.0, 9.0),
        ];
        lines[0].allocations_per_record = Some(1.5);
        for (at, name) in PERCENTILES.iter().enumerate() {
            lines[4].figures.insert((*name).to_owned(), 10.0 * (at + 1) as f64);
        }
        lines
    }

    #[test]
    fn a_table_has_a_row_for_every_point_that_was_measured() {
        let text = tables(&measured());
        for part in [
            "### record-size\n\n![size of a record's value](curves/record-size.svg)",
            "| relay | 128 B | 2 | 1000000 | 250000 | 32.0 | 5.00 | 5.00 | 1.50 | 100 | 0 / 0 | 0.00 |",
            "| index | 64 KiB | 1 | 1000000 | 1000 | 0.1 | 90.00 | 90.00 | - | 100 | 0 / 0 | 0.00 |",
            "| index | 2 | 1 | 1000000 | 1000 | 0.1 | 90.00 | 90.00 | - | 100 | 0 / 0 | - |",
            "| relay | 10 %, rate not reached | 1 | 20000 | 2.6 | 10.0 | 20.0 | 30.0 | 9.00 | 100 | 0 / 0 |",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("### linger") && !text.contains("512 B"), "{text}");
    }

    #[test]
    fn a_picture_shows_the_medians() {
        let pictures = pictures(&measured());
        let names: Vec<&str> = pictures.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["record-size.svg", "latency.svg", "cores.svg"]);
        let of = |at: usize| pictures[at].1.as_str();
        assert_eq!(of(0).matches("<circle").count(), 2 * 2);
        assert!(of(0).contains("<title>5</title>") && of(0).contains("<title>32</title>"), "{}", of(0));
        assert_eq!(of(1).matches("<circle").count(), 3);
        assert!(!of(1).contains(">max<"), "{}", of(1));
    }
}
