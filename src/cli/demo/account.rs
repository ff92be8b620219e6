//! The demo's account: sums, verdicts, latencies, and whether all of it is right (pure).

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::model::Exit;
use crate::testbed::feeder::Fed;
use crate::testbed::oracle::{DocumentVerdict, OutputVerdict};

use super::machinery::{StageLatency, Tally};
use super::progress::grouped;

/// What one pipeline was fed and did.
pub(super) struct PipelineAccount {
    pub(super) name: String,
    pub(super) fed: Fed,
    /// From the first record fed to the last one resolved.
    pub(super) elapsed: Duration,
    pub(super) tally: Tally,
}

/// The whole run.
pub(super) struct Account {
    pub(super) pipelines: Vec<PipelineAccount>,
    pub(super) output: OutputVerdict,
    pub(super) documents: DocumentVerdict,
    /// What went wrong while feeding and waiting.
    pub(super) trouble: Vec<String>,
    pub(super) engine_exit: Exit,
    pub(super) halt: Option<String>,
    pub(super) latencies: Vec<StageLatency>,
    pub(super) run_file: Value,
}

const PERCENTILES: [(&str, f64); 5] = [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9), ("max", 100.0)];

impl PipelineAccount {
    fn faults(&self) -> Vec<String> {
        let Self { name, fed, tally, .. } = self;
        let mut faults = Vec::new();
        if tally.consumed != tally.sum() {
            faults.push(format!("{name}: {} records were read, but {} accounted for", tally.consumed, tally.sum()));
        }
        if tally.open != 0 {
            faults.push(format!("{name}: {} records were left open", tally.open));
        }
        if tally.delivered != fed.records {
            faults.push(format!("{name}: {} records were fed, but {} delivered", fed.records, tally.delivered));
        }
        faults
    }

    fn rate(&self) -> u64 {
        (self.fed.records as f64 / self.elapsed.as_secs_f64().max(0.001)) as u64
    }
}

impl Account {
    /// Everything that is not as it must be.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = self.trouble.clone();
        if self.engine_exit != Exit::Done {
            let why = self.halt.as_deref().unwrap_or("no reason given");
            faults.push(format!("the engine ended with exit {}: {why}", self.engine_exit.code()));
        }
        faults.extend(self.pipelines.iter().flat_map(PipelineAccount::faults));
        let rewound: u64 = self.pipelines.iter().map(|pipeline| pipeline.tally.rewound).sum();
        if !(self.output.is_exact() || (rewound > 0 && self.output.is_at_least_once())) {
            faults.push(format!("the output topic is wrong: {}", self.output));
        }
        if !self.documents.is_exact() {
            faults.push(format!("the documents are wrong: {}", self.documents));
        }
        faults
    }

    /// How the process must end.
    pub(super) fn exit(&self) -> Exit {
        match (self.engine_exit, self.faults().is_empty()) {
            (Exit::Done, true) => Exit::Done,
            (Exit::Done, false) => Exit::Failure,
            (other, _) => other,
        }
    }

    /// The summary for people.
    pub(super) fn text(&self, report: &Path) -> String {
        let mut text = String::new();
        for pipeline in &self.pipelines {
            text.push_str(&pipeline_text(pipeline));
        }
        // Writing into a String cannot fail.
        let _ = writeln!(text, "\noutput topic: {}", self.output);
        let _ = writeln!(text, "documents:    {}", self.documents);
        text.push_str(&self.latency_table());
        let faults = self.faults();
        for fault in &faults {
            let _ = writeln!(text, "WRONG: {fault}");
        }
        if faults.is_empty() {
            text.push_str("every record is accounted for, and everything that came out is what was generated\n");
        }
        let file = report.join("report.html");
        if file.exists() {
            let _ = writeln!(text, "report: {}", file.display());
        }
        text
    }

    fn latency_table(&self) -> String {
        if self.latencies.is_empty() {
            return String::new();
        }
        let mut text = format!("\n{:<8} {:<12}", "latency", "ms");
        for (name, _) in PERCENTILES {
            let _ = write!(text, "{name:>10}");
        }
        text.push('\n');
        for latency in &self.latencies {
            let _ = write!(text, "{:<8} {:<12}", latency.pipeline, latency.stage.name());
            for (_, percentile) in PERCENTILES {
                let _ = write!(text, "{:>10.2}", millis(latency, percentile));
            }
            text.push('\n');
        }
        text.push('\n');
        text
    }

    /// The run file's members and what the demo found.
    pub(super) fn json(&self) -> Value {
        let mut object = self.run_file.as_object().cloned().unwrap_or_default();
        object.insert("demo".into(), self.demo_json());
        Value::Object(object)
    }

    fn demo_json(&self) -> Value {
        let pipelines: Vec<Value> = self.pipelines.iter().map(pipeline_json).collect();
        let latencies: Vec<Value> = self
            .latencies
            .iter()
            .map(|latency| {
                let mut line = json!({ "pipeline": latency.pipeline, "stage": latency.stage.name() });
                for (name, percentile) in PERCENTILES {
                    line[format!("{name}_ms")] = json!(millis(latency, percentile));
                }
                line
            })
            .collect();
        let (output, documents) = (&self.output, &self.documents);
        json!({
            "pipelines": pipelines,
            "output": {
                "expected": output.expected, "verified": output.verified, "missing": output.missing,
                "repeated": output.duplicates, "unexpected": output.unexpected,
                "out_of_order": output.order_violations, "misordered_keys": output.misordered_keys,
            },
            "documents": {
                "expected": documents.expected, "equal": documents.equal, "missing": documents.missing,
                "different": documents.different, "extra": documents.extra,
            },
            "latencies": latencies,
            "faults": self.faults(),
            "correct": self.exit() == Exit::Done,
        })
    }
}

fn millis(latency: &StageLatency, percentile: f64) -> f64 {
    latency.histogram.value_at_percentile(percentile) as f64 / 1_000.0
}

fn pipeline_text(pipeline: &PipelineAccount) -> String {
    let tally = &pipeline.tally;
    let equal = if tally.consumed == tally.sum() { "=" } else { "≠" };
    format!(
        "{}: {} records in {:.1} s, {} records/s, {} MB/s\n  consumed {} {equal} delivered {} + superseded {} + \
         dropped {} + dead_lettered {} + rewound {} + open {}\n",
        pipeline.name,
        grouped(pipeline.fed.records),
        pipeline.elapsed.as_secs_f64(),
        grouped(pipeline.rate()),
        (pipeline.fed.bytes as f64 / 1e6 / pipeline.elapsed.as_secs_f64().max(0.001)) as u64,
        tally.consumed,
        tally.delivered,
        tally.superseded,
        tally.dropped,
        tally.dead_lettered,
        tally.rewound,
        tally.open,
    )
}

fn pipeline_json(pipeline: &PipelineAccount) -> Value {
    let tally = &pipeline.tally;
    json!({
        "name": pipeline.name, "fed": pipeline.fed.records, "fed_bytes": pipeline.fed.bytes,
        "seconds": pipeline.elapsed.as_secs_f64(), "records_per_second": pipeline.rate(),
        "consumed": tally.consumed, "delivered": tally.delivered, "superseded": tally.superseded,
        "dropped": tally.dropped, "dead_lettered": tally.dead_lettered, "rewound": tally.rewound, "open": tally.open,
    })
}
