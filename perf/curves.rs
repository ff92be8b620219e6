//! The curves: one thing varied, everything else as usual, one run a point.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::Value;
use sluicegate_testkit::services::KafkaClient;

use crate::curve::{self, Curve, Point, Route};
use crate::expected::Values;
use crate::history::{Line, round};
use crate::machine::{Bench, on_cores};
use crate::open_loop::{self, REACHED};
use crate::paired::show;
use crate::run;
use crate::scenario::Scenario;
use crate::sink::{PARTITIONS, Sink};
use crate::source::{Contents, Filled};
use crate::stub::{Kind, Stub};
use crate::subject::{self, Pipeline, Target};

const EVERY: Duration = Duration::from_millis(50);
/// The figure of every run.
pub const MEGABYTES: &str = "MB/s";

/// The servers of a session.
struct Session<'b> {
    bench: &'b Bench,
    near: KafkaClient,
    far: KafkaClient,
    stub: Stub,
    records: u64,
}

/// Runs every curve in order, again and backwards while the scenario's minutes allow a whole pass more. A curve that
/// would begin behind them is left out.
///
/// # Errors
/// A server cannot be had, or a run failed.
pub fn measure(records: u64, rounds: u32, bench: &Bench) -> anyhow::Result<Vec<Line>> {
    let (near, far) = (KafkaClient::new(bench.servers.near()?), KafkaClient::new(bench.servers.far()?));
    let session = Session { bench, near, far, stub: Stub::start(Kind::Counting)?, records };
    let (started, limit) = (Instant::now(), Scenario::Curves.minutes() * 60.0);
    let mut lines = Vec::new();
    for pass in 0..2 * rounds {
        let passed = started.elapsed().as_secs_f64();
        if pass > 0 && passed + passed / f64::from(pass) > limit {
            break;
        }
        for curve in Curve::ALL {
            if started.elapsed().as_secs_f64() > limit {
                eprintln!("the {:.0} minutes of the curves are over: without {}", limit / 60.0, curve.name());
                continue;
            }
            session.curve(curve, pass % 2 == 1, &mut lines)?;
        }
    }
    let mut used: Vec<Contents> = points().map(|(_, _, point)| point.contents(PARTITIONS, records)).collect();
    used.dedup();
    for contents in used.into_iter().filter(|contents| *contents != Point::Plain.contents(PARTITIONS, records)) {
        bench.topics.forget_contents(&session.near, contents)?;
    }
    Ok(lines)
}

/// Every run of a pass.
fn points() -> impl Iterator<Item = (Curve, Route, Point)> {
    let of = |curve: Curve| {
        curve.routes().iter().flat_map(move |route| curve.points().iter().map(move |point| (curve, *route, *point)))
    };
    Curve::ALL.into_iter().flat_map(of)
}

impl Session<'_> {
    fn curve(&self, curve: Curve, backwards: bool, lines: &mut Vec<Line>) -> anyhow::Result<()> {
        let mut runs: Vec<_> = points().filter(|(of, ..)| *of == curve).collect();
        // Shares are of a maximum that must be known first.
        if backwards && curve != Curve::Latency {
            runs.reverse();
        }
        let mut most = 0.0;
        for (curve, route, point) in runs {
            let name = curve::name(curve, route, point);
            let place = u32::try_from(lines.len())?;
            let line = match curve {
                Curve::Latency => self.open_loop(&name, route, point, most, place),
                Curve::RecordSize
                | Curve::Cores
                | Curve::Compression
                | Curve::Documents
                | Curve::BulkBytes
                | Curve::Linger => self.engine(&name, route, point, place),
            };
            let line = line.with_context(|| name)?;
            if point == Point::FullSpeed {
                most = line.records_per_second;
            }
            show(&line);
            lines.push(line);
        }
        Ok(())
    }

    /// The engine on its cores, real brokers or the endpoint around it.
    fn engine(&self, name: &str, route: Route, point: Point, place: u32) -> anyhow::Result<Line> {
        let contents = point.contents(PARTITIONS, self.records);
        let source = self.bench.topics.with(&self.near, contents)?;
        let own = format!("perf-curves-{:08x}", fastrand::u32(..));
        let (sink, target) = match route {
            Route::Relay => {
                let values = Values::ResultOf(contents.value_bytes);
                (Sink::topic(&self.far, &own, values)?, Target::Topic(self.far.brokers(), own.as_str()))
            }
            Route::Index => (Sink::stub(&self.stub), Target::Index(self.stub.url(), "items")),
        };
        let configuration = self.configuration(&source, &own, target, point);
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("sluicegate.json");
        std::fs::write(&file, configuration.to_string())?;
        let mut command = subject::command(&file)?;
        if point.cores() > 1 {
            let alone = command.get_args().skip(5).map(ToOwned::to_owned).collect::<Vec<_>>();
            let (program, arguments) = alone.split_first().context("the engine has a command line")?;
            command = on_cores(&format!("0-{}", point.cores() - 1), program);
            command.args(arguments);
        }
        let observed = run::watch(command, source.records, EVERY, || sink.delivered())?;
        let verdict = sink.judge(source.records)?;
        let mut line = Line::new((Scenario::Curves, name, place), (source.records, verdict), &observed, self.bench)?;
        let megabytes = line.records_per_second * contents.value_bytes as f64 / 1e6;
        line.figures.insert(MEGABYTES.to_owned(), round(megabytes, 1));
        Ok(line)
    }

    fn configuration(&self, source: &Filled, group: &str, target: Target<'_>, point: Point) -> Value {
        let pipeline = Pipeline { brokers: self.near.brokers(), topic: &source.topic, group, target };
        let mut root = subject::configuration(&[pipeline]);
        point.configure(&mut root);
        root
    }

    /// `sluicegate bench` on all cores.
    fn open_loop(&self, name: &str, route: Route, point: Point, most: f64, place: u32) -> anyhow::Result<Line> {
        let (measured, usage) = open_loop::measure(route, point, most, self.bench.cores)?;
        let mut line = measured.line((Scenario::Curves, name, place), &usage, self.bench);
        let megabytes = measured.per_second * curve::USUAL_BYTES as f64 / 1e6;
        let figures = [(MEGABYTES, megabytes), (REACHED, f64::from(u8::from(measured.reached)))];
        line.figures.extend(figures.map(|(name, value)| (name.to_owned(), round(value, 2))));
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_speed_is_measured_before_its_shares() {
        for route in Curve::Latency.routes() {
            let of_route = points().filter(|(curve, of, _)| (*curve, *of) == (Curve::Latency, *route));
            assert_eq!(of_route.map(|(.., point)| point).next(), Some(Point::FullSpeed));
        }
    }
}
