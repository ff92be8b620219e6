//! What a measurement came to: whether every record is accounted for, the rate, the latencies (pure).

use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use crate::cli::figures::{self, EngineEnding, StageLatency};
use crate::cli::progress::grouped;
use crate::model::{Conservation, Exit};
use crate::telemetry::latency::Stage;
use crate::testbed::feeder::Fed;

use super::measure::Load;

/// A rate below this share of the one asked for was not reached.
const REACHED: f64 = 0.99;

/// One end of the measurement.
#[derive(Debug, Clone, Copy)]
pub(super) struct MeasurementEnd {
    pub(super) at: Instant,
    /// Records resolved until then.
    pub(super) resolved: u64,
    /// Records handed to the producer until then.
    pub(super) fed: u64,
    /// CPU time of the process until then.
    pub(super) cpu_seconds: Option<f64>,
}

/// See the module.
pub(super) struct BenchAccount {
    pub(super) pipeline: String,
    pub(super) load: Load,
    /// Warm-up included.
    pub(super) fed: Fed,
    /// Beginning and end; `None` when it did not come to that.
    pub(super) marks: Option<(MeasurementEnd, MeasurementEnd)>,
    /// What the sink's server got, where it can be asked.
    pub(super) arrived: Option<Result<u64, String>>,
    pub(super) ending: EngineEnding,
    pub(super) trouble: Vec<String>,
}

/// Means over the measurement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Means {
    pub(super) seconds: f64,
    pub(super) resolved_per_second: f64,
    pub(super) fed_per_second: f64,
    pub(super) cpu_seconds_per_million: Option<f64>,
}

impl BenchAccount {
    fn sum(&self) -> Conservation {
        self.ending.sum_of(&self.pipeline)
    }

    /// `None` when it did not come to a measurement.
    pub(super) fn means(&self) -> Option<Means> {
        let (begin, end) = self.marks?;
        let seconds = end.at.duration_since(begin.at).as_secs_f64().max(1e-9);
        let resolved = end.resolved - begin.resolved;
        let cpu = end.cpu_seconds.zip(begin.cpu_seconds).map(|(end, begin)| end - begin);
        Some(Means {
            seconds,
            resolved_per_second: resolved as f64 / seconds,
            fed_per_second: (end.fed - begin.fed) as f64 / seconds,
            cpu_seconds_per_million: cpu.filter(|_| resolved > 0).map(|cpu| cpu / resolved as f64 * 1e6),
        })
    }

    /// The histogram that answers for this load: from the intended moment in an open loop, else from the poll.
    pub(super) fn latency(&self) -> Option<&StageLatency> {
        let stage = if self.load.rate.is_some() { Stage::Age } else { Stage::EndToEnd };
        self.ending.latencies.iter().find(|one| one.pipeline == self.pipeline && one.stage == stage)
    }

    /// Everything that is not as it must be.
    pub(super) fn faults(&self) -> Vec<String> {
        let (mut faults, sum) = (self.trouble.clone(), self.sum());
        if self.ending.exit != Exit::Done {
            let why = self.ending.halt.as_deref().unwrap_or("no reason given");
            faults.push(format!("the engine ended with exit {}: {why}", self.ending.exit.code()));
        }
        faults.extend(figures::sum_faults(&self.pipeline, &sum));
        let (fed, once) = (self.fed.records, sum.consumed.saturating_sub(sum.rewound));
        if self.marks.is_none() {
            faults.push("nothing was measured".to_owned());
        }
        // Others may produce into a real topic; into the testbed's nobody does.
        if once < fed || (once > fed && self.arrived.is_some()) {
            faults.push(format!("{fed} records were fed, but {once} read"));
        }
        match &self.arrived {
            Some(Ok(arrived)) if *arrived < sum.delivered => {
                faults.push(format!("{} records were delivered, but the server got {arrived}", sum.delivered));
            }
            Some(Err(why)) => faults.push(format!("the server cannot be asked what it got: {why}")),
            Some(Ok(_)) | None => {}
        }
        faults
    }

    /// How the process must end.
    pub(super) fn exit(&self) -> Exit {
        match (self.ending.exit, self.faults().is_empty()) {
            (Exit::Done, true) => Exit::Done,
            (Exit::Done, false) => Exit::Failure,
            (other, _) => other,
        }
    }

    /// Whether records were fed as fast as asked for.
    pub(super) fn reached(&self) -> bool {
        self.load.rate.is_none_or(|rate| self.means().is_some_and(|means| means.fed_per_second >= rate * REACHED))
    }

    fn headline(&self) -> String {
        let how = match self.load.rate {
            Some(rate) => format!("open loop at {} records/s", grouped(rate as u64)),
            None => "full speed".to_owned(),
        };
        let stall =
            self.load.stall.map_or_else(String::new, |stall| format!(", the sink's server still for {stall:?}"));
        format!(
            "{}: {how} for {} s after {} s of warm-up{stall}\n",
            self.pipeline,
            self.load.time.as_secs(),
            self.load.warm_up.as_secs()
        )
    }

    /// The summary for people.
    pub(super) fn text(&self, report: &Path) -> String {
        let mut text = self.headline();
        // Writing into a String cannot fail.
        if let Some(means) = self.means() {
            let bytes = self.fed.bytes as f64 / self.fed.records.max(1) as f64;
            let cpu = means.cpu_seconds_per_million;
            let cpu = cpu.map_or_else(String::new, |cpu| format!(", {cpu:.2} CPU-s per million in this process"));
            let _ = writeln!(
                text,
                "  {} records/s resolved, {} records/s fed, {:.1} MB/s{cpu}",
                grouped(means.resolved_per_second as u64),
                grouped(means.fed_per_second as u64),
                means.resolved_per_second * bytes / 1e6,
            );
        }
        let _ = writeln!(text, "  {}", self.sum());
        text.push_str(&figures::latency_table(&self.ending.latencies));
        if self.load.rate.is_some() {
            text.push_str("age counts from the moment each record was meant to be produced\n");
        }
        if !self.reached() {
            text.push_str("the rate asked for was not reached: latency grows with the time of such a run\n");
        }
        text.push_str(&figures::verdict(&self.faults(), "every record is accounted for", report));
        text
    }

    /// The run file's members and what was measured.
    pub(super) fn json(&self) -> Value {
        self.ending.run_file_with("bench", self.measured_json())
    }

    /// What was measured.
    pub(super) fn measured_json(&self) -> Value {
        let means = self.means();
        json!({
            "pipeline": self.pipeline,
            "rate_asked": self.load.rate,
            "rate_reached": self.reached(),
            "seconds": means.map(|means| means.seconds),
            "resolved_per_second": means.map(|means| means.resolved_per_second),
            "fed_per_second": means.map(|means| means.fed_per_second),
            "cpu_seconds_per_million_records": means.and_then(|means| means.cpu_seconds_per_million),
            "fed": self.fed.records, "fed_bytes": self.fed.bytes,
            "arrived": self.arrived.as_ref().and_then(|arrived| arrived.as_ref().ok()),
            "sum": self.sum(),
            "latencies": figures::latency_json(&self.ending.latencies),
            "faults": self.faults(),
            "correct": self.exit() == Exit::Done,
        })
    }
}
